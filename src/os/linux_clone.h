/* SPDX-License-Identifier: MIT */
#ifndef RIP_OS_LINUX_CLONE_H
#define RIP_OS_LINUX_CLONE_H

#include <linux/sched.h> /* struct clone_args, CLONE_* */
#include <stdbool.h>
#include <stddef.h>

/* What a child runs, on a stack of its own. It never returns. */
typedef int rip__child_fn(void *arg);

/* What the seam's system call does for clone3 and for clone; the arguments
 * are the kernel's own, with the child's function after them. */
long rip__clone3(struct clone_args *args, size_t size, rip__child_fn *fn,
                 void *arg);
long rip__clone(unsigned long flags, void *stack_top, int *pidfd,
                rip__child_fn *fn, void *arg);

/* A child that had our memory has ended on this stack, without returning from
 * the frames on it: the address sanitizer is to forget them. */
void rip__forget_stack(void *stack, size_t size);

#endif
