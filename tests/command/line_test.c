/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "fault.h"
#include "harness.h"
#include "run.h"

static const struct rip_command_options piped = {
    .in = { .kind = RIP_STDIO_PIPE },
    .out = { .kind = RIP_STDIO_PIPE },
    .err = { .kind = RIP_STDIO_PIPE },
};

#define CHILD(...) start(ARGV(harness_program("child"), __VA_ARGS__), &piped)

/* What the tests read into. */
static char *line;
static size_t cap;

static ssize_t next(rip_command *c, rip_time deadline)
{
    return rip_command_line(c, &line, &cap, deadline);
}

static void expect(rip_command *c, const char *text, size_t len)
{
    ssize_t n = CHECK_OK(next(c, RIP_FOREVER));
    CHECK_MEM(line, (size_t)n, text, len);
    CHECK_INT(line[n], ==, 0);
    CHECK_INT(n, <, cap);
}

#define EXPECT(c, text) expect(c, text, sizeof(text) - 1)

static void expect_end(rip_command *c)
{
    CHECK_INT(next(c, RIP_FOREVER), ==, 0);
    CHECK_INT(next(c, RIP_NOW), ==, 0);
}

static void done(rip_command *c)
{
    rip_command_free(c);
    free(harness_take(line));
    line = NULL;
    cap = 0;
}

TEST(lines_one_at_a_time)
{
    rip_command *c = start(ARGV("printf", "a\\n\\nb\\0c\\n\\0\\nlast"), &piped);
    EXPECT(c, "a\n");
    EXPECT(c, "\n");
    EXPECT(c, "b\0c\n");
    EXPECT(c, "\0\n");
    EXPECT(c, "last");
    expect_end(c);
    done(c);
}

TEST(no_line_at_all)
{
    rip_command *c = start(ARGV("true"), &piped);
    expect_end(c);
    CHECK(line == NULL);
    done(c);
}

TEST(what_can_not_be_read)
{
    rip_command *c = start(ARGV("true"), &(struct rip_command_options){ 0 });
    CHECK_ERR(next(c, RIP_NOW), -EINVAL);
    rip_command_free(c);
    c = start(ARGV("echo"), &piped);
    CHECK_ERR(rip_command_line(c, NULL, &cap, RIP_NOW), -EINVAL);
    CHECK_ERR(rip_command_line(c, &line, NULL, RIP_NOW), -EINVAL);
    EXPECT(c, "\n");
    done(c);
}

TEST(the_buffer_of_the_caller)
{
    char *mine = malloc(4), *before;
    size_t size = 4;
    rip_command *c =
        start(ARGV("printf", "abc\\nabcd\\n%0200d\\n", "0"), &piped);
    CHECK_INT(rip_command_line(c, &mine, &size, RIP_FOREVER), ==, 4);
    CHECK_STR(mine, "abc\n"); /* five bytes, so it has grown */
    CHECK_INT(size, >=, 5);
    before = mine;
    CHECK_INT(rip_command_line(c, &mine, &size, RIP_FOREVER), ==, 5);
    CHECK(mine == before);
    CHECK_INT(rip_command_line(c, &mine, &size, RIP_FOREVER), ==, 201);
    CHECK_INT(strspn(mine, "0"), ==, 200);
    free(harness_take(mine));
    /* NULL, whatever the size says. */
    mine = NULL;
    size = 1000;
    rip_command_free(c);
    c = start(ARGV("echo", "x"), &piped);
    CHECK_INT(rip_command_line(c, &mine, &size, RIP_FOREVER), ==, 2);
    free(harness_take(mine));
    rip_command_free(c);
}

/* ---- mixed with other ways to read ------------------------------------ */

TEST(lines_and_reads_see_the_same_bytes)
{
    char buf[16];
    struct rip_output out;
    rip_command *c =
        start(ARGV("printf", "one\\ntwo\\nthree\\nfo\\nur"), &piped);
    EXPECT(c, "one\n");
    CHECK_INT(rip_command_read(c, 1, buf, 2, RIP_FOREVER), ==, 2);
    CHECK_MEM(buf, 2, "tw", 2);
    EXPECT(c, "o\n");
    CHECK_INT(rip_command_read(c, 1, buf, 1, RIP_FOREVER), ==, 1);
    EXPECT(c, "hree\n");
    CHECK_OK(rip_command_communicate(c, NULL, 0, &out, RIP_FOREVER));
    CHECK_STR(out.out, "fo\nur");
    rip_output_done(&out);
    expect_end(c);
    done(c);
}

/* A part of a line that was searched already, then cut by a limit: what comes
 * to stand in its place has newlines. */
TEST(a_line_after_a_communicate_that_cut)
{
    struct rip_command_options o = piped;
    bool all = false;
    o.max_output = 8;
    o.overflow = RIP_OVERFLOW_HEAD_TAIL;
    rip_command *c =
        start(ARGV(harness_program("child"), "part", "0123456789", ",", "await",
                   ",", "part", "a\nb\nc\nd\n", ",", "wait"),
              &o);
    while (c->out[0].searched < 10)
        CHECK_ERR(next(c, rip_after_ms(1)), -ETIMEDOUT);
    while (!all) {
        struct rip_output out;
        CHECK_ERR(rip_command_communicate(c, "\n", 1, &out, rip_after_ms(5)),
                  -ETIMEDOUT);
        all = strcmp(out.out, "0123c\nd\n") == 0;
        rip_output_done(&out);
    }
    EXPECT(c, "0123c\n");
    EXPECT(c, "d\n");
    done(c);
}

TEST(a_line_after_a_communicate_that_took_it)
{
    struct rip_output out;
    rip_command *c = CHILD("part", "abc", ",", "await", ",", "print", "d");
    while (c->out[0].searched < 3)
        CHECK_ERR(next(c, rip_after_ms(1)), -ETIMEDOUT);
    CHECK_OK(rip_command_communicate(c, NULL, 0, &out, RIP_FOREVER));
    CHECK_STR(out.out, "abcd\n");
    rip_output_done(&out);
    expect_end(c);
    done(c);
}

/* ---- deadlines -------------------------------------------------------- */

TEST(a_deadline_in_the_middle_of_a_line)
{
    char buf[16];
    rip_command *c = CHILD("part", "abc", ",", "await", ",", "print", "def",
                           ",", "part", "gh", ",", "await");
    rip_time deadline = rip_after_ms(30);
    CHECK_ERR(next(c, deadline), -ETIMEDOUT);
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK_ERR(next(c, RIP_NOW), -ETIMEDOUT);
    CHECK(line == NULL);
    CHECK_INT(rip_command_write(c, "\n", 1, RIP_FOREVER), ==, 1);
    EXPECT(c, "abcdef\n");
    while (c->out[0].searched < 2)
        CHECK_ERR(next(c, rip_after_ms(1)), -ETIMEDOUT);
    CHECK_INT(rip_command_read(c, 1, buf, sizeof buf, RIP_NOW), ==, 2);
    CHECK_MEM(buf, 2, "gh", 2);
    done(c);
}

/* It takes several reads, none of which needs to wait. */
TEST(a_whole_line_is_there_now)
{
    rip_command *c = CHILD("long", "60000");
    end_of(c);
    CHECK_INT(next(c, RIP_NOW), ==, 60001);
    expect_end(c);
    done(c);
}

static long read_endlessly(long nr, const long args[6])
{
    if (nr != SYS_read)
        return rip__seam_real.syscall(nr, args);
    memset((char *)args[1], 'x', 64);
    return 64;
}

/* Nor does one who always has more in the pipe than is read at a time. */
TEST(a_line_without_end_keeps_nobody)
{
    rip_command *c = CHILD("long", "-1");
    long (*before)(long, const long[6]) = rip__seam.syscall;
    for (int i = 0; i < 4; i++) {
        rip_time deadline = rip_time_now() + 50000000;
        rip__seam.syscall = i < 2 ? before : read_endlessly;
        CHECK_ERR(next(c, i % 2 == 1 ? RIP_NOW : deadline), -ETIMEDOUT);
        CHECK_INT(rip_time_now() - deadline, <, 3000000000);
    }
    rip__seam.syscall = before;
    done(c);
}

/* ---- a lot of it ------------------------------------------------------ */

TEST_WITH(a_line_of_ten_megabytes, .deadline = 20)
{
    const size_t size = 10000000;
    rip_command *c = CHILD("long", "10000000", ",", "count", "200000");
    CHECK_INT(next(c, RIP_FOREVER), ==, size + 1);
    CHECK_INT(line[size], ==, '\n');
    CHECK_INT(strspn(line, "x"), ==, size);
    EXPECT(c, "1\n");
    while (CHECK_OK(next(c, RIP_FOREVER)) > 0)
        ;
    CHECK_INT(c->out[0].buffer.cap, <, 4000000); /* and it was not kept */
    done(c);
}

/* Reads give no more than 64 bytes from here on. */
static long read_little(long nr, const long args[6])
{
    long little[6] = {
        args[0], args[1], nr == SYS_read && args[2] > 64 ? 64 : args[2],
        args[3], args[4], args[5]
    };
    return rip__seam_real.syscall(nr, little);
}

/* To look at what came before once again with every piece would take half a
 * minute at 10 GB/s. */
TEST(a_huge_line_in_small_pieces)
{
    rip_command *c = CHILD("long", "8000000");
    long (*before)(long, const long[6]) = rip__seam.syscall;
    rip__seam.syscall = read_little;
    CHECK_INT(next(c, RIP_FOREVER), ==, 8000001);
    rip__seam.syscall = before;
    done(c);
}

static int reads;

static long count_reads(long nr, const long args[6])
{
    reads += nr == SYS_read;
    return rip__seam_real.syscall(nr, args);
}

TEST(what_goes_on_is_read_in_larger_pieces)
{
    rip_command *c = CHILD("count", "10000");
    long (*before)(long, const long[6]) = rip__seam.syscall;
    end_of(c); /* all 48,894 bytes are in the pipe */
    rip__seam.syscall = count_reads;
    while (CHECK_OK(next(c, RIP_FOREVER)) > 0)
        ;
    rip__seam.syscall = before;
    CHECK_INT(reads, <=, 7);
    done(c);
}

TEST_WITH(many_short_lines, .deadline = 30)
{
    char want[16];
    rip_command *c = CHILD("count", "1000000");
    for (int i = 1; i <= 1000000; i++) {
        ssize_t n = next(c, RIP_FOREVER);
        int len = snprintf(want, sizeof want, "%d\n", i);
        if (n != len || memcmp(line, want, (size_t)len + 1) != 0)
            FAIL("line %d is %zd bytes: %s", i, n, n > 0 ? line : "");
    }
    expect_end(c);
    CHECK_INT(c->out[0].buffer.cap, <, 300000); /* not all that ever came */
    CHECK_INT(cap, <, 300);
    done(c);
}

/* ---- faults ----------------------------------------------------------- */

enum { TEXT = 16000 };

/* Lines until one fails; then, where memory was what failed, by reads that
 * need none: all of the text has to be there. */
static void read_lines(void *arg)
{
    static char got[TEXT * 2];
    size_t len = 0;
    ssize_t n;
    rip_command *c;
    (void)arg;
    if (rip_command_start(&c,
                          ARGV(harness_program("child"), "count", "3000", ",",
                               "long", "2106"),
                          &piped) < 0)
        return;
    while ((n = next(c, RIP_FOREVER)) > 0) {
        memcpy(got + len, line, (size_t)n);
        len += (size_t)n;
    }
    CHECK(n == 0 || n == -ENOMEM || n == -EIO);
    while (n == -ENOMEM || n > 0) {
        n = rip_command_read(c, 1, got + len, sizeof got - len, RIP_FOREVER);
        len += n > 0 ? (size_t)n : 0;
    }
    if (n == 0) {
        CHECK_INT(len, ==, TEXT);
        CHECK_MEM(got + TEXT - 8, 8, "xxxxxxx\n", 8);
    }
    done(c);
}

TEST_WITH(lines_survive_every_fault, .deadline = 240)
{
    CHECK_INT(fault_sweep(read_lines, NULL, NULL), >, 40);
}
