/* SPDX-License-Identifier: MIT */
#include "base/cpus.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "os/os.h"

/*
 * A CPU quota may stand in our control group or in any above it, as
 * "quota period" microseconds in cpu.max (version 2) or in two files
 * (version 1). Which group is ours is in /proc/self/cgroup; where the
 * hierarchy is mounted, and which group is the top of that mount, in
 * /proc/self/mountinfo.
 */

enum { FILE_MAX = 1 << 20, NAME_SIZE = 3 * PATH_MAX };

struct hierarchy {
    bool v2;
    char group[PATH_MAX]; /* ours, as seen from the hierarchy's top */
    char mount[PATH_MAX]; /* where it is mounted */
    char top[PATH_MAX];   /* the group that is seen there */
};

/* Whether `word` is one of a comma-separated list. */
static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *s = list; (s = strstr(s, word)); s += len)
        if ((s == list || s[-1] == ',') && (s[len] == 0 || s[len] == ','))
            return true;
    return false;
}

static char *slurp(const char *root, const char *file)
{
    struct rip__buffer b = { 0 };
    char path[NAME_SIZE];
    snprintf(path, sizeof path, "%s%s", root, file);
    if (rip__buffer_reserve(&b, FILE_MAX) < 0 ||
        rip__os_slurp(path, b.data, b.cap) < 0)
        rip__buffer_done(&b);
    return b.data;
}

/* "4:cpu,cpuacct:/user/me" or "0::/user.slice": our group. */
static bool find_group(const char *root, struct hierarchy *h)
{
    char *text = slurp(root, "/proc/self/cgroup"), *rest = text, *line;
    bool found = false;
    while (!found && text && (line = strsep(&rest, "\n"))) {
        const char *id = strsep(&line, ":");
        const char *controllers = strsep(&line, ":");
        if (!line || (h->v2 ? strcmp(id, "0") != 0 || *controllers
                            : !has_word(controllers, "cpu")))
            continue;
        found = snprintf(h->group, sizeof h->group, "%s", line) <
                (int)sizeof h->group;
    }
    rip__free(text);
    return found;
}

/* "36 35 98:0 /top /mount options ... - type source super-options" */
static bool find_mount(const char *root, struct hierarchy *h)
{
    char *text = slurp(root, "/proc/self/mountinfo"), *rest = text, *line;
    bool found = false;
    while (!found && text && (line = strsep(&rest, "\n"))) {
        char type[32], options[256];
        const char *tail = strstr(line, " - ");
        found =
            tail && sscanf(tail, " - %31s %*s %255s", type, options) == 2 &&
            sscanf(line, "%*s %*s %*s %4095s %4095s", h->top, h->mount) == 2 &&
            (h->v2 ? strcmp(type, "cgroup2") == 0
                   : strcmp(type, "cgroup") == 0 && has_word(options, "cpu"));
    }
    rip__free(text);
    return found;
}

static bool read_file(const char *root, const char *dir, const char *file,
                      char *buf, size_t cap)
{
    char path[NAME_SIZE];
    snprintf(path, sizeof path, "%s%s/%s", root, dir, file);
    return rip__os_slurp(path, buf, cap) > 0;
}

/* The quota of one group in CPUs, rounded up; UINT_MAX: none. */
static unsigned quota_of(const char *root, const char *dir, bool v2)
{
    char text[64], more[64], *end;
    if (!read_file(root, dir, v2 ? "cpu.max" : "cpu.cfs_quota_us", text,
                   sizeof text))
        return UINT_MAX;
    long long quota = strtoll(text, &end, 10); /* 0 for "max" */
    if (!v2) {
        if (!read_file(root, dir, "cpu.cfs_period_us", more, sizeof more))
            return UINT_MAX;
        end = more;
    }
    long long period = strtoll(end, NULL, 10);
    if (quota <= 0 || period <= 0)
        return UINT_MAX;
    long long cpus = quota / period + (quota % period != 0);
    return cpus < UINT_MAX ? (unsigned)cpus : UINT_MAX;
}

/* Our group's path below the mount: without the part that the mount's own top
 * stands for. */
static const char *below_mount(const struct hierarchy *h)
{
    size_t len = strlen(h->top);
    bool covers = strncmp(h->group, h->top, len) == 0 &&
                  (h->group[len] == 0 || h->group[len] == '/');
    return covers ? h->group + len : h->group;
}

static unsigned hierarchy_quota(const char *root, bool v2)
{
    struct hierarchy h = { .v2 = v2 };
    if (!find_group(root, &h) || !find_mount(root, &h))
        return UINT_MAX;
    char dir[2 * PATH_MAX];
    const char *group = below_mount(&h);
    snprintf(dir, sizeof dir, "%s%s", h.mount, group);
    size_t mount_len = strlen(h.mount);
    unsigned least = UINT_MAX;
    for (;;) {
        unsigned cpus = quota_of(root, dir, v2);
        least = cpus < least ? cpus : least;
        char *slash = strrchr(dir, '/');
        if (!slash || slash < dir + mount_len)
            return least;
        *slash = 0;
    }
}

unsigned rip__cpu_quota(const char *root)
{
    unsigned v1 = hierarchy_quota(root, false);
    unsigned v2 = hierarchy_quota(root, true);
    return v1 < v2 ? v1 : v2;
}

unsigned rip_cpu_count(void)
{
    unsigned usable = rip__os_affinity_count();
    unsigned quota = rip__cpu_quota("");
    return quota < usable ? quota : usable;
}
