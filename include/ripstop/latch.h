/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_LATCH_H
#define RIPSTOP_LATCH_H

/*
 * <ripstop/latch.h>: a count that goes down to 0 once, and who waits for it.
 *
 * Between threads it lies anywhere:
 *
 *     static rip_latch started; // rip_latch_init(&started, 8), first
 *
 *     void work(void) // by each of eight threads
 *     {
 *         if (rip_latch_join(&started) < 0)
 *             return;
 *         set_up();
 *         rip_latch_count_down(&started);
 *         ...
 *     }
 *
 *     int r = rip_latch_wait(&started, RIP_FOREVER);
 *
 * Between processes it is the same latch, in shared memory:
 *
 *     rip_latch *l = rip_shared_alloc(NULL, sizeof *l);
 *     rip_latch_init(l, 8);
 *     for (int i = 0; i < 8; i++)
 *         if (fork() == 0)
 *             _exit(work(l));
 *     if (rip_latch_wait(l, rip_after(5)) == -EPIPE)
 *         ... // one died before it was set up
 *
 * Who joins says that it is going to count down, and is a party until it has.
 * When a party dies, by SIGKILL at whatever instruction, by exec, or as a
 * thread that ends, the latch is broken: those who wait get -EPIPE, within
 * milliseconds (see "Deaths" in <ripstop/segment.h>), and so does who comes
 * later. Nobody misses one who has not joined: then wait with a deadline. A
 * latch that is open stays so.
 *
 * A party is a thread. After fork(2) the child is none.
 *
 * There is nothing to release when a latch is no longer needed: its memory is
 * simply freed when nobody uses it any more, also by one who has waited, right
 * after the last count.
 */

#include <stdint.h>

#include <ripstop/barrier.h>
#include <ripstop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A latch; open when zeroed. The fields are the library's own. Not to be copied
 * or moved while it is in use. */
typedef struct rip_latch {
    RIP_ALIGNED(8) uint64_t word;
    uint64_t culprit;
    uint32_t count, incarnation;
} rip_latch;

/*
 * Makes a latch that opens when it has been counted down `count` times; at
 * once, if that is 0.
 *
 * Never blocks. One caller, before anyone else uses it.
 */
RIP_API void rip_latch_init(rip_latch *l, unsigned count);

/*
 * Makes the calling thread a party until it counts down. Who is going to count
 * down several times joins as often.
 *
 *     0        it is one
 *     -EPIPE   the latch is broken
 *     -ENOMEM  as of rip_lock_acquire; or this thread reads, or is a party of,
 *              128 other objects of the segment
 *     -EXDEV   as of rip_lock_acquire
 *
 * Never blocks. Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_latch_join(rip_latch *l);

/*
 * Counts down by one. What the caller wrote before is seen by who waited.
 *
 * If it is at 0 already: outside of segments the program ends with a line on
 * stderr, and in a segment, where a neighbour may have spoilt the latch,
 * rip_latch_wait gives -EBADMSG from then on.
 *
 * Never blocks. Thread-safe; not in signal handlers.
 */
RIP_API void rip_latch_count_down(rip_latch *l);

/*
 * Waits until it is open.
 *
 *     0           it is open
 *     -EPIPE      a party died before it counted down
 *     -ETIMEDOUT  it was not open by the deadline
 *     -ECANCELED  it is not open, and the calling task is to stop
 *     -EBADMSG    it was counted down too often
 *     -ENOMEM, -EXDEV
 *                 as of rip_lock_acquire; only if it would have to wait
 *
 * Blocks until the deadline at the longest.
 *
 * Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_latch_wait(rip_latch *l, rip_time deadline);

/*
 * How many times it has still to be counted down.
 *
 * Never blocks. Thread-safe, async-signal-safe.
 */
RIP_API unsigned rip_latch_count(const rip_latch *l);

/*
 * Who broke it by dying. -ESRCH: nobody did, or it is too long ago: the place
 * of the dead is taken by another.
 *
 * Never blocks. Thread-safe.
 */
RIP_API int rip_latch_culprit(const rip_latch *l, struct rip_culprit *ret);

#ifdef __cplusplus
}
#endif

#endif
