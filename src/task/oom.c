/* SPDX-License-Identifier: MIT */
#include "task/oom.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/base.h"
#include "base/cgroup.h"

enum { FILE_MAX = 1 << 16 };

/* 0: not begun; else 1 + the kills that are put down to somebody: before us, or
 * a task. */
static uint64_t spent;

/* The number in the line that begins with the key; -1: there is none. */
static int64_t number(const char *text, const char *key)
{
    size_t len = strlen(key);
    for (const char *s = text; (s = strstr(s, key)); s += len)
        if ((s == text || s[-1] == '\n') && s[len] == ' ')
            return strtoll(s + len, NULL, 10);
    return -1;
}

static int64_t read_number(const char *root, const char *dir, const char *file)
{
    struct rip__buffer b = { 0 };
    int64_t n = -1;
    if (rip__buffer_reserve(&b, FILE_MAX) == 0 &&
        rip__cgroup_read(root, dir, file, b.data, b.cap))
        n = number(b.data, "oom_kill");
    rip__buffer_done(&b);
    return n;
}

static int64_t kills_in_group(const char *root, const char *controller,
                              const char *file)
{
    size_t mount_len;
    char *dir = rip__cgroup_path(root, controller, &mount_len);
    int64_t n = dir ? read_number(root, dir, file) : -1;
    rip__free(dir);
    return n;
}

/* In our group; where that does not count them (the top one), in the whole
 * system. */
static uint64_t kills(const char *root)
{
    int64_t n = kills_in_group(root, NULL, "/memory.events");
    if (n < 0)
        n = kills_in_group(root, "memory", "/memory.oom_control");
    if (n < 0)
        n = read_number(root, "/proc", "/vmstat");
    return n < 0 ? 0 : (uint64_t)n;
}

void rip__oom_begin(const char *root)
{
    uint64_t none = 0;
    if (rip__load(&spent) == 0)
        (void)rip__cas(&spent, &none, kills(root) + 1);
}

bool rip__oom_explains(const char *root)
{
    uint64_t before = rip__load(&spent), now = kills(root);
    while (before != 0 && before - 1 < now)
        if (rip__cas(&spent, &before, before + 1))
            return true;
    return false;
}
