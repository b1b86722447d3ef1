/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "late.h"
#include "os/os.h"
#include "run.h"

/* Calls that end at once, or at the deadline of the test. */
static const double grace = 0.05;

/* ---- deadlines -------------------------------------------------------- */

/* What is held back is passed on, and this is stopped at its deadline. */
static void run_to_deadline(struct rip_output *o, struct rip_exit *ends,
                            const char *const *const *stages, size_t n,
                            double g)
{
    struct rip_command_options options = { .grace = g };
    rip_time deadline = rip_after(0.05);
    CHECK_OK(rip_pipeline_run(stages, n, &options, o, ends, deadline));
    let_pass();
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK_INT(rip_time_now() - deadline, <, (rip_time)(harness_scale(5) * 1e9));
    CHECK(o->exit.timed_out);
    CHECK(!o->exit.stopped);
}

/* A pipeline that would last for 60 seconds or for ever passes its deadline
 * and is stopped. `ready`: how many of its stages say that they are. */
static void run_late(struct rip_output *o, struct rip_exit *ends,
                     const char *const *const *stages, size_t n, double g,
                     int ready)
{
    hold_back(ready, 0);
    run_to_deadline(o, ends, stages, n, g);
}

TEST(all_stages_are_stopped_at_the_deadline)
{
    struct rip_output o;
    struct rip_exit ends[3];
    run_late(&o, ends,
             STAGES(SH("echo first; exec sleep 60"),
                    SH("head -n1; echo >ready.1; exec sleep 60"), ARGV("cat")),
             3, 30, 1);
    CHECK_STR(o.out, "first\n");
    CHECK_INT(ends[0].signal, ==, SIGTERM);
    CHECK(ends[0].timed_out);
    CHECK_INT(ends[1].signal, ==, SIGTERM);
    CHECK(ends[1].timed_out);
    CHECK(ends[2].timed_out);
    rip_output_done(&o);
}

TEST(a_stage_that_does_not_listen_is_killed)
{
    struct rip_output o;
    struct rip_exit ends[3];
    run_late(&o, ends,
             STAGES(ARGV("sleep", "60"),
                    SH("trap '' TERM; echo on; while :; do sleep 60; done"),
                    SH("trap 'exit 0' TERM; head -n1; echo >ready.1; "
                       "while :; do sleep 0.01; done")),
             3, grace, 1);
    CHECK_STR(o.out, "on\n");
    CHECK_STR(ends_text(ends, 3), "TERM KILL 0");
    CHECK_INT(o.exit.signal, ==, SIGKILL);
    rip_output_done(&o);
}

/* It sleeps through SIGTERM. */
TEST(a_stage_that_is_stopped_is_killed)
{
    struct rip_output o;
    struct rip_exit ends[3];
    run_late(&o, ends,
             STAGES(ARGV("yes"), SH("echo $$; kill -STOP $$"),
                    SH("read p; until grep -q ' T ' /proc/$p/stat; do "
                       "sleep 0.01; done; echo >ready.1; cat")),
             3, grace, 1);
    CHECK_INT(ends[1].signal, ==, SIGKILL);
    CHECK(ends[1].timed_out);
    rip_output_done(&o);
}

/* Two of the three had ended well before it; what counts is who had not. */
TEST(a_stage_that_ended_in_time_was_not_stopped)
{
    struct rip_output o;
    struct rip_exit ends[3];
    hold_back(0, 2);
    run_to_deadline(
        &o, ends, STAGES(ENDED("1", "0"), ARGV("sleep", "60"), ENDED("2", "0")),
        3, grace);
    CHECK_STR(ends_text(ends, 3), "0 TERM 0");
    CHECK(!ends[0].timed_out);
    CHECK(ends[1].timed_out);
    CHECK(!ends[2].timed_out);
    CHECK_INT(o.exit.signal, ==, SIGTERM);
    rip_output_done(&o);
}

/* The failure is the last stage's own; the deadline is that of the whole. */
TEST(what_was_done_to_any_stage_is_said_of_the_whole)
{
    struct rip_output o;
    struct rip_exit ends[2];
    hold_back(0, 1);
    run_to_deadline(&o, ends, STAGES(ARGV("sleep", "60"), ENDED("1", "5")), 2,
                    grace);
    CHECK_STR(ends_text(ends, 2), "TERM 5");
    CHECK(!ends[1].timed_out);
    CHECK_INT(o.exit.code, ==, 5);
    CHECK_INT(o.exit.tree, ==, RIP_TREE_GROUP);
    rip_output_done(&o);
}

TEST(stages_that_let_go_of_the_output_are_stopped_too)
{
    struct rip_output o;
    struct rip_exit ends[2];
#define MUTE(file) SH("exec >&- 2>&-; echo >" file "; exec sleep 60")
    run_late(&o, ends, STAGES(MUTE("ready.1"), MUTE("ready.2")), 2, grace, 2);
    CHECK_STR(ends_text(ends, 2), "TERM TERM");
    rip_output_done(&o);
}

#define DEAF "trap '' TERM; echo >$0; while :; do sleep 60; done"

/* A stage that has left the group, and what another has sent out of it. */
TEST(who_is_deaf_and_elsewhere_is_killed)
{
    struct rip_output o;
    struct rip_exit ends[3];
    run_late(&o, ends,
             STAGES(ARGV("setsid", "-f", "sh", "-c", DEAF, "ready.1"),
                    ARGV("setsid", "sh", "-c", DEAF, "ready.2"), ARGV("cat")),
             3, grace, 2);
    CHECK_INT(ends[1].signal, ==, SIGKILL);
    CHECK_INT(o.exit.tree, ==, RIP_TREE_SWEEP);
    rip_output_done(&o);
}

TEST(no_grace_at_the_deadline)
{
    struct rip_output o;
    struct rip_exit ends[2];
    run_late(&o, ends, STAGES(ARGV("yes"), ARGV("sleep", "60")), 2, -1, 0);
    CHECK_STR(ends_text(ends, 2), "KILL KILL");
    rip_output_done(&o);
}

TEST(a_deadline_that_is_past)
{
    struct rip_output o;
    CHECK_OK(rip_pipeline_run(STAGES(ARGV("sleep", "60"), ARGV("cat")), 2, NULL,
                              &o, NULL, RIP_NOW));
    CHECK(o.exit.timed_out);
    rip_output_done(&o);
}

/* Helpers of every stage, some in sessions of their own, hold every pipe there
 * is. Who is left over is found as a leak of this test. */
TEST(helpers_of_all_stages_are_stopped_at_the_deadline)
{
    struct rip_output o;
    struct rip_exit ends[3];
    run_late(&o, ends,
             STAGES(SH("sleep 60 & setsid -f sleep 60; echo >ready.1"),
                    SH("setsid -f sleep 60; echo >ready.2; exec sleep 60"),
                    SH("setsid sleep 60 & echo >ready.3; sleep 60")),
             3, grace, 3);
    CHECK_INT(o.exit.tree, ==, RIP_TREE_SWEEP);
    CHECK(!o.pipe_held);
    rip_output_done(&o);
}

/* What says its last words is read, though its reader has them to pass on. */
TEST(last_words_go_through_all_stages)
{
    struct rip_output o;
    struct rip_exit ends[2];
    run_late(&o, ends,
             STAGES(SH("trap 'seq 100000; exit 5' TERM; echo on; "
                       "echo >ready.1; while :; do sleep 0.01; done"),
                    SH("trap '' TERM; echo >ready.2; exec cat")),
             2, 30, 2);
    CHECK_INT(o.out_len, ==, 3 + 588895);
    CHECK_STR(ends_text(ends, 2), "5 0");
    CHECK(ends[1].timed_out);
    rip_output_done(&o);
}

TEST(many_deaf_stages_are_killed_in_one_grace)
{
    enum { N = 20 };
    const char *argv[N][5];
    const char *const *stages[N];
    char files[N][16];
    struct rip_exit ends[N];
    struct rip_output o;
    for (int i = 0; i < N; i++) {
        snprintf(files[i], sizeof files[i], "ready.%d", i + 1);
        argv[i][0] = "sh";
        argv[i][1] = "-c";
        argv[i][2] = DEAF;
        argv[i][3] = files[i];
        argv[i][4] = NULL;
        stages[i] = argv[i];
    }
    run_late(&o, ends, stages, N, 0.5, N);
    for (size_t i = 0; i < N; i++)
        CHECK_INT(ends[i].signal, ==, SIGKILL);
    rip_output_done(&o);
}

/* ---- the process group ------------------------------------------------ */

/* Its pid, its group and that of the parent, at the end of what comes in. */
#define IDS SH("cat; echo $$ $(cut -d' ' -f5 /proc/$$/stat)")

static void read_ids(const char *text, int n, int pids[], int groups[])
{
    char *s = (char *)(uintptr_t)text;
    for (int i = 0; i < n; i++) {
        pids[i] = (int)strtol(s, &s, 10);
        groups[i] = (int)strtol(s, &s, 10);
    }
}

TEST(all_stages_are_one_group_that_the_first_leads)
{
    struct rip_output o;
    int pids[3], groups[3];
    PIPE(&o, NULL, NULL, IDS, IDS, IDS);
    read_ids(o.out, 3, pids, groups);
    for (int i = 0; i < 3; i++)
        CHECK_INT(groups[i], ==, pids[0]);
    rip_output_done(&o);
}

/* As for one command: so Ctrl-C reaches them, and they may read a terminal. */
TEST(with_our_stdin_they_are_in_our_group)
{
    struct rip_output o;
    struct rip_command_options inherit = { .in = { RIP_STDIO_INHERIT, 0, 0 } };
    int pids[2], groups[2];
    PIPE(&o, NULL, &inherit, IDS, IDS);
    read_ids(o.out, 2, pids, groups);
    CHECK_INT(groups[0], ==, getpgid(0));
    CHECK_INT(groups[1], ==, getpgid(0));
    rip_output_done(&o);
    inherit.process_group = RIP_GROUP_OWN;
    PIPE(&o, NULL, &inherit, IDS, IDS);
    read_ids(o.out, 2, pids, groups);
    CHECK_INT(groups[0], ==, pids[0]);
    CHECK_INT(groups[1], ==, pids[0]);
    rip_output_done(&o);
}

/* What happens to the first stage before the second is started. */
static long (*real_syscall)(long nr, const long args[6]);
static int clones, wait_flags;

static long end_first_then_clone(long nr, const long args[6])
{
    if (nr == SYS_clone3 && clones++ == 1) {
        siginfo_t info;
        CHECK_INT(waitid(P_ALL, 0, &info, wait_flags), ==, 0);
    }
    return real_syscall(nr, args);
}

static void run_with_first_ended(int flags, struct rip_output *o,
                                 struct rip_exit *ends)
{
    clones = 0;
    wait_flags = flags;
    real_syscall = rip__seam.syscall;
    rip__seam.syscall = end_first_then_clone;
    PIPE(o, ends, NULL, SH("exit 0"), IDS, IDS);
    rip__seam.syscall = real_syscall;
    CHECK_INT(clones, >=, 3);
}

TEST(a_leader_that_has_ended_still_leads)
{
    struct rip_output o;
    struct rip_exit ends[3];
    int pids[2], groups[2];
    run_with_first_ended(WEXITED | WNOWAIT, &o, ends);
    CHECK_STR(ends_text(ends, 3), "0 0 0");
    read_ids(o.out, 2, pids, groups);
    CHECK_INT(groups[0], ==, groups[1]);
    CHECK_INT(groups[0], !=, pids[0]);
    CHECK_INT(groups[0], !=, getpgid(0));
    rip_output_done(&o);
}

/* Where somebody else waits for our children there is no group left. */
TEST(a_leader_that_was_reaped_is_followed_by_another)
{
    struct rip_output o;
    struct rip_exit ends[3];
    int pids[2], groups[2];
    run_with_first_ended(WEXITED, &o, ends);
    CHECK(ends[0].how == RIP_UNKNOWN || rip_exit_ok(&ends[0]));
    CHECK_STR(ends_text(ends + 1, 2), "0 0");
    read_ids(o.out, 2, pids, groups);
    CHECK_INT(groups[0], ==, pids[0]);
    CHECK_INT(groups[1], ==, pids[0]);
    rip_output_done(&o);
}

/* The second request to end often means: at once. */
TEST(each_stage_is_asked_once)
{
    struct rip_output o;
    struct rip_exit ends[3];
    run_late(
        &o, ends,
        STAGES(ARGV("sleep", "60"), ARGV("sleep", "60"), ARGV("sleep", "60")),
        3, 30, 0);
    CHECK_STR(ends_text(ends, 3), "TERM TERM TERM");
    CHECK_INT(group_terms, ==, 1);
    CHECK_INT(single_terms, ==, 0);
    CHECK_INT(o.exit.tree, ==, RIP_TREE_GROUP);
    rip_output_done(&o);
}

TEST(a_stage_in_a_session_of_its_own_is_asked_too)
{
    struct rip_output o;
    struct rip_exit ends[3];
    run_late(&o, ends,
             STAGES(ARGV("sleep", "60"),
                    ARGV("setsid", "sh", "-c", "echo >ready.1; exec sleep 60"),
                    ARGV("sleep", "60")),
             3, 30, 1);
    CHECK_STR(ends_text(ends, 3), "TERM TERM TERM");
    rip_output_done(&o);
}

TEST(what_makes_no_sense_for_several_is_refused)
{
    static const int fd = 0;
    struct rip_command_options o = { .process_group = RIP_GROUP_SESSION };
    const char *const *const *stages = STAGES(ARGV("true"), ARGV("true"));
    CHECK_ERR(rip_pipeline_run(stages, 2, &o, NULL, NULL, RIP_NOW), -EINVAL);
    o = (struct rip_command_options){ .process_group = RIP_GROUP_OURS };
    CHECK_ERR(rip_pipeline_run(stages, 2, &o, NULL, NULL, RIP_NOW), -EINVAL);
    o = (struct rip_command_options){ .out = { RIP_STDIO_PTY, 0, 0 } };
    CHECK_ERR(rip_pipeline_run(stages, 2, &o, NULL, NULL, RIP_NOW), -EINVAL);
    o = (struct rip_command_options){ .program = "true" };
    CHECK_ERR(rip_pipeline_run(stages, 2, &o, NULL, NULL, RIP_NOW), -EINVAL);
    o = (struct rip_command_options){ .program_fd = &fd };
    CHECK_ERR(rip_pipeline_run(stages, 2, &o, NULL, NULL, RIP_NOW), -EINVAL);
}

/* ---- helpers that hold the output ------------------------------------- */

/* They may be of any stage: all have the pipe of stderr. */
TEST(a_helper_that_holds_the_output_is_not_waited_for)
{
    struct rip_output o;
    struct rip_command_options options = { .grace = grace };
    PIPE(&o, NULL, &options, SH("sleep 60 >&- & echo $!"), ARGV("cat"));
    CHECK(o.pipe_held);
    pid_t helper = (pid_t)strtol(o.out, NULL, 10);
    CHECK(is_alive(helper)); /* left alone */
    kill(helper, SIGKILL);
    rip_output_done(&o);
    PIPE(&o, NULL, &options, ARGV("true"), SH("sleep 60 2>&- & echo $!"));
    CHECK(o.pipe_held);
    helper = (pid_t)strtol(o.out, NULL, 10);
    CHECK(is_alive(helper));
    kill(helper, SIGKILL);
    rip_output_done(&o);
}

/* One that holds a pipe in the middle is a part of what goes on there: it is
 * waited for, and stopped at the deadline. */
TEST(a_helper_that_writes_to_the_next_stage_is_heard)
{
    struct rip_output o;
    PIPE(&o, NULL, NULL,
         SH("(" UNTIL_GONE("$$") "; echo late) 2>&- & echo early"),
         ARGV("cat"));
    CHECK_STR(o.out, "early\nlate\n");
    CHECK(!o.pipe_held);
    rip_output_done(&o);
}
