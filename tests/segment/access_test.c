/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "harness.h"
#include "point.h"
#include "segment/layout.h"
#include "spoilt.h"

/*
 * A word is spoilt just before the library looks at it, in the middle of an
 * operation: so what was looked at before, and found good, is something else
 * now. For each act, each of its accesses to the segment, and each value.
 *
 * RIPSTOP_ACCESS=STATE:ACT:ACCESS:VALUE tries one alone.
 */

enum state { FREE, TAKEN, WRITTEN };

/* A living member that is said to hold a lock keeps one waiting who has given
 * no deadline, until this has passed. */
#define HEALED_NS 20000000

static struct {
    bool on;
    unsigned long seen;   /* accesses */
    unsigned long target; /* the one to spoil the word of */
    unsigned value;
    rip_time when; /* it was spoilt; 0: not yet */
} now;

/* ---- at an access ----------------------------------------------------- */

static void spoil(const volatile void *p)
{
    size_t at = (uintptr_t)p - (uintptr_t)spoilt.segment->base;
    at -= at % 8;
    uint64_t *word = (uint64_t *)(void *)(spoilt.segment->base + at);
    rip__store(word, spoilt_value(at, now.value));
    now.when = rip_time_now();
}

static void heal_in_time(void)
{
    if (rip_time_now() - now.when < HEALED_NS)
        return;
    acts_heal(&spoilt.acts);
    now.when = rip_time_now();
}

/* A word that is another at each look. A loop of swaps that is to end tries it
 * a million times, and looks at it a few times each. */
enum { VERY_OFTEN = 8 << 20 };

static struct {
    uint64_t *word; /* NULL: all is quiet */
    uint64_t values[2];
    unsigned long seen;
} restless;

static void stir(const volatile void *p)
{
    size_t at = (uintptr_t)p - (uintptr_t)restless.word;
    if (!restless.word || at >= sizeof *restless.word)
        return;
    rip__store(restless.word, restless.values[restless.seen++ % 2]);
    if (restless.seen > VERY_OFTEN)
        FAIL("there is no end of it");
}

/* Each thread but this one waits meanwhile. */
void kill_access(const volatile void *p)
{
    if (!now.on ||
        (uintptr_t)p - (uintptr_t)spoilt.segment->base >= spoilt.size)
        return;
    now.on = false;
    stir(p);
    if (now.seen++ == now.target)
        spoil(p);
    else if (now.when != 0)
        heal_in_time();
    now.on = true;
}

/* ---- one attempt ------------------------------------------------------ */

static void play(size_t act, unsigned long target, unsigned value)
{
    spoilt.acts.turn = (unsigned)act;
    now.seen = 0;
    now.target = target;
    now.value = value;
    now.when = 0;
    now.on = true;
    acts_do(&spoilt.acts, act);
    now.on = false;
}

/* What is left is used by everything. */
static void try_one(enum state state, size_t act, unsigned long access,
                    unsigned value, bool use)
{
    harness_note("RIPSTOP_ACCESS=%d:%zu:%lu:%u (%s)", (int)state, act, access,
                 value, acts_names[act]);
    play(act, access, value);
    acts_heal(&spoilt.acts);
    if (use)
        acts_do_all(&spoilt.acts);
    spoilt_restore();
}

static bool try_asked(enum state state)
{
    const char *text = getenv("RIPSTOP_ACCESS");
    char *at = (char *)(uintptr_t)text;
    unsigned long n[4] = { 0 };
    for (int i = 0; at && i < 4; i++)
        n[i] = strtoul(at + (i > 0), &at, 0);
    if (at && n[0] == (unsigned long)state)
        try_one(state, n[1], n[2], (unsigned)n[3], true);
    return at;
}

static void try_all(enum state state, unsigned stride)
{
    unsigned long n = 0;
    for (size_t act = 0; act < acts_count; act++) {
        play(act, ~0ul, 0);
        unsigned long accesses = now.seen;
        spoilt_restore();
        for (unsigned long i = 0; i < accesses * SPOILT_VALUES; i++)
            if (n++ % stride == 0)
                try_one(state, act, i / SPOILT_VALUES, i % SPOILT_VALUES,
                        n / stride % 8 == 0);
    }
}

static void try_state(enum state state)
{
    unsigned stride = harness_rounds(1) > 1 ? 1 : 7;
    spoilt_begin();
    if (state == TAKEN)
        acts_take_all(&spoilt.acts);
    if (state == WRITTEN)
        spoilt.acts.objects->rwlock.writer.word = spoilt.living;
    spoilt_save();
    if (!try_asked(state))
        try_all(state, stride);
    spoilt_end();
}

TEST_WITH(what_changes_between_two_looks_does_no_harm, .deadline = 240)
{
    try_state(FREE);
}

TEST_WITH(nor_where_one_has_taken_everything, .deadline = 240)
{
    try_state(TAKEN);
}

TEST_WITH(nor_where_there_is_a_writer, .deadline = 240)
{
    try_state(WRITTEN);
}

/* ---- a word that changes all the time --------------------------------- */

static void try_restless(size_t act, size_t at, unsigned i)
{
    const uint64_t values[][2] = {
        { spoilt.living, spoilt.living | 4 },
        { spoilt.living, spoilt.living | 3 },
        { 0, spoilt.living },
        { 3, 1 },
        { UINT64_C(1) << 32 | 3, UINT64_C(2) << 32 | 1 },
    };
    if (i == sizeof values / sizeof *values)
        return;
    harness_note("%s, word %zu, values %u", acts_names[act], at / 8, i);
    memcpy(restless.values, values[i], sizeof restless.values);
    restless.seen = 0;
    restless.word = (uint64_t *)(void *)spoilt.acts.objects + at / 8;
    play(act, ~0ul, 0);
    restless.word = NULL;
    spoilt_restore();
    try_restless(act, at, i + 1);
}

TEST_WITH(what_never_comes_to_rest_keeps_nobody, .deadline = 240)
{
    spoilt_begin();
    spoilt_save();
    for (size_t act = 0; act < acts_count; act++)
        for (size_t at = 0; at < sizeof(struct acts_objects); at += 8)
            try_restless(act, at, 0);
    spoilt_end();
}
