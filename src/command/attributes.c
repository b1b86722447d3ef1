/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <stdlib.h> /* qsort */
#include <sys/resource.h>

/* Of the options: further descriptors, the session, limits and signals. */

static int no_memory(const struct rip__plan *p, const char *what)
{
    return rip__fail(p->options, "memory", what, -ENOMEM);
}

/* ---- descriptors ------------------------------------------------------ */

static int by_target(const void *a, const void *b)
{
    const struct rip__os_fd *x = a, *y = b;
    return (x->target > y->target) - (x->target < y->target);
}

static int check_fds(const struct rip__plan *p)
{
    for (size_t i = 0; i < p->spawn.n_fds; i++) {
        if (p->fds[i].source < 0)
            return rip__refuse(p->options, "fds.ours");
        if (p->fds[i].target < 3)
            return rip__refuse(p->options, "fds.theirs");
        if (i > 0 && p->fds[i].target == p->fds[i - 1].target)
            return rip__refuse(p->options, "fds.theirs twice");
    }
    return 0;
}

static int resolve_fds(struct rip__plan *p)
{
    const struct rip_command_options *o = p->options;
    if (!o->fds && o->n_fds > 0)
        return rip__refuse(o, "n_fds without fds");
    if (o->n_fds == 0)
        return 0;
    p->fds = rip__alloc_array(o->n_fds, sizeof *p->fds);
    p->fds_room = rip__alloc_array(o->n_fds, sizeof *p->fds_room);
    if (!p->fds || !p->fds_room)
        return no_memory(p, "fds");
    for (size_t i = 0; i < o->n_fds; i++)
        p->fds[i] = (struct rip__os_fd){ o->fds[i].ours, o->fds[i].theirs };
    qsort(p->fds, o->n_fds, sizeof *p->fds, by_target);
    p->spawn.fds = p->fds;
    p->spawn.fds_room = p->fds_room;
    p->spawn.n_fds = o->n_fds;
    return check_fds(p);
}

/* ---- the session ------------------------------------------------------ */

/* A terminal of ours is the controlling one of a session that begins with the
 * program: for that it has to be in no group yet. */
static int resolve_terminal(struct rip__plan *p, enum rip_process_group *group)
{
    static const int in = 0, out = 1;
    const struct rip_command_options *o = p->options;
    if (o->controlling_terminal)
        p->spawn.terminal = &in;
    if (p->stdio[1].kind != RIP_STDIO_PTY)
        return 0;
    if (*group != RIP_GROUP_DEFAULT && *group != RIP_GROUP_SESSION)
        return rip__refuse(o, "process_group and out.kind");
    if (o->controlling_terminal && p->stdio[0].kind != RIP_STDIO_PTY)
        return rip__refuse(o, "controlling_terminal and out.kind");
    p->spawn.terminal = &out;
    *group = RIP_GROUP_SESSION;
    return 0;
}

static int resolve_group(struct rip__plan *p)
{
    const struct rip_command_options *o = p->options;
    enum rip_process_group group = o->process_group;
    if ((unsigned)group > RIP_GROUP_JOIN)
        return rip__refuse(o, "process_group");
    if (resolve_terminal(p, &group) < 0)
        return -EINVAL;
    if (group == RIP_GROUP_DEFAULT)
        group = p->stdio[0].kind == RIP_STDIO_INHERIT ? RIP_GROUP_OURS
                                                      : RIP_GROUP_OWN;
    if (group == RIP_GROUP_JOIN ? o->join_group <= 0 : o->join_group != 0)
        return rip__refuse(o, "join_group");
    if (o->controlling_terminal && group != RIP_GROUP_SESSION)
        return rip__refuse(o, "controlling_terminal without a session");
    if (o->foreground && group == RIP_GROUP_SESSION)
        return rip__refuse(o, "foreground and process_group");
    p->spawn.group = group == RIP_GROUP_OURS      ? RIP__GROUP_OURS
                     : group == RIP_GROUP_OWN     ? RIP__GROUP_OWN
                     : group == RIP_GROUP_SESSION ? RIP__GROUP_SESSION
                                                  : RIP__GROUP_JOIN;
    p->spawn.join_group = o->join_group;
    p->spawn.foreground = o->foreground;
    return 0;
}

/* ---- limits ----------------------------------------------------------- */

static int resolve_limits(struct rip__plan *p)
{
    const struct rip_command_options *o = p->options;
    if (!o->limits && o->n_limits > 0)
        return rip__refuse(o, "n_limits without limits");
    if (o->n_limits == 0)
        return 0;
    p->limits = rip__alloc_array(o->n_limits, sizeof *p->limits);
    if (!p->limits)
        return no_memory(p, "limits");
    for (size_t i = 0; i < o->n_limits; i++) {
        const struct rip_limit *l = &o->limits[i];
        if (l->resource < 0 || l->resource >= (int)RLIM_NLIMITS)
            return rip__refuse(o, "limits.resource");
        if (l->soft > l->hard)
            return rip__refuse(o, "limits.soft and limits.hard");
        p->limits[i] = (struct rip__os_limit){ l->resource, l->soft, l->hard };
    }
    p->spawn.limits = p->limits;
    p->spawn.n_limits = o->n_limits;
    return 0;
}

static int resolve_cpus(struct rip__plan *p)
{
    const struct rip_command_options *o = p->options;
    if (!o->cpus && o->n_cpus > 0)
        return rip__refuse(o, "n_cpus without cpus");
    int r = rip__cpu_mask(&p->cpus, &p->spawn.cpus_size, o->cpus, o->n_cpus);
    if (r == -EINVAL)
        return rip__refuse(o, "cpus");
    if (r < 0)
        return no_memory(p, "cpus");
    p->spawn.cpus = p->cpus;
    return 0;
}

/* ---- signals ---------------------------------------------------------- */

static int signal_bits(uint64_t *ret, const int *list)
{
    uint64_t bits = 0;
    for (; list && *list != 0; list++) {
        if (*list < 1 || *list > 64)
            return -EINVAL;
        bits |= UINT64_C(1) << (*list - 1);
    }
    *ret = bits;
    return 0;
}

static int resolve_signals(struct rip__plan *p)
{
    const struct rip_command_options *o = p->options;
    if ((unsigned)o->signals > RIP_SIGNALS_KEEP_IGNORED)
        return rip__refuse(o, "signals");
    p->spawn.keep_ignored = o->signals == RIP_SIGNALS_KEEP_IGNORED;
    if (signal_bits(&p->spawn.blocked, o->blocked) < 0)
        return rip__refuse(o, "blocked");
    if (signal_bits(&p->spawn.ignored, o->ignored) < 0)
        return rip__refuse(o, "ignored");
    return 0;
}

/* ---- all -------------------------------------------------------------- */

int rip__attributes_resolve(struct rip__plan *p)
{
    const struct rip_command_options *o = p->options;
    if (o->nice < -40 || o->nice > 40)
        return rip__refuse(o, "nice");
    p->spawn.nice = o->nice;
    p->spawn.umask = o->umask;
    p->spawn.cwd = o->cwd;
    p->spawn.no_new_privs = o->no_new_privs;
    int r = resolve_group(p);
    if (r == 0)
        r = resolve_signals(p);
    if (r == 0)
        r = resolve_fds(p);
    if (r == 0)
        r = resolve_limits(p);
    return r == 0 ? resolve_cpus(p) : r;
}

void rip__attributes_done(struct rip__plan *p)
{
    rip__free(p->fds);
    rip__free(p->fds_room);
    rip__free(p->limits);
    rip__free(p->cpus);
    rip__free(p->groups);
}
