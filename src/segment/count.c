/* SPDX-License-Identifier: MIT */
#include "segment/segment.h"

#include <errno.h>
#include <unistd.h> /* getpid */

/*
 * A number of permits, and who has them. Two words must agree, the number in
 * the object and the count in a record of the taker's slot, so the number
 * names the record that changed it last:
 *
 *     word:   bit 0      WAITERS: somebody may sleep
 *             1..24      the value
 *             25..43     sequence \
 *             44..45     kind      > the last change
 *             46..50     record   |
 *             51..63     slot    /
 *     kind:   NONE       without a record
 *             DONE       the intent of that record and sequence is effected
 *             VOID       it never will be; the value was left alone
 *
 *     record: key        the object, and its incarnation
 *             state      count:24, phase:2, sequence:38
 *     phase:  IDLE       nothing is under way
 *             TAKE       it is about to take one
 *             GIVE       it is about to give one back
 *             RETURN     it is about to give all back
 *
 * A change is three swaps, each from the exact value that was looked at:
 *
 *     publish   record: IDLE s    -> TAKE s+1           an intent
 *     effect    word:   value v   -> v-1, DONE s+1      it is done
 *     settle    record: TAKE s+1  -> IDLE s+1, count+1  it is noted
 *
 * Only who published effects; anyone settles what the word names, and must do
 * so before replacing that name. So at any moment: an intent that the word
 * names as DONE has happened, whatever else is pending has not, and is made
 * impossible for good by a word that names it as VOID. To know which of the
 * two it is one reads the word first and the record then: what is pending
 * after a word that does not name it was not effected before that word.
 *
 * Who changes a record settles and publishes in one swap, hence two swaps a
 * change. Sequences go on when a record comes to be used for another object,
 * or its slot by another member. A word has their lowest 19 bits: to be taken
 * in, one would have to be stopped between two instructions while one and the
 * same record makes a whole number of 2^19 changes of that word, and go on at
 * that very point.
 *
 * A record's key is changed by its owner alone, and only while it is IDLE with
 * a count of 0. So who reads a state that is not, and then still finds the
 * key, has a state that is about that object.
 */
enum phase { IDLE, TAKE, GIVE, RETURN };
enum kind { NONE, DONE, VOID };

enum { VALUE_AT = 1, NAME_AT = 25, NAME_BITS = 19, KIND_AT = 44 };
enum { RECORD_AT = 46, SLOT_AT = 51, PHASE_AT = 38, COUNT_AT = 40 };
enum { KEY_BITS = 48 };

#define NAME_MASK     (((uint64_t)1 << NAME_BITS) - 1)
#define SEQUENCE_MASK (((uint64_t)1 << PHASE_AT) - 1)

/* A turn that fails means that somebody else got on. A neighbour who scribbles
 * can make them fail as well, but not for ever. */
enum { TRIES = 1 << 20 };

/* A record: where it stands, in which place of which slot. */
struct place {
    struct rip__record *at;
    uint32_t slot, index;
};

/* One look at an object, and at a record of it after that. */
struct look {
    const struct rip__domain *domain;
    struct rip__count *count;
    uint64_t key;
    uint64_t word;
    struct place place;
    uint64_t seen; /* the record's state */
    uint64_t base; /* that with nothing pending */
};

/* ---- what is in the words --------------------------------------------- */

static unsigned value_of(uint64_t word)
{
    return (unsigned)(word >> VALUE_AT) & RIP__COUNT_MAX;
}

static uint64_t with_value(uint64_t word, unsigned value)
{
    const uint64_t mask = (uint64_t)RIP__COUNT_MAX << VALUE_AT;
    return (word & ~mask) | (uint64_t)(value & RIP__COUNT_MAX) << VALUE_AT;
}

static enum kind kind_of(uint64_t word)
{
    return (enum kind)(word >> KIND_AT & 3);
}

static uint64_t named(uint64_t word)
{
    return word >> NAME_AT & NAME_MASK;
}

static uint64_t with_name(uint64_t word, const struct place *p, enum kind kind,
                          uint64_t sequence)
{
    const uint64_t low = ((uint64_t)1 << NAME_AT) - 1;
    return (word & low) | (sequence & NAME_MASK) << NAME_AT |
           (uint64_t)kind << KIND_AT | (uint64_t)p->index << RECORD_AT |
           (uint64_t)p->slot << SLOT_AT;
}

static uint64_t state(unsigned count, enum phase phase, uint64_t sequence)
{
    return (uint64_t)count << COUNT_AT | (uint64_t)phase << PHASE_AT |
           (sequence & SEQUENCE_MASK);
}

static unsigned count_of(uint64_t s)
{
    return (unsigned)(s >> COUNT_AT);
}

static enum phase phase_of(uint64_t s)
{
    return (enum phase)(s >> PHASE_AT & 3);
}

/* Whether the word says what became of the intent that is pending in s. */
static bool is_decided(uint64_t word, const struct place *p, uint64_t s)
{
    return word >> NAME_AT == with_name(0, p, kind_of(word), s) >> NAME_AT &&
           kind_of(word) != NONE;
}

/* The state after what is pending in s was done, or dropped. */
static uint64_t outcome(uint64_t s, bool done)
{
    unsigned n = count_of(s);
    if (done && phase_of(s) == TAKE)
        n++;
    else if (done && phase_of(s) == GIVE)
        n--;
    else if (done && phase_of(s) == RETURN)
        n = 0;
    return state(n, IDLE, s);
}

static bool is_free(const struct rip__record *r)
{
    uint64_t s = rip__load(&r->state);
    return phase_of(s) == IDLE && count_of(s) == 0;
}

static bool makes_sense(const struct rip__count *c, uint64_t word)
{
    unsigned max = rip__load_relaxed(&c->max);
    return max <= RIP__COUNT_MAX && value_of(word) <= max;
}

static uint64_t key_of(const struct rip__domain *d, const struct rip__count *c)
{
    return rip__key(d, c) |
           (uint64_t)(rip__load_relaxed(&c->incarnation) & 0xffff) << KEY_BITS;
}

/* The object that a record is about; NULL when it is no more. */
static struct rip__count *object_of(const struct rip__domain *d, uint64_t key)
{
    uint64_t offset = key & (((uint64_t)1 << KEY_BITS) - 1);
    struct rip__count *c =
        offset == 0 ? NULL : rip__object(d, offset, sizeof *c);
    bool same = c && key_of(d, c) == key;
    return same && makes_sense(c, rip__load(&c->word)) ? c : NULL;
}

static struct place place(const struct rip__domain *d, uint32_t slot,
                          uint32_t index)
{
    return (struct place){ &rip__slot(d, slot)->records[index], slot, index };
}

unsigned rip__count_value(const struct rip__count *c)
{
    return value_of(rip__load(&c->word));
}

/* ---- one change ------------------------------------------------------- */

/* Notes in the record that the word names what became of its intent. */
static void settle(const struct look *l)
{
    uint32_t slot = (uint32_t)(l->word >> SLOT_AT);
    uint32_t index = (uint32_t)(l->word >> RECORD_AT) & (RIP__RECORDS - 1);
    if (kind_of(l->word) == NONE || slot == 0 || slot >= l->domain->n_slots)
        return;
    struct place p = place(l->domain, slot, index);
    uint64_t s = rip__load(&p.at->state);
    if (phase_of(s) != IDLE && is_decided(l->word, &p, s) &&
        rip__load(&p.at->key) == l->key)
        rip__cas(&p.at->state, &s, outcome(s, kind_of(l->word) == DONE));
}

static bool names(uint64_t word, const struct place *p)
{
    return word >> RECORD_AT == with_name(0, p, NONE, 0) >> RECORD_AT;
}

/* Replaces the word, what it names being settled. What it names of the record
 * looked at is so already: by the look, or by the intent that followed it. */
static bool change(const struct look *l, uint64_t to)
{
    uint64_t word = l->word;
    if (!names(word, &l->place))
        settle(l);
    return rip__cas(&l->count->word, &word, to);
}

/*
 * Looks at the record. False: something is pending that is not decided, by
 * somebody who is under way, or was; it is made void, and it takes another
 * look. Or the record is about something else.
 */
static bool steady(struct look *l)
{
    const struct place *p = &l->place;
    uint64_t s = l->seen = l->base = rip__load(&p->at->state);
    if (rip__load(&p->at->key) != l->key)
        return false;
    if (phase_of(s) == IDLE)
        return true;
    l->base = outcome(s, kind_of(l->word) == DONE);
    if (is_decided(l->word, p, s))
        return true;
    change(l, with_name(l->word, p, VOID, s));
    return false;
}

/* Publishes an intent that follows what is steady: its state, or 0. The word
 * may still name an old one of this record: the new one must look different. */
static uint64_t publish(const struct look *l, enum phase phase)
{
    uint64_t seen = l->seen;
    uint64_t s = state(count_of(l->base), phase, l->base + 1);
    if (is_decided(l->word, &l->place, s))
        s = state(count_of(l->base), phase, l->base + 2);
    return rip__cas(&l->place.at->state, &seen, s) ? s : 0;
}

/* One change by way of a record that is steady, to a word with that value and
 * those flags. False: somebody was faster, and nothing has changed. */
static bool turn(const struct look *l, enum phase phase, uint64_t to)
{
    uint64_t s = publish(l, phase);
    if (s == 0)
        return false;
    if (change(l, with_name(to, &l->place, DONE, s)))
        return true;
    rip__cas(&l->place.at->state, &s, state(count_of(s), IDLE, s));
    return false;
}

/* Brings whatever is pending in a record to its end. When its object is no
 * more there is nothing to decide it by, and nothing to come back to. False: a
 * neighbour was in the way all the time. */
static bool conclude(const struct rip__domain *d, const struct place *p)
{
    struct look l = { .domain = d, .place = *p };
    uint64_t s = rip__load(&p->at->state);
    l.key = rip__load(&p->at->key);
    l.count = object_of(d, l.key);
    if (!l.count)
        rip__cas(&p->at->state, &s, state(0, IDLE, s + 1));
    for (unsigned i = 0; l.count && i < TRIES; i++) {
        l.word = rip__load(&l.count->word);
        if (steady(&l) &&
            (l.seen == l.base || rip__cas(&p->at->state, &l.seen, l.base)))
            return true;
    }
    return !l.count;
}

/* ---- taking ----------------------------------------------------------- */

/* A record of one's own that is about nothing; one that was never used, if
 * there is such. Those whose last permit was given back, and where that is
 * not noted yet, are tidied up when there is no other. */
static struct rip__record *unused(const struct rip__me *me)
{
    struct rip__record *found = NULL;
    struct rip__record *r = rip__slot(me->domain, me->index)->records;
    for (uint32_t i = 0; i < RIP__RECORDS; i++)
        if (is_free(&r[i]) && (!found || rip__load_relaxed(&r[i].key) == 0)) {
            found = &r[i];
            if (rip__load_relaxed(&r[i].key) == 0)
                break;
        }
    for (uint32_t i = 0; !found && i < RIP__RECORDS; i++) {
        conclude(me->domain, &(struct place){ &r[i], me->index, i });
        if (is_free(&r[i]))
            found = &r[i];
    }
    return found;
}

/* One's own record for the object: false, there is none left. */
static bool own_record(const struct rip__me *me, uint64_t key,
                       struct place *ret)
{
    struct rip__record *r = rip__slot(me->domain, me->index)->records;
    uint32_t i = 0;
    while (i < RIP__RECORDS && rip__load_relaxed(&r[i].key) != key)
        i++;
    if (i == RIP__RECORDS) {
        struct rip__record *fresh = unused(me);
        if (!fresh)
            return false;
        rip__store(&fresh->key, key);
        i = (uint32_t)(fresh - r);
    }
    *ret = (struct place){ &r[i], me->index, i };
    return true;
}

/* Nothing to take: WAITERS is set for who is going to sleep. */
static int none(struct rip__count *c, uint64_t word, uint32_t *seen)
{
    if (!seen)
        return 0;
    *seen = (uint32_t)(word | RIP__WAITERS);
    if (word & RIP__WAITERS || rip__cas(&c->word, &word, word | RIP__WAITERS))
        return 0;
    return -EAGAIN;
}

/* Who has slept does not know who else does: it leaves WAITERS set, and passes
 * on the wake of a permit that it leaves. */
static int try_take(struct look *l, bool slept, uint32_t *seen)
{
    struct rip__count *c = l->count;
    l->word = rip__load(&c->word);
    if (!makes_sense(c, l->word))
        return -EBADMSG;
    unsigned value = value_of(l->word);
    if (value == 0)
        return none(c, l->word, seen);
    uint64_t to = with_value(l->word, value - 1) | (slept ? RIP__WAITERS : 0);
    if (!steady(l) || !turn(l, TAKE, to))
        return -EAGAIN;
    if (slept && value > 1)
        rip__wake(true, rip__low(&c->word), 1);
    return 1;
}

int rip__count_take(struct rip__me *me, struct rip__count *c, bool slept,
                    uint32_t *seen)
{
    struct look l = { .domain = me->domain, .count = c };
    l.key = key_of(me->domain, c);
    if (!own_record(me, l.key, &l.place))
        return -ENOMEM;
    int r = -EAGAIN;
    for (unsigned i = 0; r == -EAGAIN && i < TRIES; i++)
        r = try_take(&l, slept, seen);
    return r == -EAGAIN ? -EBADMSG : r;
}

/* ---- giving ----------------------------------------------------------- */

unsigned rip__count_recorded(uint64_t s, uint64_t word, uint32_t slot,
                             uint32_t index)
{
    const struct place p = { NULL, slot, index };
    if (phase_of(s) != IDLE && is_decided(word, &p, s))
        s = outcome(s, kind_of(word) == DONE);
    return count_of(s);
}

/* How many a record held when the word was the one looked at. */
static unsigned holds(const struct look *l, const struct place *p)
{
    uint64_t s = rip__load(&p->at->state);
    if (rip__load(&p->at->key) != l->key)
        return 0;
    return rip__count_recorded(s, l->word, p->slot, p->index);
}

/* Whether the slot holds any; where, in l->place. */
static bool is_holder(struct look *l, uint32_t slot)
{
    for (uint32_t i = 0; i < RIP__RECORDS; i++) {
        struct place p = place(l->domain, slot, i);
        if (rip__load_relaxed(&p.at->key) == l->key && holds(l, &p) > 0) {
            l->place = p;
            return true;
        }
    }
    return false;
}

/* Whether a slot is of the caller's process. Who is no member knows only its
 * pid, and that may once have been another's. */
static bool is_sibling(const struct rip__me *me, const struct rip__domain *d,
                       uint32_t index)
{
    const struct rip__slot *slot = rip__slot(d, index);
    uint32_t pid = rip__load_relaxed(&slot->pid);
    if (me)
        return pid == me->slot->pid &&
               rip__load_relaxed(&slot->pstart) == me->slot->pstart;
    return pid == (uint32_t)getpid() && !rip__process_is_gone(d, index);
}

/* Whose permit it is that is given: one's own, a sibling's, or anybody's. */
static bool find_holder(struct look *l, const struct rip__me *me)
{
    if (me && is_holder(l, me->index))
        return true;
    struct place other = { NULL, 0, 0 };
    uint32_t used = rip__slots_used(l->domain);
    for (uint32_t i = 1; i < used; i++) {
        if (!is_holder(l, i))
            continue;
        if (is_sibling(me, l->domain, i))
            return true;
        other = l->place;
    }
    l->place = other;
    return other.at != NULL;
}

/* Gives back what a steady record holds: all, if that is not more than n, or
 * else one. How many: 0, somebody was faster. */
static unsigned give_from(const struct look *l, unsigned n)
{
    unsigned all = count_of(l->base), k = all <= n ? all : 1;
    unsigned value = value_of(l->word);
    unsigned room = rip__load_relaxed(&l->count->max) - value;
    uint64_t to = with_value(l->word, value + (k <= room ? k : room));
    to &= ~(uint64_t)RIP__WAITERS;
    return k > 0 && turn(l, k == all ? RETURN : GIVE, to) ? k : 0;
}

/* Nobody holds any: it began with less than max. */
static unsigned give_alone(const struct look *l, unsigned n)
{
    static const struct place nowhere;
    uint64_t to = with_value(l->word, value_of(l->word) + n);
    to = with_name(to, &nowhere, NONE, named(l->word) + 1);
    return change(l, to & ~(uint64_t)RIP__WAITERS) ? n : 0;
}

static void wake_for(const struct look *l, unsigned n)
{
    if (n > 0 && l->word & RIP__WAITERS)
        rip__wake(true, rip__low(&l->count->word), n);
}

/* Gives up to n: how many. */
static int try_give(struct look *l, const struct rip__me *me, unsigned n)
{
    l->word = rip__load(&l->count->word);
    if (!makes_sense(l->count, l->word))
        return -EBADMSG;
    if (n > rip__load_relaxed(&l->count->max) - value_of(l->word))
        return -EOVERFLOW;
    if (!find_holder(l, me))
        n = give_alone(l, n);
    else
        n = steady(l) ? give_from(l, n) : 0;
    wake_for(l, n);
    return (int)n;
}

int rip__count_give(const struct rip__me *me, struct rip__count *c, unsigned n)
{
    struct look l = { .count = c };
    l.domain = me ? me->domain : rip__domain_of(c);
    l.key = key_of(l.domain, c);
    for (unsigned i = 0; n > 0; i++) {
        int r = i < TRIES ? try_give(&l, me, n) : -EBADMSG;
        if (r < 0)
            return r;
        n -= (unsigned)r;
    }
    return 0;
}

/* ---- for who waits ---------------------------------------------------- */

size_t rip__count_holders(const struct rip__me *me, struct rip__count *c,
                          uint64_t *ret, size_t max)
{
    const struct rip__domain *d = me->domain;
    struct look l = { .domain = d, .count = c, .key = key_of(d, c) };
    uint32_t used = rip__slots_used(d);
    size_t n = 0;
    l.word = rip__load(&c->word);
    for (uint32_t i = 1; i < used && n < max; i++)
        if (i != me->index && is_holder(&l, i))
            ret[n++] = rip__identity(
                rip__generation(rip__load(&rip__slot(d, i)->claim)), i);
    return n;
}

/* ---- after a death ---------------------------------------------------- */

/* The slot's claim is looked at after the record: who is slow here may find
 * another member in the slot, whose permits are its own. */
static void give_back(const struct rip__domain *d, const struct place *p,
                      uint64_t claim)
{
    struct look l = { .domain = d, .place = *p };
    l.key = rip__load(&p->at->key);
    l.count = object_of(d, l.key);
    for (unsigned i = 0; l.count && i < TRIES && !is_free(p->at); i++) {
        l.word = rip__load(&l.count->word);
        bool still = steady(&l);
        if (rip__load(&rip__slot(d, p->slot)->claim) != claim ||
            !makes_sense(l.count, l.word))
            return;
        if (still)
            wake_for(&l, give_from(&l, RIP__COUNT_MAX));
        if (!conclude(d, p))
            return;
    }
}

static bool all_free(const struct rip__domain *d, uint32_t index)
{
    for (uint32_t i = 0; i < RIP__RECORDS; i++)
        if (!is_free(place(d, index, i).at))
            return false;
    return true;
}

bool rip__count_sweep(const struct rip__domain *d, uint32_t index)
{
    uint64_t claim = rip__load(&rip__slot(d, index)->claim);
    for (uint32_t i = 0; i < RIP__RECORDS; i++) {
        struct place p = place(d, index, i);
        if (!is_free(p.at))
            conclude(d, &p);
    }
    if (all_free(d, index))
        return true;
    if (!rip__process_is_gone(d, index))
        return false;
    for (uint32_t i = 0; i < RIP__RECORDS; i++) {
        struct place p = place(d, index, i);
        give_back(d, &p, claim);
    }
    return all_free(d, index);
}
