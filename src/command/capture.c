/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>

/*
 * Feeding and reading at once. pump() goes round poll(2) with whatever is
 * still open: stdin, as long as there is input for it; stdout and stderr
 * until their end; and the process. It neither reaps nor stops anything.
 */

/* ---- limits ----------------------------------------------------------- */

/* Keeps the first `head` bytes of a stream and the last `tail`. */
static void cut_middle(struct rip__stream *s, size_t head, size_t tail)
{
    char *data = s->buffer.data + s->start;
    size_t len = s->buffer.len - s->start;
    memmove(data + head, data + len - tail, tail);
    s->buffer.len = s->start + head + tail;
}

/* Holds a stream to max_output: false when that is an error. With `slack` the
 * tail may grow to twice its length first, so that a byte is moved once on
 * average and not at every read. */
static bool limit(rip_command *c, struct rip__stream *s, bool slack)
{
    size_t max = c->max_output, len = s->buffer.len - s->start;
    if (max == 0 || len <= max)
        return true;
    size_t tail = c->overflow == RIP_OVERFLOW_HEAD_TAIL ? max / 2 : 0;
    c->truncated = true;
    if (!slack || len - max >= tail)
        cut_middle(s, max - tail, tail);
    return c->overflow != RIP_OVERFLOW_FAIL;
}

/* ---- the pump --------------------------------------------------------- */

struct pump {
    struct pollfd fds[4]; /* in, out, err, the process */
    bool ended;
    rip_time give_up; /* after the end, for those who hold the pipes */
};

static int watch(struct pollfd *p, int fd, short events)
{
    *p = (struct pollfd){ .fd = fd, .events = events };
    return fd >= 0;
}

/* How many of the streams are still open. */
static int arm(const rip_command *c, struct pump *p)
{
    watch(&p->fds[0], c->in, POLLOUT);
    watch(&p->fds[3], p->ended ? -1 : c->pidfd, POLLIN);
    return watch(&p->fds[1], c->out[0].fd, POLLIN) +
           watch(&p->fds[2], c->out[1].fd, POLLIN);
}

/* Writes what the pipe takes; closes it when there is no more, or nobody who
 * would read it: an end that a command may choose, and no error. */
static int feed(rip_command *c)
{
    size_t left = c->input_len - c->input_done;
    const char *from = left > 0 ? (const char *)c->input + c->input_done : NULL;
    ssize_t r = rip__input_write(c, from, left);
    if (r > 0)
        c->input_done += (size_t)r;
    if (r == -EPIPE || (r >= 0 && c->input_done == c->input_len))
        (void)rip__input_end(c); /* or at the next round */
    return r == -EAGAIN || r == -EPIPE || r > 0 ? 0 : (int)r;
}

static int drain(rip_command *c, struct rip__stream *s)
{
    ssize_t r = rip__stream_fill(s);
    if (r == -EAGAIN)
        return 0;
    if (r < 0)
        return (int)r;
    return limit(c, s, true) ? 0 : -EMSGSIZE;
}

static int serve(rip_command *c, struct pump *p)
{
    int r = 0;
    if (p->fds[0].revents)
        r = feed(c);
    for (int i = 0; r == 0 && i < 2; i++)
        if (p->fds[i + 1].revents)
            r = drain(c, &c->out[i]);
    if (p->fds[3].revents && !p->ended) {
        p->ended = true;
        p->give_up = rip__later(c->grace);
    }
    return r;
}

/* The most that a pipe holds unless root has made it larger. */
enum { PIPE_MAX = 1 << 20 };

/* What the command has left in a pipe, though others may add to it for ever:
 * no more than a pipe can have held when it ended. */
static int drain_rest(rip_command *c, struct rip__stream *s)
{
    size_t all = 0;
    while (s->fd >= 0 && all < PIPE_MAX) {
        ssize_t r = rip__stream_fill(s);
        if (r == -EAGAIN)
            return 0;
        if (r < 0)
            return (int)r;
        all += (size_t)r;
        if (!limit(c, s, true))
            return -EMSGSIZE;
    }
    return 0;
}

/* Until the command has ended and its output too: 0. 0 with pipe_held: the
 * output has not, and nobody waits any longer. */
static int pump(rip_command *c, rip_time deadline)
{
    struct pump p = { .give_up = RIP_FOREVER };
    int r = 0;
    if (deadline == RIP_NOW)
        deadline = rip__os_clock(); /* one round, however much there is */
    c->pipe_held = false;
    if (c->in >= 0 && c->input_done == c->input_len && c->unsent.len == 0)
        (void)rip__input_end(c);
    while (r == 0 && (arm(c, &p) > 0 || !p.ended)) {
        rip_time until = rip__sooner(deadline, p.give_up);
        r = rip__os_poll(p.fds, RIP__LENGTH(p.fds), until);
        if (r > 0)
            r = serve(c, &p);
        else if (r == 0)
            r = -ETIMEDOUT;
        if (r == 0 && until != RIP_FOREVER && rip__os_clock() >= until)
            r = -ETIMEDOUT; /* however much there is to read */
    }
    if (r == -ETIMEDOUT && p.ended) {
        r = drain_rest(c, &c->out[0]);
        if (r == 0)
            r = drain_rest(c, &c->out[1]);
        c->pipe_held = c->out[0].fd >= 0 || c->out[1].fd >= 0;
    }
    if (p.ended)
        rip__input_close(c);
    return r;
}

/* ---- the result ------------------------------------------------------- */

/* The stream as a string of its own, that the caller frees: the buffer itself
 * with `give`, else a copy. */
static int result(rip_command *c, struct rip__stream *s, bool give,
                  struct rip__buffer *ret)
{
    struct rip__buffer b = { 0 };
    limit(c, s, false);
    size_t len = s->buffer.len - s->start;
    if (give && s->buffer.data) {
        b = s->buffer;
        memmove(b.data, b.data + s->start, len);
        b.len = len;
        s->buffer = (struct rip__buffer){ 0 };
        s->start = 0;
    } else {
        const char *data = len > 0 ? s->buffer.data + s->start : "";
        if (rip__buffer_append(&b, data, len) < 0)
            return -ENOMEM;
    }
    b.data[b.len] = 0;
    *ret = b;
    return 0;
}

/* Room for an empty result is made before anything is given away, so that a
 * failure loses nothing. */
static int results(rip_command *c, bool give, struct rip_output *ret)
{
    struct rip__buffer out[2] = { { 0 } };
    for (int i = 0; i < 2; i++) {
        struct rip__buffer *own = &c->out[i].buffer;
        if (rip__buffer_reserve(own, 0) < 0)
            return -ENOMEM;
    }
    for (int i = 0; i < 2; i++) {
        if (result(c, &c->out[i], give, &out[i]) < 0) {
            rip__buffer_done(&out[0]);
            return -ENOMEM;
        }
    }
    ret->out = out[0].data;
    ret->out_len = out[0].len;
    ret->err = out[1].data;
    ret->err_len = out[1].len;
    ret->truncated = c->truncated;
    ret->pipe_held = c->pipe_held;
    return 0;
}

/* `code` is what came of the pump. A command that has ended may have a tracer
 * that keeps its status from us: for that we wait until the deadline. */
static int deliver(rip_command *c, int code, struct rip_output *ret,
                   rip_time deadline)
{
    struct rip_output o = { 0 };
    if (code != 0 && code != -ETIMEDOUT && code != -EMSGSIZE)
        return code;
    int r = rip_command_wait(c, &o.exit, RIP_NOW);
    if (r == -ETIMEDOUT && code == 0)
        r = rip_command_wait(c, &o.exit, deadline);
    if (r < 0 && r != -ETIMEDOUT)
        return r;
    if (r == -ETIMEDOUT) {
        o.exit.how = RIP_RUNNING;
        code = code == 0 ? r : code;
    }
    if (!ret)
        return code;
    r = results(c, code == 0, &o);
    if (r < 0)
        return r;
    *ret = o;
    return code;
}

int rip_command_communicate(rip_command *c, const void *input, size_t len,
                            struct rip_output *ret, rip_time deadline)
{
    if (input) {
        c->input = input;
        c->input_len = len;
    }
    if (c->input_done > c->input_len)
        return -EINVAL; /* shorter than what has been fed already */
    int r = rip__file_collect(c);
    if (r < 0)
        return r;
    c->out[0].searched = 0; /* limits may cut it */
    return deliver(c, pump(c, deadline), ret, deadline);
}

void rip_output_done(struct rip_output *o)
{
    rip__free(o->out);
    rip__free(o->err);
    *o = (struct rip_output){ 0 };
}

/* ---- run -------------------------------------------------------------- */

/* For what a killed tree has left in its pipes. */
static const rip_time last_look = 20000000;

/* Ends it while its output is still read, as it may be blocked on that. */
static int end_early(rip_command *c, bool timed_out)
{
    rip_time grace_ends = c->grace > 0 ? rip__later(c->grace) : RIP_NOW;
    struct rip_exit end;
    rip__stop_ask(c, timed_out);
    int r = pump(c, grace_ends);
    rip__stop_await(c, grace_ends);
    rip__stop_kill(c);
    if (r == 0 || r == -ETIMEDOUT)
        r = pump(c, rip__later(last_look));
    (void)rip__stop_end(c, &end);
    return r == -ETIMEDOUT ? 0 : r;
}

/* It has ended in time, but what it left behind has not let go of its output.
 * What that would still have said is cut off, so pipe_held stays. */
static int end_holders(rip_command *c)
{
    int r = end_early(c, true);
    c->pipe_held = true;
    return r;
}

int rip_run(const char *const *argv, const struct rip_command_options *options,
            struct rip_output *ret, rip_time deadline)
{
    rip_command *c;
    int r = rip__command_start(&c, argv, options, ret != NULL);
    if (r < 0)
        return r;
    r = pump(c, deadline);
    if (r == 0 && c->pipe_held && rip__os_clock() >= deadline)
        r = end_holders(c);
    else if (r == -ETIMEDOUT)
        r = end_early(c, true);
    else if (r < 0)
        (void)end_early(c, false);
    r = deliver(c, r, ret, deadline);
    rip_command_free(c);
    return r;
}
