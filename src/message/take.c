/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "message/queue.h"

/*
 * A take: find the first entry whose cell waits to be taken, and make the cell
 * ours by a swap of its word. The end of it is one more swap, which gives the
 * cell free.
 */

/* Where a message is. */
struct place {
    uint32_t cell;
    bool back; /* it came back, and is in no order */
    uint64_t word, position;
};

/* 1; 0: there is none; or -EPIPE, -EBADMSG. */
static int look(const struct rip__queue_map *m, bool dead, struct place *p)
{
    bool may = dead ||
               rip__load(&m->q->returned) != rip__load_relaxed(&m->q->examined);
    p->back = may && rip__queue_find_back(m, dead, &p->cell, &p->word);
    if (p->back || dead)
        return p->back;
    return rip__order_first(m, &p->cell, &p->word, &p->position);
}

/* Makes it ours; false: another was faster. */
static bool lease(const struct rip__queue_view *v, struct place *p)
{
    uint64_t to = rip__cell_to(p->word, RIP__CELL_LEASED, v->owner);
    if (!rip__cas(&v->m.cells[p->cell].word, &p->word, to))
        return false;
    p->word = to;
    if (p->back)
        rip__queue_pass_back(&v->m, p->cell);
    else
        rip__order_pass(&v->m, p->position);
    return true;
}

/* ---- the end of the queue --------------------------------------------- */

/* Whether something may come back: it is leased to another process, or is back
 * already. */
static bool may_return(const struct rip__queue_view *v)
{
    for (uint32_t b = 0; b < v->m.capacity; b++) {
        uint64_t word = rip__load(&v->m.cells[b].word);
        enum rip__cell_state s = rip__cell_state(word);
        if ((s == RIP__CELL_BACK && !rip__is_dead_letter(&v->m, word)) ||
            (s == RIP__CELL_LEASED &&
             !rip__queue_is_ours(v, rip__cell_owner(word))))
            return true;
    }
    return false;
}

/* It has had writers, and none is left. */
static bool is_abandoned(const struct rip__queue_view *v)
{
    uint64_t one;
    return v->m.ends && rip__load(&v->m.q->was_put_to) != 0 && !v->writes &&
           rip__queue_writers(v, &one, 1) == 0;
}

/* After a look that found nothing. Who closed it may have been killed in the
 * middle. */
static int check_end(const struct rip__queue_view *v, int r)
{
    if (r == 0 && is_abandoned(v))
        rip__or(&v->m.q->closing, RIP__CLOSED);
    if (r == 0 && rip__load(&v->m.q->closing) != 0)
        rip__order_end(&v->m);
    if (r != -EPIPE)
        return r;
    return may_return(v) ? 0 : -EPIPE;
}

/* ---- taking ----------------------------------------------------------- */

/* What may be taken: a message of at most `cap` bytes. */
struct want {
    bool dead;
    size_t cap;
    rip_time deadline;
};

static bool is_shut(const struct rip__queue_map *m)
{
    return rip__load_relaxed(&m->q->closing) & RIP__SHUT;
}

static int try_take(const struct rip__queue_view *v, const struct want *want,
                    struct place *p)
{
    for (;;) {
        if (is_shut(&v->m) && !want->dead)
            return -EPIPE;
        int r = look(&v->m, want->dead, p);
        if (r != 1)
            return want->dead ? r : check_end(v, r);
        if (rip__load_relaxed(&v->m.cells[p->cell].len) > want->cap &&
            rip__load(&v->m.cells[p->cell].word) == p->word)
            return -EMSGSIZE;
        if (lease(v, p))
            return 1;
    }
}

static __attribute__((noinline)) int take_in_time(struct rip__queue_view *v,
                                                  const struct want *want,
                                                  struct place *p)
{
    rip_queue *q = v->m.q;
    struct rip__queue_wait w = { .deadline = want->deadline,
                                 .patience = &v->patience[1],
                                 .sleepers =
                                     want->dead ? &q->mourners : &q->getters };
    struct place next;
    int r = 0;
    while (r == 0) {
        r = rip__queue_turn(v, &w);
        if (r == 0)
            r = try_take(v, want, p);
    }
    bool others = r == 1 ? rip__queue_found(&w) : w.slept;
    if (others && look(&v->m, want->dead, &next) != 0)
        rip__queue_wake(w.sleepers, 1);
    return r;
}

/* Where there is always something to take nobody sleeps, and looks again. */
static void look_for_dead(struct rip__queue_view *v)
{
    rip_time now = rip__os_clock_coarse();
    if (now < v->look_at)
        return;
    v->look_at = now + rip__look_again_ns / 2;
    rip__sweep(v->me->domain);
}

/* After a look that found nothing. */
static __attribute__((noinline)) int take_at_once(struct rip__queue_view *v,
                                                  const struct want *want,
                                                  struct place *p)
{
    look_for_dead(v);
    int r = try_take(v, want, p);
    if (r == 0 && !want->dead)
        rip__queue_fd_look(v);
    return r == 0 ? -ETIMEDOUT : r;
}

static int take(struct rip__queue_view *v, const struct want *want,
                struct place *p)
{
    enum { MANY = 64 };
    if (v->takes++ % MANY == 0)
        look_for_dead(v);
    int r = try_take(v, want, p);
    if (r != 0)
        return r;
    return want->deadline == RIP_NOW ? take_at_once(v, want, p)
                                     : take_in_time(v, want, p);
}

bool rip__queue_is_ready(rip_queue *q)
{
    struct rip__queue_view *v;
    struct place p;
    if (rip__queue_join(q, &v) < 0)
        return true;
    look_for_dead(v);
    return is_shut(&v->m) || check_end(v, look(&v->m, false, &p)) != 0;
}

/* ---- the end of a lease ----------------------------------------------- */

static bool set_free(const struct rip__queue_map *m, uint32_t b, uint64_t word)
{
    if (!rip__cas(&m->cells[b].word, &word, rip__cell_done(word)))
        return false;
    rip__queue_tell(&m->q->putters);
    rip__queue_tell(&m->q->joiners);
    if (rip__load_relaxed(&m->q->closing) != 0)
        rip__queue_wake(&m->q->getters, RIP__ALL);
    return true;
}

static size_t len_of(const struct rip__queue_map *m, uint32_t b)
{
    uint64_t len = rip__load_relaxed(&m->cells[b].len);
    return len < m->message_size ? len : m->message_size;
}

static ssize_t get(struct rip__queue_view *v, void *buf, size_t cap,
                   rip_time deadline)
{
    const struct want want = { .cap = cap, .deadline = deadline };
    struct place p;
    int r = take(v, &want, &p);
    if (r < 0)
        return r;
    size_t len = len_of(&v->m, p.cell);
    len = len < cap ? len : cap;
    if (len > 0)
        memcpy(buf, rip__queue_data(&v->m, p.cell), len);
    set_free(&v->m, p.cell, p.word);
    return (ssize_t)len;
}

ssize_t rip_queue_get(rip_queue *q, void *buf, size_t cap, rip_time deadline)
{
    struct rip__queue_view *v;
    int r = rip__queue_join(q, &v);
    return r < 0 ? r : get(v, buf, cap, deadline);
}

int rip_queue_get_many(rip_queue *q, struct iovec *msgs, size_t n,
                       rip_time deadline)
{
    struct rip__queue_view *v;
    ssize_t r = rip__queue_join(q, &v);
    int done = 0;
    while (r >= 0 && (size_t)done < n && done < INT32_MAX) {
        r = get(v, msgs[done].iov_base, msgs[done].iov_len,
                done == 0 ? deadline : RIP_NOW);
        if (r >= 0)
            msgs[done++].iov_len = (size_t)r;
    }
    return done > 0 ? done : (int)r;
}

/* ---- leases ----------------------------------------------------------- */

static int take_message(rip_queue *q, struct rip_message *ret, bool dead,
                        rip_time deadline)
{
    const struct want want = { dead, SIZE_MAX, deadline };
    struct rip__queue_view *v;
    struct place p;
    int r = rip__queue_join(q, &v);
    if (r < 0)
        return r;
    if (rip__load_relaxed(&q->has_leases) == 0)
        rip__publish(&q->has_leases, 1);
    look_for_dead(v);
    r = take(v, &want, &p);
    if (r != 1)
        return r;
    *ret = (struct rip_message){
        .data = rip__queue_data(&v->m, p.cell),
        .len = len_of(&v->m, p.cell),
        .deliveries = rip__cell_deaths(p.word) + 1,
        .opaque = { p.cell, p.word },
    };
    return 0;
}

int rip_queue_take(rip_queue *q, struct rip_message *ret, rip_time deadline)
{
    return take_message(q, ret, false, deadline);
}

int rip_queue_take_dead(rip_queue *q, struct rip_message *ret,
                        rip_time deadline)
{
    return take_message(q, ret, true, deadline);
}

/* The word of a message that is leased to this process; or 0. */
static uint64_t leased_word(const struct rip__queue_view *v,
                            const struct rip_message *msg)
{
    uint64_t b = msg->opaque[0], word = msg->opaque[1];
    bool is = b < v->m.capacity && rip__cell_state(word) == RIP__CELL_LEASED &&
              rip__load(&v->m.cells[b].word) == word &&
              rip__queue_is_ours(v, rip__cell_owner(word));
    return is ? word : 0;
}

static void end_lease(rip_queue *q, struct rip_message *msg, bool back)
{
    struct rip__queue_view *v;
    if (rip__queue_join(q, &v) < 0)
        return;
    uint32_t b = (uint32_t)msg->opaque[0];
    uint64_t word = leased_word(v, msg);
    bool ended = word != 0 && (back ? rip__queue_return(&v->m, b, word, false)
                                    : set_free(&v->m, b, word));
    if (!ended)
        rip__queue_count_damage(v);
    *msg = (struct rip_message){ .opaque = { UINT64_MAX } };
}

void rip_queue_done(rip_queue *q, struct rip_message *m)
{
    end_lease(q, m, false);
}

void rip_queue_give_back(rip_queue *q, struct rip_message *m)
{
    end_lease(q, m, true);
}

/* ---- until all is done ------------------------------------------------ */

/* Not those that are set aside: dead letters, or leased from them; nor what
 * nobody is to take any more. */
static bool is_all_done(const struct rip__queue_map *m)
{
    const bool shut = is_shut(m);
    for (uint32_t b = 0; b < m->capacity; b++) {
        uint64_t word = rip__load(&m->cells[b].word);
        enum rip__cell_state s = rip__cell_state(word);
        if (s != RIP__CELL_FREE && !rip__is_dead_letter(m, word) &&
            !(shut && s != RIP__CELL_LEASED))
            return false;
    }
    return true;
}

int rip_queue_join(rip_queue *q, rip_time deadline)
{
    struct rip__queue_view *v;
    int r = rip__queue_join(q, &v);
    if (r < 0)
        return r;
    uint32_t patience = 0;
    struct rip__queue_wait w = { .deadline = deadline,
                                 .sleepers = &q->joiners,
                                 .patience = &patience };
    while (r == 0 && !is_all_done(&v->m))
        r = rip__queue_turn(v, &w);
    rip__queue_wake(&q->joiners, RIP__ALL);
    return r;
}
