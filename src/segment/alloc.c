/* SPDX-License-Identifier: MIT */
#include <ripstop/segment.h>

#include <errno.h>

#include "base/base.h"
#include "os/os.h"
#include "segment/layout.h"

/*
 * Blocks in a segment: small ones, of which a unit has many, and runs of
 * units. A small one is in use when its bit in the unit's entry is set, so it
 * is taken, and given back, by one store.
 *
 * A run is made in three steps, so that nobody waits while it is cleared:
 * claimed with the heap's lock, cleared without it, and then marked as made by
 * one store. A large one is taken down in the same way.
 */

#define SMALL_MAX ((size_t)2048)
/* What is at least so large goes back to the system when it is freed. */
#define LARGE ((size_t)128 * 1024)

/* From 64 on multiples of it, so that blocks are aligned to cache lines. */
static const uint16_t sizes[RIP__CLASSES] = { 16,  32,   48,   64,  128,
                                              192, 256,  384,  512, 640,
                                              768, 1024, 1344, 2048 };

size_t rip__class_size(unsigned class)
{
    return sizes[class - 1];
}

static unsigned class_for(size_t size)
{
    unsigned class = 1;
    while (rip__class_size(class) < size)
        class ++;
    return class;
}

static uint64_t units_for(size_t size)
{
    return (size - 1) / RIP__UNIT_SIZE + 1;
}

/* ---- small blocks ----------------------------------------------------- */

static uint64_t *bits_of(const struct rip__unit *u, size_t index, uint64_t *bit)
{
    *bit = (uint64_t)1 << index % 64;
    return (uint64_t *)(uintptr_t)&u->bits[index / 64];
}

/* The first free block of a unit; as many as there are: none. */
static size_t free_index(const struct rip__unit *u, unsigned class)
{
    size_t n = RIP__UNIT_SIZE / rip__class_size(class);
    for (size_t i = 0; i < n; i += 64) {
        uint64_t left = ~rip__load_relaxed(&u->bits[i / 64]);
        if (left != 0) {
            size_t index = i + (size_t)__builtin_ctzll(left);
            return index < n ? index : n;
        }
    }
    return n;
}

static uint64_t *hint_of(const struct rip__work *w, unsigned class)
{
    return &w->s->header->heap.hint[class];
}

/* A unit that has a block of this class to give; top: there is none. */
static uint64_t find_room(struct rip__work *w, unsigned class)
{
    uint64_t from = rip__load_relaxed(hint_of(w, class));
    const uint64_t wanted = rip__unit_word(RIP__UNIT_SMALL, class, 1);
    while (from < w->top) {
        const uint8_t *p = memchr(w->map + from, (int)class, w->top - from);
        if (!p)
            break;
        from = (uint64_t)(p - w->map);
        if (rip__load(&w->units[from].word) == wanted &&
            free_index(&w->units[from], class) <
                RIP__UNIT_SIZE / rip__class_size(class))
            return from;
        w->map[from++] = RIP__MAP_USED; /* the map was wrong */
    }
    return w->top;
}

/* A unit that is all of this class; top: there is no memory. */
static uint64_t new_room(struct rip__work *w, unsigned class)
{
    int64_t i = rip__heap_claim(w, 1);
    if (i < 0)
        return w->top;
    struct rip__unit *u = &w->units[i];
    size_t at = w->s->layout.data_at + (size_t)i * RIP__UNIT_SIZE;
    if (rip__segment_back(w->s, at, RIP__UNIT_SIZE) < 0) {
        rip__heap_give(w, (uint64_t)i, 1);
        return w->top;
    }
    for (size_t k = 0; k < RIP__LENGTH(u->bits); k++)
        rip__store_relaxed(&u->bits[k], 0);
    rip__store(&u->word, rip__unit_word(RIP__UNIT_SMALL, class, 1));
    w->map[i] = (uint8_t) class;
    return (uint64_t)i;
}

static void *new_small(struct rip__work *w, unsigned class,
                       bool (*publish)(struct rip__work *w, void *block,
                                       void *arg),
                       void *arg)
{
    const size_t size = rip__class_size(class), n = RIP__UNIT_SIZE / size;
    uint64_t i = find_room(w, class), bit;
    if (i == w->top)
        i = new_room(w, class);
    if (i == w->top)
        return NULL;
    struct rip__unit *u = &w->units[i];
    size_t index = free_index(u, class);
    if (index >= n) /* changed since, by one who is not here */
        return NULL;
    void *block = memset(rip__unit_at(w->s, i) + index * size, 0, size);
    if (publish && !publish(w, block, arg))
        return NULL;
    uint64_t *bits = bits_of(u, index, &bit);
    rip__store(bits, rip__load_relaxed(bits) | bit);
    if (free_index(u, class) >= n)
        w->map[i] = RIP__MAP_USED;
    rip__store_relaxed(hint_of(w, class), i);
    return block;
}

/* Whether a unit is not the only one that has such a block to give. */
static bool has_another(const struct rip__work *w, unsigned class,
                        uint64_t unit)
{
    uint64_t from = rip__load_relaxed(hint_of(w, class));
    if (from < unit && memchr(w->map + from, (int)class, unit - from))
        return true;
    return memchr(w->map + unit + 1, (int)class, w->top - unit - 1);
}

static bool is_empty(const struct rip__unit *u)
{
    uint64_t used = 0;
    for (size_t k = 0; k < RIP__LENGTH(u->bits); k++)
        used |= rip__load_relaxed(&u->bits[k]);
    return used == 0;
}

/* A unit of which nothing is used any more is made free, but for the last one
 * of its class: or who has a single block, and frees it, and takes it again,
 * would make and clear a unit each time. */
static void free_small(struct rip__work *w, const struct rip__block *b)
{
    struct rip__unit *u = &w->units[b->unit];
    uint64_t bit, *hint = hint_of(w, b->class);
    uint64_t *bits = bits_of(u, b->begin % RIP__UNIT_SIZE / b->size, &bit);
    rip__store(bits, rip__load_relaxed(bits) & ~bit);
    if (is_empty(u)) {
        if (has_another(w, b->class, b->unit)) {
            rip__heap_give(w, b->unit, 1);
            return;
        }
        rip__store_relaxed(&w->s->header->heap.stirred, 1);
    }
    w->map[b->unit] = (uint8_t)b->class;
    if (b->unit < rip__load_relaxed(hint))
        rip__store_relaxed(hint, b->unit);
}

/* ---- runs ------------------------------------------------------------- */

/* Gives the pages of a run back. False: not all of it is zero then. */
static bool drop_pages(const struct rip_segment *s, uint64_t unit, uint64_t n)
{
    const uintptr_t page = s->layout.page;
    uintptr_t from = (uintptr_t)rip__unit_at(s, unit);
    uintptr_t to = from + n * RIP__UNIT_SIZE;
    uintptr_t begin = (from + page - 1) & ~(page - 1), end = to & ~(page - 1);
    return begin < end &&
           rip__os_memory_drop((void *)begin, end - begin) == 0 &&
           begin == from && end == to;
}

/* Makes the memory of a run be there and be all zero. It may have been used
 * before; a large one is cheaper made anew than cleared. */
static bool clear_run(struct rip_segment *s, uint64_t unit, uint64_t n)
{
    size_t size = n * RIP__UNIT_SIZE;
    unsigned char *at = rip__unit_at(s, unit);
    bool zero = size >= LARGE && drop_pages(s, unit, n);
    if (rip__segment_back(s, (size_t)(at - s->base), size) < 0)
        return false;
    if (!zero)
        memset(at, 0, size);
    return true;
}

static void mark_made(struct rip__unit *u, uint64_t n)
{
    rip__store(&u->word, rip__unit_word(RIP__UNIT_RUN, 0, n));
}

static void *new_run(struct rip_segment *s, size_t size)
{
    const uint64_t n = units_for(size);
    struct rip__work w;
    if (rip__heap_enter(&w, s) < 0)
        return NULL;
    int64_t i = rip__heap_claim(&w, n);
    rip__heap_leave(&w);
    if (i < 0)
        return NULL;
    if (clear_run(s, (uint64_t)i, n)) {
        mark_made(&w.units[i], n);
        return rip__unit_at(s, (uint64_t)i);
    }
    if (rip__heap_enter(&w, s) == 0) {
        rip__heap_give(&w, (uint64_t)i, n);
        rip__heap_leave(&w);
    }
    return NULL;
}

/* The same, while the heap is ours. */
static void *new_run_within(struct rip__work *w, size_t size,
                            bool (*publish)(struct rip__work *w, void *block,
                                            void *arg),
                            void *arg)
{
    const uint64_t n = units_for(size);
    int64_t i = rip__heap_claim(w, n);
    if (i < 0)
        return NULL;
    void *block = rip__unit_at(w->s, (uint64_t)i);
    if (!clear_run(w->s, (uint64_t)i, n) || !publish(w, block, arg)) {
        rip__heap_give(w, (uint64_t)i, n);
        return NULL;
    }
    mark_made(&w->units[i], n);
    return block;
}

/* After the block is gone: names without a block are sifted out after a death,
 * a block without its name would be lost. */
static void forget_names(struct rip__work *w, const struct rip__block *b)
{
    if (rip__load_relaxed(&w->units[b->unit].named))
        rip__names_forget(w, b->begin, b->size);
}

/* Goes out of the heap meanwhile, where it takes long: false, if there was no
 * way back. Then it stays ours, and is free when we are dead. */
static bool free_run(struct rip__work *w, const struct rip__block *b)
{
    const uint64_t n = b->size / RIP__UNIT_SIZE;
    struct rip__unit *u = &w->units[b->unit];
    rip__store(&u->owner, w->me->id);
    rip__store(&u->word, rip__unit_word(RIP__UNIT_CLAIMED, 0, n));
    rip__store_relaxed(&w->s->header->heap.stirred, 1);
    forget_names(w, b);
    if (b->size >= LARGE) {
        rip__heap_leave(w);
        drop_pages(w->s, b->unit, n);
        if (rip__heap_enter(w, w->s) < 0)
            return false;
    }
    rip__heap_give(w, b->unit, n);
    return true;
}

/* ---- blocks ----------------------------------------------------------- */

/* The run that a unit belongs to, by the last one that begins before it. */
static bool run_of(const struct rip__work *w, uint64_t unit,
                   struct rip__block *ret)
{
    for (uint64_t i = unit + 1; i-- > 0;) {
        uint64_t word = rip__load(&w->units[i].word);
        uint64_t n = rip__unit_count(word);
        if (rip__unit_kind(word) == RIP__UNIT_FREE && word == 0)
            continue;
        if (rip__unit_kind(word) != RIP__UNIT_RUN || n > w->top - i ||
            n <= unit - i)
            return false;
        *ret = (struct rip__block){
            .unit = i,
            .begin = w->s->layout.data_at + i * RIP__UNIT_SIZE,
            .size = n * RIP__UNIT_SIZE,
        };
        return true;
    }
    return false;
}

bool rip__block_of(const struct rip__work *w, const void *p,
                   struct rip__block *ret)
{
    const size_t data = w->s->layout.data_at;
    size_t at = (uintptr_t)p - (uintptr_t)w->s->base;
    uint64_t unit = (at - data) / RIP__UNIT_SIZE, bit;
    if (at < data || unit >= w->top)
        return false;
    uint64_t word = rip__load(&w->units[unit].word);
    unsigned class = rip__unit_class(word);
    if (rip__unit_kind(word) != RIP__UNIT_SMALL)
        return run_of(w, unit, ret);
    if (class < 1 || class > RIP__CLASSES)
        return false;
    size_t size = rip__class_size(class), index = at % RIP__UNIT_SIZE / size;
    if (index >= RIP__UNIT_SIZE / size ||
        !(rip__load(bits_of(&w->units[unit], index, &bit)) & bit))
        return false;
    *ret = (struct rip__block){
        .unit = unit,
        .begin = data + unit * RIP__UNIT_SIZE + index * size,
        .size = size,
        .class = class,
    };
    return true;
}

void *rip__block_new(struct rip__work *w, size_t size,
                     bool (*publish)(struct rip__work *w, void *block,
                                     void *arg),
                     void *arg)
{
    return size <= SMALL_MAX ? new_small(w, class_for(size), publish, arg)
                             : new_run_within(w, size, publish, arg);
}

/* ---- what is public --------------------------------------------------- */

void *rip_shared_alloc(rip_segment *s, size_t size)
{
    struct rip__work w;
    s = rip__segment_or_own(s);
    if (!s || size > s->layout.n_units * RIP__UNIT_SIZE)
        return NULL;
    if (size > SMALL_MAX)
        return new_run(s, size);
    if (rip__heap_enter(&w, s) < 0)
        return NULL;
    void *block = new_small(&w, class_for(size), NULL, NULL);
    rip__heap_leave(&w);
    return block;
}

static bool is_within(const struct rip_segment *s, const void *p)
{
    size_t at = (uintptr_t)p - (uintptr_t)s->base;
    return at < s->layout.size;
}

static void free_within(struct rip_segment *s, const void *p)
{
    struct rip__work w;
    struct rip__block b;
    if (rip__heap_enter(&w, s) < 0)
        return; /* no place for one more member: it is lost */
    if (!rip__block_of(&w, p, &b) ||
        (const unsigned char *)p != s->base + b.begin) {
        rip__heap_damaged(s);
        rip__heap_leave(&w);
        return;
    }
    if (b.class) {
        free_small(&w, &b);
        forget_names(&w, &b);
    } else if (!free_run(&w, &b)) {
        return;
    }
    rip__heap_leave(&w);
}

void rip_shared_free(rip_segment *s, void *p)
{
    if (!p)
        return;
    s = rip__segment_or_own(s);
    if (s && is_within(s, p))
        free_within(s, p);
    else
        rip__misuse("rip_shared_free: this is not in the segment");
}
