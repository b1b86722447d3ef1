/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "run.h"

static const struct rip_command_options piped = {
    .in = { .kind = RIP_STDIO_PIPE },
    .out = { .kind = RIP_STDIO_PIPE },
    .err = { .kind = RIP_STDIO_PIPE },
};

static FILE *stream(rip_command *c, int which)
{
    FILE *f = rip_command_stream(c, which);
    CHECK(f != NULL);
    return f;
}

TEST(both_outputs_are_read)
{
    char text[64];
    rip_command *c = start(SH("echo one; echo err >&2; echo two"), &piped);
    FILE *out = stream(c, 1), *err = stream(c, 2);
    CHECK(rip_command_stream(c, 1) == out);
    CHECK_STR(fgets(text, sizeof text, out), "one\n");
    CHECK_STR(fgets(text, sizeof text, err), "err\n");
    CHECK_STR(fgets(text, sizeof text, out), "two\n");
    CHECK(fgets(text, sizeof text, out) == NULL);
    CHECK(feof(out) && !ferror(out));
    CHECK(fgets(text, sizeof text, err) == NULL);
    CHECK_INT(fileno(out), ==, -1);
    rip_command_free(c);
}

TEST(input_is_flushed_when_it_is_closed)
{
    rip_command *c = start(ARGV("cat"), &piped);
    FILE *in = stream(c, 0);
    CHECK_INT(fprintf(in, "%d and %s", 1, "two"), ==, 9);
    rip_command_close_input(c);
    CHECK_STR(rest_of(c), "1 and two");
    CHECK_INT(end_of(c).code, ==, 0);
    rip_command_free(c);
}

TEST(there_are_no_streams_without_pipes)
{
    rip_command *c = start(ARGV("true"), &(struct rip_command_options){ 0 });
    for (int i = -1; i < 4; i++)
        CHECK(rip_command_stream(c, i) == NULL);
    rip_command_free(c);
    c = start(ARGV("true"), &piped);
    CHECK(rip_command_stream(c, -1) == NULL);
    CHECK(rip_command_stream(c, 3) == NULL);
    rip_command_free(c);
}

/* ---- mixed ------------------------------------------------------------ */

TEST(all_ways_to_read_go_on_from_each_other)
{
    char *line = NULL, text[8];
    size_t cap = 0;
    struct rip_output o;
    rip_command *c =
        start(ARGV("printf", "one\\ntwo\\nthree\\nfour\\n"), &piped);
    FILE *out = stream(c, 1);
    setvbuf(out, NULL, _IONBF, 0); /* reads nothing ahead */
    CHECK_INT(rip_command_line(c, &line, &cap, RIP_FOREVER), ==, 4);
    CHECK_INT(getc(out), ==, 't');
    CHECK_INT(rip_command_line(c, &line, &cap, RIP_FOREVER), ==, 3);
    CHECK_STR(line, "wo\n");
    CHECK_STR(fgets(text, sizeof text, out), "three\n");
    CHECK_INT(rip_command_read(c, 1, text, 2, RIP_FOREVER), ==, 2);
    CHECK_MEM(text, 2, "fo", 2);
    CHECK_INT(getc(out), ==, 'u');
    CHECK_OK(rip_command_communicate(c, NULL, 0, &o, RIP_FOREVER));
    CHECK_STR(o.out, "r\n");
    CHECK_INT(getc(out), ==, EOF);
    free(harness_take(line));
    rip_output_done(&o);
    rip_command_free(c);
}

static int reads;

static long count_reads(long nr, const long args[6])
{
    reads += nr == SYS_read;
    return rip__seam_real.syscall(nr, args);
}

TEST(a_stream_without_a_buffer_is_no_system_call_a_byte)
{
    rip_command *c =
        start(ARGV(harness_program("child"), "long", "2000"), &piped);
    FILE *out = stream(c, 1);
    long (*before)(long, const long[6]) = rip__seam.syscall;
    setvbuf(out, NULL, _IONBF, 0);
    end_of(c);
    rip__seam.syscall = count_reads;
    for (int i = 0; i < 2000; i++)
        CHECK_INT(getc(out), ==, 'x');
    rip__seam.syscall = before;
    CHECK_INT(reads, <, 10);
    rip_command_free(c);
}

TEST(the_ways_to_write_are_one_after_the_other)
{
    rip_command *c = start(ARGV("cat"), &piped);
    FILE *in = stream(c, 0);
    fputs("1", in);
    fflush(in);
    CHECK_INT(rip_command_write(c, "2", 1, RIP_FOREVER), ==, 1);
    setvbuf(in, NULL, _IONBF, 0);
    fputs("3", in);
    CHECK_INT(rip_command_write(c, "4", 1, RIP_FOREVER), ==, 1);
    rip_command_close_input(c);
    CHECK_STR(rest_of(c), "1234");
    rip_command_free(c);
}

/* Writes until nobody makes room any more, and gives how much went. */
static size_t fill(rip_command *c)
{
    static char block[4096];
    size_t all = 0;
    ssize_t n;
    memset(block, 'f', sizeof block);
    while ((n = rip_command_write(c, block, sizeof block, rip_after_ms(50))) >
           0)
        all += (size_t)n;
    CHECK_ERR(n, -ETIMEDOUT);
    return all;
}

static void expect_filled(const struct rip_output *o, size_t filled,
                          const char *then)
{
    CHECK_INT(o->out_len, ==, filled + strlen(then));
    CHECK_INT(strspn(o->out, "f"), ==, filled);
    CHECK_STR(o->out + filled, then);
}

/* cat is stuck, since nobody reads; so is who flushes without reading. */
TEST(communicate_feeds_what_was_not_flushed)
{
    struct rip_output o;
    rip_command *c = start(ARGV("cat"), &piped);
    FILE *in = stream(c, 0);
    size_t filled = fill(c);
    fputs("tail", in);
    CHECK_OK(rip_command_communicate(c, "end", 3, &o, RIP_FOREVER));
    expect_filled(&o, filled, "tailend");
    rip_output_done(&o);
    CHECK_INT(fputs("x", in) < 0 || fflush(in) < 0, ==, 1);
    CHECK_INT(errno, ==, EPIPE);
    rip_command_free(c);
}

TEST(communicate_feeds_it_alone)
{
    struct rip_output o;
    rip_command *c = start(ARGV("cat"), &piped);
    fputs("hello", stream(c, 0));
    CHECK_OK(rip_command_communicate(c, NULL, 0, &o, RIP_FOREVER));
    CHECK_STR(o.out, "hello");
    rip_output_done(&o);
    rip_command_free(c);
}

TEST(communicate_without_memory_loses_nothing)
{
    struct rip_output o;
    rip_command *c = start(ARGV("cat"), &piped);
    FILE *in = stream(c, 0);
    size_t filled = fill(c);
    fputs("tail", in);
    fault_once(FAULT_MEMORY, ENOMEM);
    CHECK_ERR(rip_command_communicate(c, NULL, 0, &o, RIP_FOREVER), -ENOMEM);
    CHECK_OK(rip_command_communicate(c, NULL, 0, &o, RIP_FOREVER));
    expect_filled(&o, filled, "tail");
    rip_output_done(&o);
    rip_command_free(c);
}

/* What the first call could not feed comes before what is written then. */
TEST(nothing_overtakes_what_communicate_left)
{
    char block[4096];
    struct rip_output o;
    rip_command *c = start(
        ARGV(harness_program("child"), "await", ",", "cat"),
        &(struct rip_command_options){ .in = { .kind = RIP_STDIO_PIPE },
                                       .out = { .kind = RIP_STDIO_PIPE } });
    FILE *in = stream(c, 0);
    rip_command_signal_one(c, SIGSTOP);
    CHECK_INT(rip_command_write(c, "\n", 1, RIP_FOREVER), ==, 1);
    size_t filled = fill(c);
    memset(block, 'b', sizeof block - 1);
    block[sizeof block - 1] = 0;
    fputs(block, in);
    CHECK_ERR(rip_command_communicate(c, "", 0, &o, rip_after_ms(10)),
              -ETIMEDOUT);
    CHECK_INT(o.out_len, ==, 0);
    rip_output_done(&o);
    rip_command_signal_one(c, SIGCONT);
    CHECK_INT(rip_command_write(c, "1", 1, RIP_FOREVER), ==, 1);
    fputs("2", in);
    rip_command_close_input(c);
    CHECK_OK(rip_command_communicate(c, NULL, 0, &o, RIP_FOREVER));
    CHECK_INT(o.out_len, ==, filled + sizeof block - 1 + 2);
    CHECK_STR(o.out + filled + sizeof block - 1, "12");
    CHECK_INT(strspn(o.out + filled, "b"), ==, sizeof block - 1);
    rip_output_done(&o);
    rip_command_free(c);
}

/* ---- a slow or a dead command ----------------------------------------- */

static void *write_much(void *arg)
{
    char block[1000];
    FILE *in = arg;
    memset(block, 'b', sizeof block);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(fwrite(block, 1, sizeof block, in), ==, sizeof block);
    CHECK_INT(fflush(in), ==, 0);
    return NULL;
}

TEST(the_pipe_does_not_wait_but_the_stream_does)
{
    static char text[1000000];
    pthread_t writer;
    rip_command *c = start(ARGV("cat"), &piped);
    pthread_create(&writer, NULL, write_much, stream(c, 0));
    CHECK_INT(fread(text, 1, sizeof text, stream(c, 1)), ==, sizeof text);
    pthread_join(writer, NULL);
    rip_command_free(c);
}

static void write_to_the_dead(void)
{
    rip_command *c = start(ARGV("true"), &piped);
    FILE *in = stream(c, 0);
    end_of(c);
    CHECK_INT(fputs("x", in), >=, 0);
    CHECK_INT(fflush(in), ==, EOF);
    CHECK_INT(errno, ==, EPIPE);
    CHECK(ferror(in));
    clearerr(in);
    rip_command_close_input(c);
    CHECK_INT(fputs("x", in), >=, 0);
    CHECK_INT(fflush(in), ==, EOF);
    CHECK_INT(errno, ==, EPIPE);
    /* More than the buffer holds, which goes by a way of its own. */
    static char block[100000];
    clearerr(in);
    CHECK_INT(fwrite(block, 1, sizeof block, in), <, sizeof block);
    CHECK(ferror(in));
    rip_command_free(c);
}

TEST(writing_to_a_command_that_has_gone)
{
    write_to_the_dead();
}

TEST(no_sigpipe_on_old_kernels_either)
{
    fault_always(SYS_pwritev2, ENOSYS);
    write_to_the_dead();
}

/* errno is a matter between stdio and who writes to the stream, not of the
 * calls that flush it on the way. */
TEST(flushing_in_vain_leaves_errno_alone)
{
    for (int i = 0; i < 2; i++) {
        rip_command *c = start(ARGV("true"), &piped);
        end_of(c);
        fputs("in vain", stream(c, 0));
        errno = ENOTTY;
        if (i == 0)
            rip_command_close_input(c);
        CHECK_INT(errno, ==, ENOTTY);
        rip_command_free(c);
        CHECK_INT(errno, ==, ENOTTY);
    }
}

TEST(free_does_not_wait_for_room)
{
    rip_command *c = start(ARGV("sleep", "60"), &piped);
    fill(c);
    fputs("more", stream(c, 0));
    rip_time before = rip_time_now();
    rip_command_free(c);
    CHECK_INT(rip_time_now() - before, <, 2500000000);
}

/* The command has gone; who has its stdin now does not read it. */
TEST(free_does_not_wait_for_others_either)
{
    int pid = 0;
    rip_command *c = start(ARGV(harness_program("child"), "fork", ",", "setsid",
                                ",", "ids", ",", "wait"),
                           &piped);
    CHECK_INT(sscanf(await_line(c), "pid %d", &pid), ==, 1);
    fill(c);
    fputs("more", stream(c, 0));
    end_of(c);
    rip_command_free(c);
    CHECK(is_alive(pid));
    kill(pid, SIGKILL);
    await_death(pid);
}

TEST(free_writes_what_there_is_room_for)
{
    struct rip_command_options o = piped;
    o.out = (struct rip_stdio){ RIP_STDIO_FILE, "copy", 0 };
    o.grace = 60;
    rip_command *c = start(ARGV(harness_program("child"), "ignore", "15", ",",
                                "error", "ready", ",", "cat"),
                           &o);
    char text[8];
    CHECK_STR(fgets(text, sizeof text, stream(c, 2)), "ready\n");
    fputs("hello", stream(c, 0));
    rip_command_free(c);
    CHECK_STR(read_file("copy"), "hello");
    unlink("copy");
}

/* ---- fclose and fork -------------------------------------------------- */

TEST(fclose_is_no_harm)
{
    char buf[8];
    rip_command *c = start(ARGV("cat"), &piped);
    FILE *in = stream(c, 0), *out = stream(c, 1);
    fputs("hello\n", in);
    CHECK_INT(fclose(in), ==, 0);
    CHECK_ERR(rip_command_write(c, "x", 1, RIP_FOREVER), -EPIPE);
    CHECK_STR(fgets(buf, sizeof buf, out), "hello\n");
    CHECK_INT(fclose(out), ==, 0);
    CHECK_INT(rip_command_pipe(c, 1), ==, -1);
    CHECK_INT(rip_command_read(c, 1, buf, sizeof buf, RIP_FOREVER), ==, 0);
    /* New ones are of the pipe as it is now. */
    CHECK_INT(getc(stream(c, 1)), ==, EOF);
    CHECK_INT(fputs("x", stream(c, 0)), >=, 0);
    CHECK_INT(fflush(stream(c, 0)), ==, EOF);
    end_of(c);
    rip_command_free(c);
}

/* What communicate was given of the stream, and could not feed. */
TEST(fclose_sends_what_is_not_sent)
{
    struct rip_output o;
    rip_command *c = start(ARGV("cat"), &piped);
    FILE *in = stream(c, 0);
    fputs("hello", in);
    fault_once(SYS_pwritev2, EAGAIN);
    CHECK_ERR(rip_command_communicate(c, "", 0, &o, RIP_NOW), -ETIMEDOUT);
    rip_output_done(&o);
    CHECK_INT(fclose(in), ==, 0);
    CHECK_STR(rest_of(c), "hello");
    rip_command_free(c);
}

/* What a child of fork(2) does with its copy of what is not flushed: nothing
 * of it may come to the command's stdin. */
static void fork_and(void (*end)(rip_command *c))
{
    rip_command *c = start(ARGV("cat"), &piped);
    fputs("once", stream(c, 0));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        end(c);
        _exit(0);
    }
    CHECK_INT(waitpid(child, NULL, 0), ==, child);
    rip_command_close_input(c);
    CHECK_STR(rest_of(c), "once");
    rip_command_free(c);
}

static void end_by_exit(rip_command *c)
{
    (void)c;
    fflush(NULL);
    exit(0);
}

static void end_by_free(rip_command *c)
{
    rip_command_free(c);
}

static void end_by_fclose(rip_command *c)
{
    fclose(rip_command_stream(c, 0));
}

TEST(a_fork_that_exits_writes_nothing)
{
    fork_and(end_by_exit);
}

TEST(a_fork_that_frees_writes_nothing)
{
    fork_and(end_by_free);
}

TEST(a_fork_that_closes_writes_nothing)
{
    fork_and(end_by_fclose);
}

/* Nor does it type the end of input. */
TEST(a_fork_that_frees_types_nothing)
{
    rip_command *c = start(ARGV("cat"), &(struct rip_command_options){
                                            .in = { .kind = RIP_STDIO_PTY },
                                            .out = { .kind = RIP_STDIO_PTY } });
    stream(c, 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        rip_command_free(c);
        _exit(0);
    }
    CHECK_INT(waitpid(child, NULL, 0), ==, child);
    CHECK_INT(rip_command_write(c, "one\n", 4, RIP_FOREVER), ==, 4);
    rip_command_close_input(c);
    CHECK_STR(rest_of(c),
              "one\r\none\r\n"); /* what is typed, and what it says */
    rip_command_free(c);
}

/* The same for what a call of communicate could not feed. */
TEST(a_fork_does_not_send_what_is_not_sent)
{
    struct rip_output o;
    rip_command *c = start(ARGV("cat"), &piped);
    fputs("once", stream(c, 0));
    fault_once(SYS_pwritev2, EAGAIN);
    CHECK_ERR(rip_command_communicate(c, "", 0, &o, RIP_NOW), -ETIMEDOUT);
    rip_output_done(&o);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        rip_command_free(c);
        _exit(0);
    }
    CHECK_INT(waitpid(child, NULL, 0), ==, child);
    rip_command_close_input(c);
    CHECK_STR(rest_of(c), "once");
    rip_command_free(c);
}

/* ---- faults ----------------------------------------------------------- */

static void talk(void *arg)
{
    char text[16];
    struct rip_output o;
    rip_command *c;
    (void)arg;
    if (rip_command_start(&c, ARGV("cat"), &piped) < 0)
        return;
    FILE *in = stream(c, 0), *out = stream(c, 1);
    setvbuf(out, NULL, _IONBF, 0);
    fputs("one\n", in);
    if (fflush(in) == 0 && fgets(text, sizeof text, out))
        CHECK_STR(text, "one\n");
    fputs("two\n", in);
    int r = rip_command_communicate(c, "three\n", 6, &o, RIP_FOREVER);
    if (r == 0) {
        if (!ferror(in) && !ferror(out)) /* EPIPE may have cut it */
            CHECK(strncmp("two\nthree\n", o.out, o.out_len) == 0);
        rip_output_done(&o);
    }
    rip_command_free(c);
}

TEST_WITH(streams_survive_every_fault, .deadline = 240)
{
    CHECK_INT(fault_sweep(talk, NULL, NULL), >, 40);
}
