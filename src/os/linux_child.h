/* SPDX-License-Identifier: MIT */
#ifndef RIP_OS_LINUX_CHILD_H
#define RIP_OS_LINUX_CHILD_H

/*
 * The child between clone and exec. It shares the memory of its suspended
 * parent, thread-local storage included, so its files (linux_child*.c) have
 * nothing but raw system calls: no libc function that takes a lock, allocates
 * or sets errno.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "os/os.h"

/* What the child tells its parent. It lies where both see it, whether or not
 * they share all of their memory. */
struct rip__report {
    enum rip__os_step step;
    int index;
    int error;
    bool cannot_reopen; /* something by its name in /proc */
};

/* What the parent tells its child. */
struct rip__child {
    const struct rip__os_spawn *spawn;
    struct rip__report *report;
    int gate[2];           /* a pipe: the child waits for the byte that comes
                              when the parent has a pidfd; -1: it has it */
    int pipe;              /* open for as long as the child is not another
                              program; -1: the parent needs none */
    bool handlers_cleared; /* by CLONE_CLEAR_SIGHAND */
    bool in_cgroup;        /* by CLONE_INTO_CGROUP */
    bool shares_files;     /* by CLONE_FILES, until own_table() */
    bool others_are_closed;

    /* What is opened anew instead of copied. */
    bool reopen[3];
    char reopen_path[3][40];
    dev_t reopen_dev[3];
    ino_t reopen_ino[3];

    /* Where these stand in the child itself; -1: nowhere. */
    int lifeline, program;

    bool memory_is_shared; /* set by the child: did the parent see it? */
};

/* The child: runs the steps of the spawn, and reports the one that fails. */
int rip__child_main(void *child);

/* A step gives 0, or -1 when it has failed and reported that. */
int rip__child_fail(struct rip__child *c, enum rip__os_step step, int index,
                    long error);

/* ---- linux_child_fds.c ---- */

int rip__child_table(struct rip__child *c);
int rip__child_redirect(struct rip__child *c);
int rip__child_terminal(struct rip__child *c);
int rip__child_lifeline(struct rip__child *c);
int rip__child_close(struct rip__child *c);

/* ---- linux_child_self.c ---- */

int rip__child_cgroup(struct rip__child *c);
int rip__child_group(struct rip__child *c);
int rip__child_limits(struct rip__child *c);
int rip__child_identity(struct rip__child *c);

#endif
