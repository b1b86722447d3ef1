/* SPDX-License-Identifier: MIT */
#include "task/task.h"

#include <errno.h>
#include <unistd.h> /* getpid */

#include "base/base.h"

/* ---- what a task begins with ------------------------------------------ */

bool rip__setting_may_fail(const struct rip__setting *s)
{
    return s->cpus || s->nice != 0;
}

static int apply(const struct rip__setting *s)
{
    if (s->name)
        rip__os_name_thread(s->name);
    int r = s->cpus ? rip__os_affinity(s->cpus, s->cpus_size) : 0;
    return r == 0 && s->nice != 0 ? rip__os_nice(s->nice) : r;
}

/* The setting is the starter's, and gone when that has been told. */
int rip__task_set_up(rip_task *t, const struct rip__setting *s)
{
    uint32_t *word = &t->record->set_up;
    bool told = rip__setting_may_fail(s);
    int r = apply(s);
    if (told) {
        __atomic_store_n(word, r == 0 ? RIP__READY : (uint32_t)-r,
                         __ATOMIC_RELEASE);
        rip__os_futex_wake(word, true, 1);
    }
    return r;
}

int rip__task_await_set_up(rip_task *t)
{
    const uint32_t *word = &t->record->set_up;
    struct rip__os_futex f = { word, RIP__SETTING_UP, true };
    uint32_t now;
    bool ended = false;
    while ((now = __atomic_load_n(word, __ATOMIC_ACQUIRE)) == RIP__SETTING_UP &&
           !ended) {
        rip__os_futex_wait(&f, 1, rip__later(RIP__LOOK_NS));
        ended = t->kind == RIP_PROCESS && rip__process_join(t, RIP_NOW) == 0;
    }
    /* One that was killed before it told has been started all the same. */
    return now == RIP__READY || now == RIP__SETTING_UP ? 0 : -(int)now;
}

/* ---- options ---------------------------------------------------------- */

static const struct rip_task_options defaults;

static bool is_reserved_used(const struct rip_task_options *o)
{
    uint64_t used = 0;
    for (size_t i = 0; i < RIP__LENGTH(o->reserved); i++)
        used |= o->reserved[i];
    return used != 0;
}

static int check_stack(size_t size)
{
    return size > 0 && (size < rip__os_stack_least() || size > PTRDIFF_MAX)
               ? -EINVAL
               : 0;
}

static int check(const struct rip_task_options *o, const void *arg)
{
    bool is_process = o->kind == RIP_PROCESS;
    if (is_reserved_used(o) || o->kind > RIP_PROCESS ||
        o->start > RIP_START_TEMPLATE)
        return -EINVAL;
    if (!is_process && (o->start != RIP_START_DEFAULT || o->detached))
        return -EINVAL;
    if ((o->arg_size > 0 && !arg) || (o->n_cpus > 0 && !o->cpus))
        return -EINVAL;
    if (o->result_size > UINT32_MAX || o->grace != o->grace)
        return -EINVAL;
    return check_stack(o->stack_size);
}

static int resolve(struct rip__setting *ret, const struct rip_task_options *o)
{
    *ret = (struct rip__setting){ .name = o->name,
                                  .nice = o->nice,
                                  .stack_size = o->stack_size,
                                  .lifeline = -1,
                                  .from_template =
                                      o->start == RIP_START_TEMPLATE };
    return rip__cpu_mask(&ret->cpus, &ret->cpus_size, o->cpus, o->n_cpus);
}

/* ---- the task itself -------------------------------------------------- */

/* What follows is aligned as well. */
static size_t result_room(const rip_task *t)
{
    return (t->result_size + 15) & ~(size_t)15;
}

/* With `more` bytes behind the result. */
static int make_record(rip_task *t, size_t more)
{
    size_t size;
    if (!rip__add(sizeof *t->record + result_room(t), more, &size))
        return -ENOMEM;
    t->record = t->kind == RIP_PROCESS ? rip_shared_alloc(NULL, size)
                                       : rip__alloc(size);
    return t->record ? 0 : -ENOMEM;
}

/* A clone does not have what is ours alone: its copy is in its record. */
static int copy_arg(rip_task *t, const void *arg,
                    const struct rip_task_options *o)
{
    bool in_record = o->start == RIP_START_TEMPLATE;
    t->arg = (void *)(uintptr_t)arg;
    int r = make_record(t, in_record ? o->arg_size : 0);
    if (r < 0 || !arg || o->arg_size == 0)
        return r;
    t->copy = in_record ? NULL : rip__alloc(o->arg_size);
    t->arg = in_record ? t->record->bytes + result_room(t) : t->copy;
    if (!t->arg)
        return -ENOMEM;
    memcpy(t->arg, arg, o->arg_size);
    return 0;
}

static void note_name(rip_task *t, const char *name)
{
    if (!name)
        name = "task";
    size_t len = strnlen(name, sizeof t->name - 1);
    memcpy(t->name, name, len);
}

static int make(rip_task **ret, rip_task_fn *fn, const void *arg,
                const struct rip_task_options *o)
{
    rip_task *t = rip__alloc(sizeof *t);
    if (!t)
        return -ENOMEM;
    *t = (rip_task){
        .refs = 1,
        .kind = o->kind,
        .daemon = o->daemon,
        .detached = o->detached,
        .owner = getpid(),
        .fn = fn,
        .result_size = o->result_size > 0 ? o->result_size : RIP__TASK_RESULT,
        .started = rip__os_clock(),
        .grace = rip__grace(o->grace),
    };
    note_name(t, o->name);
    int r = copy_arg(t, arg, o);
    if (r == 0)
        r = rip__list_add(t);
    if (r < 0)
        rip__task_unref(t);
    else
        *ret = t;
    return r;
}

static int begin(rip_task *t, struct rip__setting *s)
{
    int r = t->kind == RIP_THREAD ? rip__thread_start(t, s)
            : s->from_template    ? rip__clone_begin(t, s)
                                  : rip__process_begin(t, s);
    if (r < 0) {
        rip__list_remove(t);
        rip__task_unref(t);
    }
    return r;
}

int rip__task_start(rip_task **ret, rip_task_fn *fn, void *arg,
                    const struct rip_task_options *opt, struct rip_group *group)
{
    const struct rip_task_options *o = opt ? opt : &defaults;
    struct rip__setting s;
    rip_task *t;
    rip__list_reap();
    int r = fn ? check(o, arg) : -EINVAL;
    if (r == 0)
        r = resolve(&s, o);
    if (r < 0)
        return r;
    r = make(&t, fn, arg, o);
    if (r == 0) {
        t->group = group;
        r = begin(t, &s);
    }
    rip__free(s.cpus);
    if (r == 0)
        *ret = t;
    return r;
}

int rip_task_start(rip_task **ret, rip_task_fn *fn, void *arg,
                   const struct rip_task_options *opt)
{
    return rip__task_start(ret, fn, arg, opt, NULL);
}

pid_t rip_fork(rip_task **ret)
{
    const struct rip_task_options o = { .kind = RIP_PROCESS };
    struct rip__setting s;
    rip_task *t = NULL;
    rip__list_reap();
    int r = ret ? resolve(&s, &o) : -EINVAL;
    if (r == 0)
        r = make(&t, NULL, NULL, &o);
    if (r == 0)
        r = begin(t, &s);
    if (r != 0)
        return r;
    if (rip__self == t)
        return 0;
    *ret = t;
    return t->child.pid;
}
