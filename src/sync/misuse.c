/* SPDX-License-Identifier: MIT */
#include "sync/sync.h"

/* A holder of whom nothing is wanted would free the lock without a look at its
 * word. */
static void tell_holder(const struct rip__domain *d, const uint64_t *word)
{
    uint64_t who = rip__who(rip__load(word));
    uint64_t bit = (uint64_t)1 << rip__place(rip__key(d, word));
    if (!rip__is_dead(d, who))
        rip__or(&rip__slot(d, rip__slot_of(who))->wanted, bit);
}

void rip__misused(uint64_t *word, const char *what)
{
    if (!rip__is_shared(word))
        rip__misuse(what);
    const struct rip__domain *d = rip__domain_of(word);
    rip__plus(&rip__roll(d)->damaged, 1);
    rip__or(word, RIP__DAMAGED);
    tell_holder(d, word);
}

bool rip__was_damaged(uint64_t *word)
{
    uint64_t w = rip__load_relaxed(word);
    while (w & RIP__DAMAGED)
        if (rip__cas(word, &w, w & ~(uint64_t)RIP__DAMAGED))
            return true;
    return false;
}
