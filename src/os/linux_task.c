/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

RIP__CHILD_PATH pid_t rip__os_fork(void)
{
    return (pid_t)RIP__SYS(RIP__CALL_FORK);
}

RIP__CHILD_PATH _Noreturn void rip__os_exit(int status)
{
    for (;;)
        (void)RIP__SYS(SYS_exit_group, status);
}

size_t rip__os_stack_least(void)
{
    return (size_t)PTHREAD_STACK_MIN;
}

int rip__os_thread_new(pthread_t *ret, size_t stack, void *(*fn)(void *),
                       void *arg)
{
    pthread_attr_t attr;
    if (stack == 0)
        return (int)RIP__SYS(RIP__CALL_THREAD, ret, NULL, fn, arg);
    int r = -pthread_attr_init(&attr);
    if (r < 0)
        return r;
    r = -pthread_attr_setstacksize(&attr, stack);
    if (r == 0)
        r = (int)RIP__SYS(RIP__CALL_THREAD, ret, &attr, fn, arg);
    pthread_attr_destroy(&attr);
    return r;
}

/* libc waits in a call of its own, which has no error but these. */
static int join_thread(pthread_t thread, rip_time deadline)
{
    if (deadline == RIP_FOREVER)
        return -pthread_join(thread, NULL);
    int r = pthread_tryjoin_np(thread, NULL);
#ifdef __GLIBC__
    const struct timespec at = { .tv_sec = deadline / 1000000000,
                                 .tv_nsec = deadline % 1000000000 };
    if (r == EBUSY && deadline > rip__os_clock())
        r = pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &at);
#else
    while (r == EBUSY && deadline > rip__os_clock()) {
        (void)rip__os_poll(NULL, 0, rip__os_clock() + 1000000);
        r = pthread_tryjoin_np(thread, NULL);
    }
#endif
    return r == EBUSY ? -ETIMEDOUT : -r;
}

/* That call would let itself be cancelled. */
int rip__os_thread_join(pthread_t thread, rip_time deadline)
{
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    int r = join_thread(thread, deadline);
    pthread_setcancelstate(cancel, NULL);
    return r;
}

int rip__os_stack_new(struct rip__os_stack *ret, size_t size)
{
    const size_t page = rip__os_page();
    size = (size + page - 1) / page * page + page;
    long at = RIP__SYS(SYS_mmap, NULL, size, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (at < 0 && at > -4096)
        return (int)at;
    const struct rip__os_stack s = { (void *)at, size };
    long r = RIP__SYS(SYS_mprotect, at + (long)page, size - page,
                      PROT_READ | PROT_WRITE);
    if (r < 0)
        rip__os_stack_done(&s);
    else
        *ret = s;
    return (int)r;
}

void rip__os_stack_done(const struct rip__os_stack *s)
{
    if (s->at)
        (void)RIP__SYS(SYS_munmap, s->at, s->size);
}

/* makecontext(3) passes nothing wider than an int. */
static struct {
    void (*fn)(void *arg);
    void *arg;
} next;

static void enter(void)
{
    next.fn(next.arg);
}

_Noreturn void rip__os_go_on(const struct rip__os_stack *s,
                             void (*fn)(void *arg), void *arg)
{
    static ucontext_t there;
    next.fn = fn;
    next.arg = arg;
    getcontext(&there);
    there.uc_stack.ss_sp = s->at;
    there.uc_stack.ss_size = s->size;
    there.uc_link = NULL;
    makecontext(&there, enter, 0);
    setcontext(&there);
    abort();
}

/* The signals that libc uses among its threads are not in a full set of its. */
int rip__os_thread_aside(void *(*fn)(void *), void *arg)
{
    enum { SMALL = 128 << 10 };
    sigset_t all, before;
    pthread_t thread = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = rip__os_thread_new(&thread, SMALL, fn, arg);
    if (r == -EINVAL) /* too small for what libraries keep for each thread */
        r = rip__os_thread_new(&thread, 0, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        pthread_detach(thread);
    return r;
}

void rip__os_name_thread(const char *name)
{
    (void)RIP__SYS(SYS_prctl, PR_SET_NAME, name);
}

/* The system call gives 20 less the value; and PRIO_PROCESS is a thread. */
int rip__os_nice(int by)
{
    long now = RIP__SYS(SYS_getpriority, PRIO_PROCESS, 0);
    if (now < 0)
        return (int)now;
    return (int)RIP__SYS(SYS_setpriority, PRIO_PROCESS, 0, 20 - now + by);
}

int rip__os_affinity(const void *cpus, size_t size)
{
    return (int)RIP__SYS(SYS_sched_setaffinity, 0, size, cpus);
}

static int64_t nanoseconds(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000;
}

void rip__os_thread_usage(struct rip__os_usage *ret)
{
    struct rusage u;
    *ret = (struct rip__os_usage){ 0, 0 };
    if (RIP__SYS(SYS_getrusage, RUSAGE_THREAD, &u) == 0)
        *ret = (struct rip__os_usage){ nanoseconds(u.ru_utime),
                                       nanoseconds(u.ru_stime) };
}

/* ---- the lifeline ----------------------------------------------------- */

/*
 * A pipe of which this process has the only end that writes. At its end, when
 * the pipe has no writer any more, the kernel sends the signal that the owner
 * of a reading end has asked for. Each child has a reading end of its own, as
 * there is one owner to an open file.
 */
static uint64_t mine;    /* {pid of the process whose it is, its descriptor} */
static uint64_t another; /* the same, of rip__os_not_for_children */

static int end_of(uint64_t word, pid_t self)
{
    return (pid_t)(word >> 32) == self ? (int)(word & INT32_MAX) : -1;
}

/* What a child of the process that is just forking has to close. It stands in
 * the thread, in a page that a fork writes to anyway: to write to another means
 * one copy more in every child. */
static __thread int inherited, inherited_too;

static void look(void)
{
    pid_t self = getpid();
    inherited = end_of(__atomic_load_n(&mine, __ATOMIC_ACQUIRE), self);
    inherited_too = end_of(__atomic_load_n(&another, __ATOMIC_ACQUIRE), self);
}

/* In every child of fork(3), also of those that others make: it is not to keep
 * our tasks alive when we are gone. */
RIP__CHILD_PATH static void let_go(void)
{
    rip__os_close(inherited);
    rip__os_close(inherited_too);
}

void rip__os_not_for_children(int fd)
{
    uint64_t word = fd < 0 ? 0 : (uint64_t)getpid() << 32 | (uint32_t)fd;
    __atomic_store_n(&another, word, __ATOMIC_RELEASE);
}

void rip__os_lifeline_done(void)
{
    rip__os_close(end_of(mine, getpid()));
    mine = 0;
}

static void watch_forks(void)
{
    pthread_atfork(look, NULL, let_go);
}

/* Where two threads make one, the first wins. */
static int make_lifeline(uint64_t seen, pid_t self)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int fd[2];
    pthread_once(&once, watch_forks);
    int r = rip__os_pipe(fd);
    if (r < 0)
        return r;
    rip__os_close(fd[0]);
    /* It is opened for each child, also when the program has become another
     * user; and by nobody who may not look into the program's /proc. */
    (void)RIP__SYS(SYS_fchmod, fd[1], 0444);
    uint64_t word = (uint64_t)self << 32 | (uint32_t)fd[1];
    if (__atomic_compare_exchange_n(&mine, &seen, word, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return fd[1];
    rip__os_close(fd[1]);
    return end_of(seen, self);
}

static int lifeline(void)
{
    uint64_t word = __atomic_load_n(&mine, __ATOMIC_ACQUIRE);
    pid_t self = getpid();
    int fd = end_of(word, self);
    return fd >= 0 ? fd : make_lifeline(word, self);
}

int rip__os_lifeline(void)
{
    char path[40];
    int fd = lifeline();
    if (fd < 0)
        return fd;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return rip__os_open(path, O_RDONLY | O_NONBLOCK, 0);
}

RIP__CHILD_PATH void rip__os_lifeline_arm(int end)
{
    struct pollfd p = { .fd = end };
    pid_t self = (pid_t)RIP__SYS(SYS_getpid);
    (void)RIP__SYS(SYS_fcntl, end, F_SETFD, 0);
    (void)RIP__SYS(SYS_fcntl, end, F_SETSIG, SIGKILL);
    (void)RIP__SYS(SYS_fcntl, end, F_SETOWN, self);
    (void)RIP__SYS(SYS_fcntl, end, F_SETFL, O_ASYNC | O_NONBLOCK);
    /* It may have come to its end before. */
    if (rip__os_poll(&p, 1, RIP_NOW) > 0)
        (void)RIP__SYS(SYS_kill, self, SIGKILL);
}

/* ---- children by number ----------------------------------------------- */

uint64_t rip__os_ticks(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    uint64_t per_second = (uint64_t)sysconf(_SC_CLK_TCK);
    return (uint64_t)t.tv_sec * per_second +
           (uint64_t)t.tv_nsec * per_second / 1000000000;
}

int rip__os_child_open_new(pid_t pid)
{
    return rip__pidfd_open(pid);
}

/* Without /proc the number has to do. */
int rip__os_child_open(const struct rip__os_child *c)
{
    uint64_t began;
    int fd = rip__pidfd_open(c->pid);
    if (fd < 0)
        return fd;
    int r = rip__process_start(c->pid, &began);
    if (r == -ENOENT || (r == 0 && began >= c->from && began <= c->until))
        return fd;
    rip__os_close(fd);
    return r < 0 ? r : -ECHILD;
}

/* ---- descriptors to wait on ------------------------------------------- */

int rip__os_eventfd(void)
{
    int fd = (int)RIP__SYS(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
    return rip__raise_above_2(fd);
}

void rip__os_eventfd_set(int fd)
{
    const uint64_t one = 1;
    (void)RIP__SYS(SYS_write, fd, &one, sizeof one);
}

int rip__os_eventfd_set_of(int pidfd, int fd)
{
    int ours = (int)RIP__SYS(SYS_pidfd_getfd, pidfd, fd, 0);
    if (ours < 0)
        return ours;
    rip__os_eventfd_set(ours);
    rip__os_close(ours);
    return 0;
}
