/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <fcntl.h>

/* The descriptors of a plan, made in this process: a file that cannot be
 * opened is told of before there is a child, and a path means what it means
 * here. */

void rip__redirect_close(int fds[3])
{
    for (int i = 0; i < 3; i++) {
        rip__os_close(fds[i]);
        fds[i] = -1;
    }
}

static int open_pipe(struct rip__plan *p, int i)
{
    static const char *const names[] = { "in", "out", "err" };
    int fd[2];
    int r = rip__os_pipe(fd);
    if (r < 0)
        return rip__fail(p->options, "pipe", names[i], r);
    p->ours[i] = i == 0 ? fd[1] : fd[0];
    p->theirs[i] = i == 0 ? fd[0] : fd[1];
    p->spawn.redirect[i] =
        (struct rip__os_redirect){ RIP__OURS, p->theirs[i],
                                   i == 0 ? O_RDONLY : O_WRONLY };
    r = rip__os_set_nonblock(p->ours[i]);
    return r < 0 ? rip__fail(p->options, "pipe", names[i], r) : 0;
}

static int file_flags(const struct rip_stdio *s, int i)
{
    if (i == 0)
        return O_RDONLY;
    return O_WRONLY | O_CREAT |
           (s->kind == RIP_STDIO_APPEND ? O_APPEND : O_TRUNC);
}

int rip__redirect_file(const struct rip_command_options *o,
                       const struct rip_stdio *s, int i)
{
    int fd = rip__os_open(s->path, file_flags(s, i) | O_NOCTTY, 0666);
    return fd < 0 ? rip__fail(o, "open", s->path, fd) : fd;
}

static int open_file(struct rip__plan *p, int i)
{
    int fd = rip__redirect_file(p->options, &p->stdio[i], i);
    if (fd < 0)
        return fd;
    p->theirs[i] = fd;
    p->spawn.redirect[i] = (struct rip__os_redirect){
        RIP__OURS, fd, file_flags(&p->stdio[i], i) & ~(O_CREAT | O_TRUNC)
    };
    return 0;
}

/* Wherever out goes: the same open file, so that the two share one position
 * and nothing is written over. */
static struct rip__os_redirect same_as_out(const struct rip__plan *p)
{
    const struct rip__os_redirect *out = &p->spawn.redirect[1];
    if (out->kind == RIP__INHERIT)
        return (struct rip__os_redirect){ RIP__COPY, 1, 0 };
    return *out;
}

static int check_fd(const struct rip__plan *p, int i, int fd)
{
    int r = rip__os_check(fd);
    return r < 0 ? rip__fail_fd(p, i, r) : 0;
}

int rip__terminal_resize(int fd, unsigned short rows, unsigned short columns)
{
    return rip__os_terminal_resize(fd, rows ? rows : 24,
                                   columns ? columns : 80);
}

/* A copy of our end, for one direction. */
static int copy_terminal(struct rip__plan *p, int i)
{
    p->ours[i] = rip__os_copy(p->terminal);
    return p->ours[i] < 0 ? p->ours[i] : 0;
}

static int make_terminal(struct rip__plan *p)
{
    int fd[2];
    int r = rip__os_terminal(fd);
    if (r < 0)
        return r;
    p->terminal = fd[0];
    p->theirs[1] = fd[1];
    if (p->identity.has_uid) /* as login does it; if it may not, so be it */
        (void)rip__os_give(fd[1], p->identity.uid);
    r = rip__os_set_nonblock(p->terminal); /* of all copies */
    if (r == 0)
        r = rip__terminal_resize(p->terminal, p->options->rows,
                                 p->options->columns);
    if (r == 0)
        r = copy_terminal(p, 1);
    if (r == 0 && p->stdio[0].kind == RIP_STDIO_PTY)
        r = copy_terminal(p, 0);
    return r;
}

static int open_terminal(struct rip__plan *p)
{
    if (p->stdio[1].kind != RIP_STDIO_PTY)
        return 0;
    int r = make_terminal(p);
    return r < 0 ? rip__fail(p->options, "pty", "/dev/ptmx", r) : 0;
}

static int open_stream(struct rip__plan *p, int i)
{
    switch (p->stdio[i].kind) {
    case RIP_STDIO_PIPE:
        return open_pipe(p, i);
    case RIP_STDIO_FILE:
    case RIP_STDIO_APPEND:
        return open_file(p, i);
    case RIP_STDIO_NULL:
        p->spawn.redirect[i].kind = RIP__NULL;
        return 0;
    case RIP_STDIO_FD:
        p->spawn.redirect[i] = (struct rip__os_redirect){
            (p->manner & RIP__PIPED(i)) ? RIP__OURS : RIP__COPY, p->stdio[i].fd,
            i == 0 ? O_RDONLY : O_WRONLY
        };
        return 0;
    case RIP_STDIO_STDOUT:
        p->spawn.redirect[i] = same_as_out(p);
        return 0;
    case RIP_STDIO_PTY:
        p->spawn.redirect[i] =
            (struct rip__os_redirect){ RIP__OURS, p->theirs[1], O_RDWR };
        return 0;
    case RIP_STDIO_DEFAULT:
    case RIP_STDIO_INHERIT:
        break;
    }
    return 0;
}

/* The pipe that ties the program to this process: nothing goes through it, it
 * is its end that tells. */
static int open_lifeline(struct rip__plan *p)
{
    int r = rip__os_pipe(p->lifeline);
    if (r < 0)
        return rip__fail(p->options, "lifeline", p->program, r);
    p->spawn.lifeline = &p->lifeline[0];
    return 0;
}

static int check_stream(const struct rip__plan *p, int i)
{
    const struct rip_stdio *s = &p->stdio[i];
    if (s->kind == RIP_STDIO_FD)
        return check_fd(p, i, s->fd);
    if (s->kind == RIP_STDIO_STDOUT && p->stdio[1].kind == RIP_STDIO_INHERIT)
        return check_fd(p, i, 1);
    return 0;
}

/* What is to be copied, and is closed here, would be the next thing that is
 * opened here: so all of it is looked at before that. */
static int check_sources(const struct rip__plan *p)
{
    const int *program = p->options->program_fd;
    int r = program ? rip__os_check(*program) : 0;
    if (r < 0)
        return rip__fail(p->options, "exec", "program_fd", r);
    for (int i = 0; r == 0 && i < 3; i++)
        r = check_stream(p, i);
    for (size_t i = 0; r == 0 && i < p->spawn.n_fds; i++)
        r = check_fd(p, 3 + (int)i, p->fds[i].source);
    return r;
}

static int make_cgroup(struct rip__plan *p)
{
    const char *parent = p->options->cgroup;
    char name[RIP__MARK_SIZE + 8] = "ripstop-";
    rip__make_mark(name + strlen(name));
    int r = rip__os_cgroup_new(&p->cgroup, parent, name);
    if (r < 0)
        return rip__fail(p->options, "cgroup", parent, r);
    p->spawn.cgroup = &p->cgroup.dir;
    return 0;
}

int rip__redirect_open(struct rip__plan *p)
{
    int r = check_sources(p);
    if (r == 0)
        r = open_terminal(p);
    for (int i = 0; r == 0 && i < 3; i++)
        r = open_stream(p, i);
    if (r == 0 && p->options->die_with_parent)
        r = open_lifeline(p);
    if (r == 0 && p->options->cgroup)
        r = make_cgroup(p);
    return r;
}
