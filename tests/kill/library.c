/* SPDX-License-Identifier: MIT */
#include "library.h"

#include <string.h>
#include <sys/mman.h>

#include "cast.h"
#include "os/os.h"

rip_segment *library_segment;

/* In shared memory: workers are there before it is known. */
static unsigned *free_at_first;

const struct kill_state library_fresh = { .name = "fresh" };

void library_try_kernel(void)
{
    (void)rip__os_life_distance();
}

static void make_memory(size_t segment, size_t size, struct kill_memory *ret)
{
    struct rip_segment_options o = { .size = segment, .members = 12 };
    const struct rip__domain *d;
    library_try_kernel();
    if (rip_segment_new(&library_segment, &o) < 0)
        kill_fail("no segment");
    ret->object = rip_shared_alloc(library_segment, size);
    if (ret->object == NULL)
        kill_fail("no memory in the segment");
    d = rip__domain_of(ret->object);
    free_at_first = mmap(NULL, sizeof *free_at_first, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ret->lo = d->base;
    ret->len = d->size;
}

void library_memory(size_t size, struct kill_memory *ret)
{
    make_memory(65536, size, ret);
}

void library_large_memory(size_t size, struct kill_memory *ret)
{
    make_memory((size_t)300 * 1024, size, ret);
}

void library_join(void *o)
{
    struct rip__me *me;
    KILL_CHECK_INT(rip__join_slowly(o, &me), ==, 0);
}

void library_sweep(void *o)
{
    rip__sweep(rip__domain_of(o));
}

/* ---- slots ------------------------------------------------------------ */

static uint64_t *claim_of(const struct rip__domain *d, uint32_t i)
{
    return &rip__slot(d, i)->claim;
}

static bool is_free(const struct rip__domain *d, uint32_t i)
{
    return rip__phase(rip__load(claim_of(d, i))) == RIP__FREE;
}

static bool is_claimed(const struct rip__domain *d, uint32_t i)
{
    return rip__phase(rip__load(claim_of(d, i))) == RIP__CLAIMED;
}

/* Some member who lives and holds nothing, for the others to resemble. */
static const struct rip__slot *model(const struct rip__domain *d)
{
    uint32_t i = 1;
    while (is_free(d, i))
        i++;
    return rip__slot(d, i);
}

void library_settle(void *object, unsigned newcomers)
{
    const struct rip__domain *d = rip__domain_of(object);
    const struct rip__slot *someone = model(d);
    unsigned n = 0;
    for (uint32_t i = d->n_slots - 1; i > 0; i--)
        if (is_free(d, i) && n++ >= newcomers)
            memcpy(rip__slot(d, i), someone, d->stride);
    rip__store(&rip__roll(d)->slots_used, d->n_slots);
    *free_at_first = newcomers;
}

/* Of a slot that was only claimed no more is known than a number: it stays so
 * until nobody has that, be it a zombie. */
void library_none_lost(void *object)
{
    const struct rip__domain *d = rip__domain_of(object);
    unsigned n = 0;
    for (unsigned i = 0; i < d->n_slots; i++)
        library_sweep(object); /* each looks closely at another one */
    for (uint32_t i = 1; i < d->n_slots; i++)
        n += is_free(d, i) || (kill_pid_is_taken() && is_claimed(d, i));
    KILL_CHECK_INT(n, ==, *free_at_first);
}

bool library_is_first(void)
{
    return kill_who() == SEAT_SURVIVOR;
}
