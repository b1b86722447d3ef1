/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <unistd.h> /* environ */

/* Where programs are looked for when there is no PATH. */
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

static size_t count(const char *const *list)
{
    size_t n = 0;
    while (list && list[n] != NULL)
        n++;
    return n;
}

static size_t name_length(const char *entry)
{
    return (size_t)(strchrnul(entry, '=') - entry);
}

static bool same_name(const char *a, const char *b)
{
    size_t len = name_length(a);
    return len == name_length(b) && memcmp(a, b, len) == 0;
}

/* Whether one of `list` is about the same variable. */
static bool is_named(const char *entry, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (same_name(entry, list[i]))
            return true;
    return false;
}

int rip__environment(const char ***ret, const struct rip_command_options *o)
{
    static const char *const none[] = { NULL };
    bool extend = o->env_mode == RIP_ENV_EXTEND && environ;
    const char *const *ours = extend ? (const char *const *)environ : none;
    size_t n = count(ours), changes = count(o->env), used = 0;
    if (extend && changes == 0)
        return 0;
    const char **env = rip__alloc_array(n + changes + 1, sizeof *env);
    if (!env)
        return rip__fail(o, "memory", "environment", -ENOMEM);
    for (size_t i = 0; i < n; i++)
        if (!is_named(ours[i], o->env, changes))
            env[used++] = ours[i];
    for (size_t i = 0; i < changes; i++)
        if (strchr(o->env[i], '=') &&
            !is_named(o->env[i], o->env + i + 1, changes - i - 1))
            env[used++] = o->env[i];
    *ret = env;
    return 0;
}

static const char *find_path(const char *const *env)
{
    for (size_t i = 0; env && env[i]; i++)
        if (strncmp(env[i], "PATH=", 5) == 0)
            return env[i] + 5;
    return DEFAULT_PATH;
}

/* Puts "dir/name" for each absolute dir of `path` to `text`, and where each
 * begins into `list`. Without a list it only counts. */
static size_t expand(const char *path, const char *name, const char **list,
                     char *text, size_t *bytes)
{
    size_t n = 0, len, name_size = strlen(name) + 1;
    *bytes = 0;
    for (const char *dir = path;; dir += len + 1) {
        len = strcspn(dir, ":");
        if (*dir == '/') {
            if (list) {
                list[n] = text + *bytes;
                memcpy(text + *bytes, dir, len);
                text[*bytes + len] = '/';
                memcpy(text + *bytes + len + 1, name, name_size);
            }
            *bytes += len + 1 + name_size;
            n++;
        }
        if (dir[len] == 0)
            return n;
    }
}

int rip__search_paths(const char ***ret, const char *name,
                      const char *const *env)
{
    size_t bytes;
    if (strchr(name, '/') || !*name) {
        const char **list = rip__alloc_array(2, sizeof *list);
        if (!list)
            return -ENOMEM;
        list[0] = name;
        *ret = list;
        return 0;
    }
    const char *path = find_path(env);
    size_t n = expand(path, name, NULL, NULL, &bytes);
    const char **list = rip__alloc((n + 1) * sizeof *list + bytes);
    if (!list)
        return -ENOMEM;
    expand(path, name, list, (char *)(list + n + 1), &bytes);
    *ret = list;
    return 0;
}
