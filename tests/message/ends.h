/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_MESSAGE_ENDS_H
#define RIP_TESTS_MESSAGE_ENDS_H

/* What the tests of pipes, FIFOs and channels share. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* `size` bytes, of which each tells where it is. The test's own to free(3). */
unsigned char *pattern(size_t size);

/* Whether data are those of pattern() from `at` on. */
bool is_pattern(const void *data, size_t len, size_t at);

/* Until a process, or a thread of it, sleeps in the system call. */
void until_sleeping(pid_t tid, long nr);

/* From now on this process can have `more` descriptors more, and no limit. */
void limit_fds(int more);
void limit_fds_no_more(void);

bool is_cloexec(int fd);
bool is_nonblock(int fd);

/* From now on system calls are those of a kernel, or in surroundings, without
 * something. */
enum lack {
    LACK_NOSIGNAL = 1,  /* RWF_NOSIGNAL: Linux before 6.17 */
    LACK_NOWAIT = 2,    /* RWF_NOWAIT of pipes: before 6.4 */
    LACK_FLAGS = 4,     /* preadv2(2) and pwritev2(2): a filter */
    LACK_PROC = 8,      /* /proc */
    LACK_PEERPIDFD = 16 /* SO_PEERPIDFD: before 6.5 */
};
void lack(unsigned what);

/* This process kills itself at its nth system call of the library, counted
 * from 1: before it is made, or after. */
void die_at(int nth, bool after);

#endif
