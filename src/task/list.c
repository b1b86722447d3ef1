/* SPDX-License-Identifier: MIT */
#include "task/task.h"

#include <errno.h>
#include <unistd.h> /* getpid */

#include <ripstop/lock.h>

#include "base/base.h"

/*
 * All tasks of this process that have not been freed, in the order of their
 * start, in a ring; and those that were freed while they ran.
 *
 * After a fork the lists are copies of the parent's, possibly of a moment in
 * which a thread was just changing them; then the lock has a dead holder here,
 * and the lists are begun anew. What they held is the parent's.
 */
static struct {
    rip_lock lock;
    pid_t owner;
    rip_task *first, *last;
    rip_task *leftover; /* by `next`; looked at without the lock */
} all;

/* -ENOMEM: it cannot be locked. */
static int lock(void)
{
    int r = rip_lock_acquire(&all.lock, RIP_FOREVER);
    if (r < 0)
        return r;
    if (all.owner != getpid()) {
        all.owner = getpid();
        all.first = all.last = NULL;
        __atomic_store_n(&all.leftover, NULL, __ATOMIC_RELAXED);
    }
    return 0;
}

static void unlock(void)
{
    rip_lock_release(&all.lock);
}

int rip__list_add(rip_task *t)
{
    int r = lock();
    if (r < 0)
        return r;
    t->prev = all.last;
    *(all.last ? &all.last->next : &all.first) = t;
    all.last = t;
    unlock();
    return 0;
}

/* One that its process was forked with is in no list of ours. */
void rip__list_remove(rip_task *t)
{
    if (t->owner != getpid() || lock() < 0)
        return;
    *(t->prev ? &t->prev->next : &all.first) = t->next;
    *(t->next ? &t->next->prev : &all.last) = t->prev;
    unlock();
}

/* ---- all of them ------------------------------------------------------ */

/* The first that is waited for, with a reference of the caller's. */
static rip_task *first_awaited(void)
{
    if (lock() < 0)
        return NULL;
    rip_task *t = all.first;
    while (t &&
           (t->daemon || t == rip__self || rip__task_state(t) == RIP__ENDED))
        t = t->next;
    if (t)
        rip__task_ref(t);
    unlock();
    return t;
}

int rip_task_join_all(rip_time deadline)
{
    rip_task *t;
    int r = 0;
    while (r == 0 && (t = first_awaited()) != NULL) {
        r = rip_task_join(t, NULL, deadline);
        rip__task_unref(t);
    }
    return r;
}

/* All of them, with references of the caller's, in *ret: how many, or
 * -ENOMEM. */
static ssize_t list_all(rip_task ***ret)
{
    size_t n = 0;
    int r = lock();
    if (r < 0)
        return r;
    for (const rip_task *t = all.first; t; t = t->next)
        n++;
    *ret = rip__alloc_array(n + 1, sizeof(rip_task *));
    n = 0;
    for (rip_task *t = all.first; *ret && t; t = t->next) {
        rip__task_ref(t);
        (*ret)[n++] = t;
    }
    unlock();
    return *ret ? (ssize_t)n : -ENOMEM;
}

int rip_task_each(int (*fn)(rip_task *t, void *arg), void *arg)
{
    rip_task **list;
    ssize_t n = list_all(&list);
    if (n < 0)
        return (int)n;
    int r = 0;
    for (ssize_t i = 0; i < n; i++) {
        if (r == 0)
            r = fn(list[i], arg);
        rip__task_unref(list[i]);
    }
    rip__free(list);
    return r;
}

/* ---- leftovers -------------------------------------------------------- */

void rip__list_leave_over(rip_task *t)
{
    if (lock() < 0)
        return; /* never to be freed, and the kernel takes the process away */
    t->next = all.leftover;
    __atomic_store_n(&all.leftover, t, __ATOMIC_RELAXED);
    unlock();
}

static rip_task *take_leftovers(void)
{
    if (!__atomic_load_n(&all.leftover, __ATOMIC_RELAXED) || lock() < 0)
        return NULL;
    rip_task *first = all.leftover;
    __atomic_store_n(&all.leftover, NULL, __ATOMIC_RELAXED);
    unlock();
    return first;
}

void rip__list_reap(void)
{
    rip_task *t = take_leftovers();
    while (t) {
        rip_task *next = t->next;
        if (rip__process_join(t, RIP_NOW) == 0)
            rip__task_unref(t);
        else
            rip__list_leave_over(t);
        t = next;
    }
}
