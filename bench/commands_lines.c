/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ripstop/command.h>

/* A million lines of a cat, one by one. */

enum { LINES = 1000000 };

static const char text[] = "a line of some length, as they are in a log\n";

/* The file is in memory, and the cat finds it in /proc. */
static char command[80];

static int prepare(const void *arg)
{
    (void)arg;
    stay_on_one_cpu();
    int fd = memfd_create("lines", MFD_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    for (int i = 0; f && i < LINES; i++)
        fputs(text, f);
    if (!f || fflush(f) != 0)
        return bench_fail("memfd: %s", rip_strerror(-errno));
    snprintf(command, sizeof command, "cat /proc/%d/fd/%d", (int)getpid(), fd);
    return 0;
}

static int64_t check(int lines, bool well, int64_t took)
{
    if (lines != LINES || !well)
        return bench_fail("there were %d lines", lines);
    return took / LINES;
}

static int64_t run_ours(const void *arg)
{
    char *line = NULL;
    size_t cap = 0;
    int lines = 0;
    rip_command *c;
    struct rip_exit end;
    (void)arg;
    int64_t start = bench_now();
    rip_time deadline = rip_after(60);
    int r = rip_popen(&c, command, "r");
    if (r < 0)
        return bench_fail("rip_popen: %s", rip_strerror(r));
    while (rip_command_line(c, &line, &cap, deadline) == sizeof text - 1)
        lines++;
    r = rip_command_wait(c, &end, deadline);
    rip_command_free(c);
    int64_t took = bench_now() - start;
    free(line);
    return check(lines, r == 0 && rip_exit_ok(&end), took);
}

static int64_t run_getline(const void *arg)
{
    char *line = NULL;
    size_t cap = 0;
    int lines = 0;
    (void)arg;
    int64_t start = bench_now();
    FILE *f = popen(command, "re"); /* NOLINT: it is what is compared with */
    if (!f)
        return bench_fail("popen: %s", rip_strerror(-errno));
    while (getline(&line, &cap, f) == sizeof text - 1)
        lines++;
    int status = pclose(f);
    int64_t took = bench_now() - start;
    free(line);
    return check(lines, status == 0, took);
}

static const struct bench_figure figures[] = {
    {
        .name = "lines",
        .what = "a line with rip_command_line against getline on popen",
        .unit = BENCH_NS,
        .pairs = 21,
        .samples = 3,
        .ours = { prepare, run_ours, NULL },
        .baseline = { prepare, run_getline, NULL },
    },
};

const struct bench_topic lines_topic = { figures,
                                         sizeof figures / sizeof *figures };
