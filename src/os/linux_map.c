/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <sys/mman.h>
#include <unistd.h>

static void *result(long r)
{
    return r < 0 && r > -4096 ? NULL : (void *)r;
}

static void *map_private(size_t size)
{
    return result(RIP__SYS(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
}

void *rip__os_wiped_map(size_t size)
{
    void *p = map_private(size);
    if (p && RIP__SYS(SYS_madvise, p, size, MADV_WIPEONFORK) < 0) {
        rip__os_unmap(p, size);
        p = NULL;
    }
    return p;
}

/* An old size of 0 makes mremap(2) keep the old mapping of shared memory. */
void *rip__os_map_again(void *shared, size_t size, size_t extra)
{
    void *p = map_private(size + extra);
    if (p && !result(RIP__SYS(SYS_mremap, shared, 0, size,
                              MREMAP_MAYMOVE | MREMAP_FIXED, p))) {
        rip__os_unmap(p, size + extra);
        p = NULL;
    }
    return p;
}

void rip__os_unmap(void *p, size_t size)
{
    if (p)
        RIP__SYS(SYS_munmap, p, size);
}

void rip__os_map_anew(void *p, size_t size)
{
    RIP__SYS(SYS_mmap, p, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

int rip__os_back(int fd, size_t offset, size_t size)
{
    long r;
    do
        r = RIP__SYS(SYS_fallocate, fd, 0, offset, size);
    while (r == -EINTR);
    return (int)r;
}

size_t rip__os_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}
