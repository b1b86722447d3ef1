/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "os/os.h"
#include "run.h"

/*
 * Somebody else in this process takes what is ours: the status (waitpid(-1) in
 * another thread, SIGCHLD ignored), and with it the pid, which may then go to
 * a process that has nothing to do with us.
 *
 * With an ignored SIGCHLD CPython tells status 0 for whatever was lost, and
 * hung before (#76296); Go, GLib and Rust tell ECHILD. A pid that was reused
 * is killed by CPython's Popen.kill (#127049, #86724), by libuv before its
 * PR 3539, and by whoever else calls kill(2) with a number.
 */

/* ---- the thief -------------------------------------------------------- */

struct thief {
    pthread_t thread;
    atomic_bool end;
    int flags;
    atomic_int taken;
};

static void *steal(void *arg)
{
    struct thief *t = arg;
    while (!t->end) {
        if (waitpid(-1, NULL, t->flags) > 0)
            t->taken++;
        else
            sched_yield();
    }
    return NULL;
}

static void let_loose(struct thief *t, int flags)
{
    *t = (struct thief){ .flags = flags };
    pthread_create(&t->thread, NULL, steal, t);
}

static int catch (struct thief *t)
{
    t->end = true;
    pthread_join(t->thread, NULL);
    return t->taken;
}

/* What is missing on kernels before 6.15. */
static bool keeps_status(void)
{
    rip_command *c = start(SH("exit 3"), NULL);
    CHECK_INT(waitpid(rip_command_pid(c), NULL, 0), >, 0);
    struct rip_exit e = end_of(c);
    rip_command_free(c);
    return e.how != RIP_UNKNOWN;
}

static void need_kept_status(void)
{
    if (!keeps_status())
        SKIP("this kernel keeps no second copy of a status");
}

/* ---- the status ------------------------------------------------------- */

/* Right; or, where that may be, unknown, which is counted. */
static bool may_be_unknown;
static atomic_int unknown;

static void check_end(const struct rip_exit *e, int code, int sig)
{
    if (e->how == RIP_UNKNOWN && may_be_unknown) {
        unknown++;
        return;
    }
    CHECK_INT(e->how, ==, sig ? RIP_SIGNALED : RIP_EXITED);
    CHECK_INT(e->code, ==, code);
    CHECK_INT(e->signal, ==, sig);
}

static const char *number(char text[16], int n)
{
    snprintf(text, 16, "%d", n);
    return text;
}

static void start_and_wait(const char *const *argv, int code, int sig)
{
    rip_command *c = start(argv, NULL);
    struct rip_exit e = end_of(c), again = end_of(c);
    check_end(&e, code, sig);
    CHECK_INT(again.how, ==, e.how);
    CHECK_INT(again.code, ==, e.code);
    rip_command_free(c);
}

static void run_and_capture(const char *const *argv, int code, int sig)
{
    struct rip_output o;
    run(&o, argv, NULL);
    CHECK_STR(o.out, "here\n");
    CHECK(!o.pipe_held);
    check_end(&o.exit, code, sig);
    rip_output_done(&o);
}

static void start_and_stop(const char *child)
{
    struct rip_exit e;
    rip_command *c = start(ARGV(child, "wait"), NULL);
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    check_end(&e, 0, SIGTERM);
    CHECK_ERR(rip_command_signal(c, SIGTERM), -ESRCH);
    rip_command_free(c);
}

static void start_in_vain(void)
{
    rip_command *c;
    CHECK_ERR(rip_command_start(&c, ARGV("/no/such"), NULL), -ENOENT);
}

static void *commands(void *arg)
{
    const char *child = arg;
    char n[16];
    for (int i = 0; i < 25; i++) {
        start_and_wait(ARGV(child, "exit", number(n, i + 1)), i + 1, 0);
        start_and_wait(ARGV(child, "signal", number(n, SIGKILL)), 0, SIGKILL);
        run_and_capture(
            ARGV(child, "print", "here", ",", "exit", number(n, i + 1)), i + 1,
            0);
        start_in_vain();
        start_and_stop(child);
    }
    return NULL;
}

static void many_commands(void)
{
    char child[4096];
    snprintf(child, sizeof child, "%s", harness_program("child"));
    pthread_t threads[4];
    int rounds = harness_rounds(1);
    while (rounds-- > 0) {
        for (int i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, commands, child);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    }
}

TEST_WITH(the_status_is_right_though_another_waits_for_all, .deadline = 30)
{
    struct thief t;
    need_kept_status();
    let_loose(&t, 0);
    many_commands();
    CHECK_INT(catch (&t), >, 0);
}

/* It even sees those that fail before they are programs. */
TEST_WITH(the_status_is_right_though_another_waits_for_clones, .deadline = 30)
{
    struct thief t;
    need_kept_status();
    let_loose(&t, __WALL);
    many_commands();
    CHECK_INT(catch (&t), >, 0);
}

TEST_WITH(on_old_kernels_it_is_right_or_unknown, .deadline = 30)
{
    struct thief t;
    fault_always(SYS_ioctl, ENOTTY);
    may_be_unknown = true;
    let_loose(&t, 0);
    many_commands();
    CHECK_INT(catch (&t), >=, unknown);
}

static void with_sigchld(void (*handler)(int), int flags, void (*then)(void))
{
    struct sigaction now = { .sa_handler = handler, .sa_flags = flags }, old;
    sigaction(SIGCHLD, &now, &old);
    then();
    sigaction(SIGCHLD, &old, NULL);
}

static void on_sigchld(int sig)
{
    (void)sig;
}

TEST_WITH(the_status_is_right_though_nobody_can_wait, .deadline = 30)
{
    need_kept_status();
    with_sigchld(SIG_IGN, 0, many_commands);
}

TEST_WITH(the_status_is_right_under_sa_nocldwait, .deadline = 30)
{
    need_kept_status();
    with_sigchld(on_sigchld, SA_NOCLDWAIT | SA_RESTART, many_commands);
}

TEST_WITH(on_old_kernels_nobody_hangs_where_nobody_can_wait, .deadline = 30)
{
    fault_always(SYS_ioctl, ENOTTY);
    may_be_unknown = true;
    with_sigchld(SIG_IGN, 0, many_commands);
    CHECK_INT(unknown, >, 0);
}

/* The thief has the child, but the kernel has not yet put the status down for
 * others to read: a moment that a thief who is interrupted makes long. */
static long (*next_call)(long nr, const long args[6]);
static int moments;

static long be_slow(long nr, const long args[6])
{
    long r = next_call(nr, args);
    if (nr == SYS_ppoll && args[1] == 1 && moments > 0)
        ((struct pollfd *)args[0])->revents &= ~POLLHUP;
    if (nr == SYS_ioctl && moments > 0) {
        moments--;
        *(uint64_t *)args[2] = 0; /* what it tells of */
        return 0;
    }
    return r;
}

TEST(a_status_that_is_just_being_taken_is_waited_for)
{
    need_kept_status();
    struct rip_exit e;
    next_call = rip__seam.syscall;
    rip__seam.syscall = be_slow;
    rip_command *c = start(SH("exit 3"), NULL);
    CHECK_INT(waitpid(rip_command_pid(c), NULL, 0), >, 0);
    moments = 3;
    e = end_of(c);
    check_end(&e, 3, 0);
    rip_command_free(c);
    c = start(ARGV("sleep", "60"), NULL);
    CHECK_INT(kill(rip_command_pid(c), SIGKILL), ==, 0);
    CHECK_INT(waitpid(rip_command_pid(c), NULL, 0), >, 0);
    moments = 3;
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    check_end(&e, 0, SIGKILL);
    rip_command_free(c);
    rip__seam.syscall = next_call;
}

/* At whichever step. */
static void fail_to_start(void)
{
    const struct rip_command_options nowhere = { .cwd = "/nope" };
    const struct rip_command_options closed = { .err = { .kind = RIP_STDIO_FD,
                                                         .fd = 999 } };
    rip_command *c;
    start_in_vain();
    CHECK_ERR(rip_command_start(&c, ARGV("true"), &nowhere), -ENOENT);
    CHECK_ERR(rip_command_start(&c, ARGV("true"), &closed), -EBADF);
    CHECK_ERR(rip_command_start(&c, ARGV("/"), NULL), -EACCES);
    CHECK_ERR(rip_command_start(&c, ARGV("./lost"), NULL), -ENOENT);
    CHECK_ERR(rip_command_start(&c, ARGV("./empty"), NULL), -ENOEXEC);
}

static void fail_unseen(void)
{
    struct thief t;
    write_file("lost", "#!/no/such/interpreter\n", 0755);
    write_file("empty", "", 0755);
    let_loose(&t, 0);
    for (int i = 0; i < 50; i++)
        fail_to_start();
    CHECK_INT(catch (&t), ==, 0);
    unlink("lost");
    unlink("empty");
}

TEST(what_fails_to_start_is_seen_by_nobody)
{
    fail_unseen();
}

TEST(what_fails_to_start_is_seen_by_nobody_without_clone3)
{
    fault_always(SYS_clone3, ENOSYS);
    fail_unseen();
}

/* ---- the pid ---------------------------------------------------------- */

/* A process of our own with a number of our choice, and a group of that
 * number. 0: somebody else has it. */
static pid_t make_innocent(pid_t pid)
{
    struct clone_args args = { .exit_signal = SIGCHLD,
                               .set_tid = (uintptr_t)&pid,
                               .set_tid_size = 1 };
    long r = syscall(SYS_clone3, &args, sizeof args);
    if (r == 0) { /* the memory is a copy, and libc's thread is not this one */
        syscall(SYS_setpgid, 0, 0);
        for (;;)
            syscall(SYS_pause);
    }
    if (r < 0 && (errno == EPERM || errno == ENOSYS))
        SKIP("pids cannot be chosen here (%s)", harness_errno_name(errno));
    if (r < 0 && errno == EEXIST)
        return 0;
    CHECK_INT(r, ==, pid);
    return pid;
}

static pid_t innocent;
static int innocents;

/* The command ends, somebody else takes its status, and its number is given
 * to the innocent. */
static void rob(pid_t pid)
{
    CHECK_INT(kill(pid, SIGKILL), ==, 0);
    CHECK_INT(waitpid(pid, NULL, 0), ==, pid);
    innocent = make_innocent(pid);
    innocents += innocent > 0;
    while (innocent && getpgid(innocent) != innocent)
        sched_yield();
}

static void check_unharmed(void)
{
    if (!innocent)
        return;
    CHECK_INT(waitpid(innocent, NULL, WNOHANG | WUNTRACED), ==, 0);
    CHECK_INT(kill(innocent, SIGKILL), ==, 0);
    CHECK_INT(waitpid(innocent, NULL, 0), ==, innocent);
    innocent = 0;
}

static void call_signal(rip_command *c)
{
    int r = rip_command_signal(c, SIGTERM);
    CHECK(r == 0 || r == -ESRCH);
}

static void call_signal_one(rip_command *c)
{
    int r = rip_command_signal_one(c, SIGTERM);
    CHECK(r == 0 || r == -ESRCH);
}

static void call_kill(rip_command *c)
{
    int r = rip_command_signal(c, SIGKILL);
    CHECK(r == 0 || r == -ESRCH);
}

static void call_stop(rip_command *c)
{
    CHECK_OK(rip_command_stop(c, NULL, RIP_FOREVER));
}

static void call_communicate(rip_command *c)
{
    CHECK_OK(rip_command_communicate(c, NULL, 0, NULL, RIP_FOREVER));
}

static void call_nothing(rip_command *c)
{
    (void)c; /* free comes in any case */
}

static const struct call {
    const char *name;
    void (*call)(rip_command *c);
} calls[] = {
    { "signal", call_signal }, { "signal_one", call_signal_one },
    { "SIGKILL", call_kill },  { "stop", call_stop },
    { "free", call_nothing },
};

static rip_command *start_victim(bool own_group)
{
    struct rip_command_options o = {
        .in = { .kind = own_group ? RIP_STDIO_NULL : RIP_STDIO_INHERIT },
        .grace = 0.01
    };
    return start(ARGV(harness_program("child"), "wait"), &o);
}

static void robbed_before(bool own_group)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        harness_note("%s", calls[i].name);
        rip_command *c = start_victim(own_group);
        rob(rip_command_pid(c));
        calls[i].call(c);
        rip_command_free(c);
        check_unharmed();
    }
}

TEST(a_reused_pid_is_not_hit)
{
    robbed_before(false);
}

TEST(a_reused_group_is_not_hit)
{
    robbed_before(true);
}

TEST(a_pid_that_is_reused_while_we_wait_is_not_hit)
{
    rip_command *c = start_victim(true);
    rob(rip_command_pid(c));
    call_communicate(c);
    CHECK_ERR(rip_command_signal(c, SIGTERM), -ESRCH);
    rip_command_free(c);
    check_unharmed();
}

/*
 * The same, but the theft comes in the middle: before the Nth system call of
 * the library, for each N. Those by which /proc is read are passed over, since
 * there are hundreds, and they decide nothing.
 */
static pid_t victim;
static int calls_left; /* until the theft */

static bool reads_proc(long nr)
{
    return nr == SYS_openat || nr == SYS_read || nr == SYS_close ||
           nr == SYS_getdents64;
}

static long rob_then_call(long nr, const long args[6])
{
    if (victim > 0 && !reads_proc(nr) && calls_left-- == 0) {
        rob(victim);
        victim = 0;
    }
    return next_call(nr, args);
}

static void need_group_signal(void)
{
    rip_command *c = start_victim(true);
    long r = syscall(SYS_pidfd_send_signal, rip_command_fd(c), 0, NULL, 4);
    int error = errno;
    rip_command_free(c);
    if (r < 0)
        SKIP("pidfd_send_signal cannot signal groups before Linux 6.9 (%s)",
             harness_errno_name(error));
}

/* False: the call was over before. */
static bool robbed_at(const struct call *call, int n, bool own_group)
{
    harness_note("%s, before call %d", call->name, n);
    rip_command *c = start_victim(own_group);
    calls_left = n;
    victim = rip_command_pid(c);
    call->call(c);
    rip_command_free(c);
    bool reached = victim == 0;
    victim = 0;
    if (reached)
        check_unharmed();
    return reached;
}

static void robbed_at_every_call(bool own_group)
{
    next_call = rip__seam.syscall;
    rip__seam.syscall = rob_then_call;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int n = 0;
        while (robbed_at(&calls[i], n, own_group))
            n++;
        CHECK_INT(n, >, 0);
    }
    CHECK_INT(innocents, >, 0);
    rip__seam.syscall = next_call;
}

TEST_WITH(a_pid_that_is_reused_at_any_moment_is_not_hit, .deadline = 60)
{
    robbed_at_every_call(false);
}

TEST_WITH(a_group_that_is_reused_at_any_moment_is_not_hit, .deadline = 60)
{
    need_group_signal();
    robbed_at_every_call(true);
}
