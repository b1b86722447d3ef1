/* SPDX-License-Identifier: MIT */
#include "os/linux_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h> /* major */
#include <sys/wait.h>
#include <unistd.h> /* getpid */

#include "os/linux.h"
#include "os/linux_clone.h"

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

/* From this descriptor number on, a copied table costs more than opening
 * something anew. */
enum { REOPEN_FROM = 256 };

/* Of devices only the other ends of terminals are known not to mind. */
static bool can_be_reopened(const struct stat *st)
{
    bool terminal = S_ISCHR(st->st_mode) && major(st->st_rdev) >= 136 &&
                    major(st->st_rdev) <= 143;
    return S_ISFIFO(st->st_mode) || S_ISREG(st->st_mode) || terminal;
}

static void prepare_reopen(struct rip__child *c)
{
    for (int i = 0; i < 3; i++) {
        const struct rip__os_redirect *r = &c->spawn->redirect[i];
        struct stat st;
        if (r->kind != RIP__OURS || r->source < REOPEN_FROM ||
            RIP__SYS(SYS_fstat, r->source, &st) < 0 || !can_be_reopened(&st))
            continue;
        snprintf(c->reopen_path[i], sizeof c->reopen_path[i], "/proc/%d/fd/%d",
                 (int)getpid(), r->source);
        c->reopen_dev[i] = st.st_dev;
        c->reopen_ino[i] = st.st_ino;
        c->reopen[i] = true;
    }
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
    if (c->spawn->cgroup) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)*c->spawn->cgroup;
    }
    c->shares_files = c->handlers_cleared = c->in_cgroup = true;
    long r = RIP__SYS(SYS_clone3, &args, sizeof args, rip__child_main, c);
    c->shares_files = c->handlers_cleared = c->in_cgroup = false;
    rip__forget_stack(stack, sizeof stack);
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

/* Opens a pidfd for a child that waits for this. (EPIPE: it was killed.) */
static int hold(pid_t pid, int gate, int *pidfd)
{
    int fd = (int)RIP__SYS(SYS_pidfd_open, pid, 0);
    ssize_t r = fd < 0 ? fd : rip__os_write(gate, "", 1);
    if (r < 0 && r != -EPIPE) {
        rip__os_close(fd);
        return (int)r;
    }
    *pidfd = fd;
    return 0;
}

/* Without CLONE_PIDFD. A program that runs may end at once, and where SIGCHLD
 * is ignored nothing is left of it then. So the child waits, as a fork, until
 * it is held: if it can not be, nothing has been started. */
static long clone_held(struct rip__child *c, void *stack_top, int *pidfd)
{
    int r = rip__os_pipe(c->gate);
    if (r < 0)
        return r;
    long pid = RIP__SYS(SYS_clone, 0, stack_top, NULL, rip__child_main, c);
    if (pid > 0)
        r = hold((pid_t)pid, c->gate[1], pidfd);
    rip__os_close(c->gate[0]);
    rip__os_close(c->gate[1]);
    c->gate[0] = c->gate[1] = -1;
    if (r < 0)
        bury((pid_t)pid);
    return r < 0 ? r : pid;
}

/* Emulators refuse CLONE_PIDFD; vfork is refused to the init of some pid
 * namespaces. */
static long clone_by_clone(struct rip__child *c, int *pidfd)
{
    static const unsigned long flags[] = {
        CLONE_VM | CLONE_VFORK | CLONE_PIDFD,
        CLONE_PIDFD,
    };
    _Alignas(16) char stack[STACK_SIZE];
    long r = -EINVAL;
    for (size_t i = 0; r == -EINVAL && i < sizeof flags / sizeof *flags; i++)
        r = RIP__SYS(SYS_clone, flags[i], stack + sizeof stack, pidfd,
                     rip__child_main, c);
    if (r == -EINVAL)
        r = clone_held(c, stack + sizeof stack, pidfd);
    rip__forget_stack(stack, sizeof stack);
    return r;
}

/* Waits until the child has become another program, or has ended: also where
 * a process that was forked meanwhile holds the pipe. */
static void await_exec(int pipe, int pidfd)
{
    struct pollfd p[2] = { { .fd = pipe }, { .fd = pidfd, .events = POLLIN } };
    (void)rip__os_poll(p, 2, RIP_FOREVER);
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
        if (r > 0 && !c->memory_is_shared && !rip__os_has_ended(*pidfd)) {
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

/* ---- the dumpable flag ------------------------------------------------ */

/*
 * A process that changes its user makes the kernel clear the dumpable flag of
 * its memory (no core, no tracer), so that the new user can not look into it.
 * Here that memory is still ours, too; so the flag is put back when the child
 * has another. Meanwhile others may be at the same: the first one in reads
 * the flag, the last one out writes it.
 */

/* `pid` since a fork may copy this while somebody is in it; `turn` since
 * others may have come and gone between two looks. */
union dumpable_state {
    struct {
        uint32_t pid : 22, flag : 2;
        uint32_t within : 16, turn : 16;
    } is;
    uint64_t word;
};

static _Atomic uint64_t dumpable;

_Static_assert(sizeof(union dumpable_state) == sizeof(uint64_t), "one word");

static void enter_identity_change(void)
{
    union dumpable_state now = { .word = atomic_load(&dumpable) }, next;
    do {
        next = now;
        if (now.is.within == 0 || now.is.pid != (uint32_t)getpid()) {
            next.is.pid = (uint32_t)getpid();
            next.is.flag = RIP__SYS(SYS_prctl, PR_GET_DUMPABLE) & 3;
            next.is.within = 0;
        }
        next.is.within++;
        next.is.turn++;
    } while (!atomic_compare_exchange_weak(&dumpable, &now.word, next.word));
}

static void leave_identity_change(void)
{
    union dumpable_state now = { .word = atomic_load(&dumpable) }, next;
    do {
        if (now.is.within == 1) /* 2 is for the administrator to set */
            (void)RIP__SYS(SYS_prctl, PR_SET_DUMPABLE, now.is.flag);
        next = now;
        next.is.within--;
        next.is.turn++;
    } while (!atomic_compare_exchange_weak(&dumpable, &now.word, next.word));
}

/* ---- spawn ------------------------------------------------------------ */

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

/* What clone3 answers only where CLONE_INTO_CGROUP is asked for. */
static bool is_of_cgroup(const struct rip__child *c, long error)
{
    return c->spawn->cgroup &&
           (error == -EACCES || error == -EBUSY || error == -EOPNOTSUPP ||
            error == -EBADF || error == -ENODEV);
}

/* No standard stream of ours becomes a pidfd by accident, unless there is no
 * other number left: the program runs already. */
static int raise_pidfd(int pidfd)
{
    if (pidfd > 2)
        return pidfd;
    int higher = rip__os_copy(pidfd);
    if (higher < 0)
        return pidfd;
    rip__os_close(pidfd);
    return higher;
}

static int spawn_once(struct rip__os_spawned *ret,
                      const struct rip__os_spawn *s, struct rip__child *c)
{
    int pidfd = -1;
    *c->report = (struct rip__report){ 0 };
    if (s->identity)
        enter_identity_change();
    long pid = clone_masked(c, &pidfd);
    if (s->identity)
        leave_identity_change();
    if (pid < 0) {
        ret->step = is_of_cgroup(c, pid) ? RIP__STEP_CGROUP : RIP__STEP_CLONE;
        return (int)pid;
    }
    int r = c->report->error;
    if (r < 0 || c->report->cannot_reopen) {
        bury((pid_t)pid);
        rip__os_close(pidfd);
        ret->step = c->report->step;
        ret->index = c->report->index;
        return r;
    }
    ret->pid = (pid_t)pid;
    ret->pidfd = raise_pidfd(pidfd);
    return 0;
}

int rip__os_spawn(struct rip__os_spawned *ret, const struct rip__os_spawn *s)
{
    struct rip__report report = { 0 };
    const struct rip__child plain = { .spawn = s,
                                      .report = &report,
                                      .gate = { -1, -1 },
                                      .pipe = -1,
                                      .lifeline = -1,
                                      .program = -1 };
    struct rip__child child = plain;
    *ret = (struct rip__os_spawned){ .pid = -1, .pidfd = -1 };
    prepare_reopen(&child);
    int r = spawn_once(ret, s, &child);
    if (report.cannot_reopen) {
        child = plain;
        r = spawn_once(ret, s, &child);
    }
    return r;
}
