/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

ssize_t rip__os_read_now(int fd, void *buf, size_t cap)
{
    const struct iovec iov = { buf, cap };
    long r;
    do
        r = RIP__SYS(SYS_preadv2, fd, &iov, 1, -1, -1, RWF_NOWAIT);
    while (r == -EINTR);
    return rip__is_missing(r) ? -EOPNOTSUPP : r;
}

int rip__os_pipe_open(const char *path, bool reads, bool writes)
{
    int access = reads && writes ? O_RDWR : writes ? O_WRONLY : O_RDONLY;
    return rip__os_open(path, access | O_NONBLOCK | O_NOCTTY, 0);
}

int rip__os_pipe_open_again(int fd, bool reads, bool writes)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return rip__os_pipe_open(path, reads, writes);
}

int rip__os_pipe_look(int fd, struct rip__os_pipe *ret)
{
    struct stat st;
    long r = RIP__SYS(SYS_fstat, fd, &st);
    long flags = r < 0 ? r : RIP__SYS(SYS_fcntl, fd, F_GETFL);
    if (flags < 0)
        return (int)flags;
    if (!S_ISFIFO(st.st_mode))
        return -EINVAL;
    int access = (int)flags & O_ACCMODE;
    *ret = (struct rip__os_pipe){ .reads = access != O_WRONLY,
                                  .writes = access != O_RDONLY,
                                  .nonblock = (flags & O_NONBLOCK) != 0 };
    return 0;
}

int rip__os_pipe_resize(int fd, size_t size)
{
    if (size > INT_MAX)
        return -EINVAL;
    long r = RIP__SYS(SYS_fcntl, fd, F_SETPIPE_SZ, (int)size);
    return r < 0 ? (int)r : 0;
}

int rip__os_close_on_exec(int fd)
{
    return (int)RIP__SYS(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
}

/* ---- named pipes ------------------------------------------------------ */

int rip__os_fifo_make(const char *path, mode_t mode)
{
    return (int)RIP__SYS(SYS_mknodat, AT_FDCWD, path, S_IFIFO | mode, 0);
}

int rip__os_fifo_remove(const char *path)
{
    struct statx st;
    long r = RIP__SYS(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW,
                      STATX_TYPE, &st);
    if (r == 0 && !S_ISFIFO(st.stx_mode))
        r = -EINVAL;
    return r < 0 ? (int)r : (int)RIP__SYS(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* A read without writers gives 0, and one without data -EAGAIN; but of data it
 * takes some. tee(2) answers in the same way, and takes nothing. */
int rip__os_fifo_has_writer(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int aside[2];
    int r = rip__os_poll(&p, 1, RIP_NOW);
    if (r != 0) /* there are data, or there was one who has gone again */
        return r;
    r = rip__os_pipe(aside);
    if (r < 0)
        return r;
    long n;
    do
        n = RIP__SYS(SYS_tee, fd, aside[1], 1, SPLICE_F_NONBLOCK);
    while (n == -EINTR);
    rip__os_close(aside[0]);
    rip__os_close(aside[1]);
    if (n < 0 && n != -EAGAIN)
        return (int)n;
    return n != 0;
}

int rip__os_opens_watch(const char *path, int file)
{
    char own[32];
    snprintf(own, sizeof own, "/proc/self/fd/%d", file);
    int fd = rip__raise_above_2(
        (int)RIP__SYS(SYS_inotify_init1, IN_CLOEXEC | IN_NONBLOCK));
    if (fd < 0)
        return fd;
    long r = RIP__SYS(SYS_inotify_add_watch, fd, path ? path : own, IN_OPEN);
    if (r < 0)
        rip__os_close(fd);
    return r < 0 ? (int)r : fd;
}

void rip__os_opens_seen(int fd)
{
    _Alignas(struct inotify_event) char events[4096];
    (void)rip__os_read(fd, events, sizeof events);
}
