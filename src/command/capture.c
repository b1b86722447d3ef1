/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>

/*
 * Feeding and reading at once. pump() goes round poll(2) with whatever is
 * still open: stdin, as long as there is input for it; stdout and stderr
 * until their end; and the process. It neither reaps nor stops anything.
 */

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

/* What a pipe holds at first. */
enum { PIPE_SIZE = 1 << 16 };

/* Writes what the pipe takes; closes it when there is no more, or nobody who
 * would read it: an end that a command may choose, and no error. */
static int feed(rip_command *c)
{
    size_t left = c->input_len - c->input_done;
    const char *from = left > 0 ? (const char *)c->input + c->input_done : NULL;
    if (c->input_done == 0 && left > PIPE_SIZE)
        rip__os_pipe_widen(c->in);
    ssize_t r = rip__input_write(c, from, left);
    if (r > 0)
        c->input_done += (size_t)r;
    if (r == -EPIPE || (r >= 0 && c->input_done == c->input_len))
        (void)rip__input_end(c); /* or at the next round */
    return r == -EAGAIN || r == -EPIPE || r > 0 ? 0 : (int)r;
}

static int drain(rip_command *c, struct rip__stream *s)
{
    ssize_t r = rip__keep_read(c, s);
    return r == -EAGAIN || r > 0 ? 0 : (int)r;
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
        ssize_t r = rip__keep_read(c, s);
        if (r == -EAGAIN)
            return 0;
        if (r < 0)
            return (int)r;
        all += (size_t)r;
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

/* pump(), and before it what had been read ahead. */
static int talk(rip_command *c, rip_time deadline)
{
    /* RIP_NOW is one round, with all that comes of it. */
    c->until = deadline == RIP_NOW ? RIP_FOREVER : deadline;
    int r = rip__keep_begin(c);
    if (r == 0)
        r = pump(c, deadline);
    rip__keep_end(c);
    return r;
}

/* ---- the result ------------------------------------------------------- */

/* Whether what has come goes to the caller with this. */
static bool has_output(int code)
{
    return code == 0 || code == -ETIMEDOUT || code == -EMSGSIZE ||
           code == RIP__REFUSED;
}

/* `code` is what came of the pump. A command that has ended may have a tracer
 * that keeps its status from us: for that we wait until the deadline. */
static int deliver(rip_command *c, int code, struct rip_output *ret,
                   rip_time deadline)
{
    struct rip_output o = { 0 };
    if (!has_output(code))
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
    r = ret ? rip__keep_results(c, code == 0, &o) : 0;
    if (r < 0)
        return r;
    if (ret)
        *ret = o;
    return code == RIP__REFUSED ? c->refused : code;
}

int rip_command_communicate(rip_command *c, const void *input, size_t len,
                            struct rip_output *ret, rip_time deadline)
{
    if (len > 0 && (!input || !c->has_input))
        return -EINVAL; /* nothing to feed, or no way to */
    if (input) {
        c->input = input;
        c->input_len = len;
    }
    if (c->input_done > c->input_len)
        return -EINVAL; /* shorter than what has been fed already */
    int r = rip__file_collect(c);
    if (r < 0)
        return r;
    r = talk(c, deadline);
    if (r == 0)
        r = rip__keep_finish(c);
    return deliver(c, r, ret, deadline);
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

/* Goes on reading, as the command may be blocked on that. What comes after a
 * failure is dropped. Gives the first failure. */
static int read_on(rip_command *c, int failure, rip_time deadline)
{
    c->deaf = failure != 0;
    int r = talk(c, deadline);
    if (r == 0 || r == -ETIMEDOUT || failure)
        return failure;
    return read_on(c, r, deadline);
}

/* Ends it because of `why`: -ETIMEDOUT, or a failure, which is the result. */
static int end_early(rip_command *c, int why)
{
    rip_time grace_ends = c->grace > 0 ? rip__later(c->grace) : RIP_NOW;
    struct rip_exit end;
    rip__stop_ask(c, why == -ETIMEDOUT);
    int r = read_on(c, why == -ETIMEDOUT ? 0 : why, grace_ends);
    rip__stop_await(c, grace_ends);
    rip__stop_kill(c);
    r = read_on(c, r, rip__later(last_look));
    (void)rip__stop_end(c, &end);
    return r;
}

/* Tells the end of a line that has none. What there is not time for until all
 * has to be over is lost. */
static int tell_rest(rip_command *c, int code)
{
    int r = code == 0 || code == -EMSGSIZE ? rip__keep_finish(c) : 0;
    c->truncated = c->truncated || r == -ETIMEDOUT;
    return r == 0 || r == -ETIMEDOUT ? code : r;
}

/* It has ended in time, but what it left behind has not let go of its output.
 * What that would still have said is cut off, so pipe_held stays. */
static int end_holders(rip_command *c)
{
    int r = end_early(c, -ETIMEDOUT);
    c->pipe_held = true;
    return r;
}

int rip_run(const char *const *argv, const struct rip_command_options *options,
            struct rip_output *ret, rip_time deadline)
{
    rip_command *c;
    bool capture = ret || (options && options->on_output);
    int r = rip__command_start(&c, argv, options, capture);
    if (r < 0)
        return r;
    r = talk(c, deadline);
    if (r == 0 && c->pipe_held && rip__os_clock() >= deadline)
        r = end_holders(c);
    else if (r != 0)
        r = end_early(c, r);
    r = tell_rest(c, r);
    r = deliver(c, r, ret, deadline);
    rip_command_free(c);
    return r;
}
