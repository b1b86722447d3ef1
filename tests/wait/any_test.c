/* SPDX-License-Identifier: MIT */
#include <ripstop/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command/run.h"
#include "fault.h"
#include "harness.h"

#define COMMAND(c) \
    ((struct rip_wait){ .kind = RIP_WAIT_COMMAND, .u.command = (c) })
#define FD(n, e) \
    ((struct rip_wait){ .kind = RIP_WAIT_FD, .events = (e), .u.fd = (n) })
#define NONE ((struct rip_wait){ .kind = RIP_WAIT_NONE })

static const struct rip_command_options piped = {
    .in = { .kind = RIP_STDIO_PIPE },
    .out = { .kind = RIP_STDIO_PIPE },
};

/* Ends when its input does. */
static rip_command *cat(void)
{
    return start(ARGV("cat"), &piped);
}

static void make_pipe(int fd[2])
{
    CHECK_INT(pipe2(fd, O_CLOEXEC), ==, 0);
}

static void close_pipe(const int fd[2])
{
    close(fd[0]);
    close(fd[1]);
}

/* ---- what is ready ---------------------------------------------------- */

TEST(the_command_that_ends_is_told)
{
    rip_command *c[3];
    struct rip_wait items[3];
    for (int i = 0; i < 3; i++)
        items[i] = COMMAND(c[i] = cat());
    CHECK_ERR(rip_wait_any(items, 3, RIP_NOW), -ETIMEDOUT);
    for (int i = 2; i >= 0; i--) {
        rip_command_close_input(c[i]);
        CHECK_INT(rip_wait_any(items, 3, RIP_FOREVER), ==, i);
        CHECK_INT(rip_wait_any(items, 3, RIP_NOW), ==, i); /* takes nothing */
        CHECK_INT(end_of(c[i]).code, ==, 0);
        items[i].kind = RIP_WAIT_NONE;
    }
    for (int i = 0; i < 3; i++)
        rip_command_free(c[i]);
}

TEST(a_command_is_ready_whoever_took_its_status)
{
    rip_command *ended = start(ARGV("true"), NULL);
    rip_command *stolen = start(ARGV("true"), NULL);
    struct rip_wait item = COMMAND(ended);
    CHECK_INT(rip_wait_any(&item, 1, RIP_FOREVER), ==, 0);
    end_of(ended);
    CHECK_INT(rip_wait_any(&item, 1, RIP_FOREVER), ==, 0);

    CHECK_INT(waitpid(-1, NULL, 0), ==, rip_command_pid(stolen));
    item = COMMAND(stolen);
    CHECK_INT(rip_wait_any(&item, 1, RIP_FOREVER), ==, 0);
    rip_command_free(ended);
    rip_command_free(stolen);
}

TEST(the_first_of_those_that_are_ready)
{
    int fd[2];
    rip_command *c = start(ARGV("true"), NULL);
    rip_command *other = cat();
    make_pipe(fd);
    end_of(c);
    const struct rip_wait items[] = {
        NONE,       FD(fd[0], POLLIN), COMMAND(other),
        COMMAND(c), COMMAND(c),        FD(fd[1], POLLOUT),
    };
    CHECK_INT(rip_wait_any(items, 6, RIP_FOREVER), ==, 3);
    CHECK_INT(rip_wait_any(items + 4, 2, RIP_FOREVER), ==, 0);
    CHECK_INT(rip_wait_any(items + 5, 1, RIP_FOREVER), ==, 0);
    CHECK_INT(write(fd[1], "x", 1), ==, 1);
    CHECK_INT(rip_wait_any(items, 6, RIP_FOREVER), ==, 1);
    close_pipe(fd);
    rip_command_free(c);
    rip_command_free(other);
}

TEST(a_descriptor_whose_other_end_has_gone_is_ready)
{
    int fd[2];
    make_pipe(fd);
    close(fd[1]);
    struct rip_wait item = FD(fd[0], POLLIN);
    CHECK_INT(rip_wait_any(&item, 1, RIP_FOREVER), ==, 0);
    close(fd[0]);
    make_pipe(fd);
    close(fd[0]);
    item = FD(fd[1], POLLOUT);
    CHECK_INT(rip_wait_any(&item, 1, RIP_FOREVER), ==, 0);
    close(fd[1]);
}

TEST(output_and_end_of_a_command_together)
{
    rip_command *c = start(SH("echo one; read x; echo two"), &piped);
    char buf[16];
    const struct rip_wait items[] = {
        FD(rip_command_pipe(c, 1), POLLIN),
        COMMAND(c),
    };
    CHECK_INT(rip_wait_any(items, 2, RIP_FOREVER), ==, 0);
    CHECK_INT(rip_command_read(c, 1, buf, sizeof buf, RIP_NOW), ==, 4);
    CHECK_ERR(rip_wait_any(items, 2, RIP_NOW), -ETIMEDOUT);
    rip_command_close_input(c);
    CHECK_INT(rip_wait_any(items, 2, RIP_FOREVER), ==, 0);
    while (CHECK_OK(rip_command_read(c, 1, buf, sizeof buf, RIP_FOREVER)) > 0)
        ;
    CHECK_INT(rip_wait_any(items + 1, 1, RIP_FOREVER), ==, 0);
    rip_command_free(c);
}

/* ---- when ------------------------------------------------------------- */

TEST(the_deadline_is_kept)
{
    rip_command *c = cat();
    const struct rip_wait items[] = { COMMAND(c), NONE };
    rip_time deadline = rip_after_ms(20);
    CHECK_ERR(rip_wait_any(items, 2, deadline), -ETIMEDOUT);
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK_ERR(rip_wait_any(items, 2, deadline), -ETIMEDOUT);
    CHECK_ERR(rip_wait_any(items, 2, -1), -ETIMEDOUT);
    deadline = rip_after_ms(20);
    CHECK_ERR(rip_wait_any(items + 1, 1, deadline), -ETIMEDOUT);
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK_ERR(rip_wait_any(NULL, 0, RIP_NOW), -ETIMEDOUT);

    /* One try even then. */
    rip_command_close_input(c);
    end_of(c);
    CHECK_INT(rip_wait_any(items, 2, 1), ==, 0);
    CHECK_INT(rip_wait_any(items, 2, RIP_NOW), ==, 0);
    rip_command_free(c);
}

static volatile sig_atomic_t alarms;
static rip_command *to_end;

/* The third one lets the command end. */
static void on_alarm(int sig)
{
    (void)sig;
    if (++alarms == 3)
        rip_command_signal_one(to_end, SIGKILL);
}

TEST(signals_do_not_disturb_it)
{
    const struct itimerval often = { { 0, 5000 }, { 0, 5000 } };
    struct sigaction act = { .sa_handler = on_alarm }, old;
    to_end = cat();
    struct rip_wait item = COMMAND(to_end);
    sigaction(SIGALRM, &act, &old);
    setitimer(ITIMER_REAL, &often, NULL);
    CHECK_INT(rip_wait_any(&item, 1, RIP_FOREVER), ==, 0);
    CHECK_INT(alarms, >=, 3);
    rip_command_free(to_end);
    item = NONE;
    rip_time deadline = rip_after_ms(20);
    CHECK_ERR(rip_wait_any(&item, 1, deadline), -ETIMEDOUT);
    CHECK_INT(rip_time_now(), >=, deadline);
    setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
    sigaction(SIGALRM, &old, NULL);
}

/* ---- what is refused -------------------------------------------------- */

TEST(what_makes_no_sense_is_refused)
{
    int fd[2];
    make_pipe(fd);
    const struct rip_wait bad[] = {
        { .kind = (enum rip_wait_kind)1 },
        { .kind = (enum rip_wait_kind)7 },
        { .kind = (enum rip_wait_kind) - 1 },
        COMMAND(NULL),
        FD(-1, POLLIN),
        FD(fd[1], 0),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        harness_note("item %zu", i);
        struct rip_wait items[] = { FD(fd[1], POLLOUT), bad[i] };
        CHECK_ERR(rip_wait_any(items, 2, RIP_NOW), -EINVAL);
        CHECK_ERR(rip_wait_any(items + 1, 1, RIP_FOREVER), -EINVAL);
    }
    CHECK_ERR(rip_wait_any(NULL, 1, RIP_NOW), -EINVAL);
    CHECK_ERR(rip_wait_any(bad, (size_t)1 << 31, RIP_NOW), -EINVAL);
    close_pipe(fd);
}

TEST(a_wait_that_could_not_end_is_refused)
{
    const struct rip_wait none[2] = { NONE, NONE };
    CHECK_ERR(rip_wait_any(NULL, 0, RIP_FOREVER), -EINVAL);
    CHECK_ERR(rip_wait_any(none, 2, RIP_FOREVER), -EINVAL);
}

TEST(a_closed_descriptor_is_refused_wherever_it_stands)
{
    int fd[2];
    make_pipe(fd);
    int closed = dup(fd[0]);
    close(closed);
    const struct rip_wait items[] = {
        FD(closed, POLLIN),
        FD(fd[1], POLLOUT),
        FD(closed, POLLIN),
    };
    CHECK_INT(rip_wait_any(items + 1, 1, RIP_FOREVER), ==, 0);
    CHECK_ERR(rip_wait_any(items, 2, RIP_FOREVER), -EINVAL);
    CHECK_ERR(rip_wait_any(items + 1, 2, RIP_FOREVER), -EINVAL);
    close_pipe(fd);
}

/* ---- many ------------------------------------------------------------- */

static void limit_files(rlim_t n)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = n;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
}

TEST(thousands_of_items)
{
    enum { MANY = 5000 };
    struct rip_wait *items = calloc(MANY, sizeof *items);
    int fd[2];
    CHECK(items != NULL);
    make_pipe(fd);
    limit_files(MANY + 1);
    for (int i = 0; i < MANY; i++)
        items[i] = FD(fd[0], POLLIN);
    CHECK_ERR(rip_wait_any(items, MANY, RIP_NOW), -ETIMEDOUT);
    items[MANY - 1] = FD(fd[1], POLLOUT);
    CHECK_INT(rip_wait_any(items, MANY, RIP_FOREVER), ==, MANY - 1);

    /* Those that are none do not count against the limit. */
    limit_files(256);
    CHECK_ERR(rip_wait_any(items, MANY, RIP_FOREVER), -EMFILE);
    for (int i = 0; i < MANY - 1; i++)
        if (i % 32 != 0)
            items[i] = NONE;
    CHECK_INT(rip_wait_any(items, MANY, RIP_FOREVER), ==, MANY - 1);
    close_pipe(fd);
    free(items);
}

TEST(around_the_number_that_needs_an_allocation)
{
    struct rip_wait items[40];
    int fd[2];
    make_pipe(fd);
    for (int i = 0; i < 40; i++)
        items[i] = FD(fd[0], POLLIN);
    for (size_t n = 1; n <= 40; n++) {
        struct rip_wait *last = &items[n - 1];
        CHECK_ERR(rip_wait_any(items, n, RIP_NOW), -ETIMEDOUT);
        *last = FD(fd[1], POLLOUT);
        CHECK_INT(rip_wait_any(items, n, RIP_FOREVER), ==, n - 1);
        *last = FD(fd[0], POLLIN);
    }
    close_pipe(fd);
}

struct waiter {
    pthread_t thread;
    rip_command *c[8];
};

/* Takes each as it ends. */
static void *take_all(void *arg)
{
    struct waiter *w = arg;
    struct rip_wait items[8];
    for (int i = 0; i < 8; i++)
        items[i] = COMMAND(w->c[i]);
    for (int left = 8; left > 0; left--) {
        int i = (int)CHECK_OK(rip_wait_any(items, 8, RIP_FOREVER));
        CHECK_OK(rip_command_wait(w->c[i], NULL, RIP_FOREVER));
        items[i].kind = RIP_WAIT_NONE;
    }
    return NULL;
}

TEST(threads_that_wait_for_the_same_commands)
{
    for (int round = 0; round < 20; round++) {
        struct waiter w[4];
        rip_command *c[8];
        for (int i = 0; i < 8; i++)
            c[i] = cat();
        for (int i = 0; i < 4; i++) {
            for (int k = 0; k < 8; k++)
                w[i].c[k] = c[k];
            pthread_create(&w[i].thread, NULL, take_all, &w[i]);
        }
        for (int i = 0; i < 8; i++)
            rip_command_close_input(c[i]);
        for (int i = 0; i < 4; i++)
            pthread_join(w[i].thread, NULL);
        for (int i = 0; i < 8; i++)
            rip_command_free(c[i]);
    }
}

/* ---- faults ----------------------------------------------------------- */

static void wait_for_many(void *arg)
{
    struct rip_wait items[50] = { { .kind = RIP_WAIT_NONE } };
    int *fd = arg;
    items[49] = FD(fd[0], POLLIN);
    int r = rip_wait_any(items, 50, RIP_NOW);
    CHECK(r == -ETIMEDOUT || r == -ENOMEM);
    items[20] = FD(fd[1], POLLOUT);
    r = rip_wait_any(items, 50, RIP_FOREVER);
    CHECK(r == 20 || r == -ENOMEM);
    r = rip_wait_any(items + 20, 10, RIP_FOREVER);
    CHECK(r == 0 || r == -ENOMEM);
}

TEST(waiting_survives_every_fault)
{
    int fd[2];
    make_pipe(fd);
    CHECK_INT(fault_sweep(wait_for_many, fd, NULL), >=, 10);
    close_pipe(fd);
}
