/* SPDX-License-Identifier: MIT */
/*
 * The points: what a process does before an access to shared memory, and
 * around a system call. No code of this file is itself instrumented.
 */
#include "point.h"
#include "cast.h"
#include "driver.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_shared(const volatile void *p)
{
    for (unsigned i = 0; i < kill_n_shared; i++)
        if ((uintptr_t)p - kill_shared[i].lo < kill_shared[i].len)
            return true;
    return false;
}

/* ---- a point ---------------------------------------------------------- */

static void act(struct kill_seat *s)
{
    pid_t self = (pid_t)KILL_SYS(SYS_getpid);
    switch (s->act) {
    case KILL_DIE:
        atomic_fetch_add(kill_dead, 1);
        if (s->way != KILL_PROCESS)
            kill_end_thread();
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

void drive_begin(struct kill_seat *s)
{
    s->counts = true;
}

/* The last point: after all that the victim does. */
void drive_end(struct kill_seat *s)
{
    if (s->counts)
        point(s);
    s->counts = false;
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
    r = kill_can_block(nr, a) ? wait_in_kernel(s, nr, a) : kill_syscall(nr, a);
    take_mapping(nr, a, r);
    return r;
}

/* ---- in the director -------------------------------------------------- */

const char drive_name[] = "kill-sweep";
const bool drive_steps = false;
char drive_swept[256];

extern int64_t rip__look_again_ns __attribute__((weak));
int64_t *kill_look_again = &rip__look_again_ns;

void drive_prepare(char **argv)
{
    (void)argv;
}

void drive_learn(struct tally *t)
{
    (void)t;
}

uint32_t drive_next(const struct unit *u, uint32_t at)
{
    (void)u;
    return at;
}

enum verdict drive_play(const struct unit *u, uint32_t at, uint32_t at2)
{
    return play(u, at, at2);
}

/* It says when it begins to wait, and when it has ended. */
bool drive_is_asleep(struct kill_seat *s)
{
    uint32_t seen = atomic_load(&s->in_wait);
    pid_t id = s->tid != 0 ? s->tid : s->pid;
    return seen % 2 == 1 && cast_state_of(id) == 'S' &&
           atomic_load(&s->in_wait) == seen;
}

bool drive_may_sleep(struct kill_seat *s)
{
    return atomic_load(&s->in_wait) % 2 == 1;
}

unsigned drive_stopped(struct kill_seat *s, int sig)
{
    (void)s;
    (void)sig;
    return 0; /* nobody is traced */
}

void drive_continue(struct kill_seat *s)
{
    (void)s;
}
