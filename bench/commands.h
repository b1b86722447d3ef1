/* SPDX-License-Identifier: MIT */
#ifndef RIP_BENCH_COMMANDS_H
#define RIP_BENCH_COMMANDS_H

/* What the files of commands_bench share. */

#include "parent.h"
#include "python.h"

#include <limits.h>
#include <sys/types.h>

/* ---- figures, by topic: one file each --------------------------------- */

extern const struct bench_topic spawn_topic;       /* start and wait */
extern const struct bench_topic capture_topic;     /* a short output, kept */
extern const struct bench_topic communicate_topic; /* a gigabyte, in and out */
extern const struct bench_topic pipeline_topic;    /* a | b | c */
extern const struct bench_topic lines_topic;       /* output, line by line */

/* ---- commands_ways.c: ours, and what one would write without it -------- */

/* Starts the program and waits until it has ended. 0; 1 when it did not end
 * well; or a negative errno value when it could not be started. */
typedef int spawn_fn(char *program);

spawn_fn spawn_ours;
spawn_fn spawn_ours_pipes;
spawn_fn spawn_ours_options;
spawn_fn spawn_posix;
spawn_fn spawn_posix_pipes;
spawn_fn spawn_vfork;
spawn_fn spawn_fork;
spawn_fn spawn_reproc;

/* The least that starts a program whose streams are pipes: those for which
 * `ours` is not -1, which gets our end. The process, or a negative errno. */
pid_t start_bare(char *const argv[], int ours[3]);

/* 0; 1 when it did not end well; or a negative errno value. */
int wait_for(pid_t pid);

#endif
