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

/* The stat(5) of a process, from its name on; false: it is gone. */
static bool read_stat(pid_t pid, char *line, int cap, char *state, int *parent)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    const char *end = fgets(line, cap, f) ? strrchr(line, ')') : NULL;
    fclose(f);
    return end && sscanf(end + 1, " %c %d", state, parent) == 2;
}

static bool is_template(pid_t pid, pid_t unused)
{
    char line[256], state;
    int parent;
    (void)unused;
    return read_stat(pid, line, sizeof line, &state, &parent) &&
           strstr(line, "(rip-template)") && state != 'Z' &&
           getsid(pid) == getsid(0);
}

static bool is_child(pid_t pid, pid_t of)
{
    char line[256], state;
    int parent;
    return read_stat(pid, line, sizeof line, &state, &parent) && parent == of;
}

static int count(bool (*is_one)(pid_t pid, pid_t arg), pid_t arg, pid_t *last)
{
    DIR *dir = opendir("/proc");
    const struct dirent *e;
    int n = 0;
    CHECK(dir != NULL);
    while ((e = readdir(dir)) != NULL) {
        pid_t pid = (pid_t)atoi(e->d_name);
        if (pid <= 0 || !is_one(pid, arg))
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
    return count(is_template, 0, &unused);
}

pid_t template_pid(void)
{
    pid_t pid = 0;
    count(is_template, 0, &pid);
    return pid;
}

void kill_template(void)
{
    pid_t pid = template_pid();
    CHECK_INT(pid, >, 0);
    CHECK_INT(kill(pid, SIGKILL), ==, 0);
    while (is_template(pid, 0))
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

int children_of(pid_t pid)
{
    pid_t unused;
    return count(is_child, pid, &unused);
}
