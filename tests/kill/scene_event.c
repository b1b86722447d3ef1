/* SPDX-License-Identifier: MIT */
#include "library.h"
#include "scenes.h"

static void nothing(void *o)
{
    (void)o;
}

static void set(void *o)
{
    rip_event_set(o);
}

static void wait(void *o)
{
    KILL_CHECK_INT(rip_event_wait(o, LIBRARY_LATE), ==, 0);
}

static void flash(void *o)
{
    rip_event_set(o);
    rip_event_clear(o);
}

static void timed(void *o)
{
    int r = rip_event_wait(o, rip_after_ms(3));
    KILL_CHECK(r == 0 || r == -ETIMEDOUT);
}

/* Whoever clears it would take it from the other survivor: so that is done by
 * one alone, in the audit. */
static void check(void *o)
{
    for (unsigned lap = 0; lap < 3; lap++) {
        set(o);
        wait(o);
    }
}

static void audit(void *o)
{
    for (unsigned lap = 0; lap < 3; lap++) {
        rip_event_clear(o);
        KILL_CHECK(!rip_event_is_set(o));
        KILL_CHECK_INT(rip_event_wait(o, RIP_NOW), ==, -ETIMEDOUT);
        set(o);
        KILL_CHECK_INT(rip_event_wait(o, RIP_NOW), ==, 0);
    }
}

/* What the victim did not come to set is set in the end: by who keeps. */
static const struct kill_state crowd = { "crowd",
                                         { { KILL_KEEPS, nothing, set },
                                           { KILL_SLEEPS, wait, NULL },
                                           { KILL_SLEEPS, wait, NULL } } },
                               unset = { "unset",
                                         { { KILL_HOLDS, nothing, set },
                                           { KILL_BEHIND, wait, NULL } } },
                               flashes = { "flashes",
                                           { { KILL_HOLDS, nothing, flash },
                                             { KILL_BEHIND, wait, NULL },
                                             { KILL_BEHIND, wait, NULL },
                                             { KILL_KEEPS, nothing, set } } },
                               never = { "never",
                                         { { KILL_KEEPS, nothing, set } } };

static const struct kill_operation operations[] = {
    { .name = "set",
      .before = library_join,
      .run = set,
      .states = { &library_fresh, &crowd } },
    { .name = "flash",
      .before = library_join,
      .run = flash,
      .states = { &library_fresh, &crowd } },
    { .name = "wait",
      .before = library_join,
      .run = wait,
      .against = "set flash",
      .alone = true,
      .states = { &unset, &flashes } },
    { .name = "timed",
      .before = library_join,
      .run = timed,
      .against = "",
      .alone = true,
      .states = { &never } },
    { .name = NULL },
};

const struct kill_object scene_event = {
    .name = "event",
    .size = sizeof(rip_event),
    .memory = library_memory,
    .join = library_join,
    .settle = library_settle,
    .check = check,
    .audit = audit,
    .while_stopped = set,
    .sibling = check,
    .operations = operations,
};
