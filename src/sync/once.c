/* SPDX-License-Identifier: MIT */
#include <ripstop/once.h>

#include <errno.h>

#include "sync/sync.h"

/*
 * The word:
 *
 *     0              not yet
 *     who            runs there
 *     who | WAITERS  the same, and its end wakes
 *     DONE           for good
 *
 * A runner is what the holder of a lock is: taken by one swap, and taken over
 * by one from its very word when it is dead. Killed after fn has come to its
 * end, and before DONE, it leaves a fn that is run again.
 */
#define DONE 2u

enum { WAIT = 1 };

/* One look: 0 when it is done, or else this thread's to do (*mine), or
 * -EDEADLK; WAIT when another runs it, and *word is what to sleep on.
 * `slept`: others may sleep of whom the word tells no more. */
static int look(rip_once_flag *f, struct rip__me *me, bool slept,
                uint64_t *word, bool *mine)
{
    *word = rip__load(&f->word);
    for (int i = 0; i < RIP__TRIES; i++) {
        uint64_t who = rip__who(*word), to = *word | RIP__WAITERS;
        *mine = false;
        if (*word == DONE)
            return 0;
        if (who == me->id)
            return -EDEADLK;
        *mine = who == 0 || rip__is_dead(me->domain, who);
        if (*mine)
            to = me->id | (*word & RIP__WAITERS) | (slept ? RIP__WAITERS : 0);
        if (to == *word || rip__cas(&f->word, word, to)) {
            *word = to;
            return *mine ? 0 : WAIT;
        }
    }
    *mine = false;
    return WAIT;
}

/* Until it is done, or this thread's to do. Who gives up after a sleep has left
 * WAITERS in the word: it may have been woken in the place of another. */
static int wait_for(rip_once_flag *f, struct rip__me *me, bool *mine,
                    rip_time deadline)
{
    uint64_t word;
    int r = 0, slept = 0;
    for (;; slept = 1) {
        int seen = look(f, me, slept, &word, mine);
        if (seen != WAIT)
            return seen;
        if (r < 0 || deadline <= RIP_NOW)
            return r < 0 ? r : -ETIMEDOUT;
        uint64_t runner = rip__who(word);
        struct rip__sleep s = {
            .object = f,
            .word = rip__low(&f->word),
            .seen = (uint32_t)word,
            .watch = &runner,
            .n_watch = 1,
            .heeds_stop = true,
        };
        r = rip__sleep(me, &s, deadline);
    }
}

/* Says how it went: to all if it is done, and to one, who runs it next, if it
 * is not. */
static int finish(rip_once_flag *f, uint64_t id, bool good)
{
    struct rip__me *me;
    uint64_t word = rip__load_relaxed(&f->word);
    int r = rip__join(f, &me); /* anew: fn may have forked */
    if (r < 0)
        return r;
    if (me->id != id)
        return -EPERM;
    for (int i = 0; i < RIP__TRIES && rip__who(word) == id; i++) {
        if (!rip__cas(&f->word, &word, good ? DONE : 0))
            continue;
        if (word & RIP__WAITERS)
            rip__wake(me->domain->shared, rip__low(&f->word),
                      good ? RIP__ALL : 1);
        return 0;
    }
    return -EBADMSG;
}

static int run(rip_once_flag *f, uint64_t id, int (*fn)(void *), void *arg)
{
    int code = fn(arg);
    int r = finish(f, id, code >= 0);
    return code < 0 ? code : r;
}

static int once_slowly(rip_once_flag *f, int (*fn)(void *), void *arg,
                       rip_time deadline)
{
    struct rip__me *me;
    bool mine = false;
    int r = rip__join(f, &me);
    if (r == 0)
        r = wait_for(f, me, &mine, deadline);
    return r == 0 && mine ? run(f, me->id, fn, arg) : r;
}

int rip_once(rip_once_flag *f, int (*fn)(void *), void *arg, rip_time deadline)
{
    if (rip__load(&f->word) == DONE)
        return 0;
    return once_slowly(f, fn, arg, deadline);
}
