/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <math.h>

/* All that can be wrong with the options is found here, before anything is
 * made. The failure's subject is the option, or the two that contradict. */

static const char *const stream_names[] = { "in", "out", "err" };

int rip__refuse(const struct rip_command_options *o, const char *option)
{
    return rip__fail(o, "option", option, -EINVAL);
}

/* Refuses "in.path" and the like. */
static int refuse_stream(const struct rip_command_options *o, int i,
                         const char *field)
{
    char option[32];
    struct rip__text t = { option, sizeof option, 0 };
    rip__text_add(&t, stream_names[i]);
    rip__text_add_char(&t, '.');
    rip__text_add(&t, field);
    rip__text_end(&t);
    return rip__refuse(o, option);
}

static int check_stream(const struct rip_command_options *o, int i,
                        const struct rip_stdio *s)
{
    bool has_path = s->kind == RIP_STDIO_FILE || s->kind == RIP_STDIO_APPEND;
    if ((unsigned)s->kind > RIP_STDIO_PTY ||
        (i == 0 && s->kind == RIP_STDIO_APPEND) ||
        (i != 2 && s->kind == RIP_STDIO_STDOUT))
        return refuse_stream(o, i, "kind");
    if (has_path != (s->path != NULL))
        return refuse_stream(o, i, "path");
    if (s->kind == RIP_STDIO_FD ? s->fd < 0 : s->fd != 0)
        return refuse_stream(o, i, "fd");
    return 0;
}

static int check_env(const struct rip_command_options *o)
{
    for (size_t i = 0; o->env && o->env[i]; i++)
        if (o->env[i][0] == 0 || o->env[i][0] == '=')
            return rip__refuse(o, "env");
    return 0;
}

static int check_limits(const struct rip_command_options *o)
{
    if ((unsigned)o->env_mode > RIP_ENV_REPLACE)
        return rip__refuse(o, "env_mode");
    if ((unsigned)o->overflow > RIP_OVERFLOW_HEAD_TAIL)
        return rip__refuse(o, "overflow");
    if (o->overflow != RIP_OVERFLOW_TRUNCATE && o->max_output == 0)
        return rip__refuse(o, "overflow without max_output");
    if (o->overflow == RIP_OVERFLOW_HEAD_TAIL && o->on_output)
        return rip__refuse(o, "overflow and on_output"); /* no end to tell */
    if (o->max_output > PTRDIFF_MAX)
        return rip__refuse(o, "max_output");
    if (o->by_lines && !o->on_output)
        return rip__refuse(o, "by_lines without on_output");
    if (isnan(o->grace))
        return rip__refuse(o, "grace");
    if (!o->input && o->input_len > 0)
        return rip__refuse(o, "input_len without input");
    if (o->input_len > PTRDIFF_MAX)
        return rip__refuse(o, "input_len");
    if (o->input && o->in.kind != RIP_STDIO_DEFAULT &&
        o->in.kind != RIP_STDIO_PIPE && o->in.kind != RIP_STDIO_PTY)
        return rip__refuse(o, "input and in.kind");
    for (size_t i = 0; i < RIP__LENGTH(o->reserved); i++)
        if (o->reserved[i] != 0)
            return rip__refuse(o, "reserved");
    return 0;
}

static enum rip_stdio_kind default_kind(const struct rip_command_options *o,
                                        int i, bool capture)
{
    if (i == 0 && o->input)
        return RIP_STDIO_PIPE;
    if (!capture)
        return RIP_STDIO_INHERIT;
    return i == 0 ? RIP_STDIO_NULL : RIP_STDIO_PIPE;
}

/* Only with stdout is there anybody who reads what the terminal shows. */
static int check_terminal(const struct rip__plan *p)
{
    const struct rip_command_options *o = p->options;
    if (o->out.kind == RIP_STDIO_PTY)
        return 0;
    if (o->in.kind == RIP_STDIO_PTY)
        return rip__refuse(o, "in.kind and out.kind");
    if (o->err.kind == RIP_STDIO_PTY)
        return rip__refuse(o, "err.kind and out.kind");
    if (o->rows != 0)
        return rip__refuse(o, "rows and out.kind");
    return o->columns != 0 ? rip__refuse(o, "columns and out.kind") : 0;
}

static int resolve_streams(struct rip__plan *p)
{
    const struct rip_command_options *o = p->options;
    const struct rip_stdio *const asked[] = { &o->in, &o->out, &o->err };
    for (int i = 0; i < 3; i++) {
        int r = check_stream(o, i, asked[i]);
        if (r < 0)
            return r;
        p->stdio[i] = *asked[i];
        if (p->stdio[i].kind == RIP_STDIO_DEFAULT)
            p->stdio[i].kind = default_kind(o, i, p->manner & RIP__CAPTURE);
    }
    return check_terminal(p);
}

static int resolve_program(struct rip__plan *p, const char *const *argv)
{
    const struct rip_command_options *o = p->options;
    if (!argv || !argv[0])
        return rip__refuse(o, "argv");
    if (o->program && o->program_fd)
        return rip__refuse(o, "program and program_fd");
    if (o->program_fd && *o->program_fd < 0)
        return rip__refuse(o, "program_fd");
    int r = rip__environment(&p->env, p->mark, o);
    if (r < 0)
        return r;
    p->program = o->program ? o->program : argv[0];
    p->spawn.program = o->program_fd;
    p->spawn.argv = argv;
    p->spawn.envp = p->env;
    r = rip__search_paths(&p->paths, p->program, p->spawn.envp);
    p->spawn.paths = p->paths;
    return r < 0 ? rip__fail(o, "memory", "PATH", r) : 0;
}

static int resolve(struct rip__plan *p, const char *const *argv)
{
    int r = check_limits(p->options);
    if (r == 0)
        r = check_env(p->options);
    if (r == 0)
        r = resolve_streams(p);
    if (r == 0)
        r = rip__attributes_resolve(p);
    if (r == 0)
        r = resolve_program(p, argv);
    if (r == 0)
        r = rip__identity_resolve(p);
    return r;
}

int rip__plan_resolve(struct rip__plan *ret, const char *const *argv,
                      const struct rip_command_options *options,
                      unsigned manner)
{
    static const struct rip_command_options defaults;
    *ret = (struct rip__plan){ .options = options ? options : &defaults,
                               .manner = manner,
                               .ours = { -1, -1, -1 },
                               .theirs = { -1, -1, -1 },
                               .terminal = -1,
                               .lifeline = { -1, -1 },
                               .cgroup = { .parent = -1, .dir = -1 } };
    int r = resolve(ret, argv);
    if (r < 0)
        rip__plan_done(ret);
    return r;
}

void rip__plan_done(struct rip__plan *p)
{
    rip__redirect_close(p->theirs);
    rip__redirect_close(p->ours);
    rip__os_close(p->terminal);
    rip__os_close(p->lifeline[0]);
    rip__os_close(p->lifeline[1]);
    rip__os_cgroup_done(&p->cgroup);
    rip__attributes_done(p);
    rip__free(p->env);
    rip__free(p->paths);
}
