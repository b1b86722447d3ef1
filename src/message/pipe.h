/* SPDX-License-Identifier: MIT */
#ifndef RIP_MESSAGE_PIPE_H
#define RIP_MESSAGE_PIPE_H

/* One end of a pipe, or of a FIFO, which is the same once it is open. */

#include <stdbool.h>

#include <ripstop/pipe.h>

#include "os/os.h"

struct rip_pipe {
    int fd;
    int own; /* an open file of our own, in non-blocking mode; -1: none, as long
                as the kernel does without. May be `fd` itself */
    bool reads, writes;
};

/* A handle, which has `fd` from then on: 0 or -ENOMEM. */
int rip__pipe_wrap(rip_pipe **ret, int fd, const struct rip__os_pipe *what);

/* How often fifo.c looks for a reader of whom it is not told. Longer in
 * tests. */
extern rip_time rip__fifo_look_ns;

#endif
