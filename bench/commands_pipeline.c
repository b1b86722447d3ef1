/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>

#include <ripstop/command.h>

/* Pipelines of three: a word through two cats, whose cost is the starting, and
 * a quarter of a gigabyte, whose cost is what flows. */

enum { STAGES = 3, MOST_ARGS = 4 };

struct line {
    const char *stages[STAGES][MOST_ARGS];
    const char *shell; /* the same for a shell */
    size_t bytes;      /* that come out */
};

static int prepare(const void *arg)
{
    (void)arg;
    stay_on_one_cpu();
    return 0;
}

static int64_t check(const struct line *l, bool well, size_t bytes,
                     int64_t took)
{
    if (!well || bytes != l->bytes)
        return bench_fail("the pipeline failed, with %zu bytes", bytes);
    return took;
}

static int count(void *arg, const struct rip_piece *piece)
{
    *(size_t *)arg += piece->len;
    return 0;
}

static int64_t run_ours(const void *arg)
{
    const struct line *l = arg;
    const char *const *stages[STAGES];
    size_t bytes = 0;
    const struct rip_command_options o = { .on_output = count,
                                           .on_output_arg = &bytes };
    struct rip_output out;
    for (int i = 0; i < STAGES; i++)
        stages[i] = l->stages[i];
    int64_t start = bench_now();
    int r = rip_pipeline_run(stages, STAGES, &o, &out, NULL, RIP_FOREVER);
    int64_t took = bench_now() - start;
    if (r < 0)
        return bench_fail("rip_pipeline_run: %s", rip_strerror(r));
    bool well = rip_exit_ok(&out.exit);
    rip_output_done(&out);
    return check(l, well, bytes, took);
}

static size_t drain(int fd)
{
    static char buf[65536];
    size_t all = 0;
    ssize_t n;
    while ((n = read(fd, buf, sizeof buf)) > 0)
        all += (size_t)n;
    close(fd);
    return all;
}

static int64_t run_shell(const void *arg)
{
    const struct line *l = arg;
    const char *const argv[] = { "/bin/sh", "-c", l->shell, NULL };
    int ours[3] = { -1, 0, -1 };
    int64_t start = bench_now();
    pid_t pid = start_bare((char *const *)(uintptr_t)argv, ours);
    if (pid < 0)
        return bench_fail("vfork: %s", rip_strerror(pid));
    size_t bytes = drain(ours[1]);
    bool well = wait_for(pid) == 0;
    return check(l, well, bytes, bench_now() - start);
}

/* Starts one stage, which reads from `in`, closes that, and gives the end of
 * the pipe that it writes to. */
static int start_stage(pid_t *pid, const char *const *argv, int in)
{
    posix_spawn_file_actions_t actions;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    if (posix_spawn(pid, argv[0], &actions, NULL,
                    (char *const *)(uintptr_t)argv, environ) != 0)
        *pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    close(in);
    return ends[0];
}

static int64_t run_pipes(const void *arg)
{
    const struct line *l = arg;
    pid_t pids[STAGES] = { 0 };
    bool well = true;
    int64_t start = bench_now();
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < STAGES && fd >= 0; i++)
        fd = start_stage(&pids[i], l->stages[i], fd);
    size_t bytes = drain(fd);
    for (int i = 0; i < STAGES; i++)
        well = pids[i] > 0 && wait_for(pids[i]) == 0 && well;
    return check(l, well, bytes, bench_now() - start);
}

#define WORDS(...)        \
    {                     \
        __VA_ARGS__, NULL \
    }

static const struct line word = {
    { WORDS("/bin/echo", "x"), WORDS("/bin/cat"), WORDS("/bin/cat") },
    "/bin/echo x | /bin/cat | /bin/cat",
    2,
};

static const struct line much = {
    { WORDS("/usr/bin/head", "-c268435456", "/dev/zero"), WORDS("/bin/cat"),
      WORDS("/bin/cat") },
    NULL,
    256 << 20,
};

static const struct bench_figure figures[] = {
    {
        .name = "pipeline-sh",
        .what = "rip_pipeline_run of echo | cat | cat against sh -c",
        .unit = BENCH_US,
        .pairs = 60,
        .samples = 5,
        .ours = { prepare, run_ours, &word },
        .baseline = { prepare, run_shell, &word },
    },
    {
        .name = "pipeline-pipes",
        .what = "the same against posix_spawn and pipes",
        .unit = BENCH_US,
        .pairs = 60,
        .samples = 5,
        .ours = { prepare, run_ours, &word },
        .baseline = { prepare, run_pipes, &word },
    },
    {
        .name = "pipeline-much",
        .what = "256 MiB through head | cat | cat against the same",
        .unit = BENCH_MS,
        .pairs = 11,
        .samples = 1,
        .ours = { prepare, run_ours, &much },
        .baseline = { prepare, run_pipes, &much },
    },
};

const struct bench_topic pipeline_topic = { figures,
                                            sizeof figures / sizeof *figures };
