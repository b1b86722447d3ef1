/* SPDX-License-Identifier: MIT */
#include <ripstop/lock.h>

#include <errno.h>

#include "os/os.h"
#include "sync/sync.h"

/*
 * The word:
 *
 *     owner  STARVING
 *       0       0      free
 *       0       1      free, but the heir is to have it
 *      who      0      held
 *
 * and with each DAMAGED may be set, which changes nothing else.
 *
 * A release is a plain store, so nobody can leave a trace in the word of a
 * held lock. Who waits sets the lock's bit in the holder's slot (`wanted`),
 * makes a barrier in every CPU, and sleeps if the lock still has that holder
 * and the bit still stands there. So if the holder's look at `wanted` after
 * its store came before the bit, its store came before the barrier, and the
 * waiter has seen it. A barrier takes as long as many holds do: the first
 * sleep is a short one without.
 *
 * The holder does not read the word, unless a bit tells it to: who marks the
 * lock as damaged sets one too.
 *
 * The holder takes a bit away only while it holds no lock that has it, and the
 * sleep is on `wanted` as well: the kernel refuses it when the bit has gone, or
 * the lock, though the same holder may have it again.
 *
 * A release wakes one sleeper. Who has slept leaves the bit with whoever has
 * the lock next, be it itself, since others may sleep still.
 *
 * The heir: 0, or who it is, and CALLED: a release is meant for it. What a
 * death leaves is an heir who is dead, which counts as none. A release that
 * finds its heir awake wakes another sleeper as well, as that heir may be
 * about to give up.
 *
 * Kill points beyond those of docs/crash-safety.md:
 *
 *     the bit set, not yet asleep             wakes in vain, VAIN at most
 *     taken after a sleep, before the bit     sleepers, until they look again
 *     after CALLED, before the word is free   a dead holder, as any
 *     the heir has the word, still is heir    it is dead, as holder and as heir
 *     the heir is deposed, the word not taken STARVING without an heir: the
 *                                             next one takes the lock
 */
#define STARVING 2u
#define CALLED   1u /* in `heir` */

enum {
    WAIT = 2, /* beside 0 and RIP_RECOVERED */
    AGAIN = 3,

    /* So many pauses before the first look, and twice as many before each that
     * follows. */
    FIRST_SPINS = 8,

    /* Having waited so long, and in vain, one becomes the heir. */
    STARVED_NS = 1000000,

    /* So long a free lock is kept for its heir. An heir that is stopped holds
     * nothing, so it must not keep others from it. */
    PATIENCE_NS = 10000000,

    /* So long one sleeps who has made no barrier for others; and so long where
     * that cannot be done. */
    UNSURE_NS = 1000000,
    UNFENCED_NS = 10000000,

    /* So many looks in a row may find that it has just changed hands, before
     * one looks at the clock. */
    LOOKS = 64,

    /* So many wakes may be in vain before nobody is believed to wait. Who has
     * set the bit takes a while to fall asleep. */
    VAIN = 6
};

/* One who waits. */
struct attempt {
    rip_lock *l;
    struct rip__me *me;
    uint64_t seen;  /* the word at the last look */
    uint32_t asked; /* the holder's `wanted` after that */
    uint64_t heir;  /* who was the heir then: alive, or 0 */
    uint64_t late;  /* an heir who has had PATIENCE_NS */
    rip_time since; /* of the first sleep; 0: there was none */
    rip_time idle;  /* since when the lock waits for its heir; 0: it does not */
    bool sure;      /* no wake came for UNSURE_NS: make barriers from now on */
    bool last;      /* no time is left: this look is the last one */
    unsigned again; /* how many looks found that it had just changed hands */
};

/* ---- the heir --------------------------------------------------------- */

static bool is_heir(const struct attempt *a)
{
    return a->heir == a->me->id;
}

/* Tells who is the heir. Being it oneself, one is not CALLED any more: what
 * the call was about is seen by the look at the word that follows. */
static uint64_t find_heir(struct attempt *a)
{
    uint64_t heir = rip__load(&a->l->heir), who = rip__who(heir);
    if (who == a->me->id) {
        if (heir != who)
            rip__cas(&a->l->heir, &heir, who);
        return who;
    }
    return who != 0 && rip__is_dead(a->me->domain, who) ? 0 : who;
}

/* Makes the caller the heir, unless somebody alive is: whether it is now. */
static bool become_heir(struct attempt *a)
{
    uint64_t heir = rip__load(&a->l->heir);
    if (rip__who(heir) != 0 && !rip__is_dead(a->me->domain, rip__who(heir)))
        return false;
    return rip__cas(&a->l->heir, &heir, a->me->id);
}

static void depose(rip_lock *l, uint64_t who)
{
    uint64_t heir = rip__load(&l->heir);
    for (int i = 0; i < RIP__TRIES && rip__who(heir) == who; i++)
        if (rip__cas(&l->heir, &heir, 0))
            break;
}

/* ---- a look ----------------------------------------------------------- */

/* Whether the caller may have a lock that nobody alive holds. What a death
 * has left goes to whoever finds it. Who cannot wait is not asked to. */
static bool may_take(struct attempt *a, uint64_t word)
{
    if (rip__who(word) != 0 || !(word & STARVING) || a->heir == 0 ||
        is_heir(a) || a->last)
        return true;
    if (a->heir != a->late)
        return false;
    depose(a->l, a->late);
    a->heir = 0;
    return true;
}

static uint64_t *wanted_of(const struct rip__me *me, uint64_t owner)
{
    return &rip__slot(me->domain, rip__slot_of(owner))->wanted;
}

static uint64_t wanted_bit(const struct rip__me *me, const rip_lock *l)
{
    return (uint64_t)1 << rip__place(rip__key(me->domain, l));
}

/* Sees to it that the holder, who is alive, wakes somebody when it releases
 * the lock; false: it may have done so already. */
static bool ask(struct attempt *a)
{
    uint64_t *wanted = wanted_of(a->me, rip__who(a->seen));
    uint64_t bit = wanted_bit(a->me, a->l);
    rip__or(wanted, bit);
    if (a->sure)
        rip__os_barrier();
    if (rip__load(&a->l->word) != a->seen)
        return false;
    a->asked = rip__load(rip__low(wanted));
    return a->asked & bit;
}

/* Who did not sleep has nobody's wake, and so may just go. */
static bool ask_if_needed(struct attempt *a)
{
    return rip__who(a->seen) == 0 || (a->last && a->since == 0) || ask(a);
}

/* Others who sleep are the new holder's to wake. They do so already, if there
 * are any: one wake in vain is enough to know that there are none. And the
 * release is to leave DAMAGED as it is. */
static void inherit(struct attempt *a, bool dead)
{
    bool damaged = (a->seen & RIP__DAMAGED) != 0;
    if (a->since == 0 && !dead && a->heir == 0 && !damaged)
        return;
    rip__or(&a->me->slot->wanted, wanted_bit(a->me, a->l));
    a->me->vain = VAIN;
}

/* Takes the lock if that is possible, and else makes sure of a wake. 0,
 * RIP_RECOVERED, -EDEADLK, WAIT, or AGAIN: it has just changed hands. */
static int look(struct attempt *a)
{
    a->heir = find_heir(a);
    uint64_t word = rip__load(&a->l->word), owner = rip__who(word);
    if (owner == a->me->id)
        return -EDEADLK;
    a->sure = a->sure && a->seen == word;
    a->seen = word;
    bool dead = owner != 0 && rip__is_dead(a->me->domain, owner);
    if ((owner != 0 && !dead) || !may_take(a, word))
        return ask_if_needed(a) ? WAIT : AGAIN;
    if (!rip__cas(&a->l->word, &word, a->me->id | (word & RIP__DAMAGED)))
        return AGAIN;
    inherit(a, dead);
    return dead ? RIP_RECOVERED : 0;
}

/* ---- waiting ---------------------------------------------------------- */

/* Most holds are over before a sleep would have begun. Each look takes the word
 * out of the holder's cache, so they are few. */
static bool spin(rip_lock *l, const struct rip__me *me)
{
    unsigned longest = rip__spins();
    for (unsigned n = FIRST_SPINS; n <= longest; n *= 2) {
        for (unsigned i = 0; i < n; i++)
            rip__pause();
        uint64_t word = rip__load_relaxed(&l->word);
        if (word == 0 && rip__cas(&l->word, &word, me->id))
            return true;
    }
    return false;
}

/* Sleeps until the lock is released or one dies on whom it depends. The heir
 * sleeps on its own word as well, where nobody else is woken. */
static int doze(struct attempt *a, rip_time until)
{
    uint64_t owner = rip__who(a->seen);
    uint64_t watch[] = { owner, is_heir(a) ? 0 : a->heir };
    struct rip__sleep s = {
        .object = a->l,
        .word = rip__low(&a->l->word),
        .seen = (uint32_t)a->seen,
        .watch = watch,
        .n_watch = 2,
    };
    if (owner != 0) {
        s.word2 = rip__low(wanted_of(a->me, owner));
        s.seen2 = a->asked;
    }
    if (is_heir(a)) {
        s.word3 = s.word;
        s.seen3 = s.seen;
        s.word = rip__low(&a->l->heir);
        s.seen = (uint32_t)a->me->id;
    }
    return rip__sleep(a->me, &s, until);
}

static rip_time sooner(rip_time a, rip_time b)
{
    return a < b ? a : b;
}

static void rest(struct attempt *a, rip_time deadline)
{
    rip_time now = rip__os_clock(), until = deadline;
    if (a->since == 0)
        a->since = now;
    if (rip__who(a->seen) != 0)
        a->idle = 0;
    else if (a->idle == 0)
        a->idle = now;
    if (a->idle != 0 && !is_heir(a))
        until = sooner(until, a->idle + PATIENCE_NS);
    else if (!a->sure || a->me->unfenced)
        until = sooner(until, now + (a->sure ? UNFENCED_NS : UNSURE_NS));
    if (doze(a, until) != -ETIMEDOUT)
        return;
    a->sure = true;
    if (until == deadline)
        a->last = true;
    else if (a->idle != 0)
        a->late = a->heir;
}

/* Whether the caller has just become the heir, and so has to look again. */
static bool is_starved(struct attempt *a)
{
    return a->since != 0 && a->heir == 0 &&
           rip__os_clock() - a->since >= STARVED_NS && become_heir(a);
}

/* Whoever is faster each time, or scribbles, may not keep one beyond the
 * deadline. True: this was the last look; others look again for themselves. */
static bool is_over(struct attempt *a, rip_time deadline)
{
    if (++a->again % LOOKS != 0)
        return false;
    if (a->last)
        return true;
    a->last = deadline != RIP_FOREVER && rip__os_clock() >= deadline;
    return false;
}

static int wait_for(rip_lock *l, struct rip__me *me, rip_time deadline)
{
    struct attempt a = { .l = l, .me = me, .last = deadline <= RIP_NOW };
    int r;
    while ((r = look(&a)) == AGAIN || (r == WAIT && !a.last))
        if (r == WAIT && !is_starved(&a))
            rest(&a, deadline);
        else if (is_over(&a, deadline))
            break;
    if (is_heir(&a))
        depose(l, me->id);
    return r == WAIT || r == AGAIN ? -ETIMEDOUT : r;
}

static int take_slowly(rip_lock *l, struct rip__me *me, rip_time deadline)
{
    int r = 0;
    if (deadline <= RIP_NOW || !spin(l, me))
        r = wait_for(l, me, deadline);
    if (r >= 0)
        rip__note_held(me, l);
    return r;
}

/* It is noted before it is taken: what follows on a swap waits for it. */
static inline bool take(rip_lock *l, struct rip__me *me)
{
    uint64_t seen = 0, *at = rip__note_held(me, l);
    if (rip__cas(&l->word, &seen, me->id))
        return true;
    rip__forget_held(me, at);
    return false;
}

int rip__lock_again(struct rip__me *me, rip_lock *l)
{
    return take(l, me) ? 0 : take_slowly(l, me, RIP_FOREVER);
}

/* After a first try. */
RIP__SLOW static int take_on(rip_lock *l, struct rip__me *me, rip_time deadline)
{
    return rip__was_damaged(&l->word) ? -EBADMSG : take_slowly(l, me, deadline);
}

int rip__lock_take(struct rip__me *me, rip_lock *l, rip_time deadline)
{
    return take(l, me) ? 0 : take_on(l, me, deadline);
}

RIP__SLOW static int join_and_take(rip_lock *l, rip_time deadline)
{
    struct rip__me *me;
    int r = rip__join(l, &me);
    return r < 0 ? r : rip__lock_take(me, l, deadline);
}

int rip_lock_acquire(rip_lock *l, rip_time deadline)
{
    struct rip__me *me = rip__here(l);
    if (!me)
        return join_and_take(l, deadline);
    return take(l, me) ? 0 : take_on(l, me, deadline);
}

/* ---- release ---------------------------------------------------------- */

/* Tells the heir that the release that follows is for it: false, if there is
 * none. The call is a change of its word, so that it is not missed by one who
 * is just going to sleep there. */
static bool call_heir(rip_lock *l, const struct rip__me *me)
{
    uint64_t who = rip__who(rip__load(&l->heir));
    if (who == 0 || rip__is_dead(me->domain, who))
        return false;
    rip__or(&l->heir, CALLED);
    return true;
}

/* Takes away the bits that speak of no lock which one holds. */
static void forget_wanted(const struct rip__me *me)
{
    uint64_t keep = RIP__UNFENCED | RIP__OWES;
    if (me->unlisted != 0)
        return;
    for (unsigned i = 0; i < RIP__HELD; i++)
        if (rip__load_relaxed(&me->slot->held[i]) != 0)
            keep |= (uint64_t)1 << i;
    __atomic_fetch_and(&me->slot->wanted, keep, __ATOMIC_SEQ_CST);
}

/* From here on only the address of the lock is used. Who has set its bit may
 * not sleep yet, so a few wakes in vain are no reason to forget it. */
RIP__SLOW static void wake_one(struct rip__me *me, rip_lock *l)
{
    bool woken = (rip__load_relaxed(&me->slot->wanted) & wanted_bit(me, l)) &&
                 rip__wake(me->domain->shared, rip__low(&l->word), 1) > 0;
    if (!woken && me->vain++ < VAIN)
        return;
    me->vain = 0;
    forget_wanted(me);
}

/* Does what rip__lock_defer put off. */
static void pay(struct rip__me *me, const rip_lock *l)
{
    struct rip__wake_owed *owed = &me->owed;
    if (owed->n == 0 || owed->key != rip__key(me->domain, l))
        return;
    __atomic_fetch_and(&me->slot->wanted, ~RIP__OWES, __ATOMIC_SEQ_CST);
    if (rip__wake(me->domain->shared, rip__low(owed->word), owed->n) < owed->n)
        me->vain_one = *owed;
    owed->n = 0;
}

bool rip__lock_defer(struct rip__me *me, uint32_t tag,
                     const struct rip__wake_owed *wake)
{
    struct rip__wake_owed *owed = &me->owed;
    uint64_t key = 0;
    for (unsigned i = 0; i < RIP__HELD && (uint32_t)(key >> 3) != tag; i++)
        key = rip__load_relaxed(&me->slot->held[i]);
    if (key == 0 || (uint32_t)(key >> 3) != tag)
        return false;
    if (owed->n != 0 && (owed->key != key || owed->word != wake->word))
        return false;
    unsigned n = owed->n;
    *owed = *wake;
    owed->key = key;
    owed->n = n < RIP__ALL - wake->n ? n + wake->n : RIP__ALL;
    rip__or(&me->slot->wanted, RIP__OWES);
    return true;
}

static void wake_heir(const struct rip__me *me, rip_lock *l)
{
    bool shared = me->domain->shared;
    if (rip__wake(shared, rip__low(&l->heir), 1) == 0)
        rip__wake(shared, rip__low(&l->word), 1);
}

/* A release that others wait for, or that cannot do without a barrier. */
RIP__SLOW static bool give_slowly(struct rip__me *me, rip_lock *l)
{
    uint64_t word = rip__load_relaxed(&l->word);
    if (rip__who(word) != me->id)
        return false;
    bool heir = (rip__load_relaxed(&me->slot->wanted) & wanted_bit(me, l)) &&
                call_heir(l, me);
    rip__forget_held(me, rip__find_held(me, l));
    rip__swap(&l->word, (word & RIP__DAMAGED) | (heir ? STARVING : 0));
    if (heir)
        wake_heir(me, l);
    else
        wake_one(me, l);
    pay(me, l);
    return true;
}

/*
 * Whether the caller holds it, and nobody wants anything: where it is noted
 * then. The word would tell it too, but a load of what has just been swapped
 * has to wait for the swap, which costs nearly as much again.
 */
static inline uint64_t *find_simple(const struct rip__me *me, const rip_lock *l)
{
    uint64_t *at = rip__find_held(me, l);
    return rip__load_relaxed(&me->slot->wanted) == 0 ? at : NULL;
}

static inline void give(struct rip__me *me, rip_lock *l, uint64_t *at)
{
    rip__store_relaxed(at, 0);
    rip__store(&l->word, 0);
    /* In this order for the compiler; and for the CPU, where a waiter comes. */
    __asm__ volatile("" ::: "memory");
    if (rip__load_relaxed(&me->slot->wanted) != 0)
        wake_one(me, l);
}

bool rip__lock_give(struct rip__me *me, rip_lock *l)
{
    uint64_t *at = find_simple(me, l);
    if (!at)
        return give_slowly(me, l);
    give(me, l, at);
    return true;
}

RIP__SLOW static void release_slowly(rip_lock *l)
{
    struct rip__me *me;
    if (rip__join(l, &me) < 0 || !rip__lock_give(me, l))
        rip__misused(&l->word,
                     "rip_lock_release: the caller does not hold the lock");
}

void rip_lock_release(rip_lock *l)
{
    struct rip__me *me = rip__here(l);
    uint64_t *at = me ? find_simple(me, l) : NULL;
    if (at)
        give(me, l, at);
    else
        release_slowly(l);
}

bool rip_lock_is_mine(const rip_lock *l)
{
    const struct rip__me *me = rip__member(l);
    return me && rip__lock_is_of(l, me);
}
