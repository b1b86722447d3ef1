/* SPDX-License-Identifier: MIT */
/* A lock with readers: the victim reads. */
#include "guard.h"
#include "library.h"
#include "scenes.h"

struct scene {
    rip_rwlock lock;
    struct guard guard;
};

static void write_in(void *o)
{
    struct scene *s = o;
    guard_in(&s->guard, rip_rwlock_write(&s->lock, LIBRARY_LATE));
}

static void write_out(void *o)
{
    struct scene *s = o;
    guard_out(&s->guard);
    rip_rwlock_release(&s->lock);
}

static void write_cycle(void *o)
{
    write_in(o);
    write_out(o);
}

/* A reader that is told of a dead writer may find anything. */
static void read_in(void *o)
{
    struct scene *s = o;
    int r = rip_rwlock_read(&s->lock, LIBRARY_LATE);
    KILL_CHECK_INT(r, >=, 0);
    if (r == 0) {
        KILL_CHECK_INT(s->guard.inside, ==, 0);
        KILL_CHECK_INT(s->guard.a, ==, s->guard.b);
    }
}

static void read_out(void *o)
{
    struct scene *s = o;
    rip_rwlock_release(&s->lock);
}

static void read_cycle(void *o)
{
    read_in(o);
    read_out(o);
}

static void try(void *o)
{
    struct scene *s = o;
    int r = rip_rwlock_write(&s->lock, rip_after_ms(4));
    if (r == -ETIMEDOUT)
        return;
    guard_in(&s->guard, r);
    write_out(o);
}

static void check(void *o)
{
    for (unsigned lap = 0; lap < 3; lap++) {
        write_cycle(o);
        read_cycle(o);
    }
}

static const struct kill_state
    written = { "written", { { KILL_HOLDS, write_in, write_out } } },
    read = { "read", { { KILL_HOLDS, read_in, read_out } } },
    queue = { "queue",
              { { KILL_HOLDS, write_in, write_out },
                { KILL_SLEEPS, write_cycle, NULL },
                { KILL_BEHIND, read_cycle, NULL } } },
    died = { "died", { { KILL_DIED, read_in, NULL } } },
    zombie = { "zombie", { { KILL_ZOMBIE, read_in, NULL } } },
    falls = { "falls", { { KILL_FALLS, read_in, NULL } } },
    waiter = { "waiter", { { KILL_AFTER, write_cycle, NULL } } };

static const struct kill_operation operations[] = {
    { .name = "read",
      .before = library_join,
      .run = read_cycle,
      .states = { &library_fresh, &written, &read, &queue } },
    { .name = "write",
      .before = library_join,
      .run = write_cycle,
      .states = { &library_fresh, &read, &died, &zombie, &falls } },
    { .name = "release",
      .before = read_in,
      .run = read_out,
      .alone = true,
      .states = { &library_fresh, &waiter } },
    { .name = NULL },
};

const struct kill_object scene_readers = {
    .name = "readers",
    .size = sizeof(struct scene),
    .memory = library_memory,
    .join = library_join,
    .settle = library_settle,
    .check = check,
    .while_stopped = try,
    .sibling = check,
    .operations = operations,
};
