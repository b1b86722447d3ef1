/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_GROUP_H
#define RIPSTOP_GROUP_H

/*
 * <ripstop/group.h>: several tasks that begin and end together.
 *
 *     rip_group *g;
 *     struct rip_exit worst;
 *     int r = rip_group_new(&g, NULL);
 *     for (int i = 0; r == 0 && i < n; i++)
 *         r = rip_group_start(g, fetch, urls[i], NULL);
 *     if (r == 0)
 *         r = rip_group_wait(g, &worst, rip_after(30));
 *     if (r > 0)
 *         ...                         // so many have failed
 *     rip_group_free(g);              // whatever happened, none is left
 *
 * When one of them fails the others are asked to stop, and so they are when the
 * group is freed: no task of a group outlives its block of code.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ripstop/base.h>
#include <ripstop/exit.h>
#include <ripstop/task.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rip_group rip_group;

struct rip_group_options {
    bool keep_going; /* a failure does not stop the others */
    uint64_t reserved[4];
};

/* Makes a group without tasks: 0, -EINVAL, -ENOMEM. Thread-safe. */
RIP_API RIP_CHECK_RESULT int rip_group_new(rip_group **ret,
                                           const struct rip_group_options *opt);

/*
 * Starts a task in it, as rip_task_start does. Tasks of the group may start
 * others, if they are threads.
 *
 *     -ECANCELED  one has failed, or the group is being stopped: nothing was
 *                 started
 *
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_group_start(
    rip_group *g, rip_task_fn *fn, void *arg,
    const struct rip_task_options *opt);

/*
 * Waits until all have ended, and gives how many of them failed: did not end by
 * themselves with 0. At the first that fails the others are asked to stop, and
 * processes among them are terminated; such an end counts as no failure. `ret`
 * (or NULL) tells how the first one failed, or that all went well.
 *
 *     -ETIMEDOUT  some run still
 *     -ECANCELED  the caller is a task that is to stop
 *
 * Blocks until the deadline at the longest, and with a failure for the grace of
 * the processes and a second. Thread-safe.
 */
RIP_API int rip_group_wait(rip_group *g, struct rip_exit *ret,
                           rip_time deadline);

/* Asks all of its tasks to stop. Thread-safe. */
RIP_API void rip_group_stop(rip_group *g);

/*
 * Asks all to stop, terminates the processes, waits for the threads, however
 * long they take, and frees the group; NULL is fine. Returns NULL.
 */
RIP_API rip_group *rip_group_free(rip_group *g);

#ifdef __cplusplus
}
#endif

#endif
