/* SPDX-License-Identifier: MIT */
#include "os/linux_child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h> /* CLONE_FILES */
#include <signal.h>
#include <sys/stat.h>

#include "os/linux.h"

/*
 * The child between clone and exec. It shares the memory of its suspended
 * parent, thread-local storage included, so here is nothing but raw system
 * calls: no libc function that takes a lock, allocates or sets errno.
 */

/* The kernel's struct sigaction, which libc's only resembles. */
struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static int fail(struct rip__child *c, enum rip__os_step step, int index,
                long error)
{
    c->report->step = step;
    c->report->index = index;
    c->report->error = (int)error;
    return -1;
}

/* exec drops handlers by itself; but as soon as no signal is blocked any more
 * one would run here, in the parent's memory. */
static void reset_signals(const struct rip__child *c)
{
    bool keep = c->spawn->keep_ignored;
    if (keep && c->handlers_cleared)
        return;
    const struct kernel_sigaction reset = { .handler = SIG_DFL };
    for (int sig = 1; sig <= RIP__SIGNALS; sig++) {
        struct kernel_sigaction now = { 0 };
        if (sig == SIGKILL || sig == SIGSTOP)
            continue;
        if (keep)
            (void)RIP__SYS(SYS_rt_sigaction, sig, NULL, &now, sizeof now.mask);
        if (now.handler != SIG_IGN)
            (void)RIP__SYS(SYS_rt_sigaction, sig, &reset, NULL,
                           sizeof reset.mask);
    }
}

static int highest_source(const struct rip__child *c)
{
    int highest = 2;
    for (int i = 0; i < 3; i++) {
        const struct rip__os_redirect *r = &c->spawn->redirect[i];
        bool taken =
            r->kind == RIP__COPY || (r->kind == RIP__PIPE && !c->reopen[i]);
        if (taken && r->source > highest)
            highest = r->source;
    }
    return highest;
}

/* From the parent's descriptor table to one of our own, with as few entries
 * as will do: with ten thousand of them the copy would cost ten times the
 * rest of the spawn. */
static int own_table(struct rip__child *c)
{
    if (!c->shares_files)
        return 0;
    int highest = highest_source(c);
    long r = RIP__SYS(SYS_close_range, (unsigned)highest + 1, ~0u,
                      CLOSE_RANGE_UNSHARE);
    c->others_are_closed = r == 0 && highest == 2;
    if (r < 0)
        r = RIP__SYS(SYS_unshare, CLONE_FILES);
    return r < 0 ? fail(c, RIP__STEP_CLOSE, 0, r) : 0;
}

/* Opens the parent's end of a pipe anew by its name in /proc. It may be that
 * /proc is not there or not of this pid namespace, so that the name is of
 * something else: the parent then does without. */
static long reopen_pipe(struct rip__child *c, int i)
{
    struct stat st;
    long fd = RIP__SYS(SYS_openat, AT_FDCWD, c->reopen_path[i],
                       (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || RIP__SYS(SYS_fstat, fd, &st) < 0 ||
        st.st_dev != c->reopen_dev[i] || st.st_ino != c->reopen_ino[i] ||
        RIP__SYS(SYS_fcntl, fd, F_SETFL, 0) < 0) {
        c->report->cannot_reopen = true;
        return -ENOENT;
    }
    return fd;
}

/* A descriptor for target `i`, that is none of the targets. */
static long source_of(struct rip__child *c, int i)
{
    const struct rip__os_redirect *r = &c->spawn->redirect[i];
    long fd;
    if (r->kind == RIP__NULL)
        fd = RIP__SYS(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
    else if (c->reopen[i])
        fd = reopen_pipe(c, i);
    else
        fd = r->source;
    if (fd < 0 || fd > 2)
        return fd;
    /* It stands where a target will be put, its own perhaps. */
    return RIP__SYS(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
}

/* All sources are brought out of the way before the first target is put in
 * place, so that swaps and every other collision come out right. */
static int redirect(struct rip__child *c)
{
    long source[3];
    for (int i = 0; i < 3; i++) {
        if (c->spawn->redirect[i].kind == RIP__INHERIT)
            continue;
        source[i] = source_of(c, i);
        if (source[i] < 0)
            return fail(c, RIP__STEP_REDIRECT, i, source[i]);
    }
    for (int i = 0; i < 3; i++) {
        if (c->spawn->redirect[i].kind == RIP__INHERIT)
            continue;
        long r;
        do /* EBUSY: another thread is just opening that number */
            r = RIP__SYS(SYS_dup3, source[i], i, 0);
        while (r == -EINTR || r == -EBUSY);
        if (r < 0)
            return fail(c, RIP__STEP_REDIRECT, i, r);
    }
    return 0;
}

/* Without close_range(2): what /proc lists. Closing moves the list under
 * the reader's feet, so it is read again from its start until a pass closes
 * nothing. */
static long close_listed(int keep)
{
    _Alignas(struct rip__dirent) char list[1024];
    long dir = RIP__SYS(SYS_openat, AT_FDCWD, "/proc/self/fd",
                        O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return dir;
    long n, closed = 0;
    do {
        if (closed > 0 && (n = RIP__SYS(SYS_lseek, dir, 0, 0)) < 0)
            return n;
        closed = 0;
        while ((n = RIP__SYS(SYS_getdents64, dir, list, sizeof list)) > 0) {
            for (long at = 0; at < n;) {
                const struct rip__dirent *d = (const void *)(list + at);
                long fd = 0;
                for (const char *s = d->name; *s >= '0' && *s <= '9'; s++)
                    fd = fd * 10 + (*s - '0');
                if (fd > 2 && fd != keep && fd != dir) {
                    (void)RIP__SYS(SYS_close, fd);
                    closed++;
                }
                at += d->size;
            }
        }
    } while (n == 0 && closed > 0);
    (void)RIP__SYS(SYS_close, dir);
    return n;
}

/* Closes all but 0 to 2 and the pipe to the parent. */
static int close_others(struct rip__child *c)
{
    int keep = c->pipe;
    long r = 0;
    if (c->others_are_closed)
        return 0;
    if (keep > 3)
        r = RIP__SYS(SYS_close_range, 3, keep - 1, 0);
    if (r == 0)
        r = RIP__SYS(SYS_close_range, keep < 3 ? 3 : keep + 1, ~0u, 0);
    if (r < 0)
        r = close_listed(keep);
    return r < 0 ? fail(c, RIP__STEP_CLOSE, 0, r) : 0;
}

static int change_directory(struct rip__child *c)
{
    if (!c->spawn->cwd)
        return 0;
    long r = RIP__SYS(SYS_chdir, c->spawn->cwd);
    return r < 0 ? fail(c, RIP__STEP_CHDIR, 0, r) : 0;
}

/* Whether the next path may be tried after this error, as execvp(3) has it. */
static bool is_elsewhere(long error)
{
    return error == -ENOENT || error == -ENOTDIR || error == -EACCES ||
           error == -ESTALE || error == -ENODEV || error == -ETIMEDOUT;
}

/* Tries each path. What is told in the end is the most telling failure: a
 * program that is there but can not be run is better to know of than the
 * last directory of PATH that does not have it. Nothing is told before the
 * end, for there is no taking it back once exec has worked. */
static void execute(struct rip__child *c)
{
    const struct rip__os_spawn *s = c->spawn;
    enum rip__os_step step = RIP__STEP_EXEC;
    long r = -ENOENT, error = -ENOENT;
    int index = 0;
    for (int i = 0; s->paths[i] && is_elsewhere(r); i++) {
        r = RIP__SYS(SYS_execve, s->paths[i], s->argv, s->envp);
        bool there = r == -ENOENT && RIP__SYS(SYS_faccessat, AT_FDCWD,
                                              s->paths[i], 0 /* F_OK */) == 0;
        if (there || r == -EACCES || !is_elsewhere(r) || !s->paths[1]) {
            step = there ? RIP__STEP_INTERPRETER : RIP__STEP_EXEC;
            error = r;
            index = i;
        }
    }
    fail(c, step, index, error);
}

int rip__child_main(void *arg)
{
    struct rip__child *c = arg;
    const rip__kernel_sigset none = 0;
    c->memory_is_shared = true;
    reset_signals(c);
    if (c->spawn->new_group) {
        long r = RIP__SYS(SYS_setpgid, 0, 0);
        if (r < 0)
            fail(c, RIP__STEP_SETPGID, 0, r);
    }
    if (c->report->step == RIP__STEP_NONE && own_table(c) == 0 &&
        redirect(c) == 0 && close_others(c) == 0 && change_directory(c) == 0) {
        (void)RIP__SYS(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL,
                       sizeof none);
        execute(c);
    }
    for (;;)
        (void)RIP__SYS(SYS_exit_group, 127);
}
