/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>

int rip__fail(const struct rip_command_options *o, const char *step,
              const char *subject, int code)
{
    if (o && o->failure) {
        struct rip_failure *f = o->failure;
        struct rip__text t = { f->subject, sizeof f->subject, 0 };
        rip__text_add(&t, subject);
        rip__text_end(&t);
        f->step = step;
        f->code = code;
    }
    return code;
}

int rip__fail_fd(const struct rip__plan *p, int index, int code)
{
    static const char *const streams[] = { "in", "out", "err" };
    char name[32];
    struct rip__text t = { name, sizeof name, 0 };
    if (index < 3)
        return rip__fail(p->options, "redirect", streams[index], code);
    rip__text_add(&t, "fd ");
    rip__text_add_int(&t, p->fds[index - 3].target);
    rip__text_end(&t);
    return rip__fail(p->options, "redirect", name, code);
}

static int fail_limit(const struct rip__plan *p, int index, int code)
{
    static const char *const names[] = {
        "RLIMIT_CPU",      "RLIMIT_FSIZE", "RLIMIT_DATA",   "RLIMIT_STACK",
        "RLIMIT_CORE",     "RLIMIT_RSS",   "RLIMIT_NPROC",  "RLIMIT_NOFILE",
        "RLIMIT_MEMLOCK",  "RLIMIT_AS",    "RLIMIT_LOCKS",  "RLIMIT_SIGPENDING",
        "RLIMIT_MSGQUEUE", "RLIMIT_NICE",  "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
    };
    size_t resource = (size_t)p->limits[index].resource;
    return rip__fail(p->options, "rlimit",
                     resource < RIP__LENGTH(names) ? names[resource] : "",
                     code);
}

int rip__fail_spawn(const struct rip__plan *p, const struct rip__os_spawned *s,
                    int code)
{
    const struct rip_command_options *o = p->options;
    const char *program = o->program_fd ? "program_fd" : p->program;
    const char *user = o->user ? o->user : "";
    switch (s->step) {
    case RIP__STEP_CGROUP:
        return rip__fail(o, "cgroup", o->cgroup, code);
    case RIP__STEP_SETPGID:
        return rip__fail(o, "setpgid", program, code);
    case RIP__STEP_SETSID:
        return rip__fail(o, "setsid", program, code);
    case RIP__STEP_REDIRECT:
        return rip__fail_fd(p, s->index, code);
    case RIP__STEP_TERMINAL:
        return rip__fail(o, "terminal", s->index == 0 ? "in" : "out", code);
    case RIP__STEP_FOREGROUND:
        return rip__fail(o, "foreground", "/dev/tty", code);
    case RIP__STEP_LIFELINE:
        return rip__fail(o, "lifeline", program, code);
    case RIP__STEP_NICE:
        return rip__fail(o, "nice", program, code);
    case RIP__STEP_AFFINITY:
        return rip__fail(o, "affinity", program, code);
    case RIP__STEP_RLIMIT:
        return fail_limit(p, s->index, code);
    case RIP__STEP_SETGROUPS:
        return rip__fail(o, "setgroups", user, code);
    case RIP__STEP_SETGID:
        return rip__fail(o, "setgid", o->group ? o->group : user, code);
    case RIP__STEP_SETUID:
        return rip__fail(o, "setuid", user, code);
    case RIP__STEP_CLOSE:
        return rip__fail(o, "close", program, code);
    case RIP__STEP_CHDIR:
        return rip__fail(o, "chdir", o->cwd, code);
    case RIP__STEP_NO_NEW_PRIVS:
        return rip__fail(o, "no_new_privs", program, code);
    case RIP__STEP_EXEC:
        return rip__fail(o, "exec", program, code);
    case RIP__STEP_INTERPRETER:
        return rip__fail(o, "interpreter", p->paths[s->index], code);
    case RIP__STEP_NONE:
    case RIP__STEP_CLONE:
        break;
    }
    return rip__fail(o, "clone", program, code);
}

static const char *reason(const struct rip_failure *f)
{
    bool looked_up =
        strcmp(f->step, "user") == 0 || strcmp(f->step, "group") == 0;
    return looked_up && f->code == -ENOENT ? "not in the user database"
                                           : rip_strerror(f->code);
}

int rip_failure_format(const struct rip_failure *f, char *buf, size_t cap)
{
    struct rip__text t = { buf, cap, 0 };
    rip__text_add(&t, f->step ? f->step : "nothing failed");
    if (f->subject[0]) {
        rip__text_add(&t, " \"");
        rip__text_add_escaped(&t, f->subject);
        rip__text_add_char(&t, '"');
    }
    if (f->step) {
        rip__text_add(&t, ": ");
        rip__text_add(&t, reason(f));
    }
    return rip__text_end(&t);
}
