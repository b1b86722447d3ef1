/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_RWLOCK_H
#define RIPSTOP_RWLOCK_H

/*
 * <ripstop/rwlock.h>: many who read, or one who writes; survives the death of
 * either.
 *
 * Between threads it lies anywhere, and needs no preparation:
 *
 *     static rip_rwlock lock;
 *     static struct table table;
 *
 *     int look_up(const char *key, rip_time deadline)
 *     {
 *         int r = rip_rwlock_read(&lock, deadline);
 *         if (r < 0)
 *             return r;
 *         r = find(&table, key);
 *         rip_rwlock_release(&lock);
 *         return r;
 *     }
 *
 * Between processes it is the same lock, in shared memory:
 *
 *     struct shared { rip_rwlock lock; struct table table; };
 *     struct shared *s = rip_shared_alloc(NULL, sizeof *s);
 *     if (fork() == 0) {
 *         int r = rip_rwlock_write(&s->lock, rip_after(5));
 *         if (r == RIP_RECOVERED)
 *             repair(&s->table); // a writer was killed half-way
 *         if (r >= 0) {
 *             change(&s->table);
 *             rip_rwlock_release(&s->lock);
 *         }
 *         _exit(r < 0);
 *     }
 *
 * When the writer dies, by SIGKILL at whatever instruction, by exec, or as a
 * thread that ends, the next one has the lock, within milliseconds (see
 * "Deaths" in <ripstop/segment.h>), and is told by RIP_RECOVERED: what the lock
 * guards may be half changed. Every reader is told that too, until a writer has
 * come, since none of them may repair anything. A reader that dies just reads
 * no more. Who is stopped or slow is alive, and keeps what it holds however
 * long that takes.
 *
 * A lock belongs to the thread that reads or writes, and that thread alone may
 * release it. After fork(2) the child neither reads nor writes.
 *
 * There is nothing to release when a lock is no longer needed: its memory is
 * simply freed when nobody uses it any more.
 *
 * Readers do not wait for each other. A writer that has the lock in hand and
 * waits for readers to leave keeps new ones out, so writers do not starve;
 * and a reader that finds a writer in its way queues up as writers do, so
 * neither do readers.
 */

#include <stdint.h>

#include <ripstop/base.h>
#include <ripstop/lock.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A reader-writer lock; free when zeroed. The fields are the library's own. Not
 * to be copied or moved while it is in use. */
typedef struct rip_rwlock {
    rip_lock writer;
    uint32_t gone, flags;
} rip_rwlock;

/*
 * Waits until nobody writes, and keeps writers out. A thread may read several
 * times over, also while a writer waits for it, and releases as often.
 *
 *     0              it reads
 *     RIP_RECOVERED  it reads, but a writer died while writing and no other
 *                    has written since: what is read may be half changed.
 *                    Every reader gets this until a writer has come
 *     -ETIMEDOUT     there was a writer until the deadline
 *     -EDEADLK       the caller writes: it would wait for itself
 *     -EBADMSG       somebody released it who neither read nor wrote: told
 *                    once, as of rip_lock_acquire; nothing was acquired
 *     -ENOMEM        as of rip_lock_acquire; or this thread reads, or is a
 *                    party of, 128 other objects of the segment
 *     -EXDEV         as of rip_lock_acquire
 *
 * Blocks until the deadline at the longest.
 *
 * Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_rwlock_read(rip_rwlock *l, rip_time deadline);

/*
 * Waits until nobody else reads or writes, and keeps everyone out.
 *
 *     0              it writes
 *     RIP_RECOVERED  it writes, and is the first since a writer died while
 *                    writing
 *     -ETIMEDOUT     somebody read or wrote until the deadline
 *     -EDEADLK       the caller writes already, or reads
 *     -EBADMSG       somebody released it who neither read nor wrote: told
 *                    once, as of rip_lock_acquire; nothing was acquired
 *     -ENOMEM, -EXDEV
 *                    as of rip_lock_acquire
 *
 * Blocks until the deadline at the longest.
 *
 * Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_rwlock_write(rip_rwlock *l, rip_time deadline);

/*
 * Ends the caller's writing, or one of its readings. If it does neither:
 * outside of segments the program ends with a line on stderr, and in a segment,
 * where a neighbour may have spoilt the lock, one of the next to read or write
 * gets -EBADMSG.
 *
 * Never blocks. Thread-safe; not in signal handlers.
 */
RIP_API void rip_rwlock_release(rip_rwlock *l);

#ifdef __cplusplus
}
#endif

#endif
