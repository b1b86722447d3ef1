/* SPDX-License-Identifier: MIT */
#ifndef RIP_TASK_CRASH_H
#define RIP_TASK_CRASH_H

/*
 * What a process task leaves of its crash, by handlers of its own on a stack of
 * its own: where it was, for the one who joins it to put names to.
 */

#include <stddef.h>
#include <stdint.h>

enum { RIP__FRAMES = 48 };

/* Written by the dying task; whoever reads it may find nonsense. */
struct rip__crash {
    uint32_t signal; /* 0: it did not crash; else the fields below are valid */
    uint32_t n_frames;
    uint64_t address; /* that it stumbled on */
    uint64_t stack;   /* the stack pointer then */
    uint64_t frames[RIP__FRAMES];
};

/* In the parent, before a task is forked: makes sure that all which the
 * handlers need is there. What is not to be had is done without. */
void rip__crash_prepare(void);

/* In the child: from now on a crash is written to *ret, unless the program has
 * a disposition of its own for its signal. */
void rip__crash_watch(struct rip__crash *ret);

#endif
