/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "os/os.h"
#include "run.h"

/*
 * System calls that are missing: on an older kernel, or by a filter, as Docker
 * and Flatpak have one. The filter is a real one, for this process and all
 * that it starts; so whatever asks the kernel is told the same, libc and the
 * shells as well.
 */

/* A system call that fails; with a mask, only if a bit of it is set in that
 * argument. The list ends with error 0. */
struct rule {
    int nr, error;
    unsigned argument, mask;
};

static void forbid(const struct rule *rules)
{
    struct sock_filter code[128];
    unsigned short n = 0;
    for (const struct rule *r = rules; r->error; r++) {
        unsigned arg =
            (unsigned)(offsetof(struct seccomp_data, args) + 8ul * r->argument);
        code[n++] = (struct sock_filter)BPF_STMT(
            BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
        code[n++] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (unsigned)r->nr, 0, r->mask ? 3 : 1);
        if (r->mask) {
            code[n++] =
                (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, arg);
            code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K,
                                                     r->mask, 0, 1);
        }
        code[n++] = (struct sock_filter)BPF_STMT(
            BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)r->error);
    }
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = { n, code };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        SKIP("no system call filter here (%s)", harness_errno_name(errno));
}

/* ---- the worlds ------------------------------------------------------- */

static const struct rule no_clone3[] = { { .nr = SYS_clone3, .error = ENOSYS },
                                         { 0 } };

static const struct rule forbidden_clone3[] = {
    { .nr = SYS_clone3, .error = EPERM }, { 0 }
};

static const struct rule no_close_range[] = {
    { .nr = SYS_close_range, .error = ENOSYS }, { 0 }
};

/* RWF_NOSIGNAL, before Linux 6.18. */
static const struct rule no_nosignal[] = {
    { .nr = SYS_pwritev2, .error = EOPNOTSUPP, .argument = 5, .mask = 0x100 },
    { 0 }
};

/* Nobody outside of the command's group can be signalled then, and not one of
 * them be held. */
static const struct rule no_pidfd_open[] = {
    { .nr = SYS_pidfd_open, .error = ENOSYS }, { 0 }
};
static const struct rule no_pidfd_signal[] = {
    { .nr = SYS_pidfd_send_signal, .error = ENOSYS }, { 0 }
};

/* The oldest kernel that is supported, 5.10, but for what only a filter can
 * take away. PIDFD_GET_INFO and PIDFD_SIGNAL_PROCESS_GROUP are missing. */
static const struct rule linux_5_10[] = {
    { .nr = SYS_ioctl, .error = ENOTTY, .argument = 1, .mask = 0xff00 },
    { .nr = SYS_pidfd_send_signal, .error = EINVAL, .argument = 3, .mask = 4 },
    { .nr = SYS_pwritev2, .error = EOPNOTSUPP, .argument = 5, .mask = 0x100 },
    { 0 }
};

/* The default profile of Docker 19.03, on a kernel that is newer than it. */
static const struct rule old_docker[] = {
    { .nr = SYS_clone3, .error = EPERM },
    { .nr = SYS_close_range, .error = EPERM },
    { .nr = SYS_pidfd_open, .error = EPERM },
    { .nr = SYS_pidfd_send_signal, .error = EPERM },
    { 0 }
};

static const struct rule nothing_new[] = {
    { .nr = SYS_clone3, .error = ENOSYS },
    { .nr = SYS_close_range, .error = ENOSYS },
    { .nr = SYS_pidfd_open, .error = ENOSYS },
    { .nr = SYS_pidfd_send_signal, .error = ENOSYS },
    { .nr = SYS_pwritev2, .error = ENOSYS },
    { .nr = SYS_ioctl, .error = ENOTTY, .argument = 1, .mask = 0xff00 },
    { 0 }
};

/* In these a tree is reached by its process group alone. */
static bool reaches_group_alone(const struct rule *world)
{
    return world == no_pidfd_open || world == no_pidfd_signal ||
           world == old_docker || world == nothing_new;
}

/* ---- what must be right in each --------------------------------------- */

static void check_ends(void)
{
    rip_command *c = start(SH("exit 200"), NULL);
    CHECK_INT(end_of(c).code, ==, 200);
    rip_command_free(c);
    c = start(SH("kill -KILL $$"), NULL);
    CHECK_INT(end_of(c).signal, ==, SIGKILL);
    CHECK_ERR(rip_command_signal(c, SIGTERM), -ESRCH);
    CHECK_ERR(rip_command_signal_one(c, SIGTERM), -ESRCH);
    rip_command_free(c);
}

static void check_failures(void)
{
    refuse(ARGV("/no/such"), NULL, -ENOENT, "exec", "/no/such");
    refuse(ARGV("true"), &(struct rip_command_options){ .cwd = "/nope" },
           -ENOENT, "chdir", "/nope");
    refuse(ARGV("/etc/passwd"), NULL, -EACCES, "exec", "/etc/passwd");
}

static void check_talk(void)
{
    size_t size = 300000;
    char *data = make_data(size);
    struct rip_output o;
    run(&o, SH("tee /dev/stderr"),
        &(struct rip_command_options){ .input = data, .input_len = size });
    CHECK_MEM(o.out, o.out_len, data, size);
    CHECK_MEM(o.err, o.err_len, data, size);
    rip_output_done(&o);
    free(data);
}

static void check_no_sigpipe(void)
{
    struct rip_command_options o = { .in = { .kind = RIP_STDIO_PIPE } };
    rip_command *c = start(ARGV("true"), &o);
    end_of(c);
    CHECK_ERR(rip_command_write(c, "x", 1, RIP_FOREVER), -EPIPE);
    rip_command_free(c);
}

static void check_descriptors(void)
{
    struct rip_output o;
    int fd = dup(0), far = dup2(0, 500);
    run(&o, ARGV(harness_program("child"), "fds"), NULL);
    close(fd);
    close(far);
    CHECK_GLOB(o.out, "0 /dev/null\n1 pipe:*\n2 pipe:*\n");
    CHECK(!strstr(o.out, "\n3"));
    rip_output_done(&o);
}

/* In our group, so that there is nothing but its own process to signal. */
static void check_signals_to_one(void)
{
    struct rip_exit e;
    rip_command *c = start(ARGV("sleep", "60"), NULL);
    CHECK_INT(getpgid(rip_command_pid(c)), ==, getpgrp());
    CHECK_OK(rip_command_signal_one(c, SIGTERM));
    CHECK_INT(end_of(c).signal, ==, SIGTERM);
    rip_command_free(c);
    c = start(ARGV("sleep", "60"), NULL);
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK(e.stopped);
    CHECK_INT(e.signal, ==, SIGTERM);
    rip_command_free(c);
    c = start(ARGV("sleep", "60"), NULL);
    pid_t pid = rip_command_pid(c);
    rip_command_free(c);
    CHECK(!is_alive(pid));
}

static void check_deaf(void)
{
    struct rip_command_options o = { .in = { .kind = RIP_STDIO_NULL },
                                     .out = { .kind = RIP_STDIO_PIPE },
                                     .grace = 0.05 };
    struct rip_output out;
    struct rip_exit e;
    rip_command *c =
        start(SH("trap '' TERM; echo on; sleep 60 & sleep 60"), &o);
    await_line(c);
    CHECK_ERR(rip_command_communicate(c, NULL, 0, &out, rip_after_ms(20)),
              -ETIMEDOUT);
    CHECK_INT(out.exit.how, ==, RIP_RUNNING);
    rip_output_done(&out);
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK(e.stopped);
    CHECK_INT(e.signal, ==, SIGKILL);
    rip_command_free(c);
    CHECK_OK(rip_run(ARGV("sleep", "60"), &o, &out, rip_after_ms(20)));
    CHECK(out.exit.timed_out);
    rip_output_done(&out);
}

/* One in the group, one that has left it. */
static void check_tree(const struct rule *world)
{
    struct rip_command_options o = { .in = { .kind = RIP_STDIO_NULL },
                                     .out = { .kind = RIP_STDIO_PIPE },
                                     .grace = 0.2 };
    struct rip_exit e;
    rip_command *c =
        start(SH("sleep 60 & a=$!; setsid sleep 60 & echo $a $!; wait"), &o);
    char *s = (char *)(uintptr_t)await_line(c);
    int inside = (int)strtol(s, &s, 10), outside = (int)strtol(s, NULL, 10);
    while (getpgid(outside) == rip_command_pid(c))
        sched_yield();
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.signal, ==, SIGTERM);
    await_death(inside);
    if (reaches_group_alone(world)) {
        CHECK_INT(e.tree, ==, RIP_TREE_PARTIAL);
        CHECK(is_alive(outside));
        kill(outside, SIGKILL);
    } else {
        CHECK_INT(e.tree, ==, RIP_TREE_SWEEP);
        CHECK(!is_alive(outside));
    }
    rip_command_free(c);
}

/* It is known how it ended or not, and nobody hangs. Its number may be
 * anybody's by now, and is not signalled. */
static void check_stolen(void)
{
    rip_command *c = start(SH("exit 3"), NULL);
    CHECK_INT(waitpid(rip_command_pid(c), NULL, 0), >, 0);
    fault_always(SYS_kill, EACCES); /* which would be told */
    CHECK_ERR(rip_command_signal(c, SIGTERM), -ESRCH);
    CHECK_ERR(rip_command_signal_one(c, SIGTERM), -ESRCH);
    struct rip_exit e = end_of(c);
    CHECK(e.how == RIP_UNKNOWN || e.code == 3);
    CHECK_ERR(rip_command_signal(c, SIGTERM), -ESRCH);
    CHECK_ERR(rip_command_signal_one(c, SIGTERM), -ESRCH);
    rip_command_free(c);
}

static void check_all(const struct rule *world)
{
    forbid(world);
    check_ends();
    check_failures();
    check_talk();
    check_no_sigpipe();
    check_descriptors();
    check_signals_to_one();
    check_deaf();
    check_tree(world);
    check_stolen();
}

#define IN_WORLD(name)        \
    TEST(all_is_right_##name) \
    {                         \
        check_all(name);      \
    }
IN_WORLD(no_clone3)
IN_WORLD(forbidden_clone3)
IN_WORLD(no_close_range)
IN_WORLD(no_nosignal)
IN_WORLD(no_pidfd_open)
IN_WORLD(no_pidfd_signal)
IN_WORLD(linux_5_10)
IN_WORLD(old_docker)
IN_WORLD(nothing_new)

/* ---- where nothing can be started ------------------------------------- */

static void check_nothing_starts(int error)
{
    const struct rule no_pidfd[] = { { .nr = SYS_clone3, .error = error },
                                     { .nr = SYS_clone,
                                       .error = EINVAL,
                                       .argument = 0,
                                       .mask = CLONE_PIDFD },
                                     { .nr = SYS_pidfd_open, .error = error },
                                     { 0 } };
    forbid(no_pidfd);
    refuse(SH("echo no >trace"), NULL, -error, "clone", "sh");
    CHECK(access("trace", F_OK) < 0);
}

TEST(without_any_pidfd_nothing_is_started)
{
    check_nothing_starts(ENOSYS);
}

TEST(with_every_pidfd_forbidden_nothing_is_started)
{
    check_nothing_starts(EPERM);
}
