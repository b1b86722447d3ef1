/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_COMPLAIN_H
#define RIP_TESTS_KILL_COMPLAIN_H

#include <stdio.h>

#include "cast.h"
#include "play.h"

/* The words of a reproducer: "lock acquire held reaped 7", or for a pair
 * "lock cycle,cycle fresh both 7,3". */
void complain_name(char *buf, size_t cap, const struct unit *u, uint32_t at,
                   uint32_t at2);

/* Its operation: "acquire", "cycle,release" or, with a seed, "program.12". */
void complain_op(char *buf, size_t cap, const struct unit *u);

/* Says which point is bad, how it can be played alone, who has something to
 * say against it, and when that one hangs, where. */
void complain(const struct unit *u, uint32_t at, uint32_t at2, unsigned who,
              enum kill_seen seen);

/* Controls are to be bad: nothing is said then. */
extern bool complain_silently;

#endif
