/* SPDX-License-Identifier: MIT */
#include "message/channel.h"

#include <errno.h>
#include <limits.h> /* SSIZE_MAX */

/*
 * A message is looked at, which gives us all of it but leaves it where it is,
 * and then it is taken away. So what can not be received stays there, and so
 * does what a receiver was just about to take when it was killed.
 */

/* One call. */
struct receipt {
    void *buf;
    size_t cap;
    size_t fds_cap;
    struct rip__envelope envelope;
    size_t first;            /* bytes of the message that are in the datagram */
    int fds[RIP__OS_PASSED]; /* what came with it; ours as long as it is here */
    size_t n_fds;
};

static void close_all(struct receipt *r)
{
    for (size_t i = 0; i < r->n_fds; i++)
        rip__os_close(r->fds[i]);
    r->n_fds = 0;
}

static size_t rest_of(const struct receipt *r)
{
    return r->envelope.len - r->first;
}

/* The length of the datagram. The other side may be gone with messages of ours
 * unread: that is told once, before what it had sent. */
static ssize_t peek(const rip_channel *c, struct receipt *r, bool *short_of_fds)
{
    struct iovec parts[] = {
        { &r->envelope, sizeof r->envelope },
        { r->buf, r->cap },
    };
    ssize_t n;
    do
        n = rip__os_peek(c->fd, parts, 2, r->fds, &r->n_fds, short_of_fds);
    while (n == -ECONNRESET);
    if (n == 0 || n == -ENOTCONN)
        return -EPIPE;
    return n;
}

/* Whether an envelope and the length of its datagram can be true. */
static bool makes_sense(const struct receipt *r, size_t datagram)
{
    const struct rip__envelope *e = &r->envelope;
    return datagram >= sizeof *e && e->magic == RIP__ENVELOPE_MAGIC &&
           e->len >= datagram - sizeof *e && e->len <= SSIZE_MAX &&
           e->n_fds <= RIP_CHANNEL_FDS;
}

/* What came is what the envelope says. */
static int check_fds(const struct receipt *r)
{
    size_t memory = rest_of(r) > 0 ? 1 : 0;
    if (r->n_fds != r->envelope.n_fds + memory)
        return -EBADMSG;
    return memory ? rip__os_parcel_check(r->fds[0], rest_of(r)) : 0;
}

/* The envelope, and whether it can be received: 0 or an error. */
static int look(const rip_channel *c, struct receipt *r)
{
    bool short_of_fds;
    ssize_t n = peek(c, r, &short_of_fds);
    if (n < 0)
        return (int)n;
    if (!makes_sense(r, (size_t)n))
        return -EBADMSG;
    r->first = (size_t)n - sizeof r->envelope;
    if (r->envelope.len > r->cap || r->envelope.n_fds > r->fds_cap)
        return -EMSGSIZE;
    return short_of_fds ? -EMFILE : check_fds(r);
}

/* With the turn. What makes no sense is taken away too. */
static int look_and_take(const rip_channel *c, struct receipt *r)
{
    int code = look(c, r);
    if (code == 0 || code == -EBADMSG) {
        int gone = rip__os_drop(c->fd);
        code = gone < 0 ? gone : code;
    }
    if (code < 0)
        close_all(r);
    return code;
}

/* A lock that a neighbour has scribbled over tells so once. */
static int take_turn(const rip_channel *c, rip_time deadline)
{
    int r = rip_lock_acquire(c->turn, deadline);
    return r == -EBADMSG ? rip_lock_acquire(c->turn, deadline) : r;
}

static int once(const rip_channel *c, struct receipt *r,
                int (*act)(const rip_channel *c, struct receipt *r),
                rip_time deadline)
{
    int code = take_turn(c, deadline);
    if (code < 0)
        return code;
    code = act(c, r);
    rip_lock_release(c->turn);
    return code;
}

static int receive(const rip_channel *c, struct receipt *r,
                   int (*act)(const rip_channel *c, struct receipt *r),
                   rip_time deadline)
{
    for (;;) {
        int code = once(c, r, act, deadline);
        if (code != -EAGAIN)
            return code;
        code = rip__channel_await(c->fd, POLLIN, deadline);
        if (code < 0)
            return code;
    }
}

/* Nobody can change that memory any more, or make it shorter. */
static int copy_rest(const struct receipt *r)
{
    unsigned char *to = (unsigned char *)r->buf + r->first;
    size_t at = 0, rest = rest_of(r);
    while (at < rest) {
        ssize_t n = rip__os_read_at(r->fds[0], to + at, rest - at, at);
        if (n <= 0)
            return n < 0 ? (int)n : -EBADMSG;
        at += (size_t)n;
    }
    return 0;
}

/* Gives the descriptors to who asked for them, but that of the memory. */
static void hand_over(const struct receipt *r, int *fds, size_t *n)
{
    size_t memory = rest_of(r) > 0 ? 1 : 0;
    if (memory)
        rip__os_close(r->fds[0]);
    if (!n)
        return; /* there was no room for any, so there are none */
    *n = r->n_fds - memory;
    for (size_t i = 0; i < *n; i++)
        fds[i] = r->fds[memory + i];
}

ssize_t rip_channel_receive_fds(rip_channel *c, void *buf, size_t cap, int *fds,
                                size_t *n, rip_time deadline)
{
    struct receipt r;
    r.buf = buf;
    r.cap = cap;
    r.fds_cap = n ? *n : 0;
    int code = receive(c, &r, look_and_take, deadline);
    if (code < 0)
        return code;
    code = copy_rest(&r);
    if (code < 0)
        close_all(&r);
    else
        hand_over(&r, fds, n);
    return code < 0 ? code : (ssize_t)r.envelope.len;
}

ssize_t rip_channel_receive(rip_channel *c, void *buf, size_t cap,
                            rip_time deadline)
{
    return rip_channel_receive_fds(c, buf, cap, NULL, NULL, deadline);
}

/* ---- only looking ----------------------------------------------------- */

static int look_and_leave(const rip_channel *c, struct receipt *r)
{
    bool short_of_fds;
    ssize_t n = peek(c, r, &short_of_fds);
    close_all(r);
    if (n < 0)
        return (int)n;
    if (makes_sense(r, (size_t)n))
        return 0;
    int gone = rip__os_drop(c->fd);
    return gone < 0 ? gone : -EBADMSG;
}

int rip_channel_next(rip_channel *c, struct rip_channel_next *ret,
                     rip_time deadline)
{
    struct receipt r;
    r.buf = NULL;
    r.cap = 0;
    int code = receive(c, &r, look_and_leave, deadline);
    if (code == 0)
        *ret = (struct rip_channel_next){ r.envelope.len, r.envelope.n_fds };
    return code;
}
