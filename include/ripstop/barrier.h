/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_BARRIER_H
#define RIPSTOP_BARRIER_H

/*
 * <ripstop/barrier.h>: a point that all have to reach before any goes on.
 *
 * Between threads it lies anywhere:
 *
 *     static rip_barrier barrier; // rip_barrier_init(&barrier, 3), first
 *
 *     void compute_all(void) // by each of three threads
 *     {
 *         for (int step = 0; step < steps; step++) {
 *             compute(step);
 *             int r = rip_barrier_wait(&barrier, RIP_FOREVER);
 *             if (r < 0)
 *                 return; // -EPIPE: one of the others is dead
 *             if (r == 0)
 *                 report(step); // one of them does it
 *         }
 *     }
 *
 * Between processes it is the same barrier, in shared memory:
 *
 *     rip_barrier *b = rip_shared_alloc(NULL, sizeof *b);
 *     rip_barrier_init(b, 2);
 *     if (fork() == 0)
 *         _exit(first_half() < 0 || rip_barrier_wait(b, rip_after(5)) < 0);
 *     if (rip_barrier_wait(b, rip_after(5)) >= 0)
 *         second_half();
 *
 * Who waits at a barrier, or joins it, is one of its parties from then on. When
 * a party dies, by SIGKILL at whatever instruction, by exec, or as a thread
 * that ends, the barrier is broken, whether it was waiting or not, since the
 * others would wait for it for ever: they get -EPIPE, within milliseconds (see
 * "Deaths" in <ripstop/segment.h>; with more than 64 parties, or when two die
 * at the same time, within 0.2 seconds), and at every later wait, until
 * rip_barrier_reset. For those whose parties had all come it is too late to
 * break: they go on, though one dies before the others have woken up. Who is
 * stopped or slow is alive, and is waited for.
 *
 * A party is a thread. One that ends of its own accord while nobody waits
 * leaves the barrier and breaks nothing. The end of a process is the death of
 * its threads, whatever its exit status: one that has done its part, while
 * others go on, calls rip_barrier_leave. After fork(2) the child is no party.
 *
 * There is nothing to release when a barrier is no longer needed; but its
 * memory is freed, or used for something else, only when its parties have
 * ended, or called rip_barrier_leave.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ripstop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A barrier, made by rip_barrier_init. The fields are the library's own. Not to
 * be copied or moved while it is in use. */
typedef struct rip_barrier {
    RIP_ALIGNED(8) uint64_t word;
    uint64_t culprit;
    uint32_t parties, incarnation;
} rip_barrier;

/* Who broke a barrier or a latch by dying. */
struct rip_culprit {
    pid_t pid, tid;
    char name[32];
};

/*
 * Makes a barrier for so many parties. If that is 0: outside of segments the
 * program ends with a line on stderr, and in a segment rip_barrier_wait gives
 * -EBADMSG.
 *
 * Never blocks. One caller, before anyone else uses it.
 */
RIP_API void rip_barrier_init(rip_barrier *b, unsigned parties);

/*
 * Makes the caller a party at once, not only from its first wait on: should
 * it die on its way there, nobody waits for it in vain.
 *
 *     0        it is one, or was already
 *     -EPIPE   the barrier is broken
 *     -ENOMEM  as of rip_lock_acquire; or this thread reads, or is a party of,
 *              128 other objects of the segment
 *     -EXDEV   as of rip_lock_acquire
 *
 * Never blocks. Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_barrier_join(rip_barrier *b);

/*
 * The caller is a party no more: its death breaks nothing. The barrier still
 * waits for as many as it was made for.
 *
 * Never blocks. Thread-safe; not in signal handlers.
 */
RIP_API void rip_barrier_leave(rip_barrier *b);

/*
 * Waits until all parties have come.
 *
 *     0 and more  all have come, and this is the caller's place in their order,
 *                 0 for the first. Each is given once, so that any of them may
 *                 stand for the one who does something for all
 *     -EPIPE      the barrier is broken: a party died, or had no more time,
 *                 or somebody called rip_barrier_abort; or it was reset
 *     -ETIMEDOUT  not all came by the deadline. This breaks the barrier: the
 *                 others get -EPIPE
 *     -ECANCELED  not all came before the calling task was asked to stop; the
 *                 same comes of it
 *     -EBADMSG    what is in the barrier makes no sense
 *     -ENOMEM, -EXDEV
 *                 as of rip_barrier_join
 *
 * Blocks until the deadline at the longest.
 *
 * Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_barrier_wait(rip_barrier *b,
                                              rip_time deadline);

/*
 * Makes it whole again, for as many parties, of which there are none yet. Who
 * waits gets -EPIPE.
 *
 * Never blocks. Thread-safe.
 */
RIP_API void rip_barrier_reset(rip_barrier *b);

/*
 * Breaks it: who waits, and who comes, gets -EPIPE, until it is reset.
 *
 * Never blocks. Thread-safe, async-signal-safe.
 */
RIP_API void rip_barrier_abort(rip_barrier *b);

/*
 * Whether it is broken; and how many wait at it: 0, when it is.
 *
 * Never blocks. Thread-safe, async-signal-safe.
 */
RIP_API bool rip_barrier_is_broken(const rip_barrier *b);
RIP_API unsigned rip_barrier_waiting(const rip_barrier *b);

/*
 * Who broke it by dying. -ESRCH: nobody did, or it is too long ago: the place
 * of the dead is taken by another.
 *
 * Never blocks. Thread-safe.
 */
RIP_API int rip_barrier_culprit(const rip_barrier *b, struct rip_culprit *ret);

#ifdef __cplusplus
}
#endif

#endif
