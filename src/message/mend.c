/* SPDX-License-Identifier: MIT */
#include "message/queue.h"

/*
 * What comes back: its taker has died, or has given it back. That is one swap
 * of the cell's word, and it is in no order: who takes looks through the cells
 * for it, if `returned` has changed since somebody did so and found nothing.
 *
 * `returned` is raised after the swap. Who dies in between leaves a cell that
 * names it, or another dead one; so whoever sweeps raises it too. What is
 * raised too often costs a look.
 */

void rip__queue_tell_of_return(const struct rip__queue_map *m, uint64_t word)
{
    rip__plus(&m->q->returned, 1);
    if (rip__is_dead_letter(m, word)) {
        rip__queue_tell(&m->q->mourners);
        rip__queue_tell(&m->q->joiners);
    } else {
        rip__queue_tell(&m->q->getters);
    }
}

bool rip__queue_return(const struct rip__queue_map *m, uint32_t cell,
                       uint64_t word, bool by_death)
{
    uint32_t deaths = rip__cell_deaths(word);
    if (by_death && deaths < RIP__DEATHS_MAX)
        deaths++;
    uint64_t to = rip__cell_word(RIP__CELL_BACK, rip__cell_owner(word),
                                 rip__cell_version(word) + 1, deaths);
    if (!rip__cas(&m->cells[cell].word, &word, to))
        return false;
    rip__queue_tell_of_return(m, to);
    return true;
}

static bool is_back(const struct rip__queue_map *m, uint64_t word, bool dead)
{
    return rip__cell_state(word) == RIP__CELL_BACK &&
           rip__is_dead_letter(m, word) == dead;
}

static uint32_t next_cell(const struct rip__queue_map *m, uint32_t b)
{
    return b + 1 < m->capacity ? b + 1 : 0;
}

/* That is to be claimed next, if cells are claimed in turn. */
static uint32_t oldest_cell(const struct rip__queue_map *m)
{
    uint32_t b = rip__load_relaxed(&m->q->order.cursor);
    return b < m->capacity ? b : 0;
}

/* Behind the last one that was found, if nothing has come back since. */
static uint32_t begin_at(const struct rip__queue_map *m, uint64_t returned)
{
    uint64_t resume = rip__load_relaxed(&m->q->resume);
    uint32_t b = (uint32_t)resume;
    return resume >> 32 == (uint32_t)returned && b < m->capacity
               ? b
               : oldest_cell(m);
}

bool rip__queue_find_back(const struct rip__queue_map *m, bool dead,
                          uint32_t *cell, uint64_t *word)
{
    const uint64_t returned = rip__load(&m->q->returned);
    uint32_t b = begin_at(m, returned);
    for (uint32_t i = 0; i < m->capacity; i++) {
        *word = rip__load(&m->cells[b].word);
        *cell = b;
        b = next_cell(m, b);
        if (is_back(m, *word, dead))
            return true;
    }
    if (!dead)
        rip__store(&m->q->examined, returned);
    return false;
}

void rip__queue_pass_back(const struct rip__queue_map *m, uint32_t cell)
{
    uint64_t returned = rip__load_relaxed(&m->q->returned);
    rip__store_relaxed(&m->q->resume, returned << 32 | next_cell(m, cell));
}

size_t rip__queue_count_back(const struct rip__queue_map *m, bool dead)
{
    size_t n = 0;
    for (uint32_t b = 0; b < m->capacity; b++)
        n += is_back(m, rip__load(&m->cells[b].word), dead);
    return n;
}

bool rip__queue_is_ours(const struct rip__queue_view *v, uint32_t owner)
{
    const struct rip__domain *d = v->me->domain;
    const struct rip__slot *mine = v->me->slot;
    uint32_t slot = rip__slot_of(owner);
    return owner == v->owner ||
           (slot < d->n_slots &&
            rip__load_relaxed(&rip__slot(d, slot)->pid) ==
                rip__load_relaxed(&mine->pid) &&
            rip__load_relaxed(&rip__slot(d, slot)->pstart) ==
                rip__load_relaxed(&mine->pstart));
}

void rip__queue_return_all(const struct rip__queue_view *v)
{
    for (uint32_t b = 0; b < v->m.capacity; b++) {
        uint64_t word = rip__load(&v->m.cells[b].word);
        if (rip__cell_state(word) == RIP__CELL_LEASED &&
            rip__queue_is_ours(v, rip__cell_owner(word)))
            rip__queue_return(&v->m, b, word, false);
    }
}

/* ---- after a death ---------------------------------------------------- */

/*
 * Cells that name the dead. Each step is found again by whoever comes next, if
 * who makes it is killed too, as the slot of the dead is kept until all is
 * done.
 *
 * This stands in one file with what takes have need of: the sweep calls it by a
 * weak name, which brings nothing in from a static library.
 */

/* A put that was killed: what is in the order has lost the name before. */
static void abort_put(const struct rip__queue_map *m, uint32_t b, uint64_t word)
{
    if (rip__cas(&m->cells[b].word, &word, rip__cell_undone(word)))
        rip__queue_tell(&m->q->putters);
}

/* One cell of a dead thread: false, its process lives, and has it leased. */
static bool mend(const struct rip__queue_map *m, uint32_t b, uint64_t word,
                 bool process_gone)
{
    switch (rip__cell_state(word)) {
    case RIP__CELL_FILLED:
        abort_put(m, b, word);
        return true;
    case RIP__CELL_BACK:
        rip__queue_tell_of_return(m, word);
        return true;
    case RIP__CELL_LEASED:
        if (process_gone)
            rip__queue_return(m, b, word, true);
        return process_gone;
    default:
        return true;
    }
}

static bool mend_all(const struct rip__queue_map *m, uint32_t owner,
                     bool process_gone)
{
    uint32_t b = oldest_cell(m);
    bool all = true;
    rip__order_disown(m, owner);
    for (uint32_t i = 0; i < m->capacity; i++) {
        uint64_t word = rip__load(&m->cells[b].word);
        if (rip__cell_owner(word) == owner)
            all = mend(m, b, word, process_gone) && all;
        b = next_cell(m, b);
    }
    return all;
}

bool rip__queue_mend(struct rip__domain *d, uint32_t index, uint64_t claim,
                     uint64_t key, unsigned incarnation)
{
    uint64_t who = rip__identity(rip__generation(claim), index);
    bool process_gone = rip__process_is_gone(d, index);
    struct rip__queue_map m;
    rip_queue *q = rip__object(d, key, sizeof *q);
    if (!q || !rip__queue_map(&m, d, q) ||
        (m.incarnation & RIP__INCARNATIONS) != incarnation)
        return true; /* it was freed */
    bool all = mend_all(&m, rip__cell_owner(who), process_gone);
    if (all) { /* else it comes here again; it may have been about to wake one
                */
        rip__queue_tell(&q->getters);
        rip__queue_tell(&q->putters);
    }
    return all;
}
