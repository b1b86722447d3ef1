/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "spawn_ways.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <ripstop/base.h>

char spawn_program[PATH_MAX];

/* The process that starts the program. */
struct parent {
    size_t mib; /* of memory, touched */
    int fds;    /* open descriptors */
};

static const struct parent small = { .mib = 10, .fds = 10 };
static const struct parent big = { .mib = 1024, .fds = 10 };
static const struct parent many = { .mib = 10, .fds = 10000 };

/* What a side does: the way to spawn, and from what kind of parent. */
struct spawn {
    int (*once)(void);
    const struct parent *parent;
};

/* In pages of the usual size, whatever is set up here for huge ones: the
 * fewer pages, the less there is for a fork to copy. */
static int hold_memory(size_t mib)
{
    struct sysinfo si;
    size_t size = mib << 20;
    if (sysinfo(&si) == 0 && si.totalram / 4 * si.mem_unit < size)
        return bench_fail("that is over a quarter of this machine's memory");
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return bench_fail("%zu MiB: %s", mib, rip_strerror(-errno));
    madvise(p, size, MADV_NOHUGEPAGE);
    memset(p, 1, size);
    return 0;
}

/* Each is a file of its own and close-on-exec, as in a server. */
static int hold_descriptors(int fds)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int fd;
    do {
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return bench_fail("%d descriptors: %s (ulimit -Hn says %ju)", fds,
                              rip_strerror(-errno), (uintmax_t)limit.rlim_max);
    } while (fd < fds - 1);
    return 0;
}

static int prepare(const void *arg)
{
    const struct spawn *s = arg;
    if (s->once == spawn_libuv && spawn_libuv_missing())
        return bench_fail("%s", spawn_libuv_missing());
    if (hold_memory(s->parent->mib) < 0)
        return -1;
    return hold_descriptors(s->parent->fds);
}

static int64_t run(const void *arg)
{
    const struct spawn *s = arg;
    int64_t start = bench_now();
    int r = s->once();
    int64_t end = bench_now();
    if (r < 0)
        return bench_fail("%s: %s", spawn_program, rip_strerror(r));
    return r > 0 ? bench_fail("%s did not end well", spawn_program)
                 : end - start;
}

/* clang-format off: a table */
static const struct row {
    const char *name, *what;
    int pairs;
    double goal;
    struct spawn ours, baseline;
} rows[] = {
    { "posix_spawn",
      "against posix_spawn + waitpid",
      300,
      0.95,
      { spawn_ours, &small },
      { spawn_posix, &small } },
    { "vfork",
      "against vfork + execve + waitpid",
      300,
      0,
      { spawn_ours, &small },
      { spawn_vfork, &small } },
    { "fork",
      "against fork + execve + waitpid",
      100,
      0,
      { spawn_ours, &small },
      { spawn_fork, &small } },
    { "libuv",
      "against uv_spawn + uv_run",
      100,
      0,
      { spawn_ours, &small },
      { spawn_libuv, &small } },

    { "posix_spawn-1g",
      "both in a parent of 1 GiB",
      100,
      0,
      { spawn_ours, &big },
      { spawn_posix, &big } },
    { "vfork-1g",
      "both in a parent of 1 GiB",
      100,
      0,
      { spawn_ours, &big },
      { spawn_vfork, &big } },
    { "fork-1g",
      "both in a parent of 1 GiB",
      10,
      0,
      { spawn_ours, &big },
      { spawn_fork, &big } },
    { "libuv-1g",
      "both in a parent of 1 GiB",
      10,
      0,
      { spawn_ours, &big },
      { spawn_libuv, &big } },

    { "posix_spawn-10kfd",
      "both with 10,000 descriptors open",
      100,
      0,
      { spawn_ours, &many },
      { spawn_posix, &many } },
    { "vfork-10kfd",
      "both with 10,000 descriptors open",
      100,
      0,
      { spawn_ours, &many },
      { spawn_vfork, &many } },
    { "libuv-10kfd",
      "both with 10,000 descriptors open",
      100,
      0,
      { spawn_ours, &many },
      { spawn_libuv, &many } },

    { "pipes",
      "against posix_spawn, stdout and stderr in pipes",
      300,
      0,
      { spawn_ours_pipes, &small },
      { spawn_posix_pipes, &small } },
    { "pipes-10kfd",
      "the same, both with 10,000 descriptors open",
      100,
      0,
      { spawn_ours_pipes, &many },
      { spawn_posix_pipes, &many } },

    { "flat-1g",
      "ours in a parent of 1 GiB, against ours of 10 MiB",
      300,
      1.2,
      { spawn_ours, &big },
      { spawn_ours, &small } },
    { "flat-10kfd",
      "ours with 10,000 descriptors, against ours with 10",
      300,
      1.2,
      { spawn_ours, &many },
      { spawn_ours, &small } },
    { "flat-pipes-10kfd",
      "the same, stdout and stderr in pipes",
      300,
      3,
      { spawn_ours_pipes, &many },
      { spawn_ours_pipes, &small } },
};
/* clang-format on */

enum { ROWS = sizeof rows / sizeof *rows };

static struct bench_figure figure(const struct row *row)
{
    return (struct bench_figure){
        .name = row->name,
        .what = row->what,
        .unit = BENCH_US,
        .pairs = row->pairs,
        .samples = 9,
        .goal = row->goal,
        .ours = { prepare, run, &row->ours },
        .baseline = { prepare, run, &row->baseline },
    };
}

/* Both sides on one CPU. A child is put on this one or on another, as the
 * scheduler likes it at the time; to wake another can cost as much as the
 * spawn, and what is random would be measured. Whoever spawns sleeps until
 * the child has ended, so that a second CPU has no use here. */
static void stay_on_one_cpu(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
}

int main(int argc, char **argv)
{
    struct bench_figure figures[ROWS];
    for (int i = 0; i < ROWS; i++)
        figures[i] = figure(&rows[i]);
    stay_on_one_cpu();
    bench_path(spawn_program, sizeof spawn_program, "tiny");
    return bench_main(&(struct bench){ .figures = figures, .count = ROWS },
                      argc, argv);
}
