/* SPDX-License-Identifier: MIT */
#ifndef RIP_OS_LINUX_H
#define RIP_OS_LINUX_H

/* What the Linux files share: a system call through the seam, and what the
 * libc headers of Linux 5.10's time do not name. */

#include <errno.h>
#include <sys/syscall.h>

#include "os/os.h"

#define RIP__SYS7(nr, a, b, c, d, e, f, ...)                            \
    rip__seam.syscall((nr),                                             \
                      (const long[6]){ (long)(a), (long)(b), (long)(c), \
                                       (long)(d), (long)(e), (long)(f) })

/* A raw system call, with up to six arguments: the result or -errno. */
#define RIP__SYS(...) RIP__SYS7(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* The kernel's signal set, in which every signal has a bit, also the two
 * that libc keeps for itself. */
typedef uint64_t rip__kernel_sigset;

/* An entry of getdents64(2), the kernel's struct linux_dirent64. */
struct rip__dirent {
    uint64_t ino;
    int64_t off;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* Moves a descriptor that is 0, 1 or 2 above these; a negative one is an
 * error, and stays it. */
int rip__raise_above_2(int fd);
/* The same with two that have just been made: both, or none is left. */
int rip__raise_both_above_2(int ret[2], const int fd[2]);

/* The address of a name in the namespace of abstract sockets, and its length.
 */
struct sockaddr_un;
unsigned rip__abstract(struct sockaddr_un *ret, const char *name);

/* A pidfd for a process; -ESRCH: no process has that number. */
int rip__pidfd_open(pid_t pid);

/* When a process began, in ticks since boot: 0 or an error. */
int rip__process_start(pid_t pid, uint64_t *ret);

/* How a system call can be missing: an old kernel, or a filter. */
static inline bool rip__is_missing(long r)
{
    return r == -ENOSYS || r == -EPERM;
}

#endif
