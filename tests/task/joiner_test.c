/* SPDX-License-Identifier: MIT */
#include <ripstop/task.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
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
