/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "message/queue.h"

/*
 * An order is a ring of entries. Each position is written once in a lap, by a
 * swap of the entry of the lap before, which is spent by then: there are more
 * entries than cells, and who appends has a cell in the hand. So there are no
 * gaps, and nobody waits for anybody to fill one.
 *
 * `head` and `tail` are hints. They are stored after what they tell, so who
 * dies in between leaves one that is too low, which costs the next one a few
 * looks; and who was stopped in between may set one back.
 */

static struct rip__order *order(const struct rip__queue_map *m,
                                enum rip__way way)
{
    return &m->q->order[way];
}

static uint64_t *entry_at(const struct rip__queue_map *m, enum rip__way way,
                          uint64_t position)
{
    return &m->entries[way][position & m->mask];
}

int rip__order_append(const struct rip__queue_map *m, enum rip__way way,
                      uint32_t cell, uint32_t version)
{
    uint64_t t = rip__load_relaxed(&order(m, way)->tail);
    for (uint32_t i = rip__order_tries(m); i > 0; i--) {
        uint64_t *at = entry_at(m, way, t), seen = rip__load(at);
        int32_t ahead = rip__entry_ahead(seen, t);
        if (ahead == 0 && rip__entry_cell(seen) == RIP__NO_CELL)
            return cell == RIP__NO_CELL ? 0 : -EPIPE;
        if (ahead >= 0) {
            t += (uint32_t)ahead + 1;
        } else if (rip__cas(at, &seen, rip__entry(t, version, cell))) {
            rip__store_relaxed(&order(m, way)->tail, t + 1);
            return 0;
        }
    }
    return -EBADMSG;
}

bool rip__order_has(const struct rip__queue_map *m, enum rip__way way,
                    uint32_t cell, uint32_t version)
{
    uint64_t sought = rip__entry(0, version, cell), mask = rip__entry(1, 0, 0);
    for (uint32_t i = 0; i <= m->mask; i++)
        if ((rip__load(&m->entries[way][i]) & (mask - 1)) == sought)
            return true;
    return false;
}

int rip__order_first(const struct rip__queue_map *m, enum rip__way way,
                     uint32_t *cell, uint64_t *word, uint64_t *position)
{
    uint64_t h = rip__load_relaxed(&order(m, way)->head);
    for (uint32_t i = rip__order_tries(m); i > 0; i--) {
        uint64_t entry = rip__load(entry_at(m, way, h));
        int32_t ahead = rip__entry_ahead(entry, h);
        if (ahead < 0)
            return 0;
        if (ahead > 0) { /* all that was there a lap before that is spent */
            h += (uint32_t)ahead - m->mask;
            continue;
        }
        *cell = rip__entry_cell(entry);
        if (*cell == RIP__NO_CELL)
            return -EPIPE;
        if (*cell >= m->capacity)
            return -EBADMSG;
        *word = rip__load(&m->cells[*cell].word);
        *position = h;
        if (rip__cell_is_ready(*word, rip__entry_version(entry)))
            return 1;
        h++;
    }
    return -EBADMSG;
}

size_t rip__order_count(const struct rip__queue_map *m, enum rip__way way)
{
    uint64_t h = rip__load_relaxed(&order(m, way)->head);
    size_t n = 0;
    for (uint32_t i = 0; i <= m->mask; i++, h++) {
        uint64_t entry = rip__load(entry_at(m, way, h));
        uint32_t cell = rip__entry_cell(entry);
        if (rip__entry_ahead(entry, h) < 0 || cell >= m->capacity)
            break;
        n += rip__cell_is_ready(rip__load(&m->cells[cell].word),
                                rip__entry_version(entry));
    }
    return n;
}
