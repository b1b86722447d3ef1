/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_SEM_H
#define RIPSTOP_SEM_H

/*
 * <ripstop/sem.h>: semaphores, of two kinds.
 *
 * A signal count (max is 0) tells how often something has happened. Between
 * threads it lies anywhere; zeroed it has the value 0, and needs no
 * preparation:
 *
 *     static rip_sem items;
 *
 *     rip_sem_release(&items, 3); // one thread has made three
 *
 *     int r = rip_sem_acquire(&items, rip_after(5)); // others take one each
 *
 * Permits (max > 0) limit how many do something at once. Between processes
 * either kind lies in shared memory:
 *
 *     rip_sem *seats = rip_shared_alloc(NULL, sizeof *seats);
 *     rip_sem_init(seats, 4, 4); // four, and all are free
 *     if (fork() == 0) {
 *         int r = rip_sem_acquire(seats, rip_after(5));
 *         if (r == 0) {
 *             work();
 *             rip_sem_release(seats, 1);
 *         }
 *         _exit(r < 0);
 *     }
 *
 * (A Semaphore(n) of Python is rip_sem_init(s, n, 0), a BoundedSemaphore(n) is
 * rip_sem_init(s, n, n).)
 *
 * When a process dies, by SIGKILL at whatever instruction, its permits are free
 * again within milliseconds (see "Deaths" in <ripstop/segment.h>). A process
 * that is stopped or slow is alive, and keeps them however long that takes; so
 * does one that calls exec, until it ends. What was taken from a signal count
 * is gone with its taker.
 *
 * A permit belongs to the process that has acquired it: a thread that ends
 * leaves its permits to the other threads. After fork(2) the child has none.
 * Anyone may release one, also for another process: see rip_sem_release.
 *
 * There is nothing to release when a semaphore is no longer needed: its memory
 * is simply freed when nobody uses it any more, or has permits of it.
 *
 * Nobody is served in turn: a newcomer may be faster than one who is just
 * waking up.
 */

#include <stdint.h>

#include <ripstop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A semaphore; a signal count of 0 when zeroed. The fields are the library's
 * own. Not to be copied or moved while it is in use. */
typedef struct rip_sem {
    RIP_ALIGNED(8) uint64_t word;
    uint32_t max, incarnation;
} rip_sem;

/* The largest `max`, and the largest value of a signal count. */
#define RIP_SEM_MAX       0xffffffu
#define RIP_SEM_VALUE_MAX 0x7fffffffu

/*
 * Makes a semaphore: `value` permits are free, and there are never more than
 * `max`; or, with a max of 0, a signal count of `value`. When it is made anew,
 * permits that are still held of the old one do not come back to the new one.
 *
 * A value above max, or one of them above its limit: outside of segments the
 * program ends with a line on stderr, and in a segment rip_sem_acquire gives
 * -EBADMSG.
 *
 * Never blocks. One caller, before anyone else uses it.
 */
RIP_API void rip_sem_init(rip_sem *s, unsigned value, unsigned max);

/*
 * Takes one, and waits for it until the deadline. RIP_NOW never waits.
 *
 *     0           taken
 *     -ETIMEDOUT  there was none by the deadline
 *     -ECANCELED  there is none, and the calling task is to stop
 *     -EBADMSG    what is in the semaphore makes no sense
 *     -ENOMEM     as of rip_lock_acquire; or this thread has permits of 32
 *                 other semaphores of the segment
 *     -EXDEV      as of rip_lock_acquire
 *
 * Blocks until the deadline at the longest.
 *
 * Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_sem_acquire(rip_sem *s, rip_time deadline);

/*
 * Gives n back, or adds n to a signal count, and wakes as many of those who
 * wait.
 *
 *     0           given
 *     -EOVERFLOW  there would be more than max permits (or more than
 *                 RIP_SEM_VALUE_MAX): nothing was given
 *     -EBADMSG    what is in the semaphore makes no sense
 *
 * A permit may be given back by whoever finishes the work: first those that
 * the caller's own thread took are counted as returned, then those of other
 * threads of its process, then those of any process (it was handed over), and
 * if nobody holds any, because it began with less than max, there is one more.
 * A release of several is not one step for others, and if somebody else
 * releases too many at the same time it may be cut off with some given.
 *
 * Never blocks. Thread-safe, async-signal-safe: also in a handler that has
 * interrupted an acquire of the same semaphore.
 */
RIP_API int rip_sem_release(rip_sem *s, unsigned n);

/*
 * How many there are to take at the moment.
 *
 * Never blocks. Thread-safe, async-signal-safe.
 */
RIP_API unsigned rip_sem_value(const rip_sem *s);

#ifdef __cplusplus
}
#endif

#endif
