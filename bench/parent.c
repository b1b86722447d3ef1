/* SPDX-License-Identifier: MIT */
#include "parent.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <ripstop/base.h>

int check_memory(size_t mib)
{
    struct sysinfo si;
    if (sysinfo(&si) == 0 && si.totalram / 4 * si.mem_unit < mib << 20)
        return bench_fail("%zu MiB are over a quarter of this machine's memory",
                          mib);
    return 0;
}

/* In pages of the usual size, whatever is set up here for huge ones: the
 * fewer pages, the less there is for a fork to copy. */
static int hold_memory(size_t mib)
{
    size_t size = mib << 20;
    if (check_memory(mib) < 0)
        return -1;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return bench_fail("%zu MiB: %s", mib, rip_strerror(-errno));
    madvise(p, size, MADV_NOHUGEPAGE);
    memset(p, 1, size);
    return 0;
}

/* To what most systems begin with, unless more are held: there are peers that
 * try each number up to the limit. */
static rlim_t limit_descriptors(int fds)
{
    const rlim_t usual = 1024, spare = 64;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = (rlim_t)fds + spare;
    if (limit.rlim_cur < usual)
        limit.rlim_cur = usual;
    if (limit.rlim_cur > limit.rlim_max)
        limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max;
}

/* Each is a file of its own and close-on-exec, as in a server. */
static int hold_descriptors(int fds)
{
    rlim_t most = limit_descriptors(fds);
    int fd;
    do {
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return bench_fail("%d descriptors: %s (ulimit -Hn says %ju)", fds,
                              rip_strerror(-errno), (uintmax_t)most);
    } while (fd < fds - 1);
    return 0;
}

/* ---- CPUs and threads ------------------------------------------------- */

/* All that this process may use but the one that it stays on. */
static cpu_set_t others;

/* The last one that it may use, as the first tends to serve interrupts. */
void stay_on_one_cpu(void)
{
    int last = CPU_SETSIZE - 1;
    cpu_set_t one;
    sched_getaffinity(0, sizeof others, &others);
    while (last > 0 && !CPU_ISSET(last, &others))
        last--;
    CPU_CLR(last, &others);
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static void *sleep_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void *compute_for_ever(void *arg)
{
    for (volatile unsigned long n = 0;; n++)
        ;
    return arg;
}

/* Those that compute do so where they take no time from the one that starts
 * programs. They are busy while the other side has its turn as well: that the
 * machine is so happens to both, whose threads they are does not. */
static int hold_threads(const struct parent *p)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    if (p->busy && CPU_COUNT(&others) == 0)
        return bench_fail("busy threads need a CPU of their own");
    if (p->busy)
        pthread_attr_setaffinity_np(&attr, sizeof others, &others);
    for (int i = 1; i < p->threads; i++) {
        pthread_t thread;
        int r = pthread_create(
            &thread, &attr, p->busy ? compute_for_ever : sleep_for_ever, NULL);
        if (r != 0)
            return bench_fail("%d threads: %s", p->threads, rip_strerror(-r));
    }
    pthread_attr_destroy(&attr);
    return 0;
}

int become_parent(const struct parent *p)
{
    stay_on_one_cpu();
    if (hold_memory(p->mib) < 0 || hold_descriptors(p->fds) < 0)
        return -1;
    return hold_threads(p);
}
