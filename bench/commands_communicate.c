/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include <ripstop/command.h>

/* A gigabyte into cat and out of it again. */

static const size_t size = 1 << 30;

/* ---- what goes in ----------------------------------------------------- */

static char *input;

/* A file in memory again and again, all of it mapped: its speed is that of the
 * cache, so that what is measured is the pumping and not the memory. */
static int prepare_input(void)
{
    const size_t part = 2 << 20;
    stay_on_one_cpu();
    int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)part) < 0)
        return bench_fail("memfd: %s", rip_strerror(-errno));
    input = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t at = 0; input != MAP_FAILED && at < size; at += part) {
        if (mmap(input + at, part, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_POPULATE | MAP_FIXED, fd, 0) == MAP_FAILED)
            return bench_fail("mmap: %s", rip_strerror(-errno));
    }
    if (input == MAP_FAILED)
        return bench_fail("mmap: %s", rip_strerror(-errno));
    memset(input, 'x', part);
    return 0;
}

/* ---- ours ------------------------------------------------------------- */

struct keeping {
    size_t max; /* of the output; 0: all of it */
};

static int communicate(const struct keeping *k, struct rip_output *o)
{
    const char *const argv[] = { "/bin/cat", NULL };
    rip_command *c;
    int r = rip_command_start(&c, argv,
                              &(struct rip_command_options){
                                  .in = { .kind = RIP_STDIO_PIPE },
                                  .out = { .kind = RIP_STDIO_PIPE },
                                  .max_output = k->max,
                              });
    if (r < 0)
        return r;
    r = rip_command_communicate(c, input, size, o, RIP_FOREVER);
    rip_command_free(c);
    return r;
}

static int check_ours(const struct keeping *k, const struct rip_output *o)
{
    size_t kept = k->max ? k->max : size;
    if (!rip_exit_ok(&o->exit))
        return bench_fail("cat failed");
    if (o->out_len != kept || o->truncated != (kept < size))
        return bench_fail("%zu bytes came back", o->out_len);
    return 0;
}

static int64_t run_ours(const void *arg)
{
    struct rip_output o;
    int64_t start = bench_now();
    int r = communicate(arg, &o);
    int64_t took = bench_now() - start;
    if (r < 0)
        return bench_fail("communicate: %s", rip_strerror(r));
    r = check_ours(arg, &o);
    rip_output_done(&o);
    return r < 0 ? r : took;
}

static int prepare_ours(const void *arg)
{
    const struct keeping *k = arg;
    if (!k->max && check_memory(size >> 20) < 0)
        return -1;
    return prepare_input();
}

/* ---- how much memory that takes --------------------------------------- */

static int64_t peak_memory(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss * 1024;
}

/* Before it was first run. */
static int64_t peak_before;

static int prepare_memory(const void *arg)
{
    int r = prepare_ours(arg);
    peak_before = peak_memory();
    return r;
}

static int64_t run_memory(const void *arg)
{
    struct rip_output o;
    int r = communicate(arg, &o);
    if (r < 0)
        return bench_fail("communicate: %s", rip_strerror(r));
    r = check_ours(arg, &o);
    int64_t grown = peak_memory() - peak_before - (int64_t)o.out_len;
    rip_output_done(&o);
    if (r < 0)
        return r;
    return grown > 0 ? grown : 0;
}

/* ---- a loop of one's own ---------------------------------------------- */

struct loop {
    ssize_t (*feed)(int fd, const char *data, size_t len);
    ssize_t (*drain)(int fd);
};

static ssize_t write_some(int fd, const char *data, size_t len)
{
    return write(fd, data, len);
}

static ssize_t read_some(int fd)
{
    static char buf[65536];
    return read(fd, buf, sizeof buf);
}

/* Gives the pipe the pages themselves. */
static ssize_t vmsplice_some(int fd, const char *data, size_t len)
{
    struct iovec v = { (void *)(uintptr_t)data, len };
    return vmsplice(fd, &v, 1, SPLICE_F_NONBLOCK);
}

static ssize_t splice_some(int fd)
{
    static int null = -1;
    if (null < 0)
        null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    return splice(fd, NULL, null, NULL, 65536, SPLICE_F_NONBLOCK);
}

/* The bytes that came back, or a negative errno value. */
static int64_t pump(const struct loop *loop, const int fds[3])
{
    struct pollfd p[] = { { .fd = fds[0], .events = POLLOUT },
                          { .fd = fds[1], .events = POLLIN } };
    size_t in = 0;
    int64_t out = 0;
    for (;;) {
        ssize_t n = 0;
        if (poll(p, 2, -1) < 0)
            return -errno;
        if (p[0].revents)
            n = loop->feed(p[0].fd, input + in, size - in);
        if (n < 0 && errno != EAGAIN)
            return -errno;
        in += n > 0 ? (size_t)n : 0;
        if (in == size && p[0].fd >= 0) {
            close(p[0].fd);
            p[0].fd = -1;
        }
        if (!p[1].revents)
            continue;
        n = loop->drain(p[1].fd);
        if (n == 0)
            return out;
        if (n < 0)
            return -errno;
        out += n;
    }
}

static int64_t run_loop(const void *arg)
{
    char *const argv[] = { (char[]){ "/bin/cat" }, NULL };
    int fds[3] = { 0, 0, -1 };
    int64_t start = bench_now();
    pid_t pid = start_bare(argv, fds);
    if (pid < 0)
        return bench_fail("vfork: %s", rip_strerror(pid));
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    int64_t out = pump(arg, fds);
    close(fds[1]);
    int r = wait_for(pid);
    int64_t took = bench_now() - start;
    if (out < 0)
        return bench_fail("the loop: %s", rip_strerror((int)out));
    if (r != 0 || out != (int64_t)size)
        return bench_fail("%jd bytes came back", (intmax_t)out);
    return took;
}

static int prepare_loop(const void *arg)
{
    (void)arg;
    return prepare_input();
}

/* ---- the figures ------------------------------------------------------ */

static const struct keeping little = { .max = 4096 };
static const struct keeping all = { .max = 0 };
static const struct loop read_write = { write_some, read_some };
static const struct loop splicing = { vmsplice_some, splice_some };

static const struct bench_figure figures[] = {
    {
        .name = "gigabyte-read",
        .what = "through cat and back, against a loop of poll, write, read",
        .unit = BENCH_MS,
        .pairs = 4,
        .samples = 1,
        .goal = 1 / 0.9,
        .ours = { prepare_ours, run_ours, &little },
        .baseline = { prepare_loop, run_loop, &read_write },
    },
    {
        .name = "gigabyte-splice",
        .what = "the same, against a loop of poll, vmsplice, splice",
        .unit = BENCH_MS,
        .pairs = 4,
        .samples = 1,
        .goal = 1 / 0.9,
        .ours = { prepare_ours, run_ours, &little },
        .baseline = { prepare_loop, run_loop, &splicing },
    },
    {
        .name = "gigabyte-memory",
        .what = "the same: the memory that it takes",
        .unit = BENCH_MIB,
        .pairs = 1,
        .samples = 1,
        .goal = 8,
        .ours = { prepare_memory, run_memory, &little },
    },
    {
        .name = "gigabyte-kept",
        .what = "the same, with all output kept: the memory besides it",
        .unit = BENCH_MIB,
        .pairs = 1,
        .samples = 1,
        .goal = 8,
        .ours = { prepare_memory, run_memory, &all },
    },
};

const struct bench_topic communicate_topic = { figures, sizeof figures /
                                                            sizeof *figures };
