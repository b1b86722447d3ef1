/* SPDX-License-Identifier: MIT */
#include <ripstop/wait.h>

#include <errno.h>
#include <limits.h>

#include "base/base.h"
#include "base/stop.h"

/* As many are watched without an allocation. */
enum { FEW = 32 };

/* What poll(2) is to watch for an item: 1, or 0 for one that is none. */
static int watch(struct pollfd *ret, const struct rip_wait *item)
{
    *ret = (struct pollfd){ .fd = -1, .events = POLLIN };
    switch (item->kind) {
    case RIP_WAIT_NONE:
        return 0;
    case RIP_WAIT_COMMAND:
        if (item->u.command)
            ret->fd = rip_command_fd(item->u.command);
        break;
    case RIP_WAIT_FD:
        ret->events = item->events;
        if (item->events != 0)
            ret->fd = item->u.fd;
        break;
    }
    return ret->fd < 0 ? -EINVAL : 1;
}

/* Items that are none have no place in the list: poll(2) takes no more than
 * there may be open files, and a list of jobs, most of them done, may be much
 * longer than that. */
static int watch_all(struct pollfd *list, const struct rip_wait *items,
                     size_t n)
{
    int used = 0;
    for (size_t i = 0; i < n; i++) {
        struct pollfd p;
        int r = watch(&p, &items[i]);
        if (r < 0)
            return r;
        if (r > 0)
            list[used++] = p;
    }
    return used;
}

/* The index of the first item that is ready. One with a closed descriptor is
 * refused wherever it stands: else it would be told of only when nothing
 * before it is ready. */
static int first_ready(const struct pollfd *list, const struct rip_wait *items,
                       size_t n)
{
    int first = -1;
    for (size_t i = 0, at = 0; i < n; i++) {
        if (items[i].kind == RIP_WAIT_NONE)
            continue;
        if (list[at].revents & POLLNVAL)
            return -EINVAL;
        if (list[at].revents && first < 0)
            first = (int)i;
        at++;
    }
    return first;
}

static int wait_any(struct pollfd *list, const struct rip_wait *items, size_t n,
                    rip_time deadline)
{
    int used = watch_all(list, items, n);
    if (used < 0 || (used == 0 && deadline == RIP_FOREVER))
        return -EINVAL;
    int r = rip__poll(list, (size_t)used, deadline);
    if (r == -EINVAL)
        return -EMFILE; /* its one meaning here */
    if (r == 0)
        return -ETIMEDOUT;
    return r < 0 ? r : first_ready(list, items, n);
}

int rip_wait_any(const struct rip_wait *items, size_t n, rip_time deadline)
{
    struct pollfd few[FEW], *list = few;
    if (n > INT_MAX || (n > 0 && !items))
        return -EINVAL;
    if (n > FEW)
        list = rip__alloc_array(n, sizeof *list);
    if (!list)
        return -ENOMEM;
    int r = wait_any(list, items, n, deadline);
    if (list != few)
        rip__free(list);
    return r;
}
