/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* So many may wait to be accepted; the kernel makes it at most somaxconn. */
#define BACKLOG 4096

static int new_socket(int flags)
{
    return rip__raise_above_2((int)RIP__SYS(
        SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
}

int rip__os_socket_pair(int ret[2])
{
    int fd[2];
    int r = (int)RIP__SYS(SYS_socketpair, AF_UNIX,
                          SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd);
    return r < 0 ? r : rip__raise_both_above_2(ret, fd);
}

/* ---- messages --------------------------------------------------------- */

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

static int send_message(int fd, struct iovec *parts, size_t n_parts,
                        const int *fds, size_t n_fds, int flags)
{
    union control control = { .room = { 0 } };
    struct msghdr m = { .msg_iov = parts, .msg_iovlen = n_parts };
    add_descriptors(&m, &control, fds, n_fds);
    long r;
    do
        r = RIP__SYS(SYS_sendmsg, fd, &m, flags | MSG_NOSIGNAL);
    while (r == -EINTR);
    return r < 0 ? (int)r : 0;
}

int rip__os_send(int fd, struct iovec *parts, size_t n_parts, const int *fds,
                 size_t n_fds)
{
    return send_message(fd, parts, n_parts, fds, n_fds, 0);
}

int rip__os_send_now(int fd, struct iovec *parts, size_t n_parts,
                     const int *fds, size_t n_fds)
{
    return send_message(fd, parts, n_parts, fds, n_fds, MSG_DONTWAIT);
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

static ssize_t receive(int fd, struct msghdr *m, int *fds, size_t *n_fds,
                       int flags)
{
    long r;
    *n_fds = 0;
    do
        r = RIP__SYS(SYS_recvmsg, fd, m, flags | MSG_CMSG_CLOEXEC);
    while (r == -EINTR);
    if (r >= 0)
        *n_fds = take_descriptors(m, fds);
    m->msg_control = NULL;
    return r;
}

ssize_t rip__os_receive(int fd, void *buf, size_t cap, int *fds, size_t *n_fds)
{
    union control control = { .room = { 0 } };
    struct iovec part = { buf, cap };
    struct msghdr m = { .msg_iov = &part,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof control.room };
    return receive(fd, &m, fds, n_fds, 0);
}

ssize_t rip__os_peek(int fd, struct iovec *parts, size_t n_parts, int *fds,
                     size_t *n_fds, bool *short_of_fds)
{
    union control control = { .room = { 0 } };
    struct msghdr m = { .msg_iov = parts,
                        .msg_iovlen = n_parts,
                        .msg_control = &control,
                        .msg_controllen = sizeof control.room };
    ssize_t r =
        receive(fd, &m, fds, n_fds, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    *short_of_fds = r >= 0 && (m.msg_flags & MSG_CTRUNC) != 0;
    return r;
}

int rip__os_drop(int fd)
{
    struct msghdr m = { .msg_iovlen = 0 };
    long r;
    do
        r = RIP__SYS(SYS_recvmsg, fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (r == -EINTR);
    return r < 0 ? (int)r : 0;
}

/* ---- connections ------------------------------------------------------ */

unsigned rip__abstract(struct sockaddr_un *ret, const char *name)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    size_t len = strnlen(name, sizeof ret->sun_path - 1);
    memcpy(ret->sun_path + 1, name, len);
    return (unsigned)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
}

int rip__os_listen(const char *name)
{
    struct sockaddr_un address;
    socklen_t len = rip__abstract(&address, name);
    int fd = new_socket(SOCK_NONBLOCK);
    if (fd < 0)
        return fd;
    long r = RIP__SYS(SYS_bind, fd, &address, len);
    if (r == 0)
        r = RIP__SYS(SYS_listen, fd, BACKLOG);
    if (r < 0)
        rip__os_close(fd);
    return r < 0 ? (int)r : fd;
}

int rip__os_accept(int fd)
{
    long r;
    do
        r = RIP__SYS(SYS_accept4, fd, NULL, NULL, SOCK_CLOEXEC);
    while (r == -EINTR);
    return rip__raise_above_2((int)r);
}

int rip__os_connect(const char *name)
{
    struct sockaddr_un address;
    socklen_t len = rip__abstract(&address, name);
    int fd = new_socket(SOCK_NONBLOCK);
    if (fd < 0)
        return fd;
    long r;
    do
        r = RIP__SYS(SYS_connect, fd, &address, len);
    while (r == -EINTR);
    if (r == 0) /* as that of an accept, or of a pair */
        r = RIP__SYS(SYS_fcntl, fd, F_SETFL, 0);
    if (r < 0)
        rip__os_close(fd);
    return r < 0 ? (int)r : fd;
}

void rip__os_hang_up(int fd)
{
    (void)RIP__SYS(SYS_shutdown, fd, SHUT_RDWR);
}

static int option_of(int fd, int name, void *value, socklen_t size)
{
    return (int)RIP__SYS(SYS_getsockopt, fd, SOL_SOCKET, name, value, &size);
}

bool rip__os_is_channel(int fd)
{
    int domain = 0, type = 0, listens = 1;
    return option_of(fd, SO_DOMAIN, &domain, sizeof domain) == 0 &&
           option_of(fd, SO_TYPE, &type, sizeof type) == 0 &&
           option_of(fd, SO_ACCEPTCONN, &listens, sizeof listens) == 0 &&
           domain == AF_UNIX && type == SOCK_SEQPACKET && !listens;
}

int rip__os_send_room(int fd, size_t wish, size_t *ret)
{
    int size = wish < INT32_MAX / 2 ? (int)wish : INT32_MAX / 2;
    long r = 0;
    if (wish > 0) /* the kernel doubles it, for what it needs itself */
        r = RIP__SYS(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, &size,
                     sizeof size);
    if (r == 0)
        r = option_of(fd, SO_SNDBUF, &size, sizeof size);
    if (r < 0)
        return (int)r;
    *ret = (size_t)size;
    return 0;
}

int rip__os_peer(int fd, struct rip__os_peer *ret)
{
    struct ucred who = { 0 };
    int r = option_of(fd, SO_PEERCRED, &who, sizeof who);
    if (r == 0)
        *ret = (struct rip__os_peer){ who.pid, who.uid, who.gid };
    return r;
}

int rip__os_peer_open(int fd)
{
    struct rip__os_peer who = { 0 };
    int pidfd = -1;
    int r = option_of(fd, SO_PEERPIDFD, &pidfd, sizeof pidfd);
    if (r == 0)
        return rip__raise_above_2(pidfd);
    if (r != -ENOPROTOOPT && !rip__is_missing(r))
        return r;
    r = rip__os_peer(fd, &who);
    if (r == 0 && who.pid == 0)
        r = -ESRCH;
    return r < 0 ? r : rip__raise_above_2(rip__pidfd_open(who.pid));
}
