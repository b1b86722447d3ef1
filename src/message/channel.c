/* SPDX-License-Identifier: MIT */
#include "message/channel.h"

#include <errno.h>

#include <ripstop/segment.h>

#include "base/atomic.h"
#include "base/stop.h"

/* ---- turns ------------------------------------------------------------ */

/*
 * Who receives looks at a message and then takes it, in two calls, and between
 * these nobody else may. The lock for that has to live as long as anybody has
 * the socket, in whichever process: longer than anyone of us could tell. So
 * there is a fixed number of locks, made once and for good, and the number of
 * the socket says which is its own. That two sockets now and then share one
 * costs nothing: it is held for some microseconds, never in a wait.
 */
enum { TURNS = 1024 };
static rip_lock *turns;

static rip_lock *all_turns(void)
{
    rip_lock *seen = rip__load(&turns);
    if (seen)
        return seen;
    rip_lock *made = rip_shared_alloc(NULL, TURNS * sizeof *made);
    if (!made)
        return NULL;
    if (__atomic_compare_exchange_n(&turns, &seen, made, false,
                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return made;
    rip_shared_free(NULL, made);
    return seen;
}

static rip_lock *turn_of(int fd)
{
    rip_lock *all = all_turns();
    return all ? &all[rip__os_inode(fd) % TURNS] : NULL;
}

/* ---- making one ------------------------------------------------------- */

int rip__channel_check(const struct rip_channel_options *o)
{
    uint64_t used = 0;
    for (size_t i = 0; i < RIP__LENGTH(o->reserved); i++)
        used |= o->reserved[i];
    return used ? -EINVAL : 0;
}

int rip__channel_wrap(rip_channel **ret, int fd, size_t capacity)
{
    size_t room;
    int r = rip__os_send_room(fd, capacity, &room);
    if (r < 0)
        return r;
    rip_lock *turn = turn_of(fd);
    rip_channel *c = turn ? rip__alloc(sizeof *c) : NULL;
    if (!c)
        return -ENOMEM;
    room /= 4;
    *c = (rip_channel){ .fd = fd,
                        .inline_max =
                            room < RIP__INLINE_MAX ? room : RIP__INLINE_MAX,
                        .turn = turn };
    *ret = c;
    return 0;
}

static int wrap_both(rip_channel **a, rip_channel **b, const int fd[2],
                     size_t capacity)
{
    rip_channel *first, *second;
    int r = rip__channel_wrap(&first, fd[0], capacity);
    if (r < 0)
        return r;
    r = rip__channel_wrap(&second, fd[1], capacity);
    if (r < 0) {
        rip__free(first);
        return r;
    }
    *a = first;
    *b = second;
    return 0;
}

int rip_channel_pair(rip_channel **a, rip_channel **b,
                     const struct rip_channel_options *opt)
{
    const struct rip_channel_options none = { 0 };
    const struct rip_channel_options *o = opt ? opt : &none;
    int fd[2];
    int r = o->any_user ? -EINVAL : rip__channel_check(o);
    if (r < 0)
        return r;
    r = rip__os_socket_pair(fd);
    if (r < 0)
        return r;
    r = wrap_both(a, b, fd, o->capacity);
    if (r < 0) {
        rip__os_close(fd[0]);
        rip__os_close(fd[1]);
    }
    return r;
}

int rip_channel_adopt(rip_channel **ret, int fd)
{
    int r = rip__os_check(fd);
    if (r == 0 && !rip__os_is_channel(fd))
        r = -EINVAL;
    if (r == 0)
        r = rip__os_close_on_exec(fd);
    return r < 0 ? r : rip__channel_wrap(ret, fd, 0);
}

/* ---- what it has ------------------------------------------------------ */

int rip_channel_peer(const rip_channel *c, struct rip_channel_peer *ret)
{
    struct rip__os_peer who;
    int r = rip__os_peer(c->fd, &who);
    if (r == 0)
        *ret = (struct rip_channel_peer){ who.pid, who.uid, who.gid };
    return r;
}

int rip_channel_peer_fd(const rip_channel *c)
{
    return rip__os_peer_open(c->fd);
}

int rip_channel_fd(const rip_channel *c)
{
    return c->fd;
}

int rip__channel_await(int fd, short events, rip_time deadline)
{
    struct pollfd p = { .fd = fd, .events = events };
    if (rip__os_clock() >= deadline)
        return -ETIMEDOUT;
    int r = rip__poll(&p, 1, deadline);
    return r > 0 ? 0 : r == 0 ? -ETIMEDOUT : r;
}

/* ---- the end ---------------------------------------------------------- */

void rip_channel_close(rip_channel *c)
{
    rip__os_hang_up(c->fd);
}

rip_channel *rip_channel_free(rip_channel *c)
{
    if (!c)
        return NULL;
    rip__os_close(c->fd);
    rip__free(c);
    return NULL;
}
