/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "run.h"

static const struct rip_command_options piped = {
    .in = { .kind = RIP_STDIO_PIPE },
    .out = { .kind = RIP_STDIO_PIPE },
    .err = { .kind = RIP_STDIO_PIPE },
};

TEST(a_conversation)
{
    rip_command *c = start(ARGV("cat"), &piped);
    for (int i = 0; i < 100; i++) {
        CHECK_INT(rip_command_write(c, "ping\n", 5, RIP_FOREVER), ==, 5);
        CHECK_STR(await_line(c), "ping\n");
    }
    rip_command_close_input(c);
    rip_command_close_input(c);
    char buf[8];
    CHECK_INT(rip_command_read(c, 1, buf, 8, RIP_FOREVER), ==, 0);
    CHECK_INT(rip_command_read(c, 1, buf, 8, RIP_FOREVER), ==, 0);
    CHECK_INT(rip_command_read(c, 2, buf, 8, RIP_FOREVER), ==, 0);
    CHECK_INT(end_of(c).code, ==, 0);
    rip_command_free(c);
}

TEST(reading_keeps_its_deadline)
{
    rip_command *c = start(ARGV("cat"), &piped);
    char buf[8];
    rip_time deadline = rip_after_ms(30);
    CHECK_ERR(rip_command_read(c, 1, buf, 8, deadline), -ETIMEDOUT);
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK_ERR(rip_command_read(c, 1, buf, 8, RIP_NOW), -ETIMEDOUT);
    rip_command_free(c);
}

TEST(writing_keeps_its_deadline_and_tells_what_went)
{
    size_t size = 1 << 20;
    char *data = make_data(size);
    rip_command *c = start(ARGV("sleep", "60"), &piped);
    ssize_t n = rip_command_write(c, data, size, rip_after_ms(30));
    CHECK_INT(n, >, 0);
    CHECK_INT(n, <, size);
    CHECK_ERR(rip_command_write(c, data, size, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_command_write(c, data, size, rip_after_ms(5)), -ETIMEDOUT);
    rip_command_free(c);
    free(data);
}

/* A reader that always makes room, and a writer that always has more. */
TEST(a_fast_reader_does_not_move_the_deadline)
{
    size_t size = 1 << 20;
    char *data = make_data(size);
    struct rip_command_options o = piped;
    o.out.kind = RIP_STDIO_NULL;
    rip_command *c = start(ARGV("cat"), &o);
    rip_time deadline = rip_after_ms(50);
    while (rip_command_write(c, data, size, deadline) > 0)
        CHECK_INT(rip_time_now() - deadline, <, 5000000000);
    rip_command_free(c);
    free(data);
}

TEST(writing_to_a_command_that_has_gone)
{
    rip_command *c = start(ARGV("true"), &piped);
    end_of(c);
    CHECK_ERR(rip_command_write(c, "x", 1, RIP_FOREVER), -EPIPE);
    rip_command_close_input(c);
    CHECK_ERR(rip_command_write(c, "x", 1, RIP_FOREVER), -EPIPE);
    CHECK_INT(rip_command_write(c, "", 0, RIP_FOREVER), ==, -EPIPE);
    rip_command_free(c);
}

TEST(streams_that_are_no_pipes)
{
    struct rip_command_options o = { .in = { .kind = RIP_STDIO_NULL } };
    rip_command *c = start(ARGV("true"), &o);
    char buf[8];
    CHECK_ERR(rip_command_write(c, "x", 1, RIP_NOW), -EINVAL);
    CHECK_ERR(rip_command_read(c, 1, buf, 8, RIP_NOW), -EINVAL);
    CHECK_ERR(rip_command_read(c, 0, buf, 8, RIP_NOW), -EINVAL);
    CHECK_ERR(rip_command_read(c, 3, buf, 8, RIP_NOW), -EINVAL);
    for (int i = -1; i < 5; i++)
        CHECK_INT(rip_command_pipe(c, i), ==, -1);
    rip_command_free(c);
}

TEST(no_room_to_read_into_is_no_end_of_file)
{
    rip_command *c = start(ARGV("echo"), &piped);
    char buf[1];
    CHECK_ERR(rip_command_read(c, 1, buf, 0, RIP_FOREVER), -EINVAL);
    rip_command_free(c);
}

TEST(a_poll_loop)
{
    rip_command *c = start(SH("echo out; echo err >&2"), &piped);
    char text[2][16] = { "", "" };
    struct pollfd p[3] = {
        { .fd = rip_command_pipe(c, 1), .events = POLLIN },
        { .fd = rip_command_pipe(c, 2), .events = POLLIN },
        { .fd = rip_command_fd(c), .events = POLLIN },
    };
    while (p[0].fd >= 0 || p[1].fd >= 0 || p[2].fd >= 0) {
        CHECK_INT(poll(p, 3, -1), >, 0);
        for (int i = 0; i < 2; i++) {
            if (p[i].fd >= 0 && p[i].revents) {
                size_t len = strlen(text[i]);
                (void)CHECK_OK(rip_command_read(c, i + 1, text[i] + len,
                                                15 - len, RIP_NOW));
                p[i].fd = rip_command_pipe(c, i + 1);
            }
        }
        if (p[2].revents) {
            CHECK_OK(rip_command_wait(c, NULL, RIP_NOW));
            p[2].fd = -1;
        }
    }
    CHECK_STR(text[0], "out\n");
    CHECK_STR(text[1], "err\n");
    rip_command_free(c);
}

static void *feed(void *arg)
{
    rip_command *c = arg;
    static char block[65536];
    for (int i = 0; i < 160; i++)
        CHECK_INT(rip_command_write(c, block, sizeof block, RIP_FOREVER), ==,
                  sizeof block);
    rip_command_close_input(c);
    return NULL;
}

TEST(one_thread_writes_while_another_reads)
{
    rip_command *c = start(ARGV("cat"), &piped);
    static char buf[65536];
    pthread_t writer;
    size_t all = 0;
    ssize_t r;
    pthread_create(&writer, NULL, feed, c);
    while ((r = CHECK_OK(
                rip_command_read(c, 1, buf, sizeof buf, RIP_FOREVER))) > 0)
        all += (size_t)r;
    CHECK_INT(all, ==, 160 * 65536);
    pthread_join(writer, NULL);
    rip_command_free(c);
}
