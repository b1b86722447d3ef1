/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "run.h"
#include "screen.h"

TEST(what_is_typed_is_shown)
{
    rip_command *c = start(ARGV("cat"), &terminal);
    type(c, "hello\n");
    expect(c, "hello\r\nhello\r\n");
    rip_command_close_input(c);
    rip_command_close_input(c);
    CHECK_STR(rest(c), "");
    CHECK_INT(end_of(c).code, ==, 0);
    CHECK_ERR(rip_command_write(c, "x", 1, RIP_FOREVER), -EPIPE);
    rip_command_free(c);
}

TEST(the_end_of_input_within_a_line)
{
    rip_command *c = start(SH("stty -echo; echo ready; exec cat"), &terminal);
    expect(c, "ready\r\n");
    type(c, "no newline");
    rip_command_close_input(c);
    CHECK_STR(rest(c), "no newline");
    CHECK_INT(end_of(c).code, ==, 0);
    rip_command_free(c);
}

TEST(the_end_of_input_is_the_programs_own_key)
{
    rip_command *c =
        start(SH("stty -echo eof x; echo ready; exec cat"), &terminal);
    expect(c, "ready\r\n");
    type(c, "\004\n");
    rip_command_close_input(c);
    CHECK_STR(rest(c), "\004\r\n");
    rip_command_free(c);

    c = start(SH("stty raw -echo; echo ready; head -c 3 | od -An -c"),
              &terminal);
    expect(c, "ready");
    type(c, "ab");
    rip_command_close_input(c); /* no lines: one key */
    CHECK_GLOB(rest(c), "*a   b 004*");
    rip_command_free(c);
}

TEST(input_and_output_of_run)
{
    size_t size = 300000;
    char *data = make_data(size);
    struct rip_output o;
    struct rip_command_options options = terminal;
    for (size_t i = 0; i < size; i++)
        data[i] = i % 60 == 59 ? '\n' : 'x';
    options.input = data;
    options.input_len = size;
    run(&o, ARGV("wc", "-c"), &options);
    CHECK_INT(o.exit.code, ==, 0);
    CHECK_GLOB(o.out + o.out_len - 8, "300000\r\n");
    rip_output_done(&o);

    run(&o, ARGV("cat"), &terminal); /* nothing is to be typed */
    CHECK_STR(o.out, "");
    CHECK_INT(o.exit.code, ==, 0);
    rip_output_done(&o);

    options.input_len = 10; /* within a line */
    run(&o, SH("stty -echo; wc -c"), &options);
    CHECK_INT(o.exit.code, ==, 0);
    CHECK_GLOB(o.out, "*10\r\n");
    rip_output_done(&o);
    free(data);
}

/* A program that does not read holds up nobody for longer than he wants. */
TEST(a_full_terminal)
{
    char line[64];
    size_t all = 0;
    ssize_t r;
    mkfifo("go", 0600);
    memset(line, 'x', sizeof line);
    line[63] = '\n';
    rip_command *c =
        start(SH("stty -echo; echo ready; read x <go; wc -c"), &terminal);
    expect(c, "ready\r\n");
    /* A worker of the kernel moves what is written on from one buffer to the
     * next, when it comes to it: only then it is full for good. */
    rip_time deadline;
    while ((r = rip_command_write(c, line, 64, deadline = rip_after_ms(500))) >
           0)
        all += (size_t)r;
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK_INT(r, ==, -ETIMEDOUT);
    CHECK_INT(all, >, 4095);

    rip_time began = rip_time_now();
    rip_command_close_input(c);
    CHECK_INT(rip_time_now() - began, >=, 1000000000);
    CHECK_INT(rip_command_pipe(c, 0), >=, 0);

    int go = open("go", O_WRONLY | O_CLOEXEC);
    CHECK_INT(write(go, "\n", 1), ==, 1);
    close(go);
    rip_command_close_input(c); /* as soon as there is room */
    CHECK_INT(rip_command_pipe(c, 0), ==, -1);
    CHECK_INT(atol(rest(c)), ==, all);
    rip_command_free(c);
    unlink("go");
}

TEST(a_program_that_has_closed_its_terminal)
{
    static char data[1 << 16];
    rip_command *c = start(SH("exec <&- >&- 2>&-; exec sleep 60"), &terminal);
    CHECK_STR(rest(c), "");
    CHECK_ERR(rip_command_write(c, data, sizeof data, RIP_FOREVER), -EPIPE);
    rip_command_close_input(c);
    CHECK_INT(rip_command_pipe(c, 0), ==, -1);
    CHECK_ERR(rip_command_wait(c, NULL, RIP_NOW), -ETIMEDOUT); /* it lives */
    rip_command_free(c);

    c = start(ARGV("true"), &terminal);
    end_of(c);
    CHECK_ERR(rip_command_write(c, data, sizeof data, RIP_FOREVER), -EPIPE);
    rip_command_free(c);
}

static void *type_many(void *c)
{
    for (int i = 0; i < 2000; i++)
        type(c, "0123456789\n");
    rip_command_close_input(c);
    return NULL;
}

TEST(one_thread_types_while_another_reads)
{
    pthread_t typist;
    char buf[4096];
    size_t all = 0;
    ssize_t r;
    rip_command *c = start(SH("stty -echo; echo; exec cat"), &terminal);
    CHECK_INT(rip_command_read(c, 1, buf, sizeof buf, RIP_FOREVER), ==, 2);
    pthread_create(&typist, NULL, type_many, c);
    while ((r = CHECK_OK(
                rip_command_read(c, 1, buf, sizeof buf, RIP_FOREVER))) > 0)
        all += (size_t)r;
    CHECK_INT(all, ==, 2000 * 12);
    pthread_join(typist, NULL);
    rip_command_free(c);
}
