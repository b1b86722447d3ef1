/* SPDX-License-Identifier: MIT */
#include "segment/layout.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "base/base.h"
#include "os/os.h"
#include "segment/segment.h"

#define MAGIC   0x706f747370697201u /* "\1ripstop" */
#define VERSION 1u

_Static_assert(sizeof(struct rip__header) <= 4096, "it is one slot");
_Static_assert(sizeof(struct rip__slot) + RIP__LIFE_ROOM <= 4096,
               "a slot is a page");
_Static_assert(offsetof(struct rip__header, roll) == RIP__ROLL_AT,
               "where the members look for it");
_Static_assert(sizeof(struct rip__unit) == 64, "a cache line");

static bool round_up(size_t n, size_t to, size_t *ret)
{
    if (!rip__add(n, to - 1, ret))
        return false;
    *ret &= ~(to - 1);
    return true;
}

/* *at = the next page after `n` things of `size` bytes from *at on. */
static bool pass(size_t *at, uint64_t n, size_t size, size_t page)
{
    size_t len;
    return rip__multiply(n, size, &len) && rip__add(*at, len, at) &&
           round_up(*at, page, at);
}

/* From page, n_slots and n_units, all that follows from them. */
static bool compute(struct rip__layout *l)
{
    l->names_at = l->page * l->n_slots;
    l->units_at = l->names_at;
    if (!pass(&l->units_at, RIP__NAMES, sizeof(struct rip__name), l->page))
        return false;
    l->map_at = l->units_at;
    if (!pass(&l->map_at, l->n_units, sizeof(struct rip__unit), l->page))
        return false;
    l->data_at = l->map_at;
    if (!pass(&l->data_at, l->n_units, 1, l->page))
        return false;
    l->size = l->data_at;
    return pass(&l->size, l->n_units, RIP__UNIT_SIZE, l->page) &&
           l->size <= PTRDIFF_MAX;
}

bool rip__layout_plan(struct rip__layout *ret, size_t size, unsigned members)
{
    size_t page = rip__os_page();
    if (!round_up(size, page, &size))
        return false;
    *ret = (struct rip__layout){
        .page = page,
        .n_slots = members + 1,
        .n_units = size / RIP__UNIT_SIZE,
    };
    return ret->n_units <= RIP__UNITS_MAX && compute(ret);
}

/* FNV-1a. It is against accidents; nothing helps against intent. */
static uint32_t checksum(const struct rip__header *h)
{
    struct rip__header copy;
    memcpy(&copy, h, sizeof copy); /* with its padding */
    const unsigned char *p = (const unsigned char *)&copy;
    uint32_t sum = 2166136261u;
    copy.checksum = 0;
    for (size_t i = 0; i < offsetof(struct rip__header, roll); i++)
        sum = (sum ^ p[i]) * 16777619u;
    return sum;
}

void rip__header_write(struct rip__header *h, const struct rip__layout *l,
                       const char *name)
{
    h->version = VERSION;
    h->page = (uint32_t)l->page;
    h->slot_size = sizeof(struct rip__slot);
    h->n_slots = l->n_slots;
    h->n_names = RIP__NAMES;
    h->n_units = l->n_units;
    h->size = l->size;
    h->uid = rip__os_user();
    memcpy(h->name, name, strnlen(name, RIP__NAME_LENGTH - 1));
    h->roll.pid_namespace = rip__os_pid_namespace();
    h->roll.slots_used = 1;
    h->magic = MAGIC;
    h->checksum = checksum(h);
}

/* Whether we and the other version agree on what stands where. */
static bool is_compatible(const struct rip__header *h)
{
    return h->page == rip__os_page() &&
           h->slot_size == sizeof(struct rip__slot) && h->n_names == RIP__NAMES;
}

static bool is_sane(const struct rip__header *h, size_t size, uint32_t uid)
{
    return h->uid == uid && h->size == size;
}

int rip__header_check(const struct rip__header *h, size_t size, uint32_t uid,
                      struct rip__layout *ret)
{
    if (h->magic != MAGIC)
        return -EBADMSG;
    if (h->version != VERSION)
        return -EPROTO;
    if (!is_sane(h, size, uid) || h->checksum != checksum(h))
        return -EBADMSG;
    if (!is_compatible(h))
        return -EPROTO;
    struct rip__layout l = { .page = h->page,
                             .n_slots = h->n_slots,
                             .n_units = h->n_units };
    if (l.n_slots < 2 || l.n_slots > RIP__SLOTS_MAX || l.n_units == 0 ||
        l.n_units > RIP__UNITS_MAX || !compute(&l) || l.size != size)
        return -EBADMSG;
    if (h->roll.pid_namespace != rip__os_pid_namespace())
        return -EXDEV;
    *ret = l;
    return 0;
}
