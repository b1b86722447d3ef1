/* SPDX-License-Identifier: MIT */
#include <ripstop/barrier.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "segment/segment.h"
#include "sync/world.h"

static rip_barrier *new_barrier(enum kind kind, unsigned parties)
{
    rip_barrier *b = object(kind, sizeof *b);
    rip_barrier_init(b, parties);
    return b;
}

static int await(void *b)
{
    return rip_barrier_wait(b, RIP_FOREVER);
}

static void start_waiting(struct player *a, int n, enum kind kind,
                          rip_barrier *b)
{
    for (int i = 0; i < n; i++) {
        player_start(&a[i], kind, await, b);
        while (rip_barrier_waiting(b) <= (unsigned)i)
            CHECK(!rip_barrier_is_broken(b));
    }
    until_waiting(b, (unsigned)n);
}

/* ---- together --------------------------------------------------------- */

BOTH(each_gets_its_own_number, 0)
{
    struct player a[2];
    rip_barrier *b = new_barrier(kind, 3);
    start_waiting(a, 2, kind, b);
    CHECK_INT(rip_barrier_waiting(b), ==, 2);
    CHECK_INT(rip_barrier_wait(b, RIP_FOREVER), ==, 2);
    CHECK_INT(player_end(&a[0]), ==, 0);
    CHECK_INT(rip_barrier_waiting(b), ==, 0);
    CHECK_INT(player_end(&a[1]), ==, 1);
    if (kind == THREADS)
        CHECK_ERR(rip_barrier_wait(b, RIP_NOW), -ETIMEDOUT);
    else /* the end of a process is never quiet */
        CHECK_ERR(rip_barrier_wait(b, RIP_FOREVER), -EPIPE);
}

BOTH(one_party_never_waits, 0)
{
    rip_barrier *b = new_barrier(kind, 1);
    for (int i = 0; i < 3; i++)
        CHECK_INT(rip_barrier_wait(b, RIP_NOW), ==, 0);
}

struct march {
    rip_barrier *barrier;
    atomic_int *at;
    int n, steps;
};

/* Nobody is ever a step ahead of one who is a step behind. */
static int step_by_step(void *arg)
{
    const struct march *m = arg;
    for (int i = 1; i <= m->steps; i++) {
        atomic_fetch_add(m->at, 1);
        if (rip_barrier_wait(m->barrier, RIP_FOREVER) < 0)
            return 1;
        int at = atomic_load(m->at);
        if (at < i * m->n || at > (i + 1) * m->n)
            return 2;
    }
    return 0;
}

BOTH(all_march_in_step, 30)
{
    enum { N = 5 };
    struct player a[N];
    struct march m = { new_barrier(kind, N), board(sizeof(atomic_int)), N,
                       500 };
    for (int i = 0; i < N; i++)
        player_start(&a[i], kind, step_by_step, &m);
    for (int i = 0; i < N; i++)
        CHECK_INT(player_end(&a[i]), ==, 0);
    CHECK_INT(atomic_load(m.at), ==, N * m.steps);
}

/* ---- broken ----------------------------------------------------------- */

BOTH(a_deadline_breaks_it, 0)
{
    struct player a[2];
    rip_barrier *b = new_barrier(kind, 4);
    struct rip_culprit c;
    start_waiting(a, 2, kind, b);
    CHECK_ERR(rip_barrier_wait(b, rip_after_ms(30)), -ETIMEDOUT);
    for (int i = 0; i < 2; i++)
        CHECK_ERR(player_end(&a[i]), -EPIPE);
    CHECK(rip_barrier_is_broken(b));
    CHECK_ERR(rip_barrier_wait(b, RIP_FOREVER), -EPIPE);
    CHECK_ERR(rip_barrier_join(b), -EPIPE);
    CHECK_ERR(rip_barrier_culprit(b, &c), -ESRCH);
    rip_barrier_reset(b);
    CHECK(!rip_barrier_is_broken(b));
    CHECK_ERR(rip_barrier_wait(b, RIP_NOW), -ETIMEDOUT);
    CHECK(rip_barrier_is_broken(b));
}

BOTH(abort_breaks_it, 0)
{
    struct player a[2];
    rip_barrier *b = new_barrier(kind, 3);
    start_waiting(a, 2, kind, b);
    rip_barrier_abort(b);
    for (int i = 0; i < 2; i++)
        CHECK_ERR(player_end(&a[i]), -EPIPE);
    CHECK_ERR(rip_barrier_wait(b, RIP_NOW), -EPIPE);
}

BOTH(reset_sends_away_who_waits, 0)
{
    struct player a[2], again[2];
    rip_barrier *b = new_barrier(kind, 3);
    start_waiting(a, 2, kind, b);
    rip_barrier_reset(b);
    for (int i = 0; i < 2; i++)
        CHECK_ERR(player_end(&a[i]), -EPIPE);
    CHECK(!rip_barrier_is_broken(b));
    start_waiting(again, 2, kind, b);
    CHECK_INT(rip_barrier_wait(b, RIP_FOREVER), ==, 2);
    for (int i = 0; i < 2; i++)
        CHECK_INT(player_end(&again[i]), ==, i);
}

/* ---- deaths ----------------------------------------------------------- */

struct scene {
    rip_barrier *barrier;
    atomic_int *told;
};

static int join_and_stay(void *arg)
{
    const struct scene *x = arg;
    if (rip_barrier_join(x->barrier) < 0)
        return 1;
    atomic_fetch_add(x->told, 1);
    for (;;)
        pause();
}

static int pass_and_stay(void *arg)
{
    const struct scene *x = arg;
    if (rip_barrier_wait(x->barrier, RIP_FOREVER) < 0)
        return 1;
    atomic_fetch_add(x->told, 1);
    for (;;)
        pause();
}

static void check_broken_by(rip_barrier *b, struct player *a, int n, pid_t pid)
{
    struct rip_culprit c = { 0 };
    for (int i = 0; i < n; i++)
        CHECK_ERR(player_end(&a[i]), -EPIPE);
    CHECK(rip_barrier_is_broken(b));
    CHECK_INT(rip_barrier_culprit(b, &c), ==, 0);
    CHECK_INT(c.pid, ==, pid);
    CHECK_INT(c.tid, ==, pid);
    CHECK(memchr(c.name, '\0', sizeof c.name));
}

WORLD(a_party_that_joined_is_killed, 0)
{
    only_woken();
    struct player a[2], one;
    struct scene x = { new_barrier(PROCESSES, 3), board(sizeof(atomic_int)) };
    player_start(&one, PROCESSES, join_and_stay, &x);
    until_at_least(x.told, 1);
    start_waiting(a, 2, PROCESSES, x.barrier);
    player_kill(&one);
    check_broken_by(x.barrier, a, 2, one.pid);
}

WORLD(a_party_that_waits_is_killed, 0)
{
    only_woken();
    struct player a[3];
    rip_barrier *b = new_barrier(PROCESSES, 4);
    start_waiting(a, 3, PROCESSES, b);
    player_kill(&a[2]);
    check_broken_by(b, a, 2, a[2].pid);
}

WORLD(a_party_of_an_earlier_epoch_is_killed, 0)
{
    only_woken();
    struct player a[1], one;
    struct scene x = { new_barrier(PROCESSES, 2), board(sizeof(atomic_int)) };
    player_start(&one, PROCESSES, pass_and_stay, &x);
    CHECK_INT(rip_barrier_wait(x.barrier, RIP_FOREVER), >=, 0);
    until_at_least(x.told, 1);
    rip_barrier_leave(x.barrier);
    start_waiting(a, 1, PROCESSES, x.barrier);
    player_kill(&one);
    check_broken_by(x.barrier, a, 1, one.pid);
    CHECK_ERR(rip_barrier_wait(x.barrier, RIP_NOW), -EPIPE);
}

/* Its life word is watched by each, but the kernel wakes one alone. */
WORLD(a_death_wakes_more_than_one_can_watch, 60)
{
    enum { N = RIP__WATCH + 16 };
    only_woken();
    struct player a[N], one;
    struct scene x = { new_barrier(PROCESSES, N + 1),
                       board(sizeof(atomic_int)) };
    player_start(&one, PROCESSES, join_and_stay, &x);
    until_at_least(x.told, 1);
    start_waiting(a, N, PROCESSES, x.barrier);
    player_kill(&one);
    check_broken_by(x.barrier, a, N, one.pid);
}

/* As a sweep leaves it that was stopped over a reset. */
WORLD(a_culprit_from_before_a_reset_is_not_named, 0)
{
    only_woken();
    struct player a[2];
    rip_barrier *b = new_barrier(PROCESSES, 3);
    start_waiting(a, 2, PROCESSES, b);
    player_kill(&a[1]);
    check_broken_by(b, a, 1, a[1].pid);
    uint64_t earlier = b->culprit;
    rip_barrier_reset(b);
    b->culprit = earlier;
    start_waiting(a, 2, PROCESSES, b);
    player_kill(&a[1]);
    check_broken_by(b, a, 1, a[1].pid);
}

/* Nobody waits when it is killed; who comes later is told. */
WORLD(a_party_is_killed_while_nobody_waits, 0)
{
    only_woken();
    struct player one;
    struct scene x = { new_barrier(PROCESSES, 2), board(sizeof(atomic_int)) };
    player_start(&one, PROCESSES, join_and_stay, &x);
    until_at_least(x.told, 1);
    player_kill(&one);
    CHECK_ERR(rip_barrier_wait(x.barrier, RIP_FOREVER), -EPIPE);
}

WORLD(a_stopped_party_breaks_nothing, 0)
{
    struct player one;
    struct scene x = { new_barrier(PROCESSES, 2), board(sizeof(atomic_int)) };
    struct rip_culprit c;
    player_start(&one, PROCESSES, join_and_stay, &x);
    until_at_least(x.told, 1);
    CHECK_INT(kill(one.pid, SIGSTOP), ==, 0);
    CHECK_INT(waitpid(one.pid, NULL, WUNTRACED), ==, one.pid);
    CHECK_ERR(rip_barrier_wait(x.barrier, rip_after_ms(500)), -ETIMEDOUT);
    CHECK_ERR(rip_barrier_culprit(x.barrier, &c), -ESRCH);
    player_kill(&one);
}

/* The dead of before a reset do not break what comes after it. */
WORLD(a_reset_forgets_the_dead, 0)
{
    struct player one, a[1];
    struct scene x = { new_barrier(PROCESSES, 2), board(sizeof(atomic_int)) };
    player_start(&one, PROCESSES, join_and_stay, &x);
    until_at_least(x.told, 1);
    rip_barrier_reset(x.barrier);
    start_waiting(a, 1, PROCESSES, x.barrier);
    player_kill(&one);
    CHECK_INT(rip_barrier_wait(x.barrier, RIP_FOREVER), ==, 1);
    CHECK_INT(player_end(&a[0]), ==, 0);
}

static int join_and_leave(void *arg)
{
    const struct scene *x = arg;
    if (rip_barrier_join(x->barrier) < 0)
        return 1;
    rip_barrier_leave(x->barrier);
    atomic_fetch_add(x->told, 1);
    for (;;)
        pause();
}

WORLD(who_has_left_breaks_nothing, 0)
{
    struct player one, a[1];
    struct scene x = { new_barrier(PROCESSES, 2), board(sizeof(atomic_int)) };
    player_start(&one, PROCESSES, join_and_leave, &x);
    until_at_least(x.told, 1);
    start_waiting(a, 1, PROCESSES, x.barrier);
    player_kill(&one);
    CHECK_INT(rip_barrier_wait(x.barrier, RIP_FOREVER), ==, 1);
    CHECK_INT(player_end(&a[0]), ==, 0);
}

/* ---- threads that end ------------------------------------------------- */

static int wait_once(void *b)
{
    return rip_barrier_wait(b, RIP_FOREVER) < 0;
}

/* As workers do, one generation after the other. */
BOTH(who_ends_while_nobody_waits_leaves_quietly, 0)
{
    rip_barrier *b = new_barrier(kind, 2);
    if (kind == PROCESSES)
        return; /* a process that ends is dead, however it ends */
    for (int i = 0; i < 3; i++) {
        struct player a[2];
        for (int k = 0; k < 2; k++)
            player_start(&a[k], kind, wait_once, b);
        for (int k = 0; k < 2; k++)
            CHECK_INT(player_end(&a[k]), ==, 0);
    }
    CHECK(!rip_barrier_is_broken(b));
}

static int join_and_end(void *arg)
{
    const struct scene *x = arg;
    if (rip_barrier_join(x->barrier) < 0)
        return 1;
    until_at_least(x->told, 1);
    return 0;
}

BOTH(who_ends_while_others_wait_breaks_it, 0)
{
    struct player one, a[1];
    struct scene x = { new_barrier(kind, 2), board(sizeof(atomic_int)) };
    player_start(&one, kind, join_and_end, &x);
    start_waiting(a, 1, kind, x.barrier);
    until_waiting(x.barrier, 1);
    atomic_store(x.told, 1);
    CHECK_INT(player_end(&one), ==, 0);
    CHECK_ERR(player_end(&a[0]), -EPIPE);
}

static int join_and_outlive(void *arg)
{
    const struct scene *x = arg;
    CHECK_INT(rip_barrier_join(x->barrier), ==, 0);
    atomic_store(x->told, 1);
    until_at_least(x->told, 2);
    return 0;
}

/* A thread that ends does not touch a barrier which is no more. */
WORLD(memory_that_is_gone_is_not_looked_at, 0)
{
    struct player one;
    struct scene x = { NULL, board(sizeof(atomic_int)) };
    x.barrier = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    rip_barrier_init(x.barrier, 2);
    player_start(&one, THREADS, join_and_outlive, &x);
    until_at_least(x.told, 1);
    munmap(x.barrier, 4096);
    atomic_store(x.told, 2);
    CHECK_INT(player_end(&one), ==, 0);
}

WORLD(barriers_without_number, 0)
{
    enum { N = 300 };
    for (int i = 0; i < N; i++) {
        rip_barrier b;
        rip_barrier_init(&b, 1);
        CHECK_INT(rip_barrier_wait(&b, RIP_NOW), ==, 0);
        rip_barrier_leave(&b);
    }
    rip_barrier *b = object(PROCESSES, sizeof *b);
    for (int i = 0; i < N; i++) {
        rip_barrier_init(b, 1);
        CHECK_INT(rip_barrier_wait(b, RIP_NOW), ==, 0);
        rip_barrier_reset(b);
        CHECK_INT(rip_barrier_wait(b, RIP_NOW), ==, 0);
    }
}

/* ---- misuse ----------------------------------------------------------- */

static void init_for_none(void *b)
{
    rip_barrier_init(b, 0);
}

static void wait_at_zeroes(void *b)
{
    CHECK(rip_barrier_wait(b, RIP_NOW) < 0);
}

WORLD(a_barrier_for_nobody, 0)
{
    rip_barrier heap = { 0 };
    check_misuse(init_for_none, &heap,
                 "ripstop: rip_barrier_init: a barrier for no parties\n");
    check_misuse(wait_at_zeroes, &heap,
                 "ripstop: rip_barrier_wait: the barrier is for no parties\n");
    rip_barrier *b = new_barrier(PROCESSES, 0);
    CHECK_ERR(rip_barrier_wait(b, RIP_FOREVER), -EBADMSG);
}

WORLD(nonsense_in_a_barrier, 0)
{
    rip_barrier *b = new_barrier(PROCESSES, 2);
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        b->word = x;
        b->culprit = x * 31;
        b->parties = (uint32_t)(x >> 20) & 0xff;
        int r = rip_barrier_wait(b, RIP_NOW);
        CHECK(r >= 0 || r == -EPIPE || r == -EBADMSG || r == -ETIMEDOUT);
        struct rip_culprit c;
        r = rip_barrier_culprit(b, &c);
        CHECK(r == 0 || r == -ESRCH);
    }
}
