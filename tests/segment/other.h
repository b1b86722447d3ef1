/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_SEGMENT_OTHER_H
#define RIP_TESTS_SEGMENT_OTHER_H

/* The other process of a test. */

#include <sys/types.h>

/* Does `fn`, and then waits to be killed. On return it has done so. */
pid_t other_start(void (*fn)(void));

/* Kills it, until it is reaped. */
void other_end(pid_t pid);

#endif
