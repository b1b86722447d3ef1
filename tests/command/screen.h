/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_COMMAND_SCREEN_H
#define RIP_TESTS_COMMAND_SCREEN_H

/* What the tests of terminals share. */

#include <ripstop/command.h>

/* All three, as a person has it. */
extern const struct rip_command_options terminal;

/* Reads until `text` comes, and forgets all up to its end. */
void expect(rip_command *c, const char *text);

void type(rip_command *c, const char *text);

/* All that comes until the end. Static memory. */
const char *rest(rip_command *c);

#endif
