/* SPDX-License-Identifier: MIT */
#ifndef RIP_OS_LINUX_CHILD_H
#define RIP_OS_LINUX_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "os/os.h"

/* What the child tells its parent. It lies where both see it, whether or not
 * they share all of their memory. */
struct rip__report {
    enum rip__os_step step;
    int index;
    int error;
    bool cannot_reopen; /* a pipe, by its name in /proc */
};

/* What the parent tells its child. */
struct rip__child {
    const struct rip__os_spawn *spawn;
    struct rip__report *report;
    int pipe;              /* open for as long as the child is not another
                              program; -1: the parent needs none */
    bool handlers_cleared; /* by CLONE_CLEAR_SIGHAND */
    bool shares_files;     /* by CLONE_FILES, until own_table() */
    bool others_are_closed;

    /* Pipes that are opened anew instead of copied. */
    bool reopen[3];
    char reopen_path[3][40];
    dev_t reopen_dev[3];
    ino_t reopen_ino[3];

    bool memory_is_shared; /* set by the child: did the parent see it? */
};

/* The child: runs the steps of the spawn, and reports the one that fails. */
int rip__child_main(void *child);

#endif
