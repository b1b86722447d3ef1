/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct orphans {
    pid_t except;
    bool say;
    size_t alive, dying;
};

static void visit(const struct harness_proc *p, void *ctx)
{
    struct orphans *o = ctx;
    char command[512];

    if (p->pid == o->except)
        return;
    if (p->state == 'Z' && waitpid(p->pid, NULL, WNOHANG | __WALL) == p->pid)
        return;
    if (harness_proc_dying(p)) {
        o->dying++;
        return;
    }
    o->alive++;
    harness_proc_command(p, command, sizeof command);
    if (o->say)
        harness_say("process left behind: %d %s\n", p->pid, command);
}

/* Quicker than a look through /proc. */
static bool no_children(void)
{
    siginfo_t info;

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 &&
           errno == ECHILD;
}

/* That a process is dying does not show at every instant of its death, and
 * it is gone soon; so whoever is there is looked at again. */
size_t harness_orphans(pid_t except)
{
    struct orphans o = { .except = except };

    for (int i = 0; i < 20; i++) {
        if (no_children())
            return 0;
        o.alive = o.dying = 0;
        harness_proc_each(getpid(), visit, &o);
        if (o.alive + o.dying == 0)
            return 0;
        harness_nap();
    }
    o.say = true;
    o.alive = 0;
    harness_proc_each(getpid(), visit, &o);
    return o.alive;
}

static void kill_one(const struct harness_proc *p, void *ctx)
{
    (void)ctx;
    kill(p->pid, SIGKILL);
}

/*
 * Only direct children are killed, which have not been reaped, so that no pid
 * can be somebody else's; their children become ours then.
 */
void harness_kill_descendants(void)
{
    int64_t until = harness_now() + 10000000000;
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) >= 0 &&
           harness_now() < until)
        if (pid == 0) {
            harness_proc_each(getpid(), kill_one, NULL);
            harness_nap();
        }
}
