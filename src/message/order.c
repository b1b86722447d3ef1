/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "message/queue.h"

/*
 * The order is a ring of entries. Each position is written once in a lap, by a
 * swap of the entry of the lap before, which is spent by then: there are twice
 * as many entries as cells, who appends has a cell in the hand, and what waits
 * is taken in its order. So there are no gaps, and nobody waits for anybody to
 * fill one.
 *
 * `head` and `tail` are hints. They are stored after what they tell, so who
 * dies in between leaves one that is too low, and who was stopped in between
 * may set one back, by many laps. From there the next one finds on, since an
 * entry tells its lap: at a position that is not too high it is of that lap, or
 * of the one before, or of a later one.
 */

/*
 * An entry: {lap, version:20, cell}. The cell has as many bits as a position
 * within a lap, so that the laps are counted up to 2^44 positions: who stands
 * still for exactly so many, for a week at the least, takes an entry for
 * another.
 *
 * A version comes round after 2^20 leases of its cell. Each that does not come
 * back has an entry, and the ring has at most 2^20: the one with that version
 * has been overwritten by then.
 */
enum { VERSION_BITS = 20 };

static uint64_t lap_of(const struct rip__queue_map *m, uint64_t position)
{
    return (position & ~(uint64_t)m->mask) << VERSION_BITS;
}

static uint64_t make(const struct rip__queue_map *m, uint64_t position,
                     uint32_t version, uint32_t cell)
{
    return lap_of(m, position) | (uint64_t)version << m->bits | cell;
}

static uint32_t version_of(const struct rip__queue_map *m, uint64_t entry)
{
    return (uint32_t)(entry >> m->bits) & RIP__VERSIONS;
}

static uint32_t cell_of(const struct rip__queue_map *m, uint64_t entry)
{
    return (uint32_t)entry & m->mask;
}

/* That number of a cell means the end. */
static uint32_t no_cell(const struct rip__queue_map *m)
{
    return m->mask;
}

/* By how many laps the entry is ahead of the position. */
static uint64_t laps_ahead(const struct rip__queue_map *m, uint64_t entry,
                           uint64_t position)
{
    return (entry - lap_of(m, position)) >> (VERSION_BITS + m->bits);
}

/* It is of the lap before. */
static bool is_behind(const struct rip__queue_map *m, uint64_t ahead)
{
    return ahead == UINT64_MAX >> (VERSION_BITS + m->bits);
}

static uint64_t *entry_at(const struct rip__queue_map *m, uint64_t position)
{
    return &m->entries[position & m->mask];
}

/* Nobody turns in a circle for ever, whatever a neighbour writes. */
static uint32_t tries(const struct rip__queue_map *m)
{
    return 4 * m->mask + 1024;
}

/* `tail` stays at the end once that is there: it is what stops who comes. */
int rip__order_append(const struct rip__queue_map *m, uint32_t cell,
                      uint32_t version)
{
    uint64_t t = rip__load_relaxed(&m->q->order.tail);
    for (uint32_t i = tries(m); i > 0; i--) {
        uint64_t *at = entry_at(m, t), seen = rip__load(at);
        uint64_t ahead = laps_ahead(m, seen, t);
        if (ahead == 0 && cell_of(m, seen) == no_cell(m))
            return -EPIPE;
        if (!is_behind(m, ahead)) {
            t += (ahead << m->bits) + 1;
        } else if (rip__cas(at, &seen, make(m, t, version, cell))) {
            if (cell != no_cell(m))
                rip__store_relaxed(&m->q->order.tail, t + 1);
            return 0;
        }
    }
    return -EBADMSG;
}

void rip__order_end(const struct rip__queue_map *m)
{
    (void)rip__order_append(m, no_cell(m), 0);
}

int rip__order_first(const struct rip__queue_map *m, uint32_t *cell,
                     uint64_t *word, uint64_t *position)
{
    uint64_t h = rip__load_relaxed(&m->q->order.head);
    for (uint32_t i = tries(m); i > 0; i--) {
        uint64_t entry = rip__load(entry_at(m, h));
        uint64_t ahead = laps_ahead(m, entry, h);
        if (is_behind(m, ahead))
            return 0;
        if (ahead > 0) { /* all that was there a lap before that is spent */
            h += (ahead << m->bits) - m->mask;
            continue;
        }
        *cell = cell_of(m, entry);
        if (*cell == no_cell(m))
            return -EPIPE;
        if (*cell >= m->capacity)
            return -EBADMSG;
        *word = rip__load(&m->cells[*cell].word);
        *position = h;
        if (rip__cell_waits(*word, version_of(m, entry)))
            return 1;
        h++;
    }
    return -EBADMSG;
}

/* Whether the entry's cell waits to be taken. */
static bool find(const struct rip__queue_map *m, uint64_t entry, uint32_t *cell,
                 uint64_t *word)
{
    *cell = cell_of(m, entry);
    if (*cell >= m->capacity)
        return false;
    *word = rip__load(&m->cells[*cell].word);
    return rip__cell_waits(*word, version_of(m, entry));
}

size_t rip__order_count(const struct rip__queue_map *m)
{
    uint64_t h = rip__load_relaxed(&m->q->order.head), word;
    size_t n = 0;
    for (uint32_t i = 0; i <= m->mask; i++, h++) {
        uint64_t entry = rip__load(entry_at(m, h));
        uint32_t cell;
        if (is_behind(m, laps_ahead(m, entry, h)))
            break;
        n += find(m, entry, &cell, &word);
    }
    return n;
}

void rip__order_disown(const struct rip__queue_map *m, uint32_t owner)
{
    for (uint32_t i = 0; i <= m->mask; i++) {
        uint64_t word;
        uint32_t cell;
        if (find(m, rip__load(&m->entries[i]), &cell, &word) &&
            rip__cell_owner(word) == owner)
            rip__cas(&m->cells[cell].word, &word,
                     rip__cell_to(word, RIP__CELL_FILLED, 0));
    }
}
