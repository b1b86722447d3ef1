/* SPDX-License-Identifier: MIT */
#include "os/linux_child.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "os/linux.h"

/* The child's place among the processes, its limits, and who it is. */

/* ---- its place -------------------------------------------------------- */

/* Where clone3 did not put it there. "0" is who writes. */
static long enter_cgroup(int cgroup)
{
    long fd =
        RIP__SYS(SYS_openat, cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    return fd < 0 ? fd : RIP__SYS(SYS_write, fd, "0", 1);
}

int rip__child_cgroup(struct rip__child *c)
{
    if (!c->spawn->cgroup || c->in_cgroup)
        return 0;
    long r = enter_cgroup(*c->spawn->cgroup);
    return r < 0 ? rip__child_fail(c, RIP__STEP_CGROUP, 0, r) : 0;
}

int rip__child_group(struct rip__child *c)
{
    const struct rip__os_spawn *s = c->spawn;
    long r = 0;
    if (s->group == RIP__GROUP_SESSION) {
        r = RIP__SYS(SYS_setsid);
        return r < 0 ? rip__child_fail(c, RIP__STEP_SETSID, 0, r) : 0;
    }
    if (s->group == RIP__GROUP_OWN)
        r = RIP__SYS(SYS_setpgid, 0, 0);
    else if (s->group == RIP__GROUP_JOIN)
        r = RIP__SYS(SYS_setpgid, 0, s->join_group);
    return r < 0 ? rip__child_fail(c, RIP__STEP_SETPGID, 0, r) : 0;
}

/* ---- its limits ------------------------------------------------------- */

static int set_nice(struct rip__child *c)
{
    if (c->spawn->nice == 0)
        return 0;
    long now = RIP__SYS(SYS_getpriority, PRIO_PROCESS, 0); /* 20 - nice */
    long r = now < 0 ? now
                     : RIP__SYS(SYS_setpriority, PRIO_PROCESS, 0,
                                20 - now + c->spawn->nice);
    return r < 0 ? rip__child_fail(c, RIP__STEP_NICE, 0, r) : 0;
}

static int set_cpus(struct rip__child *c)
{
    if (!c->spawn->cpus)
        return 0;
    long r =
        RIP__SYS(SYS_sched_setaffinity, 0, c->spawn->cpus_size, c->spawn->cpus);
    return r < 0 ? rip__child_fail(c, RIP__STEP_AFFINITY, 0, r) : 0;
}

static int set_rlimits(struct rip__child *c)
{
    for (size_t i = 0; i < c->spawn->n_limits; i++) {
        const struct rip__os_limit *l = &c->spawn->limits[i];
        const uint64_t pair[] = { l->soft, l->hard };
        long r = RIP__SYS(SYS_prlimit64, 0, l->resource, pair, NULL);
        if (r < 0)
            return rip__child_fail(c, RIP__STEP_RLIMIT, (int)i, r);
    }
    return 0;
}

int rip__child_limits(struct rip__child *c)
{
    if (c->spawn->umask)
        (void)RIP__SYS(SYS_umask, *c->spawn->umask);
    if (set_nice(c) < 0 || set_cpus(c) < 0)
        return -1;
    return set_rlimits(c);
}

/* ---- who it is -------------------------------------------------------- */

/*
 * What was asked for is compared with what there is: to have it already is as
 * good as to get it, so that a program without privileges may name itself;
 * and a call that was said to work has to have worked.
 */

static bool has_groups(const struct rip__os_identity *id)
{
    long n = RIP__SYS(SYS_getgroups, id->n_groups + 1, id->room);
    if (n < 0 || (size_t)n != id->n_groups)
        return false;
    for (size_t i = 0; i < id->n_groups; i++)
        if (id->room[i] != id->groups[i])
            return false;
    return true;
}

static bool has_ids(long get, unsigned id)
{
    unsigned real, effective, saved;
    return RIP__SYS(get, &real, &effective, &saved) == 0 && real == id &&
           effective == id && saved == id;
}

static long set_groups(const struct rip__os_identity *id)
{
    long r = RIP__SYS(SYS_setgroups, id->n_groups, id->groups);
    if (has_groups(id))
        return 0;
    return r < 0 ? r : -EPERM;
}

static long set_ids(long set, long get, unsigned id)
{
    long r = RIP__SYS(set, id, id, id);
    if (has_ids(get, id))
        return 0;
    return r < 0 ? r : -EPERM;
}

/* In this order: each needs the privileges that the next takes. */
int rip__child_identity(struct rip__child *c)
{
    const struct rip__os_identity *id = c->spawn->identity;
    long r = 0;
    if (!id)
        return 0;
    if (id->has_groups && (r = set_groups(id)) < 0)
        return rip__child_fail(c, RIP__STEP_SETGROUPS, 0, r);
    if (id->has_gid)
        r = set_ids(SYS_setresgid, SYS_getresgid, id->gid);
    if (r < 0)
        return rip__child_fail(c, RIP__STEP_SETGID, 0, r);
    if (id->has_uid)
        r = set_ids(SYS_setresuid, SYS_getresuid, id->uid);
    return r < 0 ? rip__child_fail(c, RIP__STEP_SETUID, 0, r) : 0;
}
