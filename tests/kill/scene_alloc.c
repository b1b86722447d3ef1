/* SPDX-License-Identifier: MIT */
/* The allocator of a segment. */
#include <string.h>

#include "library.h"
#include "scenes.h"

enum { BLOCKS = 16, SIZE = 4096, LOST = 2 }; /* of one death */

struct scene {
    uint64_t capacity; /* so many blocks were to be had at first */
};

/* These go back to the system when they are freed, without the heap's lock. */
enum { LARGE = 128 * 1024 };

/* A few small ones and a big one: taken, filled, given back. */
static void cycle(void *o)
{
    static const size_t size[] = { 24, 200, 5000 };
    (void)o;
    for (unsigned i = 0; i < 3; i++) {
        unsigned char *p = rip_shared_alloc(library_segment, size[i]);
        KILL_CHECK(p != NULL);
        KILL_CHECK_INT(p[0] | p[size[i] - 1], ==, 0);
        p[0] = p[size[i] - 1] = 1;
        rip_shared_free(library_segment, p);
    }
}

/* The same where there may be nothing left. */
static void squeeze(void *o)
{
    static const size_t size[] = { 24, 2048, 5000, LARGE };
    (void)o;
    for (unsigned i = 0; i < 4; i++) {
        unsigned char *p = rip_shared_alloc(library_segment, size[i]);
        if (p == NULL)
            continue;
        KILL_CHECK_INT(p[0] | p[size[i] / 2] | p[size[i] - 1], ==, 0);
        p[0] = p[size[i] / 2] = p[size[i] - 1] = 1;
        rip_shared_free(library_segment, p);
    }
}

static void take(void *o)
{
    (void)o;
    KILL_CHECK(rip_shared_alloc(library_segment, 200) != NULL);
}

/* Takes all that there is; what two have is found by what is in it. */
static unsigned char *taken[BLOCKS];
static unsigned n_taken;

static void take_all(size_t size)
{
    unsigned char *p;
    n_taken = 0;
    while (n_taken < BLOCKS &&
           (p = rip_shared_alloc(library_segment, size)) != NULL) {
        KILL_CHECK_INT(p[0] | p[size - 1], ==, 0);
        taken[n_taken++] = p;
        p[0] = p[size - 1] = (unsigned char)n_taken;
    }
}

static void give_all(void *o)
{
    (void)o;
    for (unsigned i = 0; i < n_taken; i++) {
        KILL_CHECK_INT(taken[i][0], ==, i + 1);
        rip_shared_free(library_segment, taken[i]);
    }
}

static unsigned fill(size_t size)
{
    take_all(size);
    give_all(NULL);
    return n_taken;
}

static void occupy(void *o)
{
    (void)o;
    take_all(SIZE);
}

static void occupy_large(void *o)
{
    (void)o;
    take_all(LARGE);
}

static void make(void *o)
{
    struct scene *s = o;
    s->capacity = fill(SIZE);
    KILL_CHECK_INT(s->capacity, >, LOST);
}

static void make_large(void *o)
{
    struct scene *s = o;
    s->capacity = fill(LARGE);
    KILL_CHECK_INT(s->capacity, >, 1);
}

static void check(void *o)
{
    for (unsigned lap = 0; lap < 3; lap++)
        cycle(o);
}

/* What the dead had taken is lost: it may be a part of something. */
static void audit(void *o)
{
    struct scene *s = o;
    for (unsigned lap = 0; lap < 3; lap++) {
        unsigned n = fill(SIZE);
        KILL_CHECK_INT(n, <=, s->capacity);
        KILL_CHECK_INT(n + LOST * kill_deaths(), >=, s->capacity);
    }
}

/* One that is made or taken down is whole again; one that the dead had, and
 * small ones that split what there was, cost a place each. */
static void audit_large(void *o)
{
    struct scene *s = o;
    unsigned n = fill(LARGE);
    KILL_CHECK_INT(n, <=, s->capacity);
    KILL_CHECK_INT(n + kill_deaths(), >=, s->capacity);
}

static void check_large(void *o)
{
    for (unsigned lap = 0; lap < 3; lap++)
        squeeze(o);
}

static const struct kill_state died = { "died", { { KILL_DIED, take, NULL } } },
                               full = { "full",
                                        { { KILL_HOLDS, occupy, give_all } } },
                               full_large = { "full",
                                              { { KILL_HOLDS, occupy_large,
                                                  give_all } } };

static const struct kill_operation operations[] = {
    { .name = "cycle",
      .before = library_join,
      .run = cycle,
      .states = { &library_fresh, &died } },
    { .name = "squeeze",
      .before = library_join,
      .run = squeeze,
      .against = "squeeze",
      .states = { &full } },
    { .name = NULL },
};

const struct kill_object scene_alloc = {
    .name = "alloc",
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

static const struct kill_operation large_operations[] = {
    { .name = "squeeze",
      .before = library_join,
      .run = squeeze,
      .states = { &library_fresh, &full_large } },
    { .name = NULL },
};

const struct kill_object scene_large = {
    .name = "large",
    .size = sizeof(struct scene),
    .memory = library_large_memory,
    .make = make_large,
    .join = library_join,
    .settle = library_settle,
    .check = check_large,
    .audit = audit_large,
    .sibling = check_large,
    .operations = large_operations,
};
