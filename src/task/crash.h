/* SPDX-License-Identifier: MIT */
#ifndef RIP_TASK_CRASH_H
#define RIP_TASK_CRASH_H

/*
 * What a process task leaves of its crash, by handlers of its own on a stack of
 * its own: where it was, for the one who joins it to put names to.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ripstop/exit.h>

enum { RIP__FRAMES = 48 };

/* Written by the dying task; whoever reads it may find nonsense. */
struct rip__crash {
    uint32_t signal; /* 0: it did not crash; else the fields below are valid */
    int32_t code;    /* si_code: > 0, it is the kernel who sent it */
    uint32_t sender; /* else the process */
    uint32_t n_frames;
    uint64_t address;             /* that it stumbled on */
    uint64_t stack;               /* the stack pointer then */
    uint64_t frames[RIP__FRAMES]; /* the first is where it was, the others are
                                     where it would have returned to */
};

/* In the parent, before a task is forked: makes sure that all which the
 * handlers need is there. What is not to be had is done without. Thread-safe,
 * and next to nothing once it has been called. */
void rip__crash_prepare(void);

/* In the child, in the thread that is to run the task: from now on a crash is
 * written to *ret, which is zeroed, unless the program has a disposition of its
 * own for its signal. The overflow of a stack is noted in this thread alone,
 * and not in a process that the child forks. */
void rip__crash_watch(struct rip__crash *ret);

/* In the joiner: copies what a task that ended so has left, and makes sure that
 * n_frames is in range. False, and *ret is all 0: it left nothing. */
bool rip__crash_read(struct rip__crash *ret, const struct rip__crash *left,
                     const struct rip_exit *end);

/* Whether the address that it stumbled on is known. */
bool rip__crash_has_address(const struct rip__crash *c);

bool rip__crash_is_stack_overflow(const struct rip__crash *c);

#endif
