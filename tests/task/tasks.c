/* SPDX-License-Identifier: MIT */
#include "task/tasks.h"

#include <dirent.h>
#include <sched.h>

#include "harness.h"

rip_task *start(enum rip_kind kind, rip_task_fn *fn, void *arg)
{
    rip_task *t;
    const struct rip_task_options o = { .kind = kind };
    CHECK_OK(rip_task_start(&t, fn, arg, &o));
    return t;
}

struct rip_exit end_of(rip_task *t)
{
    struct rip_exit e;
    CHECK_OK(rip_task_join(t, &e, RIP_FOREVER));
    CHECK(rip_task_free(t) == NULL);
    return e;
}

struct rip_exit run(enum rip_kind kind, rip_task_fn *fn, void *arg)
{
    return end_of(start(kind, fn, arg));
}

static int threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    int n = 0;
    CHECK(dir != NULL);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

void until_alone(void)
{
    while (threads() > 1)
        sched_yield();
}
