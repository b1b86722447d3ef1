/* SPDX-License-Identifier: MIT */
#include "sync/sync.h"

#include <errno.h>
#include <string.h>

/* By the clock, as memory that is used again is often zeroed in between. */
uint32_t rip__incarnation(uint32_t last)
{
    uint64_t mixed = (uint64_t)rip_time_now() * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t next = (uint32_t)(mixed >> 32) & RIP__INCARNATIONS;
    while (next == 0 || next == (last & RIP__INCARNATIONS))
        next = (next + 1) & RIP__INCARNATIONS;
    return next;
}

/* The dead among them are swept at once, and not watched. */
static size_t others(const struct rip__me *me, const struct rip__fellowship *f,
                     enum rip__mark_kind kind, uint64_t *ret)
{
    unsigned incarnation = rip__load_relaxed(&f->incarnation);
    uint32_t at = 0;
    size_t n = 0;
    bool dead = false;
    while (n < RIP__WATCH &&
           (ret[n] = rip__next_marked(me, f, kind, incarnation, &at)) != 0)
        if (rip__is_dead(me->domain, ret[n]))
            dead = true;
        else
            n++;
    if (dead)
        rip__sweep(me->domain);
    return n;
}

int rip__fellow_sleep(struct rip__me *me, struct rip__fellowship *f,
                      enum rip__mark_kind kind, uint32_t seen,
                      rip_time deadline)
{
    uint64_t who[RIP__WATCH];
    struct rip__sleep s = {
        .object = f,
        .word = rip__low(&f->word),
        .seen = seen,
        .watch = who,
        .heeds_stop = true,
    };
    s.n_watch = others(me, f, kind, who);
    return rip__sleep(me, &s, deadline);
}

/* Those who sleep watch whom they found before. One of them is woken, and those
 * who are just going to sleep find that the word has changed. */
void rip__fellow_present(struct rip__fellowship *f)
{
    const uint64_t field = 0xff0, one = 0x10;
    uint64_t word = rip__load(&f->word);
    for (int i = 0; i < RIP__TRIES && word & RIP__WAITERS; i++) {
        uint64_t to = (word & ~field) | ((word + one) & field);
        if (!rip__cas(&f->word, &word, to))
            continue;
        rip__wake(rip__is_shared(f), rip__low(&f->word), 1);
        break;
    }
}

void rip__fellow_wake(struct rip__fellowship *f)
{
    rip__wake(rip__is_shared(f), rip__low(&f->word), RIP__ALL);
}

void rip__fellow_flag(struct rip__fellowship *f, uint32_t flags)
{
    rip__or(&f->word, flags);
    rip__fellow_wake(f);
}

/* The slot of the dead is its report, until somebody else has it: so whether it
 * is still the culprit's is looked at last. */
int rip__fellow_culprit(const struct rip__fellowship *f,
                        struct rip_culprit *ret)
{
    const struct rip__domain *d = rip__domain_of(f);
    uint64_t who = rip__who(rip__load(&f->culprit));
    if (!(rip__load(&f->word) & RIP__BROKEN) || !d || !rip__is_party(d, f, who))
        return -ESRCH;
    const struct rip__slot *slot = rip__slot(d, rip__slot_of(who));
    struct rip_culprit c = {
        .pid = (pid_t)rip__load_relaxed(&slot->pid),
        .tid = (pid_t)rip__load_relaxed(&slot->tid),
    };
    memcpy(c.name, slot->name, sizeof c.name);
    c.name[sizeof c.name - 1] = '\0';
    if (!rip__is_party(d, f, who))
        return -ESRCH;
    *ret = c;
    return 0;
}
