/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <signal.h>

/*
 * A command's tree is its process group, its descendants, and whoever has its
 * mark in the environment: what left the group is found by its mark, what
 * lost the mark by its parents, as long as they live. All of the tree that is
 * seen when it is signalled is held by pidfds, and can be waited for and
 * killed later, when its parents are gone. With a control group of its own
 * the tree is what is in that, and nothing else has to be looked through.
 *
 * c->lock is held wherever the group is signalled: nobody reaps the command
 * meanwhile, so the group's number is not somebody else's as long as the
 * command itself is in it. The stages of a pipeline share one group, which is
 * looked for and signalled with the first of them that is still there.
 */

static const rip_time second = 1000000000;

/* All of whose tree is in a control group of its own. */
static bool in_cgroup(const rip_command *c)
{
    return c->cgroup.dir >= 0;
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
        if (rip__os_has_ended(c->held[i].pidfd))
            rip__os_close(c->held[i].pidfd);
        else
            c->held[left++] = c->held[i];
    }
    c->n_held = left;
}

static struct rip__os_member *find_held(const rip_command *c, pid_t pid)
{
    for (size_t i = 0; i < c->n_held; i++)
        if (c->held[i].pid == pid && !rip__os_has_ended(c->held[i].pidfd))
            return &c->held[i]; /* it lives: no other has that pid */
    return NULL;
}

/* One look at the tree of a command. */
struct look {
    rip_command *c;
    int error;
    bool grew; /* somebody is there whom we did not hold before */
};

static void hold(void *arg, const struct rip__os_member *m)
{
    struct look *l = arg;
    rip_command *c = l->c;
    struct rip__os_member *held = NULL, *known = find_held(c, m->pid);
    size_t size;
    if (known)
        known->group = m->group; /* it may have left ours since */
    else if (rip__multiply(c->n_held + 1, sizeof *held, &size))
        held = rip__seam.resize(c->held, size);
    if (!held) {
        rip__os_close(m->pidfd);
        l->error = known ? l->error : -ENOMEM;
        return;
    }
    held[c->n_held++] = *m;
    c->held = held;
    l->grew = true;
}

/* Holds all of the tree that is to be seen. `there`: its pid is its own. As
 * rip__os_tree; 1 also when there is somebody new. */
static int hold_tree(rip_command *c, struct rip__os_processes *all, bool there,
                     pid_t group)
{
    struct look l = { .c = c };
    if (in_cgroup(c)) {
        int r = rip__os_cgroup_members(&c->cgroup, c->pid, hold, &l);
        return r < 0 ? r : l.error < 0 ? l.error : l.grew;
    }
    const struct rip__os_root root = {
        .pid = there ? c->pid : 0,
        .group = group,
        .mark = c->mark[0] ? c->mark : NULL,
    };
    int r = rip__os_tree(all, &root, hold, &l);
    if (r >= 0 && l.error < 0)
        return l.error;
    return r == 0 ? l.grew : r;
}

/* Whether it has reached anybody whom the group's signal did not; *error says
 * why somebody was not reached.
 * Members of the group get their signal through it, once. One that had left
 * when the group was signalled got none; it looks the same as one that left
 * afterwards, which gets a second. */
static bool signal_held(rip_command *c, int sig, pid_t group, int *error)
{
    bool any = false;
    for (size_t i = 0; i < c->n_held; i++) {
        const struct rip__os_member *m = &c->held[i];
        bool was_in_group = group > 0 && m->group == group;
        if (was_in_group && rip__os_group_of(m->pid) == group)
            continue;
        int r = rip__os_pidfd_signal(m->pidfd, sig);
        if (r == 0)
            any = any || !was_in_group;
        else if (r != -ESRCH)
            *error = r;
    }
    return any;
}

static void note_reach(rip_command *c, enum rip_tree reach, int looked)
{
    if (looked < 0)
        c->tree = RIP_TREE_PARTIAL;
    else if (in_cgroup(c))
        c->tree = RIP_TREE_CGROUP;
    else if (reach == RIP_TREE_SWEEP || c->tree != RIP_TREE_SWEEP)
        c->tree = reach;
}

/* The group by which it is reached, 0 if there is none. A stage may have gone
 * elsewhere, by setsid(2) say. */
static pid_t group_of(const rip_command *c, bool there)
{
    if (!there || !c->leader || in_cgroup(c))
        return 0;
    pid_t group = c->leader->pid;
    return c->leader == c || rip__os_group_of(c->pid) == group ? group : 0;
}

/* One signal to several. */
struct round {
    int sig;
    struct rip__os_processes *all;
    int looked;      /* what came of reading these */
    pid_t signalled; /* the last group that got the signal in this round */
    bool again;      /* it is worth another look: somebody is new, or can not be
                        judged */
};

static int signal_itself(const rip_command *c, pid_t group,
                         const struct round *round)
{
    if (group == 0)
        return rip__os_child_signal(c->pidfd, c->pid, round->sig);
    if (group == round->signalled)
        return 0;
    return rip__os_group_signal(c->leader->pidfd, group, round->sig);
}

static int signal_locked(rip_command *c, struct round *round)
{
    int r = -ESRCH, looked = round->looked;
    /* Not only we can have reaped it, and then the group is anybody's. */
    bool there =
        !c->reaped && rip__os_child_signal(c->pidfd, c->pid, 0) != -ESRCH;
    pid_t group = group_of(c, there);
    prune_held(c);
    if (looked == 0 || in_cgroup(c))
        looked = hold_tree(c, round->all, there,
                           group == round->signalled ? 0 : group);
    if (in_cgroup(c) && round->sig == SIGKILL)
        (void)rip__os_cgroup_kill(&c->cgroup); /* else one by one */
    if (there)
        r = signal_itself(c, group, round);
    if (group > 0)
        round->signalled = group;
    if (signal_held(c, round->sig, group, &looked)) {
        note_reach(c, RIP_TREE_SWEEP, looked);
        r = 0;
    } else if (r == 0) {
        note_reach(c, RIP_TREE_GROUP, looked);
    }
    round->again = round->again || looked > 0;
    return r == 0 && looked < 0 ? looked : r;
}

/* Signals each once; -ESRCH if none was there. */
static int signal_each(rip_command *const *list, size_t n, int sig, bool *again)
{
    struct round round = { .sig = sig };
    int result = -ESRCH;
    for (size_t i = 0; !round.all && round.looked == 0 && i < n; i++)
        if (!in_cgroup(list[i]))
            round.looked = rip__os_processes_read(&round.all);
    for (size_t i = 0; i < n; i++) {
        pthread_mutex_lock(&list[i]->lock);
        int r = signal_locked(list[i], &round);
        pthread_mutex_unlock(&list[i]->lock);
        if (result == -ESRCH || (result == 0 && r != -ESRCH))
            result = r;
    }
    rip__os_processes_free(round.all);
    *again = *again || round.again;
    return result;
}

/* Whether somebody of those we know is alive. */
static bool lives(rip_command *c)
{
    pthread_mutex_lock(&c->lock);
    bool alive = !rip__os_has_ended(c->pidfd);
    for (size_t i = 0; !alive && i < c->n_held; i++)
        alive = !rip__os_has_ended(c->held[i].pidfd);
    pthread_mutex_unlock(&c->lock);
    return alive;
}

static bool any_lives(rip_command *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lives(list[i]))
            return true;
    return false;
}

/*
 * Those whom we look at go on meanwhile, and may start others before they get
 * their signal; so there is a look after it. What has been killed starts
 * nobody, so looking again comes to an end; but a program that forks faster
 * than we look has to be given up at some point, and so has one that stays
 * between two programs (in an exec from a file system that hangs). Who is
 * there for a moment only is waited for: on a loaded machine that can be some
 * time.
 */
int rip_command_signal_all(rip_command *const *list, size_t n, int sig)
{
    const rip_time nap = 1000000, patience = 250 * nap;
    bool again = sig == SIGKILL && any_lives(list, n);
    int result = signal_each(list, n, sig, &again);
    rip_time give_up = sig == SIGKILL && again ? rip__later(patience) : 0;
    while (again && rip__os_clock() < give_up) {
        again = false;
        int r = signal_each(list, n, sig, &again);
        result = r == -ESRCH ? result : r;
        if (again)
            (void)rip__os_poll(NULL, 0, rip__later(nap));
    }
    return result;
}

int rip_command_signal(rip_command *c, int sig)
{
    return rip_command_signal_all(&c, 1, sig);
}

int rip_command_signal_one(rip_command *c, int sig)
{
    int r = rip__os_pidfd_signal(c->pidfd, sig);
    if (r != -ENOSYS && r != -EPERM)
        return r;
    pthread_mutex_lock(&c->lock);
    r = c->reaped ? -ESRCH : rip__os_child_signal(c->pidfd, c->pid, sig);
    pthread_mutex_unlock(&c->lock);
    return r;
}

void rip__stop_ask(rip_command *const *list, size_t n, bool timed_out)
{
    for (size_t i = 0; i < n; i++) {
        rip_command *c = list[i];
        pthread_mutex_lock(&c->lock);
        c->stopping++;
        if (!c->ended && !rip__os_has_ended(c->pidfd)) {
            c->timed_out = c->timed_out || timed_out;
            c->stopped = c->stopped || !timed_out;
        }
        pthread_mutex_unlock(&c->lock);
    }
    if (list[0]->grace > 0)
        (void)rip_command_signal_all(list, n, SIGTERM);
}

static void watch(struct pollfd *p, int pidfd)
{
    *p = (struct pollfd){ .fd = pidfd, .events = POLLIN };
}

/* The command and all that is held of its tree, as poll(2) wants them: added
 * to a list of *n. */
static int watch_tree(rip_command *c, struct pollfd **fds, size_t *n)
{
    size_t size;
    struct pollfd *more = NULL;
    pthread_mutex_lock(&c->lock);
    if (rip__multiply(*n + 1 + c->n_held, sizeof *more, &size))
        more = rip__seam.resize(*fds, size);
    if (more) {
        *fds = more;
        watch(&more[(*n)++], c->pidfd);
        for (size_t i = 0; i < c->n_held; i++)
            watch(&more[(*n)++], c->held[i].pidfd);
    }
    pthread_mutex_unlock(&c->lock);
    return more ? 0 : -ENOMEM;
}

/* Until all have ended, or the deadline: 0; or a failure. */
static int await_all(struct pollfd *fds, size_t n, rip_time deadline)
{
    size_t left = n;
    int r = 1;
    while (left > 0 && (r = rip__os_poll(fds, n, deadline)) > 0) {
        for (size_t i = 0; i < n; i++) {
            if (fds[i].fd >= 0 && fds[i].revents) {
                fds[i].fd = -1; /* poll passes it over */
                left--;
            }
        }
    }
    return r < 0 ? r : 0;
}

/* Where there is no memory for that they are waited for one by one, without
 * their trees. */
void rip__stop_await(rip_command *const *list, size_t n, rip_time deadline)
{
    struct pollfd *fds = NULL;
    size_t n_fds = 0, i = 0;
    while (i < n && watch_tree(list[i], &fds, &n_fds) == 0)
        i++;
    if (await_all(fds, n_fds, deadline) < 0)
        i = 0;
    for (; i < n; i++)
        (void)rip__command_await(list[i], deadline);
    rip__free(fds);
}

void rip__stop_kill(rip_command *const *list, size_t n)
{
    rip_time give_up = rip__later(second); /* looking around included */
    (void)rip_command_signal_all(list, n, SIGKILL); /* `tree` has the result */
    for (size_t i = 0; i < n; i++) {
        pthread_mutex_lock(&list[i]->lock);
        list[i]->killed = true;
        pthread_mutex_unlock(&list[i]->lock);
    }
    rip__stop_await(list, n, give_up);
}

int rip__stop_end(rip_command *c, struct rip_exit *ret)
{
    rip_time deadline =
        rip__os_has_ended(c->pidfd) ? rip__later(second / 10) : RIP_NOW;
    pthread_mutex_lock(&c->lock);
    c->stopping--;
    pthread_mutex_unlock(&c->lock);
    /* Another may be just taking it away (see rip__os_reap). */
    return rip__command_reap(c, ret, deadline);
}

int rip__stop(rip_command *c, struct rip_exit *ret, rip_time deadline,
              bool timed_out)
{
    rip_time grace_ends = rip__sooner(deadline, rip__later(c->grace));
    rip__stop_ask(&c, 1, timed_out);
    rip__stop_await(&c, 1, c->grace > 0 ? grace_ends : RIP_NOW);
    rip__stop_kill(&c, 1);
    return rip__stop_end(c, ret);
}

int rip_command_stop(rip_command *c, struct rip_exit *ret, rip_time deadline)
{
    return rip__stop(c, ret, deadline, false);
}
