/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

void run(struct rip_output *ret, const char *const *argv,
         const struct rip_command_options *o)
{
    CHECK_INT(rip_run(argv, o, ret, RIP_FOREVER), ==, 0);
}

void run_ok(const char *const *argv, const struct rip_command_options *o)
{
    struct rip_output out;
    run(&out, argv, o);
    CHECK_STR(out.err, "");
    CHECK_INT(out.exit.how, ==, RIP_EXITED);
    CHECK_INT(out.exit.code, ==, 0);
    rip_output_done(&out);
}

void refuse(const char *const *argv, const struct rip_command_options *o,
            int code, const char *step, const char *subject)
{
    struct rip_failure f = { 0 };
    struct rip_command_options options =
        o ? *o : (struct rip_command_options){ 0 };
    rip_command *c;
    options.failure = &f;
    CHECK_ERR(rip_command_start(&c, argv, &options), code);
    CHECK_STR(f.step, step);
    CHECK_STR(f.subject, subject);
    CHECK_INT(f.code, ==, code);
    CHECK_INT(waitpid(-1, NULL, __WALL | WNOHANG), ==, -1);
}

rip_command *start(const char *const *argv, const struct rip_command_options *o)
{
    rip_command *c;
    CHECK_OK(rip_command_start(&c, argv, o));
    return c;
}

rip_command *start_ready(const char *script, double grace, int *pids, int n)
{
    struct rip_command_options o = { .in = { .kind = RIP_STDIO_NULL },
                                     .out = { .kind = RIP_STDIO_PIPE },
                                     .grace = grace };
    rip_command *c = start(SH(script), &o);
    char *s = (char *)(uintptr_t)await_line(c);
    for (int i = 0; i < n; i++)
        pids[i] = (int)strtol(s, &s, 10);
    return c;
}

struct rip_exit end_of(rip_command *c)
{
    struct rip_exit e;
    CHECK_OK(rip_command_wait(c, &e, RIP_FOREVER));
    return e;
}

const char *await_line(rip_command *c)
{
    static char text[4096];
    size_t len = 0;
    do {
        ssize_t r = rip_command_read(c, 1, text + len, sizeof text - len - 1,
                                     RIP_FOREVER);
        CHECK_INT(r, >, 0);
        len += (size_t)r;
        text[len] = 0;
    } while (!strchr(text, '\n'));
    return text;
}

const char *rest_of(rip_command *c)
{
    static char text[200000];
    size_t len = 0;
    ssize_t n;
    while ((n = CHECK_OK(rip_command_read(
                c, 1, text + len, sizeof text - 1 - len, RIP_FOREVER))) > 0)
        len += (size_t)n;
    text[len] = 0;
    return text;
}

bool is_alive(int pid)
{
    char path[64], text[512] = "", *state;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    state = fgets(text, sizeof text, f) ? strrchr(text, ')') : NULL;
    fclose(f);
    return state && state[2] != 'Z' && state[2] != 'X';
}

void await_death(int pid)
{
    while (is_alive(pid))
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

static bool has_word(const char *pid, const char *word)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%.20s/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, sizeof text);
    close(fd);
    return len > 0 && memmem(text, (size_t)len, word, strlen(word));
}

int find_alive(const char *word, int *pids, int cap)
{
    int n = 0;
    struct dirent *e;
    DIR *dir = opendir("/proc");
    CHECK(dir != NULL);
    while ((e = readdir(dir))) {
        int pid = atoi(e->d_name);
        if (pid <= 0 || !has_word(e->d_name, word) || !is_alive(pid))
            continue;
        if (pids && n < cap)
            pids[n] = pid;
        n++;
    }
    closedir(dir);
    return n;
}

char *make_data(size_t size)
{
    char *data = calloc(1, size);
    if (!data)
        FAIL("no memory");
    return data;
}

void write_file(const char *name, const char *text, int mode)
{
    FILE *f = fopen(name, "w");
    CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
    chmod(name, (mode_t)mode);
}

const char *read_file(const char *name)
{
    static char text[4096];
    FILE *f = fopen(name, "r");
    CHECK(f != NULL);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

const char *ends_text(const struct rip_exit *ends, size_t n)
{
    static char text[256];
    size_t len = 0;
    for (size_t i = 0; i < n && len < sizeof text - 32; i++) {
        const char *space = i > 0 ? " " : "";
        if (ends[i].how == RIP_SIGNALED)
            len += (size_t)sprintf(text + len, "%s%s", space,
                                   rip_signal_name(ends[i].signal) + 3);
        else if (ends[i].how == RIP_EXITED)
            len += (size_t)sprintf(text + len, "%s%d", space, ends[i].code);
        else
            len += (size_t)sprintf(text + len, "%s?", space);
    }
    return text;
}
