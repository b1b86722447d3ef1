/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
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
