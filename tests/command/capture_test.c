/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "late.h"
#include "run.h"

/* Calls that end at once, or at the deadline of the test. */
static const double grace = 0.05;

TEST(output_of_both_streams_is_kept)
{
    struct rip_output o;
    run(&o, SH("printf 'a\\0b'; printf err >&2"), NULL);
    CHECK_MEM(o.out, o.out_len + 1, "a\0b", 4);
    CHECK_MEM(o.err, o.err_len + 1, "err", 4);
    CHECK(!o.truncated);
    CHECK(!o.pipe_held);
    CHECK(rip_exit_ok(&o.exit));
    rip_output_done(&o);
    CHECK(!o.out);
    rip_output_done(&o);
}

TEST(no_output_is_an_empty_string)
{
    struct rip_output o;
    run(&o, ARGV("true"), NULL);
    CHECK_STR(o.out, "");
    CHECK_STR(o.err, "");
    rip_output_done(&o);
}

TEST(stdin_is_empty_by_default)
{
    struct rip_output o;
    run(&o, ARGV("cat"), NULL);
    CHECK_STR(o.out, "");
    rip_output_done(&o);
}

/* More each way than pipes hold, with both sides waiting for the other. */
TEST(much_in_and_much_out_does_not_deadlock)
{
    size_t size = 8 << 20;
    char *data = make_data(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    struct rip_output o;
    run(&o, SH("tee /dev/stderr"),
        &(struct rip_command_options){ .input = data, .input_len = size });
    CHECK_MEM(o.out, o.out_len, data, size);
    CHECK_MEM(o.err, o.err_len, data, size);
    rip_output_done(&o);
    free(data);
}

TEST(input_that_nobody_reads_is_no_error)
{
    size_t size = 1 << 20;
    char *data = make_data(size);
    struct rip_output o;
    run(&o, SH("exec <&-; echo done"),
        &(struct rip_command_options){ .input = data, .input_len = size });
    CHECK_STR(o.out, "done\n");
    rip_output_done(&o);
    free(data);
}

TEST(empty_input_is_end_of_file)
{
    struct rip_output o;
    run(&o, ARGV("cat"), &(struct rip_command_options){ .input = "" });
    CHECK_STR(o.out, "");
    rip_output_done(&o);
}

/* ---- limits ----------------------------------------------------------- */

static void run_limited(struct rip_output *o, const char *const *argv,
                        enum rip_overflow overflow, size_t max)
{
    run(o, argv,
        &(struct rip_command_options){ .max_output = max,
                                       .overflow = overflow });
}

TEST(truncating_keeps_the_first_bytes)
{
    struct rip_output o;
    run_limited(&o, ARGV("seq", "100000"), RIP_OVERFLOW_TRUNCATE, 5);
    CHECK_STR(o.out, "1\n2\n3");
    CHECK(o.truncated);
    CHECK_INT(o.exit.code, ==, 0);
    rip_output_done(&o);
}

TEST(exactly_the_limit_is_not_too_much)
{
    struct rip_output o;
    for (int i = RIP_OVERFLOW_TRUNCATE; i <= RIP_OVERFLOW_HEAD_TAIL; i++) {
        run_limited(&o, ARGV("printf", "12345"), (enum rip_overflow)i, 5);
        CHECK_STR(o.out, "12345");
        CHECK(!o.truncated);
        rip_output_done(&o);
    }
}

TEST(head_and_tail)
{
    struct rip_output o;
    run_limited(&o, ARGV("seq", "100000"), RIP_OVERFLOW_HEAD_TAIL, 11);
    CHECK_STR(o.out, "1\n2\n3\n"
                     "0000\n");
    CHECK(o.truncated);
    rip_output_done(&o);
    run_limited(&o, ARGV("seq", "100000"), RIP_OVERFLOW_HEAD_TAIL, 1);
    CHECK_STR(o.out, "1");
    rip_output_done(&o);
}

TEST(too_much_can_be_a_failure)
{
    struct rip_output o;
    struct rip_failure f = { 0 };
    struct rip_command_options options = { .max_output = 4,
                                           .overflow = RIP_OVERFLOW_FAIL,
                                           .grace = grace,
                                           .failure = &f };
    CHECK_ERR(rip_run(ARGV("yes"), &options, &o, RIP_FOREVER), -EMSGSIZE);
    CHECK_STR(f.step, "run");
    CHECK_STR(f.subject, "yes");
    CHECK_INT(f.code, ==, -EMSGSIZE);
    CHECK_STR(o.out, "y\ny\n");
    CHECK(o.truncated);
    CHECK(o.exit.stopped);
    CHECK_INT(o.exit.signal, ==, SIGTERM);
    rip_output_done(&o);
}

/* ---- deadlines -------------------------------------------------------- */

/* Passes its deadline, and is as far then as it says by "ready.1". */
static rip_time run_late(struct rip_output *o, const char *script, double g)
{
    struct rip_command_options options = { .grace = g };
    rip_time deadline = rip_after(0.05);
    hold_back(1, 0);
    CHECK_OK(rip_run(SH(script), &options, o, deadline));
    let_pass();
    CHECK(o->exit.timed_out);
    return deadline;
}

TEST(run_stops_at_its_deadline_and_keeps_what_came)
{
    struct rip_output o;
    rip_time deadline =
        run_late(&o, "echo first; echo >ready.1; exec sleep 60", 0);
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK_STR(o.out, "first\n");
    CHECK(!o.exit.stopped);
    CHECK_INT(o.exit.signal, ==, SIGTERM);
    CHECK_INT(o.exit.tree, ==, RIP_TREE_GROUP);
    rip_output_done(&o);
}

TEST(run_kills_what_does_not_listen)
{
    struct rip_output o;
    run_late(&o,
             "trap '' TERM; echo on; echo >ready.1; while :; do sleep 60; done",
             grace);
    CHECK_STR(o.out, "on\n");
    CHECK_INT(o.exit.signal, ==, SIGKILL);
    rip_output_done(&o);
}

/* What it says on its way out is more than the pipe holds. */
TEST(last_words_are_read)
{
    struct rip_output o;
    run_late(&o,
             "trap 'seq 100000; exit 5' TERM; echo on; echo >ready.1; "
             "while :; do sleep 0.01; done",
             30);
    CHECK_INT(o.out_len, ==, 3 + 588895);
    CHECK_INT(o.exit.code, ==, 5);
    rip_output_done(&o);
}

TEST(a_deadline_that_is_past)
{
    struct rip_output o;
    CHECK_OK(rip_run(ARGV("sleep", "60"), NULL, &o, RIP_NOW));
    CHECK(o.exit.timed_out);
    rip_output_done(&o);
}

TEST(a_flood_does_not_move_the_deadline)
{
    struct rip_output o;
    struct rip_command_options options = { .max_output = 100, .grace = grace };
    rip_time deadline = rip_after_ms(100);
    CHECK_OK(rip_run(ARGV("yes"), &options, &o, deadline));
    CHECK(o.exit.timed_out);
    CHECK_INT(rip_time_now() - deadline, <, 5000000000);
    rip_output_done(&o);
}

/* The end of the command is seen before what it left in the pipe. */
TEST(no_grace_loses_no_output)
{
    struct rip_command_options options = { .grace = -1 };
    struct rip_output o;
    for (int i = 0; i < 50; i++) {
        run(&o, ARGV("head", "-c", "60000", "/dev/zero"), &options);
        CHECK_INT(o.out_len, ==, 60000);
        CHECK(!o.pipe_held);
        rip_output_done(&o);
    }
}

/* The most frequent bug of the field: somebody else keeps the pipe open. */
TEST(a_helper_that_holds_the_output_is_not_waited_for)
{
    struct rip_output o;
    struct rip_command_options options = { .grace = grace };
    run(&o, SH("sleep 60 & echo $!"), &options);
    CHECK(o.pipe_held);
    CHECK_INT(o.exit.code, ==, 0);
    pid_t helper = (pid_t)strtol(o.out, NULL, 10);
    CHECK(is_alive(helper)); /* left alone */
    kill(helper, SIGKILL);
    rip_output_done(&o);
}

TEST(a_helper_that_lets_go_in_time_is_waited_for)
{
    struct rip_output o;
    struct rip_command_options options = { .grace = 30 };
    run(&o, SH("(" UNTIL_GONE("$$") "; echo late) & echo early"), &options);
    CHECK_STR(o.out, "early\nlate\n");
    CHECK(!o.pipe_held);
    rip_output_done(&o);
}

TEST(a_helper_that_floods_is_not_waited_for)
{
    struct rip_output o;
    struct rip_command_options options = { .grace = grace, .max_output = 1000 };
    run(&o, SH("yes & echo $! >pid"), &options);
    CHECK(o.pipe_held);
    rip_output_done(&o);
    /* Its pipe is closed: SIGPIPE ends it. */
    await_death((int)strtol(read_file("pid"), NULL, 10));
    unlink("pid");
}

TEST(at_the_deadline_helpers_are_stopped_too)
{
    struct rip_output o;
    run_late(&o,
             "sleep 60 & setsid sh -c 'echo >ready.1; exec sleep 60' & "
             "sleep 60",
             grace);
    CHECK(!o.pipe_held);
    CHECK_INT(o.exit.tree, ==, RIP_TREE_SWEEP);
    rip_output_done(&o);
}

/* ---- communicate ------------------------------------------------------ */

static const struct rip_command_options piped = {
    .in = { .kind = RIP_STDIO_PIPE },
    .out = { .kind = RIP_STDIO_PIPE },
    .err = { .kind = RIP_STDIO_PIPE },
};

/* The command waits for a file, so that the deadlines pass for sure. */
TEST(communicate_goes_on_where_it_was)
{
    size_t size = 1 << 20;
    char *data = make_data(size);
    rip_command *c = start(
        SH("echo start; until test -e go; do sleep 0.01; done; cat"), &piped);
    struct rip_output o;
    rip_time patience = rip_after(harness_scale(5));
    for (;;) {
        CHECK_ERR(rip_command_communicate(c, data, size, &o, rip_after_ms(20)),
                  -ETIMEDOUT);
        bool all = strcmp(o.out, "start\n") == 0;
        CHECK_INT(o.exit.how, ==, RIP_RUNNING);
        rip_output_done(&o);
        if (all)
            break;
        CHECK_INT(rip_time_now(), <, patience);
    }
    CHECK_ERR(rip_command_communicate(c, data, size, NULL, RIP_NOW),
              -ETIMEDOUT);
    write_file("go", "", 0600);
    CHECK_OK(rip_command_communicate(c, data, size, &o, RIP_FOREVER));
    CHECK_INT(o.out_len, ==, 6 + size);
    CHECK_MEM(o.out, 6, "start\n", 6);
    CHECK_MEM(o.out + 6, size, data, size);
    CHECK_INT(o.exit.code, ==, 0);
    rip_output_done(&o);
    rip_command_free(c);
    unlink("go");
    free(data);
}

TEST(communicate_with_what_has_ended_needs_no_time)
{
    rip_command *c = start(ARGV("head", "-c", "60000", "/dev/zero"), &piped);
    struct rip_output o;
    end_of(c);
    CHECK_OK(rip_command_communicate(c, NULL, 0, &o, RIP_NOW));
    CHECK_INT(o.out_len, ==, 60000);
    CHECK(!o.pipe_held);
    rip_output_done(&o);
    rip_command_free(c);
}

TEST(communicate_after_read_has_the_rest)
{
    rip_command *c = start(SH("printf 12345; read x; printf 6"), &piped);
    char buf[2];
    struct rip_output o;
    CHECK_INT(rip_command_read(c, 1, buf, 2, RIP_FOREVER), ==, 2);
    CHECK_ERR(rip_command_communicate(c, "", 0, &o, RIP_NOW), -ETIMEDOUT);
    rip_output_done(&o);
    CHECK_OK(rip_command_communicate(c, NULL, 0, &o, RIP_FOREVER));
    CHECK_STR(o.out, "3456");
    rip_output_done(&o);
    rip_command_free(c);
}

TEST(read_after_communicate_has_what_came)
{
    rip_command *c = start(SH("echo one; exec sleep 60"), &piped);
    struct rip_output o;
    char buf[16];
    bool there = false;
    while (!there) {
        CHECK_ERR(rip_command_communicate(c, NULL, 0, &o, rip_after_ms(10)),
                  -ETIMEDOUT);
        there = o.out_len == 4;
        rip_output_done(&o);
    }
    CHECK_INT(rip_command_read(c, 1, buf, 16, RIP_NOW), ==, 4);
    CHECK_MEM(buf, 4, "one\n", 4);
    CHECK_ERR(rip_command_read(c, 1, buf, 16, RIP_NOW), -ETIMEDOUT);
    rip_command_free(c);
}

TEST(communicate_with_what_is_not_captured)
{
    rip_command *c = start(ARGV("true"), NULL);
    struct rip_output o;
    CHECK_OK(rip_command_communicate(c, NULL, 0, &o, RIP_FOREVER));
    CHECK_STR(o.out, "");
    CHECK_STR(o.err, "");
    rip_output_done(&o);
    rip_command_free(c);
}

/* ---- our own streams -------------------------------------------------- */

/* rip_run of a cat that exits with 3, with the files "in" (which says "ours"),
 * "out" and "err" as our own streams meanwhile. */
static void run_on_files(const struct rip_command_options *o,
                         struct rip_output *ret)
{
    static const char *const names[] = { "in", "out", "err" };
    int saved[3];
    write_file("in", "ours", 0600);
    for (int i = 0; i < 3; i++) {
        int fd = open(names[i],
                      i == 0 ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC, 0600);
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
        dup2(fd, i);
        close(fd);
    }
    int r = rip_run(SH("cat; echo e >&2; exit 3"), o, ret, RIP_FOREVER);
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    CHECK_OK(r);
}

static void check_files(const char *out, const char *err)
{
    CHECK_STR(read_file("out"), out);
    CHECK_STR(read_file("err"), err);
    unlink("in");
    unlink("out");
    unlink("err");
}

TEST(run_without_a_place_for_output_inherits)
{
    run_on_files(NULL, NULL);
    check_files("ours", "e\n");
    run_on_files(FED("fed", 3), NULL);
    check_files("fed", "e\n");
}

TEST(run_with_our_streams_tells_how_it_ended)
{
    const struct rip_stdio ours = { .kind = RIP_STDIO_INHERIT };
    const struct rip_command_options o = { .in = ours,
                                           .out = ours,
                                           .err = ours };
    struct rip_output ret;
    run_on_files(&o, &ret);
    check_files("ours", "e\n");
    CHECK_INT(ret.exit.code, ==, 3);
    CHECK_STR(ret.out, "");
    CHECK_STR(ret.err, "");
    rip_output_done(&ret);
}
