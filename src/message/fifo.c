/* SPDX-License-Identifier: MIT */
#include <ripstop/fifo.h>

#include <errno.h>

#include "base/base.h"
#include "base/stop.h"
#include "message/pipe.h"

/*
 * Each end is opened in non-blocking mode, in which open(2) does not wait. A
 * reader has it then, and is in want of a writer; a writer that finds no reader
 * does not even have it (ENXIO), and has to try again.
 *
 * inotify tells of each open that was completed. It tells nothing of one who
 * waits in open(2), so:
 *
 *     we read   who waits to write is let in by our open, and then told of
 *     we write  who waits to read is let in by our open, of which there is none
 *               before we know of him. So we look, from time to time
 */
rip_time rip__fifo_look_ns = INT64_C(20) * 1000000;

int rip_fifo_make(const char *path, mode_t mode)
{
    return rip__os_fifo_make(path, mode & 07777);
}

int rip_fifo_remove(const char *path)
{
    return rip__os_fifo_remove(path);
}

struct opening {
    const char *path;
    bool reads, writes;
    int fd;    /* the FIFO; -1: not yet */
    int watch; /* of opens; -1: none is to be had */
};

/* It may be of any kind: what is no FIFO is opened and closed again. */
static int open_now(struct opening *o)
{
    struct rip__os_pipe what;
    int fd = rip__os_pipe_open(o->path, o->reads, o->writes);
    if (fd < 0)
        return fd;
    int r = rip__os_pipe_look(fd, &what);
    if (r < 0)
        rip__os_close(fd);
    else
        o->fd = fd;
    return r;
}

/* Whether both ends are open: 1, 0, or an error. */
static int is_open(struct opening *o)
{
    int r = o->fd < 0 ? open_now(o) : 0;
    if (r < 0)
        return r == -ENXIO ? 0 : r;
    return o->writes ? 1 : rip__os_fifo_has_writer(o->fd);
}

/* A watch before the look that it is to follow, so that who comes in between is
 * seen. A reader watches what it has open: the name may be another's by now. */
static void begin_watch(struct opening *o)
{
    o->watch = rip__os_opens_watch(o->writes ? o->path : NULL, o->fd);
}

static int sleep_until(const struct opening *o, rip_time deadline)
{
    struct pollfd p = { .fd = o->watch, .events = POLLIN };
    rip_time end = deadline;
    if (o->writes || o->watch < 0)
        end = rip__sooner(deadline, rip__later(rip__fifo_look_ns));
    int r = rip__poll(&p, o->watch < 0 ? 0 : 1, end);
    if (r > 0)
        rip__os_opens_seen(o->watch);
    return r < 0 ? r : 0;
}

static int await_other(struct opening *o, rip_time deadline)
{
    for (;;) {
        int r = is_open(o);
        if (r != 0)
            return r;
        if (rip__os_clock() >= deadline)
            return -ETIMEDOUT;
        r = sleep_until(o, deadline);
        if (r < 0)
            return r;
    }
}

static int open_both(struct opening *o, rip_time deadline)
{
    int r = is_open(o);
    if (r != 0)
        return r;
    if (rip__os_clock() >= deadline)
        return -ETIMEDOUT;
    begin_watch(o);
    r = await_other(o, deadline);
    rip__os_close(o->watch);
    return r;
}

int rip_fifo_open(rip_pipe **ret, const char *path, enum rip_fifo_end end,
                  rip_time deadline)
{
    const bool serves = end == RIP_FIFO_SERVE;
    struct opening o = { .path = path,
                         .reads = end != RIP_FIFO_WRITE,
                         .writes = end != RIP_FIFO_READ,
                         .fd = -1 };
    struct rip__os_pipe what = { o.reads, !serves && o.writes, true };
    if (end != RIP_FIFO_READ && end != RIP_FIFO_WRITE && !serves)
        return -EINVAL;
    int r = open_both(&o, deadline);
    if (r > 0)
        r = rip__pipe_wrap(ret, o.fd, &what);
    if (r < 0)
        rip__os_close(o.fd);
    return r;
}
