/* SPDX-License-Identifier: MIT */
#include "spawning.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fault.h"
#include "harness.h"

static const char *const shell[] = { "/bin/sh", NULL };
static const char *const no_env[] = { "PATH=/usr/bin:/bin", NULL };

void prepare(struct spawning *p, const char *script)
{
    *p = (struct spawning){ .argv = { "sh", "-c", script, NULL } };
    p->s.paths = shell;
    p->s.argv = p->argv;
    p->s.envp = no_env;
}

int status_of(const struct rip__os_spawned *c)
{
    struct rip__os_status status;
    struct pollfd ended = { .fd = c->pidfd, .events = POLLIN };
    CHECK_OK(rip__os_poll(&ended, 1, RIP_FOREVER));
    CHECK_INT(rip__os_reap(c->pidfd, false, &status), ==, 1);
    CHECK(status.known);
    rip__os_close(c->pidfd);
    return status.wait_status;
}

int run(struct spawning *p)
{
    struct rip__os_spawned c;
    CHECK_OK(rip__os_spawn(&c, &p->s));
    CHECK(c.pid > 0);
    int status = status_of(&c);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int run_script(const char *script)
{
    struct spawning p;
    prepare(&p, script);
    return run(&p);
}

const char *output_of(struct spawning *p, int target)
{
    static char text[4096];
    struct rip__os_spawned c;
    int fd[2];
    CHECK_OK(rip__os_pipe(fd));
    p->s.redirect[target] =
        (struct rip__os_redirect){ RIP__OURS, fd[1], O_WRONLY };
    CHECK_OK(rip__os_spawn(&c, &p->s));
    rip__os_close(fd[1]);
    size_t len = 0;
    ssize_t r;
    while ((r = CHECK_OK(
                rip__os_read(fd[0], text + len, sizeof text - len - 1))) > 0)
        len += (size_t)r;
    text[len] = 0;
    rip__os_close(fd[0]);
    CHECK_INT(status_of(&c), ==, 0);
    return text;
}

const char *script_output(const char *script)
{
    struct spawning p;
    prepare(&p, script);
    return output_of(&p, 1);
}

void check_failing(struct spawning *p, enum rip__os_step step, int index,
                   int code)
{
    struct rip__os_spawned c;
    CHECK_ERR(rip__os_spawn(&c, &p->s), code);
    CHECK_INT(c.step, ==, step);
    CHECK_INT(c.index, ==, index);
    CHECK_INT(c.pid, ==, -1);
    CHECK_INT(waitpid(-1, NULL, __WALL | WNOHANG), ==, -1);
    CHECK_INT(errno, ==, ECHILD);
}

/* ---- the worlds ------------------------------------------------------- */

long (*next_call)(long nr, const long args[6]);
static bool no_clone_pidfd;

static long emulate(long nr, const long args[6])
{
    if (nr == SYS_clone3)
        return -ENOSYS;
    if (nr == SYS_clone && no_clone_pidfd && (args[0] & CLONE_PIDFD))
        return -EINVAL;
    if (nr == SYS_clone) {
        long fork[6] = { args[0] & ~(long)(CLONE_VM | CLONE_VFORK),
                         args[1],
                         args[2],
                         args[3],
                         args[4],
                         args[5] };
        return next_call(nr, fork);
    }
    return next_call(nr, args);
}

void enter_emulator(void)
{
    next_call = rip__seam.syscall;
    rip__seam.syscall = emulate;
}

void enter_old_emulator(void)
{
    no_clone_pidfd = true;
    enter_emulator();
}

void enter_native(void)
{
}

void lose_clone3(void)
{
    fault_always(SYS_clone3, ENOSYS);
}

void lose_close_range(void)
{
    fault_always(SYS_close_range, ENOSYS);
}

void lose_both(void)
{
    lose_clone3();
    lose_close_range();
}
