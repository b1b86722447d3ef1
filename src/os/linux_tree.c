/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h> /* getpid */

/* Of the flags in /proc/PID/stat, which libc has no name for. */
#define PF_KTHREAD 0x00200000

/* Who is whose descendant, as /proc has it. */

struct process {
    pid_t pid, parent, group;
    unsigned long long started; /* with the pid: who it is, for ever */
    bool dead;
    bool of_kernel;      /* a thread of the kernel, which has no environment */
    bool no_environment; /* not one that can not be read at the moment */
    bool descends;
    bool mark_is_read;
    char *mark; /* NULL: it has none */
};

struct rip__os_processes {
    struct process *list; /* by ascending pid */
    size_t n, cap;
    unsigned long long born; /* when this process itself began */
    char *text; /* an environment, as long as its mark is looked for */
    size_t text_cap;
};

/* An error: it is gone. A zombie is dead, unless threads of it go on after the
 * first has ended. */
static int read_process(pid_t pid, struct process *ret)
{
    char path[40], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    ssize_t r = rip__os_slurp(path, text, sizeof text);
    if (r < 0)
        return (int)r;
    /* pid (name) state parent group ...: a name may hold anything. */
    char *s = strrchr(text, ')');
    if (!s || strlen(s) < 4)
        return -ESRCH;
    char state = s[2];
    unsigned long long field[48] = { 0 }; /* from the fourth of proc(5) on */
    s += 3;
    for (size_t i = 0; i < sizeof field / sizeof *field; i++)
        field[i] = strtoull(s, &s, 10);
    *ret = (struct process){
        .pid = pid,
        .parent = (pid_t)field[0],
        .group = (pid_t)field[1],
        .started = field[18],
        .of_kernel = (field[5] & PF_KTHREAD) != 0,
        .no_environment = field[47] != 0 && field[46] == field[47],
        .dead = state == 'X' || (state == 'Z' && field[16] <= 1)
    };
    return 0;
}

/* How /proc says that a process is gone, or not ours to see. */
static bool is_out_of_sight(long error)
{
    return error == -ENOENT || error == -ESRCH || error == -EACCES ||
           error == -EPERM;
}

static int add(struct rip__os_processes *all, pid_t pid)
{
    if (all->n == all->cap) {
        size_t cap = all->cap ? 2 * all->cap : 256;
        void *list = rip__seam.resize(all->list, cap * sizeof *all->list);
        if (!list)
            return -ENOMEM;
        all->list = list;
        all->cap = cap;
    }
    int r = read_process(pid, &all->list[all->n]);
    if (r == 0)
        all->n++;
    return is_out_of_sight(r) ? 0 : r;
}

static int read_all(struct rip__os_processes *all)
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
                r = add(all, pid);
            at += d->size;
        }
    }
    rip__os_close(dir);
    return (int)r;
}

/* /proc lists processes by ascending pid. */
static struct process *find(const struct rip__os_processes *all, pid_t pid)
{
    size_t low = 0, high = all->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (all->list[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < all->n && all->list[low].pid == pid ? &all->list[low] : NULL;
}

int rip__os_processes_read(struct rip__os_processes **ret)
{
    struct rip__os_processes *all = rip__seam.resize(NULL, sizeof *all);
    if (!all)
        return -ENOMEM;
    *all = (struct rip__os_processes){ 0 };
    int r = read_all(all);
    if (r < 0) {
        rip__os_processes_free(all);
        return r;
    }
    const struct process *self = find(all, getpid());
    all->born = self ? self->started : 0;
    *ret = all;
    return 0;
}

void rip__os_processes_free(struct rip__os_processes *all)
{
    for (size_t i = 0; all && i < all->n; i++)
        rip__seam.release(all->list[i].mark);
    if (all) {
        rip__seam.release(all->text);
        rip__seam.release(all->list);
        rip__seam.release(all);
    }
}

/* ---- marks ------------------------------------------------------------ */

/* The whole of a file of any length: its length. */
static ssize_t read_text(struct rip__os_processes *all, int fd)
{
    size_t len = 0;
    for (;;) {
        if (all->text_cap - len < 2) {
            size_t cap = all->text_cap ? 2 * all->text_cap : 8192;
            char *text = rip__seam.resize(all->text, cap);
            if (!text)
                return -ENOMEM;
            all->text = text;
            all->text_cap = cap;
        }
        ssize_t n = rip__os_read(fd, all->text + len, all->text_cap - len - 1);
        if (n < 0)
            return n;
        len += (size_t)n;
        all->text[len] = 0;
        if (n == 0)
            return (ssize_t)len;
    }
}

static int keep_mark(struct rip__os_processes *all, struct process *p,
                     size_t len)
{
    const size_t name = strlen(RIP__OS_MARK "=");
    for (size_t at = 0; at < len; at += strlen(all->text + at) + 1) {
        if (strncmp(all->text + at, RIP__OS_MARK "=", name) != 0)
            continue;
        size_t size = strlen(all->text + at + name) + 1;
        p->mark = rip__seam.resize(NULL, size);
        if (!p->mark)
            return -ENOMEM;
        memcpy(p->mark, all->text + at + name, size);
        break;
    }
    return 0;
}

/* Whether a process whose environment was read as nothing is just becoming
 * another program: for a moment it has none, and one that was opened before
 * that moment stays empty. */
static bool is_changing(pid_t pid)
{
    struct process now = { 0 };
    return read_process(pid, &now) == 0 && !now.dead && !now.no_environment;
}

/* Reads the mark of a process. 1: it can not be read in this moment. */
static int read_mark(struct rip__os_processes *all, struct process *p)
{
    char path[40];
    p->mark_is_read = true;
    /* What began before us is nothing that we started. */
    if (p->dead || p->of_kernel || p->started < all->born)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/environ", (int)p->pid);
    int fd = rip__os_open(path, O_RDONLY, 0);
    ssize_t r = fd;
    if (fd >= 0) {
        r = read_text(all, fd);
        rip__os_close(fd);
        if (r == 0)
            return is_changing(p->pid);
    }
    if (r > 0)
        r = keep_mark(all, p, (size_t)r);
    return is_out_of_sight(r) ? 0 : (int)r;
}

static int read_marks(struct rip__os_processes *all)
{
    int unsure = 0;
    for (size_t i = 0; i < all->n; i++) {
        struct process *p = &all->list[i];
        int r = p->mark_is_read ? 0 : read_mark(all, p);
        if (r < 0)
            return r;
        unsure = unsure || r > 0;
    }
    return unsure;
}

/* Whether `id` is one of the words of the mark, "outer:inner". */
static bool has_mark(const struct process *p, const char *id)
{
    size_t len = strlen(id), n;
    for (const char *s = p->mark; s; s = s[n] ? s + n + 1 : NULL) {
        n = strcspn(s, ":");
        if (n == len && memcmp(s, id, n) == 0)
            return true;
    }
    return false;
}

/* ---- trees ------------------------------------------------------------ */

static bool is_member(const struct process *p, const struct rip__os_root *root)
{
    return (root->group > 0 && p->group == root->group) ||
           (root->mark && has_mark(p, root->mark));
}

/* A child may stand before its parent in the table (pids wrap), so this goes
 * round until nothing changes. */
static void mark_descendants(const struct rip__os_processes *all,
                             const struct rip__os_root *root)
{
    bool more = true;
    for (size_t i = 0; i < all->n; i++)
        all->list[i].descends = is_member(&all->list[i], root);
    while (more) {
        more = false;
        for (size_t i = 0; i < all->n; i++) {
            struct process *p = &all->list[i];
            const struct process *parent = find(all, p->parent);
            if (p->descends)
                continue;
            p->descends = (root->pid > 0 && p->parent == root->pid) ||
                          (parent && parent->descends);
            more = more || p->descends;
        }
    }
}

/* A pidfd for what the table calls `p`; -ESRCH if that is no longer who has
 * the pid. Its parent says nothing: when that dies it gets another. */
static int hold(const struct process *p)
{
    struct process now = { 0 };
    int fd = rip__pidfd_open(p->pid);
    if (fd < 0)
        return fd;
    int r = read_process(p->pid, &now);
    if (r == 0 && now.started == p->started)
        return fd;
    rip__os_close(fd);
    return r == 0 || is_out_of_sight(r) ? -ESRCH : r;
}

int rip__os_tree(struct rip__os_processes *all, const struct rip__os_root *root,
                 void (*found)(void *arg, const struct rip__os_member *m),
                 void *arg)
{
    int r = root->mark ? read_marks(all) : 0;
    mark_descendants(all, root);
    for (size_t i = 0; i < all->n; i++) {
        const struct process *p = &all->list[i];
        if (p->pid == root->pid || p->dead || !p->descends)
            continue;
        struct rip__os_member m = { p->pid, p->group, hold(p) };
        if (m.pidfd >= 0)
            found(arg, &m);
        else if (m.pidfd != -ESRCH && r >= 0)
            r = m.pidfd;
    }
    return r;
}
