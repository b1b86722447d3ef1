/* SPDX-License-Identifier: MIT */
#include <ripstop/segment.h>

#include <errno.h>

#include "base/base.h"
#include "segment/layout.h"

/*
 * The names of objects: a table that is changed by who has the heap, and read
 * by reports at any time. An entry counts while its key is set, which is set
 * last and cleared first.
 */

static struct rip__name *entry(const struct rip_segment *s, uint32_t i)
{
    return (struct rip__name *)(void *)(s->base + s->layout.names_at) + i;
}

static uint32_t used(const struct rip_segment *s)
{
    uint32_t n = rip__load(&s->header->names_used);
    return n < RIP__NAMES ? n : RIP__NAMES;
}

static bool is_object_name(const char *name)
{
    size_t n = 0;
    while (n < RIP__NAME_LENGTH && name[n] >= ' ' && name[n] <= '~')
        n++;
    return n > 0 && n < RIP__NAME_LENGTH && !name[n];
}

static struct rip__name *find_key(const struct rip_segment *s, uint64_t key)
{
    for (uint32_t i = 0, n = used(s); i < n; i++)
        if (rip__load(&entry(s, i)->key) == key)
            return entry(s, i);
    return NULL;
}

static struct rip__name *find_name(const struct rip_segment *s,
                                   const char *name)
{
    for (uint32_t i = 0, n = used(s); i < n; i++)
        if (rip__load(&entry(s, i)->key) != 0 &&
            strncmp(entry(s, i)->name, name, RIP__NAME_LENGTH) == 0)
            return entry(s, i);
    return NULL;
}

/* An entry to fill in; NULL: all are in use, or there is no memory. */
static struct rip__name *new_entry(struct rip_segment *s)
{
    struct rip__name *free = find_key(s, 0);
    uint32_t n = used(s);
    if (free || n == RIP__NAMES)
        return free;
    size_t at = s->layout.names_at + n * sizeof(struct rip__name);
    if (rip__segment_back(s, at, sizeof(struct rip__name)) < 0)
        return NULL;
    rip__store(&s->header->names_used, n + 1);
    return entry(s, n);
}

/* Once more after a death, the first unit of a block must say that there is a
 * name before there is one. */
static bool add(struct rip__work *w, uint64_t unit, uint64_t key, size_t size,
                const char *name)
{
    struct rip__name *e = new_entry(w->s);
    if (!e)
        return false;
    memset(e->name, 0, sizeof e->name);
    memcpy(e->name, name, strlen(name));
    e->size = size;
    rip__store(&w->units[unit].named, 1);
    rip__store(&e->key, key);
    return true;
}

void rip__names_forget(struct rip__work *w, size_t begin, size_t size)
{
    for (uint32_t i = 0, n = used(w->s); i < n; i++) {
        uint64_t *key = &entry(w->s, i)->key;
        if (rip__load(key) - begin < size)
            rip__store(key, 0);
    }
}

void rip__names_sift(struct rip__work *w)
{
    struct rip__block b;
    for (uint32_t i = 0, n = used(w->s); i < n; i++) {
        uint64_t *key = &entry(w->s, i)->key, at = rip__load(key);
        if (at != 0 &&
            (at >= w->s->layout.size || !rip__block_of(w, w->s->base + at, &b)))
            rip__store(key, 0);
    }
}

/* ---- finding or making ------------------------------------------------ */

struct wish {
    const char *name;
    size_t size;
};

static bool publish(struct rip__work *w, void *block, void *arg)
{
    const struct wish *wish = arg;
    size_t key = (size_t)((unsigned char *)block - w->s->base);
    return add(w, (key - w->s->layout.data_at) / RIP__UNIT_SIZE, key,
               wish->size, wish->name);
}

/* What an entry stands for, if that is still so large, and stands where any
 * object may stand. */
static int use_entry(void **ret, const struct rip__work *w,
                     const struct rip__name *e, size_t size)
{
    struct rip__block b;
    uint64_t key = rip__load(&e->key);
    if (key >= w->s->layout.size || key % 8 != 0 ||
        !rip__block_of(w, w->s->base + key, &b))
        return -EBADMSG;
    if (size > b.begin + b.size - key || size > rip__load_relaxed(&e->size))
        return -EMSGSIZE;
    *ret = w->s->base + key;
    return 0;
}

static int find_or_make(void **ret, struct rip__work *w, struct wish *wish)
{
    const struct rip__name *e = find_name(w->s, wish->name);
    if (e)
        return use_entry(ret, w, e, wish->size);
    void *block = rip__block_new(w, wish->size, publish, wish);
    if (!block)
        return -ENOMEM;
    *ret = block;
    return 1;
}

int rip_segment_get(void **ret, rip_segment *s, const char *name, size_t size)
{
    struct wish wish = { name, size };
    struct rip__work w;
    if (!name || !is_object_name(name) || size == 0)
        return -EINVAL;
    s = rip__segment_or_own(s);
    if (!s || size > s->layout.n_units * RIP__UNIT_SIZE)
        return -ENOMEM;
    int r = rip__heap_enter(&w, s);
    if (r < 0)
        return r;
    r = find_or_make(ret, &w, &wish);
    rip__heap_leave(&w);
    return r;
}

/* ---- for reports ------------------------------------------------------ */

static int name_object(struct rip__work *w, const void *object,
                       const char *name)
{
    struct rip__block b;
    uint64_t key = (uintptr_t)object - (uintptr_t)w->s->base;
    if (key >= w->s->layout.size || !rip__block_of(w, object, &b))
        return -ENOENT;
    struct rip__name *old = find_key(w->s, key);
    if (name && !add(w, b.unit, key, b.begin + b.size - key, name))
        return -ENOMEM;
    if (old)
        rip__store(&old->key, 0);
    return 0;
}

int rip_segment_name(rip_segment *s, const void *object, const char *name)
{
    struct rip__work w;
    if (!object || (name && !is_object_name(name)))
        return -EINVAL;
    s = rip__segment_or_own(s);
    int r = s ? rip__heap_enter(&w, s) : -ENOMEM;
    if (r < 0)
        return r;
    r = name_object(&w, object, name);
    rip__heap_leave(&w);
    return r;
}

int rip_segment_name_me(rip_segment *s, const char *name)
{
    struct rip__me *me;
    char text[RIP__NAME] = "";
    s = rip__segment_or_own(s);
    int r = s ? rip__join(s->header, &me) : -ENOMEM;
    if (r < 0)
        return r;
    if (name)
        memcpy(text, name, strnlen(name, sizeof text - 1));
    memcpy(me->slot->name, text, sizeof text);
    return 0;
}
