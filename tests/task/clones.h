/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_CLONES_H
#define RIP_TESTS_CLONES_H

#include <ripstop/task.h>

/* Tasks that come from the template. */
extern const struct rip_task_options clone_options;
rip_task *start_clone(rip_task_fn *fn, void *arg);
struct rip_exit run_clone(rip_task_fn *fn, void *arg);

/* How many templates there are in the session of the test, and the last of
 * these; or 0. */
int templates(void);
pid_t template_pid(void);

/* Kills it, and waits until all know. */
void kill_template(void);

int descriptors_of(pid_t pid);

/* With zombies. */
int children_of(pid_t pid);

#endif
