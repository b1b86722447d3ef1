/* SPDX-License-Identifier: MIT */
#include <ripstop/latch.h>

#include <errno.h>

#include "sync/sync.h"

/*
 *     word:  bit 0      WAITERS: somebody may sleep
 *            bit 1      BROKEN: a party died
 *            bit 2      DAMAGED: counted below 0
 *            bit 3      OPEN
 *            4..11      changed when a party comes that has to be watched
 *            32..63     how many times it was counted down
 *
 *     killed                           what is left
 *     before the count                 a mark: the sweep breaks the latch
 *     after the count, before the      the same: the latch is broken, or stays
 *     mark is gone                     open if it was the last count
 *     after that, before the wake      who sleeps looks again
 */
#define OPEN 8u
enum { COUNTED_AT = 32 };

static struct rip__fellowship *fellowship(rip_latch *l)
{
    return (struct rip__fellowship *)l;
}

void rip_latch_init(rip_latch *l, unsigned count)
{
    rip__store_relaxed(&l->culprit, 0);
    rip__store_relaxed(&l->count, count);
    rip__store_relaxed(&l->incarnation, rip__incarnation(l->incarnation));
    rip__store(&l->word, 0);
}

static unsigned missing(const rip_latch *l, uint64_t word)
{
    unsigned count = rip__load_relaxed(&l->count);
    unsigned counted = (unsigned)(word >> COUNTED_AT);
    return word & OPEN || counted > count ? 0 : count - counted;
}

unsigned rip_latch_count(const rip_latch *l)
{
    return missing(l, rip__load(&l->word));
}

int rip_latch_join(rip_latch *l)
{
    struct rip__me *me;
    int r = rip__join(l, &me);
    if (r < 0)
        return r;
    uint64_t *mark = rip__mark(me, l, RIP__PLEDGED, rip__load(&l->incarnation));
    if (!mark)
        return -ENOMEM;
    rip__fellow_present(fellowship(l));
    if (!(rip__load(&l->word) & RIP__BROKEN))
        return 0;
    rip__unmark(me, mark);
    return -EPIPE;
}

/* -EAGAIN: somebody else was faster; -EOVERFLOW: nothing is left to count. */
static int try_count(rip_latch *l)
{
    uint64_t word = rip__load(&l->word), seen = word;
    unsigned left = missing(l, word);
    if (left == 0)
        return -EOVERFLOW;
    uint64_t to = word + ((uint64_t)1 << COUNTED_AT);
    if (left == 1)
        to |= OPEN;
    if (!rip__cas(&l->word, &seen, to))
        return -EAGAIN;
    return left == 1 && word & RIP__WAITERS;
}

static void counted_too_often(rip_latch *l)
{
    if (!rip__is_shared(l))
        rip__misuse("rip_latch_count_down: it was at 0 already");
    rip__fellow_flag(fellowship(l), RIP__DAMAGED);
}

/* The latch is not touched after the count: who waited may have freed it. */
void rip_latch_count_down(rip_latch *l)
{
    struct rip__me *me = rip__member(l);
    uint64_t *mark =
        me ? rip__find_mark(me, l, RIP__PLEDGED, rip__load(&l->incarnation))
           : NULL;
    bool shared = rip__is_shared(l);
    int r = -EAGAIN;
    for (int i = 0; r == -EAGAIN && i < RIP__TRIES; i++)
        r = try_count(l);
    if (r < 0) {
        counted_too_often(l);
        return;
    }
    if (mark)
        rip__unmark(me, mark);
    if (r > 0)
        rip__wake(shared, rip__low(&l->word), RIP__ALL);
}

/* 1: open, 0: not yet, or an error. */
static int look(const rip_latch *l, uint64_t word)
{
    if (word & RIP__DAMAGED)
        return -EBADMSG;
    if (missing(l, word) == 0)
        return 1;
    return word & RIP__BROKEN ? -EPIPE : 0;
}

/* With WAITERS set, while it is not open. */
static int look_to_sleep(rip_latch *l, uint32_t *seen)
{
    uint64_t word = rip__load(&l->word);
    for (int i = 0; i < RIP__TRIES; i++) {
        int r = look(l, word);
        *seen = (uint32_t)(word | RIP__WAITERS);
        if (r != 0 || word & RIP__WAITERS ||
            rip__cas(&l->word, &word, word | RIP__WAITERS))
            return r;
    }
    return -EBADMSG;
}

static int wait_closed(rip_latch *l, rip_time deadline)
{
    struct rip__me *me;
    int end = 0, r = rip__join(l, &me);
    if (r < 0)
        return r;
    for (;;) {
        uint32_t seen;
        r = look_to_sleep(l, &seen);
        if (r != 0)
            return r < 0 ? r : 0;
        if (end < 0)
            return end;
        end =
            rip__fellow_sleep(me, fellowship(l), RIP__PLEDGED, seen, deadline);
    }
}

int rip_latch_wait(rip_latch *l, rip_time deadline)
{
    int r = look(l, rip__load(&l->word));
    if (r > 0)
        return 0;
    return r < 0 ? r : wait_closed(l, deadline);
}

int rip_latch_culprit(const rip_latch *l, struct rip_culprit *ret)
{
    return rip__fellow_culprit((const struct rip__fellowship *)l, ret);
}
