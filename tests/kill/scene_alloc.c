/* SPDX-License-Identifier: MIT */
/* The allocator of a segment. */
#include <string.h>

#include "library.h"
#include "scenes.h"

enum { BLOCKS = 16, SIZE = 4096, LOST = 2 }; /* of one death */

struct scene {
    uint64_t capacity; /* so many blocks were to be had at first */
};

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

static void take(void *o)
{
    (void)o;
    KILL_CHECK(rip_shared_alloc(library_segment, 200) != NULL);
}

/* Takes all that there is; what two have is found by what is in it. */
static unsigned fill(void)
{
    unsigned char *p[BLOCKS];
    unsigned n = 0;
    while (n < BLOCKS &&
           (p[n] = rip_shared_alloc(library_segment, SIZE)) != NULL) {
        KILL_CHECK_INT(p[n][0] | p[n][SIZE - 1], ==, 0);
        p[n][0] = p[n][SIZE - 1] = (unsigned char)(n + 1);
        n++;
    }
    for (unsigned i = 0; i < n; i++) {
        KILL_CHECK_INT(p[i][0], ==, i + 1);
        rip_shared_free(library_segment, p[i]);
    }
    return n;
}

static void make(void *o)
{
    struct scene *s = o;
    s->capacity = fill();
    KILL_CHECK_INT(s->capacity, >, LOST);
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
        unsigned n = fill();
        KILL_CHECK_INT(n, <=, s->capacity);
        KILL_CHECK_INT(n + LOST * kill_deaths(), >=, s->capacity);
    }
}

static const struct kill_state died = { "died", { { KILL_DIED, take, NULL } } };

static const struct kill_operation operations[] = {
    { .name = "cycle",
      .before = library_join,
      .run = cycle,
      .states = { &library_fresh, &died } },
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
