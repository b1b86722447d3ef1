/* SPDX-License-Identifier: MIT */
#include <ripstop/task.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/event.h>
#include <ripstop/lock.h>
#include <ripstop/segment.h>

#include "harness.h"
#include "task/clones.h"
#include "task/tasks.h"

/* Tasks of which a thousand are alive all the time, under the usual limit of
 * descriptors; and nothing is left of them. */

enum { ALIVE = 1000 };

/* Where everything is slow, twice as many as live at once. */
static int many(void)
{
    return harness_scale(1) > 1 ? 2 * ALIVE : 10 * ALIVE;
}

struct seat {
    rip_lock lock;
    rip_event go;
    atomic_int taken; /* how many tasks have come to it */
};

/* To use a lock makes it a member. */
static int sit(void *arg)
{
    struct seat *s = arg;
    CHECK_OK(rip_lock_acquire(&s->lock, RIP_FOREVER));
    rip_lock_release(&s->lock);
    atomic_fetch_add(&s->taken, 1);
    CHECK_OK(rip_event_wait(&s->go, RIP_FOREVER));
    return 700;
}

static void limit_descriptors(void)
{
    const struct rlimit usual = { 1024, 1024 };
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &usual), ==, 0);
}

static int open_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ---- what there is and is left ---------------------------------------- */

struct state {
    int fds;
    struct rip_segment_stats stats;
};

static struct state state(void)
{
    struct state s = { .fds = open_descriptors() };
    rip_segment_stats(NULL, &s.stats);
    return s;
}

static void check_nothing_is_left(const struct state *before)
{
    struct state now = state();
    CHECK_INT(now.fds, ==, before->fds);
    CHECK_INT(now.stats.used, ==, before->stats.used);
    CHECK_INT(now.stats.members, ==, before->stats.members);
    CHECK_INT(now.stats.damaged, ==, 0);
    CHECK_INT(waitpid(-1, NULL, WNOHANG | __WALL), ==, -1); /* no zombie */
    CHECK_INT(errno, ==, ECHILD);
}

/* ---- a thousand at once ----------------------------------------------- */

/* Each eighth process is killed: its slot has to be found. */
static bool is_to_be_killed(const rip_task *t, int i)
{
    return i % 8 == 7 && rip_task_kind(t) == RIP_PROCESS;
}

static void let_go(rip_task *t, struct seat *s, int i)
{
    if (is_to_be_killed(t, i))
        CHECK_OK(rip_task_signal(t, SIGKILL));
    else
        rip_event_set(&s->go);
}

static void await_end(rip_task *t, struct seat *s, int i)
{
    struct rip_exit e;
    bool killed = is_to_be_killed(t, i);
    CHECK_OK(rip_task_join(t, &e, RIP_FOREVER));
    CHECK_INT(e.how, ==, killed ? RIP_SIGNALED : RIP_EXITED);
    CHECK_INT(killed ? e.signal : e.code, ==, killed ? SIGKILL : 700);
    rip_task_free(t);
    rip_event_clear(&s->go);
}

static void check_all_are_there(rip_task **t, const struct seat *seats,
                                int most_fds)
{
    for (int i = 0; i < ALIVE; i++)
        while (seats[i].taken == 0)
            sched_yield();
    for (int i = 0; i < ALIVE; i++)
        CHECK(rip_task_alive(t[i]));
    struct state now = state();
    CHECK_INT(now.stats.members, >=, ALIVE);
    CHECK_INT(now.fds, <=, most_fds);
}

/* `total` tasks, each when one before it has left its seat; the last thousand
 * go all at once. */
static void run_many(const struct rip_task_options *o, int total, int most_fds)
{
    static rip_task *t[ALIVE];
    struct seat *seats = rip_shared_alloc(NULL, ALIVE * sizeof *seats);
    CHECK(seats != NULL);
    for (int i = 0; i < total; i++) {
        int at = i % ALIVE;
        if (i == ALIVE)
            check_all_are_there(t, seats, most_fds);
        if (i >= ALIVE) {
            let_go(t[at], &seats[at], i);
            await_end(t[at], &seats[at], i);
        }
        CHECK_OK(rip_task_start(&t[at], sit, &seats[at], o));
    }
    for (int i = 0; i < ALIVE; i++)
        let_go(t[i], &seats[i], i);
    for (int i = 0; i < ALIVE; i++)
        await_end(t[i], &seats[i], i);
    rip_shared_free(NULL, seats);
}

/* What is made once is there. */
static void warm_up(const struct rip_task_options *o)
{
    struct seat *s = rip_shared_alloc(NULL, sizeof *s);
    rip_task *t;
    CHECK(s != NULL);
    rip_event_set(&s->go);
    CHECK_OK(rip_task_start(&t, sit, s, o));
    CHECK_INT(end_of(t).code, ==, 700);
    rip_shared_free(NULL, s);
}

TEST_WITH(a_thousand_threads_are_alive_at_once, .deadline = 120)
{
    const struct rip_task_options o = { .kind = RIP_THREAD };
    limit_descriptors();
    warm_up(&o);
    struct state before = state();
    run_many(&o, 2 * ALIVE, 300); /* one that looks at /proc has one open */
    until_alone();
    check_nothing_is_left(&before);
}

/* The first of them have a descriptor each. */
TEST_WITH(ten_thousand_processes_a_thousand_at_once, .deadline = 240)
{
    const struct rip_task_options o = { .kind = RIP_PROCESS };
    limit_descriptors();
    warm_up(&o);
    struct state before = state();
    run_many(&o, many(), 300);
    check_nothing_is_left(&before);
}

TEST_WITH(ten_thousand_clones_a_thousand_at_once, .deadline = 240)
{
    limit_descriptors();
    CHECK_OK(rip_task_template());
    warm_up(&clone_options);
    struct state before = state();
    int theirs = descriptors_of(template_pid());
    run_many(&clone_options, many(), before.fds);
    check_nothing_is_left(&before);
    CHECK_INT(descriptors_of(template_pid()), ==, theirs);
    CHECK_INT(children_of(template_pid()), ==, 0);
}
