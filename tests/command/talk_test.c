/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "hear.h"
#include "os/os.h"
#include "run.h"

/* Output that is told to a callback while it comes. */

#define MIB ((size_t)1 << 20)

/* The library reads at most so many bytes at once. */
static long most;

static long read_little(long nr, const long args[6])
{
    long a[6];
    memcpy(a, args, sizeof a);
    if (nr == SYS_read && a[2] > most)
        a[2] = most;
    return rip__seam_real.syscall(nr, a);
}

static void check_lines(const char *const *argv, const char *want)
{
    struct heard h = { 0 };
    struct rip_command_options o = by_lines(&h);
    struct rip_output out;
    for (most = 1; most <= 8; most++) {
        rip__seam.syscall = read_little;
        run(&out, argv, &o);
        rip__seam.syscall = rip__seam_real.syscall;
        CHECK_STR(out.out, "");
        CHECK_STR(out.err, "");
        rip_output_done(&out);
        check_heard(&h, want);
    }
}

/* ---- lines ------------------------------------------------------------ */

TEST(lines_however_they_are_read)
{
    check_lines(SH("printf 'one\\ntwo\\nthree\\n'"), "1one\n1two\n1three\n");
    check_lines(SH("printf 'one\\n\\n\\nfour'"), "1one\n1\n1\n1four|");
    check_lines(SH("printf '\\n'"), "1\n");
    check_lines(SH("printf 'a\\r\\nb' >&2"), "2a\r\n2b|");
    check_lines(SH("true"), "");
}

TEST(lines_with_nuls)
{
    struct heard h = { 0 };
    struct rip_command_options o = by_lines(&h);
    struct rip_output out;
    run(&out, SH("printf 'a\\0b\\n\\0\\n\\0'"), &o);
    CHECK_MEM(h.text.data, h.text.len, "1a\0b\n1\0\n1\0|", 11);
    rip_output_done(&out);
    free(h.text.data);
}

TEST(a_line_of_a_mebibyte_is_whole_and_more_comes_in_pieces)
{
    static const struct {
        size_t len, pieces;
    } cases[] = { { MIB - 1, 1 }, { MIB, 1 },         { MIB + 1, 2 },
                  { 2 * MIB, 2 }, { 2 * MIB + 1, 3 }, { 3 * MIB + 7, 4 } };
    for (size_t i = 0; i < RIP__LENGTH(cases); i++) {
        struct heard h = { 0 };
        struct rip_command_options o = by_lines(&h);
        struct rip_output out;
        char script[128];
        snprintf(script, sizeof script,
                 "head -c %zu /dev/zero | tr '\\0' x; echo; echo",
                 cases[i].len);
        harness_note("a line of %zu", cases[i].len);
        run(&out, SH(script), &o);
        CHECK_INT(h.pieces, ==, cases[i].pieces + 1);
        CHECK_INT(h.longest, ==, cases[i].len < MIB ? cases[i].len : MIB);
        /* Each piece has two more in the text. */
        CHECK_INT(h.text.len, ==, cases[i].len + 2 * h.pieces);
        CHECK_STR(h.text.data + h.text.len - 4, "x\n1\n");
        rip_output_done(&out);
        free(h.text.data);
    }
}

/* ---- order ------------------------------------------------------------ */

TEST(pieces_come_while_the_command_runs_and_in_its_order)
{
    struct heard h = { .go = "go" };
    struct rip_command_options o = by_lines(&h);
    const char *const *argv =
        SH("echo go; until test -e go; do sleep 0.01; done; echo two >&2; "
           "until test -e on; do sleep 0.01; done; echo three");
    struct rip_output out;
    rip_command *c = start(argv, &o);
    while (h.pieces < 2) {
        CHECK_ERR(rip_command_communicate(c, NULL, 0, &out, rip_after_ms(20)),
                  -ETIMEDOUT);
        CHECK_STR(out.out, "");
        rip_output_done(&out);
    }
    write_file("on", "", 0600);
    CHECK_OK(rip_command_communicate(c, NULL, 0, NULL, RIP_FOREVER));
    check_heard(&h, "1go\n2two\n1three\n");
    rip_command_free(c);
    unlink("go");
    unlink("on");
}

TEST(chunks_are_all_that_came)
{
    size_t size = 8 * MIB;
    char *data = make_data(size);
    struct heard h = { 0 };
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    struct rip_command_options o = { .input = data,
                                     .input_len = size,
                                     .on_output = hear_bytes,
                                     .on_output_arg = &h };
    /* Without a place for the output, too. */
    CHECK_OK(rip_run(ARGV("cat"), &o, NULL, RIP_FOREVER));
    CHECK_MEM(h.text.data, h.text.len, data, size);
    free(h.text.data);
    free(data);
}

/* The writer of a stream that flows is given a larger pipe; where it is not
 * allowed, all goes on as before. */
TEST(a_pipe_that_is_always_full_grows)
{
    struct heard h = { .fail_at = 100, .error = -ECANCELED };
    struct rip_command_options o = by_lines(&h);
    o.by_lines = false;
    o.on_output = hear_bytes;
    rip_command *c = start(ARGV("cat", "/dev/zero"), &o);
    CHECK_ERR(rip_command_communicate(c, NULL, 0, NULL, RIP_FOREVER),
              -ECANCELED);
    CHECK_INT(fcntl(rip_command_pipe(c, 1), F_GETPIPE_SZ), >=, 1 << 18);
    CHECK_INT(fcntl(rip_command_pipe(c, 2), F_GETPIPE_SZ), <=, 1 << 16);
    rip_command_free(c);
    free(h.text.data);
}

/* ---- an end by the callback ------------------------------------------- */

/* Also the errors that mean something else when they are the library's. */
TEST(what_the_callback_gives_is_the_result)
{
    static const int errors[] = { -ECANCELED, -ETIMEDOUT, -EMSGSIZE, -EAGAIN,
                                  -1000000,   -4096,      -ENOMEM };
    for (size_t i = 0; i < RIP__LENGTH(errors); i++) {
        struct heard h = { .fail_at = 2, .error = errors[i] };
        struct rip_command_options o = by_lines(&h);
        struct rip_output out = { 0 };
        harness_note("error %d", errors[i]);
        CHECK_INT(rip_run(ARGV("yes"), &o, &out, RIP_FOREVER), ==, errors[i]);
        CHECK_STR(out.out, "");
        CHECK(out.exit.stopped);
        CHECK(!out.exit.timed_out);
        CHECK_INT(out.exit.signal, ==, SIGTERM);
        rip_output_done(&out);
        check_heard(&h, "1y\n1y\n");
    }
}

TEST(the_callback_can_fail_at_the_very_last_piece)
{
    struct heard h = { .fail_at = 2, .error = -EPROTO };
    struct rip_command_options o = by_lines(&h);
    struct rip_output out = { 0 };
    CHECK_ERR(rip_run(SH("printf 'one\\ntwo'; exit 3"), &o, &out, RIP_FOREVER),
              -EPROTO);
    CHECK_INT(out.exit.code, ==, 3);
    rip_output_done(&out);
    check_heard(&h, "1one\n1two|");
}

/* It has a way to end well, and nobody who listens. */
TEST(after_an_error_last_words_are_read_but_not_told)
{
    struct heard h = { .fail_at = 1, .error = -ECANCELED };
    struct rip_command_options o = by_lines(&h);
    struct rip_output out;
    o.grace = 30;
    CHECK_ERR(rip_run(SH("trap 'seq 100000; exit 5' TERM; echo on; while :; do "
                         "sleep 0.01; done"),
                      &o, &out, RIP_FOREVER),
              -ECANCELED);
    CHECK_INT(out.exit.code, ==, 5);
    CHECK(!out.truncated);
    rip_output_done(&out);
    check_heard(&h, "1on\n");
}

TEST(communicate_goes_on_behind_the_piece_that_failed)
{
    struct heard h = { .fail_at = 2, .error = -ETIMEDOUT };
    struct rip_command_options o = by_lines(&h);
    struct rip_output out;
    rip_command *c = start(SH("printf '1\\n2\\n3\\n4'"), &o);
    end_of(c); /* so all is read at once */
    CHECK_ERR(rip_command_communicate(c, NULL, 0, &out, RIP_FOREVER),
              -ETIMEDOUT);
    rip_output_done(&out);
    CHECK_STR(h.text.data, "11\n12\n");
    CHECK_OK(rip_command_communicate(c, NULL, 0, &out, RIP_FOREVER));
    rip_output_done(&out);
    check_heard(&h, "11\n12\n13\n14|");
    rip_command_free(c);
}

/* ---- limits ----------------------------------------------------------- */

static void check_limited(const char *script, size_t max,
                          enum rip_overflow overflow, const char *want,
                          bool truncated)
{
    struct heard h = { .go = "go" };
    struct rip_command_options o = by_lines(&h);
    struct rip_output out = { 0 };
    bool fails = truncated && overflow == RIP_OVERFLOW_FAIL;
    o.max_output = max;
    o.overflow = overflow;
    harness_note("%s, %zu", script, max);
    CHECK_INT(rip_run(SH(script), &o, &out, RIP_FOREVER), ==,
              fails ? -EMSGSIZE : 0);
    CHECK_INT(out.truncated, ==, truncated);
    rip_output_done(&out);
    check_heard(&h, want);
}

TEST(a_limit_counts_each_stream_with_its_newlines)
{
    static const char abc[] = "printf 'ab\\nc\\n'";
    const enum rip_overflow way = RIP_OVERFLOW_TRUNCATE;
    check_limited(abc, 1, way, "1a|", true);
    check_limited(abc, 2, way, "1ab|", true);
    check_limited(abc, 3, way, "1ab\n", true);
    check_limited(abc, 4, way, "1ab\n1c|", true);
    check_limited(abc, 5, way, "1ab\n1c\n", false);
    check_limited(abc, 6, way, "1ab\n1c\n", false);
    check_limited("printf ab", 2, way, "1ab|", false);
    check_limited("printf abc", 2, way, "1ab|", true);
    check_limited("true", 1, way, "", false);
    check_limited("seq 100000", 3, way, "11\n12|", true);
    check_limited("echo go; until test -e go; do sleep 0.01; done; "
                  "echo cd >&2",
                  3, way, "1go\n2cd\n", false);
    unlink("go");
}

/* Nor is it waited for a newline. */
TEST(a_limit_can_be_a_failure)
{
    static const char abc[] = "printf 'ab\\nc\\n'";
    const enum rip_overflow way = RIP_OVERFLOW_FAIL;
    check_limited(abc, 4, way, "1ab\n1c|", true);
    check_limited(abc, 5, way, "1ab\n1c\n", false);
    check_limited("yes", 3, way, "1y\n1y|", true);
    check_limited("printf abcdef; sleep 60", 3, way, "1abc|", true);
}

TEST(a_limit_of_chunks)
{
    for (int way = RIP_OVERFLOW_TRUNCATE; way <= RIP_OVERFLOW_FAIL; way++) {
        for (size_t max = 999998; max <= 1000001; max++) {
            struct heard h = { 0 };
            struct rip_output out;
            struct rip_command_options o = by_lines(&h);
            bool over = max < 1000000;
            o.by_lines = false;
            o.on_output = hear_bytes;
            o.max_output = max;
            o.overflow = (enum rip_overflow)way;
            harness_note("at most %zu", max);
            CHECK_INT(rip_run(ARGV("head", "-c", "1000000", "/dev/zero"), &o,
                              &out, RIP_FOREVER),
                      ==, over && way == RIP_OVERFLOW_FAIL ? -EMSGSIZE : 0);
            CHECK_INT(out.truncated, ==, over);
            CHECK_INT(h.text.len, ==, over ? max : 1000000);
            rip_output_done(&out);
            free(h.text.data);
        }
    }
}

/* ---- memory ----------------------------------------------------------- */

static size_t held, peak;

static void *measured_resize(void *p, size_t size)
{
    size_t before = p ? malloc_usable_size(p) : 0;
    void *q = rip__seam_real.resize(p, size);
    if (q) {
        held += malloc_usable_size(q) - before;
        peak = held > peak ? held : peak;
    }
    return q;
}

static void measured_release(void *p)
{
    held -= p ? malloc_usable_size(p) : 0;
    rip__seam_real.release(p);
}

static int hear_nothing(void *arg, const struct rip_piece *p)
{
    (void)arg, (void)p;
    return 0;
}

/* The most memory that the library holds meanwhile. */
static size_t peak_of(const char *const *argv,
                      const struct rip_command_options *o)
{
    struct rip__seam before = rip__seam;
    struct rip_output out;
    rip__seam.resize = measured_resize;
    rip__seam.release = measured_release;
    held = peak = 0;
    run(&out, argv, o);
    rip_output_done(&out);
    CHECK_INT(held, ==, 0);
    rip__seam = before;
    return peak;
}

TEST_WITH(memory_is_bounded_whatever_comes, .deadline = 60)
{
    const char *const *both =
        ARGV(harness_program("child"), "flood", "both", "100000000");
    const char *const *no_newline =
        SH("head -c 50000000 /dev/zero & head -c 50000000 /dev/zero >&2; wait");
    struct rip_command_options o = { .on_output = hear_nothing };
    CHECK_INT(peak_of(both, &o), <, MIB);
    o.by_lines = true;
    CHECK_INT(peak_of(both, &o), <, MIB);
    CHECK_INT(peak_of(no_newline, &o), <, 4 * MIB);
    o = (struct rip_command_options){ .max_output = 1000 };
    CHECK_INT(peak_of(both, &o), <, MIB);
    o = (struct rip_command_options){ .max_output = 10 * MIB,
                                      .overflow = RIP_OVERFLOW_HEAD_TAIL };
    CHECK_INT(peak_of(both, &o), <, 31 * MIB);
}

/* ---- options ---------------------------------------------------------- */

TEST(what_makes_no_sense_is_refused)
{
    const struct rip_command_options cases[] = {
        { .by_lines = true },
        { .on_output = hear,
          .max_output = 1,
          .overflow = RIP_OVERFLOW_HEAD_TAIL },
        { .max_output = (size_t)-1 },
        { .input = "", .input_len = (size_t)-1 },
        { .max_output = 1, .overflow = (enum rip_overflow)3 },
        { .max_output = 1, .overflow = (enum rip_overflow) - 1 },
    };
    static const char *const names[] = {
        "by_lines without on_output",
        "overflow and on_output",
        "max_output",
        "input_len",
        "overflow",
        "overflow",
    };
    for (size_t i = 0; i < RIP__LENGTH(cases); i++)
        refuse(ARGV("true"), &cases[i], -EINVAL, "option", names[i]);
}

/* ---- faults ----------------------------------------------------------- */

/* What has been told is the beginning of what was said, and all of it in the
 * end, whatever fails meanwhile. */
static void check_beginning(const struct heard *h, const char *all, bool whole)
{
    if (whole)
        CHECK_STR(h->text.data ? h->text.data : "", all);
    else if (h->text.data)
        CHECK_MEM(h->text.data, h->text.len, all, h->text.len);
}

static void run_told(void *arg)
{
    static const char input[] = "one\ntwo\n\nfour";
    const int *lines = arg;
    struct heard h = { 0 };
    struct rip_command_options o = { .input = input,
                                     .input_len = sizeof input - 1,
                                     .on_output = hear_bytes,
                                     .on_output_arg = &h,
                                     .by_lines = lines != NULL,
                                     .grace = 0.05 };
    struct rip_output out = { 0 };
    int r = rip_run(ARGV("cat"), &o, &out, RIP_FOREVER);
    bool fed = r == 0 && out.exit.how == RIP_EXITED && out.exit.code == 0 &&
               h.text.len > 0;
    check_beginning(&h, input, fed);
    rip_output_done(&out);
    free(h.text.data);
}

TEST_WITH(telling_survives_every_fault, .deadline = 240)
{
    static int lines;
    CHECK_INT(fault_sweep(run_told, NULL, NULL), >, 40);
    CHECK_INT(fault_sweep(run_told, &lines, NULL), >, 40);
}

/* A flow, in whose course the pipe is widened, and an end by the callback. */
static void run_refused(void *arg)
{
    struct heard h = { .fail_at = 50, .error = -ECANCELED };
    struct rip_command_options o = { .on_output = hear_bytes,
                                     .on_output_arg = &h,
                                     .grace = 0.05 };
    struct rip_output out = { 0 };
    (void)arg;
    int r = rip_run(ARGV("cat", "/dev/zero"), &o, &out, RIP_FOREVER);
    CHECK_INT(r, !=, 0);
    CHECK_INT(h.pieces, <=, 50);
    rip_output_done(&out);
    free(h.text.data);
}

TEST_WITH(refusing_survives_every_fault, .deadline = 240)
{
    struct fault_options some = { .most = 16 };
    CHECK_INT(fault_sweep(run_refused, NULL, &some), >, 40);
}
