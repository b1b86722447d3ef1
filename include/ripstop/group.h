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
 *     if (r == 0 || r == -ECANCELED)  // one has failed already
 *         r = rip_group_wait(g, &worst, rip_after(30));
 *     if (r > 0)
 *         ...                         // so many have failed
 *     rip_group_free(g);              // whatever happened, none is left
 *
 * When one of them fails the others are stopped, and so they are when the group
 * is freed: no task of a group outlives its block of code.
 *
 * To fail is not to end by oneself with 0. To be stopped is to be asked
 * (rip_task_stop); a process that goes on gets SIGTERM when half of its `grace`
 * has passed, and SIGKILL when all of it has. A thread cannot be made to end:
 * it has to heed the request. However one ends that was asked to, that is no
 * failure of its own.
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

/* Makes a group without tasks: 0, -EINVAL, -ENOMEM, -EMFILE, -ENFILE. It has
 * one descriptor. Thread-safe. */
RIP_API RIP_CHECK_RESULT int rip_group_new(rip_group **ret,
                                           const struct rip_group_options *opt);

/*
 * Starts a task in it, with the results of rip_task_start. Tasks of the group
 * may start others, if they are threads. There can be any number: what has
 * ended well is taken away.
 *
 *     -ECANCELED  one has failed, or the group is being stopped: nothing was
 *                 started
 *     -EINVAL     also for a task that is to be detached
 *     -ECHILD     the group is not of this process, but of the one that this
 *                 was forked from
 *
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_group_start(
    rip_group *g, rip_task_fn *fn, void *arg,
    const struct rip_task_options *opt);

/*
 * Waits until all have ended, and gives how many of them failed, ever; at the
 * first that does the others are stopped, unless `keep_going` is set. `ret` (or
 * NULL) tells how the first one failed, or that all went well. If it was well,
 * more can be started and waited for.
 *
 *     -ETIMEDOUT  some run still
 *     -ECANCELED  the caller is a task that is to stop
 *     -EDEADLK    the caller is a thread of the group
 *     -ECHILD     as rip_group_start
 *     -ENOMEM
 *
 * After an error the group is as it was, and can be waited for again. Processes
 * that do not heed a request to stop are dealt with only while somebody waits,
 * starts or frees. A process from the template, and one beyond the first few
 * hundred, is seen to have ended up to 20 ms late.
 *
 * Blocks until the deadline at the longest. Thread-safe.
 */
RIP_API int rip_group_wait(rip_group *g, struct rip_exit *ret,
                           rip_time deadline);

/* Stops all of its tasks, and does not wait for that: rip_group_wait does.
 * Thread-safe. */
RIP_API void rip_group_stop(rip_group *g);

/*
 * Stops all, waits for them, and frees the group; NULL is fine. Returns NULL.
 * In a child of fork(2) it does nothing.
 *
 * Blocks for the longest `grace` of a process, and as long as a thread
 * takes to heed the request. Not by a task of the group, which ends the
 * program; and as the last thing that is done with it.
 */
RIP_API rip_group *rip_group_free(rip_group *g);

#ifdef __cplusplus
}
#endif

#endif
