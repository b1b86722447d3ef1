/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_SEGMENT_SPOILT_H
#define RIP_TESTS_SEGMENT_SPOILT_H

/*
 * A small segment that is spoilt and made again as it was: with objects, a
 * living member that has taken one of each, a dead one that had, and the
 * caller.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "acts.h"

extern struct spoilt {
    rip_segment *segment;
    struct acts acts;
    uint64_t living, dead, own; /* identities */
    pid_t other;                /* the living one */
    size_t size;
    unsigned char *as_it_was;
} spoilt;

void spoilt_begin(void);
void spoilt_end(void);

/* From now on it is to be made as it is now. */
void spoilt_save(void);
void spoilt_restore(void);

/* What may stand in the word at that offset and be taken for something. */
enum { SPOILT_VALUES = 20 };
uint64_t spoilt_value(size_t at, unsigned i);

#endif
