/* SPDX-License-Identifier: MIT */
#include <ripstop/task.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/event.h>
#include <ripstop/lock.h>
#include <ripstop/segment.h>

#include "harness.h"
#include "task/tasks.h"

/* ---- how a process ends ----------------------------------------------- */

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int call_exit(void *arg)
{
    (void)arg;
    exit(3);
}

static int call__exit(void *arg)
{
    (void)arg;
    _exit(4);
}

static int call_abort(void *arg)
{
    (void)arg;
    prctl(PR_SET_DUMPABLE, 0);
    abort();
}

static int kill_itself(void *arg)
{
    (void)arg;
    kill(getpid(), SIGKILL);
    return 0;
}

static int call_exec(void *arg)
{
    (void)arg;
    execl("/bin/sh", "sh", "-c", "exit 6", NULL);
    return -1;
}

/* The child of the task comes out of the same function. */
static int call_fork(void *arg)
{
    (void)arg;
    pid_t pid = fork();
    CHECK_INT(pid, >=, 0);
    if (pid == 0)
        return 8;
    int status;
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    return 700 + WEXITSTATUS(status);
}

TEST(a_process_ends_as_it_likes)
{
    static const struct {
        rip_task_fn *fn;
        enum rip_end how;
        int value;
    } ways[] = {
        { call_exit, RIP_EXITED, 3 },
        { call__exit, RIP_EXITED, 4 },
        { call_abort, RIP_SIGNALED, SIGABRT },
        { kill_itself, RIP_SIGNALED, SIGKILL },
        { call_exec, RIP_EXITED, 6 },
        { call_fork, RIP_EXITED, 708 },
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        harness_note("way %zu", i);
        struct rip_exit e = run(RIP_PROCESS, ways[i].fn, NULL);
        CHECK_INT(e.how, ==, ways[i].how);
        CHECK_INT(e.how == RIP_EXITED ? e.code : e.signal, ==, ways[i].value);
        CHECK_INT(e.max_rss_bytes, >, 0);
    }
}

static void complain(void)
{
    fputs("a handler of the parent has run in the child\n", stderr);
    abort();
}

/* exit(3) in the child is the child's own wish: there they do run. */
TEST(handlers_of_the_parent_do_not_run_in_a_task_that_returns)
{
    pid_t pid = fork();
    CHECK_INT(pid, >=, 0);
    if (pid == 0) {
        atexit(complain);
        _exit(run(RIP_PROCESS, do_nothing, NULL).how != RIP_EXITED);
    }
    int status;
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_INT(status, ==, 0);
}

/* ---- streams ---------------------------------------------------------- */

static int write_some(void *arg)
{
    fputs("child ", arg ? arg : stdout);
    return 0;
}

static void check_file(const char *name, const char *want)
{
    char text[64] = "";
    FILE *f = fopen(name, "r");
    CHECK(f != NULL);
    size_t len = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    CHECK_MEM(text, len, want, strlen(want));
}

TEST(what_is_written_is_written_once)
{
    FILE *f = fopen("out", "w");
    CHECK(f != NULL);
    fputs("parent ", f);
    CHECK_INT(run(RIP_PROCESS, write_some, f).code, ==, 0);
    fputs("parent", f);
    fclose(f);
    check_file("out", "parent child parent");
    unlink("out");
}

static void *read_stdin(void *arg)
{
    char text[8];
    (void)arg;
    return fgets(text, sizeof text, stdin) ? NULL : stdin;
}

/* Its lock is held by a thread that waits for a terminal, as it were. */
TEST(a_stream_that_a_thread_waits_in_keeps_nobody_from_starting)
{
    int fd[2], saved = dup(0);
    pthread_t thread;
    CHECK_INT(pipe(fd), ==, 0);
    dup2(fd[0], 0);
    close(fd[0]);
    pthread_create(&thread, NULL, read_stdin, NULL);
    while (ftrylockfile(stdin) == 0) {
        funlockfile(stdin);
        sched_yield();
    }
    CHECK_INT(run(RIP_PROCESS, do_nothing, NULL).code, ==, 0);
    CHECK_INT(write(fd[1], "x\n", 2), ==, 2);
    pthread_join(thread, NULL);
    dup2(saved, 0);
    close(saved);
    close(fd[1]);
}

static atomic_bool enough;

static void *hold_locks_of_libc(void *arg)
{
    while (!enough) {
        void *p = malloc(100);
        fprintf(arg, "%p", p);
        free(p);
    }
    return NULL;
}

static int use_locks_of_libc(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        free(malloc(1000));
    return fprintf(stderr, "%s", "") < 0;
}

TEST_WITH(a_fork_amid_malloc_and_stdio_does_not_hang, .deadline = 60)
{
    enum { THREADS = 3 };
    pthread_t thread[THREADS];
    FILE *null = fopen("/dev/null", "w");
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, hold_locks_of_libc, null);
    for (int i = 0, n = harness_rounds(200); i < n; i++)
        CHECK_INT(run(RIP_PROCESS, use_locks_of_libc, NULL).code, ==, 0);
    enough = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    fclose(null);
}

/* ---- signals ---------------------------------------------------------- */

static int sleep_for_ever(void *arg)
{
    if (arg)
        rip_event_set(arg);
    while (pause() < 0)
        ;
    return 0;
}

static rip_event *new_event(void)
{
    rip_event *e = rip_shared_alloc(NULL, sizeof *e);
    CHECK(e != NULL);
    return e;
}

static rip_task *start_sleeper(rip_event *there)
{
    rip_task *t = start(RIP_PROCESS, sleep_for_ever, there);
    CHECK_OK(rip_event_wait(there, RIP_FOREVER));
    return t;
}

TEST(a_process_is_signalled)
{
    rip_event *there = new_event();
    rip_task *t = start_sleeper(there);
    CHECK_OK(rip_task_signal(t, 0));
    CHECK_ERR(rip_task_signal(t, -1), -EINVAL);
    CHECK_ERR(rip_task_signal(t, 65), -EINVAL);
    CHECK_OK(rip_task_signal(t, SIGUSR1));
    struct rip_exit e;
    CHECK_OK(rip_task_join(t, &e, RIP_FOREVER));
    CHECK_INT(e.signal, ==, SIGUSR1);
    CHECK_ERR(rip_task_signal(t, SIGUSR1), -ESRCH);
    rip_task_free(t);
    t = start(RIP_THREAD, do_nothing, NULL);
    CHECK_ERR(rip_task_signal(t, SIGUSR1), -ENOTSUP);
    CHECK_ERR(rip_task_terminate(t), -ENOTSUP);
    end_of(t);
    rip_shared_free(NULL, there);
}

TEST(a_stopped_process_is_alive)
{
    rip_event *there = new_event();
    rip_task *t = start_sleeper(there);
    CHECK_OK(rip_task_signal(t, SIGSTOP));
    CHECK_ERR(rip_task_join(t, NULL, rip_after_ms(20)), -ETIMEDOUT);
    CHECK(rip_task_alive(t));
    CHECK_OK(rip_task_signal(t, SIGKILL));
    CHECK_INT(end_of(t).signal, ==, SIGKILL);
    rip_shared_free(NULL, there);
}

static int be_deaf(void *arg)
{
    signal(SIGTERM, SIG_IGN);
    return sleep_for_ever(arg);
}

TEST(a_process_is_terminated)
{
    rip_event *there = new_event();
    rip_task *t = start_sleeper(there);
    CHECK_OK(rip_task_terminate(t));
    struct rip_exit e = end_of(t);
    CHECK_INT(e.signal, ==, SIGTERM);
    CHECK(e.stopped);
    rip_event_clear(there);
    const struct rip_task_options o = { .kind = RIP_PROCESS, .grace = 0.01 };
    CHECK_OK(rip_task_start(&t, be_deaf, there, &o));
    CHECK_OK(rip_event_wait(there, RIP_FOREVER));
    CHECK_OK(rip_task_terminate(t));
    CHECK_INT(end_of(t).signal, ==, SIGKILL);
    CHECK_OK(rip_task_start(&t, be_deaf, there, &o));
    pid_t pid = rip_task_pid(t);
    CHECK(rip_task_free(t) == NULL);
    CHECK_INT(kill(pid, 0), ==, -1);
    rip_shared_free(NULL, there);
}

/* ---- others take what is ours ----------------------------------------- */

static int return_much(void *arg)
{
    (void)arg;
    return 700;
}

/* Without Linux 6.15 what was in the status is lost. */
TEST(a_thief_of_its_status_hides_no_end)
{
    static const struct {
        rip_task_fn *fn;
        enum rip_end how;
        int value;
    } ways[] = { { return_much, RIP_EXITED, 700 },
                 { do_nothing, RIP_EXITED, 0 },
                 { kill_itself, RIP_SIGNALED, SIGKILL } };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        harness_note("way %zu", i);
        rip_task *t = start(RIP_PROCESS, ways[i].fn, NULL);
        CHECK_INT(waitpid(-1, NULL, 0), ==, rip_task_pid(t));
        struct rip_exit e = end_of(t);
        if (e.how == RIP_UNKNOWN && i > 0)
            continue;
        CHECK_INT(e.how, ==, ways[i].how);
        CHECK_INT(e.how == RIP_EXITED ? e.code : e.signal, ==, ways[i].value);
    }
}

TEST(an_ignored_sigchld_hides_no_end)
{
    void (*before)(int) = signal(SIGCHLD, SIG_IGN);
    CHECK_INT(run(RIP_PROCESS, return_much, NULL).code, ==, 700);
    struct rip_exit e = run(RIP_PROCESS, kill_itself, NULL);
    CHECK(e.how == RIP_UNKNOWN || e.signal == SIGKILL);
    signal(SIGCHLD, before);
}

/* ---- lifetimes -------------------------------------------------------- */

/* A program that starts a task and is killed. Whoever has the end of the pipe
 * that writes is alive. */
struct program {
    int pipe[2];
    pid_t pid;
};

static int tell_and_sleep(void *arg)
{
    const struct program *p = arg;
    CHECK_INT(write(p->pipe[1], "t", 1), ==, 1);
    return sleep_for_ever(NULL);
}

static int tell_and_exec(void *arg)
{
    const struct program *p = arg;
    char script[64];
    dup2(p->pipe[1], 5);
    snprintf(script, sizeof script, "printf t >&5; exec sleep 1000");
    execl("/bin/sh", "sh", "-c", script, NULL);
    return -1;
}

static int start_one_more(void *arg)
{
    start(RIP_PROCESS, tell_and_sleep, arg);
    return sleep_for_ever(NULL);
}

static void launch(struct program *p, rip_task_fn *fn, bool detached)
{
    CHECK_INT(pipe2(p->pipe, O_CLOEXEC), ==, 0);
    p->pid = fork();
    CHECK_INT(p->pid, >=, 0);
    if (p->pid > 0) {
        close(p->pipe[1]);
        return;
    }
    rip_task *t;
    const struct rip_task_options o = { .kind = RIP_PROCESS,
                                        .detached = detached };
    CHECK_OK(rip_task_start(&t, fn, p, &o));
    if (fork() == 0) { /* which is no task, and holds what we hold */
        close(p->pipe[1]);
        sleep_for_ever(NULL);
    }
    sleep_for_ever(NULL);
}

static ssize_t hear(const struct program *p, double seconds)
{
    char byte;
    struct pollfd in = { .fd = p->pipe[0], .events = POLLIN };
    if (poll(&in, 1, (int)(harness_scale(seconds) * 1000)) == 0)
        return -1;
    return read(p->pipe[0], &byte, 1);
}

static void kill_program(struct program *p)
{
    CHECK_INT(hear(p, 10), ==, 1);
    kill(p->pid, SIGKILL);
    CHECK_INT(waitpid(p->pid, NULL, 0), ==, p->pid);
}

static void end_group(pid_t but)
{
    (void)but;
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    signal(SIGTERM, SIG_DFL);
}

TEST(a_process_dies_with_its_program)
{
    rip_task_fn *const ways[] = { tell_and_sleep, tell_and_exec,
                                  start_one_more };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct program p;
        harness_note("way %zu", i);
        launch(&p, ways[i], false);
        kill_program(&p);
        CHECK_INT(hear(&p, 10), ==, 0);
        close(p.pipe[0]);
    }
    end_group(0);
}

TEST(a_detached_process_outlives_its_program)
{
    struct program p;
    launch(&p, tell_and_sleep, true);
    kill_program(&p);
    CHECK_INT(hear(&p, 0.1), ==, -1);
    end_group(0);
    CHECK_INT(hear(&p, 10), ==, 0);
    close(p.pipe[0]);
}

static int spin_for_ever(void *arg)
{
    while (*(volatile int *)arg == 0)
        ;
    return 0;
}

static int start_and_return(void *arg)
{
    static int n;
    (void)arg;
    start(RIP_THREAD, spin_for_ever, &n);
    exit(5);
}

TEST(a_thread_that_never_returns_keeps_no_program)
{
    CHECK_INT(run(RIP_PROCESS, start_and_return, NULL).code, ==, 5);
}

/* ---- fork ------------------------------------------------------------- */

TEST(fork_goes_on_from_here)
{
    rip_task *t = NULL;
    int here = 1;
    pid_t pid = rip_fork(&t);
    if (pid == 0) {
        CHECK(t == NULL);
        CHECK_STR(rip_task_name(NULL), "task");
        here++;
        CHECK_OK(rip_task_return(&here, sizeof here));
        exit(7);
    }
    CHECK_INT(pid, >, 0);
    CHECK_INT(rip_task_pid(t), ==, pid);
    CHECK_ERR(rip_fork(NULL), -EINVAL);
    struct rip_exit e;
    CHECK_OK(rip_task_join(t, &e, RIP_FOREVER));
    CHECK_INT(e.code, ==, 7);
    const void *data;
    size_t len;
    CHECK_OK(rip_task_result(t, &data, &len));
    CHECK_INT(*(const int *)data, ==, 2);
    rip_task_free(t);
}

/* What is in private memory is a copy, and nobody holds it any more. */
static int take_over(void *arg)
{
    return rip_lock_acquire(arg, rip_after(5));
}

TEST(a_private_lock_held_at_the_fork_is_recovered)
{
    static rip_lock lock;
    CHECK_OK(rip_lock_acquire(&lock, RIP_NOW));
    CHECK_INT(run(RIP_PROCESS, take_over, &lock).code, ==, RIP_RECOVERED);
    rip_lock_release(&lock);
}

struct patience {
    rip_event there, go;
};

/* It has a descriptor that a request to stop would be written to. */
static int until_it_may_go(void *arg)
{
    struct patience *p = arg;
    struct pollfd stop = { .fd = (int)CHECK_OK(rip_task_stop_fd()),
                           .events = POLLIN };
    rip_event_set(&p->there);
    CHECK_OK(rip_event_wait(&p->go, RIP_FOREVER));
    CHECK(!rip_task_stopping());
    CHECK_INT(poll(&stop, 1, 0), ==, 0);
    return 3;
}

/* A task belongs to the process that started it. */
static int use_inherited(void *arg)
{
    rip_task *theirs = arg;
    bool thread = rip_task_kind(theirs) == RIP_THREAD;
    const void *data;
    size_t len;
    CHECK_ERR(rip_task_join(theirs, NULL, RIP_NOW), -ECHILD);
    CHECK_ERR(rip_task_signal(theirs, 0), thread ? -ENOTSUP : -ECHILD);
    CHECK_ERR(rip_task_terminate(theirs), thread ? -ENOTSUP : -ECHILD);
    CHECK_ERR(rip_task_result(theirs, &data, &len), -ECHILD);
    CHECK_ERR(rip_task_fd(theirs), -ECHILD);
    rip_task_stop(theirs);
    CHECK_OK(rip_task_join_all(RIP_NOW));
    CHECK(rip_task_free(theirs) == NULL);
    return run(RIP_PROCESS, do_nothing, NULL).code;
}

/* What a child asks of it, and that it frees it, is nothing to the task. */
static void inherit(enum rip_kind kind)
{
    struct patience *p = rip_shared_alloc(NULL, sizeof *p);
    int status;
    CHECK(p != NULL);
    rip_task *t = start(kind, until_it_may_go, p);
    CHECK_OK(rip_event_wait(&p->there, RIP_FOREVER));
    CHECK_INT(run(RIP_PROCESS, use_inherited, t).code, ==, 0);
    pid_t pid = fork();
    CHECK_INT(pid, >=, 0);
    if (pid == 0)
        _exit(use_inherited(t));
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_INT(status, ==, 0);
    CHECK(rip_task_alive(t));
    rip_event_set(&p->go);
    struct rip_exit e = end_of(t);
    CHECK_INT(e.code, ==, 3);
    CHECK(!e.stopped);
    rip_shared_free(NULL, p);
}

TEST(a_process_of_the_parent_is_not_ones_own)
{
    inherit(RIP_PROCESS);
}

/* The thread itself is not in the child, where its stack may be anything. */
TEST(a_thread_of_the_parent_is_not_ones_own)
{
    inherit(RIP_THREAD);
}

/* The parent's threads may be anywhere, also within the list of tasks. */
static void *start_threads(void *arg)
{
    while (!enough)
        run(RIP_THREAD, do_nothing, arg);
    return NULL;
}

static int run_both(void *arg)
{
    (void)arg;
    return run(RIP_THREAD, do_nothing, NULL).code |
           run(RIP_PROCESS, do_nothing, NULL).code;
}

TEST_WITH(a_fork_amid_starts_of_tasks_does_not_hang, .deadline = 60)
{
    pthread_t thread[2];
#if defined(__SANITIZE_ADDRESS__)
    SKIP("the sanitizer's allocator is not made for fork amid threads");
#endif
    for (int i = 0; i < 2; i++)
        pthread_create(&thread[i], NULL, start_threads, NULL);
    for (int i = 0, n = harness_rounds(100); i < n; i++)
        CHECK_INT(run(RIP_PROCESS, run_both, NULL).code, ==, 0);
    enough = true;
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
}

/* ---- side effects ------------------------------------------------------ */

TEST(nothing_of_the_parent_is_changed)
{
    struct sigaction before[65] = { 0 }, after = { 0 };
    sigset_t mask, now;
    stack_t stack, stack_now;
    sigaltstack(NULL, &stack);
    for (int s = 1; s < 65; s++)
        sigaction(s, NULL, &before[s]);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    run(RIP_PROCESS, do_nothing, NULL);
    run(RIP_THREAD, do_nothing, NULL);
    for (int s = 1; s < 65; s++) {
        sigaction(s, NULL, &after);
        CHECK(after.sa_handler == before[s].sa_handler);
    }
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK_INT(memcmp(&mask, &now, 8), ==, 0);
    CHECK_INT(sigaltstack(NULL, &stack_now), ==, 0);
    CHECK(stack_now.ss_sp == stack.ss_sp);
}
