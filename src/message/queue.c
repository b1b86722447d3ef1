/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include <ripstop/lock.h>

#include "message/queue.h"
#include "sync/sync.h"

enum { CAPACITY = 1024, MESSAGE_SIZE = 256 };

static const struct rip_queue_options defaults;

/* ---- making one ------------------------------------------------------- */

static int check(const struct rip_queue_options *o)
{
    uint64_t used = 0;
    for (size_t i = 0; i < RIP__LENGTH(o->reserved); i++)
        used |= o->reserved[i];
    return used != 0 || o->capacity > RIP__CELLS_MAX ||
                   o->message_size > RIP__MESSAGE_MAX ||
                   o->max_deaths > RIP__DEATHS_MAX
               ? -EINVAL
               : 0;
}

static uint32_t capacity_of(const struct rip_queue_options *o)
{
    return o->capacity ? (uint32_t)o->capacity : CAPACITY;
}

static uint32_t size_of(const struct rip_queue_options *o)
{
    return o->message_size ? (uint32_t)o->message_size : MESSAGE_SIZE;
}

/* In memory that is all zero; `magic` last, so one that was not finished is no
 * queue. */
static void make(rip_queue *q, const struct rip_queue_options *o)
{
    struct rip__queue_map m = { .q = q,
                                .capacity = capacity_of(o),
                                .message_size = size_of(o) };
    rip__queue_lay_out(&m);
    q->capacity = m.capacity;
    q->message_size = size_of(o);
    q->max_deaths = o->max_deaths;
    q->ends = o->ends_with_writers;
    q->incarnation = rip__incarnation(q->incarnation);
    for (uint32_t i = 0; i < m.capacity; i++)
        m.cells[i].word = rip__cell_word(RIP__CELL_FREE, 0, 1, 0);
    q->order.head = q->order.tail = m.mask + 1;
    rip__store(&q->magic, RIP__QUEUE_MAGIC);
}

int rip_queue_new(rip_queue **ret, const struct rip_queue_options *opt)
{
    const struct rip_queue_options *o = opt ? opt : &defaults;
    int r = check(o);
    if (r < 0)
        return r;
    rip_queue *q = rip_shared_alloc(
        o->segment, rip__queue_size(capacity_of(o), size_of(o)));
    if (!q)
        return -ENOMEM;
    make(q, o);
    *ret = q;
    return 0;
}

/* ---- one of that name ------------------------------------------------- */

static int open_segment(rip_segment **ret, const char *name,
                        const struct rip_queue_options *o)
{
    /* Besides the queue: its name, its lock, and what the allocator loses. */
    enum { SPARE = 1 << 20 };
    size_t size = rip__queue_size(capacity_of(o), size_of(o));
    struct rip_segment_options wish = { .size = size + size / 8 + SPARE };
    int r = rip_segment_open(ret, name, &wish);
    if (r != -EINVAL)
        return r;
    /* It is there, and smaller than that. */
    wish = (struct rip_segment_options){ .how = RIP_SEGMENT_JOIN };
    return rip_segment_open(ret, name, &wish);
}

static bool fits(const rip_queue *q, const struct rip_queue_options *o)
{
    return (o->capacity == 0 || q->capacity == o->capacity) &&
           (o->message_size == 0 || q->message_size == o->message_size) &&
           (o->max_deaths == 0 || q->max_deaths == o->max_deaths) &&
           (!o->ends_with_writers || q->ends != 0);
}

/* With the lock. What was begun by one who was killed is no queue yet, and may
 * be too small for ours. */
static int find_or_make(rip_queue **ret, rip_segment *s,
                        const struct rip_queue_options *o)
{
    const size_t size = rip__queue_size(capacity_of(o), size_of(o));
    struct rip__queue_map m;
    void *p;
    int r = rip_segment_get(&p, s, "queue", size);
    if (r == -EMSGSIZE)
        r = rip_segment_get(&p, s, "queue", sizeof(rip_queue));
    if (r == 0 && rip__load(&((rip_queue *)p)->magic) == 0) {
        rip_shared_free(s, p);
        r = rip_segment_get(&p, s, "queue", size);
    }
    if (r < 0)
        return r;
    if (r == 1)
        make(p, o);
    if (!rip__queue_map(&m, rip__domain_of(p), p))
        return -EBADMSG;
    *ret = p;
    return fits(p, o) ? 0 : -EINVAL;
}

static int with_lock(rip_queue **ret, rip_segment *s,
                     const struct rip_queue_options *o)
{
    void *lock;
    int r = rip_segment_get(&lock, s, "queue lock", sizeof(rip_lock));
    if (r >= 0)
        r = rip_lock_acquire(lock, rip_after(30));
    if (r < 0)
        return r;
    r = find_or_make(ret, s, o);
    rip_lock_release(lock);
    return r;
}

int rip_queue_open(rip_queue **ret, const char *name,
                   const struct rip_queue_options *opt)
{
    const struct rip_queue_options *o = opt ? opt : &defaults;
    rip_segment *s = NULL;
    rip_queue *q = NULL;
    int r = !name || o->segment ? -EINVAL : check(o);
    if (r == 0)
        r = open_segment(&s, name, o);
    if (r < 0)
        return r;
    r = with_lock(&q, s, o);
    if (r < 0)
        rip_segment_close(s);
    else
        *ret = q;
    return r;
}

/* ---- the end ---------------------------------------------------------- */

static void end(rip_queue *q, uint32_t how)
{
    struct rip__queue_view *v;
    if (rip__queue_join(q, &v) < 0)
        return;
    rip__or(&q->closing, how);
    rip__order_end(&v->m);
    rip__queue_wake(&q->getters, RIP__ALL);
    rip__queue_wake(&q->putters, RIP__ALL);
    rip__queue_wake(&q->joiners, RIP__ALL);
}

void rip_queue_close(rip_queue *q)
{
    end(q, RIP__CLOSED);
}

void rip_queue_shutdown(rip_queue *q)
{
    end(q, RIP__CLOSED | RIP__SHUT);
}

/* Takes the calling thread's mark away, if there is one. */
static void unmark(const struct rip__queue_view *v, enum rip__mark_kind kind)
{
    uint64_t *mark = rip__find_mark(v->me, v->m.q, kind, v->m.incarnation);
    if (mark)
        rip__unmark(v->me, mark);
}

void rip_queue_end_writing(rip_queue *q)
{
    struct rip__queue_view *v;
    if (rip__queue_join(q, &v) < 0)
        return;
    unmark(v, RIP__WRITES);
    v->writes = false;
    rip__queue_wake(&q->getters, RIP__ALL);
}

/* Whether a living member of another process has used the queue. */
static bool is_used(const struct rip__queue_view *v)
{
    const struct rip__me *me = v->me;
    uint32_t at = 0;
    uint64_t who;
    while ((who = rip__next_marked(me, v->m.q, RIP__USES, v->m.incarnation,
                                   &at)) != 0)
        if (!rip__is_gone(me->domain, who) &&
            rip__load_relaxed(&rip__slot(me->domain, at)->pid) !=
                rip__load_relaxed(&me->slot->pid))
            return true;
    return false;
}

rip_queue *rip_queue_free(rip_queue *q)
{
    struct rip__queue_view *v;
    bool named;
    if (!q || rip__queue_join(q, &v) < 0)
        return NULL;
    rip_segment *s = rip__segment_at(q, &named);
    rip__queue_fd_close(q);
    rip__queue_return_all(v);
    if (v->m.ends)
        rip_queue_end_writing(q);
    unmark(v, RIP__USES);
    uint32_t magic = RIP__QUEUE_MAGIC;
    if (named)
        rip_segment_close(s);
    else if (!is_used(v) && rip__cas32(&q->magic, &magic, 0))
        rip_shared_free(s, q);
    *v = (struct rip__queue_view){ .owner = 0 };
    return NULL;
}

/* ---- reports ---------------------------------------------------------- */

static size_t count_leased(const struct rip__queue_map *m)
{
    size_t n = 0;
    for (uint32_t i = 0; i < m->capacity; i++)
        n += rip__cell_state(rip__load(&m->cells[i].word)) == RIP__CELL_LEASED;
    return n;
}

int rip_queue_stats(rip_queue *q, struct rip_queue_stats *ret)
{
    struct rip__queue_view *v;
    int r = rip__queue_join(q, &v);
    if (r < 0)
        return r;
    const struct rip__queue_map *m = &v->m;
    uint64_t first = m->mask + 1;
    *ret = (struct rip_queue_stats){
        .capacity = m->capacity,
        .message_size = m->message_size,
        .depth = rip_queue_depth(q),
        .leased = count_leased(m),
        .dead = rip__queue_count_back(m, true),
        .puts = rip__load_relaxed(&q->order.tail) - first,
        .gets = rip__load_relaxed(&q->order.head) - first,
        .redeliveries = rip__load_relaxed(&q->returned),
        .closed = rip__load_relaxed(&q->closing) != 0,
    };
    return 0;
}

size_t rip_queue_depth(const rip_queue *q)
{
    struct rip__queue_view *v;
    if (rip__queue_join((rip_queue *)(uintptr_t)q, &v) < 0)
        return 0;
    return rip__queue_count_back(&v->m, false) + rip__order_count(&v->m);
}
