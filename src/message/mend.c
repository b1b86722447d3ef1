/* SPDX-License-Identifier: MIT */
#include "message/queue.h"

/*
 * What a death leaves in a queue. Each step is found again by whoever comes
 * next, if who makes it is killed too: a cell keeps the name of the dead until
 * it is free, or has an entry.
 */

static enum rip__way way_back(const struct rip__queue_map *m, uint64_t word)
{
    bool dead = m->max_deaths > 0 && rip__cell_deaths(word) >= m->max_deaths;
    return dead ? RIP__DEAD : RIP__RETURNS;
}

/* A cell that is BACK gets an entry. Two sweeps at once may both make one; the
 * second of them is spent when the first is taken. */
static void send_back(const struct rip__queue_map *m, uint32_t b, uint64_t word)
{
    enum rip__way way = way_back(m, word);
    uint32_t version = rip__cell_version(word);
    if (!rip__order_has(m, way, b, version))
        (void)rip__order_append(m, way, b, version);
    rip__queue_tell(way == RIP__DEAD ? &m->q->mourners : &m->q->getters);
    if (way == RIP__DEAD)
        rip__queue_tell(&m->q->joiners);
}

bool rip__queue_return(const struct rip__queue_map *m, uint32_t b,
                       uint64_t word, bool by_death)
{
    uint32_t deaths = rip__cell_deaths(word);
    if (by_death && deaths < RIP__DEATHS_MAX)
        deaths++;
    uint64_t to = rip__cell_word(RIP__CELL_BACK, rip__cell_owner(word),
                                 rip__cell_version(word) + 1, deaths);
    if (!rip__cas(&m->cells[b].word, &word, to))
        return false;
    send_back(m, b, to);
    return true;
}

/* A put that was killed: it is in the queue, or it never was. */
static void abort_put(const struct rip__queue_map *m, uint32_t b, uint64_t word)
{
    if (rip__order_has(m, RIP__MAIN, b, rip__cell_version(word)))
        return;
    if (rip__cas(&m->cells[b].word, &word, rip__cell_freed(word)))
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
        send_back(m, b, word);
        return true;
    case RIP__CELL_LEASED:
        if (process_gone)
            rip__queue_return(m, b, word, true);
        return process_gone;
    default:
        return true;
    }
}

bool rip__queue_mend(struct rip__domain *d, uint32_t index, uint64_t claim,
                     uint64_t key, unsigned incarnation)
{
    uint64_t who = rip__identity(rip__generation(claim), index);
    bool process_gone = rip__process_is_gone(d, index), all = true;
    struct rip__queue_map m;
    rip_queue *q = rip__object(d, key, sizeof *q);
    if (!q || !rip__queue_map(&m, d, q) ||
        (m.incarnation & RIP__INCARNATIONS) != incarnation)
        return true; /* it was freed */
    for (uint32_t b = 0; b < m.capacity; b++) {
        uint64_t word = rip__load(&m.cells[b].word);
        if (rip__cell_state(word) != RIP__CELL_FREE &&
            rip__cell_owner(word) == rip__cell_owner(who))
            all = mend(&m, b, word, process_gone) && all;
    }
    if (all) { /* else it comes here again; it may have been about to wake one
                */
        rip__queue_tell(&q->getters);
        rip__queue_tell(&q->putters);
    }
    return all;
}
