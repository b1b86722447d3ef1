/* SPDX-License-Identifier: MIT */
/* Named segments: who makes one, joins it, or leaves it is killed, and others
 * open the name afterwards. All of them must have the same segment, as long as
 * somebody has one, and none is left when nobody has. */
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guard.h"
#include "library.h"
#include "scenes.h"

struct scene {
    uint64_t token; /* of the segment that a helper has; 0: nobody has one */
    uint32_t met;
};

/* What is in the segment. */
struct tally {
    rip_lock lock;
    struct guard guard;
    uint64_t token;
    uint32_t lap;
};

static const struct rip_segment_options small = { .size = 65536,
                                                  .members = 12 };
static char name[40];
static rip_segment *mine; /* of this process */

static void named_memory(size_t size, struct kill_memory *ret)
{
    (void)size;
    library_try_kernel();
    snprintf(name, sizeof name, "kill-%d", (int)getpid());
    ret->len = 4096;
    ret->lo = ret->object = mmap(NULL, ret->len, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ret->object == MAP_FAILED)
        kill_fail("no memory");
}

static struct tally *open_it(void)
{
    void *p;
    KILL_CHECK_INT(rip_segment_open(&mine, name, &small), ==, 0);
    KILL_CHECK_INT(rip_segment_get(&p, mine, "tally", sizeof(struct tally)), >=,
                   0);
    return p;
}

static void leave(void *o)
{
    (void)o;
    mine = rip_segment_close(mine);
}

static struct tally *enter(const struct scene *s)
{
    struct tally *t = open_it();
    if (s->token != 0)
        KILL_CHECK_INT(t->token, ==, s->token);
    guard_in(&t->guard, rip_lock_acquire(&t->lock, LIBRARY_LATE));
    guard_out(&t->guard);
    rip_lock_release(&t->lock);
    return t;
}

static void come(void *o)
{
    (void)enter(o);
}

static void visit(void *o)
{
    come(o);
    leave(o);
}

/* A helper has it until it is a helper once more: then nobody else is there,
 * and it finds nothing of the last time. */
static void keep(void *o)
{
    static uint64_t last;
    struct scene *s = o;
    leave(o);
    struct tally *t = open_it();
    KILL_CHECK_INT(t->token, ==, 0);
    t->token = s->token = ++last;
}

/* ---- the survivors ---------------------------------------------------- */

/* Both are here for the n-th time. */
static void meet(struct scene *s, uint32_t n)
{
    __atomic_add_fetch(&s->met, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&s->met, __ATOMIC_SEQ_CST) < 2 * n)
        sched_yield();
}

static void check(void *o)
{
    struct scene *s = o;
    for (uint32_t lap = 1; lap <= 3; lap++) {
        struct tally *t = enter(s);
        if (library_is_first())
            t->lap = lap;
        meet(s, 2 * lap - 1);
        KILL_CHECK_INT(t->lap, ==, lap);
        meet(s, 2 * lap);
        leave(o);
    }
}

static void audit(void *o)
{
    const struct scene *s = o;
    const struct rip_segment_options there = { .how = RIP_SEGMENT_JOIN };
    if (s->token != 0) {
        visit(o);
        return;
    }
    KILL_CHECK_INT(rip_segment_open(&mine, name, &there), ==, -ENOENT);
}

static const struct kill_state had = { "had", { { KILL_HOLDS, keep, NULL } } };

static const struct kill_operation operations[] = {
    { .name = "visit", .run = visit, .states = { &library_fresh, &had } },
    { .name = "leave",
      .before = come,
      .run = leave,
      .states = { &library_fresh, &had } },
    { .name = NULL },
};

const struct kill_object scene_named = {
    .name = "named",
    .size = sizeof(struct scene),
    .memory = named_memory,
    .check = check,
    .audit = audit,
    .operations = operations,
};
