/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>

#include "base/stop.h"

/* As little as is read at once: a program that prints a line should not cost
 * a big buffer; what goes on and on gets as much again as it has. */
enum { READ_MIN = 4096, READ_MAX = 1 << 20 };

/* The most that a pipe holds unless root has made it larger. */
enum { LATE_MAX = 1 << 20 };

/* One huge line is no reason to keep that much for ever. */
static void shrink(struct rip__buffer *b)
{
    char *data = NULL;
    if (b->cap / 2 > READ_MAX && b->len < READ_MAX)
        data = rip__seam.resize(b->data, READ_MAX);
    if (data) {
        b->data = data;
        b->cap = READ_MAX;
    }
}

/* Room to read into. What is left moves to the front once at least as much has
 * been taken: so a byte is moved once on average, however short the lines are
 * in which it is taken. A buffer that was filled to the brim grows, since there
 * is probably more where that came from. */
static int make_room(struct rip__stream *s)
{
    struct rip__buffer *b = &s->buffer;
    size_t left = b->len - s->start;
    bool full = b->len + 1 >= b->cap;
    size_t want = full ? b->cap : b->len;
    if (s->start >= left) {
        if (left > 0)
            memmove(b->data, b->data + s->start, left);
        b->len = left;
        s->start = 0;
        shrink(b);
    }
    if (!full && b->cap - b->len > READ_MIN / 2)
        return 0;
    want = want < READ_MIN ? READ_MIN : want;
    return rip__buffer_reserve(b, want < READ_MAX ? want : READ_MAX);
}

/* Closes the stream at its end. That of a terminal is an error: nobody has
 * its other end open any more. */
static ssize_t note_end(struct rip__stream *s, ssize_t r)
{
    if (r == -EIO && s->terminal)
        r = 0;
    if (r == 0) {
        rip__os_close(s->fd);
        s->fd = -1;
    }
    return r;
}

ssize_t rip__stream_read_once(struct rip__stream *s, void *buf, size_t cap)
{
    return note_end(s, rip__os_read(s->fd, buf, cap));
}

ssize_t rip__stream_splice_once(struct rip__stream *s, int null, size_t cap)
{
    return note_end(s, rip__os_splice(s->fd, null, cap));
}

ssize_t rip__stream_fill(struct rip__stream *s)
{
    struct rip__buffer *b = &s->buffer;
    int room = make_room(s);
    if (room < 0)
        return room;
    ssize_t r = rip__stream_read_once(s, b->data + b->len, b->cap - b->len - 1);
    if (r > 0)
        b->len += (size_t)r;
    return r;
}

void rip__stream_done(struct rip__stream *s)
{
    rip__os_close(s->fd);
    rip__buffer_done(&s->buffer);
    s->fd = -1;
    s->start = s->searched = 0;
}

int rip__wait_for(int fd, short events, rip_time deadline)
{
    struct pollfd p = { .fd = fd, .events = events };
    if (rip__os_clock() >= deadline)
        return -ETIMEDOUT;
    int r = rip__poll(&p, 1, deadline);
    return r == 0 ? -ETIMEDOUT : r;
}

/* ---- reading ---------------------------------------------------------- */

/* The next `n` bytes of the buffer, which are there. */
static void take(struct rip__stream *s, void *buf, size_t n)
{
    if (n > 0)
        memcpy(buf, s->buffer.data + s->start, n);
    s->start += n;
    s->searched -= s->searched < n ? s->searched : n;
}

ssize_t rip__stream_read(struct rip__stream *s, void *buf, size_t cap,
                         rip_time deadline)
{
    size_t ahead = s->buffer.len - s->start;
    if (ahead > 0) {
        size_t n = ahead < cap ? ahead : cap;
        take(s, buf, n);
        return (ssize_t)n;
    }
    while (s->fd >= 0) {
        ssize_t r = rip__stream_read_once(s, buf, cap);
        if (r != -EAGAIN)
            return r;
        r = rip__wait_for(s->fd, POLLIN, deadline);
        if (r < 0)
            return r;
    }
    return 0;
}

ssize_t rip_command_read(rip_command *c, int which, void *buf, size_t cap,
                         rip_time deadline)
{
    if ((which != 1 && which != 2) || !c->out[which - 1].captured || cap == 0)
        return -EINVAL;
    return rip__stream_read(&c->out[which - 1], buf, cap, deadline);
}

/* The length of the first line, with its newline; 0 when it is not whole. A
 * byte is looked at once, in however many pieces the line comes. */
static size_t find_line(struct rip__stream *s)
{
    size_t ahead = s->buffer.len - s->start;
    if (s->searched == ahead)
        return 0;
    const char *from = s->buffer.data + s->start;
    const char *end = memchr(from + s->searched, '\n', ahead - s->searched);
    s->searched = end ? (size_t)(end - from) : ahead;
    return end ? s->searched + 1 : 0;
}

/* Room for a line of `n` bytes and a NUL, as getline(3) makes it. Lines that
 * get longer and longer are not to cost a copy each. */
static int grow_line(char **line, size_t *cap, size_t n)
{
    size_t size = 120, has = *line ? *cap : 0;
    if (n < has)
        return 0;
    if (size <= n)
        size = n + 1;
    if (size / 2 < has && has <= SIZE_MAX / 2)
        size = 2 * has;
    char *p = rip__seam.resize(*line, size);
    if (!p)
        return -ENOMEM;
    *line = p;
    *cap = size;
    return 0;
}

static ssize_t take_line(struct rip__stream *s, size_t n, char **line,
                         size_t *cap)
{
    int r = grow_line(line, cap, n);
    if (r < 0)
        return r;
    take(s, *line, n);
    (*line)[n] = 0;
    return (ssize_t)n;
}

/* Why one would not wait: 0 if one would. */
static int is_over(rip_time deadline)
{
    if (rip__os_clock() >= deadline)
        return -ETIMEDOUT;
    return rip__stopping() ? -ECANCELED : 0;
}

ssize_t rip_command_line(rip_command *c, char **line, size_t *cap,
                         rip_time deadline)
{
    struct rip__stream *s = &c->out[0];
    size_t n, late = 0;
    int code;
    if (!s->captured || !line || !cap)
        return -EINVAL;
    while ((n = find_line(s)) == 0 && s->fd >= 0) {
        ssize_t r = rip__stream_fill(s);
        if (r == -EAGAIN) {
            r = rip__wait_for(s->fd, POLLIN, deadline);
        } else if (r > 0 && (code = is_over(deadline)) < 0) {
            /* What lies in the pipe is still looked at, and no more. */
            late += (size_t)r;
            r = late < LATE_MAX ? r : code;
        }
        if (r < 0)
            return r;
    }
    if (n == 0) /* the end: the last line lacks its newline, or is none */
        n = s->buffer.len - s->start;
    return n > 0 ? take_line(s, n, line, cap) : 0;
}

int rip_command_pipe(const rip_command *c, int which)
{
    if (which == 0)
        return c->in;
    return which == 1 || which == 2 ? c->out[which - 1].fd : -1;
}
