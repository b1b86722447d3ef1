/* SPDX-License-Identifier: MIT */
#include "task/task.h"

#include <errno.h>

#include "base/base.h"
#include "segment/segment.h"

struct start {
    rip_task *task;
    struct rip__setting setting;
};

/* The thread's last act: also when it was ended by pthread_exit. */
static void end(void *arg)
{
    rip_task *t = arg;
    struct rip__os_usage u;
    rip__leave_all(); /* what it holds has a dead holder from now on */
    rip__os_thread_usage(&u);
    t->end = (struct rip_exit){
        .how = RIP_EXITED,
        .code = t->record->code,
        .stopped = rip__stop_asked(&t->record->stop),
        .wall_ns = rip__os_clock() - t->started,
        .user_ns = u.user_ns,
        .system_ns = u.system_ns,
    };
    rip__task_to(t, RIP__OVER);
    if (t->group) /* which stays until this thread is gone */
        rip__group_tell(t->group);
    rip__task_unref(t);
}

static void *run(void *arg)
{
    struct start *start = arg;
    rip_task *t = start->task;
    struct rip__setting s = start->setting;
    rip__free(start);
    rip__self = t;
    rip__own_stop = &t->record->stop;
    if (rip__task_set_up(t, &s) < 0)
        return NULL;
    pthread_cleanup_push(end, t);
    t->record->code = t->fn(t->arg);
    pthread_cleanup_pop(1);
    return NULL;
}

/* The name is the task's own copy: that of the options may be gone. */
int rip__thread_start(rip_task *t, struct rip__setting *s)
{
    struct start *start = rip__alloc(sizeof *start);
    if (!start)
        return -ENOMEM;
    bool may_fail = rip__setting_may_fail(s);
    *start = (struct start){ t, *s };
    if (s->name)
        start->setting.name = t->name;
    rip__task_ref(t);
    int r = rip__os_thread_new(&t->thread, s->stack_size, run, start);
    if (r < 0) {
        rip__free(start);
        t->refs--;
        return r;
    }
    r = may_fail ? rip__task_await_set_up(t) : 0;
    if (r < 0) {
        (void)rip__os_thread_join(t->thread, RIP_FOREVER);
        t->refs--;
    }
    return r;
}

/*
 * Who comes while it runs, and need not heed a stop, sleeps in libc until the
 * thread is gone: one sleep less. The others sleep until it is over.
 */
int rip__thread_join(rip_task *t, rip_time deadline)
{
    for (;;) {
        uint32_t state = rip__task_state(t);
        if (state == RIP__ENDED)
            return 0;
        if (state == RIP__OVER && deadline < rip__later(RIP__MOMENT_NS))
            deadline = rip__later(RIP__MOMENT_NS); /* it is about to go */
        bool may_join = state == RIP__OVER || !rip__stop_heeded();
        int r;
        if (may_join && rip__task_take(t)) {
            r = rip__os_thread_join(t->thread, deadline);
            if (r == 0)
                rip__task_to(t, RIP__ENDED);
            else
                rip__task_let(t);
        } else {
            r = rip__task_await(t, state, deadline);
        }
        if (r < 0)
            return r;
    }
}
