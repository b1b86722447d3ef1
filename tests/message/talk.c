/* SPDX-License-Identifier: MIT */
#include "message/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "message/ends.h"

struct ends new_pair(void)
{
    struct ends e;
    CHECK_OK(rip_channel_pair(&e.a, &e.b, NULL));
    return e;
}

void free_ends(struct ends *e)
{
    CHECK(!rip_channel_free(e->a));
    CHECK(!rip_channel_free(e->b));
}

rip_listener *listen_as(const char *name)
{
    rip_listener *l;
    CHECK_OK(rip_listener_new(&l, name, NULL));
    return l;
}

rip_channel *connect_to(const char *name)
{
    rip_channel *c;
    CHECK_OK(rip_channel_connect(&c, name, NULL, rip_after(10)));
    return c;
}

rip_channel *accept_from(rip_listener *l)
{
    rip_channel *c;
    CHECK_OK(rip_listener_accept(&c, l, rip_after(10)));
    return c;
}

void say(rip_channel *c, const char *text)
{
    CHECK_OK(rip_channel_send(c, text, strlen(text), rip_after(10)));
}

const char *hear(rip_channel *c)
{
    static char text[100];
    ssize_t n = rip_channel_receive(c, text, sizeof text - 1, rip_after(10));
    CHECK_OK(n);
    text[n] = 0;
    return text;
}

void check_end(rip_channel *c)
{
    char byte;
    CHECK_ERR(rip_channel_receive(c, &byte, 1, RIP_FOREVER), -EPIPE);
    CHECK_ERR(rip_channel_receive(c, &byte, 1, RIP_NOW), -EPIPE);
    CHECK_ERR(rip_channel_send(c, &byte, 1, RIP_FOREVER), -EPIPE);
}

int fill(rip_channel *c)
{
    int r, n = 0;
    while ((r = rip_channel_send(c, "x", 1, RIP_NOW)) == 0)
        n++;
    CHECK_ERR(r, -ETIMEDOUT);
    return n;
}

void send_pattern(rip_channel *c, size_t size)
{
    unsigned char *data = pattern(size);
    CHECK_OK(rip_channel_send(c, data, size, rip_after(20)));
    free(data);
}

void check_pattern(rip_channel *c, size_t size)
{
    struct rip_channel_next next;
    unsigned char *data = malloc(size + 1);
    CHECK(data);
    CHECK_OK(rip_channel_next(c, &next, rip_after(20)));
    CHECK_INT(next.len, ==, size);
    CHECK_INT(next.n_fds, ==, 0);
    CHECK_ERR(rip_channel_receive(c, data, size - 1, RIP_NOW), -EMSGSIZE);
    CHECK_INT(rip_channel_receive(c, data, size, RIP_NOW), ==, size);
    CHECK(is_pattern(data, size, 0));
    free(data);
}

void send_pipes(rip_channel *c, int *reader, size_t n, size_t len)
{
    int writer[RIP_CHANNEL_FDS];
    unsigned char *data = pattern(len);
    for (size_t i = 0; i < n; i++) {
        int fd[2];
        CHECK_INT(pipe2(fd, O_CLOEXEC), ==, 0);
        reader[i] = fd[0];
        writer[i] = fd[1];
    }
    CHECK_OK(rip_channel_send_fds(c, data, len, writer, n, RIP_NOW));
    for (size_t i = 0; i < n; i++)
        close(writer[i]);
    free(data);
}

void check_pipes(rip_channel *c, const int *reader, size_t n, size_t len)
{
    int fds[RIP_CHANNEL_FDS];
    size_t got = RIP_CHANNEL_FDS;
    unsigned char *data = malloc(len + 1);
    ssize_t r = rip_channel_receive_fds(c, data, len, fds, &got, RIP_NOW);
    CHECK_INT(r, ==, len);
    CHECK_INT(got, ==, n);
    CHECK(is_pattern(data, len, 0));
    free(data);
    for (size_t i = 0; i < n; i++) {
        unsigned char x = (unsigned char)i, y = 0;
        CHECK(is_cloexec(fds[i]));
        CHECK_INT(write(fds[i], &x, 1), ==, 1);
        CHECK_INT(read(reader[i], &y, 1), ==, 1);
        CHECK_INT(y, ==, x);
        close(fds[i]);
        CHECK_INT(read(reader[i], &y, 1), ==, 0);
        close(reader[i]);
    }
}
