/* SPDX-License-Identifier: MIT */
#include <ripstop/task.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/event.h>
#include <ripstop/segment.h>

#include "harness.h"
#include "task/clones.h"
#include "task/tasks.h"

/*
 * Who joins a task may come to an end meanwhile: that is nothing to the task,
 * and to the others who join it.
 */

static int wait_to_go(void *arg)
{
    rip_event *go = arg;
    CHECK_OK(rip_event_wait(go, RIP_FOREVER));
    return 700;
}

static rip_event *new_events(size_t n)
{
    rip_event *e = rip_shared_alloc(NULL, n * sizeof *e);
    CHECK(e != NULL);
    return e;
}

/* Until a thread of a process sleeps in the kernel. */
static void until_asleep(pid_t pid, pid_t tid)
{
    char path[64], line[256] = "";
    const char *state = NULL;
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    do {
        FILE *f = fopen(path, "r");
        CHECK(f != NULL);
        CHECK(fgets(line, sizeof line, f) != NULL);
        fclose(f);
        state = strrchr(line, ')');
        CHECK(state != NULL);
    } while (state[2] != 'S' && sched_yield() == 0);
}

/* ---- threads ---------------------------------------------------------- */

struct joiner {
    rip_task *task;
    rip_event about_to;
    pid_t tid;
    struct rip_exit end;
};

static void *join_it(void *arg)
{
    struct joiner *j = arg;
    j->tid = gettid();
    rip_event_set(&j->about_to);
    CHECK_OK(rip_task_join(j->task, &j->end, RIP_FOREVER));
    pthread_testcancel();
    return NULL;
}

/* A join is no cancellation point: who is cancelled in one comes to the end of
 * it, and so do the others. */
static void cancel_the_first_of_three(const struct rip_task_options *o)
{
    enum { N = 3 };
    struct joiner j[N] = { 0 };
    pthread_t thread[N];
    void *result;
    rip_event *go = new_events(1);
    rip_task *t;
    CHECK_OK(rip_task_start(&t, wait_to_go, go, o));
    for (int i = 0; i < N; i++) {
        j[i].task = t;
        CHECK_INT(pthread_create(&thread[i], NULL, join_it, &j[i]), ==, 0);
        CHECK_OK(rip_event_wait(&j[i].about_to, RIP_FOREVER));
        until_asleep(getpid(), j[i].tid);
        if (i == 0)
            CHECK_INT(pthread_cancel(thread[0]), ==, 0);
    }
    rip_event_set(go);
    for (int i = 0; i < N; i++) {
        CHECK_INT(pthread_join(thread[i], &result), ==, 0);
        CHECK_INT(j[i].end.code, ==, 700);
        CHECK(result == (i == 0 ? PTHREAD_CANCELED : NULL));
    }
    CHECK_INT(end_of(t).code, ==, 700);
    rip_shared_free(NULL, go);
}

TEST(a_thread_that_is_cancelled_in_a_join_keeps_nobody)
{
    const struct rip_task_options thread = { .kind = RIP_THREAD };
    const struct rip_task_options process = { .kind = RIP_PROCESS };
    cancel_the_first_of_three(&thread);
    cancel_the_first_of_three(&process);
    CHECK_OK(rip_task_template());
    cancel_the_first_of_three(&clone_options);
}

static int tell_nothing(void *arg)
{
    (void)arg;
    return 3;
}

/* With the cancellation pending, and something to be flushed. */
static void *use_tasks_while_cancelled(void *arg)
{
    int before;
    rip_task *t;
    const struct rip_task_options bad = { .cpus = &(unsigned){ 60000 },
                                          .n_cpus = 1 };
    pthread_cancel(pthread_self());
    printf("something");
    CHECK_INT(run(RIP_THREAD, tell_nothing, NULL).code, ==, 3);
    CHECK_INT(rip_task_start(&t, tell_nothing, NULL, &bad), <, 0);
    CHECK_OK(rip_task_start(&t, tell_nothing, NULL, &clone_options));
    CHECK_INT(end_of(t).code, ==, 3);
    printf("something");
    pid_t pid = rip_fork(&t);
    if (pid == 0)
        _exit(3);
    CHECK_INT(pid, >, 0);
    CHECK_INT(end_of(t).code, ==, 3);
    *(bool *)arg = true;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    CHECK_INT(before, ==, PTHREAD_CANCEL_ENABLE);
    return NULL;
}

TEST(no_call_is_a_cancellation_point)
{
    bool done = false;
    pthread_t thread;
    CHECK_OK(rip_task_template());
    CHECK_INT(pthread_create(&thread, NULL, use_tasks_while_cancelled, &done),
              ==, 0);
    pthread_join(thread, NULL);
    CHECK(done);
}

/* ---- processes -------------------------------------------------------- */

/* Of a process that starts a detached task and joins it. */
struct family {
    enum rip_start start;
    rip_event joining, there, go;
    atomic_int ended; /* tasks that did not have to end before */
};

static int go_on(void *arg)
{
    struct family *f = arg;
    rip_event_set(&f->there);
    CHECK_OK(rip_event_wait(&f->go, RIP_FOREVER));
    f->ended++;
    return 700;
}

static int join_a_detached(void *arg)
{
    struct family *f = arg;
    const struct rip_task_options o = { .kind = RIP_PROCESS,
                                        .start = f->start,
                                        .detached = true };
    rip_task *t;
    if (f->start == RIP_START_TEMPLATE)
        CHECK_OK(rip_task_template());
    CHECK_OK(rip_task_start(&t, go_on, f, &o));
    CHECK_OK(rip_event_wait(&f->there, RIP_FOREVER));
    rip_event_set(&f->joining);
    return end_of(t).code;
}

static rip_task *start_family(struct family *f, enum rip_start how)
{
    f->start = how;
    rip_task *t = start(RIP_PROCESS, join_a_detached, f);
    CHECK_OK(rip_event_wait(&f->joining, RIP_FOREVER));
    until_asleep(rip_task_pid(t), rip_task_pid(t));
    return t;
}

/*
 * Three join: one is killed in it, another process joins a task of its own, and
 * a thread of ours the one that is killed. Whoever is alive has the end of a
 * pipe that writes.
 */
static void kill_one_of_the_joiners(enum rip_start how)
{
    int alive[2];
    char byte;
    pthread_t thread;
    struct joiner ours = { 0 };
    struct family *f = rip_shared_alloc(NULL, 2 * sizeof *f);
    CHECK(f != NULL);
    CHECK_INT(pipe(alive), ==, 0);
    rip_task *killed = start_family(&f[0], how);
    rip_task *other = start_family(&f[1], how);
    close(alive[1]);
    ours.task = killed;
    CHECK_INT(pthread_create(&thread, NULL, join_it, &ours), ==, 0);
    CHECK_OK(rip_event_wait(&ours.about_to, RIP_FOREVER));
    CHECK_OK(rip_task_signal(killed, SIGKILL));
    pthread_join(thread, NULL);
    CHECK_INT(ours.end.signal, ==, SIGKILL);
    CHECK(rip_task_alive(other));
    rip_event_set(&f[1].go);
    CHECK_INT(end_of(other).code, ==, 700);
    CHECK_INT(f[0].ended, ==, 0); /* its task waits still */
    rip_event_set(&f[0].go);
    CHECK_INT(read(alive[0], &byte, 1), ==, 0);
    CHECK_INT(f[0].ended, ==, 1);
    close(alive[0]);
    rip_task_free(killed);
    rip_shared_free(NULL, f);
}

TEST(a_process_that_is_killed_in_a_join_is_nothing_to_the_others)
{
    kill_one_of_the_joiners(RIP_START_FORK);
    kill_one_of_the_joiners(RIP_START_TEMPLATE);
}
