/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_RLOCK_H
#define RIPSTOP_RLOCK_H

/*
 * <ripstop/rlock.h>: a lock that its holder may acquire again.
 *
 * Between threads it lies anywhere, and needs no preparation:
 *
 *     static rip_rlock lock;
 *
 *     void add(struct item *i)
 *     {
 *         if (rip_rlock_acquire(&lock, RIP_FOREVER) < 0)
 *             abort();
 *         ...
 *         rip_rlock_release(&lock);
 *     }
 *
 *     void add_both(struct item *a, struct item *b)
 *     {
 *         if (rip_rlock_acquire(&lock, RIP_FOREVER) < 0)
 *             abort();
 *         add(a); // acquires it again
 *         add(b);
 *         rip_rlock_release(&lock);
 *     }
 *
 * Between processes it is the same lock, in shared memory:
 *
 *     struct shared { rip_rlock lock; struct table table; };
 *     struct shared *s = rip_shared_alloc(NULL, sizeof *s);
 *     if (fork() == 0)
 *         work(s); // rip_rlock_acquire(&s->lock, rip_after(5)) ...
 *
 * When the holder dies it is wholly free, however often it was acquired, and
 * the next acquire is told by RIP_RECOVERED, once. In all else, too, it is a
 * lock: see <ripstop/lock.h>.
 *
 * A condition goes with a plain lock: one that is held twice could not be
 * given back by a wait, and nobody would come to notify.
 */

#include <stdint.h>

#include <ripstop/base.h>
#include <ripstop/lock.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A recursive lock; free when zeroed. The fields are the library's own. Not to
 * be copied or moved while it is in use. */
typedef struct rip_rlock {
    rip_lock lock;
    uint32_t depth, reserved;
} rip_rlock;

/*
 * Acquires the lock, at once if the calling thread holds it already, and else
 * as rip_lock_acquire does.
 *
 *     0              acquired, for the first time or again
 *     RIP_RECOVERED  acquired, from a holder who has died
 *     -ETIMEDOUT     held by another until the deadline
 *     -EOVERFLOW     acquired 2^32 - 1 times already
 *     -EBADMSG, -ENOMEM, -EXDEV
 *                    as of rip_lock_acquire; never to one who holds it
 *
 * Blocks until the deadline at the longest.
 *
 * Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_rlock_acquire(rip_rlock *l, rip_time deadline);

/*
 * Takes back one acquire: the lock is free again after as many releases as
 * there were acquires. If the caller does not hold it: as rip_lock_release.
 *
 * Never blocks. Thread-safe; not in signal handlers.
 */
RIP_API void rip_rlock_release(rip_rlock *l);

#ifdef __cplusplus
}
#endif

#endif
