/* SPDX-License-Identifier: MIT */
#include "os/linux_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h> /* getpid */

#include "os/linux.h"
#include "os/linux_clone.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

/*
 * The parent's side of a spawn; docs/spawn.md has the whole of it, with what
 * is left when either side is killed at any step.
 *
 * A child is made in one of two ways. clone3 shares memory and descriptors
 * with it and suspends this thread until it has become another program, so
 * its report is ordinary memory. Where there is no clone3 (a filter, or an
 * emulator) it is clone(2), with fewer flags until one is accepted; the
 * emulators among these turn it into a fork, so there the report is a shared
 * page, and the end of a close-on-exec pipe says when it is complete.
 *
 * The child's exit signal is 0 until exec sets it to SIGCHLD: one that fails
 * before that is seen by nobody else's wait() and raises no SIGCHLD.
 */

/* Enough for the child's few frames, and little enough for a thread with the
 * smallest stack there is. */
enum { STACK_SIZE = 8192 };

/* From this descriptor number on, a copied table costs more than opening a
 * pipe anew. */
enum { REOPEN_FROM = 256 };

static void prepare_reopen(struct rip__child *c)
{
    for (int i = 0; i < 3; i++) {
        const struct rip__os_redirect *r = &c->spawn->redirect[i];
        struct stat st;
        if (r->kind != RIP__PIPE || r->source < REOPEN_FROM ||
            RIP__SYS(SYS_fstat, r->source, &st) < 0)
            continue;
        snprintf(c->reopen_path[i], sizeof c->reopen_path[i], "/proc/%d/fd/%d",
                 (int)getpid(), r->source);
        c->reopen_dev[i] = st.st_dev;
        c->reopen_ino[i] = st.st_ino;
        c->reopen[i] = true;
    }
}

/* The stack was left without returning from the frames on it. */
static void forget_stack(void *stack, size_t size)
{
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(stack, size);
#else
    (void)stack, (void)size;
#endif
}

static long clone_by_clone3(struct rip__child *c, int *pidfd)
{
    _Alignas(16) char stack[STACK_SIZE];
    struct clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_FILES |
                 CLONE_CLEAR_SIGHAND,
        .pidfd = (uintptr_t)pidfd,
        .stack = (uintptr_t)stack,
        .stack_size = sizeof stack,
    };
    c->shares_files = c->handlers_cleared = true;
    long r = RIP__SYS(SYS_clone3, &args, sizeof args, rip__child_main, c);
    c->shares_files = c->handlers_cleared = false;
    forget_stack(stack, sizeof stack);
    return r;
}

static long clone_by_clone(struct rip__child *c, int *pidfd)
{
    /* Emulators refuse CLONE_PIDFD; vfork is refused to the init of some pid
     * namespaces. */
    static const unsigned long flags[] = {
        CLONE_VM | CLONE_VFORK | CLONE_PIDFD,
        CLONE_VM | CLONE_VFORK,
        CLONE_PIDFD,
        0,
    };
    _Alignas(16) char stack[STACK_SIZE];
    long r = -EINVAL;
    for (size_t i = 0; r == -EINVAL && i < sizeof flags / sizeof *flags; i++) {
        *pidfd = -1;
        r = RIP__SYS(SYS_clone, flags[i], stack + sizeof stack, pidfd,
                     rip__child_main, c);
    }
    forget_stack(stack, sizeof stack);
    return r;
}

/* Waits until the child has become another program, or has ended: also where
 * a process that was forked meanwhile holds the pipe. */
static void await_exec(int pipe, int pidfd)
{
    struct pollfd p[2] = { { .fd = pipe }, { .fd = pidfd, .events = POLLIN } };
    (void)rip__os_poll(p, 2, RIP_FOREVER);
}

static bool has_ended(int pidfd)
{
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    return rip__os_poll(&p, 1, RIP_NOW) > 0;
}

/* The second way: the report in a shared page, and a pipe. `*report` gets a
 * copy. */
static long clone_unshared(struct rip__child *c, int *pidfd)
{
    struct rip__report *report = c->report;
    int pipe[2];
    long page = RIP__SYS(SYS_mmap, NULL, sizeof *report, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page < 0 && page > -4096)
        return page;
    long r = rip__os_pipe(pipe);
    if (r == 0) {
        c->report = (struct rip__report *)page;
        c->pipe = pipe[1];
        r = clone_by_clone(c, pidfd);
        rip__os_close(pipe[1]);
        if (r > 0 && !c->memory_is_shared)
            await_exec(pipe[0], *pidfd);
        rip__os_close(pipe[0]);
        *report = *c->report;
        c->report = report;
        c->pipe = -1;
    }
    (void)RIP__SYS(SYS_munmap, page, sizeof *report);
    return r;
}

static long clone_child(struct rip__child *c, int *pidfd)
{
    static atomic_bool no_clone3;
    if (!atomic_load_explicit(&no_clone3, memory_order_relaxed)) {
        long r = clone_by_clone3(c, pidfd);
        if (r > 0 && !c->memory_is_shared && !has_ended(*pidfd)) {
            /* Not killed before its first step, so an emulator that forks.
             * This child's report is lost: a failed exec will look like an
             * exit with 127. */
            atomic_store_explicit(&no_clone3, true, memory_order_relaxed);
            return r;
        }
        if (!rip__is_missing(r) && r != -EINVAL)
            return r;
        if (r == -ENOSYS)
            atomic_store_explicit(&no_clone3, true, memory_order_relaxed);
    }
    return clone_unshared(c, pidfd);
}

/* No signal may be taken by the child while it shares our memory, not even
 * those that libc keeps from sigprocmask(3) for its own use. */
static long clone_masked(struct rip__child *c, int *pidfd)
{
    const rip__kernel_sigset all = ~0ull;
    rip__kernel_sigset before;
    (void)RIP__SYS(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
    long r = clone_child(c, pidfd);
    (void)RIP__SYS(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL,
                   sizeof before);
    return r;
}

/* Takes a child that has failed, or is told to, out of the world. */
static void bury(pid_t pid)
{
    long r;
    do
        r = RIP__SYS(SYS_waitid, P_PID, pid, NULL, WEXITED | __WALL, NULL);
    while (r == -EINTR);
}

static int spawn_once(struct rip__os_spawned *ret, struct rip__child *c)
{
    int pidfd = -1;
    long pid = clone_masked(c, &pidfd);
    if (pid < 0) {
        ret->step = RIP__STEP_CLONE;
        return (int)pid;
    }
    int r = c->report->error;
    if (r == 0 && pidfd < 0) {
        pidfd = (int)RIP__SYS(SYS_pidfd_open, pid, 0);
        if (pidfd < 0) {
            c->report->step = RIP__STEP_CLONE;
            r = pidfd;
            (void)RIP__SYS(SYS_kill, pid, SIGKILL);
        }
    }
    if (r < 0 || c->report->cannot_reopen) {
        bury((pid_t)pid);
        rip__os_close(pidfd);
        ret->step = c->report->step;
        ret->index = c->report->index;
        return r;
    }
    ret->pid = (pid_t)pid;
    ret->pidfd = pidfd;
    return 0;
}

int rip__os_spawn(struct rip__os_spawned *ret, const struct rip__os_spawn *s)
{
    struct rip__report report = { 0 };
    struct rip__child child = { .spawn = s, .report = &report, .pipe = -1 };
    *ret = (struct rip__os_spawned){ .pid = -1, .pidfd = -1 };
    prepare_reopen(&child);
    int r = spawn_once(ret, &child);
    if (report.cannot_reopen) {
        report = (struct rip__report){ 0 };
        child =
            (struct rip__child){ .spawn = s, .report = &report, .pipe = -1 };
        r = spawn_once(ret, &child);
    }
    return r;
}
