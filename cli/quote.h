/* SPDX-License-Identifier: MIT */
#ifndef CLI_QUOTE_H
#define CLI_QUOTE_H

#include <stdbool.h>
#include <stdio.h>

/*
 * Writes a command as a line that a shell reads as just this argv. With
 * `terminal` set control characters are written as $'\033', which bash, zsh
 * and ksh read, so that nothing in a name reaches the terminal itself;
 * without, in plain quotes, which every shell reads.
 */
void quote_command(FILE *to, char *const *argv, bool terminal);

#endif
