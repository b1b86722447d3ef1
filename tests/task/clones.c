/* SPDX-License-Identifier: MIT */
#include "task/clones.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "task/tasks.h"

const struct rip_task_options clone_options = { .kind = RIP_PROCESS,
                                                .start = RIP_START_TEMPLATE };

rip_task *start_clone(rip_task_fn *fn, void *arg)
{
    rip_task *t;
    CHECK_OK(rip_task_start(&t, fn, arg, &clone_options));
    return t;
}

struct rip_exit run_clone(rip_task_fn *fn, void *arg)
{
    return end_of(start_clone(fn, arg));
}

/* ---- the template ----------------------------------------------------- */

static bool is_template(pid_t pid)
{
    char path[40], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    const char *end = n > 0 ? strrchr(line, ')') : NULL;
    return end && strstr(line, "(rip-template)") && end[2] != 'Z' &&
           getsid(pid) == getsid(0);
}

static int count(pid_t *last)
{
    DIR *dir = opendir("/proc");
    const struct dirent *e;
    int n = 0;
    CHECK(dir != NULL);
    while ((e = readdir(dir)) != NULL) {
        pid_t pid = (pid_t)atoi(e->d_name);
        if (pid <= 0 || !is_template(pid))
            continue;
        *last = pid;
        n++;
    }
    closedir(dir);
    return n;
}

int templates(void)
{
    pid_t unused;
    return count(&unused);
}

pid_t template_pid(void)
{
    pid_t pid = 0;
    count(&pid);
    return pid;
}

void kill_template(void)
{
    pid_t pid = template_pid();
    CHECK_INT(pid, >, 0);
    CHECK_INT(kill(pid, SIGKILL), ==, 0);
    while (is_template(pid))
        sched_yield();
}

int descriptors_of(pid_t pid)
{
    char path[40];
    int n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}
