/* SPDX-License-Identifier: MIT */
#ifndef RIP_BENCH_PARENT_H
#define RIP_BENCH_PARENT_H

/* The process that starts programs and tasks. */

#include "bench.h"

#include <stdbool.h>

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

#endif
