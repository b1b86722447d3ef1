/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "message/queue.h"

/*
 * A thread that uses a queue has a mark on it in its slot, by which a sweep
 * finds the queue when it dies; and it keeps what it has found out about the
 * place of things, so that this is checked once.
 */

__thread struct rip__queue_view rip__views[RIP__VIEWS];

/* The logarithm of how many entries there are: twice as many as cells. */
static uint32_t bits_for(uint32_t capacity)
{
    uint32_t bits = 6;
    while ((uint32_t)1 << bits < 2 * capacity)
        bits++;
    return bits;
}

/* Short messages stand close together, others begin at a line. */
static size_t stride_for(size_t message_size)
{
    size_t step = message_size < RIP__LINE ? 16 : RIP__LINE;
    return (message_size + step - 1) / step * step;
}

static size_t cells_size(uint32_t capacity)
{
    size_t size = capacity * sizeof(struct rip__cell);
    return (size + RIP__LINE - 1) / RIP__LINE * RIP__LINE;
}

size_t rip__queue_size(uint32_t capacity, size_t message_size)
{
    return sizeof(struct rip_queue) + cells_size(capacity) +
           (sizeof(uint64_t) << bits_for(capacity)) +
           capacity * stride_for(message_size);
}

void rip__queue_lay_out(struct rip__queue_map *m)
{
    m->bits = bits_for(m->capacity);
    m->mask = ((uint32_t)1 << m->bits) - 1;
    m->stride = stride_for(m->message_size);
    unsigned char *at = (unsigned char *)(m->q + 1);
    m->cells = (void *)at;
    at += cells_size(m->capacity);
    m->entries = (void *)at;
    m->data = at + (m->mask + 1) * sizeof(uint64_t);
}

bool rip__queue_map(struct rip__queue_map *ret, const struct rip__domain *d,
                    rip_queue *q)
{
    const uint64_t key = rip__key(d, q);
    if (!d->shared || !rip__object(d, key, sizeof *q) ||
        rip__load(&q->magic) != RIP__QUEUE_MAGIC)
        return false;
    struct rip__queue_map m = {
        .q = q,
        .incarnation = rip__load_relaxed(&q->incarnation),
        .capacity = rip__load_relaxed(&q->capacity),
        .message_size = rip__load_relaxed(&q->message_size),
        .max_deaths = rip__load_relaxed(&q->max_deaths),
        .ends = rip__load_relaxed(&q->ends) != 0,
    };
    if (m.capacity == 0 || m.capacity > RIP__CELLS_MAX ||
        m.message_size > RIP__MESSAGE_MAX ||
        !rip__object(d, key, rip__queue_size(m.capacity, m.message_size)))
        return false;
    rip__queue_lay_out(&m);
    *ret = m;
    return true;
}

static int mark(struct rip__me *me, const struct rip__queue_map *m,
                enum rip__mark_kind kind)
{
    if (rip__find_mark(me, m->q, kind, m->incarnation) ||
        rip__mark(me, m->q, kind, m->incarnation))
        return 0;
    return -ENOMEM;
}

/* A death before we were a member may be ours to mend: who is none cannot. */
int rip__queue_join_slowly(rip_queue *q, struct rip__queue_view **ret)
{
    struct rip__queue_view v = { .process = 0 };
    if (!rip__is_shared(q))
        return -EBADMSG;
    int r = rip__join(q, &v.me);
    if (r < 0)
        return r;
    v.process = rip__load(rip__process);
    if (!rip__queue_map(&v.m, v.me->domain, q))
        return -EBADMSG;
    r = mark(v.me, &v.m, RIP__USES);
    if (r < 0)
        return r;
    v.owner = rip__cell_owner(v.me->id);
    *rip__view_at(q) = v;
    *ret = rip__view_at(q);
    return 0;
}

void rip__queue_count_damage(const struct rip__queue_view *v)
{
    __atomic_add_fetch(&rip__roll(v->me->domain)->damaged, 1, __ATOMIC_RELAXED);
}

/* The mark stands before the first put is begun, so who sees that something was
 * put sees it, too. */
int rip__queue_begin_writing(struct rip__queue_view *v)
{
    int r = mark(v->me, &v->m, RIP__WRITES);
    v->writes = r == 0;
    if (v->writes)
        rip__publish(&v->m.q->was_put_to, 1);
    return r;
}

size_t rip__queue_writers(const struct rip__queue_view *v, uint64_t *ret,
                          size_t max)
{
    uint32_t at = 0;
    uint64_t who;
    size_t n = 0;
    while (n < max && (who = rip__next_marked(v->me, v->m.q, RIP__WRITES,
                                              v->m.incarnation, &at)) != 0)
        if (!rip__is_gone(v->me->domain, who))
            ret[n++] = who;
    return n;
}
