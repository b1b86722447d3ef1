/* SPDX-License-Identifier: MIT */
#include "os/linux_child.h"

#include <errno.h>
#include <fcntl.h> /* AT_* */
#include <signal.h>
#include <sys/prctl.h>

#include "os/linux.h"

/* The kernel's struct sigaction, which libc's only resembles. */
struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

int rip__child_fail(struct rip__child *c, enum rip__os_step step, int index,
                    long error)
{
    c->report->step = step;
    c->report->index = index;
    c->report->error = (int)error;
    return -1;
}

/* If the parent gives it up, or is no more, there is nobody to tell. */
static int await_gate(struct rip__child *c)
{
    char byte;
    if (c->gate[0] < 0)
        return 0;
    (void)RIP__SYS(SYS_close, c->gate[1]);
    return RIP__SYS(SYS_read, c->gate[0], &byte, 1) == 1 ? 0 : -1;
}

/* ---- signals ---------------------------------------------------------- */

static void set_action(int sig, void (*handler)(int))
{
    const struct kernel_sigaction action = { .handler = handler };
    (void)RIP__SYS(SYS_rt_sigaction, sig, &action, NULL, sizeof action.mask);
}

static bool is_ignored(int sig)
{
    struct kernel_sigaction now = { 0 };
    (void)RIP__SYS(SYS_rt_sigaction, sig, NULL, &now, sizeof now.mask);
    return now.handler == SIG_IGN;
}

/* exec drops handlers by itself; but as soon as no signal is blocked any more
 * one would run here, in the parent's memory. */
static int reset_actions(struct rip__child *c)
{
    bool keep = c->spawn->keep_ignored;
    bool nothing_to_reset = keep && c->handlers_cleared;
    for (int sig = 1; sig <= RIP__OS_SIGNALS; sig++) {
        if (sig == SIGKILL || sig == SIGSTOP)
            continue;
        if (c->spawn->ignored >> (sig - 1) & 1)
            set_action(sig, SIG_IGN);
        else if (!nothing_to_reset && !(keep && is_ignored(sig)))
            set_action(sig, SIG_DFL);
    }
    return 0;
}

static int set_mask(struct rip__child *c)
{
    rip__kernel_sigset mask = c->spawn->blocked;
    (void)RIP__SYS(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
    return 0;
}

/* ---- exec ------------------------------------------------------------- */

static int change_directory(struct rip__child *c)
{
    if (!c->spawn->cwd)
        return 0;
    long r = RIP__SYS(SYS_chdir, c->spawn->cwd);
    return r < 0 ? rip__child_fail(c, RIP__STEP_CHDIR, 0, r) : 0;
}

static int renounce_privileges(struct rip__child *c)
{
    if (!c->spawn->no_new_privs)
        return 0;
    long r = RIP__SYS(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return r < 0 ? rip__child_fail(c, RIP__STEP_NO_NEW_PRIVS, 0, r) : 0;
}

/* Whether the next path may be tried after this error, as execvp(3) has it. */
static bool is_elsewhere(long error)
{
    return error == -ENOENT || error == -ENOTDIR || error == -EACCES ||
           error == -ESTALE || error == -ENODEV || error == -ETIMEDOUT;
}

/* What is told is the most telling failure: a program that is there but can
 * not be run is better to know of than the last directory of PATH that does
 * not have it. Nothing is told before the end, for there is no taking it back
 * should exec work after all. */
static int tell_why_not(struct rip__child *c)
{
    const struct rip__os_spawn *s = c->spawn;
    enum rip__os_step step = RIP__STEP_EXEC;
    long r = -ENOENT, error = -ENOENT;
    int index = 0;
    for (int i = 0; s->paths[i] && is_elsewhere(r); i++) {
        r = RIP__SYS(SYS_execve, s->paths[i], s->argv, s->envp);
        bool there = r == -ENOENT && RIP__SYS(SYS_faccessat, AT_FDCWD,
                                              s->paths[i], 0 /* F_OK */) == 0;
        if (there || r == -EACCES || !is_elsewhere(r) || !s->paths[1]) {
            step = there ? RIP__STEP_INTERPRETER : RIP__STEP_EXEC;
            error = r;
            index = i;
        }
    }
    return rip__child_fail(c, step, index, error);
}

/* Tries each path. Most programs come behind some directories of PATH that do
 * not have them: why is asked only when there is none that can be run. */
static int execute_path(struct rip__child *c)
{
    const struct rip__os_spawn *s = c->spawn;
    long r = -ENOENT;
    int i = 0;
    for (; s->paths[i] && is_elsewhere(r); i++)
        r = RIP__SYS(SYS_execve, s->paths[i], s->argv, s->envp);
    if (is_elsewhere(r))
        return tell_why_not(c);
    return rip__child_fail(c, RIP__STEP_EXEC, i - 1, r);
}

static int execute(struct rip__child *c)
{
    const struct rip__os_spawn *s = c->spawn;
    if (!s->program)
        return execute_path(c);
    long r =
        RIP__SYS(SYS_execveat, c->program, "", s->argv, s->envp, AT_EMPTY_PATH);
    return rip__child_fail(c, RIP__STEP_EXEC, 0, r);
}

/*
 * The order counts. The redirections come while descriptors may still be many
 * and the limits ours; what needs privileges comes before these are dropped,
 * and the directory after, so that it is entered with the rights of who is to
 * work in it. The signal mask is last: until then nothing can interrupt.
 */
int rip__child_main(void *arg)
{
    static int (*const steps[])(struct rip__child *) = {
        await_gate,
        rip__child_cgroup,
        reset_actions,
        rip__child_group,
        rip__child_table,
        rip__child_redirect,
        rip__child_terminal,
        rip__child_lifeline,
        rip__child_limits,
        rip__child_identity,
        rip__child_close,
        change_directory,
        renounce_privileges,
        set_mask,
        execute,
    };
    struct rip__child *c = arg;
    c->memory_is_shared = true;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i](c) < 0)
            break;
    for (;;)
        (void)RIP__SYS(SYS_exit_group, 127);
}
