/* SPDX-License-Identifier: MIT */
#include <ripstop/latch.h>

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "harness.h"
#include "segment/segment.h"
#include "sync/world.h"

static rip_latch *new_latch(enum kind kind, unsigned count)
{
    rip_latch *l = object(kind, sizeof *l);
    rip_latch_init(l, count);
    return l;
}

static int await(void *l)
{
    return rip_latch_wait(l, RIP_FOREVER);
}

/* ---- counting --------------------------------------------------------- */

BOTH(it_opens_when_counted_down, 0)
{
    only_woken();
    enum { N = 3 };
    struct player a[N];
    rip_latch *l = new_latch(kind, 2);
    CHECK_INT(rip_latch_count(l), ==, 2);
    CHECK_ERR(rip_latch_wait(l, RIP_NOW), -ETIMEDOUT);
    for (int i = 0; i < N; i++)
        player_start(&a[i], kind, await, l);
    until_waiting(l, N);
    rip_latch_count_down(l);
    CHECK_INT(rip_latch_count(l), ==, 1);
    CHECK_ERR(rip_latch_wait(l, rip_after_ms(20)), -ETIMEDOUT);
    rip_latch_count_down(l);
    for (int i = 0; i < N; i++)
        CHECK_INT(player_end(&a[i]), ==, 0);
    CHECK_INT(rip_latch_count(l), ==, 0);
    CHECK_INT(rip_latch_wait(l, RIP_FOREVER), ==, 0);
}

BOTH(none_to_count_is_open, 0)
{
    rip_latch *l = new_latch(kind, 0);
    CHECK_INT(rip_latch_wait(l, RIP_FOREVER), ==, 0);
    l = object(kind, sizeof *l);
    CHECK_INT(rip_latch_wait(l, RIP_NOW), ==, 0);
}

BOTH(a_large_count, 0)
{
    rip_latch *l = new_latch(kind, 200000);
    for (int i = 0; i < 200000; i++) {
        CHECK_ERR(rip_latch_wait(l, RIP_NOW), -ETIMEDOUT);
        rip_latch_count_down(l);
    }
    CHECK_INT(rip_latch_wait(l, RIP_NOW), ==, 0);
    rip_latch_init(l, UINT32_MAX);
    rip_latch_count_down(l);
    CHECK_INT(rip_latch_count(l), ==, UINT32_MAX - 1);
}

struct team {
    rip_latch *latch;
    atomic_int *told;
    int times;
};

static int join_and_count(void *arg)
{
    const struct team *t = arg;
    for (int i = 0; i < t->times; i++)
        if (rip_latch_join(t->latch) != 0)
            return 1;
    for (int i = 0; i < t->times; i++)
        rip_latch_count_down(t->latch);
    return 0;
}

BOTH(many_count_down, 30)
{
    enum { N = 6 };
    struct player a[N];
    struct team t = { new_latch(kind, N * 50), NULL, 50 };
    for (int i = 0; i < N; i++)
        player_start(&a[i], kind, join_and_count, &t);
    CHECK_INT(rip_latch_wait(t.latch, RIP_FOREVER), ==, 0);
    for (int i = 0; i < N; i++)
        CHECK_INT(player_end(&a[i]), ==, 0);
    CHECK_INT(rip_latch_wait(t.latch, RIP_NOW), ==, 0);
}

/* ---- deaths ----------------------------------------------------------- */

static int join_and_stay(void *arg)
{
    const struct team *t = arg;
    if (rip_latch_join(t->latch) < 0)
        return 1;
    atomic_fetch_add(t->told, 1);
    for (;;)
        pause();
}

WORLD(a_party_is_killed_before_it_counts, 0)
{
    only_woken();
    struct player one, a[2];
    struct rip_culprit c = { 0 };
    struct team t = { new_latch(PROCESSES, 2), board(sizeof(atomic_int)), 0 };
    player_start(&one, PROCESSES, join_and_stay, &t);
    until_at_least(t.told, 1);
    for (int i = 0; i < 2; i++)
        player_start(&a[i], PROCESSES, await, t.latch);
    until_waiting(t.latch, 2);
    CHECK_ERR(rip_latch_culprit(t.latch, &c), -ESRCH);
    player_kill(&one);
    for (int i = 0; i < 2; i++)
        CHECK_ERR(player_end(&a[i]), -EPIPE);
    CHECK_INT(rip_latch_culprit(t.latch, &c), ==, 0);
    CHECK_INT(c.pid, ==, one.pid);
    CHECK_ERR(rip_latch_join(t.latch), -EPIPE);
    CHECK_ERR(rip_latch_wait(t.latch, RIP_NOW), -EPIPE);
}

WORLD(a_party_that_comes_later_is_watched, 0)
{
    only_woken();
    struct player one, a;
    struct team t = { new_latch(PROCESSES, 2), board(sizeof(atomic_int)), 0 };
    player_start(&a, PROCESSES, await, t.latch);
    until_waiting(t.latch, 1);
    player_start(&one, PROCESSES, join_and_stay, &t);
    until_at_least(t.told, 1);
    player_kill(&one);
    CHECK_ERR(player_end(&a), -EPIPE);
}

WORLD(one_made_anew_forgets_the_dead, 0)
{
    struct player one;
    struct rip_culprit c;
    struct team t = { new_latch(PROCESSES, 1), board(sizeof(atomic_int)), 0 };
    player_start(&one, PROCESSES, join_and_stay, &t);
    until_at_least(t.told, 1);
    rip_latch_init(t.latch, 1);
    player_kill(&one);
    CHECK_ERR(rip_latch_wait(t.latch, rip_after_ms(300)), -ETIMEDOUT);
    player_start(&one, PROCESSES, join_and_stay, &t);
    until_at_least(t.told, 2);
    player_kill(&one);
    CHECK_ERR(rip_latch_wait(t.latch, RIP_FOREVER), -EPIPE);
    rip_latch_init(t.latch, 1);
    CHECK_ERR(rip_latch_culprit(t.latch, &c), -ESRCH);
}

WORLD(what_is_open_stays_open, 0)
{
    struct player one;
    struct team t = { new_latch(PROCESSES, 1), board(sizeof(atomic_int)), 0 };
    player_start(&one, PROCESSES, join_and_stay, &t);
    until_at_least(t.told, 1);
    rip_latch_count_down(t.latch);
    player_kill(&one);
    rip__sweep(rip__domain_of(t.latch));
    CHECK_INT(rip_latch_wait(t.latch, RIP_FOREVER), ==, 0);
}

static int join_count_and_stay(void *arg)
{
    const struct team *t = arg;
    if (rip_latch_join(t->latch) < 0)
        return 1;
    rip_latch_count_down(t->latch);
    atomic_fetch_add(t->told, 1);
    for (;;)
        pause();
}

WORLD(a_party_is_killed_after_it_has_counted, 0)
{
    struct player one, a[1];
    struct team t = { new_latch(PROCESSES, 2), board(sizeof(atomic_int)), 0 };
    player_start(&one, PROCESSES, join_count_and_stay, &t);
    until_at_least(t.told, 1);
    player_start(&a[0], PROCESSES, await, t.latch);
    until_waiting(t.latch, 1);
    player_kill(&one);
    CHECK_ERR(rip_latch_wait(t.latch, rip_after_ms(300)), -ETIMEDOUT);
    rip_latch_count_down(t.latch);
    CHECK_INT(player_end(&a[0]), ==, 0);
}

static int join_and_end(void *arg)
{
    return rip_latch_join(((const struct team *)arg)->latch);
}

/* It will never count, whether somebody waits for it yet or not. */
BOTH(a_party_that_ends_without_counting_breaks_it, 0)
{
    struct player one;
    struct team t = { new_latch(kind, 1), NULL, 0 };
    player_start(&one, kind, join_and_end, &t);
    CHECK_INT(player_end(&one), ==, 0);
    CHECK_ERR(rip_latch_wait(t.latch, RIP_FOREVER), -EPIPE);
}

/* ---- misuse ----------------------------------------------------------- */

static void count(void *l)
{
    rip_latch_count_down(l);
}

WORLD(counted_too_often, 0)
{
    rip_latch heap = { 0 };
    check_misuse(count, &heap,
                 "ripstop: rip_latch_count_down: it was at 0 already\n");
    rip_latch *l = new_latch(PROCESSES, 1);
    rip_latch_count_down(l);
    rip_latch_count_down(l);
    CHECK_ERR(rip_latch_wait(l, RIP_FOREVER), -EBADMSG);
}

WORLD(nonsense_in_a_latch, 0)
{
    rip_latch *l = new_latch(PROCESSES, 2);
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        l->word = x;
        l->count = (uint32_t)(x >> 20);
        int r = rip_latch_wait(l, RIP_NOW);
        CHECK(r == 0 || r == -EPIPE || r == -EBADMSG || r == -ETIMEDOUT);
        rip_latch_count_down(l);
        CHECK_INT(rip_latch_count(l), <=, l->count);
    }
}
