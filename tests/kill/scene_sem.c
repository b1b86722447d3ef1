/* SPDX-License-Identifier: MIT */
/* Semaphores: permits, which come back, and signals, which do not. */
#include "library.h"
#include "scenes.h"

enum { PERMITS = 2 };

struct scene {
    rip_sem sem;
    uint64_t inside; /* the victim says that it has a permit */
};

static void nothing(void *o)
{
    (void)o;
}

static void acquire(void *o)
{
    struct scene *s = o;
    KILL_CHECK_INT(rip_sem_acquire(&s->sem, LIBRARY_LATE), ==, 0);
}

static void release(void *o)
{
    struct scene *s = o;
    KILL_CHECK_INT(rip_sem_release(&s->sem, 1), ==, 0);
}

static void acquire_all(void *o)
{
    for (unsigned i = 0; i < PERMITS; i++)
        acquire(o);
}

static void release_all(void *o)
{
    struct scene *s = o;
    KILL_CHECK_INT(rip_sem_release(&s->sem, PERMITS), ==, 0);
}

static void cycle(void *o)
{
    acquire(o);
    release(o);
}

static void visible_cycle(void *o)
{
    struct scene *s = o;
    acquire(o);
    /* Each store is a point at which it may be killed, for which the compiler
     * has to leave both. */
    __atomic_store_n(&s->inside, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&s->inside, 0, __ATOMIC_SEQ_CST);
    release(o);
}

static void cycle_all(void *o)
{
    acquire_all(o);
    release_all(o);
}

static void check(void *o)
{
    for (unsigned lap = 0; lap < 3; lap++)
        cycle(o);
}

/* ---- permits ---------------------------------------------------------- */

static void make_permits(void *o)
{
    struct scene *s = o;
    rip_sem_init(&s->sem, PERMITS, PERMITS);
}

/* All are back, and no more than all. */
static void audit_permits(void *o)
{
    struct scene *s = o;
    for (unsigned lap = 0; lap < 3; lap++) {
        acquire_all(o);
        KILL_CHECK_INT(rip_sem_acquire(&s->sem, RIP_NOW), ==, -ETIMEDOUT);
        release_all(o);
        KILL_CHECK_INT(rip_sem_value(&s->sem), ==, PERMITS);
    }
    KILL_CHECK_INT(rip_sem_release(&s->sem, 1), ==, -EOVERFLOW);
}

static void no_robbing(void *o)
{
    struct scene *s = o;
    int got = 0;
    library_sweep(o);
    while (got <= PERMITS && rip_sem_acquire(&s->sem, RIP_NOW) == 0)
        got++;
    KILL_CHECK_INT(got, <=, PERMITS - (int)s->inside);
    while (got-- > 0)
        release(o);
}

static const struct kill_state
    all_held = { "held", { { KILL_HOLDS, acquire_all, release_all } } },
    all_queue = { "queue",
                  { { KILL_HOLDS, acquire_all, release_all },
                    { KILL_SLEEPS, cycle, NULL },
                    { KILL_BEHIND, cycle, NULL } } },
    all_fall = { "falls",
                 { { KILL_FALLS, acquire_all, NULL },
                   { KILL_BEHIND, cycle, NULL } } },
    all_died = { "died", { { KILL_DIED, acquire_all, NULL } } },
    two_died = { "two",
                 { { KILL_DIED, acquire, NULL },
                   { KILL_ZOMBIE, acquire, NULL } } },
    waiter = { "waiter",
               { { KILL_AFTER, cycle, NULL }, { KILL_AFTER, cycle, NULL } } };

static const struct kill_operation permits_operations[] = {
    { .name = "cycle",
      .before = library_join,
      .run = visible_cycle,
      .states = { &library_fresh, &all_held, &all_queue, &all_fall, &all_died,
                  &two_died } },
    { .name = "cycle-all",
      .before = library_join,
      .run = cycle_all,
      .alone = true,
      .against = "cycle sweep",
      .states = { &library_fresh, &all_died } },
    { .name = "release",
      .before = acquire_all,
      .run = release_all,
      .alone = true,
      .states = { &library_fresh, &waiter } },
    { .name = "sweep",
      .before = library_join,
      .run = library_sweep,
      .states = { &all_died, &two_died } },
    { .name = NULL },
};

const struct kill_object scene_permits = {
    .name = "permits",
    .size = sizeof(struct scene),
    .memory = library_memory,
    .make = make_permits,
    .join = library_join,
    .settle = library_settle,
    .check = check,
    .audit = audit_permits,
    .while_stopped = no_robbing,
    .sibling = library_join,
    .of_process = true,
    .operations = permits_operations,
};

/* ---- signals ---------------------------------------------------------- */

static void make_signals(void *o)
{
    struct scene *s = o;
    rip_sem_init(&s->sem, 0, 0);
}

static void check_signals(void *o)
{
    for (unsigned lap = 0; lap < 3; lap++) {
        release(o);
        acquire(o);
    }
}

static void give_and_try(void *o)
{
    struct scene *s = o;
    int r;
    release(o);
    r = rip_sem_acquire(&s->sem, rip_after_ms(3));
    KILL_CHECK(r == 0 || r == -ETIMEDOUT);
}

/* Each is one of those that were given: none is doubled. */
static void audit_signals(void *o)
{
    struct scene *s = o;
    KILL_CHECK_INT(rip_sem_value(&s->sem), <=, 6);
    while (rip_sem_acquire(&s->sem, RIP_NOW) == 0)
        ;
    KILL_CHECK_INT(rip_sem_value(&s->sem), ==, 0);
}

static const struct kill_state
    none = { "none", { { KILL_HOLDS, nothing, release_all } } },
    none_queue = { "queue",
                   { { KILL_HOLDS, nothing, release_all },
                     { KILL_BEHIND, acquire, NULL } } },
    asleep = { "asleep",
               { { KILL_KEEPS, nothing, release },
                 { KILL_SLEEPS, acquire, NULL } } };

static const struct kill_operation signals_operations[] = {
    { .name = "release",
      .before = library_join,
      .run = release,
      .states = { &library_fresh, &asleep } },
    { .name = "acquire",
      .before = library_join,
      .run = acquire,
      .alone = true,
      .against = "release",
      .states = { &none, &none_queue } },
    { .name = NULL },
};

const struct kill_object scene_signals = {
    .name = "signals",
    .size = sizeof(struct scene),
    .memory = library_memory,
    .make = make_signals,
    .join = library_join,
    .settle = library_settle,
    .check = check_signals,
    .audit = audit_signals,
    .while_stopped = give_and_try,
    .sibling = check_signals,
    .operations = signals_operations,
};
