/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <unistd.h> /* environ, getuid */

static const char shell[] = "/bin/sh";

/* After "--" a command that begins with "-" is no option of the shell. */
#define SHELL_ARGV(command) \
    ((const char *const[]){ "sh", "-c", "--", command, NULL })

/* ---- without a shell -------------------------------------------------- */

/*
 * When a program can be started as the shell would have started it: only where
 * that is certain. There is no quoting here and no further character, as each
 * rule more is one to get wrong; and what can not be started so goes to the
 * shell after all, which says what it says.
 */

/* To no shell are these more than themselves, in a name or in another word. */
#define IN_NAMES                 \
    "abcdefghijklmnopqrstuvwxyz" \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ" \
    "0123456789_./+-"
#define IN_WORDS IN_NAMES "=%,:@"
#define BLANKS   " \t"

/* The reserved words and builtins of dash, bash, busybox, ksh and zsh, as far
 * as they can be told from a program of that name. */
static const char builtins[] =
    " . alias autoload bg bind break builtin bye caller case cd chdir command"
    " compgen complete compopt compound continue coproc declare dirs disable"
    " disown do done echo elif else emulate enable enum esac eval exec exit"
    " export false fc fg"
    " fi float for function functions getopts global hash help hist history if"
    " in integer jobs kill let limit local log logout mapfile nameref namespace"
    " nocorrect noglob popd print printf pushd pwd r read readarray readonly"
    " redirect rehash repeat return sched select set setopt shift shopt source"
    " stop suspend"
    " test then time times trap true ttyctl type typeset ulimit umask unalias"
    " unfunction unhash unlimit unset unsetopt until vared wait whence where"
    " which while zcompile zmodload ";

static bool is_builtin(const char *name)
{
    size_t len = strlen(name);
    for (const char *at = builtins; (at = strstr(at, name)); at++)
        if (at[-1] == ' ' && at[len] == ' ')
            return true;
    return false;
}

/* We pass over what does not begin with a slash, and a shell does not. Some
 * find functions behind a "%". */
static bool is_absolute(const char *path)
{
    if (strchr(path, '%'))
        return false;
    while (*path == '/' && (path = strchr(path, ':')))
        path++;
    return !path;
}

/* Shells drop the privileges of a setuid program, bash takes functions and
 * options from the environment, and which of two PATHs counts differs. */
static bool is_environment_plain(void)
{
    const char *path = NULL;
    if (getuid() != geteuid() || getgid() != getegid())
        return false;
    for (char **e = environ; e && *e; e++) {
        bool is_path = strncmp(*e, "PATH=", 5) == 0;
        if (strncmp(*e, "BASH_FUNC_", 10) == 0 ||
            strncmp(*e, "SHELLOPTS=", 10) == 0 || (is_path && path))
            return false;
        path = is_path ? *e + 5 : path;
    }
    return path && is_absolute(path);
}

/* The most that can be said to a shell: the kernel's limit for an argument. */
enum { COMMAND_MAX = 1 << 17 };

/* The words, in one allocation; NULL: it is for the shell. */
static const char **split(const char *command)
{
    size_t len = strlen(command), n = 0, cap = len / 2 + 2;
    if (command[strspn(command, IN_WORDS BLANKS)] || len >= COMMAND_MAX)
        return NULL;
    const char **words = rip__alloc(cap * sizeof *words + len + 1);
    if (!words)
        return NULL;
    char *rest, *text = memcpy(words + cap, command, len);
    for (char *w = strtok_r(text, BLANKS, &rest); w;
         w = strtok_r(NULL, BLANKS, &rest))
        words[n++] = w;
    if (n > 0 && !words[0][strspn(words[0], IN_NAMES)] && !is_builtin(words[0]))
        return words;
    rip__free(words);
    return NULL;
}

/* Starts the first of PATH that may be executed, as shells do. (exec goes on
 * to the next where that fails; so here it is not told of PATH.) */
static bool start_first(rip_command **ret, const char *const *words,
                        struct rip_command_options o)
{
    const char **paths;
    size_t i = 0;
    if (rip__search_paths(&paths, words[0], (const char *const *)environ) < 0)
        return false;
    while (paths[i] && !rip__os_may_execute(paths[i]))
        i++;
    o.program = paths[i];
    bool started = o.program && rip_command_start(ret, words, &o) == 0;
    rip__free(paths);
    return started;
}

static bool start_directly(rip_command **ret, const char *command,
                           const struct rip_command_options *o)
{
    if (!is_environment_plain())
        return false;
    const char **words = split(command);
    bool started = words && start_first(ret, words, *o);
    rip__free(words);
    return started;
}

/* ---- popen and system ------------------------------------------------- */

/* "r", "w" or "r+"; and "d" behind that. */
static bool read_mode(const char *mode, struct rip_command_options *o,
                      bool *direct)
{
    bool out = *mode == 'r', in = *mode == 'w' || strncmp(mode, "r+", 2) == 0;
    if (!out && !in)
        return false;
    mode += out && in ? 2 : 1;
    *direct = *mode == 'd';
    o->in.kind = in ? RIP_STDIO_PIPE : RIP_STDIO_NULL;
    o->out.kind = out ? RIP_STDIO_PIPE : RIP_STDIO_INHERIT;
    return mode[*direct] == 0;
}

int rip_popen(rip_command **ret, const char *shell_command, const char *mode)
{
    struct rip_command_options o = { 0 };
    bool direct;
    if (!shell_command || !mode || !read_mode(mode, &o, &direct))
        return -EINVAL;
    if (direct && start_directly(ret, shell_command, &o))
        return 0;
    o.program = shell;
    return rip_command_start(ret, SHELL_ARGV(shell_command), &o);
}

/* -ECANCELED stays, -ETIMEDOUT is told by the exit. */
static int end_early(rip_command *c, struct rip_exit *ret, int why)
{
    int r = rip__stop(c, ret, RIP_FOREVER, why == -ETIMEDOUT);
    return r == 0 && why == -ECANCELED ? why : r;
}

int rip_system(const char *shell_command, struct rip_exit *ret,
               rip_time deadline)
{
    const struct rip_command_options o = { .program = shell };
    struct rip_exit e = { .how = RIP_RUNNING };
    rip_command *c;
    if (!shell_command)
        return -EINVAL;
    if (rip__job_is_cancelled(deadline)) {
        if (ret)
            *ret = e;
        return -ECANCELED;
    }
    int r = rip_command_start(&c, SHELL_ARGV(shell_command), &o);
    if (r < 0)
        return r;
    r = rip_command_wait(c, &e, deadline);
    if (rip__was_cut(r))
        r = end_early(c, &e, r);
    if (ret && (r == 0 || rip__was_cut(r)))
        *ret = e;
    rip_command_free(c);
    return r;
}
