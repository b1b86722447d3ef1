/* SPDX-License-Identifier: MIT */
#include <ripstop/segment.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h> /* getpid */

#include "base/base.h"
#include "base/stop.h"
#include "os/os.h"
#include "segment/layout.h"

/*
 * Named segments have no place where they are kept: they are wherever somebody
 * has them. Who has one holds a name in the namespace of abstract sockets that
 * has his pid in it, "ripstop/UID/NAME/PID", as a sign and for nothing else;
 * nobody ever accepts a connection there. Who looks for the segment lists these
 * names and opens its memory out of /proc/PID/fd, which the kernel allows to
 * the same user alone. The kernel takes the signs away with their processes.
 *
 * A further name, "ripstop/UID/NAME", is had for a moment by who is about to
 * look, so that no two find nothing at the same time, and both make one.
 */
#define NAME_SIZE       112
#define PATIENCE_MS     2000  /* with one who does not get on */
#define PATIENCE_MS_ALL 30000 /* with all of them */

bool rip__is_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz"
                            "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n > 0 && n < RIP__NAME_LENGTH && !name[n];
}

static void nap(int64_t ms)
{
    (void)rip__os_poll(NULL, 0, rip_after_ms(ms));
}

/* ---- one at a time ---------------------------------------------------- */

/* Waits until who has a name lets it go, or until `deadline`. 1: it was let
 * go; 0: it may be free or not; or -EPERM, -ETIMEDOUT, -ECANCELED. */
static int await_turn(const char *name, rip_time deadline)
{
    struct rip__os_peer peer;
    int fd = rip__os_name_ask(name, &peer);
    if (fd < 0) {
        /* It has just been let go, or not yet been made to listen. */
        if (rip__stopping())
            return -ECANCELED;
        nap(1);
        return rip_time_now() < deadline ? 0 : -ETIMEDOUT;
    }
    struct pollfd end = { .fd = fd, .events = POLLIN };
    int r = peer.uid == rip__os_user() ? rip__poll(&end, 1, deadline) : -EPERM;
    rip__os_close(fd);
    return r == 0 ? -ETIMEDOUT : r;
}

/* A descriptor: as long as it is open it is our turn. */
static int take_turn(const char *name)
{
    const rip_time last = rip_after_ms(PATIENCE_MS_ALL);
    rip_time deadline = rip_after_ms(PATIENCE_MS);
    for (;;) {
        int fd = rip__os_name_take(name);
        if (fd != -EADDRINUSE)
            return fd;
        int r = await_turn(name, deadline < last ? deadline : last);
        if (r < 0)
            return r;
        if (r > 0) /* somebody got on: there is no need to be impatient */
            deadline = rip_after_ms(PATIENCE_MS);
    }
}

/* ---- looking for it --------------------------------------------------- */

struct search {
    const char *name;
    bool writable;
    char prefix[NAME_SIZE];    /* of the signs */
    char sign[NAME_SIZE + 16]; /* the last one that was seen */
    unsigned seen;             /* how many were */
    int fd;                    /* what was found; -1 */
    struct rip__header header;
    struct rip__layout layout;
};

int rip__segment_look(int fd, struct rip__header *header,
                      struct rip__layout *ret)
{
    struct rip__os_memory m;
    int r = rip__os_memory_look(fd, &m);
    if (r < 0)
        return r;
    if (!m.is_fixed)
        return -EBADMSG;
    ssize_t n = rip__os_read_at(fd, header, sizeof *header, 0);
    if (n < 0)
        return (int)n;
    if ((size_t)n != sizeof *header)
        return -EBADMSG;
    header->name[RIP__NAME_LENGTH - 1] = 0;
    return rip__header_check(header, m.size, m.owner, ret);
}

/* The memory of another user is not ours, whatever it is called: somebody may
 * have been made to take a descriptor of it. */
static bool is_of_user(int fd)
{
    struct rip__os_memory m;
    return rip__os_memory_look(fd, &m) == 0 && m.owner == rip__os_user();
}

/* 1: found. */
static int try_memory(void *arg, const char *name, int fd)
{
    struct search *s = arg;
    if (strcmp(name, s->name) != 0 || !is_of_user(fd)) {
        rip__os_close(fd);
        return 0;
    }
    int r = rip__segment_look(fd, &s->header, &s->layout);
    if (r < 0) {
        rip__os_close(fd);
        return r;
    }
    s->fd = fd;
    return 1;
}

/* Who is gone, or can not be looked at, does not have it as far as we know. */
static int try_process(void *arg, pid_t pid)
{
    const struct search *s = arg;
    int r = rip__os_memory_each(pid, s->writable, try_memory, arg);
    bool unknown = r == -ENOENT || r == -ESRCH || r == -EACCES || r == -EPERM;
    return unknown ? 0 : r;
}

static int try_sign(void *arg, const char *rest)
{
    struct search *s = arg;
    snprintf(s->sign, sizeof s->sign, "%s%s", s->prefix, rest);
    s->seen++;
    pid_t pid = (pid_t)strtol(rest, NULL, 10);
    return pid > 0 ? try_process(s, pid) : 0;
}

/* Why the one who has a sign does not have the segment. */
static int explain(const struct search *s)
{
    struct rip__os_peer peer;
    int fd = rip__os_name_ask(s->sign, &peer);
    if (fd < 0) /* most likely it has just gone */
        return -EAGAIN;
    rip__os_close(fd);
    if (peer.uid != rip__os_user())
        return -EPERM;
    return peer.pid == 0 ? -EXDEV : -EACCES;
}

/* 1: found; 0: nobody has it; -EAGAIN: somebody seems to. */
static int look(struct search *s)
{
    s->seen = 0;
    int r = rip__os_name_each(s->prefix, try_sign, s);
    /* A list that is read while sockets go can lack one that is there, if ever
     * so rarely. It will not do so twice. */
    if (r == 0 && s->seen == 0)
        r = rip__os_name_each(s->prefix, try_sign, s);
    if (r != 0 || s->seen == 0)
        return r;
    /* Whose pid the sign has is gone, and a child that it forked has sign and
     * memory. */
    r = rip__os_pid_each(try_process, s);
    return r == 0 ? -EAGAIN : r;
}

static int find(struct search *s, int64_t patience_ms)
{
    rip_time deadline = rip_after_ms(patience_ms);
    for (int64_t pause = 1;; pause = pause < 64 ? 2 * pause : pause) {
        int r = look(s);
        if (r != -EAGAIN)
            return r;
        r = explain(s);
        if (r == -EPERM || r == -EXDEV)
            return r;
        if (rip_time_now() >= deadline)
            return r == -EAGAIN ? 0 : r;
        nap(pause); /* its end takes a moment */
    }
}

static void begin(struct search *s, const char *name, bool writable)
{
    *s = (struct search){ .name = name, .writable = writable, .fd = -1 };
    snprintf(s->prefix, sizeof s->prefix, "ripstop/%u/%s/",
             (unsigned)rip__os_user(), name);
}

int rip__segment_find(const char *name, int *fd, struct rip__header *header,
                      struct rip__layout *layout)
{
    struct search s;
    if (!rip__is_name(name))
        return -EINVAL;
    begin(&s, name, false);
    int r = find(&s, 100);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    *fd = s.fd;
    *header = s.header;
    *layout = s.layout;
    return 0;
}

/* ---- opening ---------------------------------------------------------- */

/* One's own sign. The pid may be in one already: that of a segment which we
 * have closed and a child of ours has not. */
static int put_up_sign(const struct search *s)
{
    char name[NAME_SIZE + 32];
    int fd = -EADDRINUSE;
    for (unsigned i = 0; fd == -EADDRINUSE && i < 1000; i++) {
        snprintf(name, sizeof name, "%s%d.%u", s->prefix, (int)getpid(), i);
        fd = rip__os_name_take(name);
    }
    return fd;
}

/* Whether what there is is what is asked for. */
static int compare(const struct rip__layout *l,
                   const struct rip_segment_options *o)
{
    if (o->how == RIP_SEGMENT_CREATE)
        return -EEXIST;
    bool fits =
        o->size <= l->n_units * RIP__UNIT_SIZE && o->members < l->n_slots;
    return fits ? 0 : -EINVAL;
}

static int join(rip_segment **ret, const struct search *s,
                const struct rip_segment_options *o)
{
    int r = compare(&s->layout, o);
    if (r == 0)
        r = rip__segment_map(ret, s->fd, &s->layout, NULL);
    if (r < 0)
        rip__os_close(s->fd);
    return r;
}

static int join_again(rip_segment **ret, struct rip_segment *s,
                      const struct rip_segment_options *o)
{
    int r = compare(&s->layout, o);
    if (r < 0)
        rip_segment_close(s);
    else
        *ret = s;
    return r;
}

static int find_or_make(rip_segment **ret, struct search *s,
                        const struct rip_segment_options *o)
{
    int r = find(s, PATIENCE_MS);
    if (r > 0)
        return join(ret, s, o);
    if (r == 0)
        r = o->how == RIP_SEGMENT_JOIN ? -ENOENT
                                       : rip__segment_make(ret, s->name, o);
    return r;
}

/* In our turn. */
static int open_now(rip_segment **ret, const char *name,
                    const struct rip_segment_options *o)
{
    struct search search;
    struct rip_segment *s = rip__segment_again(name);
    if (s) /* another thread was faster */
        return join_again(ret, s, o);
    begin(&search, name, true);
    int r = find_or_make(&s, &search, o);
    if (r < 0)
        return r;
    int sign = put_up_sign(&search);
    if (sign < 0) {
        rip_segment_close(s);
        return sign;
    }
    rip__segment_announce(s, name, sign);
    *ret = s;
    return 0;
}

int rip_segment_open(rip_segment **ret, const char *name,
                     const struct rip_segment_options *opt)
{
    const struct rip_segment_options none = { 0 };
    const struct rip_segment_options *o = opt ? opt : &none;
    char turn[NAME_SIZE];
    if (!name || !rip__is_name(name))
        return -EINVAL;
    int r = rip__options_check(o);
    if (r < 0)
        return r;
    struct rip_segment *s = rip__segment_again(name);
    if (s)
        return join_again(ret, s, o);
    snprintf(turn, sizeof turn, "ripstop/%u/%s", (unsigned)rip__os_user(),
             name);
    int fd = take_turn(turn);
    if (fd < 0)
        return fd;
    r = open_now(ret, name, o);
    rip__os_close(fd);
    return r;
}
