/* SPDX-License-Identifier: MIT */
#ifndef RIP_MESSAGE_CHANNEL_H
#define RIP_MESSAGE_CHANNEL_H

/* Channels: see docs/channel.md. */

#include <stdbool.h>

#include <ripstop/channel.h>
#include <ripstop/lock.h>

#include "base/base.h"
#include "os/os.h"

struct rip_channel {
    int fd;
    size_t inline_max; /* what of a message goes through the socket itself */
    rip_lock *turn;    /* of those who receive from this end */
};

/*
 * What each message begins with, so that none is empty: a length of 0 is how
 * the kernel tells of the end. Both sides are on one machine, so the order of
 * bytes is theirs.
 *
 * Behind it stand the first bytes of the message, as many as the datagram has;
 * the rest, if there is one, is in sealed memory, whose descriptor comes before
 * all others.
 */
struct rip__envelope {
    uint32_t magic;
    uint32_t n_fds; /* without that of the memory */
    uint64_t len;   /* of the message */
};
#define RIP__ENVELOPE_MAGIC 0x52495043u

/* The most that goes through the socket: a few pages are copied faster than
 * memory is made, and some messages have to fit in what a socket holds. */
#define RIP__INLINE_MAX 32768

/* A channel that has the descriptor from then on; on failure it does not. */
int rip__channel_wrap(rip_channel **ret, int fd, size_t capacity);

/* 0 or -EINVAL. */
int rip__channel_check(const struct rip_channel_options *o);

/* Until the socket is ready: 0, -ETIMEDOUT or -ECANCELED. */
int rip__channel_await(int fd, short events, rip_time deadline);

#endif
