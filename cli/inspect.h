/* SPDX-License-Identifier: MIT */
#ifndef CLI_INSPECT_H
#define CLI_INSPECT_H

/* `ripstop inspect`: what there is in a segment. */

#include <stddef.h>

#include <ripstop/segment.h>

/* Gives the exit status. */
int inspect_main(int argc, char **argv);

/* Each prints to stdout. */
void inspect_print(const struct rip_segment_report *r);
void inspect_print_json(const struct rip_segment_report *r);

#endif
