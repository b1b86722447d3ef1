/* SPDX-License-Identifier: MIT */
#include "base/stop.h"

#include <errno.h>

#include "base/base.h"
#include "os/os.h"

__thread struct rip__stop *rip__own_stop;
__thread unsigned rip__stop_shields;

/* As many are watched without an allocation. */
enum { FEW = 32 };

/* A process may not be let write to another's descriptor; so nobody sleeps
 * longer than this without looking at the word. */
int64_t rip__stop_look_ns = INT64_C(200) * 1000000;

int rip__stop_fd(void)
{
    struct rip__stop *s = rip__own_stop;
    if (!s)
        return -ESRCH;
    uint32_t seen = __atomic_load_n(&s->fd, __ATOMIC_SEQ_CST);
    if (seen != 0)
        return (int)(seen - 1);
    int fd = rip__os_eventfd();
    if (fd < 0)
        return fd;
    if (!__atomic_compare_exchange_n(&s->fd, &seen, (uint32_t)fd + 1, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        rip__os_close(fd);
        return (int)(seen - 1);
    }
    if (rip__stop_asked(s))
        rip__os_eventfd_set(fd);
    return fd;
}

/* One more item, the last, is the descriptor of the stop: if there is one, and
 * poll(2) takes as many (-EINVAL). */
static int poll_with_stop(struct pollfd *all, size_t n, struct rip__stop *s,
                          rip_time deadline)
{
    all[n] = (struct pollfd){ .fd = rip__stop_fd(), .events = POLLIN };
    size_t used = all[n].fd < 0 ? n : n + 1;
    for (;;) {
        if (rip__stop_asked(s))
            return -ECANCELED;
        rip_time end = rip__sooner(deadline, rip__later(rip__stop_look_ns));
        int r = rip__os_poll(all, used, end);
        if (r > 0 && used > n && all[n].revents)
            r--;
        if (r == -EINVAL && used > n)
            used = n;
        else if (r != 0 || (end == deadline && !rip__stop_asked(s)))
            return r;
    }
}

int rip__poll(struct pollfd *fds, size_t n, rip_time deadline)
{
    struct rip__stop *s = rip__stop_heeded();
    struct pollfd few[FEW + 1], *all = few;
    int r = s ? rip__os_poll(fds, n, RIP_NOW) : rip__os_poll(fds, n, deadline);
    if (!s || r != 0 || deadline <= rip__os_clock())
        return r;
    if (n > FEW)
        all = rip__alloc_array(n + 1, sizeof *all);
    if (!all)
        return -ENOMEM;
    if (n > 0)
        memcpy(all, fds, n * sizeof *all);
    r = poll_with_stop(all, n, s, deadline);
    if (n > 0)
        memcpy(fds, all, n * sizeof *all);
    if (all != few)
        rip__free(all);
    return r;
}
