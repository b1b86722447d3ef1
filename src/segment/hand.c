/* SPDX-License-Identifier: MIT */
#include "segment/layout.h"

#include <errno.h>
#include <string.h>

#include "base/base.h"

/* What a process that was forked earlier has of our segments: layout.h. */

/* Neither half made nor half closed, as another thread of ours may just have
 * it. */
static bool is_whole(const struct rip_segment *s)
{
    return s->refs > 0 && __atomic_load_n(&s->domain, __ATOMIC_ACQUIRE);
}

uint32_t rip__segments_mark(void)
{
    static uint32_t last;
    struct rip_segment *s = rip__segments_lock();
    uint32_t mark = ++last;
    for (; s; s = s->next)
        if (is_whole(s))
            s->mark = mark;
    rip__segments_unlock();
    return mark;
}

/* One that was marked may have begun to be closed since. */
void rip__segments_settle(uint32_t mark)
{
    struct rip_segment *next, *s = rip__segments_lock();
    for (; s; s = next) {
        next = s->next;
        if (s->mark != mark || s->refs == 0)
            rip__segment_forget(s);
    }
    rip__segments_unlock();
}

/* ---- giving ----------------------------------------------------------- */

/* Who closes descriptors that are not his may have made it another's. */
static int copy_memory(const struct rip_segment *s)
{
    struct rip__os_memory m;
    int fd = rip__os_copy(s->fd);
    int r = fd < 0 ? fd : rip__os_memory_look(fd, &m);
    if (r == 0 && (m.device != s->device || m.inode != s->inode))
        r = -EBADF;
    if (r < 0)
        rip__os_close(fd);
    return r < 0 ? r : fd;
}

static int add_descriptor(struct rip__hand *h, int fd)
{
    if (fd >= 0)
        h->fds[h->n_fds++] = fd;
    return fd < 0 ? fd : 0;
}

static int hand(struct rip__hand *h, const struct rip_segment *s)
{
    struct rip__handed *to = &h->handed[h->n++];
    *to = (struct rip__handed){ .base = s->base, .layout = s->layout };
    int r = add_descriptor(h, copy_memory(s));
    if (r < 0 || s->presence < 0)
        return r;
    memcpy(to->name, s->name, sizeof to->name);
    return add_descriptor(h, rip__os_copy(s->presence));
}

int rip__segments_hand(uint32_t mark, struct rip__hand *ret)
{
    int r = 0;
    ret->n_kept = ret->n = ret->n_fds = 0;
    const struct rip_segment *s = rip__segments_lock();
    for (; s && r == 0; s = s->next) {
        if (!is_whole(s))
            continue;
        if (ret->n_kept + ret->n == RIP__HANDED)
            r = -EMFILE;
        else if (s->mark == mark)
            ret->kept[ret->n_kept++] = s->base;
        else
            r = hand(ret, s);
    }
    rip__segments_unlock();
    if (r < 0)
        rip__segments_hand_done(ret);
    return r;
}

void rip__segments_hand_done(const struct rip__hand *h)
{
    for (size_t i = 0; i < h->n_fds; i++)
        rip__os_close(h->fds[i]);
}

/* ---- taking ----------------------------------------------------------- */

static bool is_among(const struct rip_segment *s,
                     const unsigned char *const *kept, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (kept[i] == s->base)
            return true;
    return false;
}

static struct rip_segment *find_closed(uint32_t mark,
                                       const unsigned char *const *kept,
                                       size_t n)
{
    struct rip_segment *s = rip__segments_lock();
    while (s && (s->mark != mark || is_among(s, kept, n)))
        s = s->next;
    if (s)
        s->refs = 1;
    rip__segments_unlock();
    return s;
}

void rip__segments_keep(uint32_t mark, const unsigned char *const *kept,
                        size_t n)
{
    struct rip_segment *s;
    while ((s = find_closed(mark, kept, n)) != NULL)
        rip_segment_close(s);
}

int rip__segment_take(struct rip_segment **ret, const struct rip__handed *h,
                      int fd, int sign)
{
    int r = rip__segment_map_there(ret, fd, &h->layout, h->base);
    if (r == 0 && sign >= 0)
        rip__segment_announce(*ret, h->name, sign);
    return r;
}
