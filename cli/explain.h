/* SPDX-License-Identifier: MIT */
#ifndef CLI_EXPLAIN_H
#define CLI_EXPLAIN_H

#include <stddef.h>

#include <ripstop/command.h>

/* Why a job could not be started, in words for who typed the command: beside
 * what the library says, what can be found out about the program. `code` is
 * what rip_command_start gave. */
void explain_start(char *const *argv, const struct rip_failure *failure,
                   int code, char *to, size_t cap);

#endif
