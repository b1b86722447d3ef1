/* SPDX-License-Identifier: MIT */
/* Barrier and latch: a party that dies breaks them. */
#include <sched.h>

#include "library.h"
#include "scenes.h"

struct scene {
    union {
        rip_barrier barrier;
        rip_latch latch;
    } u;
    uint32_t mended;
    uint32_t resets; /* somebody does, in the midst of which it is broken */
};

static void nothing(void *o)
{
    (void)o;
}

static bool is_fine(int r)
{
    return r >= 0 || r == -EPIPE;
}

/* ---- barrier ---------------------------------------------------------- */

static void make_barrier(void *o)
{
    struct scene *s = o;
    rip_barrier_init(&s->u.barrier, 2);
}

static void join_barrier(void *o)
{
    struct scene *s = o;
    KILL_CHECK(is_fine(rip_barrier_join(&s->u.barrier)));
}

static void wait(void *o)
{
    struct scene *s = o;
    KILL_CHECK(is_fine(rip_barrier_wait(&s->u.barrier, LIBRARY_LATE)));
}

static void prepare_reset(void *o)
{
    struct scene *s = o;
    library_join(o);
    s->resets = 1;
}

static void reset(void *o)
{
    struct scene *s = o;
    rip_barrier_reset(&s->u.barrier);
}

/* One survivor finds all deaths, and then begins anew; else one could break
 * it later. */
static void mend(struct scene *s)
{
    if (library_is_first()) {
        for (unsigned i = 0; i < 3; i++)
            library_sweep(s);
        rip_barrier_reset(&s->u.barrier);
        __atomic_store_n(&s->mended, 1, __ATOMIC_SEQ_CST);
    }
    while (!__atomic_load_n(&s->mended, __ATOMIC_SEQ_CST))
        sched_yield();
}

static void check_barrier(void *o)
{
    struct scene *s = o;
    mend(s);
    for (unsigned lap = 0; lap < 3; lap++)
        KILL_CHECK_INT(rip_barrier_wait(&s->u.barrier, LIBRARY_LATE), >=, 0);
}

static void audit_barrier(void *o)
{
    struct scene *s = o;
    KILL_CHECK(!rip_barrier_is_broken(&s->u.barrier));
    KILL_CHECK_INT(rip_barrier_waiting(&s->u.barrier), ==, 0);
}

static void not_broken(void *o)
{
    struct scene *s = o;
    library_sweep(o);
    KILL_CHECK(s->resets || !rip_barrier_is_broken(&s->u.barrier));
}

static const struct kill_state
    partner = { "partner", { { KILL_AFTER, wait, NULL } } },
    first = { "first", { { KILL_HOLDS, join_barrier, wait } } },
    waits = { "waits",
              { { KILL_KEEPS, nothing, reset }, { KILL_SLEEPS, wait, NULL } } },
    broken = { "broken", { { KILL_DIED, join_barrier, NULL } } };

static const struct kill_operation barrier_operations[] = {
    { .name = "wait",
      .before = join_barrier,
      .run = wait,
      .alone = true,
      .against = "sweep",
      .states = { &partner } },
    { .name = "arrive",
      .before = join_barrier,
      .run = wait,
      .alone = true,
      .against = "sweep",
      .may_leave = true,
      .states = { &first } },
    { .name = "join",
      .before = library_join,
      .run = join_barrier,
      .states = { &library_fresh, &waits } },
    { .name = "reset",
      .before = prepare_reset,
      .run = reset,
      .states = { &library_fresh, &waits, &broken } },
    { .name = "sweep",
      .before = library_join,
      .run = library_sweep,
      .states = { &library_fresh } },
    { .name = NULL },
};

const struct kill_object scene_barrier = {
    .name = "barrier",
    .size = sizeof(struct scene),
    .memory = library_memory,
    .make = make_barrier,
    .join = library_join,
    .settle = library_settle,
    .check = check_barrier,
    .audit = audit_barrier,
    .while_stopped = not_broken,
    .sibling = library_join,
    .operations = barrier_operations,
};

/* ---- latch ------------------------------------------------------------ */

static void make_latch(void *o)
{
    struct scene *s = o;
    rip_latch_init(&s->u.latch, 1);
}

static void join_latch(void *o)
{
    struct scene *s = o;
    KILL_CHECK(is_fine(rip_latch_join(&s->u.latch)));
}

static void count_down(void *o)
{
    struct scene *s = o;
    rip_latch_count_down(&s->u.latch);
}

static void wait_latch(void *o)
{
    struct scene *s = o;
    KILL_CHECK(is_fine(rip_latch_wait(&s->u.latch, LIBRARY_LATE)));
}

/* Whoever was a party of what it was before is none of this one. */
static void anew(void *o)
{
    struct scene *s = o;
    make_latch(o);
    library_sweep(o);
    KILL_CHECK_INT(rip_latch_join(&s->u.latch), ==, 0);
    count_down(o);
    KILL_CHECK_INT(rip_latch_wait(&s->u.latch, RIP_NOW), ==, 0);
}

static void check_latch(void *o)
{
    struct scene *s = o;
    if (!library_is_first())
        return;
    for (unsigned lap = 0; lap < 3; lap++) {
        library_sweep(o);
        rip_latch_init(&s->u.latch, 1);
        KILL_CHECK_INT(rip_latch_join(&s->u.latch), ==, 0);
        KILL_CHECK_INT(rip_latch_wait(&s->u.latch, RIP_NOW), ==, -ETIMEDOUT);
        count_down(o);
        KILL_CHECK_INT(rip_latch_wait(&s->u.latch, RIP_NOW), ==, 0);
    }
}

static const struct kill_state
    waiters = { "waiters",
                { { KILL_AFTER, wait_latch, NULL },
                  { KILL_AFTER, wait_latch, NULL } } },
    counted = { "counted",
                { { KILL_HOLDS, join_latch, count_down },
                  { KILL_BEHIND, wait_latch, NULL } } },
    asleep = { "asleep",
               { { KILL_KEEPS, nothing, count_down },
                 { KILL_SLEEPS, wait_latch, NULL },
                 { KILL_SLEEPS, wait_latch, NULL } } },
    left = { "left",
             { { KILL_DIED, join_latch, NULL },
               { KILL_ZOMBIE, join_latch, NULL } } };

static const struct kill_operation latch_operations[] = {
    { .name = "count-down",
      .before = join_latch,
      .run = count_down,
      .alone = true,
      .against = "sweep",
      .states = { &library_fresh, &waiters } },
    { .name = "wait",
      .before = library_join,
      .run = wait_latch,
      .alone = true,
      .against = "sweep",
      .states = { &counted } },
    { .name = "come",
      .before = library_join,
      .run = join_latch,
      .alone = true,
      .against = "sweep anew",
      .states = { &library_fresh } },
    { .name = "come-late",
      .before = library_join,
      .run = join_latch,
      .alone = true,
      .against = "sweep",
      .states = { &asleep } },
    { .name = "anew",
      .before = library_join,
      .run = anew,
      .against = "sweep",
      .states = { &library_fresh, &left } },
    { .name = "sweep",
      .before = library_join,
      .run = library_sweep,
      .states = { &library_fresh } },
    { .name = NULL },
};

const struct kill_object scene_latch = {
    .name = "latch",
    .size = sizeof(struct scene),
    .memory = library_memory,
    .make = make_latch,
    .join = library_join,
    .settle = library_settle,
    .check = check_latch,
    .while_stopped = library_sweep,
    .sibling = library_sweep,
    .operations = latch_operations,
};
