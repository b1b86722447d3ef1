/* SPDX-License-Identifier: MIT */
#include <ripstop/queue.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/event.h>
#include <ripstop/task.h>

#include "fault.h"
#include "harness.h"
#include "message/queue.h"
#include "sync/world.h"

static rip_queue *new_queue(size_t capacity, unsigned max_deaths)
{
    rip_queue *q;
    const struct rip_queue_options o = { .capacity = capacity,
                                         .message_size = 100,
                                         .max_deaths = max_deaths };
    CHECK_OK(rip_queue_new(&q, &o));
    return q;
}

static int put(rip_queue *q, uint32_t number)
{
    return rip_queue_put(q, &number, sizeof number, RIP_FOREVER);
}

static void put_now(rip_queue *q, uint32_t number)
{
    CHECK_OK(rip_queue_put(q, &number, sizeof number, RIP_NOW));
}

static int64_t get_by(rip_queue *q, rip_time deadline)
{
    uint32_t number;
    ssize_t r = rip_queue_get(q, &number, sizeof number, deadline);
    return r == sizeof number ? (int64_t)number : r;
}

static uint32_t number_of(const struct rip_message *m)
{
    uint32_t number;
    CHECK_INT(m->len, ==, sizeof number);
    memcpy(&number, m->data, sizeof number);
    return number;
}

static struct rip_message take(rip_queue *q)
{
    struct rip_message m;
    CHECK_OK(rip_queue_take(q, &m, rip_after(10)));
    return m;
}

static unsigned damaged(void)
{
    struct rip_segment_stats s;
    rip_segment_stats(NULL, &s);
    return (unsigned)s.damaged;
}

/* ---- what it is ------------------------------------------------------- */

TEST(messages_come_in_order_and_whole)
{
    rip_queue *q = new_queue(10, 0);
    char text[100];
    CHECK_OK(rip_queue_put(q, "first", 6, RIP_NOW));
    CHECK_OK(rip_queue_put(q, NULL, 0, RIP_NOW));
    memset(text, 'x', sizeof text);
    CHECK_OK(rip_queue_put(q, text, 100, RIP_NOW));
    CHECK_INT(rip_queue_depth(q), ==, 3);
    CHECK_INT(rip_queue_get(q, text, sizeof text, RIP_NOW), ==, 6);
    CHECK_STR(text, "first");
    CHECK_INT(rip_queue_get(q, NULL, 0, RIP_NOW), ==, 0);
    CHECK_INT(rip_queue_get(q, text, sizeof text, RIP_NOW), ==, 100);
    CHECK_INT(text[99], ==, 'x');
    CHECK_ERR(get_by(q, RIP_NOW), -ETIMEDOUT);
    rip_queue_free(q);
}

TEST(a_message_that_is_too_long_is_kept)
{
    rip_queue *q = new_queue(2, 0);
    char text[101] = "0123456789";
    CHECK_ERR(rip_queue_put(q, text, 101, RIP_NOW), -EMSGSIZE);
    CHECK_OK(rip_queue_put(q, text, 10, RIP_NOW));
    CHECK_ERR(rip_queue_get(q, text, 9, RIP_NOW), -EMSGSIZE);
    CHECK_ERR(rip_queue_get(q, NULL, 0, RIP_FOREVER), -EMSGSIZE);
    CHECK_INT(rip_queue_get(q, text, 10, RIP_NOW), ==, 10);
    rip_queue_free(q);
}

TEST(it_holds_as_many_as_it_is_to)
{
    for (uint32_t capacity = 1; capacity < 70; capacity += 7) {
        rip_queue *q = new_queue(capacity, 0);
        for (int lap = 0; lap < 3; lap++) {
            for (uint32_t i = 0; i < capacity; i++)
                put_now(q, i);
            CHECK_ERR(rip_queue_put(q, "", 0, RIP_NOW), -ETIMEDOUT);
            CHECK_INT(rip_queue_depth(q), ==, capacity);
            for (uint32_t i = 0; i < capacity; i++)
                CHECK_INT(get_by(q, RIP_NOW), ==, i);
        }
        rip_queue_free(q);
    }
}

TEST(a_deadline_is_kept)
{
    rip_queue *q = new_queue(1, 0);
    rip_time deadline = rip_after_ms(30);
    CHECK_ERR(get_by(q, deadline), -ETIMEDOUT);
    CHECK(rip_time_now() >= deadline);
    put_now(q, 1);
    deadline = rip_after_ms(30);
    CHECK_ERR(rip_queue_put(q, "", 0, deadline), -ETIMEDOUT);
    CHECK(rip_time_now() >= deadline);
    CHECK_ERR(rip_queue_join(q, rip_after_ms(1)), -ETIMEDOUT);
    rip_queue_free(q);
}

/* Numbers of versions and positions come again. */
TEST_WITH(it_goes_on_for_ever, .deadline = 120)
{
    rip_queue *q = new_queue(1, 0);
    for (uint32_t i = 0; i < (1u << 24) + 100; i++) {
        put_now(q, i);
        CHECK_INT(get_by(q, RIP_NOW), ==, i);
    }
    rip_queue_free(q);
}

/* Puts and gets `n` messages. */
static void turn(rip_queue *q, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        put_now(q, (uint32_t)i);
        CHECK_INT(get_by(q, RIP_NOW), ==, (uint32_t)i);
    }
}

/* Who was stopped between a take and its hint sets that back by laps. */
TEST(an_old_hint_costs_no_message)
{
    rip_queue *q = new_queue(2, 0);
    const uint64_t lap = 64;
    turn(q, 200);
    uint64_t *head = &q->order.head, true_one = *head;
    put_now(q, 1);
    put_now(q, 2);
    for (uint64_t back = 0; back < 2 * lap; back++) {
        *head = true_one + 1 - back;
        CHECK_INT(rip_queue_depth(q), ==, back == 0 ? 1 : 2);
    }
    *head = true_one + 1 - lap;
    CHECK_INT(get_by(q, RIP_NOW), ==, 1);
    CHECK_INT(get_by(q, RIP_NOW), ==, 2);
    rip_queue_free(q);
}

/* And so does who was stopped at a put, while millions went by. */
TEST_WITH(a_very_old_hint_costs_no_message, .deadline = 120)
{
    rip_queue *q = new_queue(4, 0);
    turn(q, 10);
    const uint64_t head = q->order.head, tail = q->order.tail;
    for (int i = 0; i < 2; i++) {
        turn(q, (UINT64_C(1) << 23) + 5);
        put_now(q, 1);
        put_now(q, 2);
        q->order.tail = tail;
        put_now(q, 3);
        q->order.head = head;
        put_now(q, 4);
        for (uint32_t k = 1; k <= 4; k++)
            CHECK_INT(get_by(q, RIP_NOW), ==, k);
        CHECK_ERR(get_by(q, RIP_NOW), -ETIMEDOUT);
        q->order.head = head;
        CHECK_ERR(get_by(q, RIP_NOW), -ETIMEDOUT);
    }
    rip_queue_free(q);
}

/* Of a cell that came back once, and has been used until its version is that
 * again. */
TEST_WITH(a_version_that_comes_round_is_no_message, .deadline = 120)
{
    rip_queue *q = new_queue(1, 0);
    struct rip_message m;
    struct rip__queue_view *v;
    put_now(q, 1);
    m = take(q);
    rip_queue_give_back(q, &m);
    m = take(q);
    rip_queue_done(q, &m);
    turn(q, RIP__VERSIONS);
    CHECK_OK(rip__queue_join(q, &v));
    uint64_t *word = &v->m.cells[0].word, is_free = *word;
    *word = rip__cell_to(is_free, RIP__CELL_FILLED, v->owner); /* being put */
    CHECK_ERR(get_by(q, RIP_NOW), -ETIMEDOUT);
    *word = is_free;
    put_now(q, 5);
    m = take(q);
    rip_queue_give_back(q, &m);
    CHECK_INT(get_by(q, RIP_NOW), ==, 5);
    rip_queue_free(q);
}

TEST(several_at_once)
{
    rip_queue *q = new_queue(3, 0);
    char room[4][4] = { "" };
    const struct iovec in[] = { { (void *)(uintptr_t) "1", 1 },
                                { (void *)(uintptr_t) "22", 2 },
                                { (void *)(uintptr_t) "333", 3 },
                                { (void *)(uintptr_t) "4", 1 } };
    struct iovec out[] = {
        { room[0], 4 }, { room[1], 4 }, { room[2], 4 }, { room[3], 4 }
    };
    CHECK_INT(rip_queue_put_many(q, in, 4, RIP_NOW), ==, 3);
    CHECK_ERR(rip_queue_put_many(q, in, 4, RIP_NOW), -ETIMEDOUT);
    CHECK_INT(rip_queue_put_many(q, in, 0, RIP_NOW), ==, 0);
    CHECK_INT(rip_queue_get_many(q, out, 4, RIP_FOREVER), ==, 3);
    CHECK_INT(out[1].iov_len, ==, 2);
    CHECK(memcmp(room[2], "333", 3) == 0 && out[2].iov_len == 3);
    CHECK_ERR(rip_queue_get_many(q, out, 4, RIP_NOW), -ETIMEDOUT);
    rip_queue_free(q);
}

/* ---- between several -------------------------------------------------- */

static int get_one(void *arg)
{
    return (int)get_by(arg, RIP_FOREVER);
}

static int put_seven(void *arg)
{
    return put(arg, 7);
}

BOTH(who_waits_is_woken, 0)
{
    rip_queue *q = new_queue(2, 0);
    struct player a[3];
    only_woken();
    for (int i = 0; i < 3; i++) {
        player_start(&a[i], kind, get_one, q);
        until_waiting(q, (unsigned)i + 1);
    }
    for (uint32_t i = 0; i < 3; i++)
        CHECK_OK(put(q, 5));
    for (int i = 0; i < 3; i++)
        CHECK_INT(player_end(&a[i]), ==, 5);
    put_now(q, 1);
    put_now(q, 2);
    for (int i = 0; i < 3; i++) {
        player_start(&a[i], kind, put_seven, q);
        until_waiting(q, (unsigned)i + 1);
    }
    CHECK_INT(get_by(q, RIP_NOW), ==, 1);
    CHECK_INT(get_by(q, RIP_FOREVER), ==, 2);
    for (int i = 0; i < 3; i++)
        CHECK_INT(get_by(q, RIP_FOREVER), ==, 7);
    for (int i = 0; i < 3; i++)
        CHECK_OK(player_end(&a[i]));
    rip_queue_free(q);
}

enum { PRODUCERS = 3, CONSUMERS = 3, EACH = 20000 };
struct traffic {
    rip_queue *q;
    atomic_int producers; /* begun */
    atomic_uchar seen[PRODUCERS][EACH];
};

static int produce(void *arg)
{
    struct traffic *t = arg;
    uint32_t me = (uint32_t)atomic_fetch_add(&t->producers, 1);
    for (uint32_t i = 0; i < EACH; i++)
        if (put(t->q, me << 24 | i) < 0)
            return -1;
    return 0;
}

/* Of each producer in the order of its puts. */
static int consume(void *arg)
{
    struct traffic *t = arg;
    int64_t last[PRODUCERS] = { -1, -1, -1 }, n;
    while ((n = get_by(t->q, RIP_FOREVER)) >= 0) {
        uint32_t who = (uint32_t)n >> 24, i = (uint32_t)n & 0xffffff;
        if (who >= PRODUCERS || i >= EACH || i <= last[who])
            return -1;
        last[who] = i;
        atomic_fetch_add(&t->seen[who][i], 1);
    }
    return n == -EPIPE ? 0 : -2;
}

BOTH(each_goes_to_one_and_in_order, 60)
{
    struct traffic *t = board(sizeof *t);
    struct player p[PRODUCERS], c[CONSUMERS];
    t->q = new_queue(50, 0);
    for (int i = 0; i < CONSUMERS; i++)
        player_start(&c[i], kind, consume, t);
    for (int i = 0; i < PRODUCERS; i++)
        player_start(&p[i], kind, produce, t);
    for (int i = 0; i < PRODUCERS; i++)
        CHECK_OK(player_end(&p[i]));
    rip_queue_close(t->q);
    for (int i = 0; i < CONSUMERS; i++)
        CHECK_OK(player_end(&c[i]));
    for (int i = 0; i < PRODUCERS; i++)
        for (int k = 0; k < EACH; k++)
            CHECK_INT(t->seen[i][k], ==, 1);
    rip_queue_free(t->q);
    munmap(t, sizeof *t);
}

/* ---- in place --------------------------------------------------------- */

static struct rip_draft reserve(rip_queue *q, size_t len)
{
    struct rip_draft d;
    CHECK_OK(rip_queue_reserve(q, &d, len, RIP_NOW));
    CHECK_INT(d.len, ==, len);
    return d;
}

TEST(a_message_is_written_in_place)
{
    rip_queue *q = new_queue(2, 0);
    char text[100];
    struct rip_draft slow = reserve(q, 100), d = reserve(q, 100);
    CHECK_ERR(rip_queue_reserve(q, &d, 1, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_queue_reserve(q, &d, 101, RIP_NOW), -EMSGSIZE);
    memcpy(d.data, "second", 7);
    d.len = 7;
    CHECK_OK(rip_queue_commit(q, &d));
    CHECK_INT(rip_queue_depth(q), ==, 1);
    memcpy(slow.data, "first", 6);
    slow.len = 101;
    CHECK_ERR(rip_queue_commit(q, &slow), -EMSGSIZE);
    slow.len = 6;
    CHECK_OK(rip_queue_commit(q, &slow));
    CHECK_INT(rip_queue_get(q, text, 100, RIP_NOW), ==, 7);
    CHECK_STR(text, "second");
    CHECK_INT(rip_queue_get(q, text, 100, RIP_NOW), ==, 6);
    CHECK_STR(text, "first");
    rip_queue_free(q);
}

TEST(a_draft_ends_once)
{
    rip_queue *q = new_queue(1, 0);
    unsigned before = damaged();
    struct rip_draft d = reserve(q, 4);
    CHECK_ERR(get_by(q, RIP_NOW), -ETIMEDOUT);
    rip_queue_abort(q, &d);
    rip_queue_abort(q, &d);
    CHECK_ERR(rip_queue_commit(q, &d), -EINVAL);
    CHECK_INT(damaged(), ==, before + 2);
    put_now(q, 1);
    CHECK_INT(get_by(q, RIP_NOW), ==, 1);
    d = reserve(q, 4);
    rip_queue_close(q);
    CHECK_ERR(rip_queue_commit(q, &d), -EPIPE);
    CHECK_ERR(rip_queue_reserve(q, &d, 4, RIP_NOW), -EPIPE);
    CHECK_ERR(get_by(q, RIP_NOW), -EPIPE);
    rip_queue_free(q);
}

struct desk {
    rip_queue *q;
    struct rip_draft d;
};

static int commit_anothers(void *arg)
{
    struct desk *k = arg;
    return rip_queue_commit(k->q, &k->d) == -EINVAL ? 0 : -1;
}

static int reserve_and_end(void *arg)
{
    struct desk *k = arg;
    k->d = reserve(k->q, 4);
    return 0;
}

/* It belongs to its thread, and ends with it. */
BOTH(a_draft_is_of_its_thread, 0)
{
    struct desk *k = board(sizeof *k);
    struct player a;
    k->q = new_queue(1, 0);
    struct rip_draft mine = k->d = reserve(k->q, 4);
    player_start(&a, kind, commit_anothers, k);
    CHECK_OK(player_end(&a));
    rip_queue_abort(k->q, &mine);
    player_start(&a, kind, reserve_and_end, k);
    CHECK_OK(player_end(&a));
    uint32_t number = 1;
    CHECK_OK(rip_queue_put(k->q, &number, 4, rip_after(10)));
    CHECK_INT(get_by(k->q, RIP_NOW), ==, 1);
    CHECK_ERR(get_by(k->q, RIP_NOW), -ETIMEDOUT);
    rip_queue_free(k->q);
    munmap(k, sizeof *k);
}

/* ---- leases ----------------------------------------------------------- */

TEST(what_is_leased_is_nobody_elses)
{
    rip_queue *q = new_queue(2, 0);
    put_now(q, 1);
    put_now(q, 2);
    struct rip_message one = take(q), two = take(q);
    CHECK_INT(number_of(&one), ==, 1);
    CHECK_INT(one.deliveries, ==, 1);
    CHECK_ERR(get_by(q, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_queue_put(q, "", 0, RIP_NOW), -ETIMEDOUT);
    rip_queue_done(q, &two); /* the slow one holds up nobody */
    put_now(q, 3);
    rip_queue_give_back(q, &one);
    CHECK_INT(get_by(q, RIP_NOW), ==, 1);
    CHECK_INT(get_by(q, RIP_NOW), ==, 3);
    rip_queue_free(q);
}

TEST(a_lease_ends_once)
{
    rip_queue *q = new_queue(2, 0);
    put_now(q, 1);
    struct rip_message m = take(q), copy = m, nonsense = { .len = 5 };
    unsigned before = damaged();
    rip_queue_done(q, &m);
    rip_queue_done(q, &m);
    rip_queue_done(q, &copy);
    put_now(q, 2);
    rip_queue_give_back(q, &copy);
    rip_queue_done(q, &nonsense);
    CHECK_INT(damaged(), ==, before + 4);
    copy = m = take(q);
    rip_queue_give_back(q, &m);
    m = take(q); /* the same message, and another lease */
    rip_queue_done(q, &copy);
    CHECK_INT(damaged(), ==, before + 5);
    rip_queue_give_back(q, &m);
    CHECK_INT(get_by(q, RIP_NOW), ==, 2);
    CHECK_ERR(get_by(q, RIP_NOW), -ETIMEDOUT);
    rip_queue_free(q);
}

struct pair {
    rip_queue *q;
    struct rip_message m;
    atomic_int there;
};

static int end_a_lease(void *arg)
{
    struct pair *p = arg;
    rip_queue_done(p->q, &p->m);
    return 0;
}

BOTH(a_lease_is_of_the_process, 0)
{
    struct pair *p = board(sizeof *p);
    struct player a;
    p->q = new_queue(1, 0);
    put_now(p->q, 1);
    struct rip_message m = p->m = take(p->q);
    player_start(&a, kind, end_a_lease, p);
    CHECK_OK(player_end(&a));
    CHECK_INT(rip_queue_put(p->q, "", 0, RIP_NOW), ==,
              kind == THREADS ? 0 : -ETIMEDOUT);
    if (kind == PROCESSES)
        rip_queue_done(p->q, &m);
    rip_queue_free(p->q);
    munmap(p, sizeof *p);
}

static int take_and_end(void *arg)
{
    struct rip_message m = take(arg);
    return number_of(&m) == 1 ? 0 : -1;
}

/* Its leases are the process's, and its other threads do not have them back. */
TEST(a_thread_that_ends_leaves_its_leases_to_the_process)
{
    rip_queue *q = new_queue(1, 0);
    struct player a;
    put_now(q, 1);
    player_start(&a, THREADS, take_and_end, q);
    CHECK_OK(player_end(&a));
    CHECK_ERR(get_by(q, rip_after_ms(500)), -ETIMEDOUT);
    rip_queue_free(q);
}

/* ---- deaths ----------------------------------------------------------- */

static int take_and_stay(void *arg)
{
    struct pair *p = arg;
    p->m = take(p->q);
    atomic_fetch_add(&p->there, 1);
    while (pause() < 0)
        ;
    return 0;
}

static void start_worker(struct player *a, struct pair *p)
{
    int n = p->there;
    player_start(a, PROCESSES, take_and_stay, p);
    until_at_least(&p->there, n + 1);
}

static struct pair *new_pair(unsigned max_deaths)
{
    struct pair *p = board(sizeof *p);
    p->q = new_queue(3, max_deaths);
    return p;
}

static void free_pair(struct pair *p)
{
    rip_queue_free(p->q);
    munmap(p, sizeof *p);
}

WORLD(what_a_dead_worker_had_comes_first, 0)
{
    struct pair *p = new_pair(0);
    struct player a;
    put_now(p->q, 1);
    put_now(p->q, 2);
    start_worker(&a, p);
    player_kill(&a);
    rip_time then = rip_time_now();
    struct rip_message m = take(p->q);
    while (number_of(&m) != 1) { /* the death was not seen yet */
        rip_queue_give_back(p->q, &m);
        m = take(p->q);
    }
    CHECK_INT(m.deliveries, ==, 2);
    CHECK(rip_time_now() - then < harness_scale(1) * 1000000000);
    rip_queue_done(p->q, &m);
    CHECK_INT(get_by(p->q, RIP_NOW), ==, 2);
    free_pair(p);
}

static int take_all_and_stay(void *arg)
{
    struct pair *p = arg;
    for (int i = 0; i < 3; i++)
        p->m = take(p->q);
    atomic_fetch_add(&p->there, 1);
    while (pause() < 0)
        ;
    return 0;
}

/* Also where the oldest one lies behind the others. */
WORLD(what_a_dead_worker_had_comes_in_its_order, 0)
{
    for (uint32_t turned = 0; turned < 3; turned++) {
        struct pair *p = new_pair(0);
        struct player a;
        turn(p->q, turned);
        for (uint32_t i = 1; i <= 3; i++)
            put_now(p->q, i);
        player_start(&a, PROCESSES, take_all_and_stay, p);
        until_at_least(&p->there, 1);
        player_kill(&a);
        for (uint32_t i = 1; i <= 3; i++)
            CHECK_INT(get_by(p->q, rip_after(10)), ==, i);
        free_pair(p);
    }
}

WORLD(who_waits_is_woken_by_a_death, 0)
{
    struct pair *p = new_pair(0);
    struct player a, b;
    put_now(p->q, 1);
    start_worker(&a, p);
    only_woken();
    player_start(&b, PROCESSES, get_one, p->q);
    until_waiting(p->q, 1);
    player_kill(&a);
    CHECK_INT(player_end(&b), ==, 1);
    free_pair(p);
}

WORLD(who_is_stopped_keeps_it, 0)
{
    struct pair *p = new_pair(0);
    struct player a;
    put_now(p->q, 1);
    start_worker(&a, p);
    CHECK_INT(kill(a.pid, SIGSTOP), ==, 0);
    CHECK_INT(waitpid(a.pid, NULL, WUNTRACED), ==, a.pid);
    CHECK_ERR(get_by(p->q, rip_after_ms(600)), -ETIMEDOUT);
    player_kill(&a);
    CHECK_INT(get_by(p->q, rip_after(10)), ==, 1);
    free_pair(p);
}

WORLD(a_killer_of_workers_is_set_aside, 0)
{
    struct pair *p = new_pair(2);
    struct player a;
    struct rip_message m;
    put_now(p->q, 66);
    for (int i = 0; i < 2; i++) {
        start_worker(&a, p);
        CHECK_INT(p->m.deliveries, ==, i + 1);
        player_kill(&a);
    }
    CHECK_OK(rip_queue_take_dead(p->q, &m, rip_after(10)));
    CHECK_INT(number_of(&m), ==, 66);
    CHECK_INT(m.deliveries, ==, 3);
    CHECK_OK(rip_queue_join(p->q, RIP_NOW));
    CHECK_ERR(get_by(p->q, RIP_NOW), -ETIMEDOUT);
    rip_queue_give_back(p->q, &m);
    struct rip_queue_stats s;
    CHECK_OK(rip_queue_stats(p->q, &s));
    CHECK_INT(s.dead, ==, 1);
    CHECK_OK(rip_queue_take_dead(p->q, &m, RIP_NOW));
    rip_queue_done(p->q, &m);
    CHECK_ERR(rip_queue_take_dead(p->q, &m, rip_after_ms(1)), -ETIMEDOUT);
    free_pair(p);
}

/* ---- the end ---------------------------------------------------------- */

BOTH(close_lets_readers_drain, 0)
{
    rip_queue *q = new_queue(2, 0);
    struct player full, empty;
    only_woken();
    put_now(q, 1);
    put_now(q, 2);
    player_start(&full, kind, put_seven, q);
    until_waiting(q, 1);
    rip_queue_close(q);
    rip_queue_close(q);
    CHECK_ERR(player_end(&full), -EPIPE);
    CHECK_ERR(rip_queue_put(q, "", 0, RIP_NOW), -EPIPE);
    CHECK_INT(get_by(q, RIP_NOW), ==, 1);
    CHECK_INT(get_by(q, RIP_FOREVER), ==, 2);
    CHECK_ERR(get_by(q, RIP_FOREVER), -EPIPE);
    rip_queue_free(q);
    q = new_queue(2, 0);
    player_start(&empty, kind, get_one, q);
    until_waiting(q, 1);
    rip_queue_close(q);
    CHECK_ERR(player_end(&empty), -EPIPE);
    rip_queue_free(q);
}

/* What is leased to another process may come back. */
WORLD(the_end_waits_for_leases, 0)
{
    struct pair *p = new_pair(0);
    struct player a;
    put_now(p->q, 1);
    start_worker(&a, p);
    rip_queue_close(p->q);
    CHECK_ERR(get_by(p->q, rip_after_ms(20)), -ETIMEDOUT);
    player_kill(&a);
    CHECK_INT(get_by(p->q, RIP_FOREVER), ==, 1);
    CHECK_ERR(get_by(p->q, RIP_FOREVER), -EPIPE);
    free_pair(p);
}

static int join_it(void *arg)
{
    return rip_queue_join(arg, RIP_FOREVER);
}

/* ---- the last writer -------------------------------------------------- */

static rip_queue *new_river(void)
{
    rip_queue *q;
    const struct rip_queue_options o = { .capacity = 8,
                                         .message_size = 100,
                                         .ends_with_writers = true };
    CHECK_OK(rip_queue_new(&q, &o));
    return q;
}

static int put_two(void *arg)
{
    put_now(arg, 1);
    put_now(arg, 2);
    return 0;
}

static int get_until_the_end(void *arg)
{
    int64_t n = 0, r;
    while ((r = get_by(arg, rip_after(20))) > 0)
        n += r;
    return r == -EPIPE ? (int)n : -1;
}

BOTH(the_end_comes_with_the_last_writer, 0)
{
    rip_queue *q = new_river();
    struct player a[3];
    CHECK_ERR(get_by(q, RIP_NOW), -ETIMEDOUT); /* none has come yet */
    player_start(&a[0], kind, get_until_the_end, q);
    put_now(q, 10);
    player_start(&a[1], kind, put_two, q);
    player_start(&a[2], kind, put_two, q);
    CHECK_OK(player_end(&a[1]));
    CHECK_OK(player_end(&a[2]));
    put_now(q, 20); /* one is left */
    rip_queue_end_writing(q);
    CHECK_INT(player_end(&a[0]), ==, 36);
    CHECK_ERR(get_by(q, RIP_NOW), -EPIPE);
    CHECK_ERR(put(q, 1), -EPIPE);
    rip_queue_free(q);
}

struct ford {
    rip_queue *q;
    atomic_int there;
};

static int put_and_stay(void *arg)
{
    struct ford *f = arg;
    put_now(f->q, 1);
    atomic_fetch_add(&f->there, 1);
    while (pause() < 0)
        ;
    return 0;
}

/* A reader that sleeps is woken by the death. */
WORLD(the_end_comes_with_the_death_of_a_writer, 0)
{
    struct ford *f = board(sizeof *f);
    struct player writer, reader;
    f->q = new_river();
    only_woken();
    player_start(&writer, PROCESSES, put_and_stay, f);
    until_at_least(&f->there, 1);
    CHECK_INT(get_by(f->q, RIP_NOW), ==, 1);
    player_start(&reader, PROCESSES, get_until_the_end, f->q);
    until_waiting(f->q, 1);
    player_kill(&writer);
    CHECK_INT(player_end(&reader), ==, 0);
    rip_queue_free(f->q);
    munmap(f, sizeof *f);
}

/* ---- at once ---------------------------------------------------------- */

static int get_in_vain(void *arg)
{
    return get_by(arg, rip_after(20)) == -EPIPE ? 0 : -1;
}

static int put_in_vain(void *arg)
{
    return rip_queue_put(arg, "", 0, rip_after(20)) == -EPIPE ? 0 : -1;
}

static int join_now(void *arg)
{
    return rip_queue_join(arg, rip_after(20));
}

/* All that wait are woken, and what is there is not given out. */
BOTH(shutdown_is_at_once, 0)
{
    rip_queue *empty = new_queue(1, 0), *full = new_queue(2, 0);
    struct player a[3];
    only_woken();
    put_now(full, 1);
    put_now(full, 2);
    struct rip_message m = take(full);
    player_start(&a[0], kind, get_in_vain, empty);
    player_start(&a[1], kind, put_in_vain, full);
    player_start(&a[2], kind, join_now, full);
    until_waiting(empty, 1);
    until_waiting(full, 2);
    rip_queue_shutdown(empty);
    CHECK_OK(player_end(&a[0]));
    rip_queue_shutdown(full);
    CHECK_OK(player_end(&a[1]));
    CHECK_ERR(get_by(full, RIP_FOREVER), -EPIPE);
    CHECK_ERR(rip_queue_join(full, RIP_NOW), -ETIMEDOUT);
    rip_queue_done(full, &m);
    CHECK_OK(player_end(&a[2]));
    rip_queue_close(full); /* does not open it again */
    CHECK_ERR(get_by(full, RIP_NOW), -EPIPE);
    rip_queue_free(empty);
    rip_queue_free(full);
}

BOTH(join_waits_until_all_is_done, 0)
{
    rip_queue *q = new_queue(3, 0);
    struct player a;
    CHECK_OK(rip_queue_join(q, RIP_NOW));
    put_now(q, 1);
    put_now(q, 2);
    struct rip_message m = take(q);
    only_woken();
    player_start(&a, kind, join_it, q);
    until_waiting(q, 1);
    CHECK_INT(get_by(q, RIP_NOW), ==, 2);
    CHECK_ERR(rip_queue_join(q, RIP_NOW), -ETIMEDOUT);
    until_waiting(q, 1);
    rip_queue_done(q, &m);
    CHECK_OK(player_end(&a));
    rip_queue_free(q);
}

static int wait_in_vain(void *arg)
{
    struct rip_message m;
    return get_by(arg, RIP_FOREVER) == -ECANCELED &&
                   rip_queue_take(arg, &m, RIP_FOREVER) == -ECANCELED
               ? rip_queue_put(arg, "", 0, RIP_FOREVER) /* there is a place */
               : -1;
}

static void stop_a_waiter(enum rip_kind kind)
{
    rip_queue *q = new_queue(1, 0);
    const struct rip_task_options o = { .kind = kind };
    struct rip_exit e;
    rip_task *t;
    CHECK_OK(rip_task_start(&t, wait_in_vain, q, &o));
    until_waiting(q, 1);
    rip_task_stop(t);
    CHECK_OK(rip_task_join(t, &e, rip_after(10)));
    CHECK_INT(e.code, ==, 0);
    rip_task_free(t);
    rip_queue_free(q);
}

WORLD(a_request_to_stop_ends_a_wait, 0)
{
    stop_a_waiter(RIP_THREAD);
    stop_a_waiter(RIP_PROCESS);
}

static size_t used(void)
{
    struct rip_segment_stats s;
    rip_segment_stats(NULL, &s);
    return s.used;
}

static int use_and_free(void *arg)
{
    CHECK_INT(get_by(arg, RIP_FOREVER), ==, 1);
    struct rip_message m = take(arg);
    CHECK_INT(number_of(&m), ==, 2);
    rip_queue_free(arg);
    return 0;
}

/* The last one frees the memory; what a process has leased it gives back. */
WORLD(free_is_of_each_process, 0)
{
    rip_queue *q = new_queue(100, 0); /* more than a small block */
    struct player a;
    put_now(q, 1);
    put_now(q, 2);
    player_start(&a, PROCESSES, use_and_free, q);
    CHECK_OK(player_end(&a));
    CHECK_INT(get_by(q, RIP_NOW), ==, 2);
    size_t before = used();
    CHECK(rip_queue_free(q) == NULL);
    CHECK(used() < before);
    CHECK(rip_queue_free(NULL) == NULL);
}

/* ---- bad uses --------------------------------------------------------- */

static void refuse(const struct rip_queue_options *o)
{
    rip_queue *q = (rip_queue *)&q;
    CHECK_ERR(rip_queue_new(&q, o), -EINVAL);
    CHECK(q == (rip_queue *)&q);
}

TEST(bad_options_are_refused)
{
    rip_queue *q;
    refuse(&(struct rip_queue_options){ .capacity = 1 << 20 });
    refuse(&(struct rip_queue_options){ .message_size = (16 << 20) + 1 });
    refuse(&(struct rip_queue_options){ .max_deaths = 4096 });
    refuse(&(struct rip_queue_options){ .reserved = { 0, 1 } });
    const struct rip_queue_options large = { .capacity = 1 << 19,
                                             .message_size = 1 << 20 };
    CHECK_ERR(rip_queue_new(&q, &large), -ENOMEM);
}

TEST(what_is_no_queue_is_refused)
{
    static uint64_t heap[100] = { 1 };
    rip_queue *q = new_queue(1, 0), *none = (rip_queue *)(void *)heap;
    void *other = rip_shared_alloc(NULL, 4096);
    CHECK_ERR(rip_queue_put(none, "", 0, RIP_NOW), -EBADMSG);
    CHECK_ERR(get_by(other, RIP_NOW), -EBADMSG);
    CHECK_INT(rip_queue_depth(none), ==, 0);
    rip_queue_free(q);
    CHECK_ERR(get_by(q, RIP_NOW), -EBADMSG);
    rip_queue_close(q);
    rip_shared_free(NULL, other);
}

/* ---- names ------------------------------------------------------------ */

static int put_by_name(void *arg)
{
    rip_queue *q;
    int r = rip_queue_open(&q, arg, NULL);
    if (r == 0)
        r = put(q, 42);
    rip_queue_free(q);
    return r;
}

WORLD(others_find_it_by_its_name, 0)
{
    char name[40];
    struct player a;
    rip_queue *q, *again, *bad;
    rip_segment *s;
    snprintf(name, sizeof name, "test.queue.%d", (int)getpid());
    const struct rip_queue_options o = { .capacity = 5, .message_size = 9 },
                                   other = { .capacity = 6 },
                                   placed = { .segment = (rip_segment *)&q };
    CHECK_OK(rip_queue_open(&q, name, &o));
    player_start(&a, PROCESSES, put_by_name, name);
    CHECK_OK(player_end(&a));
    CHECK_INT(get_by(q, RIP_NOW), ==, 42);
    CHECK_OK(rip_queue_open(&again, name, &o));
    CHECK(again == q);
    CHECK_ERR(rip_queue_open(&bad, name, &other), -EINVAL);
    CHECK_ERR(rip_queue_open(&bad, name, &placed), -EINVAL);
    CHECK_ERR(rip_queue_open(&bad, "a/b", NULL), -EINVAL);
    CHECK_ERR(rip_queue_open(&bad, NULL, NULL), -EINVAL);
    rip_queue_free(again);
    put_now(q, 1);
    rip_queue_free(q);
    const struct rip_segment_options join = { .how = RIP_SEGMENT_JOIN };
    CHECK_ERR(rip_segment_open(&s, name, &join), -ENOENT);
}

/* ---- storms ----------------------------------------------------------- */

enum { WORKERS = 4, MESSAGES = 20000 };
struct storm {
    rip_queue *q;
    atomic_uint work[MESSAGES], marks[MESSAGES];
    atomic_int bad;
};

struct checked {
    uint64_t number, squares[6], sum;
};

static void fill(struct checked *c, uint64_t number)
{
    c->number = c->sum = number;
    for (uint64_t i = 0; i < 6; i++)
        c->sum += c->squares[i] = number * number + i;
}

static int work(void *arg)
{
    struct storm *s = arg;
    struct rip_message m;
    struct checked is, due;
    int r;
    while ((r = rip_queue_take(s->q, &m, RIP_FOREVER)) == 0) {
        memcpy(&is, m.data, sizeof is);
        fill(&due, is.number);
        if (m.len != sizeof is || is.number >= MESSAGES ||
            memcmp(&is, &due, sizeof is) != 0) {
            s->bad++;
        } else {
            s->work[is.number]++;
            s->marks[is.number] = m.deliveries;
        }
        rip_queue_done(s->q, &m);
    }
    return r == -EPIPE ? 0 : 1;
}

static int put_messages(void *arg)
{
    struct storm *s = arg;
    struct checked c;
    for (uint64_t i = 0; i < MESSAGES; i++) {
        fill(&c, i);
        int r = rip_queue_put(s->q, &c, sizeof c, RIP_FOREVER);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Killed, or stopped for a while and let go on. */
static void strike(struct player *a, struct storm *s, unsigned *seed)
{
    if (rand_r(seed) % 3 == 0) {
        kill(a->pid, SIGSTOP);
        rip_time until = rip_after_ms(rand_r(seed) % 4);
        while (rip_time_now() < until)
            sched_yield();
        kill(a->pid, SIGCONT);
    } else {
        player_kill(a);
        player_start(a, PROCESSES, work, s);
    }
}

WORLD(a_storm_of_deaths_loses_nothing, 120)
{
    struct storm *s = board(sizeof *s);
    struct player w[WORKERS], p;
    unsigned seed = (unsigned)getpid(), deaths = 0;
    s->q = new_queue(20, 0);
    for (int i = 0; i < WORKERS; i++)
        player_start(&w[i], PROCESSES, work, s);
    player_start(&p, PROCESSES, put_messages, s);
    while (waitpid(p.pid, NULL, WNOHANG) == 0) {
        strike(&w[rand_r(&seed) % WORKERS], s, &seed);
        deaths++;
    }
    CHECK_OK(rip_queue_join(s->q, rip_after(60)));
    rip_queue_close(s->q);
    for (int i = 0; i < WORKERS; i++)
        CHECK_OK(player_end(&w[i]));
    CHECK_INT(s->bad, ==, 0);
    for (int i = 0; i < MESSAGES; i++) {
        CHECK_INT(s->work[i], >=, 1);
        CHECK_INT(s->work[i], <=, s->marks[i]);
    }
    CHECK_INT(deaths, >, 0);
    rip_queue_free(s->q);
    munmap(s, sizeof *s);
}

/* ---- faults ----------------------------------------------------------- */

static bool is_clean(ssize_t r)
{
    return r >= 0 || r == -ENOMEM || r == -EMFILE || r == -ENFILE ||
           r == -EAGAIN || r == -ETIMEDOUT;
}

static void use(void *ctx)
{
    const struct rip_queue_options o = { .capacity = 2, .message_size = 8 };
    rip_queue *q;
    char text[8];
    (void)ctx;
    int r = rip_queue_new(&q, &o);
    CHECK(is_clean(r));
    if (r < 0)
        return;
    r = rip_queue_put(q, "1234567", 8, rip_after_ms(5));
    CHECK(is_clean(r));
    ssize_t n = rip_queue_get(q, text, sizeof text, rip_after_ms(5));
    CHECK(is_clean(n));
    if (r == 0 && n >= 0)
        CHECK_STR(text, "1234567");
    CHECK(is_clean(rip_queue_get(q, text, sizeof text, rip_after_ms(5))));
    rip_queue_close(q);
    rip_queue_free(q);
}

TEST_WITH(a_queue_survives_every_fault, .deadline = 120)
{
    CHECK(fault_sweep(use, NULL, NULL) > 10);
}
