/* SPDX-License-Identifier: MIT */
#include <ripstop/segment.h>

#include <errno.h>
#include <stdatomic.h>

#include "base/base.h"
#include "os/os.h"
#include "segment/layout.h"

#define DEFAULT_SIZE    ((size_t)1 << 30)
#define LEAST_DEFAULT   ((size_t)1 << 24)
#define DEFAULT_MEMBERS 4095u
#define PROGRAM         "(program)"
#define ANONYMOUS       "(anonymous)"

/* ---- all that this process has ---------------------------------------- */

static struct rip_segment *open_ones;

/* Guards these and the range of addresses. It is held for a few
 * instructions, or to map something. What another thread held when we were
 * forked is nobody's here, and what it guards is changed by single stores. */
static pthread_mutex_t *held; /* while it is */

static void registry_lock(void)
{
    pthread_mutex_t *mutex = rip__mutex_of_segments();
    pthread_mutex_lock(mutex);
    held = mutex;
}

static void registry_unlock(void)
{
    pthread_mutex_unlock(held);
}

/* ---- where segments lie ----------------------------------------------- */

/*
 * They lie in a range of addresses that is reserved at first use, so that in
 * a process which was forked before a segment was made, nothing else has come
 * to lie where the segment is to be mapped. Where so much is not to be had the
 * range is smaller, or there is none, and they lie anywhere.
 */
#define RANGE_MOST  ((uint64_t)1 << 40)
#define RANGE_LEAST ((uint64_t)1 << 32)

static struct {
    unsigned char *at;
    size_t size;
    bool tried;
} range;

static void reserve_range(void)
{
    void *at;
    if (range.tried)
        return;
    range.tried = true;
    if (rip__os_address_space_is_limited())
        return; /* there it would be taken from the program */
    for (uint64_t size = RANGE_MOST; size >= RANGE_LEAST; size /= 4) {
        if (size > PTRDIFF_MAX || rip__os_reserve(&at, (size_t)size, NULL) < 0)
            continue;
        range.at = at;
        range.size = (size_t)size;
        return;
    }
}

/* The end of a segment that overlaps; `at` if there is none. */
static unsigned char *pass_by(unsigned char *at, size_t size)
{
    for (struct rip_segment *s = open_ones; s; s = s->next) {
        unsigned char *end = s->base + s->layout.size;
        if (at < end && s->base < at + size)
            return end + s->layout.page;
    }
    return at;
}

/* The lowest free place; NULL: there is none, so it may lie anywhere. */
static void *find_place(size_t size)
{
    unsigned char *at = range.at, *next;
    if (!at)
        return NULL;
    while (size <= range.size && at <= range.at + range.size - size) {
        next = pass_by(at, size);
        if (next == at)
            return at;
        at = next;
    }
    return NULL;
}

static bool is_in_range(const void *at)
{
    return range.at && (uintptr_t)at - (uintptr_t)range.at < range.size;
}

/* ---- mapping ---------------------------------------------------------- */

static void unmap(void *at, size_t size)
{
    void *ignored;
    if (is_in_range(at)) {
        if (rip__os_reserve(&ignored, size, at) == 0)
            return;
        range.size = 0; /* others may come to lie in this gap */
    }
    rip__os_unmap(at, size);
}

static void unlist(struct rip_segment *s)
{
    struct rip_segment **at = &open_ones;
    while (*at && *at != s)
        at = &(*at)->next;
    if (*at)
        *at = s->next;
}

static void list(struct rip_segment *s, void *at)
{
    s->base = at;
    s->header = at;
    s->next = open_ones;
    open_ones = s;
}

/* Finds a place, and keeps others from it. */
static int map(struct rip_segment *s)
{
    void *at;
    registry_lock();
    reserve_range();
    int r = rip__os_memory_map(&at, s->fd, s->layout.size,
                               find_place(s->layout.size));
    if (r == 0)
        list(s, at);
    registry_unlock();
    return r;
}

/* Where it lies in another process: in our range, whose gaps are ours, or where
 * nothing is. */
static int map_there(struct rip_segment *s, unsigned char *base)
{
    const size_t size = s->layout.size;
    void *at = base;
    registry_lock();
    bool reserved = is_in_range(base) && is_in_range(base + size - 1);
    int r = pass_by(base, size) != base ? -EEXIST
            : reserved ? rip__os_memory_map(&at, s->fd, size, base)
                       : rip__os_memory_map_free(s->fd, size, base);
    if (r == 0)
        list(s, at);
    registry_unlock();
    return r;
}

/* Leaves the descriptor open. */
static void put_away(struct rip_segment *s)
{
    registry_lock();
    unlist(s);
    unmap(s->base, s->layout.size);
    registry_unlock();
    rip__free(s);
}

static struct rip__domain as_domain(const struct rip_segment *s)
{
    return (struct rip__domain){
        .base = s->base,
        .size = s->layout.size,
        .stride = s->layout.page,
        .n_slots = s->layout.n_slots,
        .fd = s->fd,
        .device = s->device,
        .inode = s->inode,
        .shared = true,
    };
}

static int become_domain(struct rip_segment *s)
{
    struct rip__domain d = as_domain(s);
    return rip__domain_add(&d, &s->domain);
}

static int new_struct(struct rip_segment **ret, int fd,
                      const struct rip__layout *l)
{
    struct rip__os_memory m;
    int r = rip__os_memory_look(fd, &m);
    struct rip_segment *s = r < 0 ? NULL : rip__alloc(sizeof *s);
    if (!s)
        return r < 0 ? r : -ENOMEM;
    *s = (struct rip_segment){
        .layout = *l,
        .fd = fd,
        .device = m.device,
        .inode = m.inode,
        .refs = 1,
        .presence = -1,
    };
    *ret = s;
    return 0;
}

int rip__segment_map(struct rip_segment **ret, int fd,
                     const struct rip__layout *l, const char *new_name)
{
    struct rip_segment *s;
    int r = new_struct(&s, fd, l);
    if (r < 0)
        return r;
    r = map(s);
    if (r < 0) {
        rip__free(s);
        return r;
    }
    r = rip__segment_back(s, 0, l->page);
    if (r == 0 && new_name)
        rip__header_write(s->header, l, new_name);
    if (r == 0)
        r = become_domain(s);
    if (r < 0) {
        put_away(s);
        return r;
    }
    *ret = s;
    return 0;
}

int rip__segment_map_there(struct rip_segment **ret, int fd,
                           const struct rip__layout *l, unsigned char *base)
{
    struct rip_segment *s;
    int r = new_struct(&s, fd, l);
    if (r < 0)
        return r;
    r = map_there(s, base);
    if (r < 0) {
        rip__free(s);
        return r;
    }
    r = become_domain(s);
    if (r < 0)
        put_away(s);
    else
        *ret = s;
    return r;
}

struct rip_segment *rip__segments_lock(void)
{
    registry_lock();
    return open_ones;
}

void rip__segments_unlock(void)
{
    registry_unlock();
}

void rip__segment_forget(struct rip_segment *s)
{
    rip__domain_forget(s->base, s->layout.size);
    unlist(s);
    unmap(s->base, s->layout.size);
}

int rip__segment_back(struct rip_segment *s, size_t offset, size_t len)
{
    struct rip__domain d = as_domain(s);
    return rip__back(&d, offset, len);
}

/* ---- making ----------------------------------------------------------- */

int rip__options_check(const struct rip_segment_options *o)
{
    for (size_t i = 0; i < RIP__LENGTH(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    if (o->members >= RIP__SLOTS_MAX || (unsigned)o->how > RIP_SEGMENT_JOIN)
        return -EINVAL;
    return 0;
}

static int make(struct rip_segment **ret, const char *name, size_t size,
                unsigned members)
{
    struct rip__layout l;
    if (!rip__layout_plan(&l, size, members))
        return -EINVAL;
    int fd = rip__os_memory_new(name, l.size);
    int r = fd < 0 ? fd : rip__segment_map(ret, fd, &l, name);
    if (r < 0)
        rip__os_close(fd);
    return r;
}

int rip__segment_make(struct rip_segment **ret, const char *name,
                      const struct rip_segment_options *opt)
{
    const struct rip_segment_options none = { 0 };
    const struct rip_segment_options *o = opt ? opt : &none;
    int r = rip__options_check(o);
    if (r < 0)
        return r;
    unsigned members = o->members ? o->members : DEFAULT_MEMBERS;
    if (o->size)
        return make(ret, name, o->size, members);
    /* The default is a wish: limits of the process (RLIMIT_AS, RLIMIT_FSIZE)
     * make it less. */
    for (size_t size = DEFAULT_SIZE;; size /= 2) {
        r = make(ret, name, size, members);
        if ((r != -ENOMEM && r != -EFBIG) || size <= LEAST_DEFAULT)
            return r;
    }
}

int rip_segment_new(rip_segment **ret, const struct rip_segment_options *opt)
{
    if (opt && opt->how != RIP_SEGMENT_ANY)
        return -EINVAL;
    return rip__segment_make(ret, ANONYMOUS, opt);
}

struct rip_segment *rip__segment_at(const void *p, bool *named)
{
    struct rip_segment *s;
    registry_lock();
    for (s = open_ones; s; s = s->next)
        if ((uintptr_t)p - (uintptr_t)s->base < s->layout.size)
            break;
    *named = s && s->presence >= 0;
    registry_unlock();
    return s;
}

static struct rip_segment *_Atomic own;

struct rip_segment *rip__segment_or_own(struct rip_segment *s)
{
    struct rip_segment *mine, *theirs = NULL;
    if (!s)
        s = atomic_load(&own);
    if (s || rip__segment_make(&mine, PROGRAM, NULL) < 0)
        return s;
    if (atomic_compare_exchange_strong(&own, &theirs, mine))
        return mine;
    rip_segment_close(mine);
    return theirs;
}

void rip__segment_close_own(void)
{
    rip_segment_close(atomic_exchange(&own, NULL));
}

/* ---- named ones ------------------------------------------------------- */

struct rip_segment *rip__segment_again(const char *name)
{
    struct rip_segment *s;
    registry_lock();
    for (s = open_ones; s; s = s->next)
        if (s->presence >= 0 && strcmp(s->name, name) == 0)
            break;
    if (s)
        s->refs++;
    registry_unlock();
    return s;
}

void rip__segment_announce(struct rip_segment *s, const char *name,
                           int presence)
{
    registry_lock();
    memcpy(s->name, name, strlen(name) + 1);
    s->presence = presence;
    registry_unlock();
}

/* ---- closing ---------------------------------------------------------- */

/* True: that was the last one. */
static bool drop_reference(struct rip_segment *s, int *presence)
{
    registry_lock();
    bool last = --s->refs == 0;
    if (last) {
        *presence = s->presence;
        s->presence = -1; /* nobody finds it again */
    }
    registry_unlock();
    return last;
}

rip_segment *rip_segment_close(rip_segment *s)
{
    int presence;
    if (!s || !drop_reference(s, &presence))
        return NULL;
    int fd = s->fd;
    rip__domain_remove(s->domain);
    put_away(s);
    rip__os_close(fd);
    /* The sign that it is there goes when nothing of it is used any more. */
    rip__os_close(presence);
    return NULL;
}
