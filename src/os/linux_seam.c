/* SPDX-License-Identifier: MIT */
#include "os/linux.h"
#include "os/linux_clone.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h> /* syscall */

/* libc's syscall() is the one way into the kernel that every architecture
 * has. errno is put back: the library has no errno side channel, and in a
 * child between clone and exec it is the parent's own. */
RIP__CHILD_PATH static long call(long nr, const long args[6])
{
    if (nr == SYS_clone3)
        return rip__clone3((struct clone_args *)args[0], (size_t)args[1],
                           (rip__child_fn *)args[2], (void *)args[3]);
    if (nr == SYS_clone)
        return rip__clone((unsigned long)args[0], (void *)args[1],
                          (int *)args[2], (rip__child_fn *)args[3],
                          (void *)args[4]);
    if (nr == RIP__CALL_THREAD)
        return -pthread_create((pthread_t *)args[0],
                               (const pthread_attr_t *)args[1],
                               (void *(*)(void *))args[2], (void *)args[3]);
    int saved = errno;
    long r = nr == RIP__CALL_FORK ? fork()
                                  : syscall(nr, args[0], args[1], args[2],
                                            args[3], args[4], args[5]);
    if (r == -1) {
        r = -errno;
        errno = saved;
    }
    return r;
}

static void *resize(void *p, size_t size)
{
    int saved = errno;
    void *q = realloc(p, size);
    errno = saved;
    return q;
}

const struct rip__seam rip__seam_real = { call, resize, free };
struct rip__seam rip__seam = { call, resize, free };
