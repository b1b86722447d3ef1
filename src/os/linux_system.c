/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

/* Through the vDSO, so not through the seam; it can not fail. */
static rip_time read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (rip_time)t.tv_sec * 1000000000 + t.tv_nsec;
}

rip_time rip__os_clock(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

rip_time rip__os_clock_coarse(void)
{
    return read_clock(CLOCK_MONOTONIC_COARSE);
}

int64_t rip__os_peak_memory(void)
{
    struct rusage usage = { 0 };
    if (RIP__SYS(SYS_getrusage, RUSAGE_SELF, &usage) < 0)
        return 0;
    return (int64_t)usage.ru_maxrss * 1024;
}

ssize_t rip__os_program(char *buf, size_t cap)
{
    long r = RIP__SYS(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", buf, cap);
    if (r == (long)cap)
        return -ENAMETOOLONG;
    if (r >= 0)
        buf[r] = 0;
    return r;
}

unsigned rip__os_affinity_count(void)
{
    /* The kernel refuses a mask that is shorter than its own, which can be
     * longer than cpu_set_t: it can be built for 8192 CPUs. */
    unsigned long mask[16384 / (8 * sizeof(unsigned long))];
    long bytes = RIP__SYS(SYS_sched_getaffinity, 0, sizeof mask, mask);
    unsigned count = 0;
    for (size_t i = 0; bytes > 0 && i < (size_t)bytes / sizeof *mask; i++)
        count += (unsigned)__builtin_popcountl(mask[i]);
    return count > 0 ? count : 1;
}
