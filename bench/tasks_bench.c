/* SPDX-License-Identifier: MIT */
#include "parent.h"
#include "python.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/task.h>

static const struct parent small = { .mib = 10, .fds = 10 };
static const struct parent gib1 = { .mib = 1024, .fds = 10 };

/* How a task is started and joined that does nothing. */
struct way {
    int (*once)(void); /* 0, or what failed */
    const struct parent *parent;
    bool one_cpu; /* the task on the CPU of its parent; else the kernel puts it
                     where it likes */
};

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int run_task(const struct rip_task_options *o)
{
    rip_task *t;
    struct rip_exit e = { .code = 0 };
    int r = rip_task_start(&t, do_nothing, NULL, o);
    if (r < 0)
        return r;
    r = rip_task_join(t, &e, RIP_FOREVER);
    rip_task_free(t);
    return r < 0 ? r : e.code;
}

static int our_thread(void)
{
    return run_task(NULL);
}

static int our_process(void)
{
    return run_task(&(struct rip_task_options){ .kind = RIP_PROCESS });
}

static int our_clone(void)
{
    return run_task(&(struct rip_task_options){ .kind = RIP_PROCESS,
                                                .start = RIP_START_TEMPLATE });
}

static void *return_it(void *arg)
{
    return arg;
}

static int bare_thread(void)
{
    pthread_t thread;
    int r = pthread_create(&thread, NULL, return_it, NULL);
    return r != 0 ? -r : -pthread_join(thread, NULL);
}

static int bare_fork(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid < 0 || waitpid(pid, &status, 0) != pid ? -1 : status;
}

/* The template is made while its program is small. */
static int prepare(const void *arg)
{
    const struct way *w = arg;
    cpu_set_t all;
    sched_getaffinity(0, sizeof all, &all);
    int r = w->once == our_clone ? rip_task_template() : 0;
    if (r < 0)
        return bench_fail("template: %s", rip_strerror(r));
    if (become_parent(w->parent) < 0)
        return -1;
    if (!w->one_cpu)
        sched_setaffinity(0, sizeof all, &all);
    r = w->once();
    return r == 0 ? 0 : bench_fail("%s", rip_strerror(r));
}

static int64_t run(const void *arg)
{
    const struct way *w = arg;
    int64_t start = bench_now();
    int r = w->once();
    int64_t end = bench_now();
    return r == 0 ? end - start : bench_fail("%s", rip_strerror(r));
}

static const char *const python_process[] = { "process", NULL };
static const char *const python_thread[] = { "thread", NULL };

/* clang-format off */
#define WAY(once, parent, one_cpu) \
    { prepare, run, &(const struct way){ once, &(parent), one_cpu } }
#define PYTHON(args) { prepare_python, run_python, args }
/* clang-format on */

/* Name, what (is started and joined, by us and by the other), unit, pairs,
 * samples, goal, ours, baseline. Ours with a parent of 10 MiB, where nothing
 * else is said. */
static const struct bench_figure figures[] = {
    { "thread", "a thread against pthread_create and pthread_join", BENCH_US,
      300, 9, 1.1, WAY(our_thread, small, false),
      WAY(bare_thread, small, false) },
    { "process", "a process against fork and waitpid", BENCH_US, 300, 9, 1.1,
      WAY(our_process, small, false), WAY(bare_fork, small, false) },
    { "process-one-cpu", "the same, all on one CPU", BENCH_US, 300, 9, 0,
      WAY(our_process, small, true), WAY(bare_fork, small, true) },
    { "process-1g", "the same, both in 1 GiB", BENCH_US, 10, 9, 0,
      WAY(our_process, gib1, false), WAY(bare_fork, gib1, false) },
    { "template-1g", "a clone in 1 GiB against a forked process in 10 MiB",
      BENCH_US, 300, 9, 1.5, WAY(our_clone, gib1, false),
      WAY(our_process, small, false) },
    { "template", "a clone against a forked process, both in 10 MiB", BENCH_US,
      300, 9, 0, WAY(our_clone, small, false), WAY(our_process, small, false) },
    { "python-process", "a process against multiprocessing.Process, forked",
      BENCH_US, 100, 9, 1.0 / 6, WAY(our_process, small, true),
      PYTHON(python_process) },
    { "python-thread", "a thread against threading.Thread", BENCH_US, 100, 9, 1,
      WAY(our_thread, small, true), PYTHON(python_thread) },
};

static void print_versions(void)
{
    char python[64];
    python_version(python, sizeof python);
    printf("# compared with %s\n", python);
}

int main(int argc, char **argv)
{
    const struct bench_topic topic = { figures,
                                       sizeof figures / sizeof *figures };
    return bench_topics(print_versions, &topic, 1, argc, argv);
}
