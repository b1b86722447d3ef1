/* SPDX-License-Identifier: MIT */
#include "base/cpus.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/cgroup.h"
#include "os/os.h"

/*
 * A CPU quota may stand in our control group or in any above it, as
 * "quota period" microseconds in cpu.max (version 2) or in two files
 * (version 1). Where there is no memory, or a file cannot be read, there is no
 * quota that we would know of.
 */

/* The quota of one group in CPUs, rounded up; UINT_MAX: none. */
static unsigned quota_of(const char *root, const char *dir, bool v2)
{
    char text[64], more[64], *end;
    if (!rip__cgroup_read(root, dir, v2 ? "/cpu.max" : "/cpu.cfs_quota_us",
                          text, sizeof text))
        return UINT_MAX;
    long long quota = strtoll(text, &end, 10); /* 0 for "max" */
    if (!v2) {
        if (!rip__cgroup_read(root, dir, "/cpu.cfs_period_us", more,
                              sizeof more))
            return UINT_MAX;
        end = more;
    }
    long long period = strtoll(end, NULL, 10);
    if (quota <= 0 || period <= 0)
        return UINT_MAX;
    long long cpus = quota / period + (quota % period != 0);
    return cpus < UINT_MAX ? (unsigned)cpus : UINT_MAX;
}

/* The least quota of the groups from `dir` up to the mount, which is its
 * first `mount_len` bytes. */
static unsigned least_quota(const char *root, char *dir, size_t mount_len,
                            bool v2)
{
    unsigned least = UINT_MAX;
    for (;;) {
        unsigned cpus = quota_of(root, dir, v2);
        least = cpus < least ? cpus : least;
        char *slash = strrchr(dir, '/');
        if (!slash || slash < dir + mount_len)
            return least;
        *slash = 0;
    }
}

static unsigned hierarchy_quota(const char *root, bool v2)
{
    unsigned least = UINT_MAX;
    size_t mount_len;
    char *dir = rip__cgroup_path(root, v2 ? NULL : "cpu", &mount_len);
    if (dir)
        least = least_quota(root, dir, mount_len, v2);
    rip__free(dir);
    return least;
}

unsigned rip__cpu_quota(const char *root)
{
    unsigned v1 = hierarchy_quota(root, false);
    unsigned v2 = hierarchy_quota(root, true);
    return v1 < v2 ? v1 : v2;
}

unsigned rip_cpu_count(void)
{
    unsigned usable = rip__os_affinity_count();
    unsigned quota = rip__cpu_quota("");
    return quota < usable ? quota : usable;
}

/* ---- sets ------------------------------------------------------------- */

int rip__cpu_mask(uint64_t **ret, size_t *size, const unsigned *cpus, size_t n)
{
    enum { MOST = 65536 }; /* more than the kernel can be built for */
    unsigned highest = 0;
    *ret = NULL;
    *size = 0;
    for (size_t i = 0; i < n; i++) {
        if (cpus[i] >= MOST)
            return -EINVAL;
        highest = cpus[i] > highest ? cpus[i] : highest;
    }
    if (n == 0)
        return 0;
    uint64_t *mask = rip__alloc_array(highest / 64 + 1, sizeof *mask);
    if (!mask)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        mask[cpus[i] / 64] |= UINT64_C(1) << cpus[i] % 64;
    *ret = mask;
    *size = (highest / 64 + 1) * sizeof *mask;
    return 0;
}
