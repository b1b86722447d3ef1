/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_WORLD_H
#define RIP_TESTS_KILL_WORLD_H

#include "kill.h"

/* The memory of an object, and how it is before each point. */

/* Makes the memory; it is then the object's alone to fill. Gives the object,
 * or ends the program. */
void *world_make(const struct kill_object *o);

/* It is to be like now before each point. */
void world_keep(void);

/* It is so again. */
void world_reset(void);

#endif
