/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_COND_H
#define RIPSTOP_COND_H

/*
 * <ripstop/cond.h>: waiting until what a lock guards has changed.
 *
 * Between threads it lies anywhere, and needs no preparation:
 *
 *     static rip_lock lock;
 *     static rip_cond changed;
 *     static int items;
 *
 *     void put(void)
 *     {
 *         if (rip_lock_acquire(&lock, RIP_FOREVER) < 0)
 *             abort();
 *         items++;
 *         rip_cond_notify(&changed, 1);
 *         rip_lock_release(&lock);
 *     }
 *
 *     int get(rip_time deadline) // 0, or -ETIMEDOUT
 *     {
 *         int r = rip_lock_acquire(&lock, deadline);
 *         if (r < 0)
 *             return r;
 *         while (items == 0 && r >= 0)
 *             r = rip_cond_wait(&changed, &lock, deadline);
 *         if (items > 0)
 *             items--, r = 0;
 *         rip_lock_release(&lock); // it is held again in every case
 *         return r;
 *     }
 *
 * Between processes both lie in the same shared memory, beside what they are
 * for:
 *
 *     struct box { rip_lock lock; rip_cond changed; int items; };
 *     struct box *b = rip_shared_alloc(NULL, sizeof *b);
 *     if (fork() == 0)
 *         work(b);
 *
 * The loop is needed: a wake without a notify is possible, and another may
 * have been there first. rip_cond_wait_for is that loop.
 *
 * A condition has no owner, so the death of one who waits or notifies leaves
 * nothing in it to mend: a wake that a killed process did not live to use, or
 * to send, comes to the others within 0.2 seconds. But nobody knows who was to
 * notify, and whether they live: wait with a deadline where that matters. The
 * lock has a holder, whose death is told by RIP_RECOVERED, also to one who
 * waits here.
 *
 * Any number of conditions may go with one lock, a plain one: an rip_rlock, or
 * an rip_rwlock, does not go with a condition.
 *
 * There is nothing to release when a condition is no longer needed: its memory
 * is simply freed when nobody waits and no notify is under way any more. Those
 * who notify with the lock held make that easy to see.
 */

#include <stdbool.h>
#include <stdint.h>

#include <ripstop/base.h>
#include <ripstop/lock.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A condition; nobody waits when zeroed. The field is the library's own. Not to
 * be copied or moved while it is in use. */
typedef struct rip_cond {
    RIP_ALIGNED(8) uint64_t word;
} rip_cond;

/*
 * Releases the lock, waits for a notify, and acquires the lock again: in
 * every case, whatever is returned, the caller holds it as before. A notify
 * that comes after the release is not missed.
 *
 *     0              notified (or woken for no reason)
 *     RIP_RECOVERED  the lock has come from a holder who died: what it guards
 *                    may be half changed (whether there was a notify is not
 *                    told)
 *     -ETIMEDOUT     not notified by the deadline
 *     -ECANCELED     not notified, and the calling task is to stop
 *     -EPERM         the caller does not hold the lock
 *     -EINVAL        the condition and the lock lie in different segments, or
 *                    one in a segment and the other one not
 *
 * Waits for a notify until the deadline, and then for the lock as long as
 * others hold it, in a task that is to stop as well. With RIP_NOW, too, the
 * lock is released for a moment.
 *
 * Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_cond_wait(rip_cond *c, rip_lock *l,
                                           rip_time deadline);

/*
 * Waits until ready(arg) is true. It is called with the lock held, at once and
 * after each wake, so nothing waits if it is true from the beginning; and once
 * more at the deadline.
 *
 *     static bool has_items(void *arg) { return ((struct box *)arg)->items; }
 *     ...
 *     while ((r = rip_cond_wait_for(&b->changed, &b->lock, has_items, b,
 *                                   deadline)) == RIP_RECOVERED)
 *         repair(b);
 *
 *     0              ready(arg) is true
 *     RIP_RECOVERED  the lock has come from a holder who died. ready was not
 *                    asked, since it would look at what may be half changed:
 *                    mend that, and call again
 *     -ETIMEDOUT     it was still false at the deadline
 *     -ECANCELED     it is false, and the calling task is to stop
 *     -EPERM, -EINVAL
 *                    as of rip_cond_wait; ready was not called
 *
 * In every case the caller holds the lock as before. Blocks as rip_cond_wait.
 *
 * Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_cond_wait_for(rip_cond *c, rip_lock *l,
                                               bool (*ready)(void *), void *arg,
                                               rip_time deadline);

/*
 * Wakes at least n of those who wait, or all if there are fewer. When nobody
 * waits it does nothing, and makes no system call. The change that it tells of
 * must have been made with the lock held; the notify itself may come with the
 * lock held, and then wakes when that is released, or after its release.
 *
 * Never blocks. Thread-safe; not in signal handlers.
 */
RIP_API void rip_cond_notify(rip_cond *c, unsigned n);

/*
 * The same for all who wait.
 *
 * Never blocks. Thread-safe; not in signal handlers.
 */
RIP_API void rip_cond_notify_all(rip_cond *c);

#ifdef __cplusplus
}
#endif

#endif
