/* SPDX-License-Identifier: MIT */
#include "task/task.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#else
static const char __libc_single_threaded; /* not known */
#endif

#include "base/base.h"
#include "task/oom.h"

/* ---- streams ---------------------------------------------------------- */

/* A stream that another thread is in the middle of is left alone: it may read
 * from a terminal for ever. */
static void flush_one(FILE *f)
{
    if (ftrylockfile(f) != 0)
        return;
    fflush_unlocked(f);
    funlockfile(f);
}

/* What is in a buffer at a fork would be written twice. True: all streams
 * are flushed. Their writes set errno, and may be cancelled: neither is to be
 * seen. */
bool rip__process_flush(void)
{
    int saved = errno, cancel;
    bool all = __libc_single_threaded;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    if (all) {
        fflush(NULL);
    } else {
        flush_one(stdout);
        flush_one(stderr);
    }
    pthread_setcancelstate(cancel, NULL);
    errno = saved;
    return all;
}

/* ---- the child -------------------------------------------------------- */

/* The process that became a task: a child that it forks may come to the same
 * end. */
static __thread pid_t became;

/* What a status as of exit(2) has room for is told by that alone: to write to
 * the record would cost a child that has not touched it a twentieth of its
 * life. A clone has, and who would tell its status may be killed. */
static bool fits_status(int code)
{
    return code >= 0 && code <= 255;
}

static int status_for(int code)
{
    return fits_status(code) ? code : 255;
}

RIP__CHILD_PATH static _Noreturn void finish(const rip_task *t, int code,
                                             bool all_streams)
{
    if (all_streams) {
        fflush(NULL);
    } else {
        fflush(stdout);
        fflush(stderr);
    }
    bool tell = !fits_status(code) || t->template != 0;
    if (tell && getpid() == became) {
        t->record->code = code;
        __atomic_store_n(&t->record->returned, 1, __ATOMIC_RELEASE);
    }
    rip__os_exit(status_for(code));
}

struct run {
    rip_task *task;
    int code;
    bool all_streams;
};

/* Also by pthread_exit: the process has no other thread that counts. */
static void leave(void *arg)
{
    const struct run *r = arg;
    finish(r->task, r->code, r->all_streams);
}

RIP__CHILD_PATH static void run(void *arg)
{
    struct run r = *(const struct run *)arg;
    pthread_cleanup_push(leave, &r);
    r.code = r.task->fn(r.task->arg);
    pthread_cleanup_pop(1);
}

/* What the parent's other calls left in this thread is not ours. */
RIP__CHILD_PATH static void become(rip_task *t, const struct rip__setting *s)
{
    rip__self = t;
    rip__own_stop = &t->record->stop;
    rip__stop_shields = 0;
    became = getpid();
    if (s->lifeline >= 0)
        rip__os_lifeline_arm(s->lifeline);
    rip__crash_watch(&t->record->crash);
}

RIP__CHILD_PATH void rip__process_run(rip_task *t, const struct rip__setting *s)
{
    become(t, s);
    if (rip__task_set_up(t, s) < 0)
        rip__os_exit(127);
    struct run r = { t, 0, s->streams_are_flushed };
    if (t->fn && s->stack.at)
        rip__os_go_on(&s->stack, run, &r);
    if (t->fn)
        run(&r);
}

/* ---- the parent ------------------------------------------------------- */

/* A descriptor is kept while there are few: with one, its end is known even
 * where somebody else takes its status away. */
static void keep_descriptor(rip_task *t)
{
    enum { FEW = 256 };
    int fd = rip__os_child_open_new(t->child.pid);
    if (fd >= FEW) {
        rip__os_close(fd);
        fd = -1;
    }
    t->fd = fd < 0 ? 0 : (uint32_t)fd + 1;
}

static int prepare(const rip_task *t, struct rip__setting *s)
{
    rip__crash_prepare();
    rip__oom_begin("");
    if (!t->detached) {
        s->lifeline = rip__os_lifeline();
        if (s->lifeline < 0)
            return s->lifeline;
    }
    return s->stack_size > 0 ? rip__os_stack_new(&s->stack, s->stack_size) : 0;
}

static void tidy_up(const struct rip__setting *s)
{
    rip__os_close(s->lifeline);
    rip__os_stack_done(&s->stack);
}

/* One that could not be set up is gone soon. */
int rip__process_await_set_up(rip_task *t, const struct rip__setting *s)
{
    int r = rip__setting_may_fail(s) ? rip__task_await_set_up(t) : 0;
    if (r < 0) {
        rip_task_shield(true);
        rip__process_join(t, RIP_FOREVER);
        rip_task_shield(false);
    }
    return r;
}

RIP__CHILD_PATH int rip__process_begin(rip_task *t, struct rip__setting *s)
{
    int r = prepare(t, s);
    if (r < 0) {
        tidy_up(s);
        return r;
    }
    s->streams_are_flushed = rip__process_flush();
    t->child.from = rip__os_ticks();
    pid_t pid = rip__os_fork();
    if (pid == 0) {
        rip__process_run(t, s);
        return 0;
    }
    tidy_up(s);
    if (pid < 0)
        return pid;
    t->child.pid = pid;
    t->child.until = rip__os_ticks();
    keep_descriptor(t);
    return rip__process_await_set_up(t, s);
}

int rip__process_open(const rip_task *t)
{
    uint32_t fd = __atomic_load_n(&t->fd, __ATOMIC_ACQUIRE);
    return fd != 0 ? (int)fd - 1 : rip__os_child_open(&t->child);
}

void rip__process_done(const rip_task *t, int fd)
{
    if (__atomic_load_n(&t->fd, __ATOMIC_ACQUIRE) != (uint32_t)fd + 1)
        rip__os_close(fd);
}

/* ---- its end ---------------------------------------------------------- */

/* What has no room in a status is in the record: as far as that fits to what
 * the kernel says. */
static void note_code(rip_task *t)
{
    const struct rip__task_record *r = t->record;
    bool fits = t->end.how == RIP_UNKNOWN ||
                (t->end.how == RIP_EXITED && t->end.code == 255);
    if (__atomic_load_n(&r->returned, __ATOMIC_ACQUIRE) != 1 || !fits)
        return;
    t->end.how = RIP_EXITED;
    t->end.code = r->code;
}

static void note_death(rip_task *t)
{
    struct rip__crash crash;
    if (rip__crash_read(&crash, &t->record->crash, &t->end))
        t->end.fault_address = (uintptr_t)crash.address;
    t->end.oom_killed =
        t->end.how == RIP_SIGNALED && t->end.signal == SIGKILL &&
        !__atomic_load_n(&t->killed, __ATOMIC_RELAXED) && rip__oom_explains("");
}

static void note_end(rip_task *t, const struct rip__os_status *s)
{
    t->end = (struct rip_exit){
        .stopped = rip__stop_asked(&t->record->stop),
        .wall_ns = rip__os_clock() - t->started,
        .user_ns = s->user_ns,
        .system_ns = s->system_ns,
        .max_rss_bytes = s->max_rss_bytes,
    };
    rip__exit_note(&t->end, s->known, s->wait_status);
    note_code(t);
    note_death(t);
}

/* Takes its status: 1; 0: not yet. `fd` may be an error, the reason why there
 * is none; then it goes by the number, unless that is another's already. */
static int reap(const rip_task *t, int fd, struct rip__os_status *ret)
{
    if (rip__clone_is_reported(t)) {
        *ret = t->record->status;
        ret->known = ret->has_usage = true; /* whatever stands there */
        return 1;
    }
    int r = fd == -ECHILD ? -ECHILD
            : fd < 0      ? rip__os_child_reap(t->child.pid, ret)
                          : rip__os_reap(fd, false, ret);
    return r == -ECHILD ? 1 : r;
}

/* The same, by one caller at a time. */
static int take(rip_task *t, int fd)
{
    struct rip__os_status s = { .known = false };
    int r = 0;
    if (!rip__task_take(t))
        return 0;
    if (rip__task_state(t) != RIP__ENDED)
        r = reap(t, fd, &s);
    if (r == 1) {
        note_end(t, &s);
        rip__task_to(t, RIP__ENDED);
    }
    rip__task_let(t);
    return r;
}

static int await(int fd, rip_time deadline)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int r = rip__poll(&p, 1, deadline);
    if (r == 0)
        return -ETIMEDOUT;
    return r < 0 ? r : 0;
}

/* When there is nothing to wait for: no descriptor was to be had; a tracer
 * (strace, gdb) has the status, and hands it on when it likes to; another
 * caller is just taking it. */
static int nap(rip_time *length, rip_time deadline)
{
    const rip_time longest = 20000000;
    if (deadline <= rip__os_clock())
        return -ETIMEDOUT;
    int r = rip__poll(NULL, 0, rip__sooner(deadline, rip__later(*length)));
    *length = rip__sooner(2 * *length, longest);
    return r < 0 ? r : 0;
}

static int join_by(rip_task *t, int fd, rip_time deadline)
{
    rip_time length = 1000000;
    int r = fd < 0 || deadline == RIP_NOW ? 0 : await(fd, deadline);
    if (r < 0)
        return r;
    while ((r = take(t, fd)) == 0 && rip__task_state(t) != RIP__ENDED) {
        r = nap(&length, deadline);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : 0;
}

static bool is_orphan(const rip_task *t)
{
    return t->template != 0 && !rip__clone_is_reported(t);
}

/* A clone that has lost its template is somebody else's child, who may reap it
 * soon, so that its descriptor tells the status; or never. */
static int join_orphan(rip_task *t, int fd, rip_time deadline)
{
    if (fd < 0 && fd != -ESRCH && fd != -ECHILD)
        return fd;
    int r = fd < 0 ? 0 : await(fd, deadline);
    if (r == 0)
        r = join_by(t, fd, rip__later(RIP__LOOK_NS));
    return r == -ETIMEDOUT && rip__os_has_ended(fd)
               ? join_by(t, -ECHILD, rip__later(RIP__LOOK_NS))
               : r;
}

int rip__process_join(rip_task *t, rip_time deadline)
{
    if (rip__task_state(t) == RIP__ENDED)
        return 0;
    int r = t->template != 0 ? rip__clone_await(t, deadline) : 0;
    if (r < 0)
        return r;
    int fd = rip__clone_is_reported(t) ? -ECHILD : rip__process_open(t);
    r = is_orphan(t) ? join_orphan(t, fd, deadline) : join_by(t, fd, deadline);
    if (fd >= 0)
        rip__process_done(t, fd);
    return r;
}
