/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "run.h"

/* Calls that end at once, or at the deadline of the test. */
static const double grace = 0.05;

/* ---- data goes through ------------------------------------------------ */

TEST(data_goes_from_stage_to_stage)
{
    struct rip_output o;
    struct rip_exit ends[3];
    PIPE(&o, ends, NULL, ARGV("printf", "b\\na\\nc\\n"), ARGV("sort"),
         ARGV("tail", "-n2"));
    CHECK_STR(o.out, "b\nc\n");
    CHECK_STR(o.err, "");
    CHECK_STR(ends_text(ends, 3), "0 0 0");
    CHECK(rip_exit_ok(&o.exit));
    CHECK(!o.pipe_held);
    CHECK(!o.truncated);
    CHECK_INT(o.exit.tree, ==, RIP_TREE_NONE);
    rip_output_done(&o);
}

TEST(one_stage_is_a_command)
{
    struct rip_output o;
    struct rip_exit end;
    PIPE(&o, &end, FED("in", 2), SH("cat; echo err >&2; exit 3"));
    CHECK_STR(o.out, "in");
    CHECK_STR(o.err, "err\n");
    CHECK_INT(end.code, ==, 3);
    CHECK_INT(o.exit.code, ==, 3);
    rip_output_done(&o);
}

TEST(the_first_is_fed_and_the_others_are_not)
{
    struct rip_output o;
    PIPE(&o, NULL, FED("x\n", 2), ARGV("cat"), SH("cat; echo two"),
         SH("cat; echo three"));
    CHECK_STR(o.out, "x\ntwo\nthree\n");
    rip_output_done(&o);
}

TEST(stdin_of_the_first_is_empty_by_default)
{
    struct rip_output o;
    PIPE(&o, NULL, NULL, ARGV("cat"), ARGV("cat"));
    CHECK_STR(o.out, "");
    rip_output_done(&o);
}

TEST(stderr_of_all_stages_is_captured_together)
{
    struct rip_output o;
    PIPE(&o, NULL, NULL, SH("echo a >&2"), SH("cat; echo b >&2"),
         SH("cat; echo c >&2"));
    CHECK_STR(o.out, "");
    CHECK_STR(o.err, "a\nb\nc\n");
    rip_output_done(&o);
}

/* More than all pipes hold, each way, through stages that change nothing. */
TEST_WITH(huge_data_through, .deadline = 60)
{
    size_t size = 24 << 20;
    char *data = make_data(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    struct rip_output o;
    struct rip_exit ends[3];
    PIPE(&o, ends, FED(data, size), ARGV("cat"), SH("exec tee /dev/stderr"),
         ARGV("cat"));
    CHECK_MEM(o.out, o.out_len, data, size);
    CHECK_MEM(o.err, o.err_len, data, size);
    CHECK_STR(ends_text(ends, 3), "0 0 0");
    rip_output_done(&o);
    free(data);
}

TEST_WITH(two_hundred_stages, .deadline = 60)
{
    enum { N = 200 };
    const char *const *stages[N];
    static struct rip_exit ends[N];
    struct rip_output o;
    const char *const *stage = ARGV("cat");
    for (size_t i = 0; i < N; i++)
        stages[i] = stage;
    CHECK_OK(
        rip_pipeline_run(stages, N, FED("through", 7), &o, ends, RIP_FOREVER));
    CHECK_STR(o.out, "through");
    for (size_t i = 0; i < N; i++)
        CHECK(rip_exit_ok(&ends[i]));
    rip_output_done(&o);
}

/* ---- where it comes from and goes to ---------------------------------- */

TEST(files_at_both_ends)
{
    struct rip_command_options o = {
        .in = { .kind = RIP_STDIO_FILE, .path = "in" },
        .out = { .kind = RIP_STDIO_FILE, .path = "out" },
    };
    struct rip_output out;
    write_file("in", "b\na\n", 0600);
    PIPE(&out, NULL, &o, ARGV("cat"), ARGV("sort"));
    CHECK_STR(out.out, "");
    CHECK_STR(read_file("out"), "a\nb\n");
    rip_output_done(&out);
    unlink("in");
    unlink("out");
}

/* One open file: nobody empties it, or writes over what another wrote. */
TEST(stderr_of_all_stages_in_one_file)
{
    struct rip_command_options o = {
        .err = { .kind = RIP_STDIO_FILE, .path = "err" },
    };
    struct rip_output out;
    write_file("err", "old and longer than what comes\n", 0600);
    PIPE(&out, NULL, &o, SH("echo one >&2"), SH("cat; echo two >&2"));
    CHECK_STR(read_file("err"), "one\ntwo\n");
    CHECK_STR(out.err, "");
    rip_output_done(&out);
    o.err.kind = RIP_STDIO_APPEND;
    PIPE(&out, NULL, &o, SH("echo 3 >&2"), SH("cat; echo 4 >&2"));
    CHECK_STR(read_file("err"), "one\ntwo\n3\n4\n");
    rip_output_done(&out);
    unlink("err");
}

/* As `a 2>&1 | b 2>&1`. */
TEST(stderr_goes_with_stdout)
{
    struct rip_command_options o = { .err = { .kind = RIP_STDIO_STDOUT } };
    struct rip_output out;
    PIPE(&out, NULL, &o, SH("echo a; echo b >&2"),
         SH("sed s/^/-/; echo c >&2"));
    CHECK_STR(out.out, "-a\n-b\nc\n");
    CHECK_STR(out.err, "");
    rip_output_done(&out);
}

TEST(without_a_place_for_output_it_is_inherited)
{
    struct rip_exit ends[2];
    struct rip_command_options o = { .err = { .kind = RIP_STDIO_NULL } };
    int saved = dup(1), file = open("f", O_WRONLY | O_CREAT, 0600);
    dup2(file, 1);
    PIPE(NULL, ends, &o, SH("echo x"), SH("cat; exit 4"));
    dup2(saved, 1);
    close(saved);
    close(file);
    CHECK_STR(read_file("f"), "x\n");
    CHECK_STR(ends_text(ends, 2), "0 4");
    unlink("f");
}

/* A stage has its three streams and nothing else: neither the pipes of others
 * nor the descriptors of this program. */
TEST(stages_have_no_further_descriptors)
{
    struct rip_output o;
    const char *child = harness_program("child");
    PIPE(&o, NULL, NULL, ARGV(child, "fds"), ARGV(child, "cat", ",", "fds"),
         ARGV(child, "cat", ",", "fds"));
    int lines = 0;
    for (char *s = o.out; *s; s = strchr(s, '\n') + 1) {
        CHECK(*s >= '0' && *s <= '2');
        lines++;
    }
    CHECK_INT(lines, ==, 9);
    rip_output_done(&o);
}

TEST(options_are_those_of_each_stage)
{
    struct rip_command_options o = { .cwd = "/", .env = ARGV("MARK=m") };
    struct rip_output out;
    PIPE(&out, NULL, &o, SH("pwd; echo $MARK"), SH("cat; pwd; echo $MARK"));
    CHECK_STR(out.out, "/\nm\n/\nm\n");
    rip_output_done(&out);
}

static int collect(void *arg, const struct rip_piece *piece)
{
    char *text = arg;
    size_t len = strlen(text);
    snprintf(text + len, 64 - len, "%d:%s;", piece->which, piece->data);
    return strcmp(piece->data, "stop") == 0 ? -77 : 0;
}

TEST(lines_are_told_while_they_come)
{
    char text[64] = "";
    struct rip_exit ends[2];
    struct rip_command_options o = { .on_output = collect,
                                     .on_output_arg = text,
                                     .by_lines = true,
                                     .grace = grace };
    PIPE(NULL, ends, &o, SH("echo a"), SH("cat; echo b >&2"));
    CHECK_STR(text, "1:a;2:b;");
    CHECK_STR(ends_text(ends, 2), "0 0");
    text[0] = 0;
    CHECK_ERR(rip_pipeline_run(STAGES(SH("echo stop; sleep 60"), ARGV("cat")),
                               2, &o, NULL, ends, RIP_FOREVER),
              -77);
    CHECK_STR(text, "1:stop;");
    CHECK(ends[0].stopped);
}

/* ---- how it ended ----------------------------------------------------- */

TEST(the_last_stage_that_failed_counts)
{
    static const struct {
        const char *scripts[3];
        const char *ends;
        int code;
    } cases[] = {
        { { "exit 0", "exit 0", "exit 0" }, "0 0 0", 0 },
        { { "exit 3", "exit 0", "exit 0" }, "3 0 0", 3 },
        { { "exit 3", "exit 4", "exit 0" }, "3 4 0", 4 },
        { { "exit 3", "exit 0", "exit 5" }, "3 0 5", 5 },
        { { "exit 0", "exit 4", "exit 0" }, "0 4 0", 4 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct rip_output o;
        struct rip_exit ends[3];
        harness_note("case %zu", i);
        PIPE(&o, ends, NULL, SH(cases[i].scripts[0]), SH(cases[i].scripts[1]),
             SH(cases[i].scripts[2]));
        CHECK_STR(ends_text(ends, 3), cases[i].ends);
        CHECK_INT(o.exit.how, ==, RIP_EXITED);
        CHECK_INT(o.exit.code, ==, cases[i].code);
        rip_output_done(&o);
    }
}

TEST(a_stage_that_is_killed_has_failed)
{
    struct rip_output o;
    struct rip_exit ends[2];
    PIPE(&o, ends, NULL, SH("kill -9 $$"), ARGV("cat"));
    CHECK_STR(ends_text(ends, 2), "KILL 0");
    CHECK_INT(o.exit.signal, ==, SIGKILL);
    rip_output_done(&o);
}

TEST(yes_head_is_a_success)
{
    struct rip_output o;
    struct rip_exit ends[3];
    PIPE(&o, ends, NULL, ARGV("yes"), ARGV("cat"), ARGV("head", "-n1"));
    CHECK_STR(o.out, "y\n");
    CHECK_STR(ends_text(ends, 3), "PIPE PIPE 0");
    CHECK(rip_exit_ok(&o.exit));
    rip_output_done(&o);
}

TEST(who_is_cut_off_by_a_failure_hides_it_not)
{
    struct rip_output o;
    struct rip_exit ends[3];
    PIPE(&o, ends, NULL, ARGV("yes"), SH("exec <&-; exit 7"), ARGV("cat"));
    CHECK_STR(ends_text(ends, 3), "PIPE 7 0");
    CHECK_INT(o.exit.code, ==, 7);
    rip_output_done(&o);
}

/* Nobody comes after the last that would have cut it off. */
TEST(sigpipe_in_the_last_stage_is_a_failure)
{
    struct rip_output o;
    struct rip_exit ends[2];
    PIPE(&o, ends, NULL, ARGV("true"), SH("kill -PIPE $$"));
    CHECK_INT(o.exit.how, ==, RIP_SIGNALED);
    CHECK_INT(o.exit.signal, ==, SIGPIPE);
    rip_output_done(&o);
    PIPE(&o, ends, NULL, SH("kill -PIPE $$"));
    CHECK_INT(o.exit.signal, ==, SIGPIPE);
    rip_output_done(&o);
    PIPE(&o, ends, NULL, SH("exit 3"), SH("kill -PIPE $$"));
    CHECK_STR(ends_text(ends, 2), "3 PIPE");
    CHECK_INT(o.exit.signal, ==, SIGPIPE);
    rip_output_done(&o);
}

TEST(a_stage_that_ends_before_it_reads)
{
    struct rip_output o;
    struct rip_exit ends[3];
    size_t size = 4 << 20;
    char *data = make_data(size);
    PIPE(&o, ends, FED(data, size), ARGV("cat"), ARGV("true"), ARGV("cat"));
    CHECK_STR(ends_text(ends, 3), "PIPE 0 0");
    CHECK_STR(o.out, "");
    CHECK(rip_exit_ok(&o.exit));
    rip_output_done(&o);
    PIPE(&o, NULL, FED(data, size), ARGV("true"), ARGV("cat"));
    CHECK_STR(o.out, "");
    rip_output_done(&o);
    free(data);
}

/* Its producer is told by SIGPIPE, though the stage itself goes on. */
TEST(a_stage_that_closes_its_stdin_at_once)
{
    struct rip_output o;
    struct rip_exit ends[3];
    PIPE(&o, ends, NULL, SH("echo $$ >new; mv new pid; exec yes"),
         SH("exec <&-; echo own; until test -e pid; do sleep 0.01; done; "
            "p=$(cat pid); " UNTIL_GONE("$p") "; echo more"),
         ARGV("cat"));
    unlink("pid");
    CHECK_STR(o.out, "own\nmore\n");
    CHECK_STR(ends_text(ends, 3), "PIPE 0 0");
    rip_output_done(&o);
}

/* The last ends long before the first: it is waited for, as a shell does. The
 * long sleep waits for nothing: in it the library has the time to go on too
 * soon. */
TEST(a_producer_is_waited_for)
{
    struct rip_output o;
    struct rip_exit ends[2];
    PIPE(&o, ends, NULL,
         SH("trap '' PIPE; while echo; do sleep 0.01; done 2>/dev/null; "
            "sleep 0.3; exit 3"),
         ARGV("true"));
    CHECK_STR(ends_text(ends, 2), "3 0");
    CHECK_INT(o.exit.code, ==, 3);
    rip_output_done(&o);
}

/* The consumer ends at the end of its input, though its producer goes on: if
 * this program kept the other end of that pipe it would wait for ever. */
TEST(a_consumer_sees_the_end_of_its_input)
{
    struct rip_output o;
    PIPE(&o, NULL, NULL,
         SH("exec >&-; until test -e ended; do sleep 0.01; done"),
         SH("cat; echo end"), SH("cat; echo end; echo >ended"));
    CHECK_STR(o.out, "end\nend\n");
    unlink("ended");
    rip_output_done(&o);
}

/* ---- limits ----------------------------------------------------------- */

TEST(limits_are_those_of_the_whole)
{
    struct rip_output o;
    struct rip_exit ends[2];
    struct rip_command_options options = { .max_output = 6 };
    PIPE(&o, ends, &options, SH("seq 100000; seq 100000 >&2"), ARGV("cat"));
    CHECK_STR(o.out, "1\n2\n3\n");
    CHECK_STR(o.err, "1\n2\n3\n");
    CHECK(o.truncated);
    CHECK_STR(ends_text(ends, 2), "0 0");
    rip_output_done(&o);
    options.overflow = RIP_OVERFLOW_HEAD_TAIL;
    PIPE(&o, ends, &options, ARGV("seq", "100000"), ARGV("cat"));
    CHECK_STR(o.out, "1\n200\n");
    rip_output_done(&o);
}

TEST(too_much_stops_all_stages)
{
    struct rip_output o;
    struct rip_exit ends[2];
    struct rip_failure f = { 0 };
    struct rip_command_options options = { .max_output = 4,
                                           .overflow = RIP_OVERFLOW_FAIL,
                                           .grace = grace,
                                           .failure = &f };
    CHECK_ERR(rip_pipeline_run(STAGES(SH("yes; sleep 60"), ARGV("cat")), 2,
                               &options, &o, ends, RIP_FOREVER),
              -EMSGSIZE);
    CHECK_STR(f.step, "run");
    CHECK_STR(f.subject, "sh");
    CHECK_INT(f.code, ==, -EMSGSIZE);
    CHECK_STR(o.out, "y\ny\n");
    CHECK(o.truncated);
    CHECK(o.exit.stopped);
    CHECK(!o.exit.timed_out);
    CHECK(ends[0].stopped);
    CHECK(ends[1].how != RIP_RUNNING);
    rip_output_done(&o);
}
