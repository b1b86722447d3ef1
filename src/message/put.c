/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "message/queue.h"

/*
 * A put: claim a cell, by a swap of its word; write the message; append an
 * entry to the order, by which it is there. Until then the cell names its
 * owner, and nobody else looks at it.
 */

/* So many words are looked at before one waits a moment: the next free cell is
 * where the cursor points, in most cases. */
enum { FEW = 8 };

/* A free cell, which is ours then; -1: none of the next n is. */
static int64_t claim(const struct rip__queue_view *v, uint32_t n)
{
    const struct rip__queue_map *m = &v->m;
    uint32_t *cursor = &m->q->order.cursor;
    uint32_t b = rip__load_relaxed(cursor);
    if (b >= m->capacity)
        b = 0;
    for (; n > 0; n--) {
        uint64_t word = rip__load(&m->cells[b].word);
        uint32_t next = b + 1 < m->capacity ? b + 1 : 0;
        if (rip__cell_state(word) == RIP__CELL_FREE &&
            rip__cas(&m->cells[b].word, &word,
                     rip__cell_to(word, RIP__CELL_FILLED, v->owner))) {
            rip__store_relaxed(cursor, next);
            return b;
        }
        b = next;
    }
    return -1;
}

/* Whether there may be another one. */
static bool has_room(const struct rip__queue_map *m)
{
    uint32_t b = rip__load_relaxed(&m->q->order.cursor);
    for (uint32_t n = m->capacity; n > 0; n--) {
        if (b >= m->capacity)
            b = 0;
        if (rip__cell_state(rip__load(&m->cells[b++].word)) == RIP__CELL_FREE)
            return true;
    }
    return false;
}

static bool is_closing(const rip_queue *q)
{
    return rip__load_relaxed(&q->closing) != 0;
}

/* To wait for a cell, and to pass on what woke us. */
static __attribute__((noinline)) int64_t claim_in_time(
    struct rip__queue_view *v, rip_time deadline)
{
    uint32_t *sleepers = &v->m.q->putters, all = v->m.capacity;
    struct rip__queue_wait w = { .deadline = deadline,
                                 .sleepers = sleepers,
                                 .patience = &v->patience[0] };
    int64_t b;
    while ((b = claim(v, w.announced || w.end < 0 ? all : FEW)) < 0) {
        if (is_closing(v->m.q))
            return -EPIPE;
        int r = deadline == RIP_NOW && (b = claim(v, all)) >= 0
                    ? 0
                    : rip__queue_turn(v, &w);
        if (b >= 0)
            break;
        if (r < 0)
            return r;
    }
    if (rip__queue_found(&w) && has_room(&v->m))
        rip__queue_wake(sleepers, 1);
    return b;
}

static void give_up(const struct rip__queue_view *v, uint32_t b)
{
    uint64_t *word = &v->m.cells[b].word;
    rip__publish(word, rip__cell_undone(rip__load_relaxed(word)));
    rip__queue_tell(&v->m.q->putters);
}

static int append(const struct rip__queue_view *v, uint32_t b)
{
    uint64_t word = rip__load_relaxed(&v->m.cells[b].word);
    int r = rip__order_append(&v->m, b, rip__cell_version(word));
    if (r < 0)
        give_up(v, b);
    else
        rip__queue_tell(&v->m.q->getters);
    return r;
}

/* A cell for a message of that length, which is ours then. */
static int64_t reserve(struct rip__queue_view *v, size_t len, rip_time deadline)
{
    if (len > v->m.message_size)
        return -EMSGSIZE;
    if (is_closing(v->m.q))
        return -EPIPE;
    if (v->m.ends && !v->writes && rip__queue_begin_writing(v) < 0)
        return -ENOMEM;
    int64_t b = claim(v, FEW);
    return b >= 0 ? b : claim_in_time(v, deadline);
}

static int commit(const struct rip__queue_view *v, uint32_t b, size_t len)
{
    rip__store_relaxed(&v->m.cells[b].len, len);
    return append(v, b);
}

static int put(struct rip__queue_view *v, const void *msg, size_t len,
               rip_time deadline)
{
    int64_t b = reserve(v, len, deadline);
    if (b < 0)
        return (int)b;
    if (len > 0)
        memcpy(rip__queue_data(&v->m, (uint32_t)b), msg, len);
    return commit(v, (uint32_t)b, len);
}

int rip_queue_put(rip_queue *q, const void *msg, size_t len, rip_time deadline)
{
    struct rip__queue_view *v;
    int r = rip__queue_join(q, &v);
    return r < 0 ? r : put(v, msg, len, deadline);
}

int rip_queue_put_many(rip_queue *q, const struct iovec *msgs, size_t n,
                       rip_time deadline)
{
    struct rip__queue_view *v;
    int r = rip__queue_join(q, &v), done = 0;
    while (r == 0 && (size_t)done < n && done < INT32_MAX) {
        r = put(v, msgs[done].iov_base, msgs[done].iov_len, deadline);
        done += r == 0;
    }
    return done > 0 ? done : r;
}

/* ---- in place --------------------------------------------------------- */

int rip_queue_reserve(rip_queue *q, struct rip_draft *ret, size_t len,
                      rip_time deadline)
{
    struct rip__queue_view *v;
    int r = rip__queue_join(q, &v);
    if (r < 0)
        return r;
    int64_t b = reserve(v, len, deadline);
    if (b < 0)
        return (int)b;
    *ret = (struct rip_draft){
        .data = rip__queue_data(&v->m, (uint32_t)b),
        .len = len,
        .opaque = { (uint64_t)b, rip__load_relaxed(&v->m.cells[b].word), len },
    };
    return 0;
}

/* A cell that another thread has claimed is not to be appended: when that ends
 * it is given free, and the entry would name what is put there next. */
static bool is_mine(const struct rip__queue_view *v, const struct rip_draft *d)
{
    uint64_t b = d->opaque[0], word = d->opaque[1];
    return b < v->m.capacity && rip__cell_state(word) == RIP__CELL_FILLED &&
           rip__cell_owner(word) == v->owner &&
           rip__load(&v->m.cells[b].word) == word;
}

/* Takes the draft out of the caller's hand: the view, or an error. */
static int end_draft(rip_queue *q, struct rip_draft *d,
                     struct rip__queue_view **ret)
{
    int r = rip__queue_join(q, ret);
    if (r == 0 && !is_mine(*ret, d)) {
        rip__queue_count_damage(*ret);
        r = -EINVAL;
    }
    *d = (struct rip_draft){ .opaque = { UINT64_MAX } };
    return r;
}

int rip_queue_commit(rip_queue *q, struct rip_draft *d)
{
    const struct rip_draft was = *d;
    struct rip__queue_view *v;
    if (d->len > d->opaque[2])
        return -EMSGSIZE;
    int r = end_draft(q, d, &v);
    return r < 0 ? r : commit(v, (uint32_t)was.opaque[0], was.len);
}

void rip_queue_abort(rip_queue *q, struct rip_draft *d)
{
    const uint64_t b = d->opaque[0];
    struct rip__queue_view *v;
    if (end_draft(q, d, &v) == 0)
        give_up(v, (uint32_t)b);
}
