/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "command/command.h"
#include "harness.h"
#include "hear.h"
#include "os/os.h"
#include "run.h"

/* Output that is told to a callback, and what a deadline leaves of it. */

#define MIB ((size_t)1 << 20)

/* ---- deadlines -------------------------------------------------------- */

/* However often it is called again, and whatever it was doing. */
static void resume(const char *const *argv, const struct rip_command_options *o,
                   const char *want, size_t len)
{
    struct heard h = { 0 };
    struct rip_command_options hearing = *o;
    rip_command *c;
    int r, rounds = 0;
    hearing.on_output = hear_bytes;
    hearing.on_output_arg = &h;
    c = start(argv, &hearing);
    do {
        struct rip_output out;
        r = rip_command_communicate(c, NULL, 0, &out, rip_after_ms(1));
        CHECK(r == 0 || r == -ETIMEDOUT);
        CHECK(r < 0 || rip_exit_ok(&out.exit));
        CHECK_INT(out.out_len, ==, 0);
        rip_output_done(&out);
        rounds++;
    } while (r != 0);
    CHECK_INT(rounds, >, 20);
    CHECK_MEM(h.text.data, h.text.len, want, len);
    rip_command_free(c);
    free(h.text.data);
}

TEST_WITH(a_hundred_deadlines_lose_nothing, .deadline = 30)
{
    struct rip_command_options o = { .out = { .kind = RIP_STDIO_PIPE } };
    struct rip__buffer want = { 0 };
    for (int i = 1; i <= 100; i++) {
        char line[16];
        snprintf(line, sizeof line, "%d\n", i);
        CHECK_OK(rip__buffer_append(&want, line, strlen(line)));
    }
    const char *const *slow =
        ARGV(harness_program("child"), "slow", "100", "2");
    resume(slow, &o, want.data, want.len);
    o.by_lines = true;
    resume(slow, &o, want.data, want.len);
    rip__buffer_done(&want);
}

/* The input goes on as well. */
TEST_WITH(deadlines_lose_no_input, .deadline = 60)
{
    size_t size = 4 * MIB;
    char *data = make_data(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    struct rip_command_options o = { .out = { .kind = RIP_STDIO_PIPE },
                                     .input = data,
                                     .input_len = size };
    resume(SH("sleep 0.2; cat"), &o, data, size);
    free(data);
}

TEST(a_slow_callback_keeps_the_deadline_waiting_for_itself_alone)
{
    struct heard h = { .nap_ms = 20 };
    struct rip_command_options o = by_lines(&h);
    struct rip_output out;
    rip_command *c = start(ARGV("seq", "30"), &o);
    end_of(c); /* so all of it is read at once */
    size_t before = 0;
    int r, rounds = 0;
    do {
        rip_time began = rip_time_now();
        r = rip_command_communicate(c, NULL, 0, &out, rip_after_ms(50));
        CHECK_INT(rip_time_now() - began, <, 500000000);
        CHECK_INT(h.pieces, >, before);
        before = h.pieces;
        rip_output_done(&out);
        rounds++;
    } while (r == -ETIMEDOUT);
    CHECK_OK(r);
    CHECK_INT(rounds, >=, 10);
    check_heard(&h,
                "11\n12\n13\n14\n15\n16\n17\n18\n19\n110\n111\n112\n113\n114\n"
                "115\n116\n117\n118\n119\n120\n121\n122\n123\n124\n125\n126\n"
                "127\n128\n129\n130\n");
    rip_command_free(c);
}

/* What is held back is told though nothing more comes, and a deadline that is
 * always past does not hold it back for ever. */
TEST(each_call_tells_a_piece_even_if_it_is_late)
{
    const rip_time past = 1;
    struct heard h = { .go = "go" };
    struct rip_command_options o = by_lines(&h);
    rip_command *c = start(SH("printf '1\\n2\\ngo\\n'; until test -e go; do "
                              "sleep 0.01; done"),
                           &o);
    int r;
    do
        r = rip_command_communicate(c, NULL, 0, NULL, past);
    while (r == -ETIMEDOUT);
    CHECK_OK(r);
    check_heard(&h, "11\n12\n1go\n");
    rip_command_free(c);
    unlink("go");
}

/* Not only when the command has ended. */
TEST(the_end_of_a_stream_ends_its_last_line)
{
    struct heard h = { .go = "go" };
    struct rip_command_options o = by_lines(&h);
    struct rip_output out;
    run(&out, SH("printf go; exec >&-; until test -e go; do sleep 0.01; done"),
        &o);
    rip_output_done(&out);
    check_heard(&h, "1go|");
    unlink("go");
}

TEST(now_is_one_round_with_all_that_comes_of_it)
{
    struct heard h = { 0 };
    struct rip_command_options o = by_lines(&h);
    rip_command *c = start(ARGV("seq", "5"), &o);
    end_of(c);
    CHECK_OK(rip_command_communicate(c, NULL, 0, NULL, RIP_NOW));
    check_heard(&h, "11\n12\n13\n14\n15\n");
    rip_command_free(c);
}

/* A second for each of thousands of lines that come at once: the time is over
 * long before all are told, and the loss is. */
TEST(run_with_a_slow_callback_ends_in_time)
{
    struct heard h = { .nap_ms = 100 };
    struct rip_command_options o = by_lines(&h);
    struct rip_output out;
    rip_time began = rip_time_now();
    CHECK_OK(
        rip_run(SH("seq 1000; exec sleep 60"), &o, &out, rip_after_ms(300)));
    CHECK_INT(rip_time_now() - began, <, 2000000000);
    CHECK(out.exit.timed_out);
    CHECK(out.truncated);
    CHECK_INT(h.pieces, >=, 2);
    rip_output_done(&out);
    free(h.text.data);
}

/* Runs what says a thousand lines to a callback that takes 10 seconds for all
 * of them. */
static void run_hurried(double its_grace, rip_time deadline)
{
    struct heard h = { .nap_ms = 10 };
    struct rip_command_options o = by_lines(&h);
    struct rip_output out;
    rip_time began = rip_time_now();
    o.grace = its_grace;
    CHECK_OK(rip_run(SH("seq 1000; exec sleep 60"), &o, &out, deadline));
    CHECK_INT(rip_time_now() - began, <, 2000000000);
    CHECK(out.exit.timed_out);
    CHECK(out.truncated);
    CHECK_INT(h.pieces, >=, 2);
    rip_output_done(&out);
    free(h.text.data);
}

TEST(without_grace_a_slow_callback_is_not_waited_for)
{
    run_hurried(-1, rip_after_ms(300));
}

/* Looks at the streams only when there is something in stdout. */
static long look_late(long nr, const long a[6])
{
    struct pollfd *fds = (struct pollfd *)a[0];
    if (nr == SYS_ppoll && a[1] == 4 && fds[1].fd >= 0)
        while (poll(&fds[1], 1, -1) < 0)
            ;
    return rip__seam_real.syscall(nr, a);
}

TEST(without_time_a_slow_callback_is_not_waited_for)
{
    rip__seam.syscall = look_late;
    run_hurried(0.05, RIP_NOW);
    rip__seam.syscall = rip__seam_real.syscall;
}

TEST(run_tells_at_its_deadline_what_has_no_newline)
{
    struct heard h = { 0 };
    struct rip_command_options o = by_lines(&h);
    struct rip_output out;
    CHECK_OK(rip_run(SH("printf 'one\\ntwo'; exec sleep 60"), &o, &out,
                     rip_after_ms(300)));
    CHECK(out.exit.timed_out);
    CHECK(!out.truncated);
    rip_output_done(&out);
    check_heard(&h, "1one\n1two|");
}

TEST(what_a_helper_holds_open_is_told_as_far_as_it_came)
{
    struct heard h = { 0 };
    struct rip_command_options o = by_lines(&h);
    struct rip_output out;
    run(&out, SH("sleep 60 & echo $! >pid; printf half"), &o);
    CHECK(out.pipe_held);
    kill((pid_t)strtol(read_file("pid"), NULL, 10), SIGKILL);
    rip_output_done(&out);
    check_heard(&h, "1half|");
    unlink("pid");
}

/* ---- with other reads ------------------------------------------------- */

TEST(what_was_read_ahead_is_told_first)
{
    struct heard h = { 0 };
    struct rip_command_options o = by_lines(&h);
    struct rip_output out;
    rip_command *c = start(SH("echo 3; echo 4"), &o);
    CHECK_OK(rip__buffer_append(&c->out[0].buffer, "x1\n2\n", 5));
    c->out[0].start = 1;
    CHECK_OK(rip_command_communicate(c, NULL, 0, &out, RIP_FOREVER));
    rip_output_done(&out);
    check_heard(&h, "11\n12\n13\n14\n");
    rip_command_free(c);
}

TEST(the_beginning_of_a_line_can_be_read)
{
    struct heard h = { 0 };
    struct rip_command_options o = by_lines(&h);
    rip_command *c = start(SH("printf 'one\\nabcdef'; sleep 60"), &o);
    char buf[4];
    while (c->out[0].searched < 6)
        CHECK_ERR(rip_command_communicate(c, NULL, 0, NULL, rip_after_ms(5)),
                  -ETIMEDOUT);
    CHECK_INT(rip_command_read(c, 1, buf, 4, RIP_NOW), ==, 4);
    CHECK_MEM(buf, 4, "abcd", 4);
    CHECK_INT(rip_command_signal(c, SIGKILL), ==, 0);
    CHECK_OK(rip_command_communicate(c, NULL, 0, NULL, RIP_FOREVER));
    check_heard(&h, "1one\n1ef|");
    rip_command_free(c);
}
