/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Control groups, version 2. */

int rip__os_cgroup_new(struct rip__os_cgroup *ret, const char *path,
                       const char *name)
{
    struct rip__os_cgroup g = { .parent = -1, .dir = -1 };
    size_t len = strlen(name);
    if (len >= sizeof g.name)
        return -ENAMETOOLONG;
    memcpy(g.name, name, len + 1);
    g.parent = rip__os_open(path, O_PATH | O_DIRECTORY, 0);
    if (g.parent < 0)
        return g.parent;
    int r = (int)RIP__SYS(SYS_mkdirat, g.parent, g.name, 0755);
    if (r < 0) {
        rip__os_close(g.parent);
        return r;
    }
    r = rip__os_open_at(g.parent, g.name, O_RDONLY | O_DIRECTORY, 0);
    g.dir = r;
    /* Any directory can be made; only a control group has this file. */
    if (r >= 0)
        r = (int)RIP__SYS(SYS_faccessat, g.dir, "cgroup.procs", 2 /* W_OK */);
    if (r < 0) {
        rip__os_cgroup_done(&g);
        return r == -ENOENT ? -EOPNOTSUPP : r;
    }
    *ret = g;
    return 0;
}

void rip__os_cgroup_done(struct rip__os_cgroup *g)
{
    if (g->dir < 0 && g->parent < 0)
        return;
    rip__os_close(g->dir);
    (void)RIP__SYS(SYS_unlinkat, g->parent, g->name, AT_REMOVEDIR);
    rip__os_close(g->parent);
    g->dir = g->parent = -1;
}

int rip__os_cgroup_kill(const struct rip__os_cgroup *g)
{
    int fd = rip__os_open_at(g->dir, "cgroup.kill", O_WRONLY, 0);
    if (fd < 0)
        return fd;
    ssize_t r = rip__os_write(fd, "1", 1);
    rip__os_close(fd);
    return r < 0 ? (int)r : 0;
}

/* Room for as much again, 4096 bytes at least. */
static int grow(char **text, size_t *cap)
{
    size_t size = *cap ? 2 * *cap : 4096;
    char *larger = rip__seam.resize(*text, size);
    if (!larger)
        return -ENOMEM;
    *text = larger;
    *cap = size;
    return 0;
}

static ssize_t read_text(int fd, char **text)
{
    size_t len = 0, cap = 0;
    ssize_t r = 1;
    while (r > 0) {
        int room = cap - len < 2 ? grow(text, &cap) : 0;
        if (room < 0)
            return room;
        r = rip__os_read(fd, *text + len, cap - len - 1);
        len += r > 0 ? (size_t)r : 0;
        (*text)[len] = 0;
    }
    return r;
}

/* A file of the group as text, that the caller releases; or NULL, and why in
 * *error. */
static char *read_file(const struct rip__os_cgroup *g, const char *name,
                       int *error)
{
    char *text = NULL;
    int fd = rip__os_open_at(g->dir, name, O_RDONLY, 0);
    ssize_t r = fd < 0 ? fd : read_text(fd, &text);
    rip__os_close(fd);
    if (r >= 0)
        return text;
    rip__seam.release(text);
    *error = (int)r;
    return NULL;
}

static char *read_members(const struct rip__os_cgroup *g, int *error)
{
    return read_file(g, "cgroup.procs", error);
}

static bool is_listed(const char *text, pid_t pid)
{
    for (char *s = (char *)(uintptr_t)text; *s;) {
        if (strtol(s, &s, 10) == pid)
            return true;
        s += *s == '\n';
    }
    return false;
}

/* A pidfd for a listed pid, which may be somebody else's by now: it is who we
 * mean if the number is listed again while the pidfd's own process lives.
 * -ESRCH: it is not. */
static int hold(const struct rip__os_cgroup *g, pid_t pid)
{
    int error = -ESRCH, fd = rip__pidfd_open(pid);
    if (fd < 0)
        return fd;
    char *again = read_members(g, &error);
    bool ours = again && is_listed(again, pid) && !rip__os_has_ended(fd);
    rip__seam.release(again);
    if (ours)
        return fd;
    rip__os_close(fd);
    return error;
}

int rip__os_cgroup_members(const struct rip__os_cgroup *g, pid_t but,
                           void (*found)(void *arg,
                                         const struct rip__os_member *m),
                           void *arg)
{
    int r = 0;
    char *text = read_members(g, &r);
    for (char *s = text; s && *s;) {
        pid_t pid = (pid_t)strtol(s, &s, 10);
        s += *s == '\n';
        /* 0: a member in a pid namespace that ours can not see. */
        int fd = pid == but || pid <= 0 ? -ESRCH : hold(g, pid);
        if (fd >= 0)
            found(arg, &(struct rip__os_member){ .pid = pid, .pidfd = fd });
        else if (fd != -ESRCH)
            r = fd;
    }
    rip__seam.release(text);
    return r;
}

/* The number that follows `key` in a file of the group; 0: there is none. */
static int64_t read_number(const struct rip__os_cgroup *g, const char *name,
                           const char *key)
{
    int error;
    char *text = read_file(g, name, &error);
    const char *at = text ? strstr(text, key) : NULL;
    int64_t number = at ? strtoll(at + strlen(key), NULL, 10) : 0;
    rip__seam.release(text);
    return number;
}

int64_t rip__os_cgroup_peak(const struct rip__os_cgroup *g)
{
    return g->dir < 0 ? 0 : read_number(g, "memory.peak", "");
}

bool rip__os_cgroup_oom_killed(const struct rip__os_cgroup *g)
{
    return g->dir >= 0 && read_number(g, "memory.events", "oom_kill ") > 0;
}
