/* SPDX-License-Identifier: MIT */
/* Locks of every kind: the same scenes for each. */
#include "guard.h"
#include "library.h"
#include "scenes.h"

struct scene {
    union {
        rip_lock lock;
        rip_rlock rlock;
        rip_rwlock rwlock;
    } u;
    struct guard guard;
};

#define LOCK_SCENE(id, text, acquire_, release_)                             \
    static void id##_acquire(void *o)                                        \
    {                                                                        \
        struct scene *s = o;                                                 \
        guard_in(&s->guard, acquire_(&s->u.id, LIBRARY_LATE));               \
    }                                                                        \
    static void id##_release(void *o)                                        \
    {                                                                        \
        struct scene *s = o;                                                 \
        guard_out(&s->guard);                                                \
        release_(&s->u.id);                                                  \
    }                                                                        \
    static void id##_cycle(void *o)                                          \
    {                                                                        \
        id##_acquire(o);                                                     \
        id##_release(o);                                                     \
    }                                                                        \
    static void id##_twice(void *o)                                          \
    {                                                                        \
        id##_cycle(o);                                                       \
        id##_cycle(o);                                                       \
    }                                                                        \
    static void id##_until(void *o, rip_time deadline)                       \
    {                                                                        \
        struct scene *s = o;                                                 \
        int r = acquire_(&s->u.id, deadline);                                \
        if (r == -ETIMEDOUT)                                                 \
            return;                                                          \
        guard_in(&s->guard, r);                                              \
        id##_release(o);                                                     \
    }                                                                        \
    static void id##_try(void *o)                                            \
    {                                                                        \
        id##_until(o, RIP_NOW);                                              \
    }                                                                        \
    static void id##_timed(void *o)                                          \
    {                                                                        \
        id##_until(o, rip_after_ms(4));                                      \
    }                                                                        \
    static void id##_check(void *o)                                          \
    {                                                                        \
        for (unsigned lap = 0; lap < 3; lap++)                               \
            id##_cycle(o);                                                   \
    }                                                                        \
    static void id##_audit(void *o)                                          \
    {                                                                        \
        struct scene *s = o;                                                 \
        KILL_CHECK_INT(s->guard.a, ==, s->guard.b);                          \
        guard_in(&s->guard, acquire_(&s->u.id, RIP_NOW));                    \
        id##_release(o);                                                     \
    }                                                                        \
    static const struct kill_state                                           \
        id##_held = { "held",                                                \
                      { { KILL_HOLDS, id##_acquire, id##_release } } },      \
        id##_kept = { "kept",                                                \
                      { { KILL_KEEPS, id##_acquire, id##_release } } },      \
        id##_queue = { "queue",                                              \
                       { { KILL_HOLDS, id##_acquire, id##_release },         \
                         { KILL_SLEEPS, id##_cycle, NULL },                  \
                         { KILL_BEHIND, id##_cycle, NULL } } },              \
        id##_falls = { "falls",                                              \
                       { { KILL_FALLS, id##_acquire, NULL },                 \
                         { KILL_SLEEPS, id##_cycle, NULL },                  \
                         { KILL_BEHIND, id##_cycle, NULL } } },              \
        id##_died = { "died", { { KILL_DIED, id##_acquire, NULL } } },       \
        id##_zombie = { "zombie", { { KILL_ZOMBIE, id##_acquire, NULL } } }, \
        id##_waiter = { "waiter", { { KILL_AFTER, id##_cycle, NULL } } },    \
        id##_crowd = { "crowd",                                              \
                       { { KILL_AFTER, id##_cycle, NULL },                   \
                         { KILL_AFTER, id##_cycle, NULL },                   \
                         { KILL_AFTER, id##_cycle, NULL } } };               \
    static const struct kill_operation id##_operations[] = {                 \
        { .name = "cycle",                                                   \
          .before = library_join,                                            \
          .run = id##_cycle,                                                 \
          .states = { &library_fresh, &id##_held, &id##_queue, &id##_falls,  \
                      &id##_died, &id##_zombie } },                          \
        { .name = "twice",                                                   \
          .before = library_join,                                            \
          .run = id##_twice,                                                 \
          .states = { &library_fresh, &id##_died } },                        \
        { .name = "release",                                                 \
          .before = id##_acquire,                                            \
          .run = id##_release,                                               \
          .alone = true,                                                     \
          .states = { &library_fresh, &id##_waiter, &id##_crowd } },         \
        { .name = "try",                                                     \
          .before = library_join,                                            \
          .run = id##_try,                                                   \
          .states = { &library_fresh, &id##_held, &id##_died } },            \
        { .name = "timed",                                                   \
          .before = library_join,                                            \
          .run = id##_timed,                                                 \
          .alone = true,                                                     \
          .against = "",                                                     \
          .states = { &id##_kept } },                                        \
        { .name = NULL },                                                    \
    };                                                                       \
    const struct kill_object scene_##id = {                                  \
        .name = (text),                                                      \
        .size = sizeof(struct scene),                                        \
        .memory = library_memory,                                            \
        .join = library_join,                                                \
        .settle = library_settle,                                            \
        .check = id##_check,                                                 \
        .audit = id##_audit,                                                 \
        .while_stopped = id##_timed,                                         \
        .sibling = id##_check,                                               \
        .operations = id##_operations,                                       \
    }

LOCK_SCENE(lock, "lock", rip_lock_acquire, rip_lock_release);
LOCK_SCENE(rlock, "rlock", rip_rlock_acquire, rip_rlock_release);
LOCK_SCENE(rwlock, "rwlock", rip_rwlock_write, rip_rwlock_release);
