/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "harness.h"
#include "os/os.h"
#include "run.h"

TEST(stop_asks_first)
{
    struct rip_exit e;
    rip_command *c = start_ready(
        "trap 'exit 4' TERM; echo; while :; do sleep 0.01; done", 30, NULL, 0);
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.how, ==, RIP_EXITED);
    CHECK_INT(e.code, ==, 4);
    CHECK(e.stopped);
    CHECK(!e.timed_out);
    rip_command_free(c);
}

TEST(stop_kills_after_its_grace)
{
    struct rip_exit e;
    rip_command *c = start_ready(
        "trap '' TERM; echo; while :; do sleep 60; done", 0.02, NULL, 0);
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.signal, ==, SIGKILL);
    CHECK(e.stopped);
    rip_command_free(c);
}

TEST(stop_kills_at_its_deadline_though_grace_is_longer)
{
    struct rip_exit e;
    rip_command *c = start_ready(
        "trap '' TERM; echo; while :; do sleep 60; done", 1000, NULL, 0);
    CHECK_OK(rip_command_stop(c, &e, rip_after_ms(20)));
    CHECK_INT(e.signal, ==, SIGKILL);
    rip_command_free(c);
}

TEST(no_grace_is_no_warning)
{
    struct rip_exit e;
    rip_command *c = start_ready(
        "trap 'exit 4' TERM; echo; while :; do sleep 0.01; done", -1, NULL, 0);
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.signal, ==, SIGKILL);
    rip_command_free(c);
}

TEST(stopping_what_has_ended_tells_how_it_ended)
{
    struct rip_exit e;
    rip_command *c = start(SH("exit 6"), NULL);
    end_of(c);
    CHECK_OK(rip_command_stop(c, &e, RIP_NOW));
    CHECK_INT(e.code, ==, 6);
    CHECK(!e.stopped);
    CHECK_OK(rip_command_stop(c, NULL, RIP_NOW));
    rip_command_free(c);
}

/* Helpers in the group; in a session of their own; deaf ones; and a shell
 * that dies at once and leaves them behind. */
/* It ended by itself, though nobody knew when it was stopped. */
TEST(what_has_ended_was_not_stopped)
{
    struct rip_exit e;
    rip_command *c = start_ready("echo; exit 3", 0.05, NULL, 0);
    await_death(rip_command_pid(c));
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.how, ==, RIP_EXITED);
    CHECK_INT(e.code, ==, 3);
    CHECK(!e.stopped);
    rip_command_free(c);
}

TEST(a_grace_may_be_longer_than_time)
{
    struct rip_exit e;
    rip_command *c =
        start_ready("trap 'exit 4' TERM; echo; while :; do sleep 0.01; done",
                    1e300, NULL, 0);
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.code, ==, 4);
    rip_command_free(c);
}

TEST(what_is_left_in_the_group_of_an_ended_command_is_killed)
{
    int pid;
    rip_command *c = start_ready("sleep 60 & echo $!", 0.02, &pid, 1);
    while (is_alive(rip_command_pid(c)))
        sched_yield();
    CHECK_OK(rip_command_stop(c, NULL, RIP_FOREVER));
    CHECK(!is_alive(pid));
    rip_command_free(c);
}

TEST(free_ends_what_runs)
{
    int pid;
    rip_command *c = start_ready("sleep 60 & echo $!; wait", 0.02, &pid, 1);
    pid_t shell = rip_command_pid(c);
    CHECK(!rip_command_free(c));
    CHECK(!is_alive(shell));
    CHECK(!is_alive(pid));
    CHECK(!rip_command_free(NULL));
}

static void *stop_it(void *arg)
{
    CHECK_OK(rip_command_stop(arg, NULL, RIP_FOREVER));
    return NULL;
}

/* Whoever reaps it first, the group is killed before its number is free. */
TEST(threads_stop_and_wait_at_once)
{
    for (int round = 0; round < 20; round++) {
        pthread_t threads[4];
        int pid;
        rip_command *c =
            start_ready("(trap '' TERM; echo $(sh -c 'echo $PPID'); "
                        "while :; do sleep 60; done) & wait",
                        0.01, &pid, 1);
        for (int i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, stop_it, c);
        CHECK_INT(end_of(c).signal, ==, SIGTERM);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        CHECK(!is_alive(pid));
        rip_command_free(c);
    }
}

/* The kernel does not let go of it: free must not hang, and a later call
 * must take it away. */
static long (*real_call)(long nr, const long args[6]);
static bool hangs;
static int kills;

static long hang_in_device(long nr, const long args[6])
{
    if (nr == SYS_waitid && hangs)
        return 0; /* and says nothing: not ended */
    kills += nr == SYS_pidfd_send_signal && args[1] == SIGKILL;
    return real_call(nr, args);
}

TEST(what_cannot_be_reaped_now_is_reaped_later)
{
    real_call = rip__seam.syscall;
    rip__seam.syscall = hang_in_device;
    hangs = true;
    rip_command *c = start(ARGV("true"), NULL);
    pid_t pid = rip_command_pid(c);
    CHECK_ERR(rip_command_stop(c, NULL, RIP_FOREVER), -ETIMEDOUT);
    CHECK_INT(kills, >, 0);
    kills = 0;
    rip_command_free(c);
    CHECK_INT(kills, ==, 0); /* what came to nothing is not done again */
    hangs = false;
    run_ok(ARGV("true"), NULL);
    CHECK_INT(waitpid(pid, NULL, WNOHANG), ==, -1);
}

/* It gets no signal, and seems always about to become another program: so it
 * is looked for again and again, and waited for in vain. */
static rip_time latest;

static long never_end(long nr, const long args[6])
{
    if (nr == SYS_pidfd_send_signal && args[1] == SIGKILL)
        return 0;
    if (nr == SYS_openat && strstr((const char *)args[1], "/environ")) {
        const long nothing[6] = { args[0], (long)"/dev/null", args[2] };
        return real_call(nr, nothing);
    }
    if (nr == SYS_ppoll && args[2]) {
        const struct timespec *t = (const struct timespec *)args[2];
        rip_time until = rip_time_now() + t->tv_sec * 1000000000 + t->tv_nsec;
        latest = until > latest ? until : latest;
    }
    return real_call(nr, args);
}

TEST(a_second_is_all_that_is_added_to_the_deadline)
{
    const rip_time second = 1000000000;
    rip_command *c = start_ready("echo; exec sleep 60", -1, NULL, 0);
    real_call = rip__seam.syscall;
    rip__seam.syscall = never_end;
    rip_time began = rip_time_now();
    CHECK_ERR(rip_command_stop(c, NULL, RIP_NOW), -ETIMEDOUT);
    rip__seam.syscall = real_call;
    CHECK_INT(latest, >=, began + second);
    CHECK_INT(latest, <, began + second + second / 5);
    CHECK_OK(rip_command_signal(c, SIGKILL));
    end_of(c);
    rip_command_free(c);
}
