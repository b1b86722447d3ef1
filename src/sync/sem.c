/* SPDX-License-Identifier: MIT */
#include <ripstop/sem.h>

#include <errno.h>

#include "sync/sync.h"

/*
 * Permits in a segment are counted by segment/count.c, which says who has
 * them. A signal count, and permits of threads of one program, which all die
 * together, are but a number:
 *
 *     word:  bit 0      WAITERS: somebody may sleep
 *            1..31      the value
 *
 * A release clears WAITERS and wakes as many as it gives. Who slept does not
 * know who else does: it takes with WAITERS set, and if it leaves something it
 * passes the wake on.
 */
enum { VALUE_AT = 1 };

_Static_assert(sizeof(rip_sem) == sizeof(struct rip__count), "");
_Static_assert(RIP_SEM_MAX == RIP__COUNT_MAX, "");

static struct rip__count *count(rip_sem *s)
{
    return (struct rip__count *)s;
}

static bool is_counted(const rip_sem *s)
{
    return rip__load_relaxed(&s->max) > 0 && rip__is_shared_here(s);
}

/* Of a wrong one `max` is above its limit, which no use lets pass. */
void rip_sem_init(rip_sem *s, unsigned value, unsigned max)
{
    bool sane = max == 0 ? value <= RIP_SEM_VALUE_MAX
                         : value <= max && max <= RIP_SEM_MAX;
    if (!sane && !rip__is_shared(s))
        rip__misuse("rip_sem_init: the value or max is too large");
    rip__store_relaxed(&s->max, sane ? max : UINT32_MAX);
    rip__store_relaxed(&s->incarnation, rip__incarnation(s->incarnation));
    rip__store(&s->word, (uint64_t)(sane ? value : 0) << VALUE_AT);
}

unsigned rip_sem_value(const rip_sem *s)
{
    return is_counted(s) ? rip__count_value((const struct rip__count *)s)
                         : (uint32_t)rip__load(&s->word) >> VALUE_AT;
}

/* ---- a mere number ---------------------------------------------------- */

/* As rip__count_take. */
static int take(rip_sem *s, bool slept, uint32_t *seen)
{
    uint64_t word = rip__load(&s->word);
    for (int i = 0; i < RIP__TRIES; i++) {
        uint32_t value = (uint32_t)word >> VALUE_AT;
        if (value == 0 && !seen)
            return 0;
        uint64_t to = value ? word - (1u << VALUE_AT) : word;
        if (slept || value == 0)
            to |= RIP__WAITERS;
        if (to != word && !rip__cas(&s->word, &word, to))
            continue;
        if (value == 0)
            *seen = (uint32_t)to;
        if (slept && value > 1)
            rip__wake(rip__is_shared_here(s), rip__low(&s->word), 1);
        return value > 0;
    }
    return -EBADMSG;
}

static int give(rip_sem *s, unsigned n)
{
    unsigned max = rip__load_relaxed(&s->max);
    uint32_t limit = max ? max : RIP_SEM_VALUE_MAX;
    uint64_t word = rip__load_relaxed(&s->word);
    for (int i = 0; i < RIP__TRIES; i++) {
        uint32_t value = (uint32_t)word >> VALUE_AT;
        if (value > limit || n > limit - value)
            return -EOVERFLOW;
        uint64_t to = word + ((uint64_t)n << VALUE_AT);
        if (!rip__cas(&s->word, &word, to & ~(uint64_t)RIP__WAITERS))
            continue;
        if (word & RIP__WAITERS)
            rip__wake(rip__is_shared_here(s), rip__low(&s->word), n);
        return 0;
    }
    return -EBADMSG;
}

/* ---- waiting ---------------------------------------------------------- */

/* What one wait knows from turn to turn. */
struct turn {
    rip_time deadline;
    uint32_t seen;
    bool slept;
    int naps;
    int end; /* why it sleeps no more; 0 */
};

static void sleep_for(struct rip__me *me, rip_sem *s, struct turn *t)
{
    uint64_t who[RIP__WATCH];
    struct rip__sleep sleep = {
        .object = s,
        .word = rip__low(&s->word),
        .seen = t->seen,
        .watch = who,
        .heeds_stop = true,
    };
    rip_time until = t->deadline;
    if (is_counted(s)) {
        sleep.n_watch = rip__count_holders(me, count(s), who, RIP__WATCH);
        until =
            rip__dying_until(me, who, &sleep.n_watch, &t->naps, t->deadline);
    }
    int r = rip__sleep(me, &sleep, until);
    t->end = r == -ETIMEDOUT && until != t->deadline ? 0 : r;
    t->slept = true;
}

/* Who never sleeps is told of no death, so it looks at those who have permits.
 * True: there may be more to take now. */
static bool bury(struct rip__me *me, rip_sem *s)
{
    uint64_t who[RIP__WATCH];
    struct rip__domain *d = me->domain;
    size_t n =
        is_counted(s) ? rip__count_holders(me, count(s), who, RIP__WATCH) : 0;
    for (size_t i = 0; i < n; i++)
        if (rip__is_seen_dead(d, who[i])) {
            rip__sweep(d);
            return true;
        }
    return false;
}

static int try_acquire(struct rip__me *me, rip_sem *s, struct turn *t)
{
    uint32_t *seen = t->deadline == RIP_NOW ? NULL : &t->seen;
    unsigned max = rip__load_relaxed(&s->max);
    if (max > RIP_SEM_MAX)
        return -EBADMSG;
    return max > 0 && me->domain->shared
               ? rip__count_take(me, count(s), t->slept, seen)
               : take(s, t->slept, seen);
}

int rip_sem_acquire(rip_sem *s, rip_time deadline)
{
    struct turn t = { .deadline = deadline };
    struct rip__me *me;
    int r = rip__join(s, &me);
    if (r < 0)
        return r;
    for (;;) {
        r = try_acquire(me, s, &t);
        if (r != 0)
            return r > 0 ? 0 : r;
        if (t.end < 0)
            return t.end;
        if (deadline != RIP_NOW)
            sleep_for(me, s, &t);
        else if (bury(me, s))
            t.end = -ETIMEDOUT;
        else
            return -ETIMEDOUT;
    }
}

int rip_sem_release(rip_sem *s, unsigned n)
{
    struct rip__me *me = rip__here(s);
    unsigned max = rip__load_relaxed(&s->max);
    if (max > RIP_SEM_MAX)
        return -EBADMSG;
    if (max == 0 || !(me ? me->domain->shared : rip__is_shared(s)))
        return give(s, n);
    return rip__count_give(me ? me : rip__member(s), count(s), n);
}
