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
#include <ripstop/task.h>

#include "base/stop.h"
#include "os/os.h"
#include "task/crash.h"

enum {
    RIP__TASK_NAME = 32,    /* with its NUL */
    RIP__TASK_RESULT = 1024 /* bytes, where nothing else is asked for */
};

/*
 * What both sides of a task see. Of a process task it lies in the program's own
 * segment, and the child may have scribbled in it: read a field once, check it,
 * then use it.
 */
struct rip__record {
    struct rip__stop stop;
    uint32_t returned; /* 1: the function did, and `code` is what */
    int32_t code;
    uint32_t set_up;   /* a futex: RIP__SETTING_UP, RIP__READY, or an errno */
    uint32_t reported; /* a futex: 1: the template has told how it ended */
    uint64_t result;   /* 0: none; else its length + 1 */
    struct rip__os_status status; /* of a clone */
    struct rip__crash crash;
    _Alignas(16) unsigned char bytes[]; /* room for the result */
};
enum { RIP__SETTING_UP, RIP__READY = -1 };

/*
 * How far a task is; a futex.
 *
 *     RUNS     it has not ended, as far as anybody has seen
 *     TAKING   one of those who wait is just taking its status: a few
 *              instructions, or the last ones of a thread
 *     ENDED    `end` is valid, and stays so
 */
enum rip__task_state { RIP__RUNS, RIP__TAKING, RIP__ENDED };

struct rip_task {
    uint32_t state;
    uint32_t refs; /* the caller's, the running thread's, one of each call that
                      looks at it from the list */
    uint32_t done; /* a futex, of a thread: 1: all but its last instructions */
    uint32_t fd; /* 0: none; else a descriptor + 1, readable from the end on */
    enum rip_kind kind;
    bool daemon, detached;
    bool shared; /* the record lies in the program's own segment */
    bool asked;  /* to stop or to terminate, by us */
    pid_t owner; /* the process whose task it is */
    rip_task_fn *fn;
    void *arg; /* its own copy, where one was asked for */
    size_t arg_size;
    size_t result_size;
    struct rip__record *record;
    struct rip__setting *setting; /* until it runs */
    pthread_t thread;
    struct rip__os_child child; /* of a process */
    rip_time started, grace;
    struct rip_exit end;
    char name[RIP__TASK_NAME];
    struct rip_task *next, *prev; /* of list.c */
};

/* The calling task. */
extern __thread struct rip_task *rip__self
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

#endif
