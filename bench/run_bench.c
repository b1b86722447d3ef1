/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <ripstop/ripstop.h>

enum { JOBS = 2000 };

/* ---- programs --------------------------------------------------------- */

/* What `program --version` says, on whichever stream; empty when there is no
 * such program. */
static void ask_version(const char *program, char *buf, size_t cap)
{
    const char *const argv[] = { program, "--version", NULL };
    struct rip_command_options options = { .err.kind = RIP_STDIO_STDOUT };
    struct rip_output o;
    buf[0] = '\0';
    if (rip_run(argv, &options, &o, rip_after(10)) < 0)
        return;
    snprintf(buf, cap, "%s", o.out);
    rip_output_done(&o);
}

static bool says(const char *program, const char *text)
{
    char version[4096];
    ask_version(program, version, sizeof version);
    return strstr(version, text);
}

static char ripstop[PATH_MAX];

static const char *find_ripstop(void)
{
    return ripstop;
}

static const char *find_xargs(void)
{
    return "xargs";
}

static const char *find_gnu_parallel(void)
{
    return says("parallel", "GNU parallel") ? "parallel" : NULL;
}

/* Where both are installed Debian calls this one parallel.moreutils. It knows
 * no --version, and answers with how it is used. */
static const char *find_moreutils_parallel(void)
{
    static const char *const names[] = { "parallel.moreutils", "parallel" };
    for (int i = 0; i < 2; i++) {
        if (says(names[i], "command -- arguments"))
            return names[i];
    }
    return NULL;
}

static void print_versions(void)
{
    const char *const peers[] = { find_xargs(), find_gnu_parallel() };
    for (int i = 0; i < 2; i++) {
        char version[4096] = "";
        if (peers[i])
            ask_version(peers[i], version, sizeof version);
        if (version[0])
            printf("# %.*s\n", (int)strcspn(version, "\n"), version);
    }
}

/* ---- a command line, measured as a whole ------------------------------ */

struct job {
    const char *(*find)(void); /* its program; NULL when it is not there */
    const char *absent;        /* what is said then */
    const char *args[8];
    int inputs; /* 1, 2, 3 ... as further arguments */
    int lines;  /* 1, 2, 3 ... on stdin */
};

/* Of the one side that this process is. */
static const char *job_argv[1 + 8 + JOBS + 1];

static void set_job_argv(const struct job *job, const char *program)
{
    static char inputs[JOBS][12];
    int n = 0;
    job_argv[n++] = program;
    for (int i = 0; job->args[i]; i++)
        job_argv[n++] = job->args[i];
    for (int i = 0; i < job->inputs; i++) {
        snprintf(inputs[i], sizeof inputs[i], "%d", i + 1);
        job_argv[n++] = inputs[i];
    }
}

static int open_lines(int count)
{
    int fd = memfd_create("lines", MFD_CLOEXEC);
    for (int i = 1; i <= count; i++)
        dprintf(fd, "%d\n", i);
    return fd;
}

/* The streams are set up once and inherited. Output is dropped on both sides:
 * a terminal is slower than all of this, and makes ripstop draw its progress.
 */
static int prepare(const void *arg)
{
    const struct job *job = arg;
    const char *program = job->find();
    if (!program)
        return bench_fail("%s", job->absent);
    set_job_argv(job, program);
    int in = open_lines(job->lines);
    int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        return bench_fail("dup2: %s", rip_strerror(-errno));
    return 0;
}

static int fail_to_start(const struct rip_failure *f)
{
    char text[160];
    rip_failure_format(f, text, sizeof text);
    return bench_fail("%s", text);
}

static int check_end(const struct rip_exit *end)
{
    char text[RIP_EXIT_TEXT];
    if (rip_exit_ok(end))
        return 0;
    rip_exit_format(end, text, sizeof text);
    return bench_fail("%s %s", job_argv[0], text);
}

static int run(struct rip_exit *end)
{
    struct rip_failure failure;
    rip_command *c;
    lseek(0, 0, SEEK_SET);
    if (rip_command_start(
            &c, job_argv,
            &(struct rip_command_options){ .failure = &failure }) < 0)
        return fail_to_start(&failure);
    int r = rip_command_wait(c, end, RIP_FOREVER);
    rip_command_free(c);
    return r < 0 ? bench_fail("wait: %s", rip_strerror(r)) : check_end(end);
}

static int64_t run_time(const void *arg)
{
    (void)arg;
    struct rip_exit end = { 0 };
    int64_t start = bench_now();
    int r = run(&end);
    return r < 0 ? r : bench_now() - start;
}

static int64_t run_time_per_line(const void *arg)
{
    const struct job *job = arg;
    int64_t t = run_time(arg);
    return t < 0 ? t : t / job->lines;
}

/* Where it held no more than this process does, that is all that can be said.
 */
static int64_t run_memory(const void *arg)
{
    (void)arg;
    struct rip_exit end = { 0 };
    struct rusage own;
    int r = run(&end);
    getrusage(RUSAGE_SELF, &own);
    if (r < 0)
        return r;
    return end.max_rss_bytes ? end.max_rss_bytes : own.ru_maxrss * 1024;
}

/* ---- the figures ------------------------------------------------------ */

static const struct job ripstop_lines = {
    .find = find_ripstop,
    .args = { "run", "-j2", "true" },
    .lines = JOBS,
};
static const struct job xargs_lines = {
    .find = find_xargs,
    .args = { "-P2", "-n1", "true" },
    .lines = JOBS,
};
static const struct job gnu_lines = {
    .find = find_gnu_parallel,
    .absent = "no GNU parallel here (Debian package parallel)",
    .args = { "-j2", "true" },
    .lines = JOBS,
};

/* The parallel of moreutils reads no inputs from stdin. */
static const struct job ripstop_inputs = {
    .find = find_ripstop,
    .args = { "run", "-j2", "true", ":::" },
    .inputs = JOBS,
};
static const struct job moreutils_inputs = {
    .find = find_moreutils_parallel,
    .absent = "no parallel of moreutils here (Debian package moreutils)",
    .args = { "-j2", "true", "--" },
    .inputs = JOBS,
};

static const struct job ripstop_once = {
    .find = find_ripstop,
    .args = { "run", "true", ":::", "1" },
};
static const struct job xargs_once = {
    .find = find_xargs,
    .args = { "true" },
    .lines = 1,
};

static const struct job ripstop_million = {
    .find = find_ripstop,
    .args = { "run", "--dry-run", "echo" },
    .lines = 1000000,
};

static const struct bench_figure figures[] = {
    {
        .name = "xargs",
        .what = "true 2,000 times, two at once, against xargs -P2 -n1",
        .unit = BENCH_MS,
        .pairs = 9,
        .samples = 1,
        .goal = 1.05,
        .ours = { prepare, run_time, &ripstop_lines },
        .baseline = { prepare, run_time, &xargs_lines },
    },
    {
        .name = "moreutils",
        .what = "the same, against parallel -j2 of moreutils",
        .unit = BENCH_MS,
        .pairs = 5,
        .samples = 1,
        .ours = { prepare, run_time, &ripstop_inputs },
        .baseline = { prepare, run_time, &moreutils_inputs },
    },
    {
        .name = "gnu-parallel",
        .what = "the same, against GNU parallel -j2",
        .unit = BENCH_MS,
        .pairs = 3,
        .samples = 1,
        .goal = 1.0 / 3,
        .ours = { prepare, run_time, &ripstop_lines },
        .baseline = { prepare, run_time, &gnu_lines },
    },
    {
        .name = "start-up",
        .what = "true once, against xargs",
        .unit = BENCH_MS,
        .pairs = 60,
        .samples = 5,
        .goal = 3,
        .ours = { prepare, run_time, &ripstop_once },
        .baseline = { prepare, run_time, &xargs_once },
    },
    {
        .name = "million-time",
        .what = "a million lines through run --dry-run: time for each",
        .unit = BENCH_NS,
        .pairs = 5,
        .samples = 1,
        .ours = { prepare, run_time_per_line, &ripstop_million },
    },
    {
        .name = "million-memory",
        .what = "the same: the most memory it had at a time",
        .unit = BENCH_MIB,
        .pairs = 1,
        .samples = 1,
        .goal = 32,
        .ours = { prepare, run_memory, &ripstop_million },
    },
};

int main(int argc, char **argv)
{
    static const struct bench b = {
        .print_facts = print_versions,
        .figures = figures,
        .count = sizeof figures / sizeof *figures,
    };
    char home[PATH_MAX];
    bench_path(ripstop, sizeof ripstop, "../cli/ripstop");
    if (access(ripstop, X_OK) < 0) {
        fprintf(stderr, "run_bench: %s: %s\n", ripstop, rip_strerror(-errno));
        return 2;
    }
    /* Where GNU parallel keeps what it finds out about the machine. */
    bench_path(home, sizeof home, "gnu-parallel");
    setenv("PARALLEL_HOME", home, 1);
    return bench_main(&b, argc, argv);
}
