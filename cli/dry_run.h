/* SPDX-License-Identifier: MIT */
#ifndef CLI_DRY_RUN_H
#define CLI_DRY_RUN_H

#include "input.h"
#include "template.h"

/* Prints the command of each job instead of running it: the exit status. */
int dry_run(struct input *in, const struct template *t);

#endif
