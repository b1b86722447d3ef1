/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "run.h"

TEST(many_are_signalled_at_once)
{
    rip_command *c[20];
    int pids[20];
    for (int i = 0; i < 20; i++)
        c[i] = start_ready("setsid sh -c 'echo $$; exec sleep 60' & wait", 0.05,
                           &pids[i], 1);
    CHECK_OK(rip_command_signal_all(c, 20, SIGTERM));
    for (int i = 0; i < 20; i++) {
        CHECK_INT(end_of(c[i]).signal, ==, SIGTERM);
        await_death(pids[i]);
    }
    CHECK_ERR(rip_command_signal_all(c, 20, SIGTERM), -ESRCH);
    rip_command *mixed[] = { c[0], start(ARGV("sleep", "60"), NULL), c[1] };
    CHECK_OK(rip_command_signal_all(mixed, 3, SIGTERM));
    CHECK_INT(end_of(mixed[1]).signal, ==, SIGTERM);
    rip_command_free(mixed[1]);
    CHECK_ERR(rip_command_signal_all(c, 0, SIGTERM), -ESRCH);
    for (int i = 0; i < 20; i++)
        rip_command_free(c[i]);
}

TEST(signal_reaches_the_tree_and_signal_one_does_not)
{
    int pid;
    rip_command *c = start_ready(
        "trap 'exit 3' USR1; setsid sleep 60 & echo $!; wait", 0, &pid, 1);
    CHECK_OK(rip_command_signal_one(c, SIGUSR1));
    CHECK_INT(end_of(c).code, ==, 3);
    CHECK(is_alive(pid));
    kill(pid, SIGKILL);
    rip_command_free(c);

    c = start_ready("setsid sleep 60 & echo $!; wait", 0, &pid, 1);
    CHECK_OK(rip_command_signal(c, SIGUSR1));
    CHECK_INT(end_of(c).signal, ==, SIGUSR1);
    await_death(pid);
    rip_command_free(c);
}

TEST(what_leaves_the_group_after_a_signal_is_stopped_too)
{
    int pid;
    rip_command *c =
        start_ready("sh -c 'until test -e go; do sleep 0.01; done; "
                    "exec setsid sh -c \"trap '' TERM; >gone; exec sleep 60\"' "
                    "& echo $!; wait",
                    0.05, &pid, 1);
    CHECK_OK(rip_command_signal(c, SIGCONT));
    write_file("go", "", 0600);
    while (access("gone", F_OK) < 0)
        sched_yield();
    CHECK_OK(rip_command_stop(c, NULL, RIP_FOREVER));
    CHECK(!is_alive(pid));
    rip_command_free(c);
    unlink("go");
    unlink("gone");
}

/* It has a new child each time. */
TEST(signals_again_and_again_hold_nothing)
{
    rip_command *c =
        start_ready("echo; while :; do sleep 0.001; done", 0.05, NULL, 0);
    int fd = dup(0);
    close(fd);
    for (int i = 0; i < 100; i++)
        CHECK_OK(rip_command_signal(c, SIGCONT));
    int later = dup(0);
    close(later);
    CHECK_INT(later - fd, <, 10);
    rip_command_free(c);
}

/* The kernel reaps it at once then, and its number may be anybody's. */
TEST(a_command_that_was_reaped_by_another_is_not_signalled)
{
    rip_command *c = start(ARGV("true"), NULL);
    CHECK_INT(waitpid(rip_command_pid(c), NULL, 0), >, 0);
    fault_always(SYS_kill, EACCES); /* which would be told */
    CHECK_ERR(rip_command_signal(c, SIGTERM), -ESRCH);
    CHECK_OK(rip_command_stop(c, NULL, RIP_FOREVER));
    rip_command_free(c);
}

TEST(signalling_what_has_been_waited_for)
{
    rip_command *c = start(ARGV("true"), NULL);
    CHECK_ERR(rip_command_signal_one(c, 9999), -EINVAL);
    end_of(c);
    CHECK_ERR(rip_command_signal(c, SIGTERM), -ESRCH);
    CHECK_ERR(rip_command_signal_one(c, SIGTERM), -ESRCH);
    rip_command_free(c);
}

TEST(a_command_in_our_group_does_not_take_us_along)
{
    struct rip_exit e;
    struct rip_command_options o = { .out = { .kind = RIP_STDIO_PIPE } };
    rip_command *c = start(SH("sleep 60 & echo $!; wait"), &o);
    int pid = (int)strtol(await_line(c), NULL, 10);
    CHECK_INT(getpgid(rip_command_pid(c)), ==, getpgrp());
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.signal, ==, SIGTERM);
    CHECK(!is_alive(pid));
    rip_command_free(c);
}
