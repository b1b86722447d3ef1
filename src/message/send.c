/* SPDX-License-Identifier: MIT */
#include "message/channel.h"

#include <errno.h>

/* One send. */
struct letter {
    const unsigned char *data;
    size_t first, rest; /* bytes that go through the socket, and in memory */
    struct rip__envelope envelope;
    int fds[RIP__OS_PASSED];
    size_t n_fds;
};

_Static_assert(RIP_CHANNEL_FDS < RIP__OS_PASSED, "one is for the memory");

/* So much is copied between two looks at the clock. */
enum { STRETCH = 1 << 20 };

static int fill_memory(int fd, const struct letter *l, rip_time deadline)
{
    const unsigned char *from = l->data + l->first;
    size_t at = 0;
    while (at < l->rest) {
        size_t n = l->rest - at < STRETCH ? l->rest - at : STRETCH;
        ssize_t done = rip__os_write_at(fd, from + at, n, at);
        if (done <= 0)
            return done == -ENOSPC || done == 0 ? -ENOMEM : (int)done;
        at += (size_t)done;
        if (deadline > 0 && rip__os_clock() >= deadline)
            return -ETIMEDOUT;
    }
    return rip__os_parcel_seal(fd);
}

/* Puts the rest of a long message into memory: its descriptor, or an error. */
static int make_memory(const struct letter *l, rip_time deadline)
{
    int fd = rip__os_parcel_new(l->rest);
    if (fd < 0)
        return fd;
    int r = fill_memory(fd, l, deadline);
    if (r < 0)
        rip__os_close(fd);
    return r < 0 ? r : fd;
}

/* The kernel has several words for it. */
static int reason(int r)
{
    switch (r) {
    case -ECONNRESET: /* it went without receiving what we had sent */
    case -ENOTCONN:
        return -EPIPE;
    case -ENOBUFS:
        return -ENOMEM;
    default:
        return r;
    }
}

static int send_letter(const rip_channel *c, struct letter *l,
                       rip_time deadline)
{
    struct iovec parts[] = {
        { &l->envelope, sizeof l->envelope },
        { (void *)(uintptr_t)l->data, l->first },
    };
    for (;;) {
        int r = rip__os_send_now(c->fd, parts, 2, l->fds, l->n_fds);
        if (r != -EAGAIN)
            return reason(r);
        r = rip__channel_await(c->fd, POLLOUT, deadline);
        if (r < 0)
            return r;
    }
}

/* A long message waits for room before it takes memory. */
static int send_long(const rip_channel *c, struct letter *l, rip_time deadline)
{
    struct pollfd p = { .fd = c->fd, .events = POLLOUT };
    int r = rip__os_poll(&p, 1, RIP_NOW);
    if (r == 0)
        r = rip__channel_await(c->fd, POLLOUT, deadline);
    if (r < 0)
        return r;
    if (rip__os_clock() >= deadline) /* then it is to be tried once */
        deadline = RIP_NOW;
    int fd = make_memory(l, deadline);
    if (fd < 0)
        return fd;
    memmove(l->fds + 1, l->fds, l->n_fds * sizeof *l->fds);
    l->fds[0] = fd;
    l->n_fds++;
    r = send_letter(c, l, deadline);
    rip__os_close(fd);
    return r;
}

int rip_channel_send_fds(rip_channel *c, const void *msg, size_t len,
                         const int *fds, size_t n, rip_time deadline)
{
    struct letter l;
    if (n > RIP_CHANNEL_FDS)
        return -EMSGSIZE;
    l.data = msg;
    l.first = len < c->inline_max ? len : c->inline_max;
    l.rest = len - l.first;
    l.envelope =
        (struct rip__envelope){ RIP__ENVELOPE_MAGIC, (uint32_t)n, len };
    l.n_fds = n;
    if (n > 0)
        memcpy(l.fds, fds, n * sizeof *fds);
    return l.rest > 0 ? send_long(c, &l, deadline)
                      : send_letter(c, &l, deadline);
}

int rip_channel_send(rip_channel *c, const void *msg, size_t len,
                     rip_time deadline)
{
    return rip_channel_send_fds(c, msg, len, NULL, 0, deadline);
}
