/* SPDX-License-Identifier: MIT */
#include "segment/segment.h"

/*
 * A mark: {key:48, kind:3, incarnation:13}; 0 is none. A slot's marks are
 * written by its own thread alone, so to make one is a store; what makes it
 * count is that the store is published before the object's word is looked at.
 * `n_marks` is raised before a mark is made above it, and so is never too low
 * for who looks after a fence.
 */
enum { KEY_BITS = 48, INCARNATION_BITS = 13 };

static uint64_t make(const struct rip__domain *d, const void *object,
                     enum rip__mark_kind kind, unsigned incarnation)
{
    uint64_t key = rip__key(d, object);
    uint64_t rest =
        (uint64_t)kind << INCARNATION_BITS | (incarnation & RIP__INCARNATIONS);
    return key | rest << KEY_BITS;
}

static uint32_t count_of(const struct rip__slot *slot)
{
    uint32_t n = rip__load(&slot->n_marks);
    return n < RIP__MARKS ? n : RIP__MARKS;
}

uint64_t *rip__mark(struct rip__me *me, const void *object,
                    enum rip__mark_kind kind, unsigned incarnation)
{
    struct rip__slot *slot = me->slot;
    uint32_t n = count_of(slot), i = 0;
    while (i < n && rip__load_relaxed(&slot->marks[i]) != 0)
        i++;
    if (i == RIP__MARKS)
        return NULL;
    if (i == n)
        rip__store(&slot->n_marks, n + 1);
    rip__publish(&slot->marks[i], make(me->domain, object, kind, incarnation));
    return &slot->marks[i];
}

static uint64_t *find(struct rip__slot *slot, uint64_t mark)
{
    uint32_t n = count_of(slot);
    for (uint32_t i = 0; i < n; i++)
        if (__atomic_load_n(&slot->marks[i], __ATOMIC_SEQ_CST) == mark)
            return &slot->marks[i];
    return NULL;
}

bool rip__is_party(const struct rip__domain *d, const struct rip__fellowship *f,
                   uint64_t who)
{
    uint32_t index = rip__slot_of(who);
    if (index == 0 || index >= d->n_slots)
        return false;
    struct rip__slot *slot = rip__slot(d, index);
    unsigned incarnation = rip__load(&f->incarnation);
    bool marked = find(slot, make(d, f, RIP__PARTY, incarnation)) ||
                  find(slot, make(d, f, RIP__PLEDGED, incarnation));
    uint64_t generation = rip__generation(rip__load(&slot->claim));
    return marked && rip__identity(generation, index) == rip__who(who);
}

uint64_t *rip__find_mark(const struct rip__me *me, const void *object,
                         enum rip__mark_kind kind, unsigned incarnation)
{
    return find(me->slot, make(me->domain, object, kind, incarnation));
}

void rip__unmark(struct rip__me *me, uint64_t *mark)
{
    struct rip__slot *slot = me->slot;
    rip__publish(mark, 0);
    if (mark + 1 == &slot->marks[count_of(slot)])
        rip__store(&slot->n_marks, (uint32_t)(mark - slot->marks));
}

uint64_t rip__next_marked(const struct rip__me *me, const void *object,
                          enum rip__mark_kind kind, unsigned incarnation,
                          uint32_t *at)
{
    const struct rip__domain *d = me->domain;
    uint64_t mark = make(me->domain, object, kind, incarnation);
    uint32_t used = rip__slots_used(d);
    for (uint32_t i = *at + 1; i < used; i++) {
        struct rip__slot *slot = rip__slot(d, i);
        uint64_t claim = rip__load(&slot->claim);
        uint64_t who = rip__identity(rip__generation(claim), i);
        if (rip__phase(claim) != RIP__LIVE || i == me->index ||
            !find(slot, mark))
            continue;
        *at = i;
        return who;
    }
    *at = used;
    return 0;
}

bool rip__mark_read(uint64_t mark, enum rip__mark_kind *kind, uint64_t *key,
                    unsigned *incarnation)
{
    *key = mark & (((uint64_t)1 << KEY_BITS) - 1);
    *kind = (enum rip__mark_kind)(mark >> (KEY_BITS + INCARNATION_BITS));
    *incarnation = (unsigned)(mark >> KEY_BITS) & RIP__INCARNATIONS;
    return mark != 0;
}
