/* SPDX-License-Identifier: MIT */
#ifndef CLI_MEMORY_H
#define CLI_MEMORY_H

/* Allocation that succeeds. Where there is no memory the program ends: with
 * `memory_emergency` called first, one line on stderr, and status 1. */

#include <stddef.h>

extern void (*memory_emergency)(void);

void *must_alloc(size_t size); /* zeroed */
void *must_resize(void *p, size_t size);
char *must_copy(const char *text, size_t len); /* with a NUL added */

#endif
