/* SPDX-License-Identifier: MIT */
#include <ripstop/cond.h>

#include <errno.h>

#include "sync/sync.h"

/*
 * The word: in its low half, on which one sleeps, a number that a notify
 * increases, and two bits; in its high half the tag of the lock that was
 * waited with last.
 *
 *     WAITERS  NEW
 *        0      0   nobody waits: a notify has nothing to do
 *        1      1   somebody may wait, and has come since the last notify
 *        1      0   somebody may wait, who has come before it
 *
 * To wait is to set both bits, to release the lock, and to sleep while the
 * number is the same. A notify takes NEW away as it increases the number; if
 * it then wakes fewer than it wanted, nobody sleeps who came before, and
 * WAITERS goes too, unless NEW tells that another has come meanwhile. The
 * number comes round after 2^30 notifies, in none of which a sleeper, who looks
 * again every 200 ms, may have run.
 *
 * One who is woken by the holder of its lock can only fall asleep again, on
 * that. So then the wake is left to the release; as nothing of the condition
 * may be touched after that, it is the next notify that takes WAITERS away.
 *
 * There is no owner, so a kill leaves nothing but a wake that nobody sent, or
 * used: killed between the increase and the wake, or woken and killed. The
 * number has changed for the others as well, which they see when they look
 * again. Killed with WAITERS set, a waiter costs the next notify a needless
 * system call, after which the bit is gone.
 */
#define NEW  2u
#define STEP 4u

static uint32_t number(uint64_t word)
{
    return (uint32_t)word & ~(STEP - 1);
}

static uint32_t tag_of(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* Makes a notify see that one waits, with the lock of that tag: the word. */
static uint64_t announce(rip_cond *c, uint32_t tag)
{
    uint64_t word = rip__load(&c->word), to = word;
    for (int i = 0; i < RIP__TRIES; i++) {
        to = (uint64_t)tag << 32 | number(word) | RIP__WAITERS | NEW;
        if (to == word || rip__cas(&c->word, &word, to))
            break;
    }
    return to;
}

/* Sleeps until the number is another than in `seen`. */
static int sleep_through(rip_cond *c, struct rip__me *me, uint64_t seen,
                         rip_time deadline)
{
    uint64_t word = seen;
    int r = deadline <= RIP_NOW ? -ETIMEDOUT : 0;
    while (r == 0) {
        struct rip__sleep s = {
            .object = c,
            .word = rip__low(&c->word),
            .seen = (uint32_t)word,
            .heeds_stop = true,
        };
        r = rip__sleep(me, &s, deadline);
        word = rip__load(&c->word);
        if (r == 0 && number(word) == number(seen))
            word = announce(c, tag_of(seen)); /* which may see another number */
        if (number(word) != number(seen))
            return 0;
    }
    return r;
}

/* Who may wait with this lock: 0, and its membership. */
static int check(const rip_cond *c, const rip_lock *l, struct rip__me **ret)
{
    struct rip__me *other;
    int r = rip__join(c, &other);
    if (r < 0)
        return r;
    r = rip__join(l, ret);
    if (r < 0)
        return r;
    if (other->domain != (*ret)->domain)
        return -EINVAL;
    return rip__lock_is_of(l, *ret) ? 0 : -EPERM;
}

int rip_cond_wait(rip_cond *c, rip_lock *l, rip_time deadline)
{
    struct rip__me *me;
    int r = check(c, l, &me);
    if (r < 0)
        return r;
    uint64_t seen = announce(c, rip__lock_tag(me, l));
    rip__lock_give(me, l);
    r = sleep_through(c, me, seen, deadline);
    return rip__lock_again(me, l) == RIP_RECOVERED ? RIP_RECOVERED : r;
}

int rip_cond_wait_for(rip_cond *c, rip_lock *l, bool (*ready)(void *),
                      void *arg, rip_time deadline)
{
    struct rip__me *me;
    int r = check(c, l, &me);
    if (r < 0)
        return r;
    bool is_ready = ready(arg);
    while (!is_ready) {
        r = rip_cond_wait(c, l, deadline);
        if (r != 0 && r != -ETIMEDOUT && r != -ECANCELED)
            return r;
        is_ready = ready(arg);
        if (r < 0)
            break;
    }
    return is_ready ? 0 : r;
}

/* Whether there may be somebody to wake; *word is what it is now. */
static bool advance(rip_cond *c, bool all, uint64_t *word)
{
    *word = rip__load(&c->word);
    for (int i = 0; i < RIP__TRIES && *word & RIP__WAITERS; i++) {
        uint64_t to = (uint64_t)tag_of(*word) << 32 |
                      (uint32_t)(number(*word) + STEP) |
                      (all ? 0 : RIP__WAITERS);
        if (!rip__cas(&c->word, word, to))
            continue;
        *word = to;
        return true;
    }
    return false;
}

/* Nobody has come since `word` was found to have no sleepers. */
static bool forget_waiters(rip_cond *c, uint64_t word)
{
    return rip__cas(&c->word, &word, word & ~(uint64_t)RIP__WAITERS);
}

/* Whether the last wake that was left to a release has told of this very word
 * that nobody sleeps. */
static bool was_vain(rip_cond *c, struct rip__me *me)
{
    struct rip__wake_owed *vain = &me->vain_one;
    if (vain->word != &c->word)
        return false;
    vain->word = NULL;
    return (vain->value & RIP__WAITERS) && forget_waiters(c, vain->value);
}

static void notify(rip_cond *c, unsigned n)
{
    struct rip__me *me = rip__here(c);
    struct rip__wake_owed wake = { .word = &c->word, .n = n };
    if ((me && was_vain(c, me)) || !advance(c, n == RIP__ALL, &wake.value) ||
        (me && rip__lock_defer(me, tag_of(wake.value), &wake)))
        return;
    bool shared = me ? me->domain->shared : rip__is_shared(c);
    if (rip__wake(shared, rip__low(&c->word), n) < n && n != RIP__ALL)
        forget_waiters(c, wake.value);
}

void rip_cond_notify(rip_cond *c, unsigned n)
{
    if (n > 0 && (rip__load(&c->word) & RIP__WAITERS))
        notify(c, n < RIP__ALL ? n : RIP__ALL);
}

void rip_cond_notify_all(rip_cond *c)
{
    rip_cond_notify(c, RIP__ALL);
}
