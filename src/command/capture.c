/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>

#include "base/stop.h"

/*
 * Feeding and reading at once. pump() goes round poll(2) with whatever is
 * still open: stdin, as long as there is input for it; stdout and stderr
 * until their end; and the processes. It neither reaps nor stops anything.
 */

/* ---- the pump --------------------------------------------------------- */

struct pump {
    const struct rip__job *job;
    rip_command *c;     /* the job's streams are those of its last command */
    struct pollfd *fds; /* in, out, err, the processes */
    size_t running;
    rip_time give_up; /* after the end, for those who hold the pipes */
};

static int watch(struct pollfd *p, int fd, short events)
{
    *p = (struct pollfd){ .fd = fd, .events = events };
    return fd >= 0;
}

/* Those that have ended before are noticed in the first round. */
static struct pump pump_of(const struct rip__job *job)
{
    struct pump p = { .job = job,
                      .c = job->commands[job->n - 1],
                      .fds = job->fds,
                      .running = job->n,
                      .give_up = RIP_FOREVER };
    for (size_t i = 0; i < job->n; i++)
        watch(&p.fds[3 + i], job->commands[i]->pidfd, POLLIN);
    return p;
}

/* How many of the streams are still open. */
static int arm(struct pump *p)
{
    watch(&p->fds[0], p->c->in, POLLOUT);
    return watch(&p->fds[1], p->c->out[0].fd, POLLIN) +
           watch(&p->fds[2], p->c->out[1].fd, POLLIN);
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

/* Where there is still something to wait for, how it ended is noted now, so
 * that the wall time is its own. */
static void notice_end(struct pump *p, size_t i)
{
    p->fds[3 + i].fd = -1; /* poll passes it over */
    p->running--;
    if (p->running == 0)
        p->give_up = rip__later(p->c->grace);
    if (p->running > 0 || p->c->out[0].fd >= 0 || p->c->out[1].fd >= 0)
        rip__command_note_end(p->job->commands[i]);
}

static int serve(struct pump *p)
{
    int r = 0;
    if (p->fds[0].revents)
        r = feed(p->c);
    for (int i = 0; r == 0 && i < 2; i++)
        if (p->fds[i + 1].revents)
            r = drain(p->c, &p->c->out[i]);
    for (size_t i = 0; i < p->job->n; i++)
        if (p->fds[3 + i].fd >= 0 && p->fds[3 + i].revents)
            notice_end(p, i);
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

/* Waits, and serves whatever is ready. However much there is to read, that
 * ends once it is time. */
static int go_round(struct pump *p, rip_time until)
{
    const struct rip__job *job = p->job;
    int r = job->ending ? rip__os_poll(p->fds, 3 + job->n, until)
                        : rip__poll(p->fds, 3 + job->n, until);
    if (r == 0)
        return -ETIMEDOUT;
    if (r > 0)
        r = serve(p);
    if (r == 0 && until != RIP_FOREVER && rip__os_clock() >= until)
        return -ETIMEDOUT;
    return r == 0 && !job->ending && rip__stopping() ? -ECANCELED : r;
}

/* Until all have ended and their output too: 0. 0 with pipe_held: the output
 * has not, and nobody waits any longer. */
static int pump(const struct rip__job *job, rip_time deadline)
{
    struct pump p = pump_of(job);
    rip_command *c = p.c;
    int r = 0;
    if (deadline == RIP_NOW)
        deadline = rip__os_clock(); /* one round, however much there is */
    c->pipe_held = false;
    if (c->in >= 0 && c->input_done == c->input_len && c->unsent.len == 0)
        (void)rip__input_end(c);
    while (r == 0 && (arm(&p) > 0 || p.running > 0))
        r = go_round(&p, rip__sooner(deadline, p.give_up));
    if (rip__was_cut(r) && p.running == 0) {
        r = drain_rest(c, &c->out[0]);
        if (r == 0)
            r = drain_rest(c, &c->out[1]);
        c->pipe_held = c->out[0].fd >= 0 || c->out[1].fd >= 0;
    }
    if (p.running == 0)
        rip__input_close(c);
    return r;
}

/* pump(), and before it what had been read ahead. */
static int talk(const struct rip__job *job, rip_time deadline)
{
    rip_command *c = job->commands[job->n - 1];
    /* RIP_NOW is one round, with all that comes of it. */
    c->until = deadline == RIP_NOW ? RIP_FOREVER : deadline;
    int r = rip__keep_begin(c);
    if (r == 0)
        r = pump(job, deadline);
    rip__keep_end(c);
    return r;
}

/* ---- the result ------------------------------------------------------- */

/* Whether what has come goes to the caller with this. */
static bool has_output(int code)
{
    return code == 0 || rip__was_cut(code) || code == -EMSGSIZE ||
           code == RIP__REFUSED;
}

/* Takes the status of all: 0, -ETIMEDOUT or -ECANCELED when one has none
 * yet. */
static int reap(const struct rip__job *job, rip_time deadline)
{
    int all = 0;
    for (size_t i = 0; i < job->n; i++) {
        int r = rip_command_wait(job->commands[i], NULL, RIP_NOW);
        if (r == -ETIMEDOUT && deadline != RIP_NOW)
            r = rip_command_wait(job->commands[i], NULL, deadline);
        if (r < 0 && !rip__was_cut(r))
            return r;
        all = r < 0 ? r : all;
    }
    return all;
}

/* `code` is what came of the pump. A command that has ended may have a tracer
 * that keeps its status from us: for that we wait until the deadline. */
static int deliver(const struct rip__job *job, int code, struct rip_output *ret,
                   struct rip_exit *exits, rip_time deadline)
{
    rip_command *c = job->commands[job->n - 1];
    struct rip_output o = { 0 };
    if (!has_output(code))
        return code;
    int r = reap(job, code == 0 ? deadline : RIP_NOW);
    if (r < 0 && !rip__was_cut(r))
        return r;
    if (r < 0 && code == 0)
        code = r;
    r = ret ? rip__keep_results(c, code == 0, &o) : 0;
    if (r < 0)
        return r;
    rip__job_end(job, exits, &o.exit);
    if (ret)
        *ret = o;
    return code == RIP__REFUSED ? c->refused : code;
}

/* With the command's input as it is. */
static int communicate(rip_command *c, struct rip_output *ret,
                       rip_time deadline)
{
    struct pollfd fds[4];
    const struct rip__job job = { &c, 1, fds, false };
    int r = rip__file_collect(c);
    if (r < 0)
        return r;
    r = talk(&job, deadline);
    if (r == 0)
        r = rip__keep_finish(c);
    return deliver(&job, r, ret, NULL, deadline);
}

/* What has been fed is counted from call to call; but the input itself may be
 * gone after the call that it was given to. */
int rip_command_communicate(rip_command *c, const void *input, size_t len,
                            struct rip_output *ret, rip_time deadline)
{
    const void *own = c->input;
    size_t own_len = c->input_len;
    if (len > 0 && (!input || !c->has_input))
        return -EINVAL; /* nothing to feed, or no way to */
    if (c->input_done > (input ? len : own_len) && (input || c->in >= 0))
        return -EINVAL; /* shorter than what has been fed already */
    if (input) {
        c->input = input;
        c->input_len = len;
    }
    int r = communicate(c, ret, deadline);
    c->input = own;
    c->input_len = own_len;
    return r;
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

/* Goes on reading, as the commands may be blocked on that. What comes after a
 * failure is dropped. Gives the first failure. */
static int read_on(const struct rip__job *job, int failure, rip_time deadline)
{
    job->commands[job->n - 1]->deaf = failure != 0;
    int r = talk(job, deadline);
    if (r == 0 || r == -ETIMEDOUT || failure)
        return failure;
    return read_on(job, r, deadline);
}

/* Ends all because of `why`: -ETIMEDOUT, or a failure, which is the result.
 * What comes is still of use where they have but taken too long. */
static int end_early(struct rip__job *job, int why)
{
    rip_time grace_ends = rip__later(job->commands[0]->grace);
    job->ending = true;
    rip__stop_ask(job->commands, job->n, why == -ETIMEDOUT);
    int r = read_on(job, rip__was_cut(why) ? 0 : why, grace_ends);
    rip__stop_await(job->commands, job->n, grace_ends);
    rip__stop_kill(job->commands, job->n);
    r = read_on(job, r, rip__later(last_look));
    for (size_t i = 0; i < job->n; i++)
        (void)rip__stop_end(job->commands[i], NULL);
    return r == 0 && why == -ECANCELED ? why : r;
}

/* Tells the end of a line that has none. What there is not time for until all
 * has to be over is lost. */
static int tell_rest(rip_command *c, int code)
{
    bool open = code == 0 || code == -ECANCELED || code == -EMSGSIZE;
    int r = open ? rip__keep_finish(c) : 0;
    c->truncated = c->truncated || r == -ETIMEDOUT;
    return r == 0 || r == -ETIMEDOUT ? code : r;
}

/* All have ended in time, but what they left behind has not let go of the
 * output. What that would still have said is cut off, so pipe_held stays. */
static int end_holders(struct rip__job *job)
{
    int r = end_early(job, -ETIMEDOUT);
    job->commands[job->n - 1]->pipe_held = true;
    return r;
}

/* Backwards: a group is led by the first of those that are in it. */
static void free_all(const struct rip__job *job)
{
    for (size_t i = job->n; i-- > 0;)
        rip_command_free(job->commands[i]);
}

bool rip__job_is_cancelled(rip_time deadline)
{
    return deadline != RIP_NOW && rip__stopping();
}

int rip__job_run(struct rip__job *job, struct rip_output *ret,
                 struct rip_exit *exits, rip_time deadline)
{
    rip_command *c = job->commands[job->n - 1];
    /* A run ends in time also where on_output is slow: there is no next call
     * that would tell what RIP_NOW had left. */
    int r = talk(job, deadline == RIP_NOW ? rip__os_clock() : deadline);
    bool late = rip__os_clock() >= deadline || rip__stopping();
    if (r == 0 && c->pipe_held && late)
        r = end_holders(job);
    else if (r != 0)
        r = end_early(job, r);
    r = tell_rest(c, r);
    r = deliver(job, r, ret, exits, deadline);
    free_all(job);
    return r;
}

int rip_run(const char *const *argv, const struct rip_command_options *options,
            struct rip_output *ret, rip_time deadline)
{
    struct pollfd fds[4];
    rip_command *c;
    struct rip__job job = { &c, 1, fds, false };
    bool capture = ret || (options && options->on_output);
    if (rip__job_is_cancelled(deadline)) {
        if (ret)
            *ret = (struct rip_output){ 0 };
        return rip__fail(options, "run", argv && argv[0] ? argv[0] : "",
                         -ECANCELED);
    }
    int r = rip__command_start(&c, argv, options, capture ? RIP__CAPTURE : 0);
    if (r < 0)
        return r;
    r = rip__job_run(&job, ret, NULL, deadline);
    return r < 0 ? rip__fail(options, "run", argv[0], r) : r;
}
