/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

#include <ripstop/base.h>

static const struct parent small = { .mib = 10, .fds = 10 };
static const struct parent gib1 = { .mib = 1024, .fds = 10 };
static const struct parent gib2 = { .mib = 2048, .fds = 10 };
static const struct parent fds10k = { .mib = 10, .fds = 10000 };
static const struct parent idle = { .mib = 10, .fds = 10, .threads = 16 };
static const struct parent busy = {
    .mib = 10, .fds = 10, .threads = 16, .busy = true
};

/* A way to start a program. A peer that is a library is loaded only by the
 * side that measures it: else all parents would be larger, and slower to
 * fork. */
struct way {
    spawn_fn *spawn;
    const char *library, *function; /* instead */
    const char *absent;             /* what is said without that library */
};

static const struct way ours = { .spawn = spawn_ours };
static const struct way ours_pipes = { .spawn = spawn_ours_pipes };
static const struct way ours_options = { .spawn = spawn_ours_options };
static const struct way posix = { .spawn = spawn_posix };
static const struct way posix_pipes = { .spawn = spawn_posix_pipes };
static const struct way by_vfork = { .spawn = spawn_vfork };
static const struct way by_fork = { .spawn = spawn_fork };
static const struct way reproc = { .spawn = spawn_reproc };
static const struct way libuv = {
    .library = "peer_libuv.so",
    .function = "spawn_libuv",
    .absent = "built without libuv (Debian package libuv1-dev)",
};
static const struct way glib = {
    .library = "peer_glib.so",
    .function = "spawn_glib",
    .absent = "built without GLib (Debian package libglib2.0-dev)",
};
static const struct way gsubprocess = {
    .library = "peer_glib.so",
    .function = "spawn_gsubprocess",
    .absent = "built without GLib (Debian package libglib2.0-dev)",
};

struct spawn {
    const struct way *way;
    const struct parent *parent;
};

/* Of the one side that this process is. */
static spawn_fn *spawn_once;
static char program[PATH_MAX];

static int load(const struct way *way)
{
    char path[PATH_MAX];
    bench_path(path, sizeof path, way->library);
    if (access(path, F_OK) < 0)
        return bench_fail("%s", way->absent);
    void *library = dlopen(path, RTLD_NOW);
    if (library)
        *(void **)&spawn_once = dlsym(library, way->function);
    return spawn_once ? 0 : bench_fail("%s", dlerror());
}

static int prepare(const void *arg)
{
    const struct spawn *s = arg;
    bench_path(program, sizeof program, "tiny");
    spawn_once = s->way->spawn;
    if (!spawn_once && load(s->way) < 0)
        return -1;
    if (become_parent(s->parent) < 0)
        return -1;
    int r = spawn_once(program);
    if (r == -EPERM || r == -EACCES) /* to be somebody else, who reaches it */
        return bench_fail("%s: %s", program, rip_strerror(r));
    return 0;
}

static int64_t run(const void *arg)
{
    (void)arg;
    int64_t start = bench_now();
    int r = spawn_once(program);
    int64_t end = bench_now();
    if (r < 0)
        return bench_fail("%s: %s", program, rip_strerror(r));
    return r > 0 ? bench_fail("%s did not end well", program) : end - start;
}

static int prepare_spawn_python(const void *args)
{
    bench_path(program, sizeof program, "tiny");
    return prepare_python(args);
}

static const char *const python_args[] = { "spawn", program, NULL };

/* ---- the figures ------------------------------------------------------ */

/* clang-format off */
#define SPAWN(way, parent) \
    { prepare, run, &(const struct spawn){ &(way), &(parent) } }
#define PYTHON { prepare_spawn_python, run_python, python_args }
/* clang-format on */

/* Name, what, unit, pairs, samples, goal, ours, baseline. */
static const struct bench_figure figures[] = {
    { "posix_spawn", "against posix_spawn + waitpid", BENCH_US, 300, 9, 0.95,
      SPAWN(ours, small), SPAWN(posix, small) },
    { "vfork", "against vfork + execve + waitpid", BENCH_US, 300, 9, 0,
      SPAWN(ours, small), SPAWN(by_vfork, small) },
    { "fork", "against fork + execve + waitpid", BENCH_US, 100, 9, 0,
      SPAWN(ours, small), SPAWN(by_fork, small) },
    { "libuv", "against uv_spawn + uv_run", BENCH_US, 100, 9, 1,
      SPAWN(ours, small), SPAWN(libuv, small) },
    { "glib", "against g_spawn_async + a child watch", BENCH_US, 100, 9, 1,
      SPAWN(ours, small), SPAWN(glib, small) },
    { "gsubprocess", "against GSubprocess", BENCH_US, 100, 9, 1,
      SPAWN(ours, small), SPAWN(gsubprocess, small) },
    { "reproc", "against the way of reproc", BENCH_US, 100, 9, 1,
      SPAWN(ours, small), SPAWN(reproc, small) },
    { "python", "against Popen + wait of CPython", BENCH_US, 100, 9, 1,
      SPAWN(ours, small), PYTHON },

    { "posix_spawn-1g", "both in a parent of 1 GiB", BENCH_US, 100, 9, 0,
      SPAWN(ours, gib1), SPAWN(posix, gib1) },
    { "vfork-1g", "both in a parent of 1 GiB", BENCH_US, 100, 9, 0,
      SPAWN(ours, gib1), SPAWN(by_vfork, gib1) },
    { "fork-1g", "both in a parent of 1 GiB", BENCH_US, 10, 9, 0,
      SPAWN(ours, gib1), SPAWN(by_fork, gib1) },
    { "libuv-1g", "both in a parent of 1 GiB", BENCH_US, 10, 9, 0,
      SPAWN(ours, gib1), SPAWN(libuv, gib1) },

    { "posix_spawn-10kfd", "both with 10,000 descriptors", BENCH_US, 100, 9, 0,
      SPAWN(ours, fds10k), SPAWN(posix, fds10k) },
    { "vfork-10kfd", "both with 10,000 descriptors", BENCH_US, 100, 9, 0,
      SPAWN(ours, fds10k), SPAWN(by_vfork, fds10k) },
    { "libuv-10kfd", "both with 10,000 descriptors", BENCH_US, 100, 9, 0,
      SPAWN(ours, fds10k), SPAWN(libuv, fds10k) },

    { "pipes", "against posix_spawn, out and err in pipes", BENCH_US, 300, 9, 0,
      SPAWN(ours_pipes, small), SPAWN(posix_pipes, small) },
    { "pipes-10kfd", "both with 10,000 descriptors", BENCH_US, 100, 9, 0,
      SPAWN(ours_pipes, fds10k), SPAWN(posix_pipes, fds10k) },

    { "flat-2g", "ours in 2 GiB against 10 MiB", BENCH_US, 300, 9, 1.2,
      SPAWN(ours, gib2), SPAWN(ours, small) },
    { "flat-threads", "ours with 16 threads against 1", BENCH_US, 300, 9, 1.2,
      SPAWN(ours, idle), SPAWN(ours, small) },
    { "flat-busy", "ours with 15 other threads busy", BENCH_US, 100, 9, 0,
      SPAWN(ours, busy), SPAWN(ours, small) },
    { "flat-10kfd", "ours with 10,000 descriptors against 10", BENCH_US, 300, 9,
      1.2, SPAWN(ours, fds10k), SPAWN(ours, small) },
    { "flat-pipes-10kfd", "the same with pipes", BENCH_US, 300, 9, 3,
      SPAWN(ours_pipes, fds10k), SPAWN(ours_pipes, small) },

    { "options", "ours with user, directory, limits, against without", BENCH_US,
      300, 9, 0, SPAWN(ours_options, small), SPAWN(ours, small) },
    { "flat-options-1g", "with them in 1 GiB against 10 MiB", BENCH_US, 300, 9,
      1.2, SPAWN(ours_options, gib1), SPAWN(ours_options, small) },
};

const struct bench_topic spawn_topic = { figures,
                                         sizeof figures / sizeof *figures };
