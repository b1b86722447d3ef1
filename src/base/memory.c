/* SPDX-License-Identifier: MIT */
#include "base/base.h"

#include "base/atomic.h"
#include "os/os.h"

void *rip__alloc(size_t size)
{
    void *p = rip__seam.resize(NULL, size ? size : 1);
    return p ? memset(p, 0, size) : NULL;
}

void *rip__alloc_array(size_t n, size_t size)
{
    size_t all;
    return rip__multiply(n, size, &all) ? rip__alloc(all) : NULL;
}

char *rip__strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *p = rip__seam.resize(NULL, size);
    return p ? memcpy(p, s, size) : NULL;
}

void rip__free(void *p)
{
    rip__seam.release(p);
}

void *rip__process_state(void **at, size_t size)
{
    void *seen = rip__load(at);
    void *made = seen ? NULL : rip__os_wiped_map(size);
    if (!made)
        return seen;
    if (__atomic_compare_exchange_n(at, &seen, made, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return made;
    rip__os_unmap(made, size); /* another thread was faster */
    return seen;
}
