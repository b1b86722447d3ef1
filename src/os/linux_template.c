/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- messages --------------------------------------------------------- */

int rip__os_socket_pair(int ret[2])
{
    int fd[2];
    int r = (int)RIP__SYS(SYS_socketpair, AF_UNIX,
                          SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd);
    if (r < 0)
        return r;
    fd[0] = rip__raise_above_2(fd[0]);
    fd[1] = rip__raise_above_2(fd[1]);
    if (fd[0] < 0 || fd[1] < 0) {
        rip__os_close(fd[0]);
        rip__os_close(fd[1]);
        return fd[0] < 0 ? fd[0] : fd[1];
    }
    ret[0] = fd[0];
    ret[1] = fd[1];
    return 0;
}

union control {
    struct cmsghdr head; /* for its alignment */
    char room[CMSG_SPACE(RIP__OS_PASSED * sizeof(int))];
};

static void add_descriptors(struct msghdr *m, union control *c, const int *fds,
                            size_t n)
{
    size_t len = n * sizeof *fds;
    if (n == 0)
        return;
    c->head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS,
                                .cmsg_len = CMSG_LEN(len) };
    memcpy(CMSG_DATA(&c->head), fds, len);
    m->msg_control = c;
    m->msg_controllen = CMSG_SPACE(len);
}

int rip__os_send(int fd, struct iovec *parts, size_t n_parts, const int *fds,
                 size_t n_fds)
{
    union control control = { .room = { 0 } };
    struct msghdr m = { .msg_iov = parts, .msg_iovlen = n_parts };
    add_descriptors(&m, &control, fds, n_fds);
    long r;
    do
        r = RIP__SYS(SYS_sendmsg, fd, &m, MSG_NOSIGNAL);
    while (r == -EINTR);
    return r < 0 ? (int)r : 0;
}

static size_t take_descriptors(struct msghdr *m, int *fds)
{
    struct cmsghdr *c = m->msg_controllen > 0 ? CMSG_FIRSTHDR(m) : NULL;
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return 0;
    size_t len = c->cmsg_len - CMSG_LEN(0);
    memcpy(fds, CMSG_DATA(c), len);
    return len / sizeof *fds;
}

ssize_t rip__os_receive(int fd, void *buf, size_t cap, int *fds, size_t *n_fds)
{
    union control control = { .room = { 0 } };
    struct iovec part = { buf, cap };
    struct msghdr m = { .msg_iov = &part,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof control.room };
    long r;
    *n_fds = 0;
    do
        r = RIP__SYS(SYS_recvmsg, fd, &m, MSG_CMSG_CLOEXEC);
    while (r == -EINTR);
    if (r >= 0)
        *n_fds = take_descriptors(&m, fds);
    return r;
}

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
