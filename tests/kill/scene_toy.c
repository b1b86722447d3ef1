/* SPDX-License-Identifier: MIT */
#include "guard.h"
#include "scenes.h"
#include "toy.h"

#include <sys/mman.h>
#include <unistd.h>

struct guarded {
    struct toy lock;
    struct guard guard;
};

static void memory(size_t size, struct kill_memory *ret)
{
    (void)size;
    ret->len = 4096;
    if (ftruncate(toy_file(), 4096) != 0)
        kill_fail("ftruncate");
    ret->object = ret->lo =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, toy_file(), 0);
    if (ret->lo == MAP_FAILED)
        kill_fail("mmap");
}

/* ---- a critical section ----------------------------------------------- */

static void join(void *o)
{
    struct guarded *g = o;
    toy_join(&g->lock);
}

static void acquire(void *o)
{
    struct guarded *g = o;
    guard_in(&g->guard, toy_acquire(&g->lock, -1));
}

static void release(void *o)
{
    struct guarded *g = o;
    guard_out(&g->guard);
    toy_release(&g->lock);
}

static void cycle(void *o)
{
    acquire(o);
    release(o);
}

static void check(void *o)
{
    struct guarded *g = o;
    for (unsigned lap = 0; lap < 3; lap++)
        cycle(g);
}

static void audit(void *o)
{
    struct guarded *g = o;
    KILL_CHECK_INT(g->lock.word >> 1, ==, 0);
    KILL_CHECK_INT(g->lock.inside, ==, 0);
    KILL_CHECK_INT(g->guard.a, ==, g->guard.b);
}

/* Long enough that it sleeps, and looks again. */
static void try(void *o)
{
    struct guarded *g = o;
    int how = toy_acquire(&g->lock, 5);
    if (how >= 0) {
        guard_in(&g->guard, how);
        release(g);
    }
}

/* ---- states and operations -------------------------------------------- */

#define HOLDER                       \
    {                                \
        KILL_HOLDS, acquire, release \
    }

static const struct kill_state fresh = { .name = "fresh" };
static const struct kill_state held = { "held", { HOLDER } };
static const struct kill_state queue = {
    "queue",
    { HOLDER, { KILL_SLEEPS, cycle, NULL }, { KILL_BEHIND, cycle, NULL } }
};
static const struct kill_state crowd = {
    "crowd", { { KILL_AFTER, cycle, NULL }, { KILL_AFTER, cycle, NULL } }
};
static const struct kill_state falls = {
    "falls", { { KILL_FALLS, acquire, NULL }, { KILL_BEHIND, cycle, NULL } }
};
static const struct kill_state died = {
    "died", { { .how = KILL_DIED, .enter = acquire } }
};
static const struct kill_state zombie = {
    "zombie", { { .how = KILL_ZOMBIE, .enter = acquire } }
};

#define OPERATIONS(...)                                                       \
    static const struct kill_operation __VA_ARGS__[] = {                      \
        { .name = "cycle",                                                    \
          .before = join,                                                     \
          .run = cycle,                                                       \
          .states = { &fresh, &held, &queue, &falls, &died,                   \
                      &zombie } BROKEN },                                     \
        { .name = "release",                                                  \
          .before = acquire,                                                  \
          .run = release,                                                     \
          .alone = true,                                                      \
          .states = { &fresh, &crowd } BROKEN },                              \
        { .name = "join", .run = cycle, .states = { &fresh, &died } BROKEN }, \
        { .name = NULL },                                                     \
    }

#define BROKEN
OPERATIONS(operations);

#define OBJECT(id, text, make_, ops)    \
    const struct kill_object id = {     \
        .name = (text),                 \
        .size = sizeof(struct guarded), \
        .memory = memory,               \
        .make = (make_),                \
        .join = join,                   \
        .check = check,                 \
        .audit = audit,                 \
        .while_stopped = try,           \
        .operations = (ops),            \
    }
OBJECT(scene_toy, "toy", NULL, operations);

/* ---- the same, made wrong --------------------------------------------- */

#define CONTROL(id, text, fault_, ...)                \
    static void make_##id(void *o)                    \
    {                                                 \
        struct guarded *g = o;                        \
        g->lock.fault = (fault_);                     \
    }                                                 \
    static const struct kill_operation ops_##id[] = { \
        { .name = "cycle",                            \
          .before = join,                             \
          .run = cycle,                               \
          .is_broken = true,                          \
          __VA_ARGS__ },                              \
        { .name = NULL },                             \
    };                                                \
    OBJECT(scene_##id, text, make_##id, ops_##id)

CONTROL(toy_pid, "toy-pid", TOY_PID, .states = { &fresh },
        .broken_in = "zombie reused");
CONTROL(toy_lease, "toy-lease", TOY_LEASE, .states = { &fresh },
        .broken_in = "stopped");
CONTROL(toy_deaf, "toy-deaf", TOY_DEAF, .states = { &queue },
        .broken_in = "reaped zombie reused pair both");
CONTROL(toy_count, "toy-count", TOY_COUNT, .states = { &fresh },
        .broken_in = "reaped zombie pair both chain");
CONTROL(toy_split, "toy-split", TOY_SPLIT, .states = { &fresh },
        .broken_in = "other");
