/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "harness.h"
#include "segment/layout.h"
#include "spoilt.h"

/*
 * A segment is spoilt at one place between two operations, and then everything
 * is done in it: for each byte of its tables and objects, and for each word,
 * with each of some values. After each the segment is made as it was.
 *
 * One that failed is named by a note. RIPSTOP_FLIP=OFFSET:VALUE tries a word
 * alone, and RIPSTOP_FLIP=OFFSET^MASK a byte.
 */

/* ---- one attempt ------------------------------------------------------ */

/* The allocator knows no deadline, and waits for a living member that is said
 * to be in it, as for one who is stopped there. */
static bool is_endless(void)
{
    return rip__who(spoilt.segment->header->heap.lock) == spoilt.living;
}

static void play(void)
{
    if (!is_endless())
        acts_do_all(&spoilt.acts);
    spoilt_restore();
}

static void try_word(size_t at, uint64_t value)
{
    harness_note("RIPSTOP_FLIP=0x%zx:0x%llx", at, (unsigned long long)value);
    memcpy(spoilt.segment->base + at, &value, sizeof value);
    play();
}

static void try_byte(size_t at, unsigned mask)
{
    harness_note("RIPSTOP_FLIP=0x%zx^0x%x", at, mask);
    spoilt.segment->base[at] ^= (unsigned char)mask;
    play();
}

static bool try_asked(void)
{
    const char *text = getenv("RIPSTOP_FLIP");
    char *end_of_it = NULL;
    size_t at = text ? strtoull(text, &end_of_it, 0) : 0;
    if (!text)
        return false;
    if (*end_of_it == ':')
        try_word(at, strtoull(end_of_it + 1, NULL, 0));
    else
        try_byte(at, (unsigned)strtoul(end_of_it + 1, NULL, 0));
    return true;
}

/* ---- all of them ------------------------------------------------------ */

/* Where something stands that is not the user's own. */
struct part {
    size_t at, len;
};
enum { PARTS = 16 };

static size_t list_parts(struct part *ret)
{
    const struct rip__layout *l = &spoilt.segment->layout;
    size_t n = 0, page = l->page;
    ret[n++] = (struct part){ 0, (sizeof(struct rip__header) + 7) & ~7ul };
    for (uint32_t i = 1; i <= 4; i++) {
        ret[n++] = (struct part){ i * page, sizeof(struct rip__slot) };
        ret[n++] = (struct part){ (i + 1) * page - 32, 32 };
    }
    ret[n++] = (struct part){ l->names_at, 2 * sizeof(struct rip__name) };
    ret[n++] = (struct part){ l->units_at, 6 * sizeof(struct rip__unit) };
    ret[n++] = (struct part){ l->map_at, 8 };
    size_t objects =
        (size_t)((unsigned char *)spoilt.acts.objects - spoilt.segment->base);
    ret[n++] = (struct part){ objects, sizeof *spoilt.acts.objects };
    return n;
}

static const unsigned masks[] = { 0x01, 0x80, 0xff, 0x10 };

/* Each of them is tried, over as many runs as it takes: in one run each
 * `stride`th, from another one on in each part. */
static void try_all(size_t stride)
{
    struct part parts[PARTS];
    size_t n = list_parts(parts), at = 0;
    for (size_t i = 0; i < n; i++) {
        size_t bytes = parts[i].len * sizeof masks / sizeof *masks;
        size_t words = parts[i].len / 8 * SPOILT_VALUES;
        for (; at < bytes; at += stride)
            try_byte(parts[i].at + at % parts[i].len, masks[at / parts[i].len]);
        for (at -= bytes; at < words; at += stride) {
            size_t where = parts[i].at + at / SPOILT_VALUES * 8;
            try_word(where, spoilt_value(where, at % SPOILT_VALUES));
        }
        at -= words;
    }
}

TEST_WITH(a_word_that_is_spoilt_does_no_harm, .deadline = 240)
{
    spoilt_begin();
    if (!try_asked())
        try_all(harness_rounds(1) > 1 ? 1 : 13);
    spoilt_end();
}

/* Permits that are counted in the very record that says who has them never
 * come to rest. */
TEST(a_record_about_itself_is_none)
{
    spoilt_begin();
    const uint64_t incarnation = 0x1234;
    uint32_t i = rip__slot_of(spoilt.dead);
    struct rip__slot *slot = rip__slot(spoilt.segment->domain, i);
    struct rip__record *r = slot->records;
    for (unsigned phase = 0; phase < 4; phase++) {
        uint64_t at = (size_t)((unsigned char *)&r->state -
                               (unsigned char *)spoilt.segment->base);
        r[1].key = incarnation << 32 | RIP__COUNT_MAX;
        r->key = incarnation << 48 | at;
        r->state = (uint64_t)phase << 38 | (uint64_t)3 << 40;
        slot->claim |= RIP__LIVE; /* not swept yet */
        rip__sweep(spoilt.segment->domain);
        CHECK_INT(r->state >> 38, ==, 0);
        CHECK_INT(rip__phase(slot->claim), ==, RIP__FREE);
        acts_do_all(&spoilt.acts);
        spoilt_restore();
    }
    spoilt_end();
}
