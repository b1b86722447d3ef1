/* SPDX-License-Identifier: MIT */
#include "library.h"
#include "scenes.h"

struct scene {
    rip_once_flag flag;
    uint64_t begun, a, b;
};

static int make(void *o)
{
    struct scene *s = o;
    s->begun++;
    s->a = s->begun;
    s->b = s->begun;
    return 0;
}

static void call(void *o)
{
    struct scene *s = o;
    KILL_CHECK_INT(rip_once(&s->flag, make, s, LIBRARY_LATE), >=, 0);
    KILL_CHECK_INT(s->a, ==, s->b);
    KILL_CHECK_INT(s->a, ==, s->begun);
}

/* Made once, and once more for each who died over it. */
static void check(void *o)
{
    struct scene *s = o;
    for (unsigned lap = 0; lap < 3; lap++) {
        call(o);
        KILL_CHECK_INT(s->begun, >=, 1);
        KILL_CHECK_INT(s->begun, <=, 1 + kill_deaths());
    }
}

static void timed(void *o)
{
    struct scene *s = o;
    int r = rip_once(&s->flag, make, s, rip_after_ms(3));
    KILL_CHECK(r >= 0 || r == -ETIMEDOUT);
}

static const struct kill_state done = { "done",
                                        { { KILL_HOLDS, call, NULL } } };

static const struct kill_operation operations[] = {
    { .name = "call",
      .before = library_join,
      .run = call,
      .states = { &library_fresh, &done } },
    { .name = NULL },
};

const struct kill_object scene_once = {
    .name = "once",
    .size = sizeof(struct scene),
    .memory = library_memory,
    .join = library_join,
    .settle = library_settle,
    .check = check,
    .while_stopped = timed,
    .sibling = check,
    .operations = operations,
};
