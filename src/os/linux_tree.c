/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Who is whose descendant, as /proc has it. */

struct process {
    pid_t pid, parent, group;
    unsigned long long started; /* with the pid: who it is, for ever */
    bool dead;
    bool descends;
};

struct table {
    struct process *list;
    size_t n, cap;
};

/* false: it is gone. A zombie is dead, unless threads of it go on after the
 * first has ended. */
static bool read_process(pid_t pid, struct process *ret)
{
    char path[40], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (rip__os_slurp(path, text, sizeof text) < 0)
        return false;
    /* pid (name) state parent group ...: a name may hold anything. */
    char *s = strrchr(text, ')');
    if (!s || strlen(s) < 4)
        return false;
    char state = s[2];
    unsigned long long field[19]; /* from the fourth of proc(5) on */
    s += 3;
    for (size_t i = 0; i < sizeof field / sizeof *field; i++)
        field[i] = strtoull(s, &s, 10);
    *ret = (struct process){ .pid = pid,
                             .parent = (pid_t)field[0],
                             .group = (pid_t)field[1],
                             .started = field[18],
                             .dead = state == 'X' ||
                                     (state == 'Z' && field[16] <= 1) };
    return true;
}

static int add(struct table *t, pid_t pid)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 256;
        void *list = rip__seam.resize(t->list, cap * sizeof *t->list);
        if (!list)
            return -ENOMEM;
        t->list = list;
        t->cap = cap;
    }
    t->n += read_process(pid, &t->list[t->n]);
    return 0;
}

static int read_table(struct table *t)
{
    _Alignas(struct rip__dirent) char list[4096];
    int dir = rip__os_open("/proc", O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0)
        return dir;
    long n, r = 0;
    while (r == 0 &&
           (n = RIP__SYS(SYS_getdents64, dir, list, sizeof list)) != 0) {
        if (n < 0)
            r = n;
        for (long at = 0; r == 0 && at < n;) {
            const struct rip__dirent *d = (const void *)(list + at);
            pid_t pid = (pid_t)strtol(d->name, NULL, 10);
            if (pid > 0)
                r = add(t, pid);
            at += d->size;
        }
    }
    rip__os_close(dir);
    return (int)r;
}

/* /proc lists processes by ascending pid. */
static struct process *find(const struct table *t, pid_t pid)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->list[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t->n && t->list[low].pid == pid ? &t->list[low] : NULL;
}

/* A child may stand before its parent in the table (pids wrap), so this goes
 * round until nothing changes. */
static void mark_descendants(const struct table *t, pid_t root)
{
    bool more = true;
    while (more) {
        more = false;
        for (size_t i = 0; i < t->n; i++) {
            struct process *p = &t->list[i];
            const struct process *parent = find(t, p->parent);
            if (p->descends || p->pid == root)
                continue;
            p->descends = p->parent == root || (parent && parent->descends);
            more = more || p->descends;
        }
    }
}

/* A pidfd for what the table calls `p`; -ESRCH if that is no longer who has
 * the pid. Its parent says nothing: when that dies it gets another. */
static int hold(const struct process *p)
{
    struct process now;
    int fd = (int)RIP__SYS(SYS_pidfd_open, p->pid, 0);
    if (fd < 0)
        return fd;
    if (read_process(p->pid, &now) && now.started == p->started)
        return fd;
    rip__os_close(fd);
    return -ESRCH;
}

int rip__os_tree(pid_t root, pid_t group,
                 void (*found)(void *arg, const struct rip__os_member *m),
                 void *arg)
{
    struct table t = { 0 };
    int r = read_table(&t);
    if (r == 0)
        mark_descendants(&t, root);
    for (size_t i = 0; r == 0 && i < t.n; i++) {
        const struct process *p = &t.list[i];
        bool grouped = group > 0 && p->group == group;
        if (p->pid == root || p->dead || !(p->descends || grouped))
            continue;
        struct rip__os_member m = { p->pid, p->group, hold(p) };
        if (m.pidfd >= 0)
            found(arg, &m);
    }
    rip__seam.release(t.list);
    return r;
}
