/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_LOCK_H
#define RIPSTOP_LOCK_H

/*
 * <ripstop/lock.h>: mutual exclusion that survives the death of its holder.
 *
 * Between threads a lock lies anywhere, and needs no preparation:
 *
 *     static rip_lock lock;
 *     static long count;
 *
 *     void one_more(void)
 *     {
 *         if (rip_lock_acquire(&lock, RIP_FOREVER) < 0)
 *             abort();
 *         count++;
 *         rip_lock_release(&lock);
 *     }
 *
 * Between processes it is the same lock, in shared memory:
 *
 *     struct account { rip_lock lock; long balance, check; };
 *     struct account *a = rip_shared_alloc(NULL, sizeof *a);
 *     if (fork() == 0) {
 *         int r = rip_lock_acquire(&a->lock, rip_after(5));
 *         if (r == RIP_RECOVERED)
 *             repair(a); // its last holder was killed half-way
 *         if (r >= 0) {
 *             deposit(a, 100);
 *             rip_lock_release(&a->lock);
 *         }
 *         _exit(r < 0);
 *     }
 *
 * When the holder dies, by SIGKILL at whatever instruction, by exec, or as a
 * thread that ends, the next acquire has the lock, within milliseconds (see
 * "Deaths" in <ripstop/segment.h>), and is told by RIP_RECOVERED, once: what
 * the lock guards may be half changed. Whoever is told repairs that, or finds
 * that nothing needs repair, before the release; if it dies before, the next
 * one is told. A holder that is stopped or slow is alive, and keeps the lock
 * however long that takes.
 *
 * A lock belongs to the thread that has acquired it, and that thread alone may
 * release it. It may not acquire it again (-EDEADLK); <ripstop/rlock.h> is for
 * that. After fork(2) the child holds nothing: of the copies of locks that it
 * has inherited, those that somebody held at that moment are the locks of a
 * dead holder to it.
 *
 * There is nothing to release when a lock is no longer needed: when nobody
 * uses it any more its memory is simply freed, also by the next holder right
 * after the last release.
 *
 * Without contention neither acquire nor release is a system call. Who comes
 * by may overtake those who sleep, which is what makes a lock fast; but one
 * who has waited for a millisecond and is woken in vain is the next to have
 * it.
 *
 * A neighbour who scribbles over a lock in a segment can make it belong to
 * two or to nobody, and nothing worse.
 */

#include <stdbool.h>
#include <stdint.h>

#include <ripstop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A lock; free when zeroed. The fields are the library's own. Not to be
 * copied or moved while it is in use. */
typedef struct rip_lock {
    RIP_ALIGNED(8) uint64_t word;
    uint64_t heir;
} rip_lock;

/*
 * Acquires the lock, and waits for it until the deadline. RIP_NOW never waits:
 * it acquires the lock if nobody holds it.
 *
 *     0              acquired
 *     RIP_RECOVERED  acquired, from a holder who has died: see above
 *     -ETIMEDOUT     held by another until the deadline
 *     -EDEADLK       the calling thread holds it already (whatever the
 *                    deadline)
 *     -EBADMSG       somebody released it who did not hold it. This is told
 *                    once, to the first who comes, and only of a lock in a
 *                    segment; nothing was acquired, and nothing was lost by
 *                    it: the holder has kept the lock, and the next acquire
 *                    is an ordinary one. There is an error in a program.
 *     -ENOMEM        this thread has used no object of the segment before, and
 *                    there is no room for one more member, or no memory
 *     -EXDEV         the same, as this process is in another pid namespace than
 *                    the segment
 *
 * Blocks until the deadline at the longest.
 *
 * Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_lock_acquire(rip_lock *l, rip_time deadline);

/*
 * Releases the lock, which the calling thread holds. Nothing of the lock is
 * touched after it is free.
 *
 * If the caller does not hold it nothing is released: outside of segments the
 * program ends with a line on stderr, and in a segment, where a neighbour may
 * have spoilt the lock, the next acquire gives -EBADMSG.
 *
 * Never blocks. Thread-safe; not in signal handlers.
 */
RIP_API void rip_lock_release(rip_lock *l);

/*
 * Whether the calling thread holds the lock: for assertions. (Whether another
 * one does may have changed before the answer is there, so nothing tells it;
 * rip_lock_acquire with RIP_NOW is the question that lasts.)
 *
 * Never blocks. Thread-safe, async-signal-safe.
 */
RIP_API bool rip_lock_is_mine(const rip_lock *l);

#ifdef __cplusplus
}
#endif

#endif
