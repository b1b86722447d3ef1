/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "os/os.h"
#include "run.h"

static const struct rip_command_options piped = {
    .in = { .kind = RIP_STDIO_PIPE },
    .out = { .kind = RIP_STDIO_PIPE },
};

TEST(how_it_ended)
{
    rip_command *c = start(SH("exit 200"), NULL);
    struct rip_exit e = end_of(c);
    CHECK_INT(e.how, ==, RIP_EXITED);
    CHECK_INT(e.code, ==, 200);
    CHECK_INT(e.signal, ==, 0);
    CHECK(!e.timed_out && !e.stopped && !e.core_dumped);
    CHECK_INT(e.wall_ns, >, 0);
    rip_command_free(c);

    c = start(SH("ulimit -c 0; kill -ABRT $$"), NULL);
    e = end_of(c);
    CHECK_INT(e.how, ==, RIP_SIGNALED);
    CHECK_INT(e.signal, ==, SIGABRT);
    CHECK_INT(e.code, ==, 0);
    rip_command_free(c);
}

TEST(waiting_keeps_its_deadline_and_can_be_repeated)
{
    rip_command *c = start(ARGV("cat"), &piped);
    struct rip_exit e = { .how = RIP_UNKNOWN };
    rip_time deadline = rip_after_ms(20);
    CHECK_ERR(rip_command_wait(c, &e, deadline), -ETIMEDOUT);
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK_INT(e.how, ==, RIP_UNKNOWN); /* untouched */
    CHECK_ERR(rip_command_wait(c, &e, RIP_NOW), -ETIMEDOUT);
    rip_command_close_input(c);
    CHECK_INT(end_of(c).code, ==, 0);
    CHECK_INT(end_of(c).how, ==, RIP_EXITED);
    CHECK_OK(rip_command_wait(c, NULL, RIP_NOW));
    rip_command_free(c);
}

TEST(cpu_time_and_memory_are_the_commands_own)
{
    rip_command *c =
        start(SH("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"), NULL);
    struct rip_exit e = end_of(c);
    CHECK_INT(e.user_ns, >, 0);
    CHECK_INT(e.user_ns + e.system_ns, <=, 2 * e.wall_ns + 20000000);
    rip_command_free(c);

    /* Less than we hold ourselves cannot be told from what we hold. */
    size_t ours = 64 << 20;
    char *memory = make_data(ours);
    for (size_t i = 0; i < ours; i += 4096)
        ((volatile char *)memory)[i] = 1;
    c = start(ARGV("true"), NULL);
    CHECK_INT(end_of(c).max_rss_bytes, ==, 0);
    rip_command_free(c);
    c = start(ARGV(harness_program("child"), "memory", "256"), NULL);
    CHECK_INT(end_of(c).max_rss_bytes, >=, 256 << 20);
    rip_command_free(c);
    free(memory);
}

struct waiter {
    rip_command *c;
    struct rip_exit end;
};

static void *wait_for_it(void *arg)
{
    struct waiter *w = arg;
    CHECK_OK(rip_command_wait(w->c, &w->end, RIP_FOREVER));
    return NULL;
}

TEST(any_number_of_threads_wait_for_one_command)
{
    for (int round = 0; round < 20; round++) {
        pthread_t threads[8];
        struct waiter w[8];
        rip_command *c = start(SH("read x; exit 9"), &piped);
        for (int i = 0; i < 8; i++) {
            w[i] = (struct waiter){ .c = c };
            pthread_create(&threads[i], NULL, wait_for_it, &w[i]);
        }
        rip_command_close_input(c);
        for (int i = 0; i < 8; i++) {
            pthread_join(threads[i], NULL);
            CHECK_INT(w[i].end.how, ==, RIP_EXITED);
            CHECK_INT(w[i].end.code, ==, 9);
        }
        rip_command_free(c);
    }
}

/* ---- a crowd: some wait, some signal, one stops ----------------------- */

enum { CROWD = 64, SIGNALLERS = 4 };

struct crowd {
    rip_command *c;
    atomic_int waiting; /* how many have waited in vain once, or more */
    atomic_bool over;
};

struct member {
    pthread_t thread;
    struct crowd *crowd;
    int patience; /* milliseconds: each has its own */
    struct rip_exit end;
};

static void *wait_in_the_crowd(void *arg)
{
    struct member *m = arg;
    bool again = false;
    int r;
    m->end.code = -77;
    while ((r = rip_command_wait(m->crowd->c, &m->end,
                                 rip_after_ms(m->patience))) == -ETIMEDOUT) {
        CHECK_INT(m->end.code, ==, -77); /* untouched */
        m->crowd->waiting += !again;
        again = true;
    }
    CHECK_OK(r);
    return NULL;
}

static void *signal_in_the_crowd(void *arg)
{
    struct member *m = arg;
    while (!m->crowd->over) {
        int r = m->patience % 2 ? rip_command_signal(m->crowd->c, SIGUSR1)
                                : rip_command_signal_one(m->crowd->c, SIGCONT);
        CHECK(r == 0 || r == -ESRCH);
    }
    return NULL;
}

static void check_same(const struct rip_exit *a, const struct rip_exit *b)
{
    CHECK_INT(a->how, ==, b->how);
    CHECK_INT(a->code, ==, b->code);
    CHECK_INT(a->signal, ==, b->signal);
    CHECK_INT(a->stopped, ==, b->stopped);
    CHECK_INT(a->timed_out, ==, b->timed_out);
    CHECK_INT(a->wall_ns, ==, b->wall_ns);
    CHECK_INT(a->user_ns, ==, b->user_ns);
    CHECK_INT(a->max_rss_bytes, ==, b->max_rss_bytes);
}

static void stop_in_a_crowd(int code)
{
    static struct member all[CROWD + SIGNALLERS];
    struct crowd crowd = { 0 };
    struct rip_exit stopped;
    char text[16];
    snprintf(text, sizeof text, "%d", code);
    crowd.c = start(ARGV(harness_program("child"), "ignore", "10", ",", "catch",
                         "15", text, ",", "print", "on", ",", "wait"),
                    &piped);
    await_line(crowd.c);
    for (int i = 0; i < CROWD + SIGNALLERS; i++) {
        all[i] = (struct member){ .crowd = &crowd, .patience = i % 13 };
        pthread_create(&all[i].thread, NULL,
                       i < CROWD ? wait_in_the_crowd : signal_in_the_crowd,
                       &all[i]);
    }
    while (crowd.waiting < CROWD)
        sched_yield();
    CHECK_OK(rip_command_stop(crowd.c, &stopped, RIP_FOREVER));
    crowd.over = true;
    for (int i = 0; i < CROWD + SIGNALLERS; i++)
        pthread_join(all[i].thread, NULL);
    CHECK_INT(stopped.how, ==, RIP_EXITED);
    CHECK_INT(stopped.code, ==, code);
    CHECK(stopped.stopped);
    for (int i = 0; i < CROWD; i++)
        check_same(&all[i].end, &stopped);
    rip_command_free(crowd.c);
}

/* Popen.wait() of two threads gives one of them the status 0 (CPython #127050,
 * open); kill() meanwhile can hit another process (#127049, open). */
TEST(a_crowd_gets_one_answer)
{
    int rounds = harness_rounds(5);
    for (int i = 1; i <= rounds; i++)
        stop_in_a_crowd(i % 200 + 1);
}

/* What is missing on kernels before 6.15. */
static bool keeps_status(void)
{
    rip_command *c = start(SH("exit 3"), NULL);
    CHECK_INT(waitpid(rip_command_pid(c), NULL, 0), >, 0);
    struct rip_exit e = end_of(c);
    rip_command_free(c);
    return e.how != RIP_UNKNOWN;
}

TEST(the_status_is_right_though_sigchld_is_ignored)
{
    if (!keeps_status())
        SKIP("this kernel keeps no second copy of a status");
    struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
    sigaction(SIGCHLD, &ignore, &old);
    rip_command *c = start(SH("exit 3"), NULL);
    struct rip_exit e = end_of(c);
    sigaction(SIGCHLD, &old, NULL);
    CHECK_INT(e.how, ==, RIP_EXITED);
    CHECK_INT(e.code, ==, 3);
    rip_command_free(c);
}

TEST(a_stolen_status_is_unknown_on_old_kernels)
{
    fault_always(SYS_ioctl, ENOTTY);
    rip_command *c = start(SH("exit 3"), NULL);
    CHECK_INT(waitpid(-1, NULL, 0), ==, rip_command_pid(c));
    CHECK_INT(end_of(c).how, ==, RIP_UNKNOWN);
    CHECK_ERR(rip_command_signal(c, SIGTERM), -ESRCH);
    rip_command_free(c);
}

static volatile sig_atomic_t sigchlds;

static void count_sigchld(int sig)
{
    (void)sig;
    sigchlds++;
}

TEST(a_failed_start_raises_no_sigchld)
{
    struct sigaction count = { .sa_handler = count_sigchld }, old;
    rip_command *c;
    sigaction(SIGCHLD, &count, &old);
    CHECK_ERR(rip_command_start(&c, ARGV("/nope"), NULL), -ENOENT);
    CHECK_INT(sigchlds, ==, 0);
    sigaction(SIGCHLD, &old, NULL);
}

TEST(the_descriptor_is_readable_from_the_end_on)
{
    rip_command *c = start(ARGV("cat"), &piped);
    struct pollfd p = { .fd = rip_command_fd(c), .events = POLLIN };
    CHECK_INT(poll(&p, 1, 0), ==, 0);
    rip_command_close_input(c);
    CHECK_INT(poll(&p, 1, -1), ==, 1);
    end_of(c);
    CHECK_INT(poll(&p, 1, 0), ==, 1);
    rip_command_free(c);
}

TEST(a_fork_may_free_what_it_inherited)
{
    rip_command *c = start(ARGV("cat"), &piped);
    pid_t fork_pid = fork();
    if (fork_pid == 0) {
        rip_command_free(c);
        _exit(0);
    }
    int status;
    CHECK_INT(waitpid(fork_pid, &status, 0), ==, fork_pid);
    CHECK_INT(status, ==, 0);
    CHECK_ERR(rip_command_wait(c, NULL, RIP_NOW), -ETIMEDOUT);
    rip_command_free(c);
}

/* What it inherited is not its child: it cannot tell how it ended, but must
 * not take it for ended. */
TEST(a_fork_may_ask_whether_it_has_ended)
{
    for (int old_kernel = 0; old_kernel < 2; old_kernel++) {
        if (old_kernel)
            fault_always(SYS_ioctl, ENOTTY);
        rip_command *c = start(ARGV("cat"), &piped);
        pid_t pid = fork();
        if (pid == 0)
            _exit(rip_command_wait(c, NULL, RIP_NOW) == -ETIMEDOUT ? 0 : 1);
        int status;
        CHECK_INT(waitpid(pid, &status, 0), ==, pid);
        CHECK_INT(status, ==, 0);
        rip_command_close_input(c);
        CHECK_INT(end_of(c).how, ==, RIP_EXITED);
        rip_command_free(c);
    }
}

static long (*real_call)(long nr, const long args[6]);

/* Whether there is a core file is a matter of the machine. */
static long dump_core(long nr, const long args[6])
{
    long r = real_call(nr, args);
    siginfo_t *si = (siginfo_t *)args[2];
    if (nr == SYS_waitid && si && si->si_code == CLD_KILLED)
        si->si_code = CLD_DUMPED;
    return r;
}

TEST(a_core_that_was_dumped_is_told)
{
    real_call = rip__seam.syscall;
    rip__seam.syscall = dump_core;
    rip_command *c = start(SH("kill -ABRT $$"), NULL);
    struct rip_exit e = end_of(c);
    CHECK_INT(e.how, ==, RIP_SIGNALED);
    CHECK_INT(e.signal, ==, SIGABRT);
    CHECK(e.core_dumped);
    rip_command_free(c);
}
