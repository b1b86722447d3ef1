/* SPDX-License-Identifier: MIT */
#include "base/cgroup.h"

#include "base/base.h"
#include "os/os.h"

/*
 * Which group is ours is in /proc/self/cgroup; where the hierarchy is mounted,
 * and which group is the top of that mount, in /proc/self/mountinfo.
 *
 * Paths and files are kept on the heap: a thread with a small stack may ask as
 * well.
 */

enum { FILE_MAX = 1 << 20 };

struct hierarchy {
    const char *controller; /* NULL: version 2 */
    char *groups, *mounts;  /* the two files, cut into what follows */
    const char *group;      /* ours, as seen from the hierarchy's top */
    const char *mount;      /* where it is mounted */
    const char *top;        /* the group that is seen there */
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

bool rip__cgroup_read(const char *root, const char *dir, const char *file,
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
        !rip__cgroup_read(root, "", file, b.data, b.cap))
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
        if (!line || (!h->controller ? strcmp(id, "0") != 0 || *controllers
                                     : !has_word(controllers, h->controller)))
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
    return !h->controller
               ? strcmp(type, "cgroup2") == 0
               : strcmp(type, "cgroup") == 0 && has_word(tail, h->controller);
}

static bool find_mount(const char *root, struct hierarchy *h)
{
    char *rest = h->mounts = slurp(root, "/proc/self/mountinfo"), *line;
    while (rest && (line = strsep(&rest, "\n")))
        if (parse_mount(h, line))
            return true;
    return false;
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

char *rip__cgroup_path(const char *root, const char *controller,
                       size_t *mount_len)
{
    struct hierarchy h = { .controller = controller };
    char *path = NULL;
    if (find_group(root, &h) && find_mount(root, &h)) {
        path = join(h.mount, below_mount(&h), "");
        *mount_len = strlen(h.mount);
    }
    rip__free(h.groups);
    rip__free(h.mounts);
    return path;
}
