/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_PEERS_TRIAL_H
#define RIP_TESTS_KILL_PEERS_TRIAL_H

/* One kill: a process in the midst of an operation of libc's objects. */

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

/* What the processes share. */
struct box {
    pthread_mutex_t mutex;
    pthread_rwlock_t rwlock;
    pthread_cond_t cond;
    sem_t sem;
    pthread_barrier_t barrier;
    uint64_t a, b;           /* equal whenever nobody is inside */
    uint32_t items, waiting; /* for these, before `takers` are content */
    uint32_t takers, survivors;
    volatile uint32_t has_begun, has_ended; /* the victim's operation */
};

/* A check that fails, or a call that does: exits with TRIAL_WRONG. */
typedef void box_fn(struct box *b);

struct operation {
    const char *object, *name; /* the row of the sweep beside which it stands */
    const char *peer;          /* what libc calls it */
    box_fn *make;
    box_fn *before; /* of the victim, not stepped; or NULL */
    box_fn *run;
    box_fn *helper; /* one that sleeps in this meanwhile; or NULL */
    box_fn *check;  /* two survivors, three laps each */
    bool asleep;    /* the victim is killed when it sleeps in `run` */
};

enum verdict { TRIAL_FINE, TRIAL_HUNG, TRIAL_WRONG, TRIAL_BROKEN, VERDICTS };

/* Runs one in this process and its children, which is killed after so many
 * instructions of `run`. Two survivors and the helper have a second. */
enum verdict trial(const struct operation *op, unsigned instructions);

/* How many instructions `run` has. */
unsigned trial_length(const struct operation *op);

#endif
