/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_COMMAND_LATE_H
#define RIP_TESTS_COMMAND_LATE_H

/* However slow they are, commands are as far as a test needs them when their
 * deadline passes. */

#include <sys/types.h> /* pid_t */

/*
 * Until let_pass: the first signal to a process group is held back until there
 * are files "ready.1" to "ready.N", by which N commands say how far they are;
 * and the library looks for no news until `ended` commands have ended, which
 * have left their pids in "ended.1" and so on. The files are taken away.
 */
void hold_back(int ready, int ended);
void let_pass(void);

/* How often a SIGTERM was sent since, to a group and to one process. */
extern int group_terms, single_terms;

/* A command that ends with a code, as the n-th of `ended`. */
#define ENDED(n, code) SH("echo $$ >ended." n "; exit " code)

#endif
