/* SPDX-License-Identifier: MIT */
#ifndef RIP_BENCH_SYNC_H
#define RIP_BENCH_SYNC_H

/* What the files of sync_bench share. */

#include "bench.h"

#include <stdbool.h>
#include <stddef.h>

/* ---- figures, by topic: one file each --------------------------------- */

extern const struct bench_topic alone_topic; /* nobody else is there */
extern const struct bench_topic crowd_topic; /* many want the same lock */
extern const struct bench_topic relay_topic; /* two, in turns */
extern const struct bench_topic death_topic; /* one is killed */

/* ---- sync_memory.c: objects ------------------------------------------- */

/* Zeroed memory that is shared with children: in a segment for ours, a plain
 * mapping for the baseline's. NULL, and bench_fail. */
void *ours_alloc(size_t size);
void *plain_alloc(size_t size);

/* glibc's, between processes. */
enum mutex_kind { PLAIN, ROBUST, ROBUST_RECURSIVE };
void make_mutex(void *at, enum mutex_kind kind);
void make_rwlock(void *at);
void make_cond(void *at);

/* ---- sync_memory.c: processes ----------------------------------------- */

/* From now on the caller runs on that CPU: of those that it may use, counted
 * from 0. False: it may use only one. */
bool stay_on_cpu(int which);

/* One more process, which does this and ends; or -1, and bench_fail. */
int fork_to(void (*body)(void *), void *arg);

/* Until it has ended: 0, or bench_fail when it was not well. */
int wait_for_end(int pid);

#endif
