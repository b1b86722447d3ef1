/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_EVENT_H
#define RIPSTOP_EVENT_H

/*
 * <ripstop/event.h>: something that has happened, or not yet.
 *
 * Between threads it lies anywhere, and needs no preparation:
 *
 *     static rip_event ready;
 *
 *     rip_event_set(&ready); // one thread
 *
 *     int r = rip_event_wait(&ready, rip_after(5)); // any number of others
 *     if (r == -ETIMEDOUT)
 *         ...
 *
 * Between processes it is the same event, in shared memory:
 *
 *     struct shared { rip_event ready; struct config config; };
 *     struct shared *s = rip_shared_alloc(NULL, sizeof *s);
 *     if (fork() == 0)
 *         _exit(rip_event_wait(&s->ready, rip_after(5)) < 0 ||
 *               work(&s->config));
 *     load(&s->config);
 *     rip_event_set(&s->ready);
 *
 * An event has no owner, so the death of one who waits or sets it leaves
 * nothing in it to mend: a wake that a killed process did not live to send
 * comes to those who wait within 0.2 seconds. But nobody knows who was to set
 * it, and whether they live: wait with a deadline where that matters.
 *
 * There is nothing to release when an event is no longer needed: its memory is
 * simply freed when nobody uses it any more.
 */

#include <stdbool.h>
#include <stdint.h>

#include <ripstop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An event; clear when zeroed. The field is the library's own. Not to be copied
 * or moved while it is in use. */
typedef struct rip_event {
    RIP_ALIGNED(8) uint64_t word;
} rip_event;

/*
 * Waits until the event is set. What was written before rip_event_set is seen
 * after it.
 *
 *     0           it is set, or was, while this waited
 *     -ETIMEDOUT  it was not set by the deadline
 *     -ECANCELED  it is not set, and the calling task is to stop
 *     -ENOMEM, -EXDEV
 *                 as of rip_lock_acquire; only if it would have to wait
 *
 * Blocks until the deadline at the longest.
 *
 * Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_event_wait(rip_event *e, rip_time deadline);

/*
 * Sets the event, and wakes everyone who waits for it. Whoever waited when it
 * was called gets away, though a clear follows at once. One atomic operation,
 * and a system call only if somebody sleeps.
 *
 * Never blocks. Thread-safe, async-signal-safe.
 */
RIP_API void rip_event_set(rip_event *e);

/*
 * Makes it clear again: who waits from now on waits for the next set.
 *
 * Never blocks. Thread-safe, async-signal-safe.
 */
RIP_API void rip_event_clear(rip_event *e);

/*
 * Whether it is set at the moment.
 *
 * Never blocks. Thread-safe, async-signal-safe.
 */
RIP_API bool rip_event_is_set(const rip_event *e);

#ifdef __cplusplus
}
#endif

#endif
