/* SPDX-License-Identifier: MIT */
#include "base/cpus.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/base.h"
#include "os/os.h"

/*
 * A CPU quota may stand in our control group or in any above it, as
 * "quota period" microseconds in cpu.max (version 2) or in two files
 * (version 1). Which group is ours is in /proc/self/cgroup; where the
 * hierarchy is mounted, and which group is the top of that mount, in
 * /proc/self/mountinfo.
 *
 * Paths and files are kept on the heap: a thread with a small stack may ask
 * as well. Where there is no memory, or a file cannot be read, there is no
 * quota that we would know of.
 */

enum { FILE_MAX = 1 << 20 };

struct hierarchy {
    bool v2;
    char *groups, *mounts; /* the two files, cut into what follows */
    const char *group;     /* ours, as seen from the hierarchy's top */
    const char *mount;     /* where it is mounted */
    const char *top;       /* the group that is seen there */
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

/* One behind the other; NULL: there is no memory. */
static char *join(const char *a, const char *b, const char *c)
{
    const char *const parts[] = { a, b, c };
    struct rip__buffer path = { 0 };
    bool ok = true;
    for (size_t i = 0; ok && i < RIP__LENGTH(parts); i++)
        ok = rip__buffer_append(&path, parts[i], strlen(parts[i])) == 0;
    if (ok)
        path.data[path.len] = 0;
    else
        rip__buffer_done(&path);
    return path.data;
}

static bool read_file(const char *root, const char *dir, const char *file,
                      char *buf, size_t cap)
{
    char *path = join(root, dir, file);
    bool ok = path && rip__os_slurp(path, buf, cap) > 0;
    rip__free(path);
    return ok;
}

static char *slurp(const char *root, const char *file)
{
    struct rip__buffer b = { 0 };
    if (rip__buffer_reserve(&b, FILE_MAX) < 0 ||
        !read_file(root, "", file, b.data, b.cap))
        rip__buffer_done(&b);
    return b.data;
}

/* "4:cpu,cpuacct:/user/me" or "0::/user.slice": our group. */
static bool find_group(const char *root, struct hierarchy *h)
{
    char *rest = h->groups = slurp(root, "/proc/self/cgroup"), *line;
    while (rest && (line = strsep(&rest, "\n"))) {
        const char *id = strsep(&line, ":");
        const char *controllers = strsep(&line, ":");
        if (!line || (h->v2 ? strcmp(id, "0") != 0 || *controllers
                            : !has_word(controllers, "cpu")))
            continue;
        h->group = line;
        return true;
    }
    return false;
}

/* "36 35 98:0 /top /mount options ... - type source super-options": whether
 * it is this hierarchy's. */
static bool parse_mount(struct hierarchy *h, char *line)
{
    char *words[5], *tail = strstr(line, " - ");
    if (!tail)
        return false;
    *tail = 0;
    tail += strlen(" - ");
    for (size_t i = 0; i < RIP__LENGTH(words); i++)
        words[i] = strsep(&line, " ");
    const char *type = strsep(&tail, " ");
    (void)strsep(&tail, " ");
    if (!words[4] || !tail)
        return false;
    h->top = words[3];
    h->mount = words[4];
    return h->v2 ? strcmp(type, "cgroup2") == 0
                 : strcmp(type, "cgroup") == 0 && has_word(tail, "cpu");
}

static bool find_mount(const char *root, struct hierarchy *h)
{
    char *rest = h->mounts = slurp(root, "/proc/self/mountinfo"), *line;
    while (rest && (line = strsep(&rest, "\n")))
        if (parse_mount(h, line))
            return true;
    return false;
}

/* The quota of one group in CPUs, rounded up; UINT_MAX: none. */
static unsigned quota_of(const char *root, const char *dir, bool v2)
{
    char text[64], more[64], *end;
    if (!read_file(root, dir, v2 ? "/cpu.max" : "/cpu.cfs_quota_us", text,
                   sizeof text))
        return UINT_MAX;
    long long quota = strtoll(text, &end, 10); /* 0 for "max" */
    if (!v2) {
        if (!read_file(root, dir, "/cpu.cfs_period_us", more, sizeof more))
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

/* The least quota of the groups from `dir` up to the mount, which is its
 * first `mount_len` bytes. */
static unsigned least_quota(const char *root, char *dir, size_t mount_len,
                            bool v2)
{
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

static unsigned hierarchy_quota(const char *root, bool v2)
{
    struct hierarchy h = { .v2 = v2 };
    unsigned least = UINT_MAX;
    if (find_group(root, &h) && find_mount(root, &h)) {
        char *dir = join(h.mount, below_mount(&h), "");
        if (dir)
            least = least_quota(root, dir, strlen(h.mount), v2);
        rip__free(dir);
    }
    rip__free(h.groups);
    rip__free(h.mounts);
    return least;
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

/* ---- sets ------------------------------------------------------------- */

int rip__cpu_mask(uint64_t **ret, size_t *size, const unsigned *cpus, size_t n)
{
    enum { MOST = 65536 }; /* more than the kernel can be built for */
    unsigned highest = 0;
    *ret = NULL;
    *size = 0;
    for (size_t i = 0; i < n; i++) {
        if (cpus[i] >= MOST)
            return -EINVAL;
        highest = cpus[i] > highest ? cpus[i] : highest;
    }
    if (n == 0)
        return 0;
    uint64_t *mask = rip__alloc_array(highest / 64 + 1, sizeof *mask);
    if (!mask)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        mask[cpus[i] / 64] |= UINT64_C(1) << cpus[i] % 64;
    *ret = mask;
    *size = (highest / 64 + 1) * sizeof *mask;
    return 0;
}
