/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h> /* environ, getpid */

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

/* The variable's value in `env`, or NULL. */
static const char *value_of(const char *name, const char *const *env)
{
    size_t len = strlen(name);
    for (; *env; env++)
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
            return *env + len + 1;
    return NULL;
}

/* ---- the mark --------------------------------------------------------- */

/*
 * What a command starts inherits its environment, also where it leaves the
 * process group and the session, and its parents end: so one variable in it
 * tells whose tree it is of. Commands within commands have several marks,
 * "outer:inner". Who says what all of the environment is, or names the
 * variable, gets no mark.
 */

void rip__make_mark(char mark[RIP__MARK_SIZE])
{
    static atomic_uint counter;
    struct rip__text t = { mark, RIP__MARK_SIZE, 0 };
    rip__text_add_int(&t, getpid());
    rip__text_add_char(&t, '-');
    rip__text_add_int(&t, rip__os_clock());
    rip__text_add_char(&t, '-');
    rip__text_add_int(&t, atomic_fetch_add(&counter, 1));
    rip__text_end(&t);
}

/* The entry of the environment; its whole length, as snprintf(3). */
static size_t format_mark(char *buf, size_t cap, const char *outer,
                          const char *mark)
{
    struct rip__text t = { buf, cap, 0 };
    rip__text_add(&t, RIP__OS_MARK "=");
    if (outer) {
        rip__text_add(&t, outer);
        rip__text_add_char(&t, ':');
    }
    rip__text_add(&t, mark);
    return (size_t)rip__text_end(&t);
}

/* In the place of the outer one, or behind all others. */
static void put_mark(const char **env, const char *entry)
{
    size_t i = 0;
    while (env[i] && !same_name(env[i], RIP__OS_MARK))
        i++;
    env[i] = entry;
}

/* ---- the environment -------------------------------------------------- */

/* What is left of `ours`, and what is set. */
static void merge(const char **env, const char *const *ours,
                  const char *const *changes, size_t n_changes)
{
    for (; *ours; ours++)
        if (!is_named(*ours, changes, n_changes))
            *env++ = *ours;
    for (size_t i = 0; i < n_changes; i++)
        if (strchr(changes[i], '=') &&
            !is_named(changes[i], changes + i + 1, n_changes - i - 1))
            *env++ = changes[i];
}

int rip__environment(const char ***ret, char mark[RIP__MARK_SIZE],
                     const struct rip_command_options *o)
{
    static const char *const none[] = { NULL };
    bool extend = o->env_mode == RIP_ENV_EXTEND;
    const char *const *ours =
        extend && environ ? (const char *const *)environ : none;
    size_t n_changes = count(o->env), n = count(ours) + n_changes + 2;
    size_t text = 0;
    const char *outer = value_of(RIP__OS_MARK, ours);
    if (extend && !is_named(RIP__OS_MARK, o->env, n_changes)) {
        rip__make_mark(mark);
        text = format_mark(NULL, 0, outer, mark) + 1;
    }
    const char **env = rip__alloc(n * sizeof *env + text);
    if (!env)
        return rip__fail(o, "memory", "environment", -ENOMEM);
    merge(env, ours, o->env, n_changes);
    if (text > 0) {
        format_mark((char *)(env + n), text, outer, mark);
        put_mark(env, (char *)(env + n));
    }
    *ret = env;
    return 0;
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
    const char *path = value_of("PATH", env);
    if (!path)
        path = DEFAULT_PATH;
    size_t n = expand(path, name, NULL, NULL, &bytes);
    const char **list = rip__alloc((n + 1) * sizeof *list + bytes);
    if (!list)
        return -ENOMEM;
    expand(path, name, list, (char *)(list + n + 1), &bytes);
    *ret = list;
    return 0;
}
