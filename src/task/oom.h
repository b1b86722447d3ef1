/* SPDX-License-Identifier: MIT */
#ifndef RIP_TASK_OOM_H
#define RIP_TASK_OOM_H

/*
 * Whether a process was killed for want of memory. The kernel does not say so
 * of a process, only how many it has killed so in a control group. So for a
 * task that got a SIGKILL from who knows where, it is assumed, if one more was
 * killed so than there have been such tasks. `root` is as in base/cgroup.h.
 */

#include <stdbool.h>

/* Before a task is started: from now on kills count. Thread-safe, and next to
 * nothing once it has been called. */
void rip__oom_begin(const char *root);

/* Whether there is a kill to put down a death to; no other death is, then.
 * Thread-safe. */
bool rip__oom_explains(const char *root);

#endif
