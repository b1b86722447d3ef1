/* SPDX-License-Identifier: MIT */
/*
 * The points: what a process does before an access to shared memory, and
 * around a system call. No code of this file is itself instrumented.
 */
#include "point.h"
#include "seat.h"

#include <errno.h>
#include <linux/futex.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct kill_seat *kill_seat;
uint32_t kill_the_seed;
bool kill_the_pid;
_Atomic uint32_t *kill_events;
_Atomic uint32_t *kill_dead;

/* ---- what is shared --------------------------------------------------- */

static struct {
    uintptr_t lo, len;
} shared[8];
static unsigned n_shared;

void kill_share(const void *lo, size_t len)
{
    unsigned i = n_shared < 8 ? n_shared++ : 7;
    shared[i].lo = (uintptr_t)lo;
    shared[i].len = len;
}

void kill_share_nothing(void)
{
    n_shared = 0;
}

static bool is_shared(const volatile void *p)
{
    for (unsigned i = 0; i < n_shared; i++)
        if ((uintptr_t)p - shared[i].lo < shared[i].len)
            return true;
    return false;
}

/* ---- a point ---------------------------------------------------------- */

void kill_event(void)
{
    atomic_fetch_add(kill_events, 1);
    KILL_SYS(SYS_futex, kill_events, FUTEX_WAKE, INT_MAX);
}

void kill_pause(struct kill_seat *s)
{
    atomic_store(&s->paused, 1);
    kill_event();
    while (atomic_load(&s->go) == 0)
        KILL_SYS(SYS_futex, &s->go, FUTEX_WAIT, 0);
    atomic_store(&s->paused, 0);
}

static void act(struct kill_seat *s)
{
    pid_t self = (pid_t)KILL_SYS(SYS_getpid);
    switch (s->act) {
    case KILL_DIE:
        atomic_fetch_add(kill_dead, 1);
        KILL_SYS(SYS_kill, self, SIGKILL);
        break;
    case KILL_STOP:
        KILL_SYS(SYS_kill, self, SIGSTOP);
        break;
    case KILL_PAUSE:
        kill_pause(s);
        break;
    case KILL_GO_ON:
        break;
    }
}

/* Who makes no progress waits here, to be seen and killed. */
static void get_lost(struct kill_seat *s)
{
    atomic_store(&s->lost, 1);
    kill_pause(s);
    s->limit = UINT32_MAX;
}

static void point(struct kill_seat *s)
{
    uint32_t i = ++s->count;
    if (i == s->at)
        act(s);
    if (i > s->limit)
        get_lost(s);
}

void kill_access(const volatile void *p)
{
    struct kill_seat *s = kill_seat;
    if (s != NULL && s->counts && is_shared(p))
        point(s);
}

void kill_end_of_points(void)
{
    if (kill_seat->counts)
        point(kill_seat);
    kill_seat->counts = false;
}

/* ---- copies: so that some are torn ------------------------------------ */

#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* the linker's names */
void *__real_memcpy(void *to, const void *from, size_t n);
void *__real_memmove(void *to, const void *from, size_t n);
void *__real_memset(void *to, int c, size_t n);

/* A point before it, one in its midst, and one before its last byte. */
static size_t piece(size_t done, size_t n)
{
    size_t half = n / 2;
    if (done == 0 && half > 0)
        return half;
    return n - done > 1 ? n - done - 1 : n - done;
}

static bool is_watched(const void *p)
{
    return kill_seat != NULL && kill_seat->counts && is_shared(p);
}

void *__wrap_memcpy(void *to, const void *from, size_t n)
{
    if (!is_watched(to) && !is_watched(from))
        return __real_memcpy(to, from, n);
    for (size_t done = 0, step; done < n; done += step) {
        step = piece(done, n);
        point(kill_seat);
        __real_memcpy((char *)to + done, (const char *)from + done, step);
    }
    return to;
}

void *__wrap_memmove(void *to, const void *from, size_t n)
{
    if (is_watched(to) || is_watched(from))
        point(kill_seat);
    return __real_memmove(to, from, n);
}

void *__wrap_memset(void *to, int c, size_t n)
{
    if (!is_watched(to))
        return __real_memset(to, c, n);
    for (size_t done = 0, step; done < n; done += step) {
        step = piece(done, n);
        point(kill_seat);
        __real_memset((char *)to + done, c, step);
    }
    return to;
}

/* ---- system calls ----------------------------------------------------- */

long __real_syscall(long nr, ...);

static bool can_block(long nr, const long a[6])
{
    if (nr == SYS_futex) {
        long op = a[1] & FUTEX_CMD_MASK;
        return op == FUTEX_WAIT || op == FUTEX_WAIT_BITSET;
    }
    return nr == SYS_futex_waitv || nr == SYS_ppoll || nr == SYS_poll;
}

long kill_syscall(long nr, const long a[6])
{
    return __real_syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* One that can block is two points, the second of which is: while it sleeps.
 * The director sees that it does, and acts; did it not sleep at all, then
 * that is done here, on its return. */
static long wait_in_kernel(struct kill_seat *s, long nr, const long a[6])
{
    uint32_t asleep = s->counts ? ++s->count : 0;
    atomic_fetch_add(&s->in_wait, 1);
    kill_event();
    long r = kill_syscall(nr, a);
    int saved = errno;
    atomic_fetch_add(&s->in_wait, 1);
    if (asleep != 0 && asleep == s->at)
        act(s);
    errno = saved;
    return r;
}

static void take_mapping(long nr, const long a[6], long r)
{
    if (nr == SYS_mmap && r != -1 && (a[3] & MAP_SHARED) != 0)
        kill_share((void *)r, (size_t)a[1]);
}

/* libc's syscall(), through which ripstop makes all of its calls. */
long __wrap_syscall(long nr, ...)
{
    struct kill_seat *s = kill_seat;
    long a[6], r;
    va_list ap;
    va_start(ap, nr);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (s == NULL)
        return kill_syscall(nr, a);
    if (s->counts)
        point(s);
    r = can_block(nr, a) ? wait_in_kernel(s, nr, a) : kill_syscall(nr, a);
    take_mapping(nr, a, r);
    return r;
}

/* ---- for scenarios ---------------------------------------------------- */

void kill_fail(const char *format, ...)
{
    struct kill_seat *s = kill_seat;
    va_list ap;
    va_start(ap, format);
    if (s == NULL) {
        vfprintf(stderr, format, ap);
        fputc('\n', stderr);
        _exit(2);
    }
    vsnprintf(s->complaint, sizeof s->complaint, format, ap);
    va_end(ap);
    atomic_store(&s->failed, 1);
    kill_event();
    for (;;) /* so that its stack can be looked at */
        pause();
}

unsigned kill_who(void)
{
    return kill_seat != NULL ? kill_seat->who : 0;
}

uint32_t kill_seed(void)
{
    return kill_the_seed;
}

bool kill_pid_is_taken(void)
{
    return kill_the_pid;
}

unsigned kill_deaths(void)
{
    return atomic_load(kill_dead);
}
