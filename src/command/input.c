/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <unistd.h> /* getpid */

/* What the command reads: a pipe, or the keyboard of a terminal of ours. */

static ssize_t write_once(rip_command *c, const void *data, size_t len)
{
    if (c->keyboard && rip__os_terminal_is_deserted(c->in))
        return -EPIPE;
    ssize_t r = rip__os_write(c->in, data, len);
    if (r > 0)
        c->last_typed = ((const unsigned char *)data)[r - 1];
    return r == -EIO && c->keyboard ? -EPIPE : r;
}

ssize_t rip__input_write(rip_command *c, const void *data, size_t len)
{
    struct rip__buffer *b = &c->unsent;
    while (c->unsent_done < b->len) {
        ssize_t r =
            write_once(c, b->data + c->unsent_done, b->len - c->unsent_done);
        if (r < 0)
            return r;
        c->unsent_done += (size_t)r;
    }
    b->len = c->unsent_done = 0;
    return len > 0 ? write_once(c, data, len) : 0;
}

ssize_t rip_command_write(rip_command *c, const void *data, size_t len,
                          rip_time deadline)
{
    size_t done = 0;
    if (!c->has_input)
        return -EINVAL;
    if (c->in < 0)
        return -EPIPE;
    while (done < len) {
        ssize_t r = rip__input_write(c, (const char *)data + done, len - done);
        if (r > 0)
            done += (size_t)r;
        if (r >= 0 || r == -EAGAIN)
            r = done < len ? rip__wait_for(c->in, POLLOUT, deadline) : 0;
        if (done > 0 && rip__was_cut((int)r))
            break;
        if (r < 0)
            return r;
    }
    return (ssize_t)done;
}

/* ---- the end ---------------------------------------------------------- */

void rip__input_close(rip_command *c)
{
    rip__os_close(c->in);
    c->in = -1;
    c->unsent.len = c->unsent_done = 0;
}

/* Types end-of-file. Half of it may go at a time: what is left to type is
 * seen from the last key. */
static ssize_t type_end(rip_command *c)
{
    char keys[2];
    size_t done = 0,
           n = (size_t)rip__os_terminal_eof(c->in, c->last_typed, keys);
    while (done < n) {
        ssize_t r = rip__input_write(c, keys + done, n - done);
        if (r < 0)
            return r;
        done += (size_t)r;
    }
    return 0;
}

int rip__input_end(rip_command *c)
{
    if (c->in >= 0 && c->keyboard && type_end(c) == -EAGAIN)
        return -EAGAIN;
    rip__input_close(c);
    return 0;
}

void rip__input_flush(rip_command *c, rip_time deadline)
{
    if (c->in < 0 || c->owner != getpid()) /* a fork, with a copy of it */
        return;
    rip__file_flush(c, deadline);
    while (c->unsent.len > 0 && rip__input_write(c, NULL, 0) == -EAGAIN &&
           rip__wait_for(c->in, POLLOUT, deadline) > 0)
        ;
}

/* How long a program may take to read some of what was typed before, so that
 * there is room. */
static const rip_time longest_wait = 1000000000;

void rip_command_close_input(rip_command *c)
{
    rip__input_flush(c, RIP_FOREVER);
    rip_time give_up = rip__later(longest_wait);
    while (rip__input_end(c) == -EAGAIN) {
        struct pollfd room = { .fd = c->in, .events = POLLOUT };
        if (rip__os_clock() >= give_up || rip__os_poll(&room, 1, give_up) <= 0)
            break;
    }
}
