/* SPDX-License-Identifier: MIT */
#include "task/task.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h> /* getpid */

#include "base/base.h"

/* ---- asking ----------------------------------------------------------- */

/* For who waits in poll(2): see base/stop.h for the order. */
static void write_to(const rip_task *t, int fd)
{
    if (t->kind == RIP_THREAD) {
        rip__os_eventfd_set(fd);
        return;
    }
    int pidfd = rip__process_open(t);
    if (pidfd < 0)
        return;
    (void)rip__os_eventfd_set_of(pidfd, fd); /* or it looks again by itself */
    rip__process_done(t, pidfd);
}

void rip_task_stop(rip_task *t)
{
    rip__task_check(t, "rip_task_stop");
    struct rip__stop *s = &t->record->stop;
    if (t->owner != getpid() || rip__task_state(t) == RIP__ENDED)
        return;
    __atomic_store_n(&s->word, 1, __ATOMIC_SEQ_CST);
    rip__os_futex_wake(&s->word, true, INT32_MAX);
    uint32_t fd = __atomic_load_n(&s->fd, __ATOMIC_SEQ_CST);
    if (fd != 0)
        write_to(t, (int)fd - 1);
}

/* ---- being asked ------------------------------------------------------ */

bool rip_task_stopping(void)
{
    return rip__stopping();
}

int rip_task_stop_fd(void)
{
    return rip__stop_fd();
}

void rip_task_shield(bool on)
{
    if (!rip__own_stop)
        return;
    if (on)
        rip__stop_shields++;
    else if (rip__stop_shields > 0)
        rip__stop_shields--;
}

/* ---- signals ---------------------------------------------------------- */

int rip_task_signal(rip_task *t, int sig)
{
    rip__task_check(t, "rip_task_signal");
    if (t->kind == RIP_THREAD)
        return -ENOTSUP;
    if (sig < 0 || sig > RIP__OS_SIGNALS)
        return -EINVAL;
    if (t->owner != getpid())
        return -ECHILD;
    if (rip__task_state(t) == RIP__ENDED)
        return -ESRCH;
    int fd = rip__process_open(t);
    if (fd == -ECHILD)
        return -ESRCH;
    if (fd < 0 && t->template != 0)
        return fd; /* it is no child of ours */
    if (sig == SIGKILL)
        __atomic_store_n(&t->killed, true, __ATOMIC_RELAXED);
    if (fd < 0)
        return rip__os_child_kill(t->child.pid, sig);
    int r = t->template != 0 ? rip__os_pidfd_signal(fd, sig)
                             : rip__os_child_signal(fd, t->child.pid, sig);
    rip__process_done(t, fd);
    return r;
}

int rip_task_terminate(rip_task *t)
{
    rip__task_check(t, "rip_task_terminate");
    if (t->kind == RIP_THREAD)
        return -ENOTSUP;
    if (t->owner != getpid())
        return -ECHILD;
    rip_time grace_ends = rip__later(t->grace);
    rip_task_shield(true);
    rip_task_stop(t);
    int r = t->grace > 0 ? rip_task_signal(t, SIGTERM) : 0;
    if (r == 0)
        r = rip__process_join(t, grace_ends);
    if (r < 0)
        r = rip_task_signal(t, SIGKILL);
    if (r == 0)
        r = rip__process_join(t, rip__later(RIP__DEATH_NS));
    rip_task_shield(false);
    return r == -ESRCH ? 0 : r;
}
