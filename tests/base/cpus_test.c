/* SPDX-License-Identifier: MIT */
#include "base/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ripstop/base.h>

#include "harness.h"

/* A tree of made-up files, below the test's own directory. */
static void put(const char *path, const char *format, ...)
{
    char full[512];
    snprintf(full, sizeof full, "fake%s", path);
    for (char *s = full; *s; s++) {
        if (*s == '/') {
            *s = 0;
            mkdir(full, 0777);
            *s = '/';
        }
    }
    FILE *f = fopen(full, "w");
    CHECK(f != NULL);
    va_list ap;
    va_start(ap, format);
    vfprintf(f, format, ap);
    va_end(ap);
    fclose(f);
}

static unsigned quota(void)
{
    unsigned n = rip__cpu_quota("fake");
    CHECK_INT(system("rm -r fake"), ==, 0);
    return n;
}

static void put_v2(const char *group)
{
    put("/proc/self/cgroup", "1:name=systemd:/x\n0::%s\n", group);
    put("/proc/self/mountinfo",
        "22 1 0:20 / /sys rw - sysfs sysfs rw\n"
        "30 22 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n");
}

TEST(no_cgroup_is_no_quota)
{
    put("/proc/self/nothing", "%s", "");
    CHECK_INT(quota(), ==, UINT_MAX);
}

TEST(v2_quota_is_rounded_up)
{
    put_v2("/a/b");
    put("/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
    CHECK_INT(quota(), ==, 2);
}

TEST(v2_the_least_of_all_groups_above_counts)
{
    put_v2("/a/b");
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    put("/sys/fs/cgroup/cpu.max", "800000 100000\n");
    CHECK_INT(quota(), ==, 3);
}

TEST(v2_nonsense_is_no_quota)
{
    put_v2("/a");
    put("/sys/fs/cgroup/a/cpu.max", "-5 0\n");
    CHECK_INT(quota(), ==, UINT_MAX);
}

TEST(v1_quota_in_a_container)
{
    put("/proc/self/cgroup", "4:cpuset:/no\n3:cpu,cpuacct:/docker/f00\n");
    put("/proc/self/mountinfo",
        "40 39 0:33 /docker/f00 /sys/fs/cgroup/cpuset rw - cgroup cgroup "
        "rw,cpuset\n"
        "41 39 0:34 /docker/f00 /sys/fs/cgroup/cpu,cpuacct rw shared:1 - "
        "cgroup cgroup rw,cpu,cpuacct\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    CHECK_INT(quota(), ==, 1);
}

TEST(v1_minus_one_is_no_quota)
{
    put("/proc/self/cgroup", "3:cpu:/\n");
    put("/proc/self/mountinfo",
        "41 39 0:34 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CHECK_INT(quota(), ==, UINT_MAX);
}

TEST(affinity_counts)
{
    cpu_set_t one;
    int first = sched_getcpu();
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CHECK_INT(rip_cpu_count(), <=, sysconf(_SC_NPROCESSORS_ONLN));
    CHECK_INT(sched_setaffinity(0, sizeof one, &one), ==, 0);
    CHECK_INT(rip_cpu_count(), ==, 1);
}
