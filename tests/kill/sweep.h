/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_SWEEP_H
#define RIP_TESTS_KILL_SWEEP_H

#include <stdatomic.h>

#include "play.h"

/* What became of a unit: in memory that its director shares with us. */
struct tally {
    struct unit unit;
    uint32_t points, bad;
    uint32_t instructions, states, missed; /* where that is stepped */
    uint32_t at, at2;                      /* the point that is played */
    uint32_t ends;                         /* how many points A has */
    bool over;                             /* all is done, or enough of it */
    unsigned not_reused;
    int64_t slowest;
};

struct plan {
    const char *object, *op, *state, *mode; /* patterns; NULL: all */
    uint32_t at, at2; /* with `one`: this point alone; 0: the calm one */
    uint32_t shallow, pair_shallow; /* one in so many points */
    uint32_t every;                 /* see struct unit */
    uint32_t max_bad;               /* of a unit: then no more */
    unsigned jobs;
    bool one;
    bool first;    /* no more after the first bad point */
    double longer; /* so many times as many seeds, and points of B */
    double deadline;
    bool controls; /* those which are to be bad, too */
};

/* All units of a plan, in shared memory: how many. */
unsigned sweep_list(const struct plan *p, struct tally **ret);

/* Plays them all. */
void sweep_run(const struct plan *p, struct tally *units, unsigned n);

#endif
