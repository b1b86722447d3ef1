/* SPDX-License-Identifier: MIT */
#include <ripstop/task.h>

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/event.h>
#include <ripstop/segment.h>

#include "harness.h"
#include "os/os.h"
#include "task/clones.h"
#include "task/tasks.h"

/* What depends on who the program is: the limit of processes, of which root
 * has none, and what is left of a user that it was before. */

static const struct rip_task_options thread = { .kind = RIP_THREAD };
static const struct rip_task_options forked = { .kind = RIP_PROCESS };

static int do_nothing(void *arg)
{
    (void)arg;
    return 700;
}

static int wait_to_go(void *arg)
{
    CHECK_OK(rip_event_wait(arg, RIP_FOREVER));
    return 700;
}

/* A user whom nobody else is: processes are counted for each. */
static void become_somebody(void)
{
    CHECK_INT(setuid(100000 + (uid_t)getpid()), ==, 0);
}

/* In a process of its own, that has used nothing of the library. */
static void in_a_program(void (*main)(void))
{
    int status;
    if (getuid() != 0)
        SKIP("needs root");
    pid_t pid = fork();
    CHECK_INT(pid, >=, 0);
    if (pid == 0) {
        main();
        _exit(0);
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_INT(status, ==, 0);
}

/* ---- the limit of processes ------------------------------------------- */

/* Threads and processes of the user that there may be, with the caller. */
static void allow(rlim_t n)
{
    struct rlimit l;
    CHECK_INT(getrlimit(RLIMIT_NPROC, &l), ==, 0);
    l.rlim_cur = n;
    CHECK_INT(setrlimit(RLIMIT_NPROC, &l), ==, 0);
}

static void allow_many(void)
{
    struct rlimit l;
    CHECK_INT(getrlimit(RLIMIT_NPROC, &l), ==, 0);
    allow(l.rlim_max);
}

static void refuse(const struct rip_task_options *o)
{
    rip_task *t = (rip_task *)&t;
    CHECK_ERR(rip_task_start(&t, do_nothing, NULL, o), -EAGAIN);
    CHECK(t == (rip_task *)&t);
}

static void check_works(const struct rip_task_options *o)
{
    rip_task *t;
    CHECK_OK(rip_task_start(&t, do_nothing, NULL, o));
    CHECK_INT(end_of(t).code, ==, 700);
}

/* The library itself has no more either, when it is first used. */
static void start_first_without_any(void)
{
    rip_task *t = NULL;
    become_somebody();
    allow(1);
    refuse(&forked);
    refuse(&thread);
    CHECK_ERR(rip_fork(&t), -EAGAIN);
    CHECK(t == NULL);
    CHECK_ERR(rip_task_template(), -EAGAIN);
    CHECK_ERR(rip_task_start(&t, do_nothing, NULL, &clone_options), -ENOENT);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), ==, -1);
    allow_many();
    check_works(&forked);
    check_works(&thread);
    CHECK_OK(rip_task_template());
    check_works(&clone_options);
}

TEST(no_process_is_left_from_the_beginning)
{
    in_a_program(start_first_without_any);
}

/* Whether the kernel tells of deaths is tried with a process; where none could
 * be had it is not taken for a kernel that does not. */
static void try_the_kernel_again(void)
{
    become_somebody();
    allow(1);
    CHECK_ERR(rip__os_life_distance(), -EAGAIN);
    allow_many();
    CHECK_INT(rip__os_life_distance(), >, 0);
}

static bool kernel_tells(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(rip__os_life_distance() > 0);
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    return status != 0;
}

TEST(what_could_not_be_tried_is_tried_again)
{
    if (!kernel_tells())
        SKIP("the kernel does not tell of deaths");
    in_a_program(try_the_kernel_again);
}

/* One may be there beside the caller: the second is refused, until the first
 * is gone. */
static void start_one_too_many(const struct rip_task_options *o)
{
    rip_event *go = rip_shared_alloc(NULL, sizeof *go);
    rip_task *t;
    CHECK_OK(rip_task_start(&t, wait_to_go, go, o));
    refuse(o);
    CHECK(rip_task_alive(t));
    rip_event_set(go);
    CHECK_INT(end_of(t).code, ==, 700);
    until_alone(); /* a thread counts a moment longer than it can be joined */
    check_works(o);
    rip_shared_free(NULL, go);
}

static void start_forked_and_threads(void)
{
    become_somebody();
    allow(2);
    start_one_too_many(&forked);
    start_one_too_many(&thread);
}

TEST(one_process_too_many_is_refused)
{
    in_a_program(start_forked_and_threads);
}

/* The limit of the template is that of when it was made: there was room for
 * it, and for one clone. */
static void start_clones(void)
{
    become_somebody();
    allow(2);
    CHECK_ERR(rip_task_template(), -EAGAIN); /* its first child is the second */
    allow(3);
    CHECK_OK(rip_task_template());
    allow_many();
    start_one_too_many(&clone_options);
    check_works(&forked);
}

TEST(one_clone_too_many_is_refused)
{
    in_a_program(start_clones);
}

/* ---- another user ----------------------------------------------------- */

/* What was made for its tasks is that of the user who made it. */
static void start_as_another(void)
{
    rip_event *go = rip_shared_alloc(NULL, sizeof *go);
    rip_task *before = start(RIP_PROCESS, wait_to_go, go);
    become_somebody();
    check_works(&forked);
    CHECK_OK(rip_task_template());
    check_works(&clone_options);
    CHECK(rip_task_alive(before));
    CHECK_ERR(rip_task_signal(before, SIGTERM), -EPERM);
    rip_event_set(go);
    CHECK_INT(end_of(before).code, ==, 700);
}

TEST(a_program_that_has_become_another_user_starts_tasks)
{
    in_a_program(start_as_another);
}

/* It is as root that the template goes on. */
static void start_from_template_of_another(void)
{
    CHECK_OK(rip_task_template());
    check_works(&clone_options);
    become_somebody();
    check_works(&clone_options);
}

TEST(a_template_serves_a_program_that_has_become_another_user)
{
    in_a_program(start_from_template_of_another);
}
