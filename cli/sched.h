/* SPDX-License-Identifier: MIT */
#ifndef CLI_SCHED_H
#define CLI_SCHED_H

#include "args.h"
#include "input.h"
#include "template.h"

/* Runs the jobs: the exit status of the program. Where a signal ended the run
 * it does not return but ends by that signal. */
int sched_run(const struct run_options *o, struct input *in,
              const struct template *t);

#endif
