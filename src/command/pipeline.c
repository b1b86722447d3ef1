/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <signal.h>

/*
 * A pipeline is started from its first stage to its last. The pipe between
 * two stages is ours only until both have it: one end goes with the stage that
 * writes, the other is carried to the next round. Should we keep one, a stage
 * would wait for an end of file, or a SIGPIPE, that never comes.
 *
 * When all run, the last command gets what is ours of the others: our end of
 * the first one's stdin, and the pipe to which all write their stderr. So all
 * of them are fed, read and ended as one command is.
 */

struct pipeline {
    const char *const *const *stages;
    size_t n;
    const struct rip_command_options *options;
    unsigned manner; /* of the stages, but for the pipes between them */
    bool own_group;  /* else the stages are in ours */
    rip_command **commands;
    size_t started;
    const rip_command *leader; /* of the group that the next stage joins; NULL:
                                  it begins one, if they are not in ours */
    struct rip_stdio err;      /* what each stage gets */
    int err_ours;              /* where we read what they write there, or -1 */
    int err_theirs;            /* what was made for them to write to, or -1 */
    int carried;               /* the stdin of the next one, or -1 */
};

/* ---- what is asked for ------------------------------------------------ */

static int fail_stage(const struct rip_command_options *o, const char *step,
                      size_t i, int code)
{
    char subject[40];
    struct rip__text t = { subject, sizeof subject, 0 };
    rip__text_add(&t, "stages[");
    rip__text_add_int(&t, (long long)i);
    rip__text_add_char(&t, ']');
    rip__text_end(&t);
    return rip__fail(o, step, subject, code);
}

static int check_stages(const struct pipeline *p)
{
    if (!p->stages)
        return rip__fail(p->options, "option", "stages", -EINVAL);
    if (p->n == 0)
        return rip__fail(p->options, "option", "n", -EINVAL);
    for (size_t i = 0; i < p->n; i++)
        if (!p->stages[i] || !p->stages[i][0])
            return fail_stage(p->options, "option", i, -EINVAL);
    return 0;
}

/* What is good for one program only. */
static int check_options(const struct rip_command_options *o)
{
    if (o->process_group != RIP_GROUP_DEFAULT &&
        o->process_group != RIP_GROUP_OWN)
        return rip__refuse(o, "process_group");
    if (o->in.kind == RIP_STDIO_PTY)
        return rip__refuse(o, "in.kind");
    if (o->out.kind == RIP_STDIO_PTY)
        return rip__refuse(o, "out.kind");
    if (o->err.kind == RIP_STDIO_PTY)
        return rip__refuse(o, "err.kind");
    if (o->program)
        return rip__refuse(o, "program");
    return o->program_fd ? rip__refuse(o, "program_fd") : 0;
}

/* All stages write to one pipe, or to one open file, as they do in
 * `(a | b) 2>file`: a file that each opens for itself would be emptied by one
 * while another writes to it. */
static int open_err(struct pipeline *p)
{
    int fd[2] = { -1, -1 };
    int r = 0;
    switch (p->err.kind) {
    case RIP_STDIO_PIPE:
        r = rip__os_pipe(fd);
        if (r < 0)
            return rip__fail(p->options, "pipe", "err", r);
        break;
    case RIP_STDIO_FILE:
    case RIP_STDIO_APPEND:
        r = rip__redirect_file(p->options, &p->err, 2);
        if (r < 0)
            return r;
        fd[1] = r;
        break;
    default:
        return 0;
    }
    p->err_ours = fd[0];
    p->err_theirs = fd[1];
    p->err = (struct rip_stdio){ .kind = RIP_STDIO_FD, .fd = fd[1] };
    r = fd[0] >= 0 ? rip__os_set_nonblock(fd[0]) : 0;
    return r < 0 ? rip__fail(p->options, "pipe", "err", r) : 0;
}

/* Everything that can be said without starting one is said first. */
static int prepare(struct pipeline *p)
{
    struct rip__plan plan = { 0 };
    int r = check_stages(p);
    if (r == 0)
        r = check_options(p->options);
    if (r == 0)
        r = rip__plan_resolve(&plan, p->stages[0], p->options, p->manner);
    if (r < 0)
        return r;
    p->err = plan.stdio[2];
    p->own_group = plan.spawn.group == RIP__GROUP_OWN;
    rip__plan_done(&plan);
    /* Pointers are meant. NOLINTNEXTLINE(bugprone-sizeof-expression) */
    p->commands = rip__alloc_array(p->n, sizeof *p->commands);
    if (!p->commands)
        return rip__fail(p->options, "memory", "stages", -ENOMEM);
    return open_err(p);
}

/* ---- the start -------------------------------------------------------- */

/* `out`: the pipe to the next stage, -1 for the last. */
static struct rip_command_options options_of(const struct pipeline *p, size_t i,
                                             int out)
{
    struct rip_command_options o = *p->options;
    if (i > 0) {
        o.in = (struct rip_stdio){ .kind = RIP_STDIO_FD, .fd = p->carried };
        o.input = NULL;
        o.input_len = 0;
    }
    if (out >= 0)
        o.out = (struct rip_stdio){ .kind = RIP_STDIO_FD, .fd = out };
    o.err = p->err;
    o.process_group = RIP_GROUP_OURS;
    if (p->own_group)
        o.process_group = p->leader ? RIP_GROUP_JOIN : RIP_GROUP_OWN;
    o.join_group = p->leader ? p->leader->pid : 0;
    o.foreground = o.foreground && !p->leader;
    return o;
}

/* Which of its streams are pipes of ours. (A file for stderr is no such thing:
 * the stages share its position.) */
static unsigned manner_of(const struct pipeline *p, size_t i)
{
    return p->manner | (i > 0 ? RIP__PIPED(0) : 0) |
           (i + 1 < p->n ? RIP__PIPED(1) : 0) |
           (p->err_ours >= 0 ? RIP__PIPED(2) : 0);
}

/*
 * A stage joins the group of the one before it, which may have ended: the
 * group is there as long as that has not been reaped, and we reap nobody before
 * all are started. If somebody else has, or it has gone to another group, then
 * there may be no such group any more, and this stage begins a new one.
 */
static int start_in_group(struct pipeline *p, size_t i,
                          struct rip_command_options *o)
{
    unsigned manner = manner_of(p, i);
    int r = rip__command_start(&p->commands[i], p->stages[i], o, manner);
    if (r == -EPERM && p->leader && strcmp(o->failure->step, "setpgid") == 0) {
        p->leader = NULL;
        o->join_group = 0;
        o->process_group = RIP_GROUP_OWN;
        r = rip__command_start(&p->commands[i], p->stages[i], o, manner);
    }
    return r;
}

/* If the leader was reaped by somebody else while this stage joined, then its
 * number may be anybody's: a group that is not signalled. */
static void note_leader(struct pipeline *p, rip_command *c)
{
    if (p->leader && rip__os_pidfd_signal(p->leader->pidfd, 0) != -ESRCH)
        c->leader = p->leader;
    p->leader = c->leader;
}

static int start_stage(struct pipeline *p, size_t i)
{
    int between[2] = { -1, -1 };
    int r = i + 1 < p->n ? rip__os_pipe(between) : 0;
    if (r < 0)
        return fail_stage(p->options, "pipe", i, r);
    struct rip_failure why = { 0 };
    struct rip_command_options o = options_of(p, i, between[1]);
    o.failure = &why; /* what failed at first may be mended */
    r = start_in_group(p, i, &o);
    if (r < 0 && p->options->failure)
        *p->options->failure = why;
    if (r == 0)
        note_leader(p, p->commands[i]);
    rip__os_close(p->carried);
    rip__os_close(between[1]);
    p->carried = between[0];
    p->started += r == 0;
    return r;
}

static void gather(struct pipeline *p)
{
    rip_command *first = p->commands[0], *last = p->commands[p->n - 1];
    if (first != last) {
        last->has_input = first->has_input;
        last->in = first->in;
        last->input = first->input;
        last->input_len = first->input_len;
        first->in = -1;
    }
    last->out[1].captured = p->err_ours >= 0;
    last->out[1].fd = p->err_ours;
    p->err_ours = -1;
}

/* None of them has begun anything that would be worth a polite end. */
static void give_up(struct pipeline *p)
{
    if (p->started > 0)
        rip__stop_kill(p->commands, p->started);
    for (size_t i = p->started; i-- > 0;)
        rip_command_free(p->commands[i]);
}

static int start_all(struct pipeline *p)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->n; i++)
        r = start_stage(p, i);
    rip__os_close(p->carried);
    rip__os_close(p->err_theirs);
    p->carried = p->err_theirs = -1;
    if (r == 0)
        gather(p);
    else
        give_up(p);
    return r;
}

/* ---- the end ---------------------------------------------------------- */

/* How much a stage's end matters to the whole. Who is killed by SIGPIPE has
 * had a reader that ended before it: the reader knows whether that is well. */
static int weight_of(const struct rip_exit *e, bool last)
{
    bool cut_off = e->how == RIP_SIGNALED && e->signal == SIGPIPE && !last;
    if (e->how == RIP_RUNNING)
        return 2;
    return rip_exit_ok(e) || cut_off ? 0 : 1;
}

void rip__job_end(const struct rip__job *job, struct rip_exit *exits,
                  struct rip_exit *ret)
{
    struct rip_exit all = { 0 };
    int weight = 0;
    for (size_t i = 0; i < job->n; i++) {
        struct rip_exit e = { .how = RIP_RUNNING };
        (void)rip_command_wait(job->commands[i], &e, RIP_NOW);
        int w = weight_of(&e, i + 1 == job->n);
        if (w >= weight)
            *ret = e;
        weight = w > weight ? w : weight;
        all.timed_out = all.timed_out || e.timed_out;
        all.stopped = all.stopped || e.stopped;
        all.tree = e.tree > all.tree ? e.tree : all.tree;
        if (exits)
            exits[i] = e;
    }
    ret->timed_out = all.timed_out;
    ret->stopped = all.stopped;
    ret->tree = all.tree;
}

/* It has been asked for before: nothing is started. */
static int run_none(const struct pipeline *p, struct rip_output *ret,
                    struct rip_exit *exits)
{
    if (ret)
        *ret = (struct rip_output){ 0 };
    for (size_t i = 0; exits && i < p->n; i++)
        exits[i] = (struct rip_exit){ 0 };
    return rip__fail(p->options, "run", p->stages[0][0], -ECANCELED);
}

static int run(struct pipeline *p, struct rip_output *ret,
               struct rip_exit *exits, rip_time deadline)
{
    struct rip__job job = { p->commands, p->n, NULL, false };
    size_t n_fds;
    if (rip__add(p->n, 3, &n_fds))
        job.fds = rip__alloc_array(n_fds, sizeof *job.fds);
    if (!job.fds)
        return rip__fail(p->options, "memory", "stages", -ENOMEM);
    int r = start_all(p);
    if (r == 0) {
        r = rip__job_run(&job, ret, exits, deadline);
        if (r < 0)
            rip__fail(p->options, "run", p->stages[0][0], r);
    }
    rip__free(job.fds);
    return r;
}

int rip_pipeline_run(const char *const *const *stages, size_t n,
                     const struct rip_command_options *options,
                     struct rip_output *ret, struct rip_exit *exits,
                     rip_time deadline)
{
    static const struct rip_command_options defaults;
    bool capture = ret || (options && options->on_output);
    struct pipeline p = { .stages = stages,
                          .n = n,
                          .options = options ? options : &defaults,
                          .manner = capture ? RIP__CAPTURE : 0,
                          .err_ours = -1,
                          .err_theirs = -1,
                          .carried = -1 };
    int r = prepare(&p);
    if (r == 0)
        r = rip__job_is_cancelled(deadline) ? run_none(&p, ret, exits)
                                            : run(&p, ret, exits, deadline);
    rip__os_close(p.err_ours);
    rip__os_close(p.err_theirs);
    rip__free(p.commands);
    return r;
}
