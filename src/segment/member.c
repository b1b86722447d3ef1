/* SPDX-License-Identifier: MIT */
#include "segment/member.h"

#include <errno.h>
#include <string.h>

#include "base/base.h"

/*
 * The life of a slot:
 *
 *     claim           by               meaning
 *     FREE(g)                          the dead member of generation g can
 *                                      still be read in it
 *     CLAIMED(g, tid) the newcomer     nobody has this identity yet
 *     LIVE(g, tid)    the newcomer     a member, alive or not
 *
 * FREE -> CLAIMED is a swap, so that one alone gets it; the tid goes with it,
 * so that a newcomer that is killed half-way is found. The rest is the
 * newcomer's own to write, until the sweep sets a dead one FREE.
 */
static uint64_t claim_word(uint64_t generation, pid_t tid, enum rip__phase p)
{
    return generation << 24 | (uint64_t)tid << 2 | (uint64_t)p;
}

/* ---- finding a slot --------------------------------------------------- */

/* So many of the dead are kept for reports before a slot is used again. */
enum { REPORTS = 64 };

/* The free slot that has been so for the longest; 0: there is none. */
static uint32_t oldest_free(const struct rip__domain *d, uint32_t used)
{
    uint32_t best = 0;
    rip_time died = RIP_FOREVER;
    for (uint32_t i = 1; i < used; i++) {
        const struct rip__slot *slot = rip__slot(d, i);
        rip_time when = rip__load_relaxed(&slot->died);
        if (rip__phase(rip__load(&slot->claim)) != RIP__FREE || when >= died)
            continue;
        best = i;
        died = when;
    }
    return best;
}

static void raise_used(const struct rip__domain *d, uint32_t to)
{
    uint32_t *used = &rip__roll(d)->slots_used;
    uint32_t seen = rip__load(used);
    while (seen < to && !rip__cas32(used, &seen, to))
        ;
}

/* A slot that was never used; 0: there is none. */
static uint32_t fresh(const struct rip__domain *d, uint32_t used)
{
    return used < d->n_slots ? (used > 0 ? used : 1) : 0;
}

static int back(const struct rip__domain *d, uint32_t index)
{
    return d->shared ? rip__back(d, index * d->stride, d->stride) : 0;
}

static bool take(const struct rip__domain *d, uint32_t index, pid_t tid)
{
    struct rip__slot *slot = rip__slot(d, index);
    uint64_t seen = rip__load(&slot->claim);
    uint64_t g = rip__generation(seen);
    uint64_t first = rip__first_generation(d);
    uint64_t next = (g > first ? g : first) + 1;
    return rip__phase(seen) == RIP__FREE &&
           rip__cas(&slot->claim, &seen, claim_word(next, tid, RIP__CLAIMED));
}

/* The index of a slot that is ours, CLAIMED; -ENOMEM: all are in use, or
 * there is no memory for another. Each turn that fails means that somebody
 * else got on, but for a neighbour that scribbles: hence the limit. */
static int claim(const struct rip__domain *d, pid_t tid)
{
    for (uint32_t tries = 0; tries < 4 * RIP__SLOTS_MAX; tries++) {
        uint32_t used = rip__slots_used(d);
        uint32_t index = used > REPORTS ? oldest_free(d, used) : 0;
        if (index == 0)
            index = fresh(d, used);
        if (index == 0)
            index = oldest_free(d, used);
        if (index == 0 || back(d, index) < 0)
            return -ENOMEM;
        raise_used(d, index + 1);
        if (take(d, index, tid))
            return (int)index;
    }
    return -ENOMEM;
}

/* ---- becoming a member ------------------------------------------------ */

/* Who looks at the slot already, as a sweep does, sees fields of two members
 * at most, and each whole. */
static void introduce(struct rip__slot *slot)
{
    struct rip__os_thread self;
    char name[RIP__NAME] = "";
    rip__os_thread_self(&self);
    rip__os_thread_name(name);
    rip__store_relaxed(&slot->pid, (uint32_t)self.pid);
    rip__store_relaxed(&slot->tid, (uint32_t)self.tid);
    rip__store_relaxed(&slot->start, self.start);
    rip__store_relaxed(&slot->pstart, self.process_start);
    rip__store_relaxed(&slot->pidfs, self.pidfs);
    rip__store_relaxed(&slot->joined, rip__os_clock());
    rip__store_relaxed(&slot->died, 0);
    rip__store_relaxed(&slot->left, 0);
    rip__store_relaxed(&slot->wait, 0);
    rip__store_relaxed(&slot->n_marks, 0);
    for (size_t i = 0; i < RIP__HELD; i++)
        rip__store_relaxed(&slot->held[i], 0);
    for (size_t i = 0; i < RIP__MARKS; i++)
        rip__store_relaxed(&slot->marks[i], 0);
    memcpy(slot->name, name, sizeof name);
}

/*
 * The slot's page once more, with a private one behind it in which the node of
 * the robust list is the first thing, so that the life word comes to stand in
 * the slot. In the program's own domain the node stands in the slot itself.
 */
static int map_life(struct rip__me *me)
{
    const struct rip__domain *d = me->domain;
    size_t end = d->stride - sizeof *me->node;
    me->twin = me->slot;
    if (d->shared) {
        end = d->stride;
        me->twin = rip__os_map_again(me->slot, d->stride, rip__os_page());
        if (!me->twin)
            return -ENOMEM;
    }
    int distance = rip__os_life_distance();
    me->node = distance < 0 ? NULL : (void *)((unsigned char *)me->twin + end);
    end -= (size_t)(distance < 0 ? 16 : distance);
    rip__store_relaxed(&me->slot->polled, distance < 0);
    rip__store_relaxed(&me->slot->life_at, (uint32_t)end);
    return 0;
}

static void unmap_life(struct rip__slot *twin, size_t stride)
{
    rip__os_unmap(twin, stride + rip__os_page());
}

/* From here on a death is seen. */
static void begin_life(const struct rip__me *me)
{
    rip__store(rip__life(me->domain, me->index),
               (uint32_t)rip__os_tid() | RIP__OS_SLEEPER);
    if (me->node)
        rip__os_life_begin(me->node);
}

static int become(struct rip__me *me, pid_t tid)
{
    me->slot = rip__slot(me->domain, me->index);
    int r = map_life(me);
    if (r < 0)
        return r;
    /* That may be where another's was, who has let go of the domain before. */
    __atomic_add_fetch(&me->domain->refs, 1, __ATOMIC_ACQ_REL);
    uint64_t *word = &me->slot->claim;
    uint64_t generation = rip__generation(rip__load(word));
    introduce(me->slot);
    rip__store_relaxed(&me->slot->wanted, me->unfenced ? RIP__UNFENCED : 0);
    begin_life(me);
    me->id = rip__identity(generation, me->index);
    rip__store(word, claim_word(generation, tid, RIP__LIVE));
    return 0;
}

static bool is_another_namespace(const struct rip__domain *d)
{
    uint64_t theirs = rip__load_relaxed(&rip__roll(d)->pid_namespace);
    uint64_t ours = d->shared && theirs != 0 ? rip__os_pid_namespace() : 0;
    return ours != 0 && ours != theirs;
}

static void unclaim(const struct rip__domain *d, uint32_t index)
{
    uint64_t *word = &rip__slot(d, index)->claim;
    rip__store(word,
               claim_word(rip__generation(rip__load(word)), 0, RIP__FREE));
}

int rip__member_new(struct rip__domain *d, struct rip__me **ret)
{
    if (is_another_namespace(d))
        return -EXDEV;
    struct rip__me *me = rip__alloc(sizeof *me);
    if (!me)
        return -ENOMEM;
    rip__sweep(d);
    pid_t tid = rip__os_tid();
    int index = claim(d, tid);
    *me = (struct rip__me){ .domain = d,
                            .origin = d->shared ? (uintptr_t)d->base : 0,
                            .index = (uint32_t)index,
                            .unfenced = !rip__os_barrier_ask() };
    int r = index < 0 ? index : become(me, tid);
    if (r < 0) {
        if (index > 0)
            unclaim(d, me->index);
        rip__free(me);
        return r;
    }
    *ret = me;
    return 0;
}

/* ---- the end ---------------------------------------------------------- */

void rip__member_forget(struct rip__me *me)
{
    struct rip__slot *twin = me->domain->shared ? me->twin : NULL;
    size_t stride = me->domain->stride;
    rip__domain_unref(me->domain);
    unmap_life(twin, stride);
    rip__free(me);
}

/* Through the twin: the segment may be unmapped already. */
static uint32_t *own_life(const struct rip__me *me)
{
    struct rip__domain one = { .base = (unsigned char *)me->twin,
                               .stride = me->domain->stride };
    return rip__life(&one, 0);
}

static void tell_end(const struct rip__me *me)
{
    rip__store(&me->twin->left, 1);
    rip__store(own_life(me), RIP__OS_DIED);
}

void rip__member_end(struct rip__me *me, bool sweep)
{
    bool buried = rip__load(&me->buried) != 0;
    if (!buried)
        tell_end(me);
    if (me->node)
        rip__os_life_end(me->node);
    if (!buried)
        rip__os_futex_wake(own_life(me), true, RIP__ALL);
    if (sweep)
        rip__sweep(me->domain);
    rip__member_forget(me);
}

/* Its node stays in its list, which is its own to change; but from now on the
 * word before it means nobody: the slot may have another member soon. */
void rip__member_bury(struct rip__me *me)
{
    tell_end(me);
    rip__os_futex_wake(own_life(me), true, RIP__ALL);
    rip__os_map_anew(me->twin, me->domain->stride);
    rip__store(&me->buried, 1);
}

void rip__member_part(struct rip__me *me)
{
    unmap_life(me->twin, me->domain->stride);
    me->twin = NULL;
}
