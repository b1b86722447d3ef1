/* SPDX-License-Identifier: MIT */
#include "message/channel.h"

#include <errno.h>
#include <stdio.h>

#include "base/stop.h"
#include "segment/layout.h"

/*
 * A name is one in the namespace of abstract sockets, which the kernel takes
 * away with the last process that has the socket. Whose it is stands in it, so
 * that users do not get into each other's way by accident. By intent they can:
 * anybody may take any such name. So who connects asks the kernel who is there.
 */
enum { NAME_SIZE = 112 };

static const rip_time nap = 20 * INT64_C(1000000);

struct rip_listener {
    int fd;
    size_t capacity;
    bool any_user;
};

static void whole_name(char ret[NAME_SIZE], const char *name, bool any_user)
{
    char user[16] = "";
    if (!any_user)
        snprintf(user, sizeof user, "%u", (unsigned)rip__os_user());
    snprintf(ret, NAME_SIZE, "ripstop-channel/%s/%s", user, name);
}

static int check(const char *name, const struct rip_channel_options *o)
{
    return name && rip__is_name(name) ? rip__channel_check(o) : -EINVAL;
}

/* Whether the other side may be one: 0, -EPERM, or an error. */
static int check_peer(int fd, bool any_user)
{
    struct rip__os_peer who;
    int r = any_user ? 0 : rip__os_peer(fd, &who);
    return r == 0 && !any_user && who.uid != rip__os_user() ? -EPERM : r;
}

/* A channel of a connection, if the other side may be one. */
static int admit(rip_channel **ret, int fd, bool any_user, size_t capacity)
{
    int r = check_peer(fd, any_user);
    if (r == 0)
        r = rip__channel_wrap(ret, fd, capacity);
    if (r < 0)
        rip__os_close(fd);
    return r;
}

/* ---- connecting ------------------------------------------------------- */

static int connect_by(const char *name, rip_time deadline)
{
    for (;;) {
        int fd = rip__os_connect(name);
        if (fd != -ECONNREFUSED && fd != -EAGAIN)
            return fd;
        if (rip__os_clock() >= deadline)
            return fd == -EAGAIN ? -ETIMEDOUT : fd;
        int r = rip__poll(NULL, 0, rip__sooner(deadline, rip__later(nap)));
        if (r < 0)
            return r;
    }
}

int rip_channel_connect(rip_channel **ret, const char *name,
                        const struct rip_channel_options *opt,
                        rip_time deadline)
{
    const struct rip_channel_options none = { 0 };
    const struct rip_channel_options *o = opt ? opt : &none;
    char whole[NAME_SIZE];
    int r = check(name, o);
    if (r < 0)
        return r;
    whole_name(whole, name, o->any_user);
    int fd = connect_by(whole, deadline);
    return fd < 0 ? fd : admit(ret, fd, o->any_user, o->capacity);
}

/* ---- listening -------------------------------------------------------- */

int rip_listener_new(rip_listener **ret, const char *name,
                     const struct rip_channel_options *opt)
{
    const struct rip_channel_options none = { 0 };
    const struct rip_channel_options *o = opt ? opt : &none;
    char whole[NAME_SIZE];
    int r = check(name, o);
    if (r < 0)
        return r;
    rip_listener *l = rip__alloc(sizeof *l);
    if (!l)
        return -ENOMEM;
    whole_name(whole, name, o->any_user);
    *l = (rip_listener){ rip__os_listen(whole), o->capacity, o->any_user };
    r = l->fd;
    if (r < 0)
        rip__free(l);
    else
        *ret = l;
    return r < 0 ? r : 0;
}

/* 0, -EAGAIN, or an error. Who may not be one is turned away. */
static int accept_one(rip_channel **ret, const rip_listener *l)
{
    int fd = rip__os_accept(l->fd);
    if (fd < 0)
        return fd == -ECONNABORTED ? -EAGAIN : fd;
    int r = admit(ret, fd, l->any_user, l->capacity);
    return r == -EPERM ? -EAGAIN : r;
}

/* Of a listener that was shut down, too, the kernel says that there is nobody
 * yet; and that it is ready. */
static bool was_closed(const rip_listener *l)
{
    struct pollfd p = { .fd = l->fd, .events = POLLIN };
    return rip__os_poll(&p, 1, RIP_NOW) > 0 && (p.revents & POLLHUP);
}

int rip_listener_accept(rip_channel **ret, rip_listener *l, rip_time deadline)
{
    for (;;) {
        int r = accept_one(ret, l);
        if (r != -EAGAIN)
            return r;
        if (was_closed(l))
            return -EPIPE;
        r = rip__channel_await(l->fd, POLLIN, deadline);
        if (r < 0)
            return r;
    }
}

int rip_listener_fd(const rip_listener *l)
{
    return l->fd;
}

void rip_listener_close(rip_listener *l)
{
    rip__os_hang_up(l->fd);
}

rip_listener *rip_listener_free(rip_listener *l)
{
    if (!l)
        return NULL;
    rip__os_close(l->fd);
    rip__free(l);
    return NULL;
}
