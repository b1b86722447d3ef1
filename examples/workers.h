/* SPDX-License-Identifier: MIT */
/*
 * Workers for the examples: one function several times at once, in threads or
 * in processes. The rest of an example is the same for both.
 */
#ifndef WORKERS_H
#define WORKERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* `number` is 0 for the first worker. */
typedef void work_fn(void *shared, int number);

enum { WORKERS_MAX = 16 };

struct worker {
    work_fn *work;
    void *shared;
    int number;
    pthread_t thread;
    pid_t process;
};

static void *run_worker(void *arg)
{
    struct worker *w = arg;
    w->work(w->shared, w->number);
    return NULL;
}

static bool start_worker(struct worker *w, bool threads)
{
    if (threads)
        return pthread_create(&w->thread, NULL, run_worker, w) == 0;
    w->process = fork();
    if (w->process != 0)
        return w->process > 0;
    run_worker(w);
    _exit(0);
}

static bool join_worker(struct worker *w, bool threads)
{
    int status;
    if (threads)
        return pthread_join(w->thread, NULL) == 0;
    return waitpid(w->process, &status, 0) == w->process && status == 0;
}

/* Runs n workers, in "threads" or "processes", until all have ended: whether
 * all went well. */
static bool run_workers(const char *how, int n, work_fn *work, void *shared)
{
    struct worker workers[WORKERS_MAX];
    bool threads = how && strcmp(how, "threads") == 0, good = true;
    int started = 0;

    if (!shared || (!threads && !(how && strcmp(how, "processes") == 0))) {
        fprintf(stderr, "say: threads, or: processes\n");
        return false;
    }
    for (; started < n && good; started += good) {
        workers[started] = (struct worker){ .work = work,
                                            .shared = shared,
                                            .number = started };
        good = start_worker(&workers[started], threads);
    }
    for (int i = 0; i < started; i++)
        good = join_worker(&workers[i], threads) && good;
    return good;
}

#endif
