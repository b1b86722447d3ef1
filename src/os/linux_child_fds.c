/* SPDX-License-Identifier: MIT */
#include "os/linux_child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h> /* CLONE_FILES */
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "os/linux.h"

/* The child's descriptors. */

/* Where a lifeline is put: out of the way of the low numbers that programs
 * choose for themselves (exec 3<file). */
enum { LIFELINE_FROM = 100 };

/* ---- a table of its own ----------------------------------------------- */

static int highest_source(const struct rip__child *c)
{
    const struct rip__os_spawn *s = c->spawn;
    int highest = 2;
    for (int i = 0; i < 3; i++) {
        const struct rip__os_redirect *r = &s->redirect[i];
        bool taken =
            r->kind == RIP__COPY || (r->kind == RIP__OURS && !c->reopen[i]);
        if (taken && r->source > highest)
            highest = r->source;
    }
    for (size_t i = 0; i < s->n_fds; i++)
        if (s->fds[i].source > highest)
            highest = s->fds[i].source;
    const int *const others[] = { s->lifeline, s->program };
    for (int i = 0; i < 2; i++)
        if (others[i] && *others[i] > highest)
            highest = *others[i];
    return highest;
}

/* From the parent's descriptor table to one of our own, with as few entries
 * as will do: with ten thousand of them the copy would cost ten times the
 * rest of the spawn. */
int rip__child_table(struct rip__child *c)
{
    if (!c->shares_files)
        return 0;
    int highest = highest_source(c);
    long r = RIP__SYS(SYS_close_range, (unsigned)highest + 1, ~0u,
                      CLOSE_RANGE_UNSHARE);
    c->others_are_closed = r == 0 && highest == 2;
    if (r < 0)
        r = RIP__SYS(SYS_unshare, CLONE_FILES);
    return r < 0 ? rip__child_fail(c, RIP__STEP_CLOSE, 0, r) : 0;
}

/* ---- redirections ----------------------------------------------------- */

/* Where in the sorted list the first target is that is not below `fd`. */
static size_t find_target(const struct rip__os_spawn *s, int fd)
{
    size_t low = 0, high = s->n_fds;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->fds[middle].target < fd)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_target(const struct rip__os_spawn *s, int fd)
{
    size_t i = find_target(s, fd);
    return fd <= 2 || (i < s->n_fds && s->fds[i].target == fd);
}

/* A copy of `fd`, from `from` on, at a number that is no target. The copies
 * that fall upon targets on the way are replaced when these are put in
 * place. */
static long copy_away(const struct rip__os_spawn *s, long fd, int from)
{
    do {
        fd = RIP__SYS(SYS_fcntl, fd, F_DUPFD_CLOEXEC, from);
        from = (int)fd + 1;
    } while (fd >= 0 && is_target(s, (int)fd));
    return fd == -EINVAL ? -EMFILE : fd; /* there may be no number as high */
}

/* The same descriptor, somewhere that is no target. */
static long out_of_the_way(const struct rip__os_spawn *s, long fd)
{
    return fd < 0 || !is_target(s, (int)fd) ? fd : copy_away(s, fd, 3);
}

/* Opens what the parent has opened anew, by its name in /proc. It may be that
 * /proc is not there or not of this pid namespace, so that the name is of
 * something else: the parent then does without. */
static long reopen(struct rip__child *c, int i)
{
    struct stat st;
    int flags = c->spawn->redirect[i].flags;
    long fd = RIP__SYS(SYS_openat, AT_FDCWD, c->reopen_path[i],
                       flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || RIP__SYS(SYS_fstat, fd, &st) < 0 ||
        st.st_dev != c->reopen_dev[i] || st.st_ino != c->reopen_ino[i] ||
        RIP__SYS(SYS_fcntl, fd, F_SETFL, flags & O_APPEND) < 0) {
        c->report->cannot_reopen = true;
        return -ENOENT;
    }
    return fd;
}

/* A descriptor for stream `i`, that is none of the targets. Two streams of one
 * source share one open file, with its position, also when it is opened
 * anew. */
static long source_of(struct rip__child *c, int i, const long *before)
{
    const struct rip__os_redirect *r = c->spawn->redirect;
    if (r[i].kind == RIP__NULL)
        return out_of_the_way(
            c->spawn,
            RIP__SYS(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC));
    if (!c->reopen[i])
        return out_of_the_way(c->spawn, r[i].source);
    for (int k = 0; k < i; k++)
        if (c->reopen[k] && r[k].source == r[i].source)
            return before[k];
    return out_of_the_way(c->spawn, reopen(c, i));
}

static long put(long source, int target)
{
    long r;
    do /* EBUSY: another thread is just opening that number */
        r = RIP__SYS(SYS_dup3, source, target, 0);
    while (r == -EINTR || r == -EBUSY);
    return r;
}

/* All sources are brought out of the way before the first target is put in
 * place, so that swaps and every other collision come out right. */
static int gather(struct rip__child *c, long source[3])
{
    const struct rip__os_spawn *s = c->spawn;
    for (int i = 0; i < 3; i++) {
        if (s->redirect[i].kind == RIP__INHERIT)
            continue;
        source[i] = source_of(c, i, source);
        if (source[i] < 0)
            return rip__child_fail(c, RIP__STEP_REDIRECT, i, source[i]);
    }
    for (size_t i = 0; i < s->n_fds; i++) {
        long fd = out_of_the_way(s, s->fds[i].source);
        if (fd < 0)
            return rip__child_fail(c, RIP__STEP_REDIRECT, 3 + (int)i, fd);
        s->fds_room[i] = (int)fd;
    }
    return 0;
}

/* The same for what keeps a number of its own. */
static int gather_others(struct rip__child *c)
{
    const struct rip__os_spawn *s = c->spawn;
    if (s->program) {
        long fd = copy_away(s, *s->program, 3);
        if (fd < 0)
            return rip__child_fail(c, RIP__STEP_EXEC, 0, fd);
        c->program = (int)fd;
    }
    if (s->lifeline) {
        long fd = copy_away(s, *s->lifeline, LIFELINE_FROM);
        if (fd == -EMFILE) /* then a lower one */
            fd = copy_away(s, *s->lifeline, 3);
        if (fd < 0)
            return rip__child_fail(c, RIP__STEP_LIFELINE, 0, fd);
        c->lifeline = (int)fd;
    }
    return 0;
}

int rip__child_redirect(struct rip__child *c)
{
    const struct rip__os_spawn *s = c->spawn;
    long source[3] = { 0 };
    if (gather(c, source) < 0 || gather_others(c) < 0)
        return -1;
    for (int i = 0; i < 3; i++) {
        long r = s->redirect[i].kind == RIP__INHERIT ? 0 : put(source[i], i);
        if (r < 0)
            return rip__child_fail(c, RIP__STEP_REDIRECT, i, r);
    }
    for (size_t i = 0; i < s->n_fds; i++) {
        long r = put(s->fds_room[i], s->fds[i].target);
        if (r < 0)
            return rip__child_fail(c, RIP__STEP_REDIRECT, 3 + (int)i, r);
    }
    return 0;
}

/* ---- the terminal ----------------------------------------------------- */

/* SIGTTOU would stop who takes the terminal from the background; it is
 * blocked here. */
static long take_foreground(void)
{
    int group = (int)RIP__SYS(SYS_getpgid, 0);
    long fd = RIP__SYS(SYS_openat, AT_FDCWD, "/dev/tty", O_RDWR | O_CLOEXEC);
    return fd < 0 ? fd : RIP__SYS(SYS_ioctl, fd, TIOCSPGRP, &group);
}

int rip__child_terminal(struct rip__child *c)
{
    long r = 0;
    const int *terminal = c->spawn->terminal;
    if (terminal)
        r = RIP__SYS(SYS_ioctl, *terminal, TIOCSCTTY, 0);
    if (r < 0)
        return rip__child_fail(c, RIP__STEP_TERMINAL, *terminal, r);
    if (c->spawn->foreground)
        r = take_foreground();
    return r < 0 ? rip__child_fail(c, RIP__STEP_FOREGROUND, 0, r) : 0;
}

/* ---- the lifeline ----------------------------------------------------- */

/*
 * The kernel sends SIGKILL for the input that the end of a pipe is, to the
 * whole group if that is the child's own. That outlives exec, and is allowed
 * by who asks for it, which is why it comes before a change of user.
 */
static long arm_lifeline(const struct rip__child *c)
{
    bool alone = c->spawn->group == RIP__GROUP_OURS;
    long owner = alone ? RIP__SYS(SYS_getpid) : -RIP__SYS(SYS_getpgid, 0);
    long r = RIP__SYS(SYS_fcntl, c->lifeline, F_SETFD, 0);
    if (r == 0)
        r = RIP__SYS(SYS_fcntl, c->lifeline, F_SETSIG, SIGKILL);
    if (r == 0)
        r = RIP__SYS(SYS_fcntl, c->lifeline, F_SETOWN, owner);
    if (r == 0)
        r = RIP__SYS(SYS_fcntl, c->lifeline, F_SETFL, O_ASYNC | O_NONBLOCK);
    return r;
}

int rip__child_lifeline(struct rip__child *c)
{
    long r = c->spawn->lifeline ? arm_lifeline(c) : 0;
    return r < 0 ? rip__child_fail(c, RIP__STEP_LIFELINE, 0, r) : 0;
}

/* It may have ended before it was armed. Now that no writing end is ours any
 * more that is to be seen. */
static void check_lifeline(const struct rip__child *c)
{
    struct pollfd p = { .fd = c->lifeline };
    const struct timespec now = { 0, 0 };
    if (c->lifeline >= 0 && RIP__SYS(SYS_ppoll, &p, 1, &now, NULL, 0) > 0)
        (void)RIP__SYS(SYS_kill, RIP__SYS(SYS_getpid), SIGKILL);
}

/* ---- the rest is closed ----------------------------------------------- */

/* The lowest descriptor that stays open, from `fd` on; -1: none. */
static int next_kept(const struct rip__child *c, int fd)
{
    const struct rip__os_spawn *s = c->spawn;
    size_t i = find_target(s, fd);
    int kept[] = { i < s->n_fds ? s->fds[i].target : -1, c->pipe, c->lifeline,
                   c->program };
    int lowest = -1;
    for (size_t k = 0; k < sizeof kept / sizeof *kept; k++)
        if (kept[k] >= fd && (lowest < 0 || kept[k] < lowest))
            lowest = kept[k];
    return lowest;
}

static long close_by_range(const struct rip__child *c)
{
    long r = 0;
    int from = 3, kept;
    while (r == 0 && (kept = next_kept(c, from)) >= 0) {
        if (kept > from)
            r = RIP__SYS(SYS_close_range, from, kept - 1, 0);
        from = kept + 1;
    }
    return r < 0 ? r : RIP__SYS(SYS_close_range, from, ~0u, 0);
}

/* How many of the listed descriptors it closed. */
static long close_entries(const struct rip__child *c, const char *list, long n,
                          long dir)
{
    long closed = 0;
    for (long at = 0; at < n;) {
        const struct rip__dirent *d = (const void *)(list + at);
        int fd = 0;
        for (const char *s = d->name; *s >= '0' && *s <= '9'; s++)
            fd = fd * 10 + (*s - '0');
        if (fd > 2 && fd != dir && next_kept(c, fd) != fd) {
            (void)RIP__SYS(SYS_close, fd);
            closed++;
        }
        at += d->size;
    }
    return closed;
}

/* Without close_range(2): what /proc lists. Closing moves the list under
 * the reader's feet, so it is read again from its start until a pass closes
 * nothing. */
static long close_listed(const struct rip__child *c)
{
    _Alignas(struct rip__dirent) char list[1024];
    long dir = RIP__SYS(SYS_openat, AT_FDCWD, "/proc/self/fd",
                        O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return dir;
    long n, closed = 0;
    do {
        if (closed > 0 && (n = RIP__SYS(SYS_lseek, dir, 0, 0)) < 0)
            return n;
        closed = 0;
        while ((n = RIP__SYS(SYS_getdents64, dir, list, sizeof list)) > 0)
            closed += close_entries(c, list, n, dir);
    } while (n == 0 && closed > 0);
    (void)RIP__SYS(SYS_close, dir);
    return n;
}

/* Closes all but what the program is to have, and what exec closes. */
int rip__child_close(struct rip__child *c)
{
    bool made_others = c->spawn->n_fds > 0 || c->spawn->lifeline;
    if (!c->others_are_closed || made_others) {
        long r = close_by_range(c);
        if (r < 0)
            r = close_listed(c);
        if (r < 0)
            return rip__child_fail(c, RIP__STEP_CLOSE, 0, r);
    }
    check_lifeline(c);
    return 0;
}
