/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "os/os.h"
#include "run.h"

TEST(the_whole_tree_is_stopped)
{
    int pids[4];
    struct rip_exit e;
    rip_command *c =
        start_ready("trap '' TERM\n"
                    "sleep 60 & a=$!\n"
                    "setsid sleep 60 & b=$!\n"
                    "setsid sh -c 'sleep 60 & echo $! >p; wait' & c=$!\n"
                    "until test -s p; do sleep 0.01; done\n"
                    "trap - TERM; echo $a $b $c $(cat p); wait",
                    0.1, pids, 4);
    for (int i = 0; i < 4; i++)
        CHECK(is_alive(pids[i]));
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.signal, ==, SIGTERM);
    CHECK_INT(e.tree, ==, RIP_TREE_SWEEP);
    for (int i = 0; i < 4; i++) {
        harness_note("pid %d of 4", i);
        CHECK(!is_alive(pids[i]));
    }
    rip_command_free(c);
    unlink("p");
}

/* Daemons have no parent that would lead to them, and no group. */
TEST(daemons_are_stopped_too)
{
    int pids[2];
    struct rip_exit e;
    rip_command *c =
        start_ready("setsid -f sh -c 'echo $$ >p; exec sleep 60'\n"
                    "(setsid -f sh -c \"trap '' TERM; echo \\$\\$ >q; "
                    "while :; do sleep 0.01; done\")\n"
                    "until test -s p && test -s q; do sleep 0.01; done\n"
                    "echo $(cat p) $(cat q); sleep 60",
                    0.05, pids, 2);
    CHECK(is_alive(pids[0]));
    CHECK(is_alive(pids[1]));
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.tree, ==, RIP_TREE_SWEEP);
    CHECK(!is_alive(pids[0]));
    CHECK(!is_alive(pids[1]));
    rip_command_free(c);
    unlink("p");
    unlink("q");
}

/* Deaf, and soon another process, without a parent. Whoever is left over is
 * found as a leak of this test. */
TEST(what_moves_on_from_process_to_process_is_stopped_too)
{
    write_file("mover",
               "#!/bin/sh\ntrap '' TERM\nsleep 0.02\n"
               "test -e stop || setsid -f ./mover\n",
               0755);
    rip_command *c = start_ready("./mover; echo; sleep 60", 0.05, NULL, 0);
    CHECK_OK(rip_command_stop(c, NULL, RIP_FOREVER));
    rip_command_free(c);
    unlink("mover");
}

TEST(a_command_of_a_command_is_of_both_trees)
{
    int pid;
    const char *const env[] = { RIP__OS_MARK "=outer", NULL };
    CHECK_INT(putenv((char *)(uintptr_t)env[0]), ==, 0);
    rip_command *c =
        start_ready("echo $" RIP__OS_MARK " >mark; "
                    "setsid -f sh -c 'echo $$ >p; exec sleep 60'; "
                    "until test -s p; do sleep 0.01; done; cat p; sleep 60",
                    0.05, &pid, 1);
    const char *mark = read_file("mark");
    CHECK_INT(strncmp(mark, "outer:", 6), ==, 0);
    CHECK(mark[6] > '0' && mark[6] <= '9');
    CHECK_OK(rip_command_stop(c, NULL, RIP_FOREVER));
    CHECK(!is_alive(pid));
    rip_command_free(c);
    unlink("mark");
    unlink("p");
}

/* When the group gets its signal, somebody has just left it who is not a
 * member of it any more, and no stranger to it when we looked. */
static long (*real_kill)(long nr, const long args[6]);
static int leaver;

/* In which the signal is the second argument, either way. */
static bool is_group_signal(long nr, const long args[6])
{
    return nr == SYS_pidfd_send_signal ? args[3] != 0
                                       : nr == SYS_kill && args[0] < 0;
}

static long leave_then_kill(long nr, const long args[6])
{
    if (is_group_signal(nr, args) && leaver > 0) {
        pid_t group = getpgid(leaver);
        write_file("go", "", 0600);
        while (getpgid(leaver) == group)
            sched_yield();
        leaver = 0;
    }
    return real_kill(nr, args);
}

TEST(a_signal_does_not_miss_who_is_just_leaving)
{
    int pid;
    rip_command *c = start_ready(
        "sh -c 'until test -e go; do sleep 0.01; done; exec setsid sleep 60' & "
        "echo $!; wait",
        0.05, &pid, 1);
    real_kill = rip__seam.syscall;
    rip__seam.syscall = leave_then_kill;
    leaver = pid;
    CHECK_OK(rip_command_signal(c, SIGTERM));
    await_death(pid);
    rip_command_free(c);
    unlink("go");
}

/* When the group gets its signal, somebody is there who was not when we
 * looked; its parent is gone. */
static long fork_then_kill(long nr, const long args[6])
{
    if (is_group_signal(nr, args) && args[1] == SIGKILL && leaver == 0) {
        write_file("go", "", 0600);
        while (access("pid", F_OK) < 0)
            sched_yield();
        leaver = (int)strtol(read_file("pid"), NULL, 10);
    }
    return real_kill(nr, args);
}

TEST(who_appears_while_the_others_are_killed_is_killed_too)
{
    rip_command *c = start_ready(
        "echo; until test -e go; do :; done; "
        "setsid -f sh -c 'echo $$ >p; mv p pid; exec sleep 60'; sleep 60",
        -1, NULL, 0);
    real_kill = rip__seam.syscall;
    rip__seam.syscall = fork_then_kill;
    CHECK_OK(rip_command_stop(c, NULL, RIP_FOREVER));
    CHECK(leaver > 0);
    CHECK(!is_alive(leaver));
    rip_command_free(c);
    unlink("go");
    unlink("pid");
}

/* And so does one that appears while that is killed. */
static long fork_then_kill_twice(long nr, const long args[6])
{
    if (nr == SYS_pidfd_send_signal && args[1] == SIGKILL && leaver > 0 &&
        access("pid2", F_OK) < 0) {
        write_file("go2", "", 0600);
        while (access("pid2", F_OK) < 0)
            sched_yield();
    }
    return fork_then_kill(nr, args);
}

TEST(looking_goes_on_until_there_is_nobody_new)
{
    CHECK_INT(mkfifo("go", 0600), ==, 0);
    CHECK_INT(mkfifo("go2", 0600), ==, 0);
    write_file("second",
               "echo $$ >p; mv p pid; read line <go2; setsid -f sh -c "
               "'echo $$ >p; mv p pid2; exec sleep 60'; sleep 60",
               0600);
    rip_command *c = start_ready(
        "echo; read line <go; setsid -f sh second; sleep 60", -1, NULL, 0);
    real_kill = rip__seam.syscall;
    rip__seam.syscall = fork_then_kill_twice;
    CHECK_OK(rip_command_stop(c, NULL, RIP_FOREVER));
    CHECK(!is_alive(leaver));
    CHECK(!is_alive((int)strtol(read_file("pid2"), NULL, 10)));
    rip_command_free(c);
    const char *const files[] = { "go", "go2", "second", "pid", "pid2" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(files[i]);
}

/* Those in the group have it from the group. */
static int sent_singly;

static long count_single_signals(long nr, const long args[6])
{
    sent_singly += nr == SYS_pidfd_send_signal && args[1] == SIGCONT &&
                   !is_group_signal(nr, args);
    return real_kill(nr, args);
}

TEST(members_of_the_group_get_a_signal_once)
{
    int pid;
    rip_command *c = start_ready("sleep 60 & echo $!; wait", 0.05, &pid, 1);
    real_kill = rip__seam.syscall;
    rip__seam.syscall = count_single_signals;
    CHECK_OK(rip_command_signal(c, SIGCONT));
    CHECK_INT(sent_singly, ==, 0);
    rip_command_free(c);
}

TEST(the_furthest_means_is_told)
{
    int pid;
    struct rip_exit e;
    rip_command *c = start_ready("setsid sh -c 'echo $$; exec sleep 60' & "
                                 "trap '' TERM; while :; do sleep 60; done",
                                 -1, &pid, 1);
    CHECK_OK(rip_command_signal(c, SIGTERM));
    await_death(pid);
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.signal, ==, SIGKILL);
    CHECK_INT(e.tree, ==, RIP_TREE_SWEEP);
    rip_command_free(c);
}

/* Others' processes have no environment that we could read. */
static int stranger;

static long hide_stranger(long nr, const long args[6])
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/environ", stranger);
    if (nr == SYS_openat && strcmp((const char *)args[1], path) == 0)
        return -EACCES;
    return real_kill(nr, args);
}

TEST(processes_of_others_are_no_trouble)
{
    struct rip_exit e;
    rip_command *other = start_ready("echo; exec sleep 60", -1, NULL, 0);
    rip_command *c = start_ready("sleep 60 & echo; wait", -1, NULL, 0);
    stranger = rip_command_pid(other);
    real_kill = rip__seam.syscall;
    rip__seam.syscall = hide_stranger;
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.tree, ==, RIP_TREE_GROUP);
    CHECK(is_alive(stranger));
    rip_command_free(c);
    rip_command_free(other);
}

TEST(who_can_not_be_held_is_told)
{
    int pid;
    struct rip_exit e;
    rip_command *c = start_ready("setsid sh -c 'echo $$; exec sleep 60' & wait",
                                 0.05, &pid, 1);
    fault_always(SYS_pidfd_open, EMFILE);
    CHECK_ERR(rip_command_signal(c, SIGCONT), -EMFILE);
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.tree, ==, RIP_TREE_PARTIAL);
    CHECK(is_alive(pid));
    kill(pid, SIGKILL);
    rip_command_free(c);
}

static void *(*real_resize)(void *p, size_t size);

static void *refuse_members(void *p, size_t size)
{
    return size == sizeof(struct rip__os_member) ? NULL : real_resize(p, size);
}

TEST(no_memory_to_hold_them_is_told)
{
    rip_command *c = start_ready("sleep 60 & echo; wait", 0.05, NULL, 0);
    real_resize = rip__seam.resize;
    rip__seam.resize = refuse_members;
    CHECK_ERR(rip_command_signal(c, SIGCONT), -ENOMEM);
    rip__seam.resize = real_resize;
    rip_command_free(c);
}

/* The mark stands behind all the rest. */
TEST(a_mark_is_found_in_an_environment_of_any_length)
{
    static char big[5][30000];
    const char *env[12] = { NULL };
    int pid;
    for (size_t i = 0; i < 5; i++) {
        memset(big[i], 'x', sizeof big[i] - 1);
        big[i][0] = (char)('A' + i);
        big[i][1] = '=';
        env[i] = big[i];
    }
    struct rip_command_options o = { .in = { .kind = RIP_STDIO_NULL },
                                     .out = { .kind = RIP_STDIO_PIPE },
                                     .env = env,
                                     .grace = -1 };
    rip_command *c =
        start(SH("setsid -f sh -c 'echo $$; exec sleep 60'; wait"), &o);
    pid = (int)strtol(await_line(c), NULL, 10);
    CHECK_OK(rip_command_stop(c, NULL, RIP_FOREVER));
    CHECK(!is_alive(pid));
    rip_command_free(c);
}

TEST(without_a_mark_descendants_are_found_by_their_parents)
{
    int pid;
    const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
    struct rip_command_options o = { .in = { .kind = RIP_STDIO_NULL },
                                     .out = { .kind = RIP_STDIO_PIPE },
                                     .env = env,
                                     .env_mode = RIP_ENV_REPLACE,
                                     .grace = 0.05 };
    rip_command *c =
        start(SH("setsid sh -c 'echo $$; exec sleep 60' & wait"), &o);
    pid = (int)strtol(await_line(c), NULL, 10);
    CHECK_OK(rip_command_stop(c, NULL, RIP_FOREVER));
    CHECK(!is_alive(pid));
    rip_command_free(c);
}

TEST(there_is_no_mark_where_one_is_not_wanted)
{
    const char *const unset[] = { RIP__OS_MARK, NULL };
    const char *const all[] = { "A=1", NULL };
    struct rip_command_options o = { .env = unset };
    struct rip_output out;
    run(&out, ARGV("/usr/bin/env"), &o);
    CHECK(!strstr(out.out, RIP__OS_MARK));
    rip_output_done(&out);
    o = (struct rip_command_options){ .env = all, .env_mode = RIP_ENV_REPLACE };
    run(&out, ARGV("/usr/bin/env"), &o);
    CHECK_STR(out.out, "A=1\n");
    rip_output_done(&out);
}

/* The group is signalled all the same, and it is said that this was all. */
TEST(a_tree_that_can_not_be_looked_for_is_told)
{
    int pid;
    struct rip_exit e;
    rip_command *c = start_ready("setsid sh -c 'echo $$; exec sleep 60' & wait",
                                 0.05, &pid, 1);
    fault_always(SYS_openat, EMFILE);
    CHECK_ERR(rip_command_signal(c, SIGCONT), -EMFILE);
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.signal, ==, SIGTERM);
    CHECK_INT(e.tree, ==, RIP_TREE_PARTIAL);
    CHECK(is_alive(pid));
    kill(pid, SIGKILL);
    rip_command_free(c);
}
