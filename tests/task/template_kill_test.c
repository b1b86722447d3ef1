/* SPDX-License-Identifier: MIT */
#include <ripstop/task.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/event.h>
#include <ripstop/segment.h>

#include "fault.h"
#include "harness.h"
#include "os/os.h"
#include "task/clones.h"
#include "task/tasks.h"

/*
 * Kills and faults at each system call that the program, the template and a
 * clone make while a template is made and a clone is started, runs, returns,
 * and is joined.
 */

/* ---- kills ------------------------------------------------------------ */

/* Who is who shows by how many forks lie behind it. */
enum { PROGRAM, MIDWIFE, TEMPLATE, CLONE, ROLES };
static const char *const roles[] = { "the program", "the first child",
                                     "the template", "a clone" };

static int role;
static struct {
    int victim;
    bool after; /* the call, instead of before it */
    atomic_bool struck;
    atomic_ulong at, calls;
    atomic_int runs; /* of the function */
} * plan;

static int work(void *arg)
{
    if (plan)
        plan->runs++;
    int r = rip_task_return(arg, 4);
    return r < 0 ? r : 700;
}

static void strike(void)
{
    plan->struck = true;
    kill(getpid(), SIGKILL);
}

static long count_and_kill(long nr, const long args[6])
{
    bool strikes = role == plan->victim && ++plan->calls == plan->at;
    if (strikes && !plan->after)
        strike();
    role += nr == RIP__CALL_FORK; /* also in what fork(3) calls there */
    long r = rip__seam_real.syscall(nr, args);
    role -= nr == RIP__CALL_FORK && r != 0;
    /* Who comes out there too is not the one who made the call. */
    if (strikes && role == plan->victim)
        strike();
    return r;
}

/* What the victim's death may make of a start and a join. */
static bool is_excused(int r)
{
    return (plan->victim == TEMPLATE && (r == -ENOENT || r == -EAGAIN)) ||
           (plan->victim == MIDWIFE && r == -EAGAIN);
}

static void check_end(const struct rip_exit *e)
{
    switch (e->how) {
    case RIP_EXITED:
        CHECK_INT(e->code, ==, 700);
        break;
    case RIP_SIGNALED:
        CHECK_INT(plan->victim, ==, CLONE);
        CHECK_INT(e->signal, ==, SIGKILL);
        break;
    default: /* who was to tell it is gone */
        CHECK_INT(plan->victim, ==, TEMPLATE);
    }
}

static void join_and_check(rip_task *t)
{
    struct rip_exit e;
    const void *data;
    size_t len;
    CHECK_OK(rip_task_join(t, &e, RIP_FOREVER));
    check_end(&e);
    CHECK_OK(rip_task_result(t, &data, &len));
    CHECK(e.how != RIP_EXITED || len == 4);
    rip_task_free(t);
}

/* Until it works, as a program would do it. */
static void use_template(void)
{
    char word[] = "word";
    struct rip_task_options o = clone_options;
    rip_task *t = NULL;
    o.arg_size = sizeof word;
    int r = -ENOENT;
    for (int tries = 0; r < 0; tries++) {
        CHECK_INT(tries, <, 3);
        r = rip_task_template();
        if (r == 0)
            r = rip_task_start(&t, work, word, &o);
        if (r < 0 && !is_excused(r))
            CHECK_OK(r);
    }
    join_and_check(t);
}

/* Whoever is alive has the end of a pipe. */
static void run_program(int victim, unsigned long at, bool after)
{
    int fd[2], status;
    char byte;
    plan->victim = victim;
    plan->after = after;
    plan->at = at;
    plan->calls = 0;
    plan->struck = false;
    plan->runs = 0;
    CHECK_INT(pipe(fd), ==, 0);
    pid_t pid = fork();
    CHECK_INT(pid, >=, 0);
    if (pid == 0) {
        rip__seam.syscall = count_and_kill;
        use_template();
        _exit(0);
    }
    close(fd[1]);
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    if (WIFSIGNALED(status))
        CHECK_INT(victim, ==, PROGRAM);
    else
        CHECK_INT(status, ==, 0);
    CHECK_INT(read(fd[0], &byte, 1), ==, 0); /* all are gone */
    CHECK_INT(plan->runs, <=, 1);            /* none whose start has failed */
    close(fd[0]);
}

/* How many kills there were. */
static unsigned long kill_at_each(int victim, bool after)
{
    unsigned long at = 0, struck = 0;
    do {
        at++;
        harness_note("%s is killed %s its call %lu", roles[victim],
                     after ? "after" : "before", at);
        harness_extend(20);
        run_program(victim, at, after);
        struck += plan->struck;
    } while (plan->calls >= at);
    printf("%s: %lu calls, %lu kills\n", roles[victim], at - 1, struck);
    return struck;
}

/*
 * With the least numbers of kills that make it a whole sweep. One or the other
 * call more is made by who has to sleep for another; none returns from an
 * exit, nor the template from the poll(2) in which the program's end finds it.
 */
static void kill_everywhere(int victim, unsigned long before,
                            unsigned long after)
{
    plan = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(plan != MAP_FAILED);
    CHECK_INT(kill_at_each(victim, false), >=, before);
    CHECK_INT(kill_at_each(victim, true), >=, after);
    munmap(plan, sizeof *plan);
}

TEST_WITH(the_program_is_killed_anywhere, .deadline = 60)
{
    kill_everywhere(PROGRAM, 100, 100);
}

TEST_WITH(the_first_child_is_killed_anywhere, .deadline = 60)
{
    kill_everywhere(MIDWIFE, 4, 3);
}

TEST_WITH(the_template_is_killed_anywhere, .deadline = 60)
{
    kill_everywhere(TEMPLATE, 40, 40);
}

TEST_WITH(a_clone_is_killed_anywhere, .deadline = 60)
{
    kill_everywhere(CLONE, 15, 14);
}

/* ---- what goes on without the template -------------------------------- */

static int await(void *arg)
{
    rip_event *e = arg;
    rip_event_set(&e[0]);
    CHECK_OK(rip_event_wait(&e[1], RIP_FOREVER));
    return 1234;
}

TEST(clones_go_on_without_the_template)
{
    CHECK_OK(rip_task_template());
    rip_event *e = rip_shared_alloc(NULL, 2 * sizeof *e);
    rip_task *t = start_clone(await, e), *none = NULL;
    CHECK_OK(rip_event_wait(&e[0], RIP_FOREVER));
    kill_template();
    CHECK_ERR(rip_task_start(&none, await, e, &clone_options), -ENOENT);
    CHECK_ERR(rip_task_join(t, NULL, rip_after_ms(10)), -ETIMEDOUT);
    CHECK(rip_task_alive(t));
    CHECK_OK(rip_task_template());
    CHECK_INT(run_clone(work, e).code, ==, 700);
    rip_event_set(&e[1]);
    struct rip_exit end = end_of(t);
    CHECK_INT(end.how, ==, RIP_EXITED);
    CHECK_INT(end.code, ==, 1234);
    rip_event_clear(&e[0]);
    rip_event_clear(&e[1]);
    t = start_clone(await, e);
    CHECK_OK(rip_event_wait(&e[0], RIP_FOREVER));
    kill_template();
    CHECK_OK(rip_task_signal(t, SIGTERM));
    end = end_of(t);
    CHECK(end.how == RIP_UNKNOWN || end.signal == SIGTERM);
    rip_shared_free(NULL, e);
}

static int join_it(void *arg)
{
    struct rip_exit e;
    CHECK_OK(rip_task_join(arg, &e, RIP_FOREVER));
    return e.code;
}

/* They sleep on a word that nobody will ever change. */
TEST(joiners_see_that_the_template_is_gone)
{
    rip_task *joiner[4];
    CHECK_OK(rip_task_template());
    rip_event *e = rip_shared_alloc(NULL, 2 * sizeof *e);
    rip_task *t = start_clone(await, e);
    for (int i = 0; i < 4; i++)
        joiner[i] = start(RIP_THREAD, join_it, t);
    CHECK_OK(rip_event_wait(&e[0], RIP_FOREVER));
    kill_template();
    rip_event_set(&e[1]);
    for (int i = 0; i < 4; i++)
        CHECK_INT(end_of(joiner[i]).code, ==, 1234);
    rip_task_free(t);
    rip_shared_free(NULL, e);
}

/* One that is stopped is alive: nothing is given up, and nothing hangs beyond
 * its deadline. */
TEST(a_stopped_template_is_waited_for)
{
    CHECK_OK(rip_task_template());
    rip_event *e = rip_shared_alloc(NULL, 2 * sizeof *e);
    rip_task *t = start_clone(await, e);
    CHECK_OK(rip_event_wait(&e[0], RIP_FOREVER));
    CHECK_INT(kill(template_pid(), SIGSTOP), ==, 0);
    rip_event_set(&e[1]);
    CHECK_ERR(rip_task_join(t, NULL, rip_after_ms(250)), -ETIMEDOUT);
    CHECK_INT(kill(template_pid(), SIGCONT), ==, 0);
    CHECK_INT(end_of(t).code, ==, 1234);
    rip_shared_free(NULL, e);
}

static int tell_and_sleep(void *arg)
{
    CHECK_INT(write(*(int *)arg, "t", 1), ==, 1);
    while (pause() < 0)
        ;
    return 0;
}

/* A program that starts a clone and is killed: whether that lives on. */
static bool outlives_its_program(bool detached)
{
    struct rip_task_options o = clone_options;
    int fd[2];
    char byte;
    rip_task *t;
    CHECK_INT(pipe(fd), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(fd[0]);
        o.arg_size = sizeof fd[1];
        o.detached = detached;
        CHECK_OK(rip_task_template());
        CHECK_OK(rip_task_start(&t, tell_and_sleep, &fd[1], &o));
        while (pause() < 0)
            ;
    }
    close(fd[1]);
    CHECK_INT(read(fd[0], &byte, 1), ==, 1);
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), ==, pid);
    while (templates() > 0)
        sched_yield();
    struct pollfd end = { .fd = fd[0], .events = POLLIN };
    bool lives = poll(&end, 1, detached ? 100 : -1) == 0;
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    signal(SIGTERM, SIG_DFL);
    CHECK_INT(read(fd[0], &byte, 1), ==, 0);
    close(fd[0]);
    return lives;
}

TEST(a_clone_dies_with_its_program_unless_it_is_detached)
{
    CHECK(!outlives_its_program(false));
    CHECK(outlives_its_program(true));
}

/* ---- a storm ---------------------------------------------------------- */

static int work_a_while(void *arg)
{
    volatile int n = 0;
    while (n < *(int *)arg)
        n++;
    return 700;
}

/* Starts and joins, while templates and clones are killed. */
static int live_in_storm(void *arg)
{
    int pause = 1000;
    struct rip_task_options o = clone_options;
    struct rip_exit e;
    o.arg_size = sizeof pause;
    for (int i = 0; i < *(int *)arg; i++) {
        rip_task *t;
        int r = rip_task_start(&t, work_a_while, &pause, &o);
        if (r == -ENOENT) {
            r = rip_task_template();
            CHECK(r == 0 || r == -EAGAIN);
            continue;
        }
        CHECK_OK(r);
        pause = pause * 7 % 100003;
        if (i % 3 == 0)
            (void)rip_task_signal(t, SIGKILL);
        CHECK_OK(rip_task_join(t, &e, RIP_FOREVER));
        CHECK(e.how != RIP_EXITED || e.code == 700);
        CHECK(e.how != RIP_SIGNALED || e.signal == SIGKILL);
        rip_task_free(t);
    }
    return 0;
}

static atomic_bool enough;

static void *kill_templates(void *arg)
{
    while (!enough) {
        pid_t pid = template_pid();
        if (pid > 0)
            kill(pid, SIGKILL);
        poll(NULL, 0, 3);
    }
    return arg;
}

TEST_WITH(a_storm_of_deaths_hangs_nobody, .deadline = 120)
{
    enum { N = 4 };
    rip_task *t[N];
    pthread_t killer;
    int rounds = harness_rounds(100);
    CHECK_OK(rip_task_template());
    pthread_create(&killer, NULL, kill_templates, NULL);
    for (int i = 0; i < N; i++)
        t[i] = start(RIP_THREAD, live_in_storm, &rounds);
    for (int i = 0; i < N; i++)
        CHECK_INT(end_of(t[i]).code, ==, 0);
    enough = true;
    pthread_join(killer, NULL);
}

/* ---- faults ----------------------------------------------------------- */

static bool is_clean(int r)
{
    return r == 0 || r == -ENOMEM || r == -EAGAIN || r == -EMFILE ||
           r == -ENFILE || r == -ENOSYS || r == -EINVAL || r == -EPERM ||
           r == -EACCES || r == -EIO || r == -ENOENT || r == -ENOBUFS ||
           r == -ENOSPC || r == -ETOOMANYREFS;
}

static void let_it_end(rip_task *t)
{
    struct rip_exit e;
    const void *data;
    size_t len;
    int r = rip_task_join(t, &e, rip_after(20));
    CHECK(is_clean(r));
    if (r == 0 && e.how != RIP_UNKNOWN) {
        CHECK_INT(e.how, ==, RIP_EXITED);
        CHECK_INT(e.code, ==, 700);
        CHECK_OK(rip_task_result(t, &data, &len));
        CHECK_MEM(data, len, "word", 4);
    }
    rip_task_free(t);
}

/* cppcheck-suppress constParameter ; it is what fault_sweep takes */
static void make_and_use_template(void *ctx)
{
    const struct rip_segment_options small = { .size = 1 << 16 };
    rip_segment *s = NULL;
    char word[] = "word";
    rip_task *t = NULL;
    struct rip_task_options o = clone_options;
    o.arg_size = sizeof word;
    o.stack_size = ctx ? 1 << 18 : 0;
    int r = rip_task_template();
    CHECK(is_clean(r));
    CHECK(is_clean(rip_segment_new(&s, &small)));
    int started = rip_task_start(&t, work, word, &o);
    CHECK(is_clean(started));
    if (started == 0)
        let_it_end(t);
    else
        CHECK(t == NULL);
    rip_segment_close(s);
}

TEST_WITH(a_template_survives_every_fault, .deadline = 300)
{
    CHECK_INT(fault_sweep(make_and_use_template, NULL, NULL), >, 100);
}
