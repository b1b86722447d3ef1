/* SPDX-License-Identifier: MIT */
#include "task/task.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h> /* getpid */

#include "base/base.h"
#include "segment/segment.h"

/*
 * Who waits for a group sleeps in one poll(2): on a descriptor of the group,
 * which each of its threads writes to at its end, and on those that process
 * tasks have anyway. There are some hundred of the latter at the most (see
 * keep_descriptor in process.c). The other processes are looked at now and
 * then: those that were forked by number, which is one cheap call each, and
 * clones, which have no descriptor unless one was asked for, in their records.
 */
enum { WATCHED = 256 };
static const rip_time look_again = INT64_C(20) * 1000000;

/* How far the end of a task has been brought about. */
enum stage { LET_RUN, ASKED, TERMINATED, KILLED, LOST };

struct member {
    rip_task *task;
    enum stage stage;
    rip_time next;  /* when the next stage is due */
    bool has_ended; /* as far as can be seen from outside */
    struct member *after;
};

struct rip_group {
    pthread_mutex_t lock; /* for all that follows `keep_going` */
    pid_t owner;
    int fd; /* readable: there may be news */
    bool keep_going, stopping, closing;
    unsigned starting; /* tasks that are just being started */
    unsigned waiting;  /* threads in rip_group_wait */
    int failed;
    struct rip_exit first;          /* of those that failed */
    struct member *members, **last; /* in the order of their start */
    size_t n, starts;               /* members; starts since the last look */
    rip_time look_at;               /* when those without one are due */
};

/* What there is to sleep on. */
struct view {
    struct pollfd fds[1 + WATCHED];
    struct member *of[1 + WATCHED];
    size_t n;
    bool blind; /* there are processes beside these */
    bool stuck; /* one has ended that nobody can take at the moment */
    rip_time until;
};

void rip__group_tell(struct rip_group *g)
{
    rip__os_eventfd_set(g->fd);
}

/* ---- ends ------------------------------------------------------------- */

static void note(struct rip_group *g, const struct rip_exit *end)
{
    if (rip_exit_ok(end) || end->stopped)
        return;
    if (g->failed++ == 0)
        g->first = *end;
    if (g->keep_going || g->stopping)
        return;
    g->stopping = true;
    g->look_at = RIP_NOW; /* who else had failed before it was asked? */
}

/* Whether the member is no longer one. */
static bool take(struct rip_group *g, const struct member *m)
{
    struct rip_exit end;
    bool lost = g->closing && m->stage == LOST;
    if (!m->has_ended && !lost)
        return false;
    if (rip_task_join(m->task, &end, RIP_NOW) == 0)
        note(g, &end);
    else if (!lost)
        return false;
    rip_task_free(m->task);
    g->n--;
    return true;
}

static bool take_ended(struct rip_group *g, struct view *v)
{
    bool any = false;
    struct member **at = &g->members, *m;
    while ((m = *at) != NULL) {
        if (take(g, m)) {
            *at = m->after;
            rip__free(m);
            any = true;
        } else {
            v->stuck |= m->has_ended;
            at = &m->after;
        }
    }
    g->last = at;
    return any;
}

/* A clone is no child of ours. */
static bool has_ended(rip_task *t)
{
    return t->template != 0 ? rip__process_join(t, RIP_NOW) == 0
                            : rip__os_child_has_ended(t->child.pid);
}

static void look_at_process(struct view *v, struct member *m, bool due)
{
    uint32_t fd = __atomic_load_n(&m->task->fd, __ATOMIC_ACQUIRE);
    if (fd != 0 && v->n < RIP__LENGTH(v->fds)) {
        v->fds[v->n] = (struct pollfd){ (int)fd - 1, POLLIN, 0 };
        v->of[v->n++] = m;
    } else {
        v->blind = true;
        if (due)
            m->has_ended = has_ended(m->task);
    }
}

static void look_at_all(struct rip_group *g, struct view *v)
{
    rip_time now = rip__os_clock();
    bool due = now >= g->look_at;
    for (struct member *m = g->members; m; m = m->after) {
        m->has_ended = false;
        if (m->task->kind == RIP_PROCESS)
            look_at_process(v, m, due);
        else
            m->has_ended = rip__task_state(m->task) != RIP__RUNS;
    }
    if (due)
        g->look_at = now + look_again;
    v->until = v->blind ? g->look_at : RIP_FOREVER;
}

/* Takes what has ended; true: there was something, and so there may be more. */
static bool look(struct rip_group *g, struct view *v)
{
    uint64_t count;
    (void)rip__os_read(g->fd, &count, sizeof count);
    v->fds[0] = (struct pollfd){ g->fd, POLLIN, 0 };
    v->n = 1;
    v->blind = v->stuck = false;
    g->starts = 0;
    look_at_all(g, v);
    int r = v->n > 1 ? rip__os_poll(v->fds + 1, v->n - 1, RIP_NOW) : 0;
    for (size_t i = 1; r > 0 && i < v->n; i++)
        v->of[i]->has_ended = v->fds[i].revents != 0;
    return take_ended(g, v);
}

/* ---- stopping --------------------------------------------------------- */

/* A process has one half of its grace for each of two ways to be asked. */
static void ask(struct member *m)
{
    rip_task_stop(m->task);
    m->stage = ASKED;
    m->next = m->task->kind == RIP_PROCESS ? rip__later(m->task->grace / 2)
                                           : RIP_FOREVER;
}

static void press_harder(struct member *m)
{
    if (m->stage == ASKED && m->task->grace > 0) {
        (void)rip_task_signal(m->task, SIGTERM);
        m->stage = TERMINATED;
        m->next = rip__later(m->task->grace / 2);
    } else if (m->stage <= TERMINATED) {
        (void)rip_task_signal(m->task, SIGKILL);
        m->stage = KILLED;
        m->next = rip__later(RIP__DEATH_NS);
    } else {
        m->stage = LOST;
        m->next = RIP_FOREVER;
    }
}

static void press(struct rip_group *g, struct view *v)
{
    for (struct member *m = g->members; m; m = m->after) {
        if (m->stage == LET_RUN)
            ask(m);
        while (m->next <= rip__os_clock())
            press_harder(m);
        v->until = rip__sooner(v->until, m->next);
        if (g->closing && m->stage == LOST)
            v->until = RIP_NOW;
    }
}

/* All that there is to do without sleeping. */
static void tend(struct rip_group *g, struct view *v)
{
    while (look(g, v))
        ;
    if (g->stopping)
        press(g, v);
}

void rip_group_stop(rip_group *g)
{
    struct view v;
    if (g->owner != getpid())
        return;
    pthread_mutex_lock(&g->lock);
    while (look(g, &v))
        ;
    g->stopping = true;
    press(g, &v);
    rip__group_tell(g);
    pthread_mutex_unlock(&g->lock);
}

/* ---- starting --------------------------------------------------------- */

/* Those that have ended are taken away now and then, so that a group can have
 * any number of tasks; and a failure is seen before the wait. */
static int enter(struct rip_group *g)
{
    struct view v;
    pthread_mutex_lock(&g->lock);
    if (++g->starts > g->n / 16)
        tend(g, &v);
    int r = g->stopping ? -ECANCELED : 0;
    if (r == 0)
        g->starting++;
    pthread_mutex_unlock(&g->lock);
    return r;
}

/* Those who wait have to know of the new one. */
static void leave(struct rip_group *g, struct member *m)
{
    pthread_mutex_lock(&g->lock);
    g->starting--;
    if (m) {
        m->next = RIP_FOREVER;
        *g->last = m;
        g->last = &m->after;
        g->n++;
    }
    if (m && g->stopping)
        ask(m);
    if (g->waiting > 0)
        rip__group_tell(g);
    pthread_mutex_unlock(&g->lock);
}

int rip_group_start(rip_group *g, rip_task_fn *fn, void *arg,
                    const struct rip_task_options *opt)
{
    if (g->owner != getpid())
        return -ECHILD;
    if (opt && opt->detached)
        return -EINVAL;
    struct member *m = rip__alloc(sizeof *m);
    if (!m)
        return -ENOMEM;
    int r = enter(g);
    if (r == 0) {
        r = rip__task_start(&m->task, fn, arg, opt, g);
        leave(g, r == 0 ? m : NULL);
    }
    if (r < 0)
        rip__free(m);
    return r;
}

/* ---- waiting ---------------------------------------------------------- */

static int nap_or_sleep(struct view *v, rip_time deadline)
{
    const rip_time nap = 5000000;
    rip_time until = rip__sooner(v->until, deadline);
    if (v->stuck) /* its descriptor would not let us sleep */
        return rip__poll(v->fds, 1, rip__sooner(until, rip__later(nap)));
    return rip__poll(v->fds, v->n, until);
}

/* With the lock. */
static int wait_until(struct rip_group *g, rip_time deadline)
{
    struct view v;
    int r = 0;
    for (;;) {
        tend(g, &v);
        if (!g->members && g->starting == 0)
            return 0;
        if (r < 0)
            return r;
        if (deadline <= rip__os_clock())
            return -ETIMEDOUT;
        pthread_mutex_unlock(&g->lock);
        r = nap_or_sleep(&v, deadline);
        pthread_mutex_lock(&g->lock);
    }
}

/*
 * News are taken off the descriptor by whoever sees them first, so of several
 * who wait only one may know of all tasks; and who goes hands that on.
 */
static int wait_as_one_of_many(struct rip_group *g, rip_time deadline)
{
    g->waiting++;
    int r = wait_until(g, deadline);
    if (--g->waiting > 0)
        rip__group_tell(g);
    return r;
}

int rip_group_wait(rip_group *g, struct rip_exit *ret, rip_time deadline)
{
    if (g->owner != getpid())
        return -ECHILD;
    if (rip__self && rip__self->group == g)
        return -EDEADLK;
    pthread_mutex_lock(&g->lock);
    int r = wait_as_one_of_many(g, deadline);
    if (r == 0 && ret)
        *ret = g->first;
    if (r == 0)
        r = g->failed;
    pthread_mutex_unlock(&g->lock);
    return r;
}

/* ---- the group itself ------------------------------------------------- */

static bool is_reserved_used(const struct rip_group_options *o)
{
    uint64_t used = 0;
    for (size_t i = 0; i < RIP__LENGTH(o->reserved); i++)
        used |= o->reserved[i];
    return used != 0;
}

int rip_group_new(rip_group **ret, const struct rip_group_options *opt)
{
    if (opt && is_reserved_used(opt))
        return -EINVAL;
    struct rip_group *g = rip__alloc(sizeof *g);
    if (!g)
        return -ENOMEM;
    g->fd = rip__os_eventfd();
    if (g->fd < 0) {
        int r = g->fd;
        rip__free(g);
        return r;
    }
    pthread_mutex_init(&g->lock, NULL);
    g->owner = getpid();
    g->keep_going = opt && opt->keep_going;
    g->first.how = RIP_EXITED;
    g->last = &g->members;
    *ret = g;
    return 0;
}

/* What is in the way of a wait here (no memory for poll(2)) may pass. */
static void end_all(struct rip_group *g)
{
    const rip_time a_moment = 10000000;
    rip_task_shield(true);
    rip_group_stop(g);
    pthread_mutex_lock(&g->lock);
    g->closing = true;
    while (wait_until(g, RIP_FOREVER) < 0)
        (void)rip__os_poll(NULL, 0, rip__later(a_moment));
    pthread_mutex_unlock(&g->lock);
    rip_task_shield(false);
}

/* In a child of fork(2) the lock may have been held by a thread that is not
 * there: the copy is left alone. */
rip_group *rip_group_free(rip_group *g)
{
    if (!g || g->owner != getpid())
        return NULL;
    if (rip__self && rip__self->group == g)
        rip__misuse("rip_group_free: by a task of the group");
    end_all(g);
    pthread_mutex_destroy(&g->lock);
    rip__os_close(g->fd);
    rip__free(g);
    return NULL;
}
