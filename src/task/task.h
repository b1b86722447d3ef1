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
    pid_t pid;         /* of a process, as it sees itself */
    uint32_t returned; /* 1: the function did, and `code` is what: where
                          that has no room in an exit status */
    int32_t code;
    uint32_t set_up;   /* a futex: RIP__SETTING_UP, RIP__READY, or an errno */
    uint32_t reported; /* a futex: 1: the template has told how it ended */
    uint64_t result;   /* 0: none; else its length + 1 */
    struct rip__os_status status; /* of a clone */
    struct rip__crash crash;
    _Alignas(16) unsigned char bytes[]; /* room for the result */
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
    bool killed; /* by us, with SIGKILL */
    pid_t owner; /* the process whose task it is */
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
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* ---- start.c ---------------------------------------------------------- */

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

/* A descriptor of the process, to be given back by _done; errors as of
 * rip__os_child_open. */
int rip__process_open(const rip_task *t);
void rip__process_done(const rip_task *t, int fd);

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

/* ---- list.c: the tasks of this process -------------------------------- */

int rip__list_add(rip_task *t);
void rip__list_remove(rip_task *t);

/* What has been freed before it ended: it is taken away as soon as it has. */
void rip__list_leave_over(rip_task *t);
void rip__list_reap(void);

#endif
