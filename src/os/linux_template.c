/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t rip__os_inode(int fd)
{
    struct stat st;
    return RIP__SYS(SYS_fstat, fd, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

bool rip__os_is_still(int fd, uint64_t inode)
{
    struct stat st;
    long r = RIP__SYS(SYS_fstat, fd, &st);
    return r != -EBADF && (r < 0 || st.st_ino == inode);
}

/* ---- signals ---------------------------------------------------------- */

uint64_t rip__os_signals_set(uint64_t blocked)
{
    rip__kernel_sigset before = 0;
    (void)RIP__SYS(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, &before,
                   sizeof before);
    return before;
}

uint64_t rip__os_signals_blocked(void)
{
    rip__kernel_sigset now = 0;
    (void)RIP__SYS(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &now, sizeof now);
    return now;
}

_Static_assert(sizeof(struct rip__os_action) >=
                   4 * sizeof(long) + sizeof(rip__kernel_sigset),
               "it has room for the kernel's struct sigaction");

int rip__os_children_watch(struct rip__os_action *before)
{
    static const struct rip__os_action usual; /* SIG_DFL, no flags */
    const rip__kernel_sigset set = 1ull << (SIGCHLD - 1);
    (void)RIP__SYS(SYS_rt_sigaction, SIGCHLD, &usual, before, sizeof set);
    return rip__raise_above_2((int)RIP__SYS(SYS_signalfd4, -1, &set, sizeof set,
                                            SOCK_CLOEXEC | SOCK_NONBLOCK));
}

void rip__os_children_unwatch(int fd, const struct rip__os_action *before)
{
    (void)RIP__SYS(SYS_rt_sigaction, SIGCHLD, before, NULL,
                   sizeof(rip__kernel_sigset));
    rip__os_close(fd);
}

/* One stands for all that came since the last was read. */
void rip__os_children_seen(int fd)
{
    char info[128]; /* struct signalfd_siginfo */
    (void)rip__os_read(fd, info, sizeof info);
}
