/* SPDX-License-Identifier: MIT */
#include <ripstop/barrier.h>

#include <errno.h>

#include "sync/sync.h"

/*
 *     word:  bit 0      WAITERS: others wait in this epoch
 *            bit 1      BROKEN
 *            bit 2      DAMAGED: made for no parties
 *            4..11      changed when a party comes that has to be watched
 *            12..31     epoch: a new one begins with the last arrival
 *            32..63     how many have arrived in it
 *
 * Who waits sleeps on the low half, which does not change when others arrive.
 *
 * An arrival is one swap from the word that was seen before the incarnation
 * was read and the mark made, so whoever counts in an epoch has a mark of its
 * incarnation, and its death breaks it. A reset breaks the old epoch first, so
 * that one who is killed in the middle of it leaves a barrier that is broken.
 *
 *     killed                           what is left
 *     before the mark                  nothing
 *     marked, not counted; or counted  a mark: the sweep breaks the barrier
 *     after the last arrival, before   the next epoch: who sleeps in the old
 * one the wake                         looks again; the sweep breaks the next
 *     in reset, after BROKEN           a broken barrier
 */
enum { EPOCH_AT = 12, ARRIVED_AT = 32 };

static struct rip__fellowship *fellowship(rip_barrier *b)
{
    return (struct rip__fellowship *)b;
}

static uint32_t epoch_of(uint64_t word)
{
    return (uint32_t)word >> EPOCH_AT;
}

static uint64_t next_epoch(uint64_t word)
{
    return (uint32_t)((epoch_of(word) + 1) << EPOCH_AT);
}

void rip_barrier_init(rip_barrier *b, unsigned parties)
{
    if (parties == 0 && !rip__is_shared(b))
        rip__misuse("rip_barrier_init: a barrier for no parties");
    rip__store_relaxed(&b->culprit, 0);
    rip__store_relaxed(&b->parties, parties);
    rip__store_relaxed(&b->incarnation, rip__incarnation(b->incarnation));
    rip__store(&b->word, parties == 0 ? RIP__DAMAGED : 0);
}

/* ---- parties ---------------------------------------------------------- */

static uint64_t *own_mark(const struct rip__me *me, const rip_barrier *b,
                          unsigned incarnation)
{
    return rip__find_mark(me, b, RIP__PARTY, incarnation);
}

static void leave(struct rip__me *me, rip_barrier *b, unsigned incarnation)
{
    uint64_t *mark = own_mark(me, b, incarnation);
    if (mark)
        rip__unmark(me, mark);
}

/* A mark that was made before a reset is of no use any more. */
static void forget_earlier(struct rip__me *me, const rip_barrier *b)
{
    for (uint32_t i = 0; i < me->slot->n_marks && i < RIP__MARKS; i++) {
        enum rip__mark_kind kind;
        uint64_t key;
        unsigned incarnation;
        uint64_t *mark = &me->slot->marks[i];
        if (rip__mark_read(rip__load_relaxed(mark), &kind, &key,
                           &incarnation) &&
            kind == RIP__PARTY && key == rip__key(me->domain, b))
            rip__unmark(me, mark);
    }
}

static int join(struct rip__me *me, rip_barrier *b, unsigned incarnation)
{
    if (own_mark(me, b, incarnation))
        return 0;
    forget_earlier(me, b);
    if (!rip__mark(me, b, RIP__PARTY, incarnation))
        return -ENOMEM;
    rip__fellow_present(fellowship(b));
    return 0;
}

int rip_barrier_join(rip_barrier *b)
{
    struct rip__me *me;
    int r = rip__join(b, &me);
    if (r < 0)
        return r;
    unsigned incarnation = rip__load(&b->incarnation);
    r = join(me, b, incarnation);
    if (r < 0 || !rip_barrier_is_broken(b))
        return r;
    leave(me, b, incarnation);
    return -EPIPE;
}

void rip_barrier_leave(rip_barrier *b)
{
    struct rip__me *me = rip__member(b);
    if (me)
        leave(me, b, rip__load(&b->incarnation));
}

/* ---- waiting ---------------------------------------------------------- */

/* When a caller arrived: in which epoch of which incarnation. */
struct arrival {
    uint32_t epoch;
    unsigned incarnation;
};

/* 0, or why nobody can wait at a barrier with this word. */
static int check(const rip_barrier *b, uint64_t word)
{
    uint32_t parties = rip__load_relaxed(&b->parties);
    if (parties == 0 && !rip__is_shared(b))
        rip__misuse("rip_barrier_wait: the barrier is for no parties");
    if (word & RIP__BROKEN)
        return -EPIPE;
    bool sane = word >> ARRIVED_AT < parties;
    return word & RIP__DAMAGED || !sane ? -EBADMSG : 0;
}

static int try_arrive(struct rip__me *me, rip_barrier *b, struct arrival *ret)
{
    uint64_t word = rip__load(&b->word);
    ret->epoch = epoch_of(word);
    ret->incarnation = rip__load(&b->incarnation);
    int r = check(b, word);
    if (r == 0)
        r = join(me, b, ret->incarnation);
    if (r < 0)
        return r;
    uint32_t arrived = (uint32_t)(word >> ARRIVED_AT);
    bool last = arrived + 1 == rip__load_relaxed(&b->parties);
    uint64_t seen = word, one = (uint64_t)1 << ARRIVED_AT;
    uint64_t to = last ? next_epoch(word) : (word | RIP__WAITERS) + one;
    if (!rip__cas(&b->word, &seen, to))
        return -EAGAIN;
    if (last && word & RIP__WAITERS)
        rip__fellow_wake(fellowship(b));
    return (int)(arrived & INT32_MAX);
}

static int arrive(struct rip__me *me, rip_barrier *b, struct arrival *ret)
{
    int r = -EAGAIN;
    for (int i = 0; r == -EAGAIN && i < RIP__TRIES; i++)
        r = try_arrive(me, b, ret);
    return r == -EAGAIN ? -EBADMSG : r;
}

/* Breaks the epoch of an arrival, unless it is over: then false. */
static bool break_epoch(rip_barrier *b, const struct arrival *a)
{
    uint64_t word = rip__load(&b->word);
    for (int i = 0; i < RIP__TRIES && epoch_of(word) == a->epoch; i++)
        if (rip__cas(&b->word, &word, word | RIP__BROKEN)) {
            rip__fellow_wake(fellowship(b));
            break;
        }
    return epoch_of(word) == a->epoch;
}

/* Until the epoch ends: 0, -EPIPE, -ETIMEDOUT, -ECANCELED. */
static int stay(struct rip__me *me, rip_barrier *b, const struct arrival *a,
                rip_time deadline)
{
    for (;;) {
        uint64_t word = rip__load(&b->word);
        if (epoch_of(word) != a->epoch)
            return rip__load(&b->incarnation) == a->incarnation ? 0 : -EPIPE;
        if (word & RIP__BROKEN)
            return -EPIPE;
        int r = rip__fellow_sleep(me, fellowship(b), RIP__PARTY, (uint32_t)word,
                                  deadline);
        if (r < 0 && break_epoch(b, a))
            return r;
    }
}

/* `wait` is set before the arrival and until the end: a party that goes is to
 * see whether somebody waits for it. */
int rip_barrier_wait(rip_barrier *b, rip_time deadline)
{
    struct rip__me *me;
    struct arrival a = { 0, 0 };
    int r = rip__join(b, &me);
    if (r < 0)
        return r;
    rip__publish(&me->slot->wait, rip__key(me->domain, b));
    int place = arrive(me, b, &a);
    r = place < 0 ? place : stay(me, b, &a, deadline);
    rip__store(&me->slot->wait, 0);
    if (r < 0)
        leave(me, b, a.incarnation);
    return r < 0 ? r : place;
}

/* ---- as a whole ------------------------------------------------------- */

void rip_barrier_abort(rip_barrier *b)
{
    rip__fellow_flag(fellowship(b), RIP__BROKEN);
}

void rip_barrier_reset(rip_barrier *b)
{
    rip_barrier_abort(b);
    rip__store(&b->incarnation,
               rip__incarnation(rip__load_relaxed(&b->incarnation)));
    rip__store(&b->culprit, 0);
    uint64_t word = rip__load(&b->word);
    for (int i = 0; i < RIP__TRIES; i++)
        if (rip__cas(&b->word, &word, next_epoch(word)))
            break;
    rip__fellow_wake(fellowship(b));
}

bool rip_barrier_is_broken(const rip_barrier *b)
{
    return rip__load(&b->word) & RIP__BROKEN;
}

unsigned rip_barrier_waiting(const rip_barrier *b)
{
    uint64_t word = rip__load(&b->word);
    return word & RIP__BROKEN ? 0 : (unsigned)(word >> ARRIVED_AT);
}

int rip_barrier_culprit(const rip_barrier *b, struct rip_culprit *ret)
{
    return rip__fellow_culprit((const struct rip__fellowship *)b, ret);
}
