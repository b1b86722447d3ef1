/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/* UINT64_MAX: there is none. */
static uint64_t limit_of(int resource)
{
    uint64_t limit[2] = { 0 }; /* the kernel's struct rlimit64: soft, hard */
    return RIP__SYS(SYS_prlimit64, 0, resource, NULL, limit) < 0 ? UINT64_MAX
                                                                 : limit[0];
}

/* Whether a file may become so large: beyond RLIMIT_FSIZE the kernel does not
 * only refuse, it sends SIGXFSZ. */
static bool is_allowed_size(size_t size)
{
    return size <= limit_of(RLIMIT_FSIZE);
}

static int shape(int fd, size_t size)
{
    long r;
    do
        r = RIP__SYS(SYS_ftruncate, fd, size);
    while (r == -EINTR);
    if (r == 0)
        r = RIP__SYS(SYS_fchmod, fd, 0600);
    if (r == 0)
        r = RIP__SYS(SYS_fcntl, fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL);
    return (int)r;
}

int rip__os_memory_new(const char *name, size_t size)
{
    char text[200];
    if (!is_allowed_size(size))
        return -EFBIG;
    snprintf(text, sizeof text, "ripstop:%s", name);
    int fd = rip__raise_above_2(
        (int)RIP__SYS(SYS_memfd_create, text, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    int r = fd < 0 ? fd : shape(fd, size);
    if (r < 0)
        rip__os_close(fd);
    return r < 0 ? r : fd;
}

#define SEALED (SEALS | F_SEAL_WRITE | F_SEAL_SEAL)

int rip__os_parcel_new(size_t size)
{
    if (!is_allowed_size(size))
        return -EFBIG;
    return rip__raise_above_2((int)RIP__SYS(SYS_memfd_create, "ripstop-message",
                                            MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

int rip__os_parcel_seal(int fd)
{
    return (int)RIP__SYS(SYS_fcntl, fd, F_ADD_SEALS, SEALED);
}

int rip__os_parcel_check(int fd, size_t size)
{
    struct statx st;
    long seals = RIP__SYS(SYS_fcntl, fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALED) != SEALED)
        return -EBADMSG;
    long r = RIP__SYS(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_SIZE, &st);
    if (r < 0)
        return (int)r;
    return st.stx_size == size ? 0 : -EBADMSG;
}

int rip__os_memory_look(int fd, struct rip__os_memory *ret)
{
    struct statx st;
    long r = RIP__SYS(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st);
    long seals = r < 0 ? r : RIP__SYS(SYS_fcntl, fd, F_GET_SEALS);
    if (seals < 0)
        return (int)seals;
    *ret = (struct rip__os_memory){
        .size = (size_t)st.stx_size,
        .device = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor,
        .inode = st.stx_ino,
        .owner = st.stx_uid,
        .is_fixed = (seals & SEALS) == SEALS,
    };
    return 0;
}

static int map(void **ret, void *at, size_t size, int protection, int flags,
               int fd)
{
    long r = RIP__SYS(SYS_mmap, at, size, protection,
                      flags | MAP_NORESERVE | (at ? MAP_FIXED : 0), fd, 0);
    if (r < 0 && r > -4096)
        return (int)r;
    *ret = (void *)r;
    return 0;
}

int rip__os_memory_map(void **ret, int fd, size_t size, void *at)
{
    int r = map(ret, at, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    if (r == 0)
        (void)RIP__SYS(SYS_madvise, *ret, size, MADV_DONTDUMP);
    return r;
}

int rip__os_memory_map_free(int fd, size_t size, void *at)
{
    void *got;
    int r = map(&got, at, size, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_FIXED_NOREPLACE, fd);
    if (r == 0)
        (void)RIP__SYS(SYS_madvise, at, size, MADV_DONTDUMP);
    return r;
}

void rip__os_memory_dump(void *at, size_t len)
{
    (void)RIP__SYS(SYS_madvise, at, len, MADV_DODUMP);
}

int rip__os_memory_back(void *at, size_t len)
{
    size_t page = rip__os_page();
    size_t before = (uintptr_t)at & (page - 1);
    long r;
    do
        r = RIP__SYS(SYS_madvise, (uintptr_t)at - before,
                     (len + before + page - 1) & ~(page - 1),
                     MADV_POPULATE_WRITE);
    while (r == -EINTR);
    if (r == -EINVAL || rip__is_missing(r))
        return -EOPNOTSUPP;
    return r < 0 ? -ENOMEM : 0;
}

int rip__os_memory_drop(void *at, size_t len)
{
    return (int)RIP__SYS(SYS_madvise, at, len, MADV_REMOVE);
}

ssize_t rip__os_read_at(int fd, void *buf, size_t cap, size_t offset)
{
    long r;
    do
        r = RIP__SYS(SYS_pread64, fd, buf, cap, offset);
    while (r == -EINTR);
    return r;
}

ssize_t rip__os_write_at(int fd, const void *buf, size_t len, size_t offset)
{
    long r;
    do
        r = RIP__SYS(SYS_pwrite64, fd, buf, len, offset);
    while (r == -EINTR);
    return r;
}

int rip__os_reserve(void **ret, size_t size, void *at)
{
    return map(ret, at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

bool rip__os_address_space_is_limited(void)
{
    return limit_of(RLIMIT_AS) != UINT64_MAX;
}
