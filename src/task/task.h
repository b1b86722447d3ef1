/* SPDX-License-Identifier: MIT */
#ifndef RIP_TASK_TASK_H
#define RIP_TASK_TASK_H

/*
 * What the files of the task module share. docs/tasks.md is the design.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ripstop/group.h>
#include <ripstop/segment.h>
#include <ripstop/task.h>

#include "base/stop.h"
#include "os/os.h"
#include "task/crash.h"

/* How long nobody sleeps without looking again, where a wake may not come. */
#define RIP__LOOK_NS (INT64_C(100) * 1000000)

/* How long is waited, beyond a deadline, for what is about to happen: the last
 * acts of a thread, the report of an end that has been seen. */
#define RIP__MOMENT_NS (INT64_C(100) * 1000000)

/* How long for who was sent SIGKILL. */
#define RIP__DEATH_NS (INT64_C(1000) * 1000000)

enum {
    RIP__TASK_NAME = 32,    /* with its NUL */
    RIP__TASK_RESULT = 1024 /* bytes, where nothing else is asked for */
};

/*
 * What both sides of a task see. Of a process task it lies in the program's own
 * segment, and the child may have scribbled in it: read a field once, check it,
 * then use it.
 */
struct rip__task_record {
    struct rip__stop stop;
    uint32_t returned; /* 1: a process has stored `code`: where that has no
                          room in an exit status, or nobody may tell it */
    int32_t code;      /* what the function returned; of a thread in any case */
    uint32_t set_up;   /* a futex: RIP__SETTING_UP, RIP__READY, or an errno */
    int32_t number;    /* a futex: of a clone, see clone.c */
    uint32_t reported; /* a futex: 1: the template has told how it ended */
    uint64_t result;   /* 0: none; else its length + 1 */
    struct rip__os_status status; /* of a clone */
    struct rip__crash crash;
    _Alignas(16) unsigned char bytes[]; /* room for the result; and behind it
                                           the argument of a clone */
};
#define RIP__SETTING_UP 0u
#define RIP__READY      UINT32_MAX

/* What a task begins with; its starter waits for it only where something of it
 * can fail. */
struct rip__setting {
    const char *name; /* NULL: the system is not told */
    int nice;
    uint64_t *cpus; /* or NULL */
    size_t cpus_size;
    size_t stack_size;
    int lifeline;               /* our end for the child, or -1 */
    struct rip__os_stack stack; /* of a process that has one of its own */
    bool streams_are_flushed;   /* all of them */
    bool from_template;
};

/*
 * How far a task is; a futex.
 *
 *     RUNS    it has not ended, as far as anybody has seen
 *     OVER    of a thread: it has told its end, and is about to go
 *     ENDED   it is gone; `end` is valid, and stays so
 *
 * One of those who wait takes its status, or joins the thread; `taken` is 1
 * meanwhile, and after that.
 */
enum rip__task_state { RIP__RUNS, RIP__OVER, RIP__ENDED };

struct rip_task {
    uint32_t state, taken;
    uint32_t sleepers; /* on `state` */
    uint32_t refs;     /* the caller's, the running thread's, and one of each
                          call that has it from the list */
    uint32_t fd;       /* 0: none; else a descriptor + 1, which is readable from
                          the end on */
    uint32_t buried;   /* freed.c */
    enum rip_kind kind;
    bool daemon, detached;
    bool killed;             /* by us, with SIGKILL */
    uint64_t template;       /* of a clone: who it came from, as a member of the
                                program's own segment; else 0 */
    pid_t owner;             /* the process whose task it is */
    struct rip_group *group; /* or NULL */
    rip_task_fn *fn;
    void *arg, *copy; /* `arg` is `copy` where there is one */
    size_t result_size;
    struct rip__task_record *record;
    pthread_t thread;
    struct rip__os_child child; /* of a process */
    rip_time started, grace;
    struct rip_exit end;
    char name[RIP__TASK_NAME];
    struct rip_task *next, *prev; /* list.c */
};

/* The calling task. */
extern __thread struct rip_task *rip__self
    __attribute__((visibility("hidden")));

/* ---- start.c ---------------------------------------------------------- */

/* As rip_task_start, in a group or not. */
int rip__task_start(rip_task **ret, rip_task_fn *fn, void *arg,
                    const struct rip_task_options *opt,
                    struct rip_group *group);

/* In the new task: puts the setting into force, and tells who started it. */
int rip__task_set_up(rip_task *t, const struct rip__setting *s);

/* Whether the starter waits for that; and until it has: 0 or what failed. */
bool rip__setting_may_fail(const struct rip__setting *s);
int rip__task_await_set_up(rip_task *t);

/* ---- thread.c, process.c ---------------------------------------------- */

int rip__thread_start(rip_task *t, struct rip__setting *s);
int rip__thread_join(rip_task *t, rip_time deadline);

/* Forks: 0, also in the child when `fn` is NULL; or an error. */
int rip__process_begin(rip_task *t, struct rip__setting *s);
int rip__process_join(rip_task *t, rip_time deadline);

/* When it has been started: 0, or what of the setting failed. */
int rip__process_await_set_up(rip_task *t, const struct rip__setting *s);

/* Flushes what would else be written twice; true: all streams. */
bool rip__process_flush(void);

/* In the child: becomes the task, and runs it if it has a function. */
void rip__process_run(rip_task *t, const struct rip__setting *s);

/* A descriptor of the process, to be given back by _done; errors as of
 * rip__os_child_open. */
int rip__process_open(const rip_task *t);
void rip__process_done(const rip_task *t, int fd);

/* ---- clone.c: starting from the template, template.c: the template ---- */

/* As rip__process_begin; `arg_size` bytes of the argument are behind the
 * result. */
int rip__clone_begin(rip_task *t, struct rip__setting *s);

/* Whether its end is in its record. */
static inline bool rip__clone_is_reported(const rip_task *t)
{
    return t->template != 0 &&
           __atomic_load_n(&t->record->reported, __ATOMIC_ACQUIRE) == 1;
}

/* Waits for that; 0 also when nobody is there who could report it. */
int rip__clone_await(rip_task *t, rip_time deadline);

/* A whole request is this, the bytes of `cpus_size`, and what there is of a
 * struct rip__hand: `kept` and `handed`. With it come the lifeline, if
 * `has_lifeline`, and the segments. */
struct rip__request {
    struct rip__task_record *record;
    rip_task_fn *fn;
    void *arg;
    size_t result_size, stack_size, cpus_size;
    size_t n_kept, n_handed;
    uint64_t blocked; /* signals */
    int nice;
    bool has_name, has_lifeline;
    char name[RIP__TASK_NAME];
};

/* What a template tells when it is ready, or why it is not. */
struct rip__hello {
    int error;
    uint64_t who;
};

/* What a template is born with. */
struct rip__birth {
    int socket, lifeline; /* its ends */
    int ours;             /* the program's end, to be closed */
    uint32_t mark;        /* of the segments that it has */
    bool streams_are_flushed;
    pid_t program;
    void *own; /* in the program's own segment */
};

/* In the first child: makes a second one, which is the template. */
_Noreturn void rip__template_begin(const struct rip__birth *b);

/* Ends it, and waits until it is gone: for tests. */
void rip__template_done(void);

/* ---- task.c ----------------------------------------------------------- */

void rip__task_ref(rip_task *t);
void rip__task_unref(rip_task *t);
static inline uint32_t rip__task_state(const rip_task *t)
{
    return __atomic_load_n(&t->state, __ATOMIC_ACQUIRE);
}

/* Sets the state and tells all who wait for it. */
void rip__task_to(rip_task *t, enum rip__task_state state);

/* Waits until the state is another than `seen`: 0, -ETIMEDOUT, -ECANCELED. */
int rip__task_await(rip_task *t, uint32_t seen, rip_time deadline);

/* One alone may take it: true, until _let. */
bool rip__task_take(rip_task *t);
void rip__task_let(rip_task *t);

/* ---- freed.c ---------------------------------------------------------- */

/* Ends the program when `t` has been freed, as far as that is known. */
void rip__task_check(const rip_task *t, const char *call);

/* Instead of freeing its memory at once; and for tests: now. */
void rip__task_bury(rip_task *t);
void rip__task_forget_buried(void);

/* ---- group.c ---------------------------------------------------------- */

/* One of its threads is over. */
void rip__group_tell(struct rip_group *g);

/* ---- list.c: the tasks of this process -------------------------------- */

int rip__list_add(rip_task *t);
void rip__list_remove(rip_task *t);

/* What has been freed before it ended: it is taken away as soon as it has. */
void rip__list_leave_over(rip_task *t);
void rip__list_reap(void);

#endif
