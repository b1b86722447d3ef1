/* SPDX-License-Identifier: MIT */
/*
 * Three workers take jobs from a queue, and one of them is killed with SIGKILL
 * in the middle of a job: that goes to another one, and all are done. In
 * Python:
 *
 *     jobs, results = JoinableQueue(), Queue()
 *     for _ in range(3):
 *         Process(target=work, args=(jobs, results)).start()
 *
 * But there the job would be lost, and in half of the cases the queue as well.
 * With "threads" the workers are threads, of which nobody is killed.
 */
#include <errno.h>
#include <ripstop/ripstop.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS = 3, JOBS = 8 };

struct shop {
    rip_queue *jobs, *results;
    bool killing;
};

struct result {
    int job, square;
    unsigned tries;
};

static int work(void *arg)
{
    struct shop *s = arg;
    struct rip_message m;
    int r;
    while ((r = rip_queue_take(s->jobs, &m, rip_after(10))) == 0) {
        struct result done = { .tries = m.deliveries };
        memcpy(&done.job, m.data, sizeof done.job);
        if (s->killing && done.job == 3 && done.tries == 1)
            kill(getpid(), SIGKILL);
        done.square = done.job * done.job;
        r = rip_queue_put(s->results, &done, sizeof done, rip_after(10));
        if (r < 0)
            return r;
        rip_queue_done(s->jobs, &m);
    }
    return r == -EPIPE ? 0 : r; /* closed, and nothing left */
}

static int run(struct shop *s, rip_group *g, enum rip_kind kind)
{
    const struct rip_task_options o = { .kind = kind };
    int r = 0;
    for (int i = 0; r == 0 && i < WORKERS; i++)
        r = rip_group_start(g, work, s, &o);
    for (int job = 0; r == 0 && job < JOBS; job++)
        r = rip_queue_put(s->jobs, &job, sizeof job, rip_after(10));
    rip_queue_close(s->jobs);
    return r < 0 ? r : rip_group_wait(g, NULL, rip_after(20));
}

static void show(struct shop *s)
{
    struct result got, all[JOBS] = { { 0, 0, 0 } };
    while (rip_queue_get(s->results, &got, sizeof got, RIP_NOW) > 0)
        all[got.job] = got;
    for (int i = 0; i < JOBS; i++)
        printf("%d: %d%s\n", i, all[i].square,
               all[i].tries > 1 ? ", at the second try" : "");
}

int main(int argc, char **argv)
{
    bool threads = argc > 1 && strcmp(argv[1], "threads") == 0;
    const struct rip_group_options others_go_on = { .keep_going = true };
    struct shop s = { .killing = !threads };
    rip_group *g;

    if (rip_queue_new(&s.jobs, NULL) < 0 ||
        rip_queue_new(&s.results, NULL) < 0 ||
        rip_group_new(&g, &others_go_on) < 0)
        return 1;
    int failed = run(&s, g, threads ? RIP_THREAD : RIP_PROCESS);
    printf("%d killed\n", failed);
    show(&s);
    rip_group_free(g);
    rip_queue_free(s.jobs);
    rip_queue_free(s.results);
    return failed < 0;
}
