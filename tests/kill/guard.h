/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_GUARD_H
#define RIP_TESTS_KILL_GUARD_H

/*
 * What a lock of any kind guards in a scene: a and b are equal, and nobody is
 * inside, whenever one enters, unless it is told that the last holder died.
 */

#include "kill.h"

struct guard {
    uint32_t inside, recovered;
    uint64_t a, b;
};

/* `how` is what acquire gave: 1 when the last holder died, else 0. */
static inline void guard_in(struct guard *g, int how)
{
    KILL_CHECK_INT(how, >=, 0);
    if (how == 1) {
        g->recovered++;
        KILL_CHECK_INT(g->recovered, <=, kill_deaths());
        g->a = g->b;
    } else {
        KILL_CHECK_INT(g->inside, ==, 0);
        KILL_CHECK_INT(g->a, ==, g->b);
    }
    g->inside = kill_who() + 1;
    g->a++;
}

static inline void guard_out(struct guard *g)
{
    KILL_CHECK_INT(g->inside, ==, kill_who() + 1);
    g->b++;
    g->inside = 0;
}

#endif
