/* SPDX-License-Identifier: MIT */
#include "guard.h"
#include "library.h"
#include "scenes.h"

struct scene {
    rip_lock lock;
    rip_cond cond;
    uint64_t items;
    struct guard guard;
};

static void nothing(void *o)
{
    (void)o;
}

static void put_with(struct scene *s, bool all)
{
    guard_in(&s->guard, rip_lock_acquire(&s->lock, LIBRARY_LATE));
    s->items++;
    if (all)
        rip_cond_notify_all(&s->cond);
    else
        rip_cond_notify(&s->cond, 1);
    guard_out(&s->guard);
    rip_lock_release(&s->lock);
}

static void put(void *o)
{
    put_with(o, false);
}

static void put_all(void *o)
{
    put_with(o, true);
}

static void put_two(void *o)
{
    put(o);
    put(o);
}

/* What a wait gives is what the acquire in it gives: another has had the lock
 * meanwhile, and may have died with it. */
static void take(void *o)
{
    struct scene *s = o;
    guard_in(&s->guard, rip_lock_acquire(&s->lock, LIBRARY_LATE));
    while (s->items == 0) {
        guard_out(&s->guard);
        guard_in(&s->guard, rip_cond_wait(&s->cond, &s->lock, LIBRARY_LATE));
    }
    s->items--;
    guard_out(&s->guard);
    rip_lock_release(&s->lock);
}

/* As many are put as are taken, so it ends. */
static void check(void *o)
{
    for (unsigned lap = 0; lap < 3; lap++) {
        put(o);
        take(o);
    }
}

static void timed(void *o)
{
    struct scene *s = o;
    int r = rip_lock_acquire(&s->lock, rip_after_ms(3));
    if (r == -ETIMEDOUT)
        return;
    guard_in(&s->guard, r);
    guard_out(&s->guard);
    rip_lock_release(&s->lock);
}

static const struct kill_state waits = { "waits",
                                         { { KILL_KEEPS, nothing, put_all },
                                           { KILL_SLEEPS, take, NULL } } },
                               crowd = { "crowd",
                                         { { KILL_KEEPS, nothing, put_two },
                                           { KILL_SLEEPS, take, NULL },
                                           { KILL_SLEEPS, take, NULL } } },
                               empty = { "empty",
                                         { { KILL_HOLDS, nothing, put },
                                           { KILL_KEEPS, nothing, put } } },
                               queue = { "queue",
                                         { { KILL_HOLDS, nothing, put_two },
                                           { KILL_BEHIND, take, NULL } } };

static const struct kill_operation operations[] = {
    { .name = "put",
      .before = library_join,
      .run = put,
      .states = { &library_fresh, &waits, &crowd } },
    { .name = "put-all",
      .before = library_join,
      .run = put_all,
      .states = { &waits, &crowd } },
    { .name = "take",
      .before = library_join,
      .run = take,
      .against = "put put-all",
      .alone = true,
      .states = { &empty, &queue } },
    { .name = NULL },
};

const struct kill_object scene_cond = {
    .name = "cond",
    .size = sizeof(struct scene),
    .memory = library_memory,
    .join = library_join,
    .settle = library_settle,
    .check = check,
    .while_stopped = timed,
    .sibling = check,
    .operations = operations,
};
