/* SPDX-License-Identifier: MIT */
/*
 * A queue. Each message that is tracked has a number; who puts it says so
 * before and after, and who takes it before the end of the lease. In the end
 * each whose put has returned was worked on: once, or as often as it was
 * delivered.
 */
#include <ripstop/queue.h>

#include "library.h"
#include "scenes.h"

enum { CAPACITY = 4, TRACKED = 64, DEATHS = 2 };

struct scene {
    rip_queue *q;
    uint32_t next;          /* the next number */
    uint32_t got;           /* by rip_queue_get, and said by nobody */
    uint8_t begun[TRACKED]; /* its put */
    uint8_t put[TRACKED];   /* it has returned */
    uint8_t work[TRACKED];  /* how often it was worked on */
};

struct message {
    uint64_t number, more[5], check;
};

static void make(void *o)
{
    struct scene *s = o;
    const struct rip_queue_options opt = { .segment = library_segment,
                                           .capacity = CAPACITY,
                                           .message_size =
                                               sizeof(struct message),
                                           .max_deaths = DEATHS };
    KILL_CHECK_INT(rip_queue_new(&s->q, &opt), ==, 0);
}

static void join(void *o)
{
    struct scene *s = o;
    library_join(o);
    (void)rip_queue_depth(s->q);
}

static void nothing(void *o)
{
    (void)o;
}

/* ---- one message ------------------------------------------------------ */

static void fill(struct message *m, uint64_t number)
{
    m->number = number;
    for (int i = 0; i < 5; i++)
        m->more[i] = number * 3 + (uint64_t)i;
    m->check = ~number;
}

static void check_whole(const struct message *m, size_t len)
{
    KILL_CHECK_INT(len, ==, sizeof *m);
    KILL_CHECK_INT(m->check, ==, ~m->number);
    for (int i = 0; i < 5; i++)
        KILL_CHECK_INT(m->more[i], ==, m->number * 3 + (uint64_t)i);
}

static int put_by(struct scene *s, rip_time deadline)
{
    struct message m;
    uint32_t n = __atomic_fetch_add(&s->next, 1, __ATOMIC_SEQ_CST);
    KILL_CHECK_INT(n, <, TRACKED);
    fill(&m, n);
    __atomic_store_n(&s->begun[n], 1, __ATOMIC_SEQ_CST);
    int r = rip_queue_put(s->q, &m, sizeof m, deadline);
    if (r == 0)
        __atomic_store_n(&s->put[n], 1, __ATOMIC_SEQ_CST);
    else
        __atomic_store_n(&s->begun[n], 0, __ATOMIC_SEQ_CST);
    return r;
}

/* It is delivered again after a death alone. */
static void work_on(struct scene *s, const struct rip_message *m)
{
    const struct message *t = m->data;
    check_whole(t, m->len);
    KILL_CHECK_INT(t->number, <, s->next);
    KILL_CHECK(s->begun[t->number]);
    KILL_CHECK_INT(m->deliveries, <=, kill_deaths() + 1);
    uint8_t before =
        __atomic_fetch_add(&s->work[t->number], 1, __ATOMIC_SEQ_CST);
    KILL_CHECK_INT(before, <, m->deliveries);
}

static int take_by(struct scene *s, rip_time deadline)
{
    struct rip_message m;
    int r = rip_queue_take(s->q, &m, deadline);
    if (r == 0) {
        work_on(s, &m);
        rip_queue_done(s->q, &m);
    }
    return r;
}

static void put(void *o)
{
    KILL_CHECK_INT(put_by(o, LIBRARY_LATE), ==, 0);
}

static void take(void *o)
{
    KILL_CHECK_INT(take_by(o, LIBRARY_LATE), ==, 0);
}

static void get(void *o)
{
    struct scene *s = o;
    struct message m;
    __atomic_store_n(&s->got, 1, __ATOMIC_SEQ_CST);
    ssize_t r = rip_queue_get(s->q, &m, sizeof m, LIBRARY_LATE);
    KILL_CHECK_INT(r, ==, sizeof m);
    check_whole(&m, (size_t)r);
    __atomic_fetch_add(&s->work[m.number], 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&s->got, 0, __ATOMIC_SEQ_CST);
}

static void lease(void *o)
{
    struct scene *s = o;
    struct rip_message m;
    KILL_CHECK_INT(rip_queue_take(s->q, &m, LIBRARY_LATE), ==, 0);
    work_on(s, &m);
}

/* It is worked on by the one who takes it next. */
static void give_back(void *o)
{
    struct scene *s = o;
    struct rip_message m;
    KILL_CHECK_INT(rip_queue_take(s->q, &m, LIBRARY_LATE), ==, 0);
    check_whole(m.data, m.len);
    rip_queue_give_back(s->q, &m);
}

static void close_it(void *o)
{
    struct scene *s = o;
    rip_queue_close(s->q);
}

/* ---- the others ------------------------------------------------------- */

static void put_all(void *o)
{
    for (int i = 0; i < CAPACITY; i++)
        put(o);
}

static void take_one(void *o)
{
    int r = take_by(o, RIP_NOW);
    KILL_CHECK(r == 0 || r == -ETIMEDOUT);
}

static void take_some(void *o)
{
    for (int i = 0; i < CAPACITY; i++)
        take_one(o);
}

static void put_two(void *o)
{
    put(o);
    put(o);
}

static void cycle(void *o)
{
    put(o);
    take(o);
}

/* Once round the ring of cells, and into the next. */
static void wrap(void *o)
{
    for (int i = 0; i < CAPACITY + 1; i++)
        cycle(o);
    put(o);
}

static void lease_new(void *o)
{
    put(o);
    lease(o);
}

/* ---- afterwards ------------------------------------------------------- */

static void check(void *o)
{
    for (unsigned lap = 0; lap < 3; lap++) {
        int r;
        while ((r = put_by(o, RIP_NOW)) == -ETIMEDOUT)
            take(o); /* what the others have left */
        if (r == -EPIPE)
            return;
        KILL_CHECK_INT(r, ==, 0);
        take(o);
    }
}

static void drain(struct scene *s)
{
    struct rip_message m;
    while (take_by(s, RIP_NOW) == 0)
        ;
    while (rip_queue_take_dead(s->q, &m, RIP_NOW) == 0) {
        KILL_CHECK_INT(m.deliveries, ==, DEATHS + 1);
        work_on(s, &m);
        rip_queue_done(s->q, &m);
    }
}

static void audit_numbers(const struct scene *s)
{
    unsigned lost = 0;
    for (uint32_t n = 0; n < s->next; n++) {
        lost += s->put[n] && s->work[n] == 0;
        KILL_CHECK_INT(s->work[n], <=, kill_deaths() + 1);
    }
    KILL_CHECK_INT(lost, <=, s->got); /* with one who was killed at a get */
}

static void audit_closed(struct scene *s)
{
    KILL_CHECK_INT(put_by(s, RIP_NOW), ==, -EPIPE);
    KILL_CHECK_INT(take_by(s, RIP_NOW), ==, -EPIPE);
}

/* No cell is lost, and there is none too many. */
static void audit_cells(struct scene *s)
{
    for (int i = 0; i < CAPACITY; i++)
        KILL_CHECK_INT(put_by(s, RIP_NOW), ==, 0);
    KILL_CHECK_INT(put_by(s, RIP_NOW), ==, -ETIMEDOUT);
    KILL_CHECK_INT(rip_queue_depth(s->q), ==, CAPACITY);
    for (int i = 0; i < CAPACITY; i++)
        KILL_CHECK_INT(take_by(s, RIP_NOW), ==, 0);
    KILL_CHECK_INT(take_by(s, RIP_NOW), ==, -ETIMEDOUT);
    KILL_CHECK_INT(rip_queue_join(s->q, RIP_NOW), ==, 0);
}

static void audit(void *o)
{
    struct scene *s = o;
    struct rip_queue_stats now;
    library_sweep(o);
    drain(s);
    audit_numbers(s);
    KILL_CHECK_INT(rip_queue_stats(s->q, &now), ==, 0);
    KILL_CHECK_INT(now.leased, ==, 0);
    if (now.closed)
        audit_closed(s);
    else
        audit_cells(s);
}

/* Nothing of one who is stopped is taken from him; and as much is left for him
 * as there was. */
static void no_robbing(void *o)
{
    library_sweep(o);
    if (take_by(o, RIP_NOW) == 0)
        (void)put_by(o, RIP_NOW);
    library_sweep(o);
}

static const struct kill_state
    asleep = { "asleep",
               { { KILL_KEEPS, nothing, put }, { KILL_SLEEPS, take, NULL } } },
    full = { "full", { { KILL_HOLDS, put_all, take_some } } },
    crowd = { "crowd",
              { { KILL_HOLDS, put_all, take_some },
                { KILL_BEHIND, put, NULL } } },
    wrapped = { "wrapped", { { KILL_HOLDS, wrap, nothing } } },
    one = { "one", { { KILL_HOLDS, put, nothing } } },
    two = { "two", { { KILL_HOLDS, put_two, nothing } } },
    empty = { "empty", { { KILL_HOLDS, nothing, put_two } } },
    pressed = { "pressed",
                { { KILL_KEEPS, put_all, take_one },
                  { KILL_SLEEPS, put, NULL } } },
    leased = { "leased", { { KILL_DIED, lease_new, NULL } } },
    leases = { "leases",
               { { KILL_DIED, lease_new, NULL },
                 { KILL_ZOMBIE, lease_new, NULL } } },
    late = { "late",
             { { KILL_FALLS, lease_new, NULL },
               { KILL_HOLDS, nothing, put },
               { KILL_BEHIND, take, NULL } } };

/* In pairs nobody takes more than is put: so the other one does both. */
static const struct kill_operation operations[] = {
    { .name = "put",
      .before = join,
      .run = put,
      .alone = true,
      .against = "cycle sweep",
      .states = { &library_fresh, &full, &crowd, &wrapped, &leased } },
    { .name = "get",
      .before = join,
      .run = get,
      .alone = true,
      .against = "cycle",
      .states = { &one, &wrapped, &empty, &leased } },
    { .name = "take",
      .before = join,
      .run = take,
      .alone = true,
      .against = "cycle sweep",
      .states = { &one, &two, &wrapped, &empty, &leases, &late } },
    { .name = "give-back",
      .before = join,
      .run = give_back,
      .alone = true,
      .against = "cycle sweep",
      .states = { &one, &leased } },
    { .name = "cycle",
      .before = join,
      .run = cycle,
      .states = { &library_fresh, &wrapped, &leased, &leases } },
    { .name = "wake",
      .before = join,
      .run = put,
      .alone = true,
      .against = "",
      .states = { &asleep } },
    { .name = "make-room",
      .before = join,
      .run = take,
      .alone = true,
      .against = "",
      .states = { &pressed } },
    { .name = "close",
      .before = join,
      .run = close_it,
      .alone = true,
      .against = "",
      .states = { &library_fresh, &one } },
    { .name = "sweep",
      .before = join,
      .run = library_sweep,
      .states = { &leased, &leases } },
    { .name = NULL },
};

const struct kill_object scene_queue = {
    .name = "queue",
    .size = sizeof(struct scene),
    .memory = library_memory,
    .make = make,
    .join = join,
    .settle = library_settle,
    .check = check,
    .audit = audit,
    .while_stopped = no_robbing,
    .sibling = join,
    .of_process = true,
    .operations = operations,
};
