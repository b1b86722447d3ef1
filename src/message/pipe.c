/* SPDX-License-Identifier: MIT */
#include "message/pipe.h"

#include <errno.h>

#include "base/base.h"
#include "base/stop.h"

/*
 * O_NONBLOCK is a flag of the open file, which a command may have as its stdout
 * and other processes by a fork. So it stays off, and each call says that it
 * does not wait. Where the kernel can not be told so, we open the pipe once
 * more for ourselves.
 */

int rip__pipe_wrap(rip_pipe **ret, int fd, const struct rip__os_pipe *what)
{
    rip_pipe *p = rip__alloc(sizeof *p);
    if (!p)
        return -ENOMEM;
    *p = (rip_pipe){ .fd = fd,
                     .own = what->nonblock ? fd : -1,
                     .reads = what->reads,
                     .writes = what->writes };
    *ret = p;
    return 0;
}

static int check(const struct rip_pipe_options *o)
{
    uint64_t used = 0;
    for (size_t i = 0; o && i < RIP__LENGTH(o->reserved); i++)
        used |= o->reserved[i];
    return used ? -EINVAL : 0;
}

static int wrap_both(rip_pipe **reader, rip_pipe **writer, const int fd[2])
{
    rip_pipe *r, *w;
    int code = rip__pipe_wrap(&r, fd[0], &(struct rip__os_pipe){ .reads = 1 });
    if (code < 0)
        return code;
    code = rip__pipe_wrap(&w, fd[1], &(struct rip__os_pipe){ .writes = 1 });
    if (code < 0) {
        rip__free(r);
        return code;
    }
    *reader = r;
    *writer = w;
    return 0;
}

int rip_pipe_new(rip_pipe **reader, rip_pipe **writer,
                 const struct rip_pipe_options *opt)
{
    int fd[2] = { -1, -1 };
    int r = check(opt);
    if (r < 0)
        return r;
    r = rip__os_pipe(fd);
    if (r < 0)
        return r;
    if (opt && opt->capacity > 0)
        r = rip__os_pipe_resize(fd[1], opt->capacity);
    if (r == 0)
        r = wrap_both(reader, writer, fd);
    if (r < 0) {
        rip__os_close(fd[0]);
        rip__os_close(fd[1]);
    }
    return r;
}

int rip_pipe_adopt(rip_pipe **ret, int fd)
{
    struct rip__os_pipe what;
    int r = rip__os_pipe_look(fd, &what);
    if (r == 0)
        r = rip__os_close_on_exec(fd);
    return r < 0 ? r : rip__pipe_wrap(ret, fd, &what);
}

int rip_pipe_fd(const rip_pipe *p)
{
    return p->fd;
}

rip_pipe *rip_pipe_free(rip_pipe *p)
{
    if (!p)
        return NULL;
    if (p->own != p->fd)
        rip__os_close(p->own);
    rip__os_close(p->fd);
    rip__free(p);
    return NULL;
}

/* ---- once, at once ---------------------------------------------------- */

static int own_of(const rip_pipe *p)
{
    return __atomic_load_n(&p->own, __ATOMIC_ACQUIRE);
}

/* The pipe opened for us alone: 0 or an error. Where two threads do so at once
 * one of them was first. */
static int open_own(rip_pipe *p)
{
    int none = -1;
    int fd = rip__os_pipe_open_again(p->fd, p->reads, p->writes);
    if (fd == -ENXIO)
        return -EPIPE; /* to open a pipe to write takes a reader */
    if (fd < 0)
        return fd == -ENOENT ? -ENOTSUP : fd;
    if (!__atomic_compare_exchange_n(&p->own, &none, fd, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        rip__os_close(fd);
    return 0;
}

static ssize_t read_once(rip_pipe *p, void *buf, size_t cap)
{
    ssize_t r = -EOPNOTSUPP;
    if (own_of(p) < 0)
        r = rip__os_read_now(p->fd, buf, cap);
    if (r != -EOPNOTSUPP)
        return r;
    r = own_of(p) < 0 ? open_own(p) : 0;
    return r < 0 ? r : rip__os_read(own_of(p), buf, cap);
}

static ssize_t write_once(rip_pipe *p, const void *data, size_t len)
{
    ssize_t r = -EOPNOTSUPP;
    if (own_of(p) < 0)
        r = rip__os_write_now(p->fd, data, len);
    if (r != -EOPNOTSUPP)
        return r;
    r = own_of(p) < 0 ? open_own(p) : 0;
    return r < 0 ? r : rip__os_write(own_of(p), data, len);
}

/* ---- with a deadline -------------------------------------------------- */

static int wait_for(int fd, short events, rip_time deadline)
{
    struct pollfd p = { .fd = fd, .events = events };
    if (rip__os_clock() >= deadline)
        return -ETIMEDOUT;
    int r = rip__poll(&p, 1, deadline);
    return r == 0 ? -ETIMEDOUT : r;
}

ssize_t rip_pipe_read(rip_pipe *p, void *buf, size_t cap, rip_time deadline)
{
    if (!p->reads || cap == 0)
        return -EINVAL;
    for (;;) {
        ssize_t r = read_once(p, buf, cap);
        if (r != -EAGAIN)
            return r;
        r = wait_for(p->fd, POLLIN, deadline);
        if (r < 0)
            return r;
    }
}

static bool was_cut(ssize_t r)
{
    return r == -ETIMEDOUT || r == -ECANCELED;
}

ssize_t rip_pipe_read_all(rip_pipe *p, void *buf, size_t len, rip_time deadline)
{
    size_t done = 0;
    ssize_t r = 0;
    if (!p->reads)
        return -EINVAL;
    while (done < len) {
        r = rip_pipe_read(p, (char *)buf + done, len - done, deadline);
        if (r <= 0)
            break;
        done += (size_t)r;
    }
    return r < 0 && (done == 0 || !was_cut(r)) ? r : (ssize_t)done;
}

ssize_t rip_pipe_write(rip_pipe *p, const void *data, size_t len,
                       rip_time deadline)
{
    size_t done = 0;
    ssize_t r = 0;
    if (!p->writes)
        return -EINVAL;
    while (done < len) {
        r = write_once(p, (const char *)data + done, len - done);
        if (r > 0)
            done += (size_t)r;
        else if (r == -EAGAIN)
            r = wait_for(p->fd, POLLOUT, deadline);
        if (r < 0)
            break;
    }
    return r < 0 && (done == 0 || !was_cut(r)) ? r : (ssize_t)done;
}
