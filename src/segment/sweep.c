/* SPDX-License-Identifier: MIT */
#include "segment/segment.h"

/*
 * What the dead leave behind for others to mend. Each step may have been done
 * before, or be done by somebody else just now, and says the same again; so
 * whoever is killed in here leaves nothing that the next does not find.
 *
 * Locks need no step: they name their holder, and are taken over by who wants
 * them.
 */

/* A swap that fails means that somebody else got on, or that one scribbles. The
 * next sweep does it, then. */
enum { TRIES = 1 << 20 };

static bool is_still(const struct rip__slot *slot, uint64_t claim)
{
    return rip__load(&slot->claim) == claim;
}

static bool is_waited_for(const struct rip__domain *d, uint64_t key)
{
    uint32_t used = rip__slots_used(d);
    for (uint32_t i = 1; i < used; i++) {
        const struct rip__slot *slot = rip__slot(d, i);
        uint64_t claim = rip__load(&slot->claim);
        if (rip__phase(claim) == RIP__LIVE && rip__load(&slot->wait) == key &&
            !rip__is_dead(d, rip__identity(rip__generation(claim), i)))
            return true;
    }
    return false;
}

/* Who goes of its own accord while nobody waits leaves no gap that somebody
 * else cannot fill. */
static bool may_leave(const struct rip__domain *d, const struct rip__slot *slot,
                      enum rip__mark_kind kind)
{
    return kind == RIP__PARTY && (rip__load(&slot->left) != 0 || !d->shared);
}

/* The first to break it has done so. What a sweep that was stopped for long has
 * noted of those before a reset is replaced. */
static bool note_culprit(const struct rip__domain *d, struct rip__fellowship *f,
                         uint64_t who)
{
    uint64_t noted = rip__load(&f->culprit);
    return !rip__is_party(d, f, noted) && rip__cas(&f->culprit, &noted, who);
}

/* A party is gone, and nobody will ever come in its place. If it may leave, the
 * object is not even looked at without one who is in a wait there, as its
 * memory may be gone; and who is there may be on its way out. The slot is
 * looked at once more between the word and the swap: a sweep that was stopped
 * for long must not break what has begun since. */
static void break_fellowship(const struct rip__domain *d, uint32_t index,
                             uint64_t claim, struct rip__fellowship *f,
                             unsigned incarnation, bool quietly)
{
    const struct rip__slot *slot = rip__slot(d, index);
    uint64_t word = rip__load(&f->word);
    uint64_t who = rip__identity(rip__generation(claim), index);
    bool noted = false;
    for (int i = 0; i < TRIES && !(word & RIP__BROKEN); i++) {
        bool other =
            (rip__load(&f->incarnation) & RIP__INCARNATIONS) != incarnation;
        bool leaves = quietly && !(word & RIP__WAITERS);
        if (other || leaves || !is_still(slot, claim)) {
            if (noted) /* it is not broken after all */
                rip__cas(&f->culprit, &who, 0);
            return;
        }
        noted = note_culprit(d, f, who) || noted;
        if (rip__cas(&f->word, &word, word | RIP__BROKEN))
            break;
    }
    rip__wake(d->shared, rip__low(&f->word), RIP__ALL);
}

static void break_marked(const struct rip__domain *d, uint32_t index,
                         uint64_t claim)
{
    const struct rip__slot *slot = rip__slot(d, index);
    uint32_t n = rip__load(&slot->n_marks);
    for (uint32_t i = 0; i < n && i < RIP__MARKS; i++) {
        enum rip__mark_kind kind;
        uint64_t key;
        unsigned incarnation;
        if (!rip__mark_read(rip__load(&slot->marks[i]), &kind, &key,
                            &incarnation) ||
            (kind != RIP__PARTY && kind != RIP__PLEDGED) ||
            (may_leave(d, slot, kind) && !is_waited_for(d, key)))
            continue;
        struct rip__fellowship *f = rip__object(d, key, sizeof *f);
        if (f)
            break_fellowship(d, index, claim, f, incarnation,
                             may_leave(d, slot, kind));
    }
}

/* False: something is left, or whoever knows about it is not in this program.
 */
static bool mend_queues(struct rip__domain *d, uint32_t index, uint64_t claim)
{
    const struct rip__slot *slot = rip__slot(d, index);
    uint32_t n = rip__load(&slot->n_marks);
    bool all = true;
    for (uint32_t i = 0; i < n && i < RIP__MARKS; i++) {
        enum rip__mark_kind kind;
        uint64_t key;
        unsigned incarnation;
        if (rip__mark_read(rip__load(&slot->marks[i]), &kind, &key,
                           &incarnation) &&
            kind == RIP__USES)
            all = rip__queue_mend &&
                  rip__queue_mend(d, index, claim, key, incarnation) && all;
    }
    return all;
}

/* Once. A sweep that was stopped for long may do so when another has the slot:
 * of that it says nothing then, nor does it replace what is noted of it. */
static void note_time(struct rip__slot *slot, uint64_t claim)
{
    uint64_t *died = (uint64_t *)(void *)&slot->died;
    uint64_t seen = rip__load(died);
    if (rip__death_of(claim, (rip_time)seen) == 0 && is_still(slot, claim))
        rip__cas(died, &seen,
                 (uint64_t)rip__death_word(claim, rip__os_clock()));
}

static bool is_claimer_gone(uint64_t claim)
{
    return rip__os_tid_is_gone(rip__claimer(claim));
}

/* `deep`: the kernel is asked, in case that the list of a member which seems
 * alive was spoilt by others. */
static bool is_dead(const struct rip__domain *d, uint32_t index, uint64_t claim,
                    bool deep)
{
    uint64_t who = rip__identity(rip__generation(claim), index);
    if (rip__phase(claim) == RIP__CLAIMED)
        return is_claimer_gone(claim);
    return deep ? rip__is_gone(d, who) : rip__is_seen_dead(d, who);
}

static void free_slot(struct rip__slot *slot, uint64_t claim)
{
    /* No tid, and a phase of 0, which is RIP__FREE. */
    rip__cas(&slot->claim, &claim, rip__generation(claim) << 24);
}

static void sweep_slot(struct rip__domain *d, uint32_t index, uint64_t claim)
{
    struct rip__slot *slot = rip__slot(d, index);
    if (rip__phase(claim) == RIP__LIVE) {
        note_time(slot, claim);
        break_marked(d, index, claim);
        bool all = mend_queues(d, index, claim);
        if ((d->shared && !rip__count_sweep(d, index)) || !all)
            return; /* its process lives, and has permits or messages */
    }
    free_slot(slot, claim);
}

void rip__sweep(struct rip__domain *d)
{
    static uint32_t turn; /* each sweep looks deep at another slot */
    uint32_t used = rip__slots_used(d);
    uint32_t due = used > 1 ? 1 + rip__plus(&turn, 1) % (used - 1) : 0;
    for (uint32_t i = 1; i < used; i++) {
        uint64_t claim = rip__load(&rip__slot(d, i)->claim);
        if (rip__phase(claim) != RIP__FREE && is_dead(d, i, claim, i == due))
            sweep_slot(d, i, claim);
    }
}
