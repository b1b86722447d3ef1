/* SPDX-License-Identifier: MIT */
#include <ripstop/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/stop.h"
#include "command/run.h"
#include "fault.h"
#include "harness.h"
#include "os/os.h"
#include "segment/segment.h"
#include "sync/world.h"

#define EVENT(e) ((struct rip_wait){ .kind = RIP_WAIT_EVENT, .u.event = (e) })
#define TASK(t)  ((struct rip_wait){ .kind = RIP_WAIT_TASK, .u.task = (t) })
#define COMMAND(c) \
    ((struct rip_wait){ .kind = RIP_WAIT_COMMAND, .u.command = (c) })
#define FD(n) \
    ((struct rip_wait){ .kind = RIP_WAIT_FD, .events = POLLIN, .u.fd = (n) })
#define NONE ((struct rip_wait){ .kind = RIP_WAIT_NONE })

static void make_pipe(int fd[2])
{
    CHECK_INT(pipe2(fd, O_CLOEXEC), ==, 0);
}

static void close_pipe(const int fd[2])
{
    close(fd[0]);
    close(fd[1]);
}

/* Until somebody who waits is to be woken. */
static void until_announced(const rip_event *e)
{
    while (!(rip__load(&e->word) & RIP__WAITERS))
        sched_yield();
}

/* What an earlier wait has left in them is not to be taken for this one. */
static void forget(rip_event *e, size_t n)
{
    memset(e, 0, n * sizeof *e);
}

/* Somebody who sets it when somebody waits, and may clear it at once. */
static int sets(void *e)
{
    until_announced(e);
    rip_event_set(e);
    return 0;
}

static int sets_and_clears(void *e)
{
    until_announced(e);
    rip_event_set(e);
    rip_event_clear(e);
    return 0;
}

/* ---- what is ready ---------------------------------------------------- */

BOTH(an_event_is_ready_while_it_is_set, 0)
{
    int fd[2];
    make_pipe(fd);
    rip_event *e = object(kind, 2 * sizeof *e);
    const struct rip_wait items[] = { FD(fd[0]), EVENT(&e[0]), NONE,
                                      EVENT(&e[1]) };
    CHECK_ERR(rip_wait_any(items, 4, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_wait_any(items + 1, 3, RIP_NOW), -ETIMEDOUT);
    rip_event_set(&e[1]);
    CHECK_INT(rip_wait_any(items, 4, RIP_NOW), ==, 3);
    CHECK_INT(rip_wait_any(items, 4, RIP_FOREVER), ==, 3);
    CHECK_INT(rip_wait_any(items + 1, 3, RIP_FOREVER), ==, 2);
    rip_event_set(&e[0]);
    CHECK_INT(rip_wait_any(items, 4, RIP_FOREVER), ==, 1);
    CHECK_INT(write(fd[1], "x", 1), ==, 1);
    CHECK_INT(rip_wait_any(items, 4, RIP_FOREVER), ==, 0);
    CHECK_INT(rip_wait_any(items + 1, 3, RIP_FOREVER), ==, 0);
    rip_event_clear(&e[0]);
    rip_event_clear(&e[1]);
    CHECK_ERR(rip_wait_any(items + 1, 3, RIP_NOW), -ETIMEDOUT);
    close_pipe(fd);
}

static void one_of_two(enum kind kind, int (*fn)(void *), size_t from)
{
    int fd[2];
    struct player a;
    make_pipe(fd);
    only_woken();
    rip_event *e = object(kind, 2 * sizeof *e);
    const struct rip_wait items[] = { FD(fd[0]), EVENT(&e[0]), EVENT(&e[1]) };
    for (size_t i = 0; i < 2; i++) {
        forget(e, 2);
        player_start(&a, kind, fn, &e[i]);
        CHECK_INT(rip_wait_any(items + from, 3 - from, RIP_FOREVER), ==,
                  1 + i - from);
        CHECK_INT(player_end(&a), ==, 0);
    }
    close_pipe(fd);
}

BOTH(an_event_that_comes_ends_the_wait, 0)
{
    one_of_two(kind, sets, 1);
}

BOTH(an_event_that_comes_ends_a_mixed_wait, 0)
{
    one_of_two(kind, sets, 0);
}

BOTH(an_event_that_is_cleared_again_ends_the_wait, 0)
{
    one_of_two(kind, sets_and_clears, 1);
}

BOTH(an_event_that_is_cleared_again_ends_a_mixed_wait, 0)
{
    one_of_two(kind, sets_and_clears, 0);
}

struct write {
    rip_event *event;
    int fd;
};

static int writes(void *arg)
{
    const struct write *w = arg;
    until_announced(w->event);
    return write(w->fd, "x", 1) == 1 ? 0 : 1;
}

BOTH(a_descriptor_ends_a_mixed_wait, 0)
{
    int fd[2];
    struct player a;
    make_pipe(fd);
    only_woken();
    rip_event *e = object(kind, sizeof *e);
    struct write w = { e, fd[1] };
    const struct rip_wait items[] = { EVENT(e), FD(fd[0]) };
    player_start(&a, kind, writes, &w);
    CHECK_INT(rip_wait_any(items, 2, RIP_FOREVER), ==, 1);
    CHECK_INT(player_end(&a), ==, 0);
    CHECK(!rip_event_is_set(e));
    close_pipe(fd);
}

/* ---- all kinds together ----------------------------------------------- */

static int reads_a_byte(void *fd)
{
    char c;
    return read(*(int *)fd, &c, 1) == 1 ? 7 : 1;
}

static rip_task *start_task(enum rip_kind kind, int *fd)
{
    const struct rip_task_options o = { .kind = kind };
    rip_task *t;
    CHECK_OK(rip_task_start(&t, reads_a_byte, fd, &o));
    return t;
}

static void begin_thing(int i, int to[3][2], rip_command *c, rip_event *e)
{
    if (i < 3)
        CHECK_INT(write(to[i][1], "x", 1), ==, 1);
    else if (i == 3)
        rip_command_close_input(c);
    else
        rip_event_set(e);
}

WORLD(each_kind_can_be_the_first, 20)
{
    static const struct rip_command_options piped = {
        .in = { .kind = RIP_STDIO_PIPE }
    };
    int to[3][2];
    for (int i = 0; i < 3; i++)
        make_pipe(to[i]);
    rip_event *e = object(PROCESSES, sizeof *e);
    for (int i = 0; i < 5; i++) {
        rip_task *thread = start_task(RIP_THREAD, &to[0][0]);
        rip_task *process = start_task(RIP_PROCESS, &to[1][0]);
        rip_command *c = start(ARGV("cat"), &piped);
        const struct rip_wait items[] = { TASK(thread), TASK(process),
                                          FD(to[2][0]), COMMAND(c), EVENT(e) };
        CHECK_ERR(rip_wait_any(items, 5, rip_after_ms(2)), -ETIMEDOUT);
        begin_thing(i, to, c, e);
        CHECK_INT(rip_wait_any(items, 5, RIP_FOREVER), ==, i);
        CHECK_INT(rip_wait_any(items, 5, RIP_NOW), ==, i);
        for (int k = 0; k < 5; k++)
            if (k != i)
                begin_thing(k, to, c, e);
        CHECK_INT(rip_task_join(thread, NULL, RIP_FOREVER), ==, 0);
        CHECK_INT(rip_task_join(process, NULL, RIP_FOREVER), ==, 0);
        CHECK_INT(rip_wait_any(items, 5, RIP_FOREVER), ==, 0);
        CHECK_INT(rip_wait_any(items + 1, 4, RIP_FOREVER), ==, 0);
        rip_task_free(thread);
        rip_task_free(process);
        rip_command_free(c);
        rip_event_clear(e);
        CHECK_INT(reads_a_byte(&to[2][0]), ==, 7);
    }
    for (int i = 0; i < 3; i++)
        close_pipe(to[i]);
}

/* A task gets no descriptor while many are open, and when it has been joined
 * there is nothing that one could be had for. */
TEST(a_task_that_is_gone_is_ready)
{
    enum { MANY = 300 };
    int fd[2], to[2], copies[MANY];
    make_pipe(fd);
    make_pipe(to);
    for (int i = 0; i < MANY; i++)
        copies[i] = (int)CHECK_OK(fcntl(fd[0], F_DUPFD_CLOEXEC, 3));
    rip_task *t = start_task(RIP_PROCESS, &to[0]);
    CHECK_INT(write(to[1], "x", 1), ==, 1);
    CHECK_OK(rip_task_join(t, NULL, RIP_FOREVER));
    const struct rip_wait items[] = { FD(fd[0]), TASK(t) };
    CHECK_INT(rip_wait_any(items, 2, RIP_FOREVER), ==, 1);
    CHECK_INT(rip_wait_any(items + 1, 1, RIP_FOREVER), ==, 0);
    CHECK_INT(rip_wait_any(items + 1, 1, RIP_NOW), ==, 0);
    rip_task_free(t);
    for (int i = 0; i < MANY; i++)
        close(copies[i]);
    close_pipe(fd);
    close_pipe(to);
}

/* ---- when ------------------------------------------------------------- */

BOTH(the_deadline_is_kept, 0)
{
    int fd[2];
    make_pipe(fd);
    rip_event *e = object(kind, sizeof *e);
    const struct rip_wait items[] = { EVENT(e), FD(fd[0]) };
    for (size_t n = 1; n <= 2; n++) {
        rip_time deadline = rip_after_ms(30);
        CHECK_ERR(rip_wait_any(items, n, deadline), -ETIMEDOUT);
        CHECK_INT(rip_time_now(), >=, deadline);
        CHECK_ERR(rip_wait_any(items, n, deadline), -ETIMEDOUT);
        CHECK_ERR(rip_wait_any(items, n, -1), -ETIMEDOUT);
    }
    close_pipe(fd);
}

/* What one leaves who is killed between the swap and the wake. */
static int sets_without_a_wake(void *arg)
{
    rip_event *e = arg;
    until_announced(e);
    rip_event copy = *e;
    rip_event_set(&copy);
    __atomic_store_n(&e->word, copy.word, __ATOMIC_SEQ_CST);
    return 0;
}

BOTH(a_setter_that_is_killed_before_its_wake, 0)
{
    int fd[2];
    struct player a;
    make_pipe(fd);
    rip_event *e = object(kind, sizeof *e);
    const struct rip_wait items[] = { EVENT(e), FD(fd[0]) };
    for (size_t n = 1; n <= 2; n++) {
        player_start(&a, kind, sets_without_a_wake, e);
        CHECK_INT(rip_wait_any(items, n, RIP_FOREVER), ==, 0);
        CHECK_INT(player_end(&a), ==, 0);
        rip_event_clear(e);
    }
    close_pipe(fd);
}

WORLD(a_killed_waiter_hurts_nobody, 0)
{
    int fd[2];
    make_pipe(fd);
    rip_event *e = object(PROCESSES, sizeof *e);
    const struct rip_wait items[] = { EVENT(e), FD(fd[0]) };
    pid_t pid = fork();
    if (pid == 0)
        _exit(rip_wait_any(items, 2, RIP_FOREVER));
    until_announced(e);
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), ==, pid);
    rip_event_set(e);
    CHECK_INT(rip_wait_any(items, 2, RIP_FOREVER), ==, 0);
    close_pipe(fd);
}

/* ---- stops ------------------------------------------------------------ */

struct stopped {
    const struct rip_wait *items;
    size_t n;
    bool first;
};

static int waits(void *arg)
{
    const struct stopped *s = *(const struct stopped **)arg;
    while (s->first && !rip_task_stopping())
        sched_yield();
    int r = rip_wait_any(s->items, s->n, RIP_FOREVER);
    if (rip_wait_any(s->items, s->n, RIP_NOW) != -ETIMEDOUT)
        return 1;
    return r;
}

BOTH(a_stop_ends_it, 20)
{
    int fd[2];
    make_pipe(fd);
    only_woken();
    if (kind == THREADS)
        rip__stop_look_ns = INT64_C(3600) * 1000000000;
    rip_event *e = object(kind, sizeof *e);
    const struct rip_wait items[] = { EVENT(e), FD(fd[0]) };
    for (int i = 0; i < 4; i++) {
        struct stopped s = { items, 1 + (size_t)i % 2, i >= 2 }, *at = &s;
        const struct rip_task_options o = { .kind = kind == THREADS
                                                        ? RIP_THREAD
                                                        : RIP_PROCESS,
                                            .arg_size = sizeof(void *) };
        rip_task *t;
        struct rip_exit end;
        CHECK_OK(rip_task_start(&t, waits, &at, &o));
        if (!s.first)
            until_announced(e);
        rip_task_stop(t);
        CHECK_OK(rip_task_join(t, &end, RIP_FOREVER));
        CHECK_ERR(end.code, -ECANCELED);
        rip_task_free(t);
        __atomic_store_n(&e->word, 0, __ATOMIC_SEQ_CST);
    }
    close_pipe(fd);
}

/* ---- many ------------------------------------------------------------- */

enum { EVENTS = 200 };

static void with_many(enum kind kind, size_t from)
{
    int fd[2];
    struct player a;
    struct rip_wait items[EVENTS + 1];
    make_pipe(fd);
    rip_event *e = object(kind, EVENTS * sizeof *e);
    items[0] = FD(fd[0]);
    for (int i = 0; i < EVENTS; i++)
        items[i + 1] = EVENT(&e[i]);
    CHECK_ERR(rip_wait_any(items + from, EVENTS + 1 - from, rip_after_ms(5)),
              -ETIMEDOUT);
    for (int i = 0; i < EVENTS; i += 19) {
        forget(e, EVENTS);
        player_start(&a, kind, sets_and_clears, &e[i]);
        CHECK_INT(rip_wait_any(items + from, EVENTS + 1 - from, RIP_FOREVER),
                  ==, i + 1 - (int)from);
        CHECK_INT(player_end(&a), ==, 0);
    }
    close_pipe(fd);
}

BOTH(two_hundred_events, 20)
{
    only_woken();
    with_many(kind, 1);
}

BOTH(two_hundred_events_and_a_descriptor, 20)
{
    only_woken();
    with_many(kind, 0);
}

BOTH(events_where_only_one_word_can_be_slept_on, 20)
{
    fault_always(SYS_futex_waitv, ENOSYS);
    with_many(kind, 1);
    with_many(kind, 0);
}

/* ---- what is refused -------------------------------------------------- */

TEST(what_makes_no_sense_is_refused)
{
    int fd[2];
    rip_event e = { 0 };
    make_pipe(fd);
    int closed = dup(fd[0]);
    close(closed);
    const struct rip_wait items[] = { EVENT(NULL), EVENT(&e), TASK(NULL),
                                      FD(closed),  EVENT(&e), NONE };
    CHECK_ERR(rip_wait_any(items, 2, RIP_NOW), -EINVAL);
    CHECK_ERR(rip_wait_any(items, 1, RIP_FOREVER), -EINVAL);
    CHECK_ERR(rip_wait_any(items + 1, 2, RIP_NOW), -EINVAL);
    CHECK_ERR(rip_wait_any(items + 3, 2, RIP_FOREVER), -EINVAL);
    rip_event_set(&e);
    CHECK_ERR(rip_wait_any(items + 3, 2, RIP_FOREVER), -EINVAL);
    CHECK_INT(rip_wait_any(items + 4, 2, RIP_FOREVER), ==, 0);
    close_pipe(fd);
}

/* ---- limits and faults ------------------------------------------------ */

static void limit_files(rlim_t n)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = n;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
}

/* No descriptor is left, and poll(2) takes not one more. */
BOTH(without_a_descriptor_to_spare, 20)
{
    int fd[2];
    struct player a;
    struct rip_wait items[20];
    make_pipe(fd);
    rip_event *e = object(kind, sizeof *e);
    int next = dup(fd[0]);
    close(next);
    limit_files((rlim_t)next);
    for (int i = 0; i < 20; i++)
        items[i] = i < next ? FD(fd[0]) : NONE;
    CHECK_INT(next, <, 20);
    items[next] = EVENT(e);
    player_start(&a, kind, sets_and_clears, e);
    CHECK_INT(rip_wait_any(items, 20, RIP_FOREVER), ==, next);
    CHECK_INT(player_end(&a), ==, 0);

    /* One is left, for us to have and not to be watched. */
    limit_files((rlim_t)next + 1);
    items[next + 1] = FD(fd[0]);
    player_start(&a, kind, sets_and_clears, e);
    CHECK_INT(rip_wait_any(items, 20, RIP_FOREVER), ==, next);
    CHECK_INT(player_end(&a), ==, 0);
    items[next + 2] = FD(fd[0]);
    CHECK_ERR(rip_wait_any(items, 20, RIP_FOREVER), -EMFILE);
    limit_files(1024);
    close_pipe(fd);
}

BOTH(without_a_helper, 20)
{
    fault_always(RIP__CALL_THREAD, EAGAIN);
    one_of_two(kind, sets_and_clears, 0);
}

static bool is_clean(int r)
{
    return r == -ETIMEDOUT || r == -ENOMEM;
}

static void wait_mixed(void *unused)
{
    (void)unused;
    int fd[2];
    struct player a;
    rip_event e[40] = { { 0 } };
    struct rip_wait items[41];
    make_pipe(fd);
    items[0] = FD(fd[0]);
    for (int i = 0; i < 40; i++)
        items[i + 1] = EVENT(&e[i]);
    int r = rip_wait_any(items, 41, rip_after_ms(3));
    CHECK(is_clean(r));
    __atomic_store_n(&e[30].word, 0, __ATOMIC_SEQ_CST);
    rip_time deadline = rip_after(5);
    player_start(&a, THREADS, sets_and_clears, &e[30]);
    r = rip_wait_any(items, 41, deadline);
    CHECK(r == 31 || is_clean(r));
    CHECK(r != -ETIMEDOUT);
    __atomic_store_n(&e[30].word, RIP__WAITERS, __ATOMIC_SEQ_CST);
    CHECK_INT(player_end(&a), ==, 0);
    close_pipe(fd);
}

TEST_WITH(a_mixed_wait_survives_every_fault, .deadline = 120)
{
    /* Without its name the helper would be taken for somebody's. */
    static const long except[] = { SYS_prctl, FAULT_LAST };
    const struct fault_options o = { .except = except, .most = 6 };
    CHECK_INT(fault_sweep(wait_mixed, NULL, &o), >, 10);
}
