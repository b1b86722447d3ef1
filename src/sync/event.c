/* SPDX-License-Identifier: MIT */
#include <ripstop/event.h>

#include <errno.h>

#include "sync/sync.h"

/*
 *     word:  bit 0      WAITERS: somebody may sleep
 *            bit 1      SET
 *            2..63      epoch: how often it was set
 *
 * Who waits does so until SET or another epoch: so a set counts for all who
 * waited when it was made, though it is cleared again before they run.
 */
#define SET       2u
#define EPOCH_ONE ((uint64_t)4)

bool rip_event_is_set(const rip_event *e)
{
    return rip__load(&e->word) & SET;
}

void rip_event_set(rip_event *e)
{
    uint64_t word = rip__load_relaxed(&e->word);
    for (int i = 0; i < RIP__TRIES; i++) {
        uint64_t to = ((word + EPOCH_ONE) | SET) & ~(uint64_t)RIP__WAITERS;
        if (rip__cas(&e->word, &word, to))
            break;
    }
    if (word & RIP__WAITERS)
        rip__wake(rip__is_shared_here(e), rip__low(&e->word), RIP__ALL);
}

void rip_event_clear(rip_event *e)
{
    __atomic_fetch_and(&e->word, ~(uint64_t)SET, __ATOMIC_SEQ_CST);
}

/* ---- waiting ---------------------------------------------------------- */

static bool has_come(uint64_t now, uint64_t then)
{
    return now & SET || now / EPOCH_ONE != then / EPOCH_ONE;
}

bool rip__event_has_come(const rip_event *e, uint64_t then)
{
    return has_come(rip__load(&e->word), then);
}

/* Sets WAITERS, unless it has come: the word then. */
uint64_t rip__event_announce(rip_event *e, uint64_t then)
{
    uint64_t word = rip__load(&e->word);
    for (int i = 0; i < RIP__TRIES; i++)
        if (has_come(word, then) || word & RIP__WAITERS)
            break;
        else if (rip__cas(&e->word, &word, word | RIP__WAITERS))
            return word | RIP__WAITERS;
    return word;
}

static int wait_clear(rip_event *e, uint64_t then, rip_time deadline)
{
    struct rip__me *me;
    int r = rip__join(e, &me);
    if (r < 0)
        return r;
    for (;;) {
        uint64_t word = rip__event_announce(e, then);
        if (has_come(word, then))
            return 0;
        if (r < 0)
            return r;
        const struct rip__sleep s = {
            .object = e,
            .word = rip__low(&e->word),
            .seen = (uint32_t)word,
            .heeds_stop = true,
        };
        r = rip__sleep(me, &s, deadline);
    }
}

int rip_event_wait(rip_event *e, rip_time deadline)
{
    uint64_t word = rip__load(&e->word);
    if (word & SET)
        return 0;
    if (deadline == RIP_NOW)
        return -ETIMEDOUT;
    return wait_clear(e, word, deadline);
}
