/* SPDX-License-Identifier: MIT */
#include "segment/segment.h"

#include <errno.h>

#include "base/stop.h"

/*
 * Nobody sleeps on one wake alone. A sleeper is woken by a change of its word,
 * by the death of one whom it waits for, and at the latest when it is time to
 * look again; whatever wake was spent on the dead is so made up for.
 */
int64_t rip__look_again_ns = INT64_C(200) * 1000000;

unsigned rip__wake(bool shared, const uint32_t *word, unsigned n)
{
    return rip__os_futex_wake(word, shared, n);
}

/* The words of one sleep, for the kernel. */
struct bed {
    struct rip__os_futex words[RIP__WATCH + 4];
    size_t n;
    bool unwatched; /* a death, or a request, may pass unseen */
};

static void add_word(struct bed *bed, const uint32_t *word, uint32_t seen,
                     bool shared)
{
    bed->words[bed->n++] = (struct rip__os_futex){ word, seen, shared };
}

/* False: one of them is dead already. */
static bool add_lives(struct bed *bed, const struct rip__domain *d,
                      const struct rip__sleep *s)
{
    for (size_t i = 0; i < s->n_watch && i < RIP__WATCH; i++) {
        uint64_t who = rip__who(s->watch[i]);
        if (who == 0)
            continue;
        uint32_t *life = rip__life(d, rip__slot_of(who) % d->n_slots);
        uint32_t seen = rip__load(life);
        if (rip__is_dead(d, who))
            return false;
        /* The kernel marks it by its address in any process's memory. */
        add_word(bed, life, seen, true);
        if (rip__load_relaxed(&rip__slot(d, rip__slot_of(who))->polled))
            bed->unwatched = true;
    }
    return true;
}

/* Who asks may be in another process. */
static void add_stop(struct bed *bed, const struct rip__stop *stop)
{
    if (!stop)
        return;
    add_word(bed, &stop->word, 0, true);
    if (!rip__os_futex_waits_for_many())
        bed->unwatched = true;
}

/* The kernel wakes one sleeper of a dead one's life word, and that may be us:
 * the others are ours to wake. */
static void pass_on(const struct rip__domain *d, const struct rip__sleep *s)
{
    for (size_t i = 0; i < s->n_watch && i < RIP__WATCH; i++) {
        uint64_t who = rip__who(s->watch[i]);
        uint32_t *life = rip__life(d, rip__slot_of(who) % d->n_slots);
        if (who != 0 && (rip__load(life) & RIP__OS_DIED))
            rip__os_futex_wake(life, true, RIP__ALL);
    }
}

/* What no wake told. */
static void look_again(struct rip__domain *d, const struct rip__sleep *s)
{
    for (size_t i = 0; i < s->n_watch; i++)
        if (rip__who(s->watch[i]) != 0)
            rip__is_gone(d, s->watch[i]);
    rip__sweep(d);
}

static rip_time until(const struct bed *bed, const struct rip__sleep *s,
                      rip_time now, rip_time deadline)
{
    int64_t wait = rip__look_again_ns;
    if (bed->unwatched || (s->n_watch > 0 && !rip__os_futex_waits_for_many()))
        wait /= 2;
    return deadline - now < wait ? deadline : now + wait;
}

static int lie_down(struct rip__me *me, const struct rip__sleep *s,
                    const struct rip__stop *stop, rip_time now,
                    rip_time deadline)
{
    struct rip__domain *d = me->domain;
    struct bed bed = { .n = 0 };
    add_word(&bed, s->word, s->seen, d->shared);
    if (s->word2)
        add_word(&bed, s->word2, s->seen2, d->shared);
    if (s->word3)
        add_word(&bed, s->word3, s->seen3, d->shared);
    if (!add_lives(&bed, d, s)) {
        pass_on(d, s);
        return 0;
    }
    add_stop(&bed, stop);
    rip_time end = until(&bed, s, now, deadline);
    int r = rip__os_futex_wait(bed.words, bed.n, end);
    pass_on(d, s);
    if (r == -ETIMEDOUT && end != deadline) {
        look_again(d, s);
        r = 0;
    }
    return r;
}

/* Since when the caller waits: who has just looked again and found nothing is
 * still in the same wait. */
static rip_time since(struct rip__me *me, uint64_t key, rip_time now)
{
    enum { A_LOOK_NS = 1000000 };
    if (me->waited_for != key || now - me->woke > A_LOOK_NS)
        me->waits_since = now;
    me->waited_for = key;
    return me->waits_since;
}

/* The dead are passed over, as nothing more is heard of them: true, there are
 * such. */
static bool is_dying(const struct rip__me *me, uint64_t *who, size_t *n)
{
    size_t alive = 0;
    for (size_t i = 0; i < *n; i++)
        if (!rip__is_dead(me->domain, who[i]))
            who[alive++] = who[i];
    bool found = alive < *n;
    *n = alive;
    return found;
}

rip_time rip__dying_until(struct rip__me *me, uint64_t *who, size_t *n,
                          int *naps, rip_time deadline)
{
    enum { NAP_NS = 250000, NAPS = 10 };
    if (!is_dying(me, who, n))
        return deadline;
    rip__sweep(me->domain);
    rip_time nap = rip__os_clock() + ((rip_time)NAP_NS << *naps);
    if (*naps == NAPS || nap >= deadline)
        return deadline;
    ++*naps;
    return nap;
}

int rip__sleep(struct rip__me *me, const struct rip__sleep *s,
               rip_time deadline)
{
    struct rip__slot *slot = me->slot;
    const struct rip__stop *stop = s->heeds_stop ? rip__stop_heeded() : NULL;
    rip_time now = rip__os_clock();
    if (deadline <= now)
        return -ETIMEDOUT;
    if (rip__stop_asked(stop))
        return -ECANCELED;
    uint64_t key = rip__key(me->domain, s->object);
    uint64_t before = rip__load_relaxed(&slot->wait);
    rip__store_relaxed(&slot->wait_since, since(me, key, now));
    rip__store(&slot->wait, key);
    int r = lie_down(me, s, stop, now, deadline);
    rip__store(&slot->wait, before);
    me->woke = rip__os_clock();
    return r;
}
