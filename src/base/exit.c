/* SPDX-License-Identifier: MIT */
#include <ripstop/exit.h>

#include "base/base.h"

#include <signal.h>
#include <sys/wait.h>

void rip__exit_note(struct rip_exit *ret, bool known, int wait_status)
{
    ret->how = RIP_UNKNOWN;
    if (known && WIFSIGNALED(wait_status)) {
        ret->how = RIP_SIGNALED;
        ret->signal = WTERMSIG(wait_status);
        ret->core_dumped = WCOREDUMP(wait_status);
    } else if (known) {
        ret->how = RIP_EXITED;
        ret->code = WEXITSTATUS(wait_status);
    }
}

bool rip_exit_ok(const struct rip_exit *e)
{
    return e->how == RIP_EXITED && e->code == 0;
}

const char *rip_signal_name(int signal)
{
    static const char *const names[] = {
        [SIGHUP] = "SIGHUP",       [SIGINT] = "SIGINT",
        [SIGQUIT] = "SIGQUIT",     [SIGILL] = "SIGILL",
        [SIGTRAP] = "SIGTRAP",     [SIGABRT] = "SIGABRT",
        [SIGBUS] = "SIGBUS",       [SIGFPE] = "SIGFPE",
        [SIGKILL] = "SIGKILL",     [SIGUSR1] = "SIGUSR1",
        [SIGSEGV] = "SIGSEGV",     [SIGUSR2] = "SIGUSR2",
        [SIGPIPE] = "SIGPIPE",     [SIGALRM] = "SIGALRM",
        [SIGTERM] = "SIGTERM",     [SIGCHLD] = "SIGCHLD",
        [SIGCONT] = "SIGCONT",     [SIGSTOP] = "SIGSTOP",
        [SIGTSTP] = "SIGTSTP",     [SIGTTIN] = "SIGTTIN",
        [SIGTTOU] = "SIGTTOU",     [SIGURG] = "SIGURG",
        [SIGXCPU] = "SIGXCPU",     [SIGXFSZ] = "SIGXFSZ",
        [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF",
        [SIGWINCH] = "SIGWINCH",   [SIGIO] = "SIGIO",
        [SIGPWR] = "SIGPWR",       [SIGSYS] = "SIGSYS",
#ifdef SIGSTKFLT
        [SIGSTKFLT] = "SIGSTKFLT",
#endif
    };
    if (signal < 0 || (size_t)signal >= RIP__LENGTH(names))
        return NULL;
    return names[signal];
}

static void add_signal(struct rip__text *t, int signal)
{
    const char *name = rip_signal_name(signal);
    rip__text_add(t, "killed by ");
    if (name) {
        rip__text_add(t, name);
    } else {
        rip__text_add(t, "signal ");
        rip__text_add_int(t, signal);
    }
}

static void add_end(struct rip__text *t, const struct rip_exit *e)
{
    switch (e->how) {
    case RIP_RUNNING:
        rip__text_add(t, "still running");
        break;
    case RIP_EXITED:
        rip__text_add(t, "exited with ");
        rip__text_add_int(t, e->code);
        break;
    case RIP_SIGNALED:
        add_signal(t, e->signal);
        break;
    case RIP_UNKNOWN:
        rip__text_add(t, "ended, nobody knows how");
        break;
    }
}

int rip_exit_format(const struct rip_exit *e, char *buf, size_t cap)
{
    const struct {
        bool applies;
        const char *words;
    } notes[] = {
        { e->core_dumped, "core dumped" },
        { e->oom_killed, "out of memory" },
        { e->timed_out, "deadline passed" },
        { e->stopped, "stopped" },
        { e->tree == RIP_TREE_PARTIAL, "part of its tree may run on" },
    };
    struct rip__text t = { buf, cap, 0 };
    const char *mark = " (";
    add_end(&t, e);
    for (size_t i = 0; i < RIP__LENGTH(notes); i++) {
        if (!notes[i].applies)
            continue;
        rip__text_add(&t, mark);
        rip__text_add(&t, notes[i].words);
        mark = ", ";
    }
    if (*mark == ',')
        rip__text_add_char(&t, ')');
    return rip__text_end(&t);
}
