/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <stdio_ext.h> /* __fpending */
#include <unistd.h>    /* getpid */

#include "base/stop.h"

/*
 * The streams as stdio sees them. fopencookie(3) makes them, and stdio their
 * buffers: libc's own allocations, which do not go through the seam, as those
 * of a FILE made by anybody else. What is between libc and the kernel does.
 *
 * A FILE outlives its pipe, up to the end of the command: who writes to one
 * whose pipe is closed gets EPIPE and not freed memory.
 *
 * After a fork(2) parent and child have a copy each of what is not flushed yet,
 * and in both stdio writes it at exit(3) and fclose(3). So none but the process
 * that began the command writes.
 */

/* What a write that failed returns. glibc takes it for a count, and -1 for a
 * very large one; musl sees no error in 0. */
#ifdef __GLIBC__
static const ssize_t write_failed = 0;
#else
static const ssize_t write_failed = -1;
#endif

static ssize_t put(void *cookie, const char *data, size_t len)
{
    const struct rip__file *f = cookie;
    rip_command *c = f->command;
    if (c->collecting && rip__buffer_append(&c->unsent, data, len) == 0)
        return (ssize_t)len;
    ssize_t r = -EPERM;
    if (c->owner == getpid())
        r = rip_command_write(c, data, len, c->file_deadline);
    if (r == (ssize_t)len)
        return r;
    if (r >= 0) /* a part of it, and then it was cut short */
        r = rip__stopping() ? -ECANCELED : -ETIMEDOUT;
    errno = (int)-r;
    return write_failed;
}

/* stdio without a buffer reads a byte at a time: that is not to be a system
 * call each. Should the first fill fail, the read tells why. */
static ssize_t get(void *cookie, char *buf, size_t cap)
{
    const struct rip__file *f = cookie;
    struct rip__stream *s = &f->command->out[f->which - 1];
    if (cap < 4096 && s->start == s->buffer.len && s->fd >= 0)
        (void)rip__stream_fill(s);
    ssize_t r = rip__stream_read(s, buf, cap, RIP_FOREVER);
    if (r >= 0)
        return r;
    errno = (int)-r;
    return -1;
}

/* What communicate could not feed was written to this stream, too. A fork says
 * nothing to the command, neither that nor the end-of-file of a terminal. */
static void shut_input(rip_command *c)
{
    rip__input_flush(c, c->file_deadline);
    if (c->owner != getpid() || rip__input_end(c) == -EAGAIN)
        rip__input_close(c);
}

/* rip__files_done, or the user's own fclose(3): which closes the pipe, as one
 * would expect, and leaves nothing behind that points to the FILE. */
static int shut(void *cookie)
{
    struct rip__file *f = cookie;
    f->file = NULL;
    if (f->which > 0)
        rip__stream_done(&f->command->out[f->which - 1]);
    else
        shut_input(f->command);
    return 0;
}

static bool is_pipe(const rip_command *c, int which)
{
    if (which == 0)
        return c->has_input;
    return (which == 1 || which == 2) && c->out[which - 1].captured;
}

FILE *rip_command_stream(rip_command *c, int which)
{
    const cookie_io_functions_t calls = { .read = get,
                                          .write = put,
                                          .close = shut };
    if (!is_pipe(c, which))
        return NULL;
    struct rip__file *f = &c->files[which];
    f->command = c;
    f->which = which;
    if (!f->file)
        f->file = fopencookie(f, which == 0 ? "w" : "r", calls);
    return f->file;
}

/* The room is made first: what stdio can not write it forgets. */
int rip__file_collect(rip_command *c)
{
    FILE *file = c->files[0].file;
    size_t pending = file && c->in >= 0 ? __fpending(file) : 0;
    if (pending == 0)
        return 0;
    int r = rip__buffer_reserve(&c->unsent, pending);
    if (r < 0)
        return r;
    c->collecting = true;
    (void)fflush(file);
    c->collecting = false;
    return 0;
}

/* What put() tells stdio in errno is nobody's affair where we flush. */
void rip__file_flush(rip_command *c, rip_time deadline)
{
    int saved = errno;
    c->file_deadline = deadline;
    if (c->files[0].file)
        (void)fflush(c->files[0].file);
    errno = saved;
}

void rip__files_done(rip_command *c)
{
    int saved = errno;
    c->file_deadline = RIP_NOW;
    for (int i = 0; i < 3; i++)
        if (c->files[i].file)
            (void)fclose(c->files[i].file);
    errno = saved;
}
