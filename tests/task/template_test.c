/* SPDX-License-Identifier: MIT */
#include <ripstop/task.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/event.h>
#include <ripstop/lock.h>
#include <ripstop/segment.h>

#include "harness.h"
#include "task/clones.h"
#include "task/tasks.h"

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

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

static rip_task *start_sleeper(void)
{
    rip_event *there = new_event();
    rip_task *t = start_clone(sleep_for_ever, there);
    CHECK_OK(rip_event_wait(there, RIP_FOREVER));
    rip_shared_free(NULL, there);
    return t;
}

/* ---- what it sees ----------------------------------------------------- */

static int number = 1;

static int tell_number(void *arg)
{
    (void)arg;
    return number;
}

TEST(memory_is_what_it_was_at_the_template)
{
    number = 2;
    CHECK_OK(rip_task_template());
    number = 3;
    CHECK_INT(run_clone(tell_number, NULL).code, ==, 2);
    CHECK_OK(rip_task_template()); /* which does nothing */
    CHECK_INT(run_clone(tell_number, NULL).code, ==, 2);
}

static int add_one(void *arg)
{
    atomic_int *n = arg;
    return (*n)++;
}

TEST(shared_memory_is_the_same_at_the_same_address)
{
    CHECK_OK(rip_task_template());
    atomic_int *n = rip_shared_alloc(NULL, sizeof *n);
    *n = 41;
    CHECK_INT(run_clone(add_one, n).code, ==, 41);
    CHECK_INT(*n, ==, 42);
    rip_shared_free(NULL, n);
}

static int send_back(void *arg)
{
    const char *text = arg;
    CHECK_INT((uintptr_t)arg % 16, ==, 0);
    return rip_task_return(text, strlen(text));
}

TEST(an_argument_is_copied)
{
    char text[] = "what is said";
    const void *data;
    size_t len;
    struct rip_task_options o = clone_options;
    rip_task *t;
    CHECK_OK(rip_task_template());
    o.arg_size = sizeof text;
    o.result_size = 13;
    CHECK_OK(rip_task_start(&t, send_back, text, &o));
    memset(text, 'x', sizeof text - 1);
    CHECK_OK(rip_task_join(t, NULL, RIP_FOREVER));
    CHECK_OK(rip_task_result(t, &data, &len));
    CHECK_MEM(data, len, "what is said", 12);
    rip_task_free(t);
}

TEST(what_a_clone_can_not_have_is_refused)
{
    rip_task *t = NULL;
    char on_stack = 0;
    void *heap = malloc(64);
    CHECK_ERR(rip_task_start(&t, do_nothing, NULL, &clone_options), -ENOENT);
    CHECK_OK(rip_task_template());
    CHECK_ERR(rip_task_start(&t, do_nothing, &on_stack, &clone_options),
              -EINVAL);
    CHECK_ERR(rip_task_start(&t, do_nothing, heap, &clone_options), -EINVAL);
    CHECK_ERR(rip_task_start(&t, (rip_task_fn *)heap, NULL, &clone_options),
              -EINVAL);
    CHECK_ERR(rip_task_start(&t, (rip_task_fn *)(void *)&number, NULL,
                             &clone_options),
              -EINVAL);
    CHECK(t == NULL);
    free(heap);
}

/* One that was loaded later is not there, also if it is loaded here. */
TEST(a_function_that_was_loaded_later_is_refused)
{
    static const char lib[] = "libm.so.6";
    rip_task *t = NULL;
    if (dlopen(lib, RTLD_NOW | RTLD_NOLOAD))
        SKIP("it is loaded already");
    CHECK_OK(rip_task_template());
    void *handle = dlopen(lib, RTLD_NOW);
    if (!handle)
        SKIP("there is no %s", lib);
    rip_task_fn *fn;
    *(void **)&fn = dlsym(handle, "cos");
    CHECK_ERR(rip_task_start(&t, fn, NULL, &clone_options), -EINVAL);
    kill_template();
    CHECK_OK(rip_task_template());
    CHECK_INT(run_clone(fn, NULL).how, ==, RIP_EXITED);
    dlclose(handle);
    handle = dlopen(lib, RTLD_NOW); /* the same once more */
    *(void **)&fn = dlsym(handle, "cos");
    CHECK_INT(run_clone(fn, NULL).how, ==, RIP_EXITED);
    dlclose(handle);
}

static int look_at_itself(void *arg)
{
    char name[16];
    prctl(PR_GET_NAME, name);
    CHECK_STR(rip_task_name(NULL), arg ? arg : "task");
    CHECK(rip_task_self() != NULL);
    CHECK_INT(rip_task_pid(rip_task_self()), ==, getpid());
    CHECK_INT(rip_task_kind(rip_task_self()), ==, RIP_PROCESS);
    CHECK_ERR(rip_task_join(rip_task_self(), NULL, RIP_NOW), -EDEADLK);
    return rip_task_return(name, sizeof name);
}

static void check_system_name(const struct rip_task_options *o, void *arg,
                              const char *want)
{
    rip_task *t;
    struct rip_exit e;
    const void *name;
    size_t len;
    CHECK_OK(rip_task_start(&t, look_at_itself, arg, o));
    CHECK_OK(rip_task_join(t, &e, RIP_FOREVER));
    CHECK_INT(e.code, ==, 0);
    CHECK_OK(rip_task_result(t, &name, &len));
    CHECK_STR(name, want);
    rip_task_free(t);
}

TEST(a_clone_has_a_name)
{
    char ours[16], text[] = "somebody";
    prctl(PR_GET_NAME, ours);
    CHECK_OK(rip_task_template());
    CHECK_INT(template_pid(), >, 0);
    check_system_name(&clone_options, NULL, ours);
    struct rip_task_options o = clone_options;
    o.name = text;
    o.arg_size = sizeof text;
    check_system_name(&o, text, text);
}

static int look_at_its_setting(void *arg)
{
    cpu_set_t set;
    char little[128 * 1024];
    memset(little, 1, sizeof little);
    sched_getaffinity(0, sizeof set, &set);
    CHECK_INT(CPU_COUNT(&set), ==, 1);
    CHECK(CPU_ISSET(0, &set));
    return getpriority(PRIO_PROCESS, 0) + little[*(int *)arg];
}

TEST(a_clone_has_its_own_setting)
{
    const unsigned cpu = 0, none = 60000;
    int zero = 0;
    rip_task *t;
    struct rip_task_options o = clone_options;
    o.cpus = &cpu;
    o.n_cpus = 1;
    o.nice = 3;
    o.stack_size = 1 << 20;
    o.arg_size = sizeof zero;
    CHECK_OK(rip_task_template());
    CHECK_OK(rip_task_start(&t, look_at_its_setting, &zero, &o));
    CHECK_INT(end_of(t).code, ==, getpriority(PRIO_PROCESS, 0) + 4);
    o.cpus = &none;
    CHECK_ERR(rip_task_start(&t, look_at_its_setting, &zero, &o), -EINVAL);
}

/* Descriptors are those of the template but what is its own. */
static int count_descriptors(void *arg)
{
    int n = 0;
    (void)arg;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

TEST(a_clone_has_no_descriptors_of_the_template)
{
    CHECK_INT(run(RIP_PROCESS, count_descriptors, NULL).code, ==, 5);
    CHECK_OK(rip_task_template());
    int more = dup(0);
    /* 0 to 2, the segment, its lifeline. */
    CHECK_INT(run_clone(count_descriptors, NULL).code, ==, 5);
    CHECK_INT(run(RIP_PROCESS, count_descriptors, NULL).code, ==, 6);
    close(more);
}

static int tell_signals(void *arg)
{
    sigset_t set;
    struct sigaction child;
    (void)arg;
    sigprocmask(SIG_BLOCK, NULL, &set);
    sigaction(SIGCHLD, NULL, &child);
    return sigismember(&set, SIGUSR1) + 2 * sigismember(&set, SIGUSR2) +
           4 * sigismember(&set, SIGTERM) + 8 * (child.sa_handler == SIG_IGN);
}

TEST(a_clone_blocks_what_its_starter_blocks)
{
    sigset_t set, old;
    signal(SIGCHLD, SIG_IGN);
    CHECK_OK(rip_task_template());
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &old);
    CHECK_INT(run_clone(tell_signals, NULL).code, ==, 2 + 8);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

/* ---- segments --------------------------------------------------------- */

static rip_segment *new_segment(void)
{
    rip_segment *s;
    const struct rip_segment_options o = { .size = 1 << 20 };
    CHECK_OK(rip_segment_new(&s, &o));
    return s;
}

static int count_up(void *arg)
{
    atomic_int *n = arg;
    (*n)++;
    return 0;
}

struct counter {
    rip_lock lock;
    atomic_int n;
};

static int count_under_lock(void *arg)
{
    struct counter *c = arg;
    for (int i = 0; i < 1000; i++) {
        CHECK_OK(rip_lock_acquire(&c->lock, RIP_FOREVER));
        c->n = c->n + 1;
        rip_lock_release(&c->lock);
    }
    return 0;
}

TEST(a_segment_of_later_is_used_by_two_clones)
{
    CHECK_OK(rip_task_template());
    rip_segment *s = new_segment(), *other = new_segment();
    struct counter *c = rip_shared_alloc(other, sizeof *c);
    rip_task *a = start_clone(count_under_lock, c);
    rip_task *b = start_clone(count_under_lock, c);
    CHECK_INT(end_of(a).code, ==, 0);
    CHECK_INT(end_of(b).code, ==, 0);
    CHECK_INT(c->n, ==, 2000);
    rip_segment_close(other);
    rip_segment_close(s);
}

static int open_by_name(void *arg)
{
    rip_segment *s;
    void *object;
    CHECK_OK(rip_segment_open(&s, "template-test", NULL));
    CHECK_OK(rip_segment_get(&object, s, "number", 4));
    CHECK(object == *(void **)arg);
    rip_segment_close(s);
    return count_up(object); /* ours is open still */
}

TEST(a_named_segment_is_found_where_it_is)
{
    rip_segment *s;
    void *object;
    const struct rip_segment_options o = { .size = 1 << 20 };
    struct rip_task_options with_arg = clone_options;
    rip_task *t;
    CHECK_OK(rip_task_template());
    CHECK_OK(rip_segment_open(&s, "template-test", &o));
    CHECK_OK(rip_segment_get(&object, s, "number", 4));
    with_arg.arg_size = sizeof object;
    CHECK_OK(rip_task_start(&t, open_by_name, &object, &with_arg));
    CHECK_INT(end_of(t).code, ==, 0);
    CHECK_INT(*(int *)object, ==, 1);
    rip_segment_close(s);
}

/* How many anonymous segments a process has mapped: one may be several
 * mappings. */
static int mapped_segments(pid_t pid)
{
    char path[40], line[512];
    unsigned long inode, seen[16];
    int n = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f)) {
        if (!strstr(line, "ripstop:(anonymous)"))
            continue;
        CHECK_INT(sscanf(line, "%*s %*s %*s %*s %lu", &inode), ==, 1);
        int i = 0;
        while (i < n && seen[i] != inode)
            i++;
        if (i == n && n < 16)
            seen[n++] = inode;
    }
    fclose(f);
    return n;
}

TEST(a_closed_segment_is_let_go)
{
    rip_segment *early = new_segment();
    void *p = rip_shared_alloc(early, 8);
    CHECK_OK(rip_task_template());
    rip_segment *late = new_segment();
    CHECK_INT(run_clone(count_up, p).code, ==, 0);
    CHECK_INT(mapped_segments(template_pid()), ==,
              1); /* only what it was born with */
    rip_segment_close(early);
    CHECK_INT(run_clone(do_nothing, NULL).code, ==, 0);
    CHECK_INT(mapped_segments(template_pid()), ==, 0);
    /* In the place of the first there may be another. */
    rip_segment *next = new_segment();
    p = rip_shared_alloc(next, 8);
    CHECK_INT(run_clone(count_up, p).code, ==, 0);
    CHECK_INT(*(int *)p, ==, 1);
    rip_segment_close(next);
    rip_segment_close(late);
}

static int use_handle(void *arg)
{
    rip_segment *s = *(rip_segment **)arg;
    void *p = rip_shared_alloc(s, 8);
    rip_shared_free(s, p);
    return p ? 0 : 1;
}

TEST(a_handle_of_before_is_good_in_a_clone)
{
    rip_segment *s = new_segment();
    struct rip_task_options o = clone_options;
    rip_task *t;
    CHECK_OK(rip_task_template());
    o.arg_size = sizeof(void *);
    CHECK_OK(rip_task_start(&t, use_handle, &s, &o));
    CHECK_INT(end_of(t).code, ==, 0);
    rip_segment_close(s);
}

/* ---- how it ends ------------------------------------------------------ */

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

static int call_pthread_exit(void *arg)
{
    pthread_exit(arg);
}

static int return_much(void *arg)
{
    (void)arg;
    return 70000;
}

TEST(a_clone_ends_as_it_likes)
{
    static const struct {
        rip_task_fn *fn;
        enum rip_end how;
        int value;
    } ways[] = {
        { return_much, RIP_EXITED, 70000 },
        { call_exit, RIP_EXITED, 3 },
        { call__exit, RIP_EXITED, 4 },
        { call_abort, RIP_SIGNALED, SIGABRT },
        { kill_itself, RIP_SIGNALED, SIGKILL },
        { call_exec, RIP_EXITED, 6 },
        { call_fork, RIP_EXITED, 708 },
        { call_pthread_exit, RIP_EXITED, 0 },
    };
    CHECK_OK(rip_task_template());
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        harness_note("way %zu", i);
        struct rip_exit e = run_clone(ways[i].fn, NULL);
        CHECK_INT(e.how, ==, ways[i].how);
        CHECK_INT(e.how == RIP_EXITED ? e.code : e.signal, ==, ways[i].value);
        CHECK_INT(e.max_rss_bytes, >, 0);
    }
}

TEST(an_ignored_sigchld_hides_no_end_of_a_clone)
{
    void (*before)(int) = signal(SIGCHLD, SIG_IGN);
    CHECK_OK(rip_task_template());
    CHECK_INT(run_clone(kill_itself, NULL).signal, ==, SIGKILL);
    signal(SIGCHLD, before);
}

TEST(a_clone_is_signalled_and_terminated)
{
    struct rip_exit e;
    CHECK_OK(rip_task_template());
    rip_task *t = start_sleeper();
    CHECK_OK(rip_task_signal(t, 0));
    CHECK_ERR(rip_task_signal(t, -1), -EINVAL);
    CHECK_ERR(rip_task_signal(t, 65), -EINVAL);
    CHECK_ERR(rip_task_signal(t, INT_MAX), -EINVAL);
    CHECK(rip_task_alive(t));
    CHECK_OK(rip_task_signal(t, SIGSTOP));
    CHECK_ERR(rip_task_join(t, NULL, rip_after_ms(20)), -ETIMEDOUT);
    CHECK(rip_task_alive(t));
    CHECK_OK(rip_task_signal(t, SIGCONT));
    CHECK_OK(rip_task_signal(t, SIGUSR1));
    CHECK_OK(rip_task_join(t, &e, RIP_FOREVER));
    CHECK_INT(e.signal, ==, SIGUSR1);
    CHECK_ERR(rip_task_signal(t, SIGUSR1), -ESRCH);
    CHECK_ERR(rip_task_signal(t, 65), -EINVAL);
    rip_task_free(t);
    t = start_sleeper();
    CHECK_OK(rip_task_terminate(t));
    CHECK_INT(end_of(t).signal, ==, SIGTERM);
    t = start_sleeper();
    pid_t pid = rip_task_pid(t);
    CHECK(rip_task_free(t) == NULL);
    CHECK_INT(kill(pid, 0), ==, -1);
}

static int await_stop(void *arg)
{
    struct pollfd p = { .fd = rip_task_stop_fd(), .events = POLLIN };
    rip_event_set(arg);
    CHECK_INT(poll(&p, 1, -1), ==, 1);
    return rip_task_stopping() ? 5 : 6;
}

TEST(a_clone_is_asked_to_stop)
{
    CHECK_OK(rip_task_template());
    rip_event *there = new_event();
    rip_task *t = start_clone(await_stop, there);
    CHECK_OK(rip_event_wait(there, RIP_FOREVER));
    rip_task_stop(t);
    struct rip_exit end = end_of(t);
    CHECK(end.stopped);
    CHECK_INT(end.code, ==, 5);
    rip_shared_free(NULL, there);
}

/* Who sees the descriptor need not wait any more. */
TEST(the_descriptor_tells_the_end)
{
    CHECK_OK(rip_task_template());
    for (int i = 0; i < 50; i++) {
        rip_task *t = start_clone(do_nothing, NULL);
        struct pollfd p = { .fd = (int)CHECK_OK(rip_task_fd(t)),
                            .events = POLLIN };
        CHECK_INT(poll(&p, 1, -1), ==, 1);
        CHECK_OK(rip_task_join(t, NULL, RIP_NOW));
        rip_task_free(t);
    }
}

static int join_it(void *arg)
{
    struct rip_exit e;
    CHECK_OK(rip_task_join(arg, &e, RIP_FOREVER));
    return e.code;
}

TEST(many_join_one_clone)
{
    rip_task *joiner[8];
    CHECK_OK(rip_task_template());
    rip_task *t = start_sleeper();
    for (int i = 0; i < 8; i++)
        joiner[i] = start(RIP_THREAD, join_it, t);
    CHECK_OK(rip_task_signal(t, SIGKILL));
    for (int i = 0; i < 8; i++)
        CHECK_INT(end_of(joiner[i]).code, ==, 0);
    CHECK_INT(end_of(t).signal, ==, SIGKILL);
}

/* ---- the program's own children --------------------------------------- */

TEST(the_template_is_no_child)
{
    CHECK_OK(rip_task_template());
    CHECK_INT(waitpid(-1, NULL, 0), ==, -1);
    rip_task *t = start_sleeper();
    CHECK_INT(waitpid(-1, NULL, 0), ==, -1);
    CHECK_INT(errno, ==, ECHILD);
    CHECK_OK(rip_task_signal(t, SIGKILL));
    CHECK_INT(end_of(t).signal, ==, SIGKILL);
}

static atomic_bool enough;

static void *steal(void *arg)
{
    while (!enough)
        if (waitpid(-1, NULL, WNOHANG) < 0)
            sched_yield();
    return arg;
}

TEST_WITH(a_thief_hides_nothing, .deadline = 60)
{
    pthread_t thief;
    pthread_create(&thief, NULL, steal, NULL);
    for (int i = 0, n = harness_rounds(50); i < n; i++) {
        CHECK_OK(rip_task_template());
        CHECK_INT(run_clone(kill_itself, NULL).signal, ==, SIGKILL);
        kill_template();
    }
    enough = true;
    pthread_join(thief, NULL);
}

static int use_templates(void *arg)
{
    rip_task *t = NULL;
    (void)arg;
    CHECK_ERR(rip_task_start(&t, do_nothing, NULL, &clone_options), -ENOENT);
    number = 9;
    CHECK_OK(rip_task_template());
    CHECK_INT(waitpid(-1, NULL, 0), ==, -1);
    return run_clone(tell_number, NULL).code;
}

TEST(a_child_has_no_template_but_its_own)
{
    CHECK_OK(rip_task_template());
    CHECK_INT(run(RIP_PROCESS, use_templates, NULL).code, ==, 9);
    CHECK_INT(run_clone(use_templates, NULL).code, ==, 9);
    CHECK_INT(run_clone(tell_number, NULL).code, ==, 1);
}

/* ---- threads ---------------------------------------------------------- */

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

static void *start_clones(void *arg)
{
    for (int i = 0; i < *(int *)arg; i++)
        CHECK_INT(run_clone(use_locks_of_libc, NULL).code, ==, 0);
    return NULL;
}

TEST_WITH(threads_start_clones_amid_malloc_and_stdio, .deadline = 60)
{
    enum { BUSY = 2, STARTERS = 4 };
    pthread_t busy[BUSY], starter[STARTERS];
    FILE *null = fopen("/dev/null", "w");
    int n = harness_rounds(50);
    for (int i = 0; i < BUSY; i++)
        pthread_create(&busy[i], NULL, hold_locks_of_libc, null);
    CHECK_OK(rip_task_template());
    for (int i = 0; i < STARTERS; i++)
        pthread_create(&starter[i], NULL, start_clones, &n);
    for (int i = 0; i < STARTERS; i++)
        pthread_join(starter[i], NULL);
    enough = true;
    for (int i = 0; i < BUSY; i++)
        pthread_join(busy[i], NULL);
    fclose(null);
}

static void *make_template(void *arg)
{
    CHECK_OK(rip_task_template());
    CHECK_INT(run_clone(do_nothing, NULL).code, ==, 0);
    return arg;
}

TEST(threads_that_make_a_template_make_one)
{
    pthread_t thread[8];
    for (int i = 0; i < 8; i++)
        pthread_create(&thread[i], NULL, make_template, NULL);
    for (int i = 0; i < 8; i++)
        pthread_join(thread[i], NULL);
    CHECK_INT(templates(), ==, 1);
}

/* Segments come and go meanwhile. */
static void *open_and_close(void *arg)
{
    while (!enough) {
        rip_segment *s = new_segment();
        rip_shared_free(s, rip_shared_alloc(s, 8));
        rip_segment_close(s);
    }
    return arg;
}

TEST_WITH(segments_come_and_go_while_clones_start, .deadline = 60)
{
    pthread_t thread;
    pthread_create(&thread, NULL, open_and_close, NULL);
    for (int i = 0, n = harness_rounds(30); i < n; i++) {
        CHECK_OK(rip_task_template());
        for (int k = 0; k < 5; k++) {
            rip_segment *s = new_segment();
            void *p = rip_shared_alloc(s, 8);
            CHECK_INT(run_clone(count_up, p).code, ==, 0);
            CHECK_INT(*(int *)p, ==, 1);
            rip_segment_close(s);
        }
        kill_template();
    }
    enough = true;
    pthread_join(thread, NULL);
}
