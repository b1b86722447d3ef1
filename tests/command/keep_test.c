/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "command/command.h"
#include "fault.h"
#include "harness.h"
#include "os/os.h"
#include "run.h"

/* What is kept of the output: exactly which bytes, whatever the limit, and
 * however the output is cut by reads and deadlines. */

#define MIB ((size_t)1 << 20)

/* What `seq 1 n` writes. */
static struct rip__buffer sequence(int n)
{
    struct rip__buffer b = { 0 };
    for (int i = 1; i <= n; i++) {
        char line[16];
        int len = snprintf(line, sizeof line, "%d\n", i);
        CHECK_OK(rip__buffer_append(&b, line, (size_t)len));
    }
    return b;
}

static const char *const *seq(int n)
{
    static char number[16];
    static const char *argv[] = { "seq", "1", number, NULL };
    snprintf(number, sizeof number, "%d", n);
    return argv;
}

static void check_kept(const char *got, size_t len,
                       const struct rip__buffer *all, size_t max,
                       enum rip_overflow overflow)
{
    size_t tail = overflow == RIP_OVERFLOW_HEAD_TAIL ? max / 2 : 0;
    if (max == 0 || all->len <= max) {
        CHECK_MEM(got, len, all->data, all->len);
        return;
    }
    CHECK_INT(len, ==, max);
    CHECK_MEM(got, max - tail, all->data, max - tail);
    CHECK_MEM(got + max - tail, tail, all->data + all->len - tail, tail);
    CHECK_INT(got[len], ==, 0);
}

static void run_kept(int n, size_t max, enum rip_overflow overflow)
{
    struct rip__buffer all = sequence(n);
    struct rip_command_options options = { .max_output = max,
                                           .overflow = overflow };
    struct rip_output o;
    harness_note("seq %d, limit %zu", n, max);
    run(&o, seq(n), &options);
    check_kept(o.out, o.out_len, &all, max, overflow);
    CHECK_INT(o.truncated, ==, max > 0 && all.len > max);
    CHECK_STR(o.err, "");
    rip_output_done(&o);
    rip__buffer_done(&all);
}

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

TEST(small_limits_are_exact)
{
    static const size_t limits[] = { 1, 2, 3, 4, 5, 7, 20, 21, 22, 23 };
    for (size_t i = 0; i < RIP__LENGTH(limits); i++) {
        for (most = 1; most <= 25; most += 6) {
            rip__seam.syscall = read_little;
            run_kept(10, limits[i], RIP_OVERFLOW_HEAD_TAIL); /* 21 bytes */
            run_kept(10, limits[i], RIP_OVERFLOW_TRUNCATE);
            rip__seam.syscall = rip__seam_real.syscall;
        }
    }
}

/* Around the sizes in which is read: a tail that is less than that, and one
 * that is filled by reads that go straight into it. */
TEST_WITH(large_limits_are_exact, .deadline = 60)
{
    static const size_t limits[] = {
        1001,    4096,        4097,        131071,  131072,
        262143,  262144,      262145,      524287,  MIB,
        MIB + 1, 3 * MIB + 5, 6888895 - 1, 6888895, 6888895 + 1,
    };
    for (size_t i = 0; i < RIP__LENGTH(limits); i++) {
        run_kept(1000000, limits[i], RIP_OVERFLOW_HEAD_TAIL); /* 6888896 */
        run_kept(1000000, limits[i], RIP_OVERFLOW_TRUNCATE);
    }
    run_kept(1000000, 0, RIP_OVERFLOW_TRUNCATE);
}

/* ---- failing ---------------------------------------------------------- */

static void run_failing(const char *script, size_t max, int result,
                        const char *out, const char *err)
{
    struct rip_command_options options = { .max_output = max,
                                           .overflow = RIP_OVERFLOW_FAIL,
                                           .grace = 0.05 };
    struct rip_output o;
    harness_note("%s", script);
    CHECK_INT(rip_run(SH(script), &options, &o, RIP_FOREVER), ==, result);
    CHECK_STR(o.out, out);
    CHECK_STR(o.err, err);
    CHECK_INT(o.truncated, ==, result < 0);
    rip_output_done(&o);
}

TEST(too_much_is_one_byte_more_in_either_stream)
{
    run_failing("printf 1234", 4, 0, "1234", "");
    run_failing("printf 12345", 4, -EMSGSIZE, "1234", "");
    run_failing("printf 1234; printf 5678 >&2", 4, 0, "1234", "5678");
    run_failing("printf 1234; printf 56789 >&2; exec sleep 60", 4, -EMSGSIZE,
                "1234", "5678");
    run_failing("true", 1, 0, "", "");
}

/* One that says much on its way out is not blocked until it is killed. */
TEST(last_words_after_a_failure_are_read)
{
    struct rip_command_options options = { .max_output = 4,
                                           .overflow = RIP_OVERFLOW_FAIL,
                                           .grace = 30 };
    struct rip_output o;
    CHECK_ERR(rip_run(SH("trap 'seq 100000; exit 5' TERM; echo 12345; while :; "
                         "do sleep 0.01; done"),
                      &options, &o, RIP_FOREVER),
              -EMSGSIZE);
    CHECK_STR(o.out, "1234");
    CHECK_INT(o.exit.code, ==, 5);
    CHECK(o.exit.stopped);
    rip_output_done(&o);
}

TEST(each_stream_has_the_limit)
{
    struct rip_command_options options = { .max_output = 65 };
    struct rip_output o;
    run(&o, ARGV(harness_program("child"), "flood", "both", "1000000"),
        &options);
    CHECK_INT(o.out_len, ==, 65);
    CHECK_INT(o.err_len, ==, 65);
    CHECK(o.truncated);
    rip_output_done(&o);
}

/* ---- call by call ----------------------------------------------------- */

static void resume_kept(int n, size_t max, enum rip_overflow overflow)
{
    struct rip__buffer all = sequence(n);
    struct rip_command_options options = { .out = { .kind = RIP_STDIO_PIPE },
                                           .max_output = max,
                                           .overflow = overflow };
    struct rip_output o;
    rip_command *c = start(seq(n), &options);
    int r;
    harness_note("seq %d, limit %zu", n, max);
    do {
        r = rip_command_communicate(c, NULL, 0, &o, RIP_NOW);
        if (r == -ETIMEDOUT && !o.truncated)
            CHECK_MEM(o.out, o.out_len, all.data, o.out_len);
        if (r == 0)
            check_kept(o.out, o.out_len, &all, max, overflow);
        rip_output_done(&o);
    } while (r == -ETIMEDOUT);
    CHECK_OK(r);
    rip_command_free(c);
    rip__buffer_done(&all);
}

TEST_WITH(deadlines_change_nothing_of_what_is_kept, .deadline = 60)
{
    resume_kept(100000, 0, RIP_OVERFLOW_TRUNCATE);
    resume_kept(100000, 1001, RIP_OVERFLOW_TRUNCATE);
    resume_kept(100000, 1001, RIP_OVERFLOW_HEAD_TAIL);
    resume_kept(1000000, 300001, RIP_OVERFLOW_HEAD_TAIL);
    resume_kept(1000000, MIB + 1, RIP_OVERFLOW_HEAD_TAIL);
}

TEST_WITH(a_hundred_deadlines_double_nothing, .deadline = 30)
{
    struct rip__buffer all = sequence(100);
    struct rip_command_options options = { .out = { .kind = RIP_STDIO_PIPE } };
    rip_command *c =
        start(ARGV(harness_program("child"), "slow", "100", "2"), &options);
    struct rip_output o;
    size_t before = 0;
    int r, rounds = 0;
    do {
        r = rip_command_communicate(c, NULL, 0, &o, rip_after_ms(1));
        CHECK(r == 0 || r == -ETIMEDOUT);
        CHECK_INT(o.out_len, >=, before);
        CHECK_MEM(o.out, o.out_len, all.data, o.out_len);
        before = o.out_len;
        rip_output_done(&o);
        rounds++;
    } while (r != 0);
    CHECK_INT(rounds, >, 50);
    CHECK_INT(before, ==, all.len);
    rip_command_free(c);
    rip__buffer_done(&all);
}

/* What was read ahead counts; what rip_command_read has taken does not. */
TEST(what_was_read_ahead_is_held_to_the_limit)
{
    for (int way = RIP_OVERFLOW_TRUNCATE; way <= RIP_OVERFLOW_HEAD_TAIL;
         way++) {
        struct rip_command_options options = {
            .out = { .kind = RIP_STDIO_PIPE },
            .max_output = 5,
            .overflow = (enum rip_overflow)way,
        };
        struct rip_output o;
        rip_command *c = start(ARGV("printf", "789"), &options);
        CHECK_OK(rip__buffer_append(&c->out[0].buffer, "__123456", 8));
        c->out[0].start = 2;
        int r = rip_command_communicate(c, NULL, 0, &o, RIP_FOREVER);
        CHECK_INT(r, ==, way == RIP_OVERFLOW_FAIL ? -EMSGSIZE : 0);
        CHECK_STR(o.out, way == RIP_OVERFLOW_HEAD_TAIL ? "12389" : "12345");
        CHECK(o.truncated);
        rip_output_done(&o);
        rip_command_free(c);
    }
}

/* The tail is in order for whoever reads it, and goes on after that. */
TEST(a_tail_can_be_read_between_two_calls)
{
    struct rip_command_options options = {
        .out = { .kind = RIP_STDIO_PIPE },
        .max_output = 6,
        .overflow = RIP_OVERFLOW_HEAD_TAIL,
    };
    const char *const *argv = SH("printf 0123456789; until test -e go; do "
                                 "sleep 0.01; done; printf abc");
    struct rip_output o;
    char buf[8];
    rip_command *c = start(argv, &options);
    most = 1; /* byte by byte, so that the ring turns */
    rip__seam.syscall = read_little;
    do
        CHECK_ERR(rip_command_communicate(c, NULL, 0, NULL, RIP_NOW),
                  -ETIMEDOUT);
    while (c->out[0].buffer.len < 6 || c->out[0].buffer.data[5] != '9');
    CHECK_INT(rip_command_read(c, 1, buf, 4, RIP_NOW), ==, 4);
    CHECK_MEM(buf, 4, "0127", 4);
    write_file("go", "", 0600);
    CHECK_OK(rip_command_communicate(c, NULL, 0, &o, RIP_FOREVER));
    CHECK_STR(o.out, "89abc");
    rip__seam.syscall = rip__seam_real.syscall;
    rip_output_done(&o);
    rip_command_free(c);
    unlink("go");
}

/* ---- input ------------------------------------------------------------ */

/* Nothing of it twice, and nothing of it to nobody. */
TEST_WITH(deadlines_send_no_input_twice, .deadline = 60)
{
    size_t size = 4 * MIB;
    char *data = make_data(size);
    struct rip_command_options options = { .in = { .kind = RIP_STDIO_PIPE },
                                           .out = { .kind = RIP_STDIO_PIPE } };
    struct rip_output o;
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    rip_command *c = start(SH("sleep 0.1; cat"), &options);
    int r, rounds = 0;
    for (;; rip_output_done(&o)) {
        r = rip_command_communicate(c, data, size, &o, rip_after_ms(1));
        rounds++;
        if (r != -ETIMEDOUT)
            break;
    }
    CHECK_OK(r);
    CHECK_INT(rounds, >, 20);
    CHECK_MEM(o.out, o.out_len, data, size);
    rip_output_done(&o);
    rip_command_free(c);
    free(data);
}

TEST(much_input_does_not_move_a_deadline_that_is_past)
{
    size_t size = 64 * MIB;
    char *data = make_data(size);
    struct rip_command_options options = { .in = { .kind = RIP_STDIO_PIPE } };
    struct rip_output o;
    rip_time began = rip_time_now();
    rip_command *c = start(ARGV("sleep", "60"), &options);
    for (int i = 0; i < 3; i++) {
        CHECK_ERR(rip_command_communicate(c, data, size, &o, i), -ETIMEDOUT);
        rip_output_done(&o);
    }
    CHECK_INT(c->input_done, <, MIB);
    /* There is more of it than a pipe holds, so this one has grown. */
    CHECK_INT(fcntl(rip_command_pipe(c, 0), F_GETPIPE_SZ), >=, 1 << 18);
    rip_command_free(c);
    options = (struct rip_command_options){ .input = data, .input_len = size };
    CHECK_OK(rip_run(ARGV("cat"), &options, &o, RIP_NOW));
    CHECK(o.exit.timed_out);
    rip_output_done(&o);
    CHECK_INT(rip_time_now() - began, <, 5000000000);
    free(data);
}

/* What one call was given may be gone at the next, which has the input of the
 * options: none, here, and so less than what has been fed. */
TEST(input_is_that_of_the_call_alone)
{
    struct rip_command_options options = { .in = { .kind = RIP_STDIO_PIPE },
                                           .out = { .kind = RIP_STDIO_PIPE } };
    struct rip_output o;
    char *data = make_data(MIB);
    rip_command *c =
        start(SH("until test -e go; do sleep 0.01; done; wc -c"), &options);
    CHECK_ERR(rip_command_communicate(c, data, MIB, NULL, RIP_NOW), -ETIMEDOUT);
    free(data);
    CHECK_ERR(rip_command_communicate(c, NULL, 0, NULL, RIP_NOW), -EINVAL);
    data = make_data(MIB);
    write_file("go", "", 0600);
    CHECK_OK(rip_command_communicate(c, data, MIB, &o, RIP_FOREVER));
    CHECK_STR(o.out, "1048576\n");
    rip_output_done(&o);
    rip_command_free(c);
    free(data);
    unlink("go");
}

TEST(without_more_input_one_goes_on_when_all_is_fed)
{
    struct rip_command_options options = { .in = { .kind = RIP_STDIO_PIPE },
                                           .out = { .kind = RIP_STDIO_PIPE } };
    struct rip_output o;
    rip_command *c = start(SH("read go; cat"), &options);
    CHECK_ERR(rip_command_communicate(c, "go\nx", 4, NULL, RIP_NOW),
              -ETIMEDOUT);
    CHECK_OK(rip_command_communicate(c, NULL, 0, &o, RIP_FOREVER));
    CHECK_STR(o.out, "x");
    rip_output_done(&o);
    rip_command_free(c);
}

TEST(input_without_a_pipe_is_refused)
{
    struct rip_command_options none = { .in = { .kind = RIP_STDIO_NULL } };
    struct rip_command_options pipe = { .in = { .kind = RIP_STDIO_PIPE } };
    rip_command *c = start(ARGV("true"), &none);
    CHECK_ERR(rip_command_communicate(c, "x", 1, NULL, RIP_FOREVER), -EINVAL);
    CHECK_OK(rip_command_communicate(c, "", 0, NULL, RIP_FOREVER));
    rip_command_free(c);
    c = start(ARGV("cat"), &pipe);
    CHECK_ERR(rip_command_communicate(c, NULL, 1, NULL, RIP_FOREVER), -EINVAL);
    CHECK_OK(rip_command_communicate(c, "", 0, NULL, RIP_FOREVER));
    rip_command_free(c);
}

TEST(one_that_closes_its_output_is_waited_for)
{
    struct rip_output o;
    run(&o, SH("exec >&- 2>&-; sleep 0.2; exit 3"), NULL);
    CHECK_INT(o.exit.code, ==, 3);
    CHECK_INT(o.exit.wall_ns, >=, 200000000);
    rip_output_done(&o);
}

/* ---- dropped ---------------------------------------------------------- */

static size_t bytes_read, bytes_spliced;
static const char *null; /* what is opened for /dev/null; NULL: itself */

static long watch_dropping(long nr, const long args[6])
{
    long a[6];
    memcpy(a, args, sizeof a);
    bool opens_null = nr == SYS_openat && (a[2] & O_WRONLY) &&
                      strcmp((const char *)a[1], "/dev/null") == 0;
    if (opens_null && null)
        a[1] = (long)null;
    long r = rip__seam_real.syscall(nr, a);
    if (nr == SYS_read && r > 0)
        bytes_read += (size_t)r;
    if (nr == SYS_splice && r > 0)
        bytes_spliced += (size_t)r;
    return r;
}

static void drop_most(const char *as_null)
{
    null = as_null;
    bytes_read = bytes_spliced = 0;
    rip__seam.syscall = watch_dropping;
    run_kept(1000000, 1001, RIP_OVERFLOW_TRUNCATE);
    rip__seam.syscall = rip__seam_real.syscall;
    CHECK_INT(bytes_read + bytes_spliced, ==, 6888896);
}

TEST(much_that_is_dropped_is_not_copied)
{
    drop_most(NULL);
    CHECK_INT(bytes_read, <, MIB);
}

/* A /dev/null that is a file would be filled, and one that is a FIFO waited
 * for, in a container that was set up wrongly. */
TEST(what_is_dropped_goes_to_no_file)
{
    write_file("file", "", 0600);
    CHECK_INT(mkfifo("fifo", 0600), ==, 0);
    for (int i = 0; i < 4; i++) {
        const char *const other[] = { "file", "fifo", "none", "/dev/full" };
        harness_note("%s", other[i]);
        drop_most(other[i]);
        CHECK_INT(bytes_spliced, ==, 0);
    }
    CHECK_STR(read_file("file"), "");
    unlink("file");
    unlink("fifo");
}

TEST(dropping_needs_no_splice)
{
    const int missing[] = { ENOSYS, EPERM, EINVAL };
    for (int i = 0; i < 3; i++) {
        fault_always(SYS_splice, missing[i]);
        run_kept(1000000, 1001, RIP_OVERFLOW_TRUNCATE);
    }
}

TEST(what_a_terminal_says_too_much_is_dropped)
{
    struct rip_command_options options = { .max_output = 4,
                                           .out.kind = RIP_STDIO_PTY };
    struct rip_output o;
    run(&o, seq(200000), &options);
    CHECK_STR(o.out, "1\r\n2");
    CHECK(o.truncated);
    rip_output_done(&o);
}

/* ---- faults ----------------------------------------------------------- */

static void run_head_tail(void *arg)
{
    struct rip_command_options options = {
        .max_output = 1001,
        .overflow = RIP_OVERFLOW_HEAD_TAIL,
        .grace = 0.05,
    };
    struct rip_output o;
    (void)arg;
    if (rip_run(seq(2000), &options, &o, RIP_FOREVER) < 0)
        return;
    if (o.truncated) {
        CHECK_INT(o.out_len, ==, 1001);
        CHECK_MEM(o.out + 991, 10, "1999\n2000\n", 10);
    }
    rip_output_done(&o);
}

/* Enough to go to /dev/null. */
static void run_dropping(void *arg)
{
    struct rip_command_options options = { .max_output = 5, .grace = 0.05 };
    struct rip_output o;
    (void)arg;
    if (rip_run(ARGV("head", "-c", "900000", "/dev/zero"), &options, &o,
                RIP_FOREVER) < 0)
        return;
    if (rip_exit_ok(&o.exit)) {
        CHECK_INT(o.out_len, ==, 5);
        CHECK(o.truncated);
    }
    rip_output_done(&o);
}

TEST_WITH(dropping_survives_every_fault, .deadline = 240)
{
    CHECK_INT(fault_sweep(run_dropping, NULL, NULL), >, 40);
}

TEST_WITH(keeping_survives_every_fault, .deadline = 240)
{
    CHECK_INT(fault_sweep(run_head_tail, NULL, NULL), >, 40);
}
