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

/* Lets go of those that have ended, so that a command which is signalled again
 * and again holds no more than it has. Not while somebody stops it, and waits
 * for these very pidfds. */
static void prune_held(rip_command *c)
{
    size_t left = 0;
    if (c->stopping > 0)
        return;
    for (size_t i = 0; i < c->n_held; i++) {
        if (has_ended(c->held[i].pidfd))
            rip__os_close(c->held[i].pidfd);
        else
            c->held[left++] = c->held[i];
    }
    c->n_held = left;
}

static struct rip__os_member *find_held(const rip_command *c, pid_t pid)
{
    for (size_t i = 0; i < c->n_held; i++)
        if (c->held[i].pid == pid && !has_ended(c->held[i].pidfd))
            return &c->held[i]; /* it lives: no other has that pid */
    return NULL;
}

static void hold(void *command, const struct rip__os_member *m)
{
    rip_command *c = command;
    struct rip__os_member *held = NULL, *known = find_held(c, m->pid);
    size_t size;
    if (known)
        known->group = m->group; /* it may have left ours since */
    else if (rip__multiply(c->n_held + 1, sizeof *held, &size))
        held = rip__seam.resize(c->held, size);
    if (!held) {
        rip__os_close(m->pidfd);
        return;
    }
    held[c->n_held++] = *m;
    c->held = held;
}

/* Members of the group get their signal through it, once; by themselves only
 * when the group can not be signalled any more, or when a second signal does
 * no harm: since we looked one may have left the group. */
static bool signal_held(rip_command *c, int sig, bool by_group)
{
    bool any = false;
    for (size_t i = 0; i < c->n_held; i++) {
        const struct rip__os_member *m = &c->held[i];
        bool in_group = by_group && m->group == c->pid;
        if (in_group && sig != SIGKILL)
            continue;
        if (rip__os_pidfd_signal(m->pidfd, sig) == 0)
            any = any || !in_group;
    }
    return any;
}

static int signal_locked(rip_command *c, int sig)
{
    int r = -ESRCH;
    /* Not only we can have reaped it, and then the group is anybody's. */
    bool there = !c->reaped && rip__os_pidfd_signal(c->pidfd, 0) != -ESRCH;
    if (there) {
        (void)rip__os_tree(c->pid, c->own_group ? c->pid : 0, hold, c);
        r = c->own_group ? rip__os_group_signal(c->pid, sig)
                         : rip__os_pidfd_signal(c->pidfd, sig);
        if (r == 0 && c->tree == RIP_TREE_NONE)
            c->tree = RIP_TREE_GROUP;
    }
    if (signal_held(c, sig, there && c->own_group)) {
        c->tree = RIP_TREE_SWEEP;
        r = 0;
    }
    return r;
}

int rip_command_signal(rip_command *c, int sig)
{
    pthread_mutex_lock(&c->lock);
    prune_held(c);
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
    c->killed = true;
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
