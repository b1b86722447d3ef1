/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h> /* _IOWR */
#include <sys/resource.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1u << 2)
#endif

/* PIDFD_GET_INFO, in its first and shortest form. */
struct pidfd_info {
    uint64_t mask;
    uint64_t cgroup;
    uint32_t ids[11];
    int32_t exit_code;
};
#define PIDFD_GET_INFO  _IOWR(0xff, 11, struct pidfd_info)
#define PIDFD_INFO_EXIT 8

_Static_assert(sizeof(struct pidfd_info) == 64, "the kernel's layout");

static int64_t nanoseconds(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000;
}

/* As waitpid(2) would tell what waitid(2) did. */
static int wait_status(const siginfo_t *si)
{
    if (si->si_code == CLD_EXITED)
        return si->si_status << 8;
    return si->si_status | (si->si_code == CLD_DUMPED ? 0x80 : 0);
}

/* Somebody else has reaped it, or nobody could: SIGCHLD is ignored. Since
 * Linux 6.15 the pidfd tells the status all the same; but not yet while the
 * other is about it, which shows by POLLHUP not being there. */
static int status_from_pidfd(int pidfd, struct rip__os_status *ret)
{
    struct pidfd_info info = { .mask = PIDFD_INFO_EXIT };
    struct pollfd end = { .fd = pidfd, .events = POLLIN };
    int ended = rip__os_poll(&end, 1, RIP_NOW);
    long r = RIP__SYS(SYS_ioctl, pidfd, PIDFD_GET_INFO, &info);
    if (r == 0 && (info.mask & PIDFD_INFO_EXIT)) {
        *ret = (struct rip__os_status){ .known = true,
                                        .wait_status = info.exit_code };
        return 1;
    }
    if (ended == 0 || (r == 0 && !(end.revents & POLLHUP)))
        return 0;
    *ret = (struct rip__os_status){ .known = false };
    return 1;
}

/* The pid, 0, or an error; -ECHILD: it is no child of ours. */
static int look(int type, int id, bool keep, struct rip__os_status *ret)
{
    siginfo_t si = { 0 };
    struct rusage usage = { 0 };
    long r;
    do
        r = RIP__SYS(SYS_waitid, type, id, &si,
                     WEXITED | WNOHANG | __WALL | (keep ? WNOWAIT : 0), &usage);
    while (r == -EINTR);
    if (r < 0)
        return (int)r;
    if (si.si_pid == 0)
        return 0;
    *ret = (struct rip__os_status){
        .known = true,
        .wait_status = wait_status(&si),
        .has_usage = true,
        .user_ns = nanoseconds(usage.ru_utime),
        .system_ns = nanoseconds(usage.ru_stime),
        .max_rss_bytes = (int64_t)usage.ru_maxrss * 1024,
    };
    return si.si_pid;
}

static int reap(int type, int id, bool keep, struct rip__os_status *ret)
{
    int r = look(type, id, keep, ret);
    return r > 0 ? 1 : r;
}

int rip__os_reap(int pidfd, bool keep, struct rip__os_status *ret)
{
    int r = reap(P_PIDFD, pidfd, keep, ret);
    return r == -ECHILD ? status_from_pidfd(pidfd, ret) : r;
}

int rip__os_child_reap(pid_t pid, struct rip__os_status *ret)
{
    return reap(P_PID, pid, false, ret);
}

int rip__os_children_reap(pid_t *pid, struct rip__os_status *ret)
{
    int r = look(P_ALL, 0, false, ret);
    if (r <= 0)
        return 0;
    *pid = r;
    return 1;
}

void rip__os_child_await(const struct rip__os_child *c)
{
    struct rip__os_status unused;
    siginfo_t si;
    int fd = rip__os_child_open(c);
    if (fd >= 0) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        while (rip__os_reap(fd, false, &unused) == 0)
            (void)rip__os_poll(&p, 1, RIP_FOREVER);
        rip__os_close(fd);
        return;
    }
    while (fd != -ECHILD && RIP__SYS(SYS_waitid, P_PID, c->pid, &si,
                                     WEXITED | __WALL, NULL) == -EINTR)
        ;
}

bool rip__os_child_has_ended(pid_t pid)
{
    struct rip__os_status s;
    return reap(P_PID, pid, true, &s) != 0;
}

bool rip__os_has_ended(int pidfd)
{
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    return rip__os_poll(&p, 1, RIP_NOW) > 0;
}

int rip__os_pidfd_signal(int pidfd, int sig)
{
    return (int)RIP__SYS(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

/* One that has just been reaped, or a thread's number, is EINVAL before Linux
 * 6.15, and a thread's is ENOENT since. EPERM is a filter's, and says nothing
 * about the process. */
int rip__pidfd_open(pid_t pid)
{
    int fd = (int)RIP__SYS(SYS_pidfd_open, pid, 0);
    if (fd == -EINVAL || fd == -ENOENT)
        return -ESRCH;
    return fd == -EPERM ? -ENOSYS : fd;
}

pid_t rip__os_group_of(pid_t pid)
{
    return (pid_t)RIP__SYS(SYS_getpgid, pid);
}

/* Whether it has not been reaped, neither by us nor by another. */
static bool is_our_child(int type, int id)
{
    struct rip__os_status unused;
    return reap(type, id, true, &unused) >= 0;
}

int rip__os_child_signal(int pidfd, pid_t pid, int sig)
{
    int r = rip__os_pidfd_signal(pidfd, sig);
    if (!rip__is_missing(r))
        return r;
    return is_our_child(P_PIDFD, pidfd) ? (int)RIP__SYS(SYS_kill, pid, sig)
                                        : -ESRCH;
}

int rip__os_child_kill(pid_t pid, int sig)
{
    if (!is_our_child(P_PID, pid))
        return -ESRCH;
    return (int)RIP__SYS(SYS_kill, pid, sig);
}

int rip__os_group_signal(int pidfd, pid_t group, int sig)
{
    /* The group behind the pidfd is this one also when somebody else has just
     * reaped its leader, and its number has gone to others. */
    long r = RIP__SYS(SYS_pidfd_send_signal, pidfd, sig, NULL,
                      PIDFD_SIGNAL_PROCESS_GROUP);
    if (r == -EINVAL || rip__is_missing(r))
        r = RIP__SYS(SYS_kill, -group, sig);
    return (int)r;
}
