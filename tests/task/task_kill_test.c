/* SPDX-License-Identifier: MIT */
#include <ripstop/task.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "os/os.h"
#include "task/tasks.h"

/*
 * SIGKILL at each call that the library makes, of the program and of its
 * tasks. Whoever is killed: the others go on and end by themselves, a join
 * tells what has happened, and with the program all of its tasks are gone.
 *
 * The program is a child of the test, which inherits what it leaves behind.
 */

static struct board {
    atomic_ulong calls;
    unsigned long kill_at; /* 0: nobody is */
    bool after;            /* the call, instead of before it */
    atomic_int victim;
} * board;

static struct rip__seam inner;

static long call(long nr, const long args[6])
{
    unsigned long n = ++board->calls;
    bool strikes = n == board->kill_at;
    long r = strikes && !board->after ? 0 : inner.syscall(nr, args);
    /* Who comes out there too is not the one who made the call. */
    bool is_new = (nr == RIP__CALL_FORK || nr == SYS_clone) && r == 0;
    if (strikes && !(board->after && is_new)) {
        board->victim = getpid();
        kill(getpid(), SIGKILL);
        while (pause() < 0)
            ;
    }
    return r;
}

/* ---- the program ------------------------------------------------------ */

static int work(void *arg)
{
    CHECK_OK(rip_task_return(arg, 4));
    return 700;
}

static void check_end(rip_task *t, const struct rip_exit *e)
{
    const void *data;
    size_t len;
    CHECK_OK(rip_task_result(t, &data, &len));
    if (e->how == RIP_EXITED) {
        CHECK_INT(e->code, ==, 700);
        CHECK_MEM(data, len, "word", 4);
        return;
    }
    CHECK_INT(e->how, ==, RIP_SIGNALED);
    CHECK_INT(e->signal, ==, SIGKILL);
    CHECK_INT(board->victim, ==, rip_task_pid(t));
    CHECK(len == 0 || (len == 4 && memcmp(data, "word", 4) == 0));
}

static void start_one(rip_task **ret, const struct rip_task_options *o)
{
    char word[] = "word";
    CHECK_OK(rip_task_start(ret, work, word, o));
}

static void start_and_join(void)
{
    rip_task *t;
    struct rip_exit e;
    const struct rip_task_options o = {
        .kind = RIP_PROCESS, .name = "worker", .nice = 1, .arg_size = 5
    };
    start_one(&t, &o);
    CHECK_OK(rip_task_join(t, &e, RIP_FOREVER));
    check_end(t, &e);
    rip_task_free(t);
}

static void run_threads_and_processes(void)
{
    rip_task *t[4];
    for (int i = 0; i < 4; i++) {
        const struct rip_task_options o = { .kind = i % 2 ? RIP_PROCESS
                                                          : RIP_THREAD,
                                            .arg_size = 5 };
        start_one(&t[i], &o);
    }
    CHECK_OK(rip_task_join_all(RIP_FOREVER));
    for (int i = 0; i < 4; i++) {
        struct rip_exit e;
        CHECK_OK(rip_task_join(t[i], &e, RIP_NOW));
        check_end(t[i], &e);
        rip_task_free(t[i]);
    }
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    while (pause() < 0)
        ;
    return 0;
}

static void end_by_force(void)
{
    rip_task *t = start(RIP_PROCESS, sleep_for_ever, NULL);
    struct rip_exit e;
    CHECK_OK(rip_task_terminate(t));
    CHECK_OK(rip_task_join(t, &e, RIP_NOW));
    CHECK_INT(e.how, ==, RIP_SIGNALED);
    rip_task_free(t);
}

/* Left alone: they end with the program. */
static void start_and_exit(void)
{
    for (int i = 0; i < 2; i++)
        start(RIP_PROCESS, sleep_for_ever, NULL);
}

static void fork_and_join(void)
{
    rip_task *t;
    struct rip_exit e;
    pid_t pid = rip_fork(&t);
    if (pid == 0) {
        CHECK_OK(rip_task_return("word", 4));
        rip__os_exit(188);
    }
    CHECK_INT(pid, >, 0);
    CHECK_OK(rip_task_join(t, &e, RIP_FOREVER));
    if (e.how == RIP_EXITED)
        e.code += 700 - 188;
    check_end(t, &e);
    rip_task_free(t);
}

/* ---- from outside ----------------------------------------------------- */

static pid_t launch(void (*program)(void))
{
    pid_t pid = fork();
    CHECK_INT(pid, >=, 0);
    if (pid > 0)
        return pid;
    inner = rip__seam;
    rip__seam.syscall = call;
    program();
    _exit(0);
}

/* Until all that the program has left behind is gone: children of ours now. */
static void until_all_are_gone(void)
{
    const rip_time limit = rip_after(harness_scale(5));
    pid_t r;
    while ((r = waitpid(-1, NULL, WNOHANG)) >= 0) {
        if (r == 0 && rip_time_now() > limit)
            FAIL("somebody lives on");
        sched_yield();
    }
    CHECK_INT(errno, ==, ECHILD);
}

/* False: nobody came to this point. */
static bool kill_at(unsigned long point, bool after, void (*program)(void))
{
    int status;
    harness_note("killed %s call %lu", after ? "after" : "before", point);
    board->calls = 0;
    board->victim = 0;
    board->kill_at = point;
    board->after = after;
    pid_t pid = launch(program);
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    if (board->victim == pid)
        CHECK_INT(WTERMSIG(status), ==, SIGKILL);
    else
        CHECK_INT(status, ==, 0);
    until_all_are_gone();
    return board->victim != 0;
}

/* How many kills there were: from a few calls (an exit, the end of the helper
 * that the first object of the program is tried with) nobody comes back. */
static unsigned long kill_at_each(bool after, void (*program)(void))
{
    unsigned long point = 0, kills = 0;
    do
        kills += kill_at(++point, after, program);
    while (board->calls >= point);
    printf("%lu kills %s one of %lu calls\n", kills, after ? "after" : "before",
           point - 1);
    return kills;
}

/* With the least number of kills that makes it a whole sweep: one or the other
 * call more is made by who has to sleep for another. */
static void sweep(void (*program)(void), unsigned long least)
{
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(board != MAP_FAILED);
    CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), ==, 0);
    CHECK_INT(kill_at_each(false, program), >=, least);
    CHECK_INT(kill_at_each(true, program), >=, least);
    munmap(board, sizeof *board);
}

TEST_WITH(start_run_return_and_join_survive_every_kill, .deadline = 120)
{
    sweep(start_and_join, 112);
}

TEST_WITH(several_at_once_survive_every_kill, .deadline = 240)
{
    sweep(run_threads_and_processes, 128);
}

TEST_WITH(an_end_by_force_survives_every_kill, .deadline = 120)
{
    sweep(end_by_force, 102);
}

TEST_WITH(an_end_of_the_program_survives_every_kill, .deadline = 120)
{
    sweep(start_and_exit, 116);
}

TEST_WITH(a_fork_survives_every_kill, .deadline = 120)
{
    sweep(fork_and_join, 108);
}

/* ---- at any moment ---------------------------------------------------- */

static int work_and_wait(void *arg)
{
    sched_yield();
    return work(arg);
}

static void go_on_for_ever(void)
{
    char word[] = "word";
    for (;;) {
        rip_task *t;
        const struct rip_task_options o = { .kind = RIP_PROCESS,
                                            .arg_size = 5 };
        CHECK_OK(rip_task_start(&t, work_and_wait, word, &o));
        (void)rip_task_join(t, NULL, RIP_FOREVER);
        rip_task_free(t);
    }
}

/* Where in its work the program is at that moment is left to chance. */
TEST_WITH(a_program_that_is_killed_at_any_moment_leaves_nobody, .deadline = 120)
{
    unsigned seed = 1;
    CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), ==, 0);
    for (int i = 0, n = harness_rounds(300); i < n; i++) {
        pid_t pid = fork();
        CHECK_INT(pid, >=, 0);
        if (pid == 0)
            go_on_for_ever();
        const struct timespec t = { 0, rand_r(&seed) % 3000000 };
        clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
        kill(pid, SIGKILL);
        until_all_are_gone();
    }
}
