/* SPDX-License-Identifier: MIT */
#include "base/cpus.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ripstop/base.h>

#include "fault.h"
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

/* The mount shows the container's groups from /docker/f00 on. */
TEST(v1_group_below_the_top_of_its_mount)
{
    put("/proc/self/cgroup", "3:cpu:/docker/f00/mine\n");
    put("/proc/self/mountinfo",
        "41 39 0:34 /docker/f00 /sys/fs/cgroup/cpu rw - cgroup cgroup cpu\n");
    put("/sys/fs/cgroup/cpu/mine/cpu.cfs_quota_us", "200000\n");
    put("/sys/fs/cgroup/cpu/mine/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "500000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CHECK_INT(quota(), ==, 2);
}

TEST(more_cpus_than_can_be_counted_are_no_quota)
{
    put_v2("/a");
    put("/sys/fs/cgroup/a/cpu.max", "4294967296000 1\n");
    CHECK_INT(quota(), ==, UINT_MAX);
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

/* A container's hierarchy with a name as long as a path can have it. */
TEST(v1_options_and_paths_may_be_long)
{
    char name[256], options[1024];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    memset(options, 'o', sizeof options - 1);
    options[sizeof options - 1] = 0;
    put("/proc/self/cgroup", "3:cpu:/%s\n", name);
    put("/proc/self/mountinfo",
        "41 39 0:34 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,%s,cpu\n",
        options);
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "700000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CHECK_INT(quota(), ==, 7);
}

TEST(a_mount_table_that_is_cut_is_no_quota)
{
    put("/proc/self/cgroup", "0::/\n");
    put("/proc/self/mountinfo", "30 22 0:26 - cgroup2 cgroup2 rw\n"
                                "30 22 0:26 / /sys/fs/cgroup - cgroup2\n"
                                "30\n");
    CHECK_INT(quota(), ==, UINT_MAX);
}

/* ---- faults ----------------------------------------------------------- */

/* Files that cannot be read, or no memory to read them, hide quotas, and do
 * no other harm. */
static void count_with_quotas(void *arg)
{
    unsigned n = rip__cpu_quota("fake");
    (void)arg;
    CHECK(n == 3 || n == 5 || n == UINT_MAX);
    CHECK_INT(rip_cpu_count(), >=, 1);
}

TEST_WITH(counting_survives_every_fault, .deadline = 60)
{
    put("/proc/self/cgroup", "3:cpu:/\n0::/a\n");
    put("/proc/self/mountinfo",
        "30 22 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n"
        "41 39 0:34 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "500000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    CHECK_INT(rip__cpu_quota("fake"), ==, 3);
    CHECK_INT(fault_sweep(count_with_quotas, NULL, NULL), >, 40);
    CHECK_INT(system("rm -r fake"), ==, 0);
}

static void *count_in_thread(void *ret)
{
    *(unsigned *)ret = rip_cpu_count();
    return NULL;
}

/* Beside what glibc itself may need to start a thread. */
TEST(a_thread_with_a_small_stack_can_ask)
{
    unsigned n = 0;
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    CHECK_INT(
        pthread_attr_setstacksize(&attr, (size_t)sysconf(_SC_THREAD_STACK_MIN)),
        ==, 0);
    CHECK_INT(pthread_create(&thread, &attr, count_in_thread, &n), ==, 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    CHECK_INT(n, ==, rip_cpu_count());
}

/* ---- affinity --------------------------------------------------------- */

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
