/* SPDX-License-Identifier: MIT */
/* Names of objects in a segment, and of members: found, made, given, changed
 * and forgotten. In the end no name stands for nothing, and none is left. */
#include <stdio.h>
#include <string.h>

#include "library.h"
#include "scenes.h"
#include "segment/layout.h"

enum { SMALL = 200, LARGE = 5000, LOST = 1 };

struct scene {
    uint64_t used; /* so many bytes were so at first */
};

static void *get(const char *name, size_t size)
{
    void *p;
    KILL_CHECK_INT(rip_segment_get(&p, library_segment, name, size), >=, 0);
    return p;
}

static void get_small(void *o)
{
    (void)o;
    memset(get("small", SMALL), 1, SMALL);
}

static void get_large(void *o)
{
    (void)o;
    memset(get("large", LARGE), 1, LARGE);
}

static void let_go(const char *name)
{
    rip_shared_free(library_segment, get(name, 1));
}

static void free_named(void *o)
{
    (void)o;
    let_go("small");
    let_go("large");
}

static void get_both(void *o)
{
    get_small(o);
    get_large(o);
}

/* ---- names for reports ------------------------------------------------ */

static void *block; /* of the process that names it */

static void take_block(void *o)
{
    (void)o;
    block = rip_shared_alloc(library_segment, SMALL);
    KILL_CHECK(block != NULL);
}

/* Several objects may have one name: here none has. */
static void name_it(const char *name)
{
    char own[16];
    snprintf(own, sizeof own, "%s %u", name, kill_who());
    KILL_CHECK_INT(rip_segment_name(library_segment, block, own), ==, 0);
}

static void rename_block(void *o)
{
    (void)o;
    name_it("first");
    name_it("second");
    KILL_CHECK_INT(rip_segment_name(library_segment, block, NULL), ==, 0);
}

static void name_me(void *o)
{
    (void)o;
    KILL_CHECK_INT(rip_segment_name_me(library_segment, "one"), ==, 0);
    KILL_CHECK_INT(rip_segment_name_me(library_segment, NULL), ==, 0);
}

/* ---- the survivors ---------------------------------------------------- */

static void check(void *o)
{
    for (unsigned lap = 0; lap < 3; lap++) {
        void *small = get("small", SMALL);
        get_both(o);
        KILL_CHECK(get("small", SMALL) == small);
        take_block(o);
        rename_block(o);
        rip_shared_free(library_segment, block);
        name_me(o);
    }
}

static unsigned names_in_use(void)
{
    const struct rip_segment *s = library_segment;
    const struct rip__name *e = (void *)(s->base + s->layout.names_at);
    unsigned n = 0;
    for (uint32_t i = 0; i < s->header->names_used; i++)
        n += e[i].key != 0;
    return n;
}

/* It is new when its name was forgotten with it. */
static void must_be_new(const char *name)
{
    void *p;
    KILL_CHECK_INT(rip_segment_get(&p, library_segment, name, SMALL), ==, 1);
    KILL_CHECK_INT(*(unsigned char *)p, ==, 0);
    rip_shared_free(library_segment, p);
}

static uint64_t used(void)
{
    struct rip_segment_stats stats;
    rip_segment_stats(library_segment, &stats);
    return stats.used;
}

/* A unit of a size stays though all in it is free. */
static void make(void *o)
{
    struct scene *s = o;
    check(o);
    free_named(o);
    s->used = used();
}

static void audit(void *o)
{
    const struct scene *s = o;
    static const char *const names[] = { "small",   "large",    "first 0",
                                         "first 1", "second 0", "second 1" };
    const unsigned n = sizeof names / sizeof *names;
    for (unsigned i = 0; i < n; i++)
        let_go(names[i]);
    for (unsigned i = 0; i < n; i++)
        must_be_new(names[i]);
    KILL_CHECK_INT(names_in_use(), ==, 0);
    KILL_CHECK_INT(used(), <=,
                   s->used + (uint64_t)8192 * (LOST + kill_deaths()));
}

static const struct kill_state there = { "there",
                                         { { KILL_HOLDS, get_both, NULL } } },
                               died = { "died",
                                        { { KILL_DIED, get_both, NULL } } };

static const struct kill_operation operations[] = {
    { .name = "get",
      .before = library_join,
      .run = get_both,
      .states = { &library_fresh, &there } },
    { .name = "free",
      .before = get_both,
      .run = free_named,
      .alone = true,
      .states = { &library_fresh } },
    { .name = "rename",
      .before = take_block,
      .run = rename_block,
      .states = { &library_fresh, &died } },
    { .name = "name-me",
      .before = library_join,
      .run = name_me,
      .states = { &library_fresh } },
    { .name = NULL },
};

const struct kill_object scene_names = {
    .name = "names",
    .size = sizeof(struct scene),
    .memory = library_memory,
    .make = make,
    .join = library_join,
    .settle = library_settle,
    .check = check,
    .audit = audit,
    .sibling = check,
    .operations = operations,
};
