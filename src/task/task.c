/* SPDX-License-Identifier: MIT */
#include "task/task.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h> /* getpid */

#include "base/base.h"

__thread struct rip_task *rip__self;

/* ---- references ------------------------------------------------------- */

void rip__task_ref(rip_task *t)
{
    __atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
}

/* The descriptor in it is the task's: of a process, none of ours. */
static void free_record(const rip_task *t)
{
    if (t->kind == RIP_THREAD && t->record)
        rip__os_close((int)t->record->stop.fd - 1);
    if (t->kind == RIP_THREAD)
        rip__free(t->record);
    else if (t->record && t->owner == getpid())
        rip_shared_free(NULL, t->record);
}

void rip__task_unref(rip_task *t)
{
    if (__atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    rip__os_close((int)t->fd - 1);
    free_record(t);
    rip__free(t->copy);
    rip__task_bury(t);
}

/* ---- states ----------------------------------------------------------- */

/* A sleeper counts itself before it looks at the state again. */
static void tell(rip_task *t)
{
    if (__atomic_load_n(&t->sleepers, __ATOMIC_SEQ_CST) > 0)
        rip__os_futex_wake(&t->state, false, INT32_MAX);
}

/* Who makes a descriptor publishes it before it looks at the state. */
void rip__task_to(rip_task *t, enum rip__task_state state)
{
    __atomic_store_n(&t->state, state, __ATOMIC_SEQ_CST);
    uint32_t fd = __atomic_load_n(&t->fd, __ATOMIC_SEQ_CST);
    if (state == RIP__OVER && fd != 0)
        rip__os_eventfd_set((int)fd - 1);
    tell(t);
}

static int sleep_once(rip_task *t, uint32_t seen, const struct rip__stop *stop,
                      rip_time until)
{
    struct rip__os_futex f[2] = { { &t->state, seen, false } };
    size_t n = 1;
    if (stop)
        f[n++] = (struct rip__os_futex){ &stop->word, 0, true };
    if (stop && !rip__os_futex_waits_for_many())
        until = rip__sooner(until, rip__later(RIP__LOOK_NS));
    __atomic_add_fetch(&t->sleepers, 1, __ATOMIC_SEQ_CST);
    int r = rip__os_futex_wait(f, n, until);
    __atomic_sub_fetch(&t->sleepers, 1, __ATOMIC_SEQ_CST);
    return r;
}

int rip__task_await(rip_task *t, uint32_t seen, rip_time deadline)
{
    const struct rip__stop *stop = rip__stop_heeded();
    while (rip__task_state(t) == seen) {
        if (deadline == RIP_NOW || deadline <= rip__os_clock())
            return -ETIMEDOUT;
        if (rip__stop_asked(stop))
            return -ECANCELED;
        sleep_once(t, seen, stop, deadline);
        if (!__atomic_load_n(&t->taken, __ATOMIC_ACQUIRE))
            break; /* who was to take it has given up: it may be ours */
    }
    return 0;
}

bool rip__task_take(rip_task *t)
{
    uint32_t nobody = 0;
    return __atomic_compare_exchange_n(&t->taken, &nobody, 1, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

void rip__task_let(rip_task *t)
{
    __atomic_store_n(&t->taken, 0, __ATOMIC_SEQ_CST);
    tell(t);
}

/* ---- join ------------------------------------------------------------- */

/* 0, or why it is not the caller's to deal with. */
static int check(const rip_task *t, const char *call)
{
    rip__task_check(t, call);
    if (t == rip__self)
        return -EDEADLK;
    return t->owner == getpid() ? 0 : -ECHILD;
}

static int join(rip_task *t, rip_time deadline)
{
    if (rip__task_state(t) == RIP__ENDED)
        return 0;
    return t->kind == RIP_THREAD ? rip__thread_join(t, deadline)
                                 : rip__process_join(t, deadline);
}

int rip_task_join(rip_task *t, struct rip_exit *ret, rip_time deadline)
{
    int r = check(t, "rip_task_join");
    if (r == 0)
        r = join(t, deadline);
    if (r == 0 && ret)
        *ret = t->end;
    return r;
}

bool rip_task_alive(rip_task *t)
{
    return rip_task_join(t, NULL, RIP_NOW) != 0;
}

/* ---- results ---------------------------------------------------------- */

int rip_task_return(const void *data, size_t len)
{
    rip_task *t = rip__self;
    if (!t)
        return -ESRCH;
    if (len > t->result_size)
        return -EMSGSIZE;
    __atomic_store_n(&t->record->result, 0, __ATOMIC_RELEASE);
    if (len > 0)
        memcpy(t->record->bytes, data, len);
    __atomic_store_n(&t->record->result, (uint64_t)len + 1, __ATOMIC_RELEASE);
    return 0;
}

int rip_task_result(rip_task *t, const void **data, size_t *len)
{
    int r = check(t, "rip_task_result");
    if (r < 0)
        return r;
    if (rip__task_state(t) != RIP__ENDED && join(t, RIP_NOW) < 0)
        return -EBUSY;
    uint64_t word = __atomic_load_n(&t->record->result, __ATOMIC_ACQUIRE);
    bool has = word != 0 && word - 1 <= t->result_size;
    *data = has ? t->record->bytes : NULL;
    *len = has ? (size_t)word - 1 : 0;
    return 0;
}

/* ---- the end ---------------------------------------------------------- */

static void free_thread(rip_task *t)
{
    bool over = t->owner != getpid() || rip__thread_join(t, RIP_NOW) == 0;
    if (!over)
        rip_task_stop(t);
    if (!over && rip__task_take(t))
        pthread_detach(t->thread);
    rip__task_unref(t);
}

static void free_process(rip_task *t)
{
    bool over = t->owner != getpid() || rip__process_join(t, RIP_NOW) == 0;
    if (!over && !t->detached)
        over = rip_task_terminate(t) >= 0 && rip__process_join(t, RIP_NOW) >= 0;
    if (over)
        rip__task_unref(t);
    else
        rip__list_leave_over(t);
}

rip_task *rip_task_free(rip_task *t)
{
    if (!t)
        return NULL;
    rip__task_check(t, "rip_task_free");
    rip__list_remove(t);
    if (t->kind == RIP_THREAD)
        free_thread(t);
    else
        free_process(t);
    return NULL;
}

/* ---- who is who ------------------------------------------------------- */

pid_t rip_task_pid(const rip_task *t)
{
    if (t == rip__self)
        return getpid();
    return t->kind == RIP_THREAD ? t->owner : t->child.pid;
}

const char *rip_task_name(const rip_task *t)
{
    if (!t)
        t = rip__self;
    return t ? t->name : "main";
}

enum rip_kind rip_task_kind(const rip_task *t)
{
    return t->kind;
}

rip_task *rip_task_self(void)
{
    return rip__self;
}

/* One that is readable at once, where there is no process any more. */
static int open_ended(void)
{
    int fd = rip__os_eventfd();
    if (fd >= 0)
        rip__os_eventfd_set(fd);
    return fd;
}

static int open_end(rip_task *t)
{
    if (t->kind == RIP_THREAD)
        return rip__os_eventfd();
    int fd = rip__process_open(t);
    bool gone = fd == -ESRCH || fd == -ECHILD;
    /* The report of a clone may have to come yet. */
    return gone && join(t, rip__later(RIP__LOOK_NS)) == 0 ? open_ended() : fd;
}

int rip_task_fd(rip_task *t)
{
    int r = check(t, "rip_task_fd");
    uint32_t seen = __atomic_load_n(&t->fd, __ATOMIC_SEQ_CST);
    if (r < 0 || seen != 0)
        return r < 0 ? r : (int)seen - 1;
    int fd = open_end(t);
    if (fd < 0)
        return fd;
    if (!__atomic_compare_exchange_n(&t->fd, &seen, (uint32_t)fd + 1, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        rip__os_close(fd);
        return (int)seen - 1;
    }
    if (t->kind == RIP_THREAD && rip__task_state(t) != RIP__RUNS)
        rip__os_eventfd_set(fd);
    return fd;
}
