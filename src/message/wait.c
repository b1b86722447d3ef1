/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "message/queue.h"
#include "sync/sync.h"

/*
 * Who finds nothing sets RIP__SLEEPS in the word of its kind, looks once more,
 * and sleeps while the word is as it was. Who brings something takes the flag
 * away, if it is there, and wakes one. So while nobody sleeps that is one load;
 * and many who bring something before the sleeper runs make one system call
 * together. The word counts the wakes, too: else one that was about to sleep
 * while another set the flag again would find the word as it was, and sleep
 * beside what has come.
 *
 * Others may sleep beside the one who was woken: when that has found something
 * it sets the flag again, and wakes the next if there is more. What is lost by
 * a death in between they find at their look again.
 *
 * Who waits for other things too may be woken and take nothing. It sets
 * RIP__WATCHES, and then all are woken.
 */

/*
 * Before that it looks a few times more, after longer and longer pauses. Where
 * the other side is just as fast, each look takes a line out of its cache, and
 * both crawl along together; so who finds something at its first look waits
 * twice as long before that the next time, up to a microsecond or two, and then
 * finds many. Where one waits for an answer the first look is too early, and is
 * made sooner.
 */
enum { LEAST_NS = 64, MOST_NS = 4096 };

static void spin(rip_time ns)
{
    rip_time until = rip__os_clock() + ns;
    do {
        for (int i = 0; i < 4; i++)
            rip__pause();
    } while (rip__os_clock() < until);
}

void rip__queue_wake(uint32_t *sleepers, unsigned n)
{
    uint32_t seen = rip__load_relaxed(sleepers);
    for (int i = 0; i < RIP__TRIES && seen & RIP__AWAITED; i++)
        if (rip__cas32(sleepers, &seen, (seen | RIP__AWAITED) + 1)) {
            rip__wake(true, sleepers, seen & RIP__WATCHES ? RIP__ALL : n);
            return;
        }
}

/* Members to whom something is leased: up to `max`. */
static size_t lessees(const struct rip__queue_view *v, uint64_t *ret,
                      size_t max)
{
    const struct rip__domain *d = v->me->domain;
    size_t n = 0;
    for (uint32_t i = 0; i < v->m.capacity && n < max; i++) {
        uint64_t word = rip__load(&v->m.cells[i].word);
        uint32_t slot = rip__slot_of(rip__cell_owner(word));
        if (rip__cell_state(word) != RIP__CELL_LEASED || slot >= d->n_slots)
            continue;
        uint64_t claim = rip__load(&rip__slot(d, slot)->claim);
        ret[n++] = rip__identity(rip__generation(claim), slot);
    }
    return n;
}

/* Whose death may bring something, or the end. */
static size_t whom_to_watch(const struct rip__queue_view *v, uint64_t *ret)
{
    size_t n = 0;
    if (rip__load_relaxed(&v->m.q->has_leases))
        n = lessees(v, ret, RIP__WATCH);
    if (v->m.ends)
        n += rip__queue_writers(v, ret + n, RIP__WATCH - n);
    return n;
}

static int sleep_for(struct rip__queue_view *v, struct rip__queue_wait *w)
{
    uint64_t who[RIP__WATCH];
    struct rip__sleep s = {
        .object = v->m.q,
        .word = w->sleepers,
        .seen = w->seen,
        .watch = who,
        .heeds_stop = true,
    };
    rip_time until = w->deadline;
    w->announced = false;
    w->slept = true;
    s.n_watch = whom_to_watch(v, who);
    if (rip__load_relaxed(&v->m.q->has_leases) || v->m.ends)
        until = rip__dying_until(v->me, who, &s.n_watch, &w->naps, w->deadline);
    int r = rip__sleep(v->me, &s, until);
    return r == -ETIMEDOUT && until != w->deadline ? 0 : r;
}

bool rip__queue_found(struct rip__queue_wait *w)
{
    if (w->slept)
        rip__or(w->sleepers, RIP__SLEEPS);
    if (w->spins != 1)
        *w->patience /= 2;
    else if (!w->announced && *w->patience < MOST_NS)
        *w->patience *= 2;
    return w->slept;
}

int rip__queue_turn(struct rip__queue_view *v, struct rip__queue_wait *w)
{
    if (w->end < 0 || w->deadline == RIP_NOW)
        return w->end < 0 ? w->end : -ETIMEDOUT;
    if (*w->patience < LEAST_NS)
        *w->patience = LEAST_NS;
    rip_time ns = (rip_time)*w->patience << w->spins;
    if (ns <= MOST_NS && rip__spins() > 0) {
        spin(ns);
        w->spins++;
    } else if (!w->announced) {
        w->seen = rip__or(w->sleepers, RIP__SLEEPS) | RIP__SLEEPS;
        w->announced = true;
    } else {
        w->end = sleep_for(v, w);
    }
    return 0;
}

bool rip__queue_watch(rip_queue *q, uint32_t *seen)
{
    struct rip__queue_view *v;
    if (rip__queue_join(q, &v) < 0)
        return false;
    *seen = rip__or(&q->getters, RIP__WATCHES) | RIP__WATCHES;
    return !rip__queue_is_ready(q);
}
