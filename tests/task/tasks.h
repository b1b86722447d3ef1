/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_TASKS_H
#define RIP_TESTS_TASKS_H

#include <ripstop/task.h>

rip_task *start(enum rip_kind kind, rip_task_fn *fn, void *arg);

/* Joins, frees, and tells how it ended. */
struct rip_exit end_of(rip_task *t);

/* The same from the start. */
struct rip_exit run(enum rip_kind kind, rip_task_fn *fn, void *arg);

/* Until this process has no other thread. */
void until_alone(void);

#endif
