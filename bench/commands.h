/* SPDX-License-Identifier: MIT */
#ifndef RIP_BENCH_COMMANDS_H
#define RIP_BENCH_COMMANDS_H

/* What the files of commands_bench share. */

#include "bench.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

/* ---- figures, by topic: one file each --------------------------------- */

extern const struct bench_topic spawn_topic;       /* start and wait */
extern const struct bench_topic capture_topic;     /* a short output, kept */
extern const struct bench_topic communicate_topic; /* a gigabyte, in and out */
extern const struct bench_topic pipeline_topic;    /* a | b | c */
extern const struct bench_topic lines_topic;       /* output, line by line */

/* ---- commands_parent.c: the process that starts programs --------------- */

struct parent {
    size_t mib;  /* of memory, touched */
    int fds;     /* open descriptors */
    int threads; /* all of them; 0: one */
    bool busy;   /* the others compute, elsewhere; else they sleep */
};

/* Makes this process such a one, on one CPU. 0, or bench_fail. */
int become_parent(const struct parent *p);

/* A child is put on the CPU of its parent or on another, as the scheduler
 * likes it at the time; to wake another can cost as much as the spawn, and
 * what is random would be measured. Whoever spawns sleeps until the child has
 * ended, so that a second CPU has no use. (A pump and its cat could use
 * one, but then how often they wake each other is what is measured.) */
void stay_on_one_cpu(void);

/* Not in more memory than this machine can spare: 0, or bench_fail. */
int check_memory(size_t mib);

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

/* ---- commands_python.c: what CPython takes for the same ---------------- */

/* A side: the arguments of peer_python.py, the last one NULL. */
int prepare_python(const void *args);
int64_t run_python(const void *args);

/* What its --version says; empty when there is none here. */
void python_version(char *buf, size_t cap);

#endif
