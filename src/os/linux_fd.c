/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h> /* makedev */
#include <time.h>
#include <unistd.h>

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

RIP__CHILD_PATH void rip__os_close(int fd)
{
    /* After EINTR, too, Linux has closed it: to try again could close what
     * another thread has opened since. */
    if (fd >= 0)
        (void)RIP__SYS(SYS_close, fd);
}

int rip__os_copy(int fd)
{
    int r = (int)RIP__SYS(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
    return r == -EINVAL ? -EMFILE : r; /* there may be no number as high */
}

int rip__raise_above_2(int fd)
{
    if (fd < 0 || fd > 2)
        return fd;
    int higher = rip__os_copy(fd);
    rip__os_close(fd);
    return higher;
}

int rip__raise_both_above_2(int ret[2], const int fd[2])
{
    int a = rip__raise_above_2(fd[0]), b = rip__raise_above_2(fd[1]);
    if (a < 0 || b < 0) {
        rip__os_close(a);
        rip__os_close(b);
        return a < 0 ? a : b;
    }
    ret[0] = a;
    ret[1] = b;
    return 0;
}

int rip__os_pipe(int ret[2])
{
    int fd[2];
    int r = (int)RIP__SYS(SYS_pipe2, fd, O_CLOEXEC);
    return r < 0 ? r : rip__raise_both_above_2(ret, fd);
}

int rip__os_open_at(int dir, const char *path, int flags, mode_t mode)
{
    long r;
    do
        r = RIP__SYS(SYS_openat, dir, path, flags | O_CLOEXEC, mode);
    while (r == -EINTR);
    return rip__raise_above_2((int)r);
}

int rip__os_open(const char *path, int flags, mode_t mode)
{
    return rip__os_open_at(AT_FDCWD, path, flags, mode);
}

bool rip__os_may_execute(const char *path)
{
    return RIP__SYS(SYS_faccessat, AT_FDCWD, path, 1 /* X_OK */) == 0;
}

int rip__os_set_nonblock(int fd)
{
    return (int)RIP__SYS(SYS_fcntl, fd, F_SETFL, O_NONBLOCK);
}

int rip__os_check(int fd)
{
    long r = RIP__SYS(SYS_fcntl, fd, F_GETFD);
    return r < 0 ? (int)r : 0;
}

int rip__os_give(int fd, uid_t uid)
{
    return (int)RIP__SYS(SYS_fchown, fd, uid, -1);
}

void rip__os_pipe_widen(int fd)
{
    (void)RIP__SYS(SYS_fcntl, fd, F_SETPIPE_SZ, 1 << 18);
}

int rip__os_open_null(void)
{
    struct stat st;
    /* Not to wait for the reader of a FIFO of that name. */
    int fd = rip__os_open("/dev/null", O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    long r = RIP__SYS(SYS_fstat, fd, &st);
    if (r == 0 && (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3)))
        r = -ENODEV;
    if (r == 0)
        return fd;
    rip__os_close(fd);
    return (int)r;
}

ssize_t rip__os_splice(int pipe, int null, size_t cap)
{
    long r;
    do
        r = RIP__SYS(SYS_splice, pipe, NULL, null, NULL, cap,
                     SPLICE_F_NONBLOCK);
    while (r == -EINTR);
    return r;
}

ssize_t rip__os_read(int fd, void *buf, size_t cap)
{
    long r;
    do
        r = RIP__SYS(SYS_read, fd, buf, cap);
    while (r == -EINTR);
    return r;
}

/* Whether SIGPIPE waits for this thread. */
static bool sigpipe_pending(void)
{
    rip__kernel_sigset set = 0;
    (void)RIP__SYS(SYS_rt_sigpending, &set, sizeof set);
    return set & (1ull << (SIGPIPE - 1));
}

/* `now`: does not wait, or gives -EOPNOTSUPP. */
static long write_plainly(int fd, const void *buf, size_t len, bool now)
{
    const struct iovec iov = { (void *)(uintptr_t)buf, len };
    long r;
    do
        r = now ? RIP__SYS(SYS_pwritev2, fd, &iov, 1, -1, -1, RWF_NOWAIT)
                : RIP__SYS(SYS_write, fd, buf, len);
    while (r == -EINTR);
    return now && rip__is_missing(r) ? -EOPNOTSUPP : r;
}

/* The way without RWF_NOSIGNAL: SIGPIPE goes to the thread that wrote, so it
 * can be held back and eaten there, unless one was pending before, which
 * then stays the only one. */
static ssize_t write_sigpipe_blocked(int fd, const void *buf, size_t len,
                                     bool now)
{
    const rip__kernel_sigset sigpipe = 1ull << (SIGPIPE - 1);
    rip__kernel_sigset before;
    (void)RIP__SYS(SYS_rt_sigprocmask, SIG_BLOCK, &sigpipe, &before,
                   sizeof before);
    bool pending = sigpipe_pending();
    long r = write_plainly(fd, buf, len, now);
    if (r == -EPIPE && !pending) {
        const struct timespec zero = { 0, 0 };
        while (RIP__SYS(SYS_rt_sigtimedwait, &sigpipe, NULL, &zero,
                        sizeof sigpipe) == -EINTR)
            ;
    }
    (void)RIP__SYS(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL,
                   sizeof before);
    return r;
}

static atomic_bool no_nosignal;

/* -EOPNOTSUPP: the kernel or a filter does not have it, or not for this file.
 */
static ssize_t write_nosignal(int fd, const void *buf, size_t len, int flags)
{
    const struct iovec iov = { (void *)(uintptr_t)buf, len };
    long r;
    if (atomic_load_explicit(&no_nosignal, memory_order_relaxed))
        return -EOPNOTSUPP;
    do /* offset -1: at the current position */
        r = RIP__SYS(SYS_pwritev2, fd, &iov, 1, -1, -1, RWF_NOSIGNAL | flags);
    while (r == -EINTR);
    return r;
}

ssize_t rip__os_write(int fd, const void *buf, size_t len)
{
    ssize_t r = write_nosignal(fd, buf, len, 0);
    if (r != -EOPNOTSUPP && !rip__is_missing(r))
        return r;
    if (r != -EPERM) /* which can be the file's own answer */
        atomic_store_explicit(&no_nosignal, true, memory_order_relaxed);
    return write_sigpipe_blocked(fd, buf, len, false);
}

ssize_t rip__os_write_now(int fd, const void *buf, size_t len)
{
    ssize_t r = write_nosignal(fd, buf, len, RWF_NOWAIT);
    if (r != -EOPNOTSUPP && !rip__is_missing(r))
        return r;
    /* Whichever of the two is missing: the file knows to be written to
     * without a wait, or it does not. */
    r = write_sigpipe_blocked(fd, buf, len, true);
    if (r >= 0)
        atomic_store_explicit(&no_nosignal, true, memory_order_relaxed);
    return r;
}

RIP__CHILD_PATH int rip__os_poll(struct pollfd *fds, size_t n,
                                 rip_time deadline)
{
    for (;;) {
        struct timespec left, *timeout = NULL;
        if (deadline != RIP_FOREVER) {
            rip_time ns = deadline <= 0 ? 0 : deadline - rip__os_clock();
            ns = ns < 0 ? 0 : ns;
            left.tv_sec = (time_t)(ns / 1000000000);
            left.tv_nsec = (long)(ns % 1000000000);
            timeout = &left;
        }
        long r = RIP__SYS(SYS_ppoll, fds, n, timeout, NULL, 0);
        if (r != -EINTR)
            return (int)r;
    }
}

ssize_t rip__os_slurp(const char *path, char *buf, size_t cap)
{
    int fd = rip__os_open(path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    size_t len = 0;
    ssize_t r;
    while ((r = rip__os_read(fd, buf + len, cap - len)) > 0) {
        len += (size_t)r;
        if (len == cap) {
            r = -EMSGSIZE;
            break;
        }
    }
    rip__os_close(fd);
    if (r < 0)
        return r;
    buf[len] = 0;
    return (ssize_t)len;
}
