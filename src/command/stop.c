/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <signal.h>

/*
 * A command's tree is its process group and those of its descendants that
 * have left it. A descendant can be found only while its parents live, so
 * all of the tree that is seen when it is signalled is held by pidfds, and
 * can be waited for and killed later, when its parents are gone.
 *
 * c->lock is held wherever the group is signalled: nobody reaps the leader
 * meanwhile, so the group's number is still its own.
 */

static const rip_time second = 1000000000;

static bool has_ended(int pidfd)
{
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    return rip__os_poll(&p, 1, RIP_NOW) > 0;
}

static bool is_held(const rip_command *c, pid_t pid)
{
    for (size_t i = 0; i < c->n_held; i++)
        if (c->held[i].pid == pid && !has_ended(c->held[i].pidfd))
            return true; /* it lives, so it is no other of that pid */
    return false;
}

static void hold(void *command, const struct rip__os_member *m)
{
    rip_command *c = command;
    struct rip__os_member *held = NULL;
    size_t size;
    if (!is_held(c, m->pid) &&
        rip__multiply(c->n_held + 1, sizeof *held, &size))
        held = rip__seam.resize(c->held, size);
    if (!held) {
        rip__os_close(m->pidfd);
        return;
    }
    held[c->n_held++] = *m;
    c->held = held;
}

/* Members of the group get their signal through it, once; by themselves only
 * when the group can not be signalled any more. */
static bool signal_held(rip_command *c, int sig)
{
    bool any = false;
    for (size_t i = 0; i < c->n_held; i++) {
        const struct rip__os_member *m = &c->held[i];
        if (!c->reaped && c->own_group && m->group == c->pid)
            continue;
        if (rip__os_pidfd_signal(m->pidfd, sig) == 0)
            any = true;
    }
    return any;
}

static int signal_locked(rip_command *c, int sig)
{
    int r = -ESRCH;
    if (!c->reaped) {
        (void)rip__os_tree(c->pid, c->own_group ? c->pid : 0, hold, c);
        r = c->own_group ? rip__os_group_signal(c->pid, sig)
                         : rip__os_pidfd_signal(c->pidfd, sig);
        if (r == 0 && c->tree == RIP_TREE_NONE)
            c->tree = RIP_TREE_GROUP;
    }
    if (signal_held(c, sig)) {
        c->tree = RIP_TREE_SWEEP;
        r = 0;
    }
    return r;
}

int rip_command_signal(rip_command *c, int sig)
{
    pthread_mutex_lock(&c->lock);
    int r = signal_locked(c, sig);
    pthread_mutex_unlock(&c->lock);
    return r;
}

int rip_command_signal_one(rip_command *c, int sig)
{
    return rip__os_pidfd_signal(c->pidfd, sig);
}

void rip__stop_ask(rip_command *c, bool timed_out)
{
    pthread_mutex_lock(&c->lock);
    c->stopping++;
    if (!c->ended && !has_ended(c->pidfd)) {
        c->timed_out = c->timed_out || timed_out;
        c->stopped = c->stopped || !timed_out;
    }
    if (c->grace > 0)
        (void)signal_locked(c, SIGTERM);
    pthread_mutex_unlock(&c->lock);
}

/* The command and all that is held of its tree, as poll(2) wants them. */
static struct pollfd *watch_tree(rip_command *c, size_t *n)
{
    pthread_mutex_lock(&c->lock);
    struct pollfd *list = rip__alloc_array(c->n_held + 1, sizeof *list);
    if (list) {
        list[0] = (struct pollfd){ .fd = c->pidfd, .events = POLLIN };
        for (size_t i = 0; i < c->n_held; i++)
            list[i + 1] =
                (struct pollfd){ .fd = c->held[i].pidfd, .events = POLLIN };
        *n = c->n_held + 1;
    }
    pthread_mutex_unlock(&c->lock);
    return list;
}

void rip__stop_await(rip_command *c, rip_time deadline)
{
    size_t n, left;
    struct pollfd *list = watch_tree(c, &n);
    if (!list) {
        (void)rip__command_await(c, deadline);
        return;
    }
    left = n;
    while (left > 0 && rip__os_poll(list, n, deadline) > 0) {
        for (size_t i = 0; i < n; i++) {
            if (list[i].fd >= 0 && list[i].revents) {
                list[i].fd = -1; /* poll passes it over */
                left--;
            }
        }
    }
    rip__free(list);
}

void rip__stop_kill(rip_command *c)
{
    pthread_mutex_lock(&c->lock);
    (void)signal_locked(c, SIGKILL);
    pthread_mutex_unlock(&c->lock);
    rip__stop_await(c, rip__later(second));
}

int rip__stop_end(rip_command *c, struct rip_exit *ret)
{
    pthread_mutex_lock(&c->lock);
    c->stopping--;
    pthread_mutex_unlock(&c->lock);
    return rip_command_wait(c, ret, RIP_NOW);
}

int rip_command_stop(rip_command *c, struct rip_exit *ret, rip_time deadline)
{
    rip_time grace_ends = rip__sooner(deadline, rip__later(c->grace));
    rip__stop_ask(c, false);
    rip__stop_await(c, c->grace > 0 ? grace_ends : RIP_NOW);
    rip__stop_kill(c);
    return rip__stop_end(c, ret);
}
