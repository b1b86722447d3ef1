/* SPDX-License-Identifier: MIT */
#include "world.h"
#include "seat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };

static struct kill_memory memory;
static unsigned char *kept;

static void *map(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("kill: mmap");
        exit(2);
    }
    return p;
}

static void plain_memory(size_t size, struct kill_memory *ret)
{
    ret->len = (size + PAGE - 1) / PAGE * PAGE;
    ret->lo = ret->object = map(ret->len);
}

void *world_make(const struct kill_object *o)
{
    (o->memory != NULL ? o->memory : plain_memory)(o->size, &memory);
    kept = map(memory.len);
    kill_share_nothing();
    kill_share(memory.lo, memory.len);
    return memory.object;
}

void world_keep(void)
{
    memcpy(kept, memory.lo, memory.len);
}

/* Most pages are as they were, and to compare them is cheaper than to write
 * them. */
void world_reset(void)
{
    unsigned char *lo = memory.lo;
    for (size_t at = 0; at < memory.len; at += PAGE)
        if (memcmp(lo + at, kept + at, PAGE) != 0)
            memcpy(lo + at, kept + at, PAGE);
}
