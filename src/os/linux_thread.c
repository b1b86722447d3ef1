/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h> /* _IO */
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#ifndef PIDFD_GET_PID_NAMESPACE
#define PIDFD_GET_PID_NAMESPACE _IO(0xff, 5)
#endif

/* statfs(2) of a pidfd from Linux 6.9 on, where its inode number is a number
 * that no other process ever gets. */
#define PIDFS 0x50494446

/* A line of proc(5)'s stat: state and start time. */
struct stat_line {
    char state;
    uint64_t start;
};

static bool is_dead_state(char state)
{
    return state == 'Z' || state == 'X';
}

/* A /proc may be that of another pid namespace, where the same numbers are
 * others' (unshare(1) --pid without --mount-proc). Who does not find itself in
 * it under its own numbers must not believe it about others. */
static bool shows_our_numbers(void)
{
    char ours[40], shown[40] = "";
    snprintf(ours, sizeof ours, "%d/task/%d", (int)RIP__SYS(SYS_getpid),
             (int)RIP__SYS(SYS_gettid));
    long n = RIP__SYS(SYS_readlinkat, AT_FDCWD, "/proc/thread-self", shown,
                      sizeof shown - 1);
    return n > 0 && strcmp(ours, shown) == 0;
}

static int read_stat(const char *path, struct stat_line *ret)
{
    char text[1024];
    ssize_t r = rip__os_slurp(path, text, sizeof text);
    if (r < 0)
        return (int)r;
    char *s = strrchr(text, ')'); /* a name may hold anything */
    if (!s || strlen(s) < 4)
        return -EIO;
    ret->state = s[2];
    s += 3;
    for (int field = 4; field <= 22; field++)
        ret->start = strtoull(s, &s, 10);
    return 0;
}

static int read_thread(pid_t pid, pid_t tid, struct stat_line *ret)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    return read_stat(path, ret);
}

int rip__process_start(pid_t pid, uint64_t *ret)
{
    struct stat_line line = { 0 };
    int r = read_thread(pid, pid, &line);
    if (r == 0)
        *ret = line.start;
    return r;
}

static uint64_t inode(int dir, const char *path, int flags)
{
    struct statx st;
    long r = RIP__SYS(SYS_statx, dir, path, flags, STATX_INO, &st);
    return r == 0 ? st.stx_ino : 0;
}

/*
 * A start time is told as of the time namespace of who reads it. So it goes
 * with that: {namespace:24, ticks:40}, and those of two namespaces are not
 * compared.
 */
enum { TICKS_BITS = 40 };

static uint64_t with_namespace(uint64_t ticks)
{
    const uint64_t mask = ((uint64_t)1 << TICKS_BITS) - 1;
    uint64_t number = inode(AT_FDCWD, "/proc/thread-self/ns/time", 0);
    return ticks == 0 ? 0 : number << TICKS_BITS | (ticks & mask);
}

/* Whether one that began at `ticks` is certainly not the one of that start. */
static bool is_another(uint64_t start, uint64_t ticks)
{
    if (start == 0 || (start ^ ticks) << (64 - TICKS_BITS) == 0)
        return false;
    return (start ^ with_namespace(ticks)) >> TICKS_BITS == 0;
}

static uint64_t pidfs_number(int pidfd)
{
    struct statfs fs;
    bool has = RIP__SYS(SYS_fstatfs, pidfd, &fs) == 0 && fs.f_type == PIDFS;
    return has ? inode(pidfd, "", AT_EMPTY_PATH) : 0;
}

pid_t rip__os_tid(void)
{
    return (pid_t)RIP__SYS(SYS_gettid);
}

void rip__os_thread_name(char ret[16])
{
    if (RIP__SYS(SYS_prctl, PR_GET_NAME, ret) < 0)
        ret[0] = '\0';
}

void rip__os_thread_self(struct rip__os_thread *ret)
{
    struct stat_line line = { 0 };
    *ret = (struct rip__os_thread){ .pid = (pid_t)RIP__SYS(SYS_getpid),
                                    .tid = rip__os_tid() };
    if (read_stat("/proc/thread-self/stat", &line) == 0)
        ret->start = with_namespace(line.start);
    if (read_stat("/proc/self/stat", &line) == 0)
        ret->process_start = with_namespace(line.start);
    int pidfd = (int)RIP__SYS(SYS_pidfd_open, ret->pid, 0);
    if (pidfd >= 0)
        ret->pidfs = pidfs_number(pidfd);
    rip__os_close(pidfd);
}

bool rip__os_tid_is_gone(pid_t tid)
{
    char path[40];
    struct stat_line line;
    if (RIP__SYS(SYS_tkill, tid, 0) == -ESRCH)
        return true;
    /* Every thread has a place there, though only processes are listed. */
    snprintf(path, sizeof path, "/proc/%d/stat", (int)tid);
    return read_stat(path, &line) == 0 && is_dead_state(line.state) &&
           shows_our_numbers();
}

bool rip__os_thread_is_gone(const struct rip__os_thread *t)
{
    if (RIP__SYS(SYS_tgkill, t->pid, t->tid, 0) == -ESRCH)
        return true;
    struct stat_line line;
    if (read_thread(t->pid, t->tid, &line) < 0)
        return false; /* no /proc: the number lives, and that is all */
    return (is_dead_state(line.state) || is_another(t->start, line.start)) &&
           shows_our_numbers();
}

/* By a descriptor that cannot come to mean another process meanwhile. */
static bool pidfd_is_gone(int pidfd, const struct rip__os_thread *t)
{
    uint64_t number = pidfs_number(pidfd);
    if (rip__os_has_ended(pidfd))
        return true;
    if (number != 0 && t->pidfs != 0)
        return number != t->pidfs;
    struct stat_line line;
    return read_thread(t->pid, t->pid, &line) == 0 &&
           is_another(t->process_start, line.start) && shows_our_numbers();
}

/* The same without a descriptor, of which none may be left: its first thread
 * has no memory any more, and there is no other. */
static bool is_empty(pid_t pid)
{
    char path[40], target[8] = "";
    struct statx st;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    if (RIP__SYS(SYS_readlinkat, AT_FDCWD, path, target, sizeof target) !=
        -ENOENT)
        return false;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    return RIP__SYS(SYS_statx, AT_FDCWD, path, 0, STATX_NLINK, &st) == 0 &&
           st.stx_nlink == 3 && shows_our_numbers();
}

bool rip__os_process_is_gone(const struct rip__os_thread *t)
{
    int pidfd = (int)RIP__SYS(SYS_pidfd_open, t->pid, 0);
    if (pidfd < 0)
        return pidfd == -ESRCH || is_empty(t->pid);
    bool gone = pidfd_is_gone(pidfd, t);
    rip__os_close(pidfd);
    return gone;
}

/* Where there is no /proc; from Linux 6.11 on. */
static uint64_t namespace_by_pidfd(void)
{
    int pidfd = (int)RIP__SYS(SYS_pidfd_open, (pid_t)RIP__SYS(SYS_getpid), 0);
    if (pidfd < 0)
        return 0;
    int fd = (int)RIP__SYS(SYS_ioctl, pidfd, PIDFD_GET_PID_NAMESPACE, 0);
    uint64_t number = fd < 0 ? 0 : inode(fd, "", AT_EMPTY_PATH);
    rip__os_close(fd);
    rip__os_close(pidfd);
    return number;
}

uint64_t rip__os_pid_namespace(void)
{
    uint64_t number = inode(AT_FDCWD, "/proc/self/ns/pid", 0);
    return number != 0 ? number : namespace_by_pidfd();
}
