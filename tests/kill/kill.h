/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_KILL_H
#define RIP_TESTS_KILL_KILL_H

/*
 * What a scenario of the kill sweep is made of: see README.md. It knows
 * nothing of ripstop's own objects, so it serves for any structure in memory
 * that processes share.
 *
 * Each function below is given the object. It runs in a process of its own,
 * or in one that has done such things before; a check that fails there is
 * what the sweep reports.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void kill_fn(void *object);

/* ---- where an object lies --------------------------------------------- */

struct kill_memory {
    void *object; /* zeroed */
    void *lo;     /* of all that is shared, and put back before each point: */
    size_t len;   /*   whole pages */
};

/* Makes the memory for an object of `size` bytes, before anybody is forked. */
typedef void kill_memory_fn(size_t size, struct kill_memory *ret);

/* ---- the others ------------------------------------------------------- */

enum kill_how {
    KILL_NOBODY,
    KILL_HOLDS,  /* enter() returns; leave() when the victim is dead, or
                    blocked, whichever comes first */
    KILL_SLEEPS, /* enter() blocks in the kernel, and only then things go on;
                    after the victim's death it must come back */
    KILL_BEHIND, /* the same, but it comes once the victim is blocked */
    KILL_AFTER,  /* the same, but it comes after the victim's `before` */
    KILL_KEEPS,  /* as HOLDS, but does not let go when the victim is blocked */
    KILL_FALLS,  /* as HOLDS, but instead of leave() it is killed */
    KILL_DIED,   /* enter() returns, and the process is killed and reaped */
    KILL_ZOMBIE, /* the same, but not reaped until the end */
};

struct kill_helper {
    enum kill_how how;
    kill_fn *enter, *leave;
};

enum { KILL_HELPERS = 4 };

/* Who is there before the victim begins, in this order. */
struct kill_state {
    const char *name;
    struct kill_helper helpers[KILL_HELPERS];
};

/* ---- what the victim does --------------------------------------------- */

enum { KILL_STATES = 8 };

struct kill_operation {
    const char *name;
    kill_fn *before; /* not swept: what has to be done before; or NULL */
    kill_fn *run;    /* each access to shared memory and each system call in
                        it is a point */
    kill_fn *after;  /* if it lives: what it must find; or NULL */
    const struct kill_state *states[KILL_STATES];
    const char *against;   /* names, with spaces between: with which operations
                              it is put into pairs; NULL: all without `alone` */
    uint32_t seeds;        /* it is swept with kill_seed() from 1 to so many */
    bool alone;            /* it is not the other one in pairs */
    bool may_leave;        /* nobody misses a thread that ends in it of its own
                              accord: they wait for it, and rightly so */
    bool is_broken;        /* a control: the sweep has to find it bad ... */
    const char *broken_in; /* ... in these modes (names, with spaces) */
};

struct kill_object {
    const char *name;
    size_t size;
    kill_memory_fn *memory; /* NULL: an anonymous shared mapping */
    kill_fn *make;          /* in a survivor, once; NULL: nothing */
    kill_fn *join;          /* in whoever lives on, once: what a process does
                               for itself at its first use; or NULL */
    void (*settle)(void *object, unsigned newcomers); /* in the director, once,
                               when all who live on have joined: so many more
                               will be there at once; or NULL */
    kill_fn *check;         /* two survivors at once do this after a death:
                                       at least three full laps */
    kill_fn *audit;         /* one of them, when all is quiet; or NULL */
    kill_fn *while_stopped; /* a survivor, while the victim is stopped: that
                               nobody robs it. NULL: not tried */
    kill_fn *sibling;       /* another thread of the victim's process, when the
                               victim was a thread, and beside the survivors'
                               check. NULL: not tried */
    bool of_process;        /* what a thread took stays taken until its process
                               has ended: there is no sibling then, and a
                               survivor does while_stopped before that */
    const struct kill_operation *operations; /* up to one without a name */
};

/* Every object that there is: scenes.c. */
extern const struct kill_object *const kill_objects[];

/* ---- in these functions ----------------------------------------------- */

#define KILL_CHECK(expr)                                                \
    do {                                                                \
        if (!(expr))                                                    \
            kill_fail("%s:%d: %s is false", __FILE__, __LINE__, #expr); \
    } while (0)

/* A check of two integers, which are shown. */
#define KILL_CHECK_INT(a, op, b)                                        \
    do {                                                                \
        long long kill_a = (long long)(a), kill_b = (long long)(b);     \
        if (!(kill_a op kill_b))                                        \
            kill_fail("%s:%d: %s %s %s is false: %lld, %lld", __FILE__, \
                      __LINE__, #a, #op, #b, kill_a, kill_b);           \
    } while (0)

_Noreturn void kill_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* Which of the processes this is: the victim is 0, in pairs the other one is
 * 1; then come the helpers and survivors. */
unsigned kill_who(void);

/* Whether the dead one's pid is still in use: it is a zombie, or another
 * process has it. */
bool kill_pid_is_taken(void);

/* In a victim: for what its operation makes of it. */
uint32_t kill_seed(void);

/* How many have been killed so far since the memory was put back. */
unsigned kill_deaths(void);

/* More memory whose accesses are points. A mapping that a victim makes with
 * MAP_SHARED is taken by itself. */
void kill_share(const void *lo, size_t len);

#endif
