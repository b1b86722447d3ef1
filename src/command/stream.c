/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>

/* As little as is read at once: a program that prints a line should not cost
 * a big buffer; what goes on and on gets as much again as it has. */
enum { READ_MIN = 4096, READ_MAX = 1 << 20 };

/* Reads once, and closes the stream at its end. That of a terminal is an
 * error: nobody has its other end open any more. */
static ssize_t read_once(struct rip__stream *s, void *buf, size_t cap)
{
    ssize_t r = rip__os_read(s->fd, buf, cap);
    if (r == -EIO && s->terminal)
        r = 0;
    if (r == 0) {
        rip__os_close(s->fd);
        s->fd = -1;
    }
    return r;
}

ssize_t rip__stream_fill(struct rip__stream *s)
{
    struct rip__buffer *b = &s->buffer;
    if (s->start == b->len)
        s->start = b->len = 0;
    size_t want = b->len < READ_MIN ? READ_MIN : b->len;
    if (b->cap - b->len <= READ_MIN / 2) {
        int r = rip__buffer_reserve(b, want < READ_MAX ? want : READ_MAX);
        if (r < 0)
            return r;
    }
    ssize_t r = read_once(s, b->data + b->len, b->cap - b->len - 1);
    if (r > 0)
        b->len += (size_t)r;
    return r;
}

void rip__stream_done(struct rip__stream *s)
{
    rip__os_close(s->fd);
    rip__buffer_done(&s->buffer);
    s->fd = -1;
    s->start = 0;
}

static struct rip__stream *stream_of(rip_command *c, int which)
{
    return which == 1 || which == 2 ? &c->out[which - 1] : NULL;
}

/* What was read ahead goes first. */
static size_t take_buffered(struct rip__stream *s, void *buf, size_t cap)
{
    size_t n = s->buffer.len - s->start;
    n = n < cap ? n : cap;
    if (n > 0)
        memcpy(buf, s->buffer.data + s->start, n);
    s->start += n;
    return n;
}

static int wait_for(int fd, short events, rip_time deadline)
{
    struct pollfd p = { .fd = fd, .events = events };
    int r = rip__os_poll(&p, 1, deadline);
    return r == 0 ? -ETIMEDOUT : r;
}

ssize_t rip_command_read(rip_command *c, int which, void *buf, size_t cap,
                         rip_time deadline)
{
    struct rip__stream *s = stream_of(c, which);
    if (!s || !s->captured || cap == 0)
        return -EINVAL;
    size_t n = take_buffered(s, buf, cap);
    if (n > 0)
        return (ssize_t)n;
    while (s->fd >= 0) {
        ssize_t r = read_once(s, buf, cap);
        if (r != -EAGAIN)
            return r;
        r = deadline == RIP_NOW ? -ETIMEDOUT
                                : wait_for(s->fd, POLLIN, deadline);
        if (r < 0)
            return r;
    }
    return 0;
}

ssize_t rip__input_write(rip_command *c, const void *data, size_t len)
{
    if (c->keyboard && rip__os_terminal_is_deserted(c->in))
        return -EPIPE;
    ssize_t r = rip__os_write(c->in, data, len);
    if (r > 0)
        c->last_typed = ((const unsigned char *)data)[r - 1];
    return r == -EIO && c->keyboard ? -EPIPE : r;
}

/* Once the deadline has passed not even a reader that always makes room keeps
 * us. */
static int wait_for_room(int fd, rip_time deadline)
{
    if (rip__os_clock() >= deadline)
        return -ETIMEDOUT;
    return wait_for(fd, POLLOUT, deadline);
}

ssize_t rip_command_write(rip_command *c, const void *data, size_t len,
                          rip_time deadline)
{
    size_t done = 0;
    if (!c->has_input)
        return -EINVAL;
    if (c->in < 0)
        return -EPIPE;
    while (done < len) {
        ssize_t r = rip__input_write(c, (const char *)data + done, len - done);
        if (r > 0)
            done += (size_t)r;
        if (r >= 0 || r == -EAGAIN)
            r = done < len ? wait_for_room(c->in, deadline) : 0;
        if (r == -ETIMEDOUT && done > 0)
            break;
        if (r < 0)
            return r;
    }
    return (ssize_t)done;
}

void rip__input_close(rip_command *c)
{
    rip__os_close(c->in);
    c->in = -1;
}

/* Types end-of-file. Half of it may go at a time: what is left to type is
 * seen from the last key. */
static ssize_t type_end(rip_command *c)
{
    char keys[2];
    size_t done = 0,
           n = (size_t)rip__os_terminal_eof(c->in, c->last_typed, keys);
    while (done < n) {
        ssize_t r = rip__input_write(c, keys + done, n - done);
        if (r < 0)
            return r;
        done += (size_t)r;
    }
    return 0;
}

int rip__input_end(rip_command *c)
{
    if (c->in >= 0 && c->keyboard && type_end(c) == -EAGAIN)
        return -EAGAIN;
    rip__input_close(c);
    return 0;
}

/* How long a program may take to read some of what was typed before, so that
 * there is room. */
static const rip_time longest_wait = 1000000000;

void rip_command_close_input(rip_command *c)
{
    rip_time give_up = rip__later(longest_wait);
    while (rip__input_end(c) == -EAGAIN)
        if (wait_for_room(c->in, give_up) < 0)
            break;
}

int rip_command_resize(rip_command *c, unsigned short rows,
                       unsigned short columns)
{
    if (c->terminal < 0)
        return -EINVAL;
    return rip__terminal_resize(c->terminal, rows, columns);
}

int rip_command_pipe(const rip_command *c, int which)
{
    if (which == 0)
        return c->in;
    return which == 1 || which == 2 ? c->out[which - 1].fd : -1;
}
