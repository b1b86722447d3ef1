/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_PLAY_H
#define RIP_TESTS_KILL_PLAY_H

#include <stdint.h>

#include "kill.h"

/* How a victim ends. */
enum kill_mode {
    MODE_REAPED,  /* killed, and its status taken */
    MODE_ZOMBIE,  /* killed, and left so until all is done */
    MODE_REUSED,  /* killed, reaped, and another process has its number */
    MODE_STOPPED, /* stopped: nobody may rob it; then it goes on */
    MODE_SLAIN,   /* waits, as the stopped one does, and is killed then */

    /* It is one thread of a process that goes on. */
    MODE_THREAD, /* killed by itself */
    MODE_LEADER, /* the same, and it is the first one of the process */
    MODE_EXITS,  /* ends by itself, as by pthread_exit(3) */

    /* Two of them: A, the victim, and B. */
    MODE_PAIR,  /* A waits at i, B at j, A is killed, B goes on */
    MODE_BOTH,  /* the same, and both are killed */
    MODE_OTHER, /* the same, B is killed, and A goes on */
    MODE_RACE,  /* the same, and nobody is killed: A goes on, and then B */
    MODE_CHAIN, /* A is killed at i; then B, who may find and mend that, at j */
    MODES
};
#define MODE_IS_PAIR(mode)   ((mode) >= MODE_PAIR)
#define MODE_IS_THREAD(mode) ((mode) >= MODE_THREAD && (mode) <= MODE_EXITS)

extern const char *const mode_name[MODES];

/* What is swept in one go. */
struct unit {
    const struct kill_object *object;
    const struct kill_operation *op, *other; /* other: in pairs */
    const struct kill_state *state;
    enum kill_mode mode;
    uint32_t shallow; /* one in so many points */
    uint32_t every;   /* with no more instructions than that, after each of
                         them; else only where something is changed by it */
    uint32_t seed;    /* of an operation that has seeds; from 1 */
};

enum verdict {
    PLAYED,
    LAST, /* played, and B cannot come further as long as A is at i */
    OVER, /* it had ended before it came to the point */
};

/* Once for a process: the object, the workers. */
void play_begin(const struct unit *u);

/* Plays one point: `at`, and of B `at2`. Does not return when that is bad:
 * says so, and exits with 1. */
enum verdict play(const struct unit *u, uint32_t at, uint32_t at2);

void play_end(void);

/* The longest that it took, from a death until all survivors had done their
 * checks: nanoseconds. */
extern int64_t play_slowest;

/* How often MODE_REUSED could not be had. */
extern unsigned play_not_reused;

#endif
