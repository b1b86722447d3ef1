/* SPDX-License-Identifier: MIT */
#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <sys/epoll.h>

int loop_init(struct loop *l)
{
    l->fd = epoll_create1(EPOLL_CLOEXEC);
    return l->fd < 0 ? -errno : 0;
}

static int control(struct loop *l, int op, int fd, uint32_t events,
                   struct watch *w)
{
    struct epoll_event e = { .events = events, .data.ptr = w };

    return epoll_ctl(l->fd, op, fd, &e) < 0 ? -errno : 0;
}

int loop_watch(struct loop *l, int fd, uint32_t events, struct watch *w)
{
    return control(l, EPOLL_CTL_ADD, fd, events, w);
}

int loop_watch_once(struct loop *l, int fd, uint32_t events, struct watch *w)
{
    int r;

    events |= EPOLLONESHOT;
    r = control(l, EPOLL_CTL_MOD, fd, events, w);
    return r == -ENOENT ? control(l, EPOLL_CTL_ADD, fd, events, w) : r;
}

/* Rounded up: to wake before the deadline would be to wake twice. */
static int milliseconds(rip_time deadline)
{
    rip_time left;

    if (deadline == RIP_FOREVER)
        return -1;
    if (deadline == RIP_NOW)
        return 0;
    left = deadline - rip_time_now();
    if (left <= 0)
        return 0;
    left = (left + 999999) / 1000000;
    return left < INT_MAX ? (int)left : INT_MAX;
}

int loop_wait(struct loop *l, struct watch *ret[LOOP_BATCH], rip_time deadline)
{
    struct epoll_event events[LOOP_BATCH];
    int n = epoll_wait(l->fd, events, LOOP_BATCH, milliseconds(deadline));

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++)
        ret[i] = events[i].data.ptr;
    return n;
}
