/* SPDX-License-Identifier: MIT */
#include <ripstop/task.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <ripstop/event.h>
#include <ripstop/lock.h>
#include <ripstop/segment.h>

#include "harness.h"
#include "task/tasks.h"

/* What holds for threads and processes alike. */
#define BOTH(id, seconds)                            \
    static void of_kind_##id(enum rip_kind k);       \
    TEST_WITH(threads_##id, .deadline = (seconds))   \
    {                                                \
        of_kind_##id(RIP_THREAD);                    \
    }                                                \
    TEST_WITH(processes_##id, .deadline = (seconds)) \
    {                                                \
        of_kind_##id(RIP_PROCESS);                   \
    }                                                \
    static void of_kind_##id(enum rip_kind kind)

/* What the test and its tasks tell each other. */
struct board {
    rip_event go, there;
    atomic_int n;
};

static struct board *new_board(void)
{
    struct board *b = rip_shared_alloc(NULL, sizeof *b);
    CHECK(b != NULL);
    return b;
}

/* ---- ends ------------------------------------------------------------- */

static int give(void *arg)
{
    return *(const int *)arg;
}

BOTH(a_task_returns_a_whole_int, 0)
{
    static int codes[] = { 0, 1, 255, 256, 700, -1, INT_MAX, INT_MIN };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct rip_exit e = run(kind, give, &codes[i]);
        CHECK_INT(e.how, ==, RIP_EXITED);
        CHECK_INT(e.code, ==, codes[i]);
        CHECK_INT(e.wall_ns, >, 0);
        CHECK(!e.stopped);
    }
}

BOTH(a_task_is_joined_again_and_again, 0)
{
    int code = 3;
    rip_task *t = start(kind, give, &code);
    for (int i = 0; i < 3; i++) {
        struct rip_exit e = { .how = RIP_RUNNING };
        CHECK_OK(rip_task_join(t, &e, i == 0 ? RIP_FOREVER : RIP_NOW));
        CHECK_INT(e.code, ==, 3);
    }
    CHECK_OK(rip_task_join(t, NULL, RIP_NOW));
    CHECK(!rip_task_alive(t));
    CHECK(rip_task_free(t) == NULL);
}

static int leave_early(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

BOTH(to_exit_the_thread_is_to_return_0, 0)
{
    struct rip_exit e = run(kind, leave_early, NULL);
    CHECK_INT(e.how, ==, RIP_EXITED);
    CHECK_INT(e.code, ==, 0);
}

static int wait_to_go(void *arg)
{
    struct board *b = arg;
    rip_event_set(&b->there);
    return rip_event_wait(&b->go, RIP_FOREVER) == 0 ? 5 : -1;
}

struct joiner {
    rip_task *task;
    rip_time deadline;
    struct rip_exit end;
    int r;
};

static void *join_it(void *arg)
{
    struct joiner *j = arg;
    j->r = rip_task_join(j->task, &j->end, j->deadline);
    return NULL;
}

BOTH(any_number_of_threads_joins_it, 0)
{
    enum { N = 12 };
    struct board *b = new_board();
    struct joiner j[N];
    pthread_t thread[N];
    rip_task *t = start(kind, wait_to_go, b);
    for (int i = 0; i < N; i++) {
        rip_time until = i % 3 == 0 ? RIP_FOREVER : rip_after(1000);
        j[i] = (struct joiner){
            t, i % 3 == 2 ? rip_after_ms(1) : until, { 0 }, 1
        };
        pthread_create(&thread[i], NULL, join_it, &j[i]);
    }
    for (int i = 2; i < N; i += 3) {
        pthread_join(thread[i], NULL);
        CHECK_INT(j[i].r, ==, -ETIMEDOUT);
    }
    rip_event_set(&b->go);
    for (int i = 0; i < N; i++) {
        if (i % 3 == 2)
            continue;
        pthread_join(thread[i], NULL);
        CHECK_INT(j[i].r, ==, 0);
        CHECK_INT(j[i].end.code, ==, 5);
    }
    rip_task_free(t);
    rip_shared_free(NULL, b);
}

BOTH(a_join_ends_by_its_deadline, 0)
{
    struct board *b = new_board();
    rip_task *t = start(kind, wait_to_go, b);
    struct rip_exit e = { .code = 77 };
    CHECK_ERR(rip_task_join(t, &e, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_task_join(t, &e, rip_time_now() - 1), -ETIMEDOUT);
    rip_time before = rip_time_now();
    CHECK_ERR(rip_task_join(t, &e, before + 20000000), -ETIMEDOUT);
    CHECK_INT(rip_time_now() - before, >=, 20000000);
    CHECK_INT(e.code, ==, 77);
    CHECK(rip_task_alive(t));
    rip_event_set(&b->go);
    CHECK_OK(rip_task_join(t, &e, rip_after(1000)));
    CHECK_INT(e.code, ==, 5);
    rip_task_free(t);
    rip_shared_free(NULL, b);
}

static int join_oneself(void *arg)
{
    (void)arg;
    return rip_task_join(rip_task_self(), NULL, RIP_FOREVER);
}

BOTH(nobody_joins_himself, 0)
{
    CHECK_INT(run(kind, join_oneself, NULL).code, ==, -EDEADLK);
}

/* ---- arguments and results -------------------------------------------- */

static int sum(void *arg)
{
    const int *n = arg;
    return n[0] + n[1];
}

BOTH(an_argument_is_copied_if_that_is_asked, 0)
{
    rip_task *t;
    int n[] = { 30, 12 };
    const struct rip_task_options o = { .kind = kind, .arg_size = sizeof n };
    CHECK_OK(rip_task_start(&t, sum, n, &o));
    memset(n, 0, sizeof n);
    CHECK_INT(end_of(t).code, ==, 42);
}

static int return_twice(void *arg)
{
    (void)arg;
    CHECK_OK(rip_task_return("a longer one", 12));
    return rip_task_return("short", 5);
}

static int return_much(void *arg)
{
    char much[4096];
    memset(much, 'x', sizeof much);
    return rip_task_return(much, *(const size_t *)arg);
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

BOTH(a_task_leaves_bytes, 0)
{
    const void *data = "untouched";
    size_t len = 1;
    rip_task *t = start(kind, return_twice, NULL);
    CHECK_OK(rip_task_join(t, NULL, RIP_FOREVER));
    CHECK_OK(rip_task_result(t, &data, &len));
    CHECK_MEM(data, len, "short", 5);
    rip_task_free(t);
    t = start(kind, do_nothing, NULL);
    CHECK_OK(rip_task_join(t, NULL, RIP_FOREVER));
    CHECK_OK(rip_task_result(t, &data, &len));
    CHECK(data == NULL);
    CHECK_INT(len, ==, 0);
    rip_task_free(t);
    CHECK_ERR(rip_task_return("x", 1), -ESRCH);
}

BOTH(a_result_has_a_limit, 0)
{
    size_t most = 1024, more = 1025, all = 4096;
    CHECK_INT(run(kind, return_much, &most).code, ==, 0);
    CHECK_INT(run(kind, return_much, &more).code, ==, -EMSGSIZE);
    const struct rip_task_options o = { .kind = kind, .result_size = 4096 };
    rip_task *t;
    CHECK_OK(rip_task_start(&t, return_much, &all, &o));
    CHECK_INT(end_of(t).code, ==, 0);
}

BOTH(there_is_no_result_before_the_end, 0)
{
    struct board *b = new_board();
    rip_task *t = start(kind, wait_to_go, b);
    const void *data;
    size_t len;
    CHECK_ERR(rip_task_result(t, &data, &len), -EBUSY);
    rip_event_set(&b->go);
    CHECK_INT(end_of(t).code, ==, 5);
    rip_shared_free(NULL, b);
}

/* ---- who is who ------------------------------------------------------- */

static int tell_names(void *arg)
{
    char text[64] = "";
    FILE *f = fopen("/proc/thread-self/comm", "r");
    CHECK(f && fgets(text, sizeof text, f));
    fclose(f);
    text[strcspn(text, "\n")] = '\0';
    (void)arg;
    CHECK_STR(text, "a name that is ");
    CHECK_STR(rip_task_name(NULL), "a name that is longer than the ");
    return rip_task_self() != NULL && rip_task_pid(rip_task_self()) == getpid();
}

BOTH(a_task_has_a_name_that_the_system_shows, 0)
{
    rip_task *t;
    const struct rip_task_options o = {
        .kind = kind, .name = "a name that is longer than the system has"
    };
    CHECK_OK(rip_task_start(&t, tell_names, NULL, &o));
    CHECK_STR(rip_task_name(t), "a name that is longer than the ");
    CHECK_INT(rip_task_kind(t), ==, kind);
    CHECK_INT(end_of(t).code, ==, 1);
    CHECK_STR(rip_task_name(NULL), "main");
    CHECK(rip_task_self() == NULL);
}

static int count(rip_task *t, void *arg)
{
    int *n = arg;
    (*n)++;
    return strcmp(rip_task_name(t), "two") == 0;
}

BOTH(all_tasks_are_enumerated, 0)
{
    int code = 0, n = 0;
    rip_task *t[3];
    const char *const names[] = { "one", "two", "three" };
    CHECK_INT(rip_task_each(count, &n), ==, 0);
    CHECK_INT(n, ==, 0);
    for (int i = 0; i < 3; i++) {
        const struct rip_task_options o = { .kind = kind, .name = names[i] };
        CHECK_OK(rip_task_start(&t[i], give, &code, &o));
    }
    CHECK_INT(rip_task_each(count, &n), ==, 1);
    CHECK_INT(n, ==, 2);
    CHECK_OK(rip_task_join(t[1], NULL, RIP_FOREVER));
    rip_task_free(t[1]);
    n = 0;
    CHECK_INT(rip_task_each(count, &n), ==, 0);
    CHECK_INT(n, ==, 2);
    CHECK_OK(rip_task_join_all(RIP_FOREVER));
    rip_task_free(t[2]);
    rip_task_free(t[0]);
}

BOTH(all_but_daemons_are_waited_for, 0)
{
    struct board *b = new_board();
    const struct rip_task_options o = { .kind = kind, .daemon = true };
    rip_task *daemon, *other;
    CHECK_OK(rip_task_join_all(RIP_NOW));
    CHECK_OK(rip_task_start(&daemon, wait_to_go, b, &o));
    CHECK_OK(rip_task_join_all(RIP_NOW));
    other = start(kind, wait_to_go, b);
    CHECK_ERR(rip_task_join_all(rip_after_ms(5)), -ETIMEDOUT);
    rip_event_set(&b->go);
    CHECK_OK(rip_task_join_all(rip_after(1000)));
    CHECK(!rip_task_alive(other));
    CHECK_INT(end_of(daemon).code, ==, 5);
    rip_task_free(other);
    rip_shared_free(NULL, b);
}

BOTH(a_descriptor_tells_the_end, 0)
{
    struct board *b = new_board();
    rip_task *t = start(kind, wait_to_go, b);
    struct pollfd p = { .fd = rip_task_fd(t), .events = POLLIN };
    CHECK_INT(p.fd, >, 2);
    CHECK_INT(rip_task_fd(t), ==, p.fd);
    CHECK_INT(poll(&p, 1, 0), ==, 0);
    rip_event_set(&b->go);
    CHECK_INT(poll(&p, 1, -1), ==, 1);
    CHECK_OK(rip_task_join(t, NULL, RIP_NOW));
    CHECK_INT(poll(&p, 1, 0), ==, 1);
    rip_task_free(t);
    t = start(kind, wait_to_go, b);
    CHECK_OK(rip_task_join(t, NULL, RIP_FOREVER));
    p.fd = rip_task_fd(t); /* when it has ended already */
    CHECK_INT(p.fd, >, 2);
    CHECK_INT(poll(&p, 1, 0), ==, 1);
    rip_task_free(t);
    rip_shared_free(NULL, b);
}

/* ---- stopping --------------------------------------------------------- */

static int poll_for_stop(void *arg)
{
    struct board *b = arg;
    struct pollfd p = { .fd = rip_task_stop_fd(), .events = POLLIN };
    CHECK(!rip_task_stopping());
    CHECK_INT(poll(&p, 1, 0), ==, 0);
    rip_event_set(&b->there);
    CHECK_INT(poll(&p, 1, -1), ==, 1);
    CHECK(rip_task_stopping());
    rip_task_shield(true);
    rip_task_shield(true);
    rip_task_shield(false);
    CHECK(!rip_task_stopping());
    rip_task_shield(false);
    rip_task_shield(false);
    CHECK(rip_task_stopping());
    return 9;
}

BOTH(a_task_is_asked_to_stop, 0)
{
    struct board *b = new_board();
    rip_task *t = start(kind, poll_for_stop, b);
    CHECK_OK(rip_event_wait(&b->there, RIP_FOREVER));
    rip_task_stop(t);
    struct rip_exit e = end_of(t);
    CHECK_INT(e.code, ==, 9);
    CHECK(e.stopped);
    CHECK_ERR(rip_task_stop_fd(), -ESRCH);
    rip_task_shield(true);
    CHECK(!rip_task_stopping());
    rip_shared_free(NULL, b);
}

/* A task that joins another gives up when it is to stop. */
static int join_another(void *arg)
{
    struct board *b = arg;
    rip_task *t = start(RIP_THREAD, wait_to_go, b);
    int r = rip_task_join(t, NULL, RIP_FOREVER);
    CHECK_INT(r, ==, -ECANCELED);
    rip_event_set(&b->go);
    rip_task_shield(true);
    CHECK_INT(rip_task_join(t, NULL, RIP_FOREVER), ==, 0);
    rip_task_free(t);
    return 1;
}

BOTH(a_join_is_given_up_for_a_stop, 0)
{
    struct board *b = new_board();
    rip_task *t = start(kind, join_another, b);
    CHECK_OK(rip_event_wait(&b->there, RIP_FOREVER));
    rip_task_stop(t);
    CHECK_INT(end_of(t).code, ==, 1);
    rip_shared_free(NULL, b);
}

/* ---- what a task begins with ------------------------------------------ */

static size_t use_stack(size_t kib)
{
    volatile char room[1024];
    room[0] = (char)kib;
    size_t below = kib > 0 ? use_stack(kib - 1) : 0;
    room[0] = 0; /* it is needed until here */
    return below + (size_t)room[0];
}

static int recurse(void *arg)
{
    return (int)use_stack(*(const size_t *)arg);
}

BOTH(a_task_has_the_stack_that_was_asked_for, 0)
{
    size_t kib = 24576;
    rip_task *t;
    const struct rip_task_options o = { .kind = kind,
                                        .stack_size = (size_t)64 << 20 };
    CHECK_OK(rip_task_start(&t, recurse, &kib, &o));
    struct rip_exit e = end_of(t);
    CHECK_INT(e.how, ==, RIP_EXITED);
    CHECK_INT(e.code, ==, 0);
}

static int tell_cpus(void *arg)
{
    cpu_set_t set;
    (void)arg;
    CHECK_INT(sched_getaffinity(0, sizeof set, &set), ==, 0);
    return CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set);
}

static int tell_nice(void *arg)
{
    (void)arg;
    return getpriority(PRIO_PROCESS, 0);
}

BOTH(cpus_and_priority_are_its_own, 0)
{
    const unsigned zero[] = { 0 };
    rip_task *t;
    struct rip_task_options o = { .kind = kind, .cpus = zero, .n_cpus = 1 };
    CHECK_OK(rip_task_start(&t, tell_cpus, NULL, &o));
    CHECK_INT(end_of(t).code, ==, 1);
    o = (struct rip_task_options){ .kind = kind, .nice = 3 };
    int ours = getpriority(PRIO_PROCESS, 0);
    CHECK_OK(rip_task_start(&t, tell_nice, NULL, &o));
    CHECK_INT(end_of(t).code, ==, ours + 3);
    CHECK_INT(getpriority(PRIO_PROCESS, 0), ==, ours);
}

BOTH(what_cannot_be_granted_fails_the_start, 0)
{
    const unsigned none[] = { 5000 };
    rip_task *t = (rip_task *)&t;
    const struct rip_task_options o = { .kind = kind,
                                        .cpus = none,
                                        .n_cpus = 1 };
    CHECK_ERR(rip_task_start(&t, tell_cpus, NULL, &o), -EINVAL);
    CHECK(t == (rip_task *)&t);
}

BOTH(bad_options_are_refused, 0)
{
    rip_task *t = (rip_task *)&t;
    const struct rip_task_options bad[] = {
        { .kind = kind, .stack_size = 1 },
        { .kind = kind, .stack_size = SIZE_MAX },
        { .kind = kind, .arg_size = 4 },
        { .kind = kind, .n_cpus = 1 },
        { .kind = kind, .start = (enum rip_start)7 },
        { .kind = (enum rip_kind)2 },
        { .kind = RIP_THREAD, .start = RIP_START_FORK },
        { .kind = RIP_THREAD, .detached = true },
        { .kind = kind, .result_size = SIZE_MAX },
        { .kind = kind, .reserved = { 0, 0, 0, 1 } },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        harness_note("option %zu", i);
        CHECK_ERR(rip_task_start(&t, do_nothing, NULL, &bad[i]), -EINVAL);
    }
    const struct rip_task_options o = { .kind = kind };
    CHECK_ERR(rip_task_start(&t, NULL, NULL, &o), -EINVAL);
    CHECK(t == (rip_task *)&t);
    CHECK(rip_task_free(NULL) == NULL);
}

/* ---- letting go ------------------------------------------------------- */

static int until_asked(void *arg)
{
    struct board *b = arg;
    struct pollfd p = { .fd = rip_task_stop_fd(), .events = POLLIN };
    rip_event_set(&b->there);
    CHECK_INT(poll(&p, 1, -1), ==, 1);
    rip_event_set(&b->go);
    return 0;
}

TEST(a_thread_that_is_let_go_is_asked_to_stop)
{
    struct board *b = new_board();
    rip_task *t = start(RIP_THREAD, until_asked, b);
    CHECK_OK(rip_event_wait(&b->there, RIP_FOREVER));
    rip_task_free(t);
    CHECK_OK(rip_event_wait(&b->go, RIP_FOREVER));
    until_alone();
    rip_shared_free(NULL, b);
}

#ifndef NDEBUG
static int join_it_freed(void *arg)
{
    (void)arg;
    rip_task *t = start(RIP_THREAD, do_nothing, NULL);
    end_of(t);
    dup2(open("err", O_WRONLY | O_CREAT, 0600), 2);
    return rip_task_join(t, NULL, RIP_NOW);
}

TEST(a_task_that_was_freed_is_not_joined)
{
    char text[100] = "";
    CHECK_INT(run(RIP_PROCESS, join_it_freed, NULL).signal, ==, SIGABRT);
    int fd = open("err", O_RDONLY);
    CHECK_INT(read(fd, text, sizeof text - 1), >, 0);
    CHECK_STR(text, "ripstop: rip_task_join: the task has been freed\n");
    close(fd);
    unlink("err");
}
#endif

static int hold(void *arg)
{
    rip_lock *l = arg;
    return rip_lock_acquire(l, RIP_NOW);
}

BOTH(what_a_task_held_at_its_end_is_recovered, 0)
{
    rip_lock *l = rip_shared_alloc(NULL, sizeof *l);
    CHECK_INT(run(kind, hold, l).code, ==, 0);
    CHECK_INT(rip_lock_acquire(l, RIP_NOW), ==, RIP_RECOVERED);
    rip_lock_release(l);
    rip_shared_free(NULL, l);
}

static int start_another(void *arg)
{
    return run(*(const enum rip_kind *)arg, give, &(int){ 11 }).code;
}

BOTH(tasks_start_tasks, 0)
{
    enum rip_kind other[] = { RIP_THREAD, RIP_PROCESS };
    for (int i = 0; i < 2; i++)
        CHECK_INT(run(kind, start_another, &other[i]).code, ==, 11);
}

BOTH(ten_thousand_leave_nothing, 240)
{
    struct rip_segment_stats before, after;
    int code = 700, n = harness_rounds(10000);
    run(kind, give, &code);
    rip_segment_stats(NULL, &before);
    for (int i = 0; i < n; i++)
        CHECK_INT(run(kind, give, &code).code, ==, 700);
    rip_segment_stats(NULL, &after);
    CHECK_INT(after.used, ==, before.used);
    CHECK_INT(after.members, ==, before.members);
}
