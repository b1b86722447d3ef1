/* SPDX-License-Identifier: MIT */
#include "message/ends.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "os/os.h"

static unsigned char byte_at(size_t at)
{
    return (unsigned char)(at ^ at >> 8 ^ at >> 16);
}

unsigned char *pattern(size_t size)
{
    unsigned char *p = malloc(size + 1);
    CHECK(p);
    for (size_t i = 0; i < size; i++)
        p[i] = byte_at(i);
    return p;
}

bool is_pattern(const void *data, size_t len, size_t at)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < len; i++)
        if (p[i] != byte_at(at + i))
            return false;
    return true;
}

void until_sleeping(pid_t tid, long nr)
{
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/syscall", (int)tid);
    for (;;) {
        long got = -1;
        ssize_t n = -1;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            n = read(fd, text, sizeof text - 1);
            close(fd);
        }
        if (n > 0) {
            text[n] = 0;
            got = text[0] == 'r' ? -1 : strtol(text, NULL, 10);
        }
        if (got == nr)
            return;
        sched_yield();
    }
}

static struct rlimit before;

void limit_fds(int more)
{
    struct rlimit now;
    int first = dup(0);
    CHECK(first >= 0);
    close(first);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
    now = before;
    now.rlim_cur = (rlim_t)first + (rlim_t)more;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &now), ==, 0);
}

void limit_fds_no_more(void)
{
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
}

bool is_cloexec(int fd)
{
    return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

bool is_nonblock(int fd)
{
    return fcntl(fd, F_GETFL) & O_NONBLOCK;
}

/* ---- older kernels ---------------------------------------------------- */

enum { NOWAIT = 8, NOSIGNAL = 0x100 }; /* as of preadv2(2) */

static unsigned lacking;
static long (*real_syscall)(long nr, const long args[6]);

static int error_of(long nr, const long args[6])
{
    bool flags = nr == SYS_preadv2 || nr == SYS_pwritev2;
    if (flags && (lacking & LACK_FLAGS))
        return EPERM;
    if (flags && (lacking & LACK_NOSIGNAL) && (args[5] & NOSIGNAL))
        return EOPNOTSUPP;
    if (flags && (lacking & LACK_NOWAIT) && (args[5] & NOWAIT))
        return EOPNOTSUPP;
    if (nr == SYS_openat && (lacking & LACK_PROC) &&
        strncmp((const char *)args[1], "/proc/", 6) == 0)
        return ENOENT;
    if (nr == SYS_getsockopt && (lacking & LACK_PEERPIDFD) && args[2] == 77)
        return ENOPROTOOPT;
    return 0;
}

static long older_syscall(long nr, const long args[6])
{
    int error = error_of(nr, args);
    return error ? -error : real_syscall(nr, args);
}

void lack(unsigned what)
{
    lacking = what;
    if (rip__seam.syscall == older_syscall)
        return;
    real_syscall = rip__seam.syscall;
    rip__seam.syscall = older_syscall;
}

/* ---- deaths ----------------------------------------------------------- */

static int to_live;
static bool dies_after;

static long deadly_syscall(long nr, const long args[6])
{
    bool last = --to_live == 0;
    if (last && !dies_after)
        kill(getpid(), SIGKILL);
    long r = real_syscall(nr, args);
    if (last)
        kill(getpid(), SIGKILL);
    return r;
}

void die_at(int nth, bool after)
{
    to_live = nth;
    dies_after = after;
    real_syscall = rip__seam.syscall;
    rip__seam.syscall = deadly_syscall;
}
