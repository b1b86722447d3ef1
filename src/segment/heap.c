/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "base/base.h"
#include "os/os.h"
#include "segment/layout.h"

/*
 * The heap of a segment: units of 4 KiB, alone or in runs.
 *
 * The truth is one word for each unit, and each change of state is one store:
 *
 *     FREE --claim--> CLAIMED by a member --made--> RUN or SMALL
 *      ^                  |     ^                       |
 *      +------------------+     +--- (a large run) -----+
 *      +------------------------------------------------+
 *
 * The word of a unit within a run is FREE, and nobody looks at it: it is the
 * first one's that counts. The map is a digest of these words in which there
 * is quickly searched; it, the hints and the count are made anew from the words
 * by who finds that the last one here has died, so they may be wrong at any
 * moment of such a death. What a dead member had claimed is free.
 *
 * Whatever is read from here may have been scribbled: it is checked against
 * the private geometry, and all loops end with the number of units.
 */

/* How many units are made usable at a time: their entries fill a page. */
#define STEP 64u

#define SPINS 100

static struct rip__heap *heap_of(const struct rip_segment *s)
{
    return &s->header->heap;
}

void rip__heap_damaged(const struct rip_segment *s)
{
    (void)__atomic_add_fetch(&s->header->roll.damaged, 1, __ATOMIC_RELAXED);
}

/* ---- one at a time ---------------------------------------------------- */

static void sleep_on(struct rip__me *me, uint64_t *lock, uint64_t seen)
{
    uint64_t owner = rip__who(seen);
    const struct rip__sleep s = {
        .object = lock,
        .word = rip__low(lock),
        .seen = (uint32_t)seen,
        .watch = &owner,
        .n_watch = 1,
    };
    (void)rip__sleep(me, &s, RIP_FOREVER);
}

/* 1: its last holder has died. The word: who holds it, and WAITERS,
 * which tells the release to wake one; who has slept cannot know whether others
 * still do, and so takes it with WAITERS. Where the word names the caller, and
 * it is here for the first time, a neighbour has written that: it counts for
 * no more than a dead one. */
static int acquire(struct rip__me *me, uint64_t *lock)
{
    uint64_t slept = 0;
    for (int spins = 0;; spins++) {
        uint64_t seen = rip__load_relaxed(lock), owner = rip__who(seen);
        if (owner == me->id && me->working > 1)
            return -EDEADLK;
        bool dead =
            owner != 0 && (owner == me->id || rip__is_dead(me->domain, owner));
        if (owner == 0 || dead) {
            if (rip__cas(lock, &seen, me->id | slept | (seen & RIP__WAITERS)))
                return dead;
        } else if (spins < SPINS) {
            rip__pause();
        } else if (seen & RIP__WAITERS ||
                   rip__cas(lock, &seen, seen | RIP__WAITERS)) {
            sleep_on(me, lock, seen | RIP__WAITERS);
            slept = RIP__WAITERS;
        }
    }
}

static void release(uint64_t *lock)
{
    if (rip__swap(lock, 0) & RIP__WAITERS)
        rip__wake(true, rip__low(lock), 1);
}

/* ---- growing ---------------------------------------------------------- */

/* Makes sure that the entries of all units below `top` are there. */
static bool back_entries(struct rip_segment *s, uint64_t top)
{
    const struct rip__layout *l = &s->layout;
    uint64_t from = s->backed, n = top - from;
    if (top <= from)
        return true;
    if (rip__segment_back(s, l->units_at + from * sizeof(struct rip__unit),
                          n * sizeof(struct rip__unit)) < 0 ||
        rip__segment_back(s, l->map_at + from, n) < 0)
        return false;
    rip__os_memory_dump(s->base + l->data_at, top * RIP__UNIT_SIZE);
    s->backed = top;
    return true;
}

static bool grow(struct rip__work *w, uint64_t top)
{
    top = (top + STEP - 1) / STEP * STEP;
    if (top > w->s->layout.n_units)
        top = w->s->layout.n_units;
    if (top <= w->top)
        return true;
    if (!back_entries(w->s, top))
        return false;
    w->top = top;
    rip__store(&heap_of(w->s)->top, top);
    return true;
}

/* ---- order ------------------------------------------------------------ */

static size_t count_bits(const struct rip__unit *u)
{
    size_t n = 0;
    for (size_t i = 0; i < RIP__LENGTH(u->bits); i++)
        n += (size_t)__builtin_popcountll(rip__load_relaxed(&u->bits[i]));
    return n;
}

static uint8_t digest_small(const struct rip__unit *u, unsigned class)
{
    return count_bits(u) < RIP__UNIT_SIZE / rip__class_size(class)
               ? (uint8_t) class
               : RIP__MAP_USED;
}

/* Looks at what begins at a unit: how many units that is. */
static uint64_t put_in_order(struct rip__work *w, uint64_t i)
{
    struct rip__unit *u = &w->units[i];
    uint64_t word = rip__load(&u->word), n = rip__unit_count(word);
    unsigned class = rip__unit_class(word);
    enum rip__unit_kind kind = rip__unit_kind(word);
    uint8_t digest = RIP__MAP_USED;
    bool keep = n > 0 && n <= w->top - i;
    if (kind == RIP__UNIT_SMALL && keep && n == 1 && class >= 1 &&
        class <= RIP__CLASSES) {
        digest = digest_small(u, class);
        keep = count_bits(u) > 0;
    } else if (kind == RIP__UNIT_CLAIMED && keep) {
        keep = !rip__is_gone(w->s->domain, rip__load(&u->owner));
        rip__store_relaxed(&heap_of(w->s)->stirred, 1); /* it may die yet */
    } else if (kind != RIP__UNIT_RUN || !keep) {
        keep = false;
        if (word != 0)
            rip__heap_damaged(w->s);
    }
    if (!keep) {
        rip__store(&u->word, 0);
        w->map[i] = RIP__MAP_FREE;
        return 1;
    }
    memset(w->map + i, digest, n);
    rip__plus(&heap_of(w->s)->used, n * RIP__UNIT_SIZE);
    return n;
}

static void put_all_in_order(struct rip__work *w)
{
    struct rip__heap *h = heap_of(w->s);
    for (size_t i = 0; i < RIP__LENGTH(h->hint); i++)
        rip__store_relaxed(&h->hint[i], 0);
    rip__store_relaxed(&h->used, 0);
    for (uint64_t i = 0; i < w->top;)
        i += put_in_order(w, i);
    rip__names_sift(w);
}

int rip__heap_enter(struct rip__work *ret, struct rip_segment *s)
{
    struct rip__me *me;
    int r = rip__join(s->header, &me);
    if (r < 0)
        return r;
    me->working++;
    r = acquire(me, &heap_of(s)->lock);
    if (r < 0) {
        me->working--;
        return r;
    }
    struct rip__work w = {
        .s = s,
        .me = me,
        .units = (void *)(s->base + s->layout.units_at),
        .map = s->base + s->layout.map_at,
        .top = rip__load(&heap_of(s)->top),
    };
    if (w.top > s->layout.n_units)
        w.top = s->layout.n_units;
    if (r > 0)
        rip__store(&heap_of(s)->disordered, 1);
    if (!back_entries(s, w.top)) {
        rip__heap_leave(&w);
        return -ENOMEM;
    }
    if (rip__load(&heap_of(s)->disordered)) {
        put_all_in_order(&w);
        rip__store(&heap_of(s)->disordered, 0);
    }
    *ret = w;
    return 0;
}

void rip__heap_leave(struct rip__work *w)
{
    release(&heap_of(w->s)->lock);
    w->me->working--;
}

/* ---- units ------------------------------------------------------------ */

static uint64_t hint(const struct rip__work *w)
{
    uint64_t at = rip__load_relaxed(&heap_of(w->s)->hint[0]);
    return at < w->top ? at : w->top;
}

/* The first free unit from `from` on; top: there is none. */
static uint64_t next_free(const struct rip__work *w, uint64_t from)
{
    const uint8_t *p = from < w->top
                           ? memchr(w->map + from, RIP__MAP_FREE, w->top - from)
                           : NULL;
    return p ? (uint64_t)(p - w->map) : w->top;
}

/* Where n in a row are free, or begin to be at the end; top: nowhere. */
static uint64_t find_run(const struct rip__work *w, uint64_t from, uint64_t n)
{
    uint64_t begin = from, end;
    while ((begin = next_free(w, begin)) < w->top) {
        for (end = begin; end < w->top && end - begin < n; end++)
            if (w->map[end] != RIP__MAP_FREE)
                break;
        if (end == w->top || end - begin == n)
            return begin;
        begin = end;
    }
    return w->top;
}

static int64_t try_claim(struct rip__work *w, uint64_t n)
{
    uint64_t first = next_free(w, hint(w)), i = find_run(w, first, n);
    struct rip__unit *u = &w->units[i];
    if (n > w->s->layout.n_units - i || !grow(w, i + n))
        return -1;
    rip__store_relaxed(&u->named, 0);
    rip__store(&u->owner, w->me->id);
    rip__store(&u->word, rip__unit_word(RIP__UNIT_CLAIMED, 0, n));
    memset(w->map + i, RIP__MAP_USED, n);
    rip__store_relaxed(&heap_of(w->s)->hint[0], i == first ? i + n : first);
    rip__plus(&heap_of(w->s)->used, n * RIP__UNIT_SIZE);
    rip__store_relaxed(&heap_of(w->s)->stirred, 1);
    return (int64_t)i;
}

int64_t rip__heap_claim(struct rip__work *w, uint64_t n)
{
    struct rip__heap *h = heap_of(w->s);
    int64_t i = try_claim(w, n);
    /* Something may be claimed by one who is dead, or be kept for small blocks
     * though all of them are free. */
    if (i < 0 && rip__load_relaxed(&h->stirred)) {
        rip__store_relaxed(&h->stirred, 0);
        put_all_in_order(w);
        i = try_claim(w, n);
    }
    return i;
}

void rip__heap_give(struct rip__work *w, uint64_t unit, uint64_t n)
{
    struct rip__heap *h = heap_of(w->s);
    rip__store(&w->units[unit].word, 0);
    memset(w->map + unit, RIP__MAP_FREE, n);
    if (unit < rip__load_relaxed(&h->hint[0]))
        rip__store_relaxed(&h->hint[0], unit);
    rip__plus(&h->used, (uint64_t)0 - n * RIP__UNIT_SIZE);
}
