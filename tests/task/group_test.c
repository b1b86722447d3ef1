/* SPDX-License-Identifier: MIT */
#include <ripstop/group.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <ripstop/event.h>
#include <ripstop/segment.h>

#include "fault.h"
#include "harness.h"
#include "task/tasks.h"

/* What holds for groups of threads, of processes, and of both in turn. */
#define EACH(id)                               \
    static void of_kinds_##id(unsigned kinds); \
    TEST_WITH(threads_##id, .deadline = 10)    \
    {                                          \
        of_kinds_##id(1);                      \
    }                                          \
    TEST_WITH(processes_##id, .deadline = 10)  \
    {                                          \
        of_kinds_##id(2);                      \
    }                                          \
    TEST_WITH(mixed_##id, .deadline = 10)      \
    {                                          \
        of_kinds_##id(3);                      \
    }                                          \
    static void of_kinds_##id(unsigned kinds)

struct board {
    int go[2]; /* a pipe: all may go when it can be read */
    atomic_int n, stopped;
};

static struct board *new_board(void)
{
    struct board *b = rip_shared_alloc(NULL, sizeof *b);
    CHECK(b != NULL);
    CHECK_OK(pipe(b->go));
    return b;
}

static void free_board(struct board *b)
{
    close(b->go[0]);
    close(b->go[1]);
    rip_shared_free(NULL, b);
}

static void let_go(struct board *b)
{
    CHECK_INT(write(b->go[1], "", 1), ==, 1);
}

static rip_group *new_group(void)
{
    rip_group *g;
    CHECK_OK(rip_group_new(&g, NULL));
    return g;
}

static int be_deaf(void *arg)
{
    struct board *b = arg;
    signal(SIGTERM, SIG_IGN);
    atomic_fetch_add(&b->n, 1);
    for (;;)
        pause();
    return 0;
}

/* Of those who use all of it: so long that one and two are told apart. */
static double long_grace(void)
{
    return harness_scale(1);
}

/* The i-th of a group. */
static int add(rip_group *g, unsigned kinds, int i, rip_task_fn *fn, void *arg)
{
    bool process = kinds == 2 || (kinds == 3 && i % 2 == 1);
    const struct rip_task_options o = {
        .kind = process ? RIP_PROCESS : RIP_THREAD,
        .grace = fn == be_deaf ? long_grace() : 5,
    };
    return rip_group_start(g, fn, arg, &o);
}

static double since(rip_time then)
{
    return (double)(rip_time_now() - then) / 1e9;
}

static void nap(int ms)
{
    const struct timespec t = { ms / 1000, ms % 1000 * 1000000L };
    nanosleep(&t, NULL);
}

/* ---- ends ------------------------------------------------------------- */

static int count_one(void *arg)
{
    struct board *b = arg;
    atomic_fetch_add(&b->n, 1);
    return 0;
}

static int fail_with_7(void *arg)
{
    (void)arg;
    return 7;
}

static int until_stopped(void *arg)
{
    struct board *b = arg;
    atomic_fetch_add(&b->n, 1);
    struct pollfd p[] = {
        { .fd = (int)CHECK_OK(rip_task_stop_fd()), .events = POLLIN },
        { .fd = b->go[0], .events = POLLIN },
    };
    while (!rip_task_stopping() && !p[1].revents)
        CHECK_INT(poll(p, 2, -1), >, 0);
    if (!rip_task_stopping())
        return 0;
    atomic_fetch_add(&b->stopped, 1);
    return -ECANCELED;
}

EACH(all_are_waited_for)
{
    struct board *b = new_board();
    rip_group *g = new_group();
    struct rip_exit worst = { .how = RIP_RUNNING };
    for (int round = 1; round <= 2; round++) {
        for (int i = 0; i < 20; i++)
            CHECK_OK(add(g, kinds, i, count_one, b));
        CHECK_INT(rip_group_wait(g, &worst, RIP_FOREVER), ==, 0);
        CHECK_INT(b->n, ==, 20 * round);
        CHECK(rip_exit_ok(&worst));
        CHECK_INT(rip_group_wait(g, NULL, RIP_NOW), ==, 0);
    }
    CHECK(rip_group_free(g) == NULL);
    free_board(b);
}

TEST(an_empty_group_needs_no_wait)
{
    struct rip_exit worst = { .how = RIP_RUNNING };
    rip_group *g = new_group();
    CHECK_INT(rip_group_wait(g, &worst, RIP_NOW), ==, 0);
    CHECK(rip_exit_ok(&worst));
    rip_group_stop(g);
    CHECK(rip_group_free(g) == NULL);
    CHECK(rip_group_free(NULL) == NULL);
}

/* ---- failures --------------------------------------------------------- */

static void one_of_five_fails(unsigned kinds, int which, rip_task_fn *fn,
                              struct rip_exit *worst)
{
    struct board *b = new_board();
    rip_group *g = new_group();
    int started = 0;
    for (int i = 0; i < 5; i++) {
        int r = add(g, kinds, i, i == which ? fn : until_stopped, b);
        CHECK(r == 0 || (i > which && r == -ECANCELED));
        started += r == 0 && i != which;
    }
    CHECK_INT(rip_group_wait(g, worst, RIP_FOREVER), ==, 1);
    CHECK_ERR(add(g, kinds, 0, count_one, b), -ECANCELED);
    CHECK_INT(rip_group_wait(g, worst, RIP_NOW), ==, 1);
    /* A process may have been asked before it began. */
    CHECK_INT(b->n, ==, started);
    CHECK_INT(b->stopped, ==, started);
    rip_group_free(g);
    free_board(b);
}

EACH(the_first_failure_stops_the_rest)
{
    for (int which = 0; which < 5; which += 2) {
        struct rip_exit worst;
        harness_note("number %d fails", which);
        one_of_five_fails(kinds, which, fail_with_7, &worst);
        CHECK_INT(worst.how, ==, RIP_EXITED);
        CHECK_INT(worst.code, ==, 7);
        CHECK(!worst.stopped);
    }
}

static int be_killed(void *arg)
{
    (void)arg;
    kill(getpid(), SIGKILL);
    return 0;
}

TEST(who_is_killed_has_failed)
{
    struct rip_exit worst;
    one_of_five_fails(3, 1, be_killed, &worst);
    CHECK_INT(worst.how, ==, RIP_SIGNALED);
    CHECK_INT(worst.signal, ==, SIGKILL);
    one_of_five_fails(2, 4, be_killed, &worst);
    CHECK_INT(worst.signal, ==, SIGKILL);
}

EACH(a_failure_stops_nobody_where_that_is_asked)
{
    struct board *b = new_board();
    const struct rip_group_options o = { .keep_going = true };
    struct rip_exit worst;
    rip_group *g;
    CHECK_OK(rip_group_new(&g, &o));
    for (int i = 0; i < 30; i++)
        CHECK_OK(add(g, kinds, i, i % 3 == 0 ? fail_with_7 : count_one, b));
    CHECK_INT(rip_group_wait(g, &worst, RIP_FOREVER), ==, 10);
    CHECK_INT(worst.code, ==, 7);
    CHECK_INT(b->n, ==, 20);
    CHECK_OK(add(g, kinds, 0, count_one, b));
    CHECK_INT(rip_group_wait(g, NULL, RIP_FOREVER), ==, 10);
    rip_group_free(g);
    free_board(b);
}

/* Nobody waits: a start finds it. */
EACH(a_failure_before_the_wait_is_seen_by_the_starts)
{
    struct board *b = new_board();
    rip_group *g = new_group();
    CHECK_OK(add(g, kinds, 0, until_stopped, b));
    CHECK_OK(add(g, kinds, 1, fail_with_7, b));
    int r = 0;
    while (r == 0)
        r = add(g, kinds, 1, count_one, b);
    CHECK_INT(r, ==, -ECANCELED);
    CHECK_INT(rip_group_wait(g, NULL, RIP_FOREVER), ==, 1);
    CHECK_INT(b->stopped, ==, 1);
    rip_group_free(g);
    free_board(b);
}

/* ---- time and stops --------------------------------------------------- */

EACH(a_wait_ends_by_its_deadline)
{
    struct board *b = new_board();
    rip_group *g = new_group();
    struct rip_exit worst = { .code = 77 };
    for (int i = 0; i < 4; i++)
        CHECK_OK(add(g, kinds, i, until_stopped, b));
    CHECK_ERR(rip_group_wait(g, &worst, RIP_NOW), -ETIMEDOUT);
    rip_time then = rip_time_now();
    CHECK_ERR(rip_group_wait(g, &worst, then + 50000000), -ETIMEDOUT);
    CHECK_INT(rip_time_now() - then, >=, 50000000);
    CHECK(since(then) < harness_scale(2));
    CHECK_INT(worst.code, ==, 77);
    let_go(b);
    CHECK_INT(rip_group_wait(g, &worst, RIP_FOREVER), ==, 0);
    rip_group_free(g);
    free_board(b);
}

EACH(a_group_is_stopped)
{
    struct board *b = new_board();
    rip_group *g = new_group();
    for (int i = 0; i < 6; i++)
        CHECK_OK(add(g, kinds, i, until_stopped, b));
    rip_group_stop(g);
    CHECK_ERR(add(g, kinds, 0, count_one, b), -ECANCELED);
    CHECK_INT(rip_group_wait(g, NULL, RIP_FOREVER), ==, 0);
    CHECK_INT(b->stopped, ==, 6);
    rip_group_free(g);
    free_board(b);
}

struct waiter {
    rip_group *group;
    rip_event about_to;
    int r;
};

static int wait_for_group(void *arg)
{
    struct waiter *w = arg;
    rip_event_set(&w->about_to);
    w->r = rip_group_wait(w->group, NULL, RIP_FOREVER);
    return 0;
}

EACH(who_waits_heeds_a_stop_of_his_own)
{
    struct board *b = new_board();
    struct waiter w = { .group = new_group() };
    for (int i = 0; i < 40; i++)
        CHECK_OK(add(w.group, kinds, i, until_stopped, b));
    rip_task *t = start(RIP_THREAD, wait_for_group, &w);
    CHECK_OK(rip_event_wait(&w.about_to, RIP_FOREVER));
    rip_task_stop(t);
    end_of(t);
    CHECK_INT(w.r, ==, -ECANCELED);
    CHECK_INT(b->stopped, ==, 0);
    let_go(b);
    CHECK_INT(rip_group_wait(w.group, NULL, RIP_FOREVER), ==, 0);
    rip_group_free(w.group);
    free_board(b);
}

EACH(any_number_of_threads_waits)
{
    enum { N = 6 };
    struct board *b = new_board();
    struct waiter w[N];
    rip_task *t[N];
    rip_group *g = new_group();
    for (int i = 0; i < 5; i++)
        CHECK_OK(add(g, kinds, i, until_stopped, b));
    for (int i = 0; i < N; i++) {
        w[i] = (struct waiter){ .group = g };
        t[i] = start(RIP_THREAD, wait_for_group, &w[i]);
        CHECK_OK(rip_event_wait(&w[i].about_to, RIP_FOREVER));
    }
    rip_task_stop(t[0]);
    rip_task_free(t[0]);
    CHECK_OK(add(g, kinds, 1, until_stopped, b));
    let_go(b);
    for (int i = 1; i < N; i++) {
        end_of(t[i]);
        CHECK_INT(w[i].r, ==, 0);
    }
    until_alone();
    rip_group_free(g);
    free_board(b);
}

/* It fails, and the others go on unless somebody who knows of it looks. */
EACH(who_waits_learns_of_what_is_started_meanwhile)
{
    struct board *b = new_board();
    struct waiter w = { .group = new_group() };
    CHECK_OK(add(w.group, kinds, 1, until_stopped, b));
    rip_task *t = start(RIP_THREAD, wait_for_group, &w);
    CHECK_OK(rip_event_wait(&w.about_to, RIP_FOREVER));
    CHECK_OK(add(w.group, kinds, 1, fail_with_7, b));
    end_of(t);
    CHECK_INT(w.r, ==, 1);
    rip_group_free(w.group);
    free_board(b);
}

/* ---- the end of a group ----------------------------------------------- */

static int take_its_time(void *arg)
{
    struct board *b = arg;
    atomic_fetch_add(&b->n, 1);
    while (!rip_task_stopping())
        nap(1);
    nap(50);
    atomic_fetch_add(&b->stopped, 1);
    return 3;
}

static void await(const struct board *b, int n)
{
    while (b->n < n)
        nap(1);
}

/* Members who do not listen have theirs at the same time, however many. */
static void check_one_grace(rip_time since_when)
{
    double took = since(since_when);
    CHECK(took >= long_grace());
    CHECK(took < 2 * long_grace());
}

TEST(free_leaves_nobody)
{
    struct board *b = new_board();
    rip_group *g = new_group();
    CHECK_OK(add(g, 1, 0, take_its_time, b));
    CHECK_OK(add(g, 2, 0, take_its_time, b));
    for (int i = 0; i < 3; i++)
        CHECK_OK(add(g, 2, 0, be_deaf, b));
    await(b, 5);
    rip_time then = rip_time_now();
    rip_group_free(g);
    check_one_grace(then);
    CHECK_INT(b->stopped, ==, 2);
    free_board(b);
}

TEST(deaf_processes_are_killed_in_one_grace_after_a_stop)
{
    struct board *b = new_board();
    rip_group *g = new_group();
    struct rip_exit worst = { .how = RIP_RUNNING };
    for (int i = 0; i < 8; i++)
        CHECK_OK(add(g, 2, 0, be_deaf, b));
    await(b, 8);
    rip_time then = rip_time_now();
    rip_group_stop(g);
    CHECK_INT(rip_group_wait(g, &worst, RIP_FOREVER), ==, 0);
    check_one_grace(then);
    CHECK(rip_exit_ok(&worst));
    rip_group_free(g);
    free_board(b);
}

TEST(deaf_processes_are_killed_in_one_grace_after_a_failure)
{
    struct board *b = new_board();
    rip_group *g = new_group();
    for (int i = 0; i < 4; i++)
        CHECK_OK(add(g, 2, 0, be_deaf, b));
    await(b, 4);
    rip_time then = rip_time_now();
    CHECK_OK(add(g, 1, 0, fail_with_7, b));
    CHECK_INT(rip_group_wait(g, NULL, RIP_FOREVER), ==, 1);
    check_one_grace(then);
    rip_group_free(g);
    free_board(b);
}

/* ---- groups and tasks within each other ------------------------------- */

struct tree {
    rip_group *group;
    int depth;
};

static int grow(void *arg)
{
    const struct tree *t = arg;
    const struct rip_task_options o = { .arg_size = sizeof *t };
    struct tree next = { t->group, t->depth - 1 };
    int r = 0;
    for (int i = 0; r == 0 && t->depth > 0 && i < 3; i++)
        r = rip_group_start(t->group, grow, &next, &o);
    return r;
}

TEST(threads_of_a_group_start_others)
{
    struct tree t = { new_group(), 5 };
    CHECK_OK(rip_group_start(t.group, grow, &t, NULL));
    CHECK_INT(rip_group_wait(t.group, NULL, RIP_FOREVER), ==, 0);
    rip_group_free(t.group);
}

static int use_the_parents_group(void *arg)
{
    rip_group *g = arg;
    CHECK_ERR(rip_group_start(g, fail_with_7, NULL, NULL), -ECHILD);
    CHECK_ERR(rip_group_wait(g, NULL, RIP_FOREVER), -ECHILD);
    rip_group_stop(g);
    CHECK(rip_group_free(g) == NULL);
    return 0;
}

static int wait_for_oneself(void *arg)
{
    return rip_group_wait(arg, NULL, RIP_FOREVER) == -EDEADLK ? 0 : 1;
}

TEST(bad_uses_are_refused)
{
    rip_group *g = NULL;
    struct rip_group_options bad = { .reserved = { 0, 1 } };
    struct rip_task_options detached = { .kind = RIP_PROCESS,
                                         .detached = true };
    CHECK_ERR(rip_group_new(&g, &bad), -EINVAL);
    CHECK(g == NULL);
    g = new_group();
    CHECK_ERR(rip_group_start(g, NULL, NULL, NULL), -EINVAL);
    CHECK_ERR(rip_group_start(g, fail_with_7, NULL, &detached), -EINVAL);
    CHECK_INT(rip_group_wait(g, NULL, RIP_NOW), ==, 0);
    CHECK_OK(add(g, 2, 0, use_the_parents_group, g));
    CHECK_OK(add(g, 1, 0, wait_for_oneself, g));
    CHECK_INT(rip_group_wait(g, NULL, RIP_FOREVER), ==, 0);
    rip_group_free(g);
}

static int lead_a_group(void *arg)
{
    struct board *b = arg;
    rip_group *g = new_group();
    for (int i = 0; i < 4; i++)
        CHECK_OK(add(g, 3, i, until_stopped, b));
    int r = rip_group_wait(g, NULL, RIP_FOREVER);
    rip_group_free(g);
    return r;
}

EACH(a_group_within_a_group_is_stopped_with_it)
{
    struct board *b = new_board();
    rip_group *g = new_group();
    for (int i = 0; i < 2; i++)
        CHECK_OK(add(g, kinds, i, lead_a_group, b));
    while (b->n < 8)
        nap(1);
    CHECK_OK(add(g, kinds, 1, fail_with_7, b));
    CHECK_INT(rip_group_wait(g, NULL, RIP_FOREVER), ==, 1);
    CHECK_INT(b->stopped, ==, 8);
    rip_group_free(g);
    free_board(b);
}

/* ---- many ------------------------------------------------------------- */

/* Most have no descriptor then: their ends are seen all the same. */
TEST_WITH(a_thousand_processes_under_the_usual_limit, .deadline = 120)
{
    const struct rlimit usual = { 1024, 1024 };
    const struct rip_task_options o = { .kind = RIP_PROCESS, .grace = 60 };
    struct board *b = new_board();
    struct rip_exit worst;
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &usual));
    rip_group *g = new_group();
    for (int i = 0; i < 999; i++)
        CHECK_OK(rip_group_start(g, until_stopped, b, &o));
    while (b->n < 999)
        nap(1);
    CHECK_ERR(rip_group_wait(g, NULL, RIP_NOW), -ETIMEDOUT);
    CHECK_OK(rip_group_start(g, be_killed, b, &o));
    CHECK_INT(rip_group_wait(g, &worst, RIP_FOREVER), ==, 1);
    CHECK_INT(worst.signal, ==, SIGKILL);
    CHECK_INT(b->stopped, ==, 999);
    rip_group_free(g);
    free_board(b);
}

static int mostly_end_well(void *arg)
{
    struct board *b = arg;
    if (atomic_fetch_add(&b->n, 1) % 60 == 59)
        return 9;
    for (unsigned i = 0; i < 5 && !rip_task_stopping(); i++)
        sched_yield();
    return 0;
}

struct starter {
    rip_group *group;
    struct board *board;
};

static void *start_some(void *arg)
{
    const struct starter *s = arg;
    for (int i = 0; i < 40; i++) {
        int r = add(s->group, i % 8 == 0 ? 2 : 1, i, mostly_end_well, s->board);
        CHECK(r == 0 || r == -ECANCELED);
    }
    return NULL;
}

/* Several threads start tasks, others wait with short deadlines or stop it;
 * and in the end nobody is left. */
TEST_WITH(a_storm, .deadline = 120)
{
    for (int round = 0; round < harness_rounds(15); round++) {
        enum { N = 3 };
        struct starter s = { new_group(), new_board() };
        pthread_t thread[N];
        int r = -ETIMEDOUT;
        for (int i = 0; i < N; i++)
            CHECK_INT(pthread_create(&thread[i], NULL, start_some, &s), ==, 0);
        for (int i = 0; i < 10; i++)
            r = rip_group_wait(s.group, NULL, rip_after_ms(i % 3));
        if (round % 3 == 0)
            rip_group_stop(s.group);
        for (int i = 0; i < N; i++)
            pthread_join(thread[i], NULL);
        if (round % 2 == 0)
            r = rip_group_wait(s.group, NULL, RIP_FOREVER);
        CHECK(r >= 0 || r == -ETIMEDOUT);
        rip_group_free(s.group);
        free_board(s.board);
    }
}

/* ---- faults ----------------------------------------------------------- */

static bool is_clean(int r)
{
    return r >= 0 || r == -ENOMEM || r == -EAGAIN || r == -EMFILE ||
           r == -ENFILE || r == -ENOSYS || r == -EINVAL || r == -EPERM ||
           r == -EACCES || r == -EIO || r == -ECANCELED;
}

static int take_a_nap(void *arg)
{
    (void)arg;
    return rip_task_stopping() ? -ECANCELED : 0;
}

static void a_whole_life(void *ctx)
{
    const unsigned *kinds = ctx;
    rip_group *g = NULL;
    struct rip_exit worst;
    int r = rip_group_new(&g, NULL);
    CHECK(is_clean(r));
    if (r < 0) {
        CHECK(g == NULL);
        return;
    }
    for (int i = 0; i < 3; i++)
        CHECK(is_clean(
            add(g, *kinds, i, i == 1 ? fail_with_7 : take_a_nap, NULL)));
    CHECK(is_clean(rip_group_wait(g, &worst, RIP_FOREVER)));
    CHECK(rip_group_free(g) == NULL);
}

/* A write to an eventfd of ours does not fail: who sleeps on it relies on
 * that. */
static const long sure[] = { SYS_write, FAULT_LAST };
static const struct fault_options faults = { .except = sure, .most = 20 };

TEST_WITH(a_group_of_threads_survives_every_fault, .deadline = 240)
{
    CHECK_INT(fault_sweep(a_whole_life, &(unsigned){ 1 }, &faults), >, 10);
}

TEST_WITH(a_group_of_processes_survives_every_fault, .deadline = 400)
{
    CHECK_INT(fault_sweep(a_whole_life, &(unsigned){ 2 }, &faults), >, 50);
}
