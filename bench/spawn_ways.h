/* SPDX-License-Identifier: MIT */
#ifndef RIP_BENCH_SPAWN_WAYS_H
#define RIP_BENCH_SPAWN_WAYS_H

#include <limits.h>

/* The program that is started. */
extern char spawn_program[PATH_MAX];

/* Each starts the program and waits until it has ended. 0; 1 when it did not
 * end well; or a negative errno value when it could not be started. */
int spawn_ours(void);
int spawn_ours_pipes(void);
int spawn_posix(void);
int spawn_posix_pipes(void);
int spawn_vfork(void);
int spawn_fork(void);
int spawn_libuv(void);

/* NULL, or why there is no spawn_libuv. */
const char *spawn_libuv_missing(void);

#endif
