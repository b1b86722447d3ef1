/* SPDX-License-Identifier: MIT */
/* Membership itself: to join, to leave, and to mend what the dead leave. */
#include "guard.h"
#include "library.h"
#include "scenes.h"

struct scene {
    rip_lock lock;
    struct guard guard;
};

static void acquire(void *o)
{
    struct scene *s = o;
    guard_in(&s->guard, rip_lock_acquire(&s->lock, LIBRARY_LATE));
}

static void cycle(void *o)
{
    struct scene *s = o;
    acquire(o);
    guard_out(&s->guard);
    rip_lock_release(&s->lock);
}

static void leave(void *o)
{
    (void)o;
    rip__leave_all();
}

static void rejoin(void *o)
{
    leave(o);
    library_join(o);
}

static void check(void *o)
{
    for (unsigned lap = 0; lap < 3; lap++) {
        cycle(o);
        library_sweep(o);
    }
}

static const struct kill_state died = { "died",
                                        { { KILL_DIED, acquire, NULL } } },
                               two = { "two",
                                       { { KILL_DIED, library_join, NULL },
                                         { KILL_ZOMBIE, acquire, NULL } } };

static const struct kill_operation operations[] = {
    { .name = "join", .run = cycle, .states = { &library_fresh, &two } },
    { .name = "sweep",
      .before = library_join,
      .run = library_sweep,
      .states = { &library_fresh, &died, &two } },
    { .name = "leave",
      .before = cycle,
      .run = leave,
      .after = library_none_lost,
      .alone = true,
      .against = "",
      .states = { &library_fresh, &died } },
    { .name = "part",
      .before = cycle,
      .run = leave,
      .alone = true,
      .states = { &library_fresh, &died } },
    { .name = "rejoin",
      .before = cycle,
      .run = rejoin,
      .alone = true,
      .against = "",
      .states = { &library_fresh } },
    { .name = NULL },
};

const struct kill_object scene_member = {
    .name = "member",
    .size = sizeof(struct scene),
    .memory = library_memory,
    .join = library_join,
    .settle = library_settle,
    .check = check,
    .audit = library_none_lost,
    .while_stopped = library_sweep,
    .sibling = check,
    .operations = operations,
};
