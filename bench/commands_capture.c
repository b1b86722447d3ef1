/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <ripstop/command.h>

/* A short output, from the start of the program to its end: echo, with stdout
 * and stderr captured. */

static int prepare(const void *arg)
{
    (void)arg;
    stay_on_one_cpu();
    return 0;
}

static int64_t check(const char *out, size_t len, size_t err_len, int64_t took)
{
    if (len != 2 || memcmp(out, "x\n", 2) != 0 || err_len != 0)
        return bench_fail("echo wrote something else");
    return took;
}

static int64_t run_ours(const void *arg)
{
    const char *const argv[] = { arg, "x", NULL };
    struct rip_output o;
    int64_t start = bench_now();
    int r = rip_run(argv, NULL, &o, RIP_FOREVER);
    int64_t took = bench_now() - start;
    if (r < 0)
        return bench_fail("rip_run: %s", rip_strerror(r));
    took = rip_exit_ok(&o.exit) ? took : bench_fail("echo failed");
    took = took < 0 ? took : check(o.out, o.out_len, o.err_len, took);
    rip_output_done(&o);
    return took;
}

/* To the end, or as much as there is room for. */
static size_t read_all(int fd, char *buf, size_t cap)
{
    size_t len = 0;
    ssize_t n;
    while (len < cap && (n = read(fd, buf + len, cap - len)) > 0)
        len += (size_t)n;
    return len;
}

/* One stream after the other, which is enough for a program that writes as
 * little as this one. */
static int64_t run_bare(const void *arg)
{
    char *const argv[] = { (char *)(uintptr_t)arg, (char[]){ "x" }, NULL };
    char out[4096], err[4096];
    int ours[3] = { -1, 0, 0 };
    int64_t start = bench_now();
    pid_t pid = start_bare(argv, ours);
    if (pid < 0)
        return bench_fail("vfork: %s", rip_strerror(pid));
    size_t out_len = read_all(ours[1], out, sizeof out);
    size_t err_len = read_all(ours[2], err, sizeof err);
    close(ours[1]);
    close(ours[2]);
    int r = wait_for(pid);
    int64_t took = bench_now() - start;
    if (r != 0)
        return bench_fail("echo failed");
    return check(out, out_len, err_len, took);
}

static const char *const python_args[] = { "capture", "echo", "x", NULL };

static const struct bench_figure figures[] = {
    {
        .name = "echo",
        .what = "rip_run of echo against vfork, exec, read, wait",
        .unit = BENCH_US,
        .pairs = 100,
        .samples = 9,
        .goal = 1.1,
        .ours = { prepare, run_ours, "/bin/echo" },
        .baseline = { prepare, run_bare, "/bin/echo" },
    },
    {
        .name = "echo-python",
        .what = "rip_run of echo against subprocess.run of CPython",
        .unit = BENCH_US,
        .pairs = 100,
        .samples = 9,
        .goal = 1 / 1.2,
        .ours = { prepare, run_ours, "echo" },
        .baseline = { prepare_python, run_python, python_args },
    },
};

const struct bench_topic capture_topic = { figures,
                                           sizeof figures / sizeof *figures };
