/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "run.h"

/*
 * Every system call and allocation on these paths fails once, and from then
 * on, in every way that it can. The calls may fail, but cleanly: no child, no
 * descriptor, no memory left, and the failure named.
 */

static const struct rip_command_options piped = {
    .in = { .kind = RIP_STDIO_PIPE },
    .out = { .kind = RIP_STDIO_PIPE },
    .err = { .kind = RIP_STDIO_PIPE },
};

/* What is transient is tried again inside, and never seen. In the child every
 * signal is blocked, so there are no interruptions to be looked after. */
static void check_lasting(ssize_t r, const struct rip_failure *f)
{
    bool in_child = f && f->step &&
                    (!strcmp(f->step, "redirect") || !strcmp(f->step, "close"));
    CHECK_INT(r, !=, -EBUSY);
    if (!in_child)
        CHECK_INT(r, !=, -EINTR);
}

static void check_named(int r, const struct rip_failure *f)
{
    check_lasting(r, f);
    CHECK_INT(f->code, ==, r);
    CHECK(f->step != NULL);
}

static void start_and_wait(void *arg)
{
    struct rip_failure f = { 0 };
    struct rip_command_options o = *(const struct rip_command_options *)arg;
    struct rip_exit e;
    rip_command *c;
    o.failure = &f;
    int r = rip_command_start(&c, ARGV("true"), &o);
    if (r < 0) {
        check_named(r, &f);
        return;
    }
    r = rip_command_wait(c, &e, RIP_FOREVER);
    CHECK(r == 0 || r == -ENOMEM);
    if (r == 0)
        CHECK(e.how == RIP_UNKNOWN || rip_exit_ok(&e));
    rip_command_free(c);
}

TEST_WITH(start_survives_every_fault, .deadline = 120)
{
    struct rip_command_options o = { 0 };
    CHECK_INT(fault_sweep(start_and_wait, &o, NULL), >, 20);
}

TEST_WITH(start_with_everything_survives_every_fault, .deadline = 120)
{
    struct rip_command_options o = piped;
    o.cwd = "/";
    o.env = ARGV("A=b", "HOME");
    o.out = (struct rip_stdio){ RIP_STDIO_APPEND, "/dev/null", 0 };
    o.err.kind = RIP_STDIO_STDOUT;
    CHECK_INT(fault_sweep(start_and_wait, &o, NULL), >, 40);
}

static void start_nothing(void *arg)
{
    struct rip_failure f = { 0 };
    struct rip_command_options o = { .failure = &f };
    rip_command *c;
    (void)arg;
    int r = rip_command_start(&c, ARGV("/no/such"), &o);
    CHECK_INT(r, <, 0);
    check_named(r, &f);
}

TEST_WITH(a_failing_start_survives_every_fault, .deadline = 120)
{
    CHECK_INT(fault_sweep(start_nothing, NULL, NULL), >, 20);
}

static void run_cat(void *arg)
{
    static char input[5000];
    struct rip_failure f = { 0 };
    struct rip_command_options o = {
        .input = input, .input_len = sizeof input, .grace = 0.05, .failure = &f
    };
    struct rip_output out;
    (void)arg;
    int r = rip_run(ARGV("cat"), &o, &out, RIP_FOREVER);
    check_lasting(r, &f);
    if (r < 0) {
        CHECK(f.step == NULL || f.code == r);
        return;
    }
    if (out.exit.how == RIP_EXITED && out.exit.code == 0)
        CHECK(out.out_len == sizeof input || out.out_len == 0);
    rip_output_done(&out);
}

TEST_WITH(run_survives_every_fault, .deadline = 240)
{
    CHECK_INT(fault_sweep(run_cat, NULL, NULL), >, 40);
}

static void run_late(void *arg)
{
    struct rip_failure f = { 0 };
    struct rip_command_options o = { .grace = 0.02, .failure = &f };
    struct rip_output out;
    (void)arg;
    int r = rip_run(ARGV("sleep", "60"), &o, &out, rip_after_ms(10));
    check_lasting(r, &f);
    if (r == 0)
        rip_output_done(&out);
}

TEST_WITH(a_stop_at_the_deadline_survives_every_fault, .deadline = 240)
{
    /* The walk through /proc makes many calls that are alike. */
    struct fault_options some = { .most = 16 };
    CHECK_INT(fault_sweep(run_late, NULL, &some), >, 40);
}

/* It ends at once; who has its output is stopped at the deadline. */
static void run_held(void *arg)
{
    struct rip_command_options o = { .grace = 30 };
    struct rip_output out;
    (void)arg;
    int r = rip_run(SH("sleep 60 &"), &o, &out, rip_after_ms(20));
    if (r == 0)
        rip_output_done(&out);
}

TEST_WITH(a_held_output_survives_every_fault, .deadline = 240)
{
    struct fault_options some = { .most = 2 };
    CHECK_INT(fault_sweep(run_held, NULL, &some), >, 40);
}

static void talk_and_stop(void *arg)
{
    struct rip_exit e;
    rip_command *c;
    char buf[8];
    (void)arg;
    if (rip_command_start(&c, ARGV("cat"), &piped) < 0)
        return;
    if (rip_command_write(c, "hello", 5, RIP_FOREVER) == 5) {
        size_t len = 0;
        ssize_t r = 1;
        while (len < 5 && r > 0) {
            r = rip_command_read(c, 1, buf + len, 5 - len, RIP_FOREVER);
            check_lasting(r, NULL);
            len += r > 0 ? (size_t)r : 0;
        }
        if (len == 5)
            CHECK_MEM(buf, len, "hello", 5);
    }
    (void)rip_command_stop(c, &e, rip_after(5));
    rip_command_free(c);
}

TEST_WITH(talking_and_stopping_survives_every_fault, .deadline = 240)
{
    CHECK_INT(fault_sweep(talk_and_stop, NULL, NULL), >, 40);
}

/* ---- in poorer surroundings ------------------------------------------- */

TEST_WITH(a_start_without_clone3_survives_every_fault, .deadline = 240)
{
    struct rip_command_options o = piped;
    fault_always(SYS_clone3, ENOSYS);
    fault_always(SYS_close_range, ENOSYS);
    CHECK_INT(fault_sweep(start_and_wait, &o, NULL), >, 40);
}

/* Pipes with numbers that are too high to be copied. */
TEST_WITH(a_start_with_many_files_survives_every_fault, .deadline = 240)
{
    struct rip_command_options o = piped;
    int fds[300];
    for (size_t i = 0; i < 300; i++)
        CHECK_INT(fds[i] = dup(0), >=, 0);
    CHECK_INT(fault_sweep(start_and_wait, &o, NULL), >, 40);
    for (size_t i = 0; i < 300; i++)
        close(fds[i]);
}

TEST_WITH(run_without_rwf_nosignal_survives_every_fault, .deadline = 240)
{
    fault_always(SYS_pwritev2, EOPNOTSUPP);
    CHECK_INT(fault_sweep(run_cat, NULL, NULL), >, 40);
}

/* ---- signals and communicate ------------------------------------------ */

static void signal_two(void *arg)
{
    rip_command *c[2] = { NULL, NULL };
    struct rip_exit e;
    (void)arg;
    for (int i = 0; i < 2; i++)
        if (rip_command_start(&c[i], SH("cat & cat"), &piped) < 0)
            c[i] = NULL;
    if (c[0] && c[1]) {
        int r = rip_command_signal_all(c, 2, SIGKILL);
        CHECK(r <= 0 && r != -ESRCH);
        /* Whatever could not be looked at, the group gets its signal. */
        r = rip_command_wait(c[0], &e, RIP_FOREVER);
        if (r == 0)
            CHECK(e.how == RIP_UNKNOWN || e.signal == SIGKILL);
    }
    rip_command_free(c[1]);
    rip_command_free(c[0]);
}

TEST_WITH(signalling_survives_every_fault, .deadline = 240)
{
    struct fault_options some = { .most = 16 };
    CHECK_INT(fault_sweep(signal_two, NULL, &some), >, 40);
}

/* What was read when a call fails is not lost: the next one gives it. */
static void communicate_twice(void *arg)
{
    const char *const words = "one\ntwo\n";
    struct rip_command_options o = piped;
    struct rip_output out = { 0 };
    rip_command *c;
    (void)arg;
    o.max_output = 6;
    o.overflow = RIP_OVERFLOW_HEAD_TAIL;
    if (rip_command_start(&c, ARGV("cat"), &o) < 0)
        return;
    int r = rip_command_communicate(c, words, 8, &out, RIP_FOREVER);
    check_lasting(r, NULL);
    if (r < 0)
        r = rip_command_communicate(c, NULL, 0, &out, rip_after(2));
    if (r == 0 && rip_exit_ok(&out.exit)) {
        if (out.out_len > 0) /* 0: it was told that nobody reads */
            CHECK_MEM(out.out, out.out_len, "onewo\n", 6);
        CHECK_INT(out.truncated, ==, out.out_len > 0);
        rip_output_done(&out);
    } else if (r == 0 || r == -ETIMEDOUT) {
        rip_output_done(&out);
    }
    rip_command_free(c);
}

TEST_WITH(communicate_survives_every_fault, .deadline = 240)
{
    CHECK_INT(fault_sweep(communicate_twice, NULL, NULL), >, 40);
}

/* ---- every option ----------------------------------------------------- */

static void start_with_all(void *arg)
{
    const struct rip_command_options *o = arg;
    struct rip_failure f = { 0 };
    struct rip_command_options with = *o;
    rip_command *c;
    with.failure = &f;
    int r = rip_command_start(&c, ARGV("true"), &with);
    if (r < 0) {
        CHECK(f.step != NULL);
        CHECK_INT(f.code, ==, r);
        return;
    }
    (void)rip_command_wait(c, NULL, RIP_FOREVER);
    rip_command_free(c);
}

TEST_WITH(all_options_survive_every_fault, .deadline = 120)
{
    if (geteuid() != 0)
        SKIP("needs root");
    int fd = open("/bin/true", O_PATH | O_CLOEXEC);
    struct rip_command_options o = {
        .program_fd = &fd,
        .cwd = "/",
        .fds = (const struct rip_fd[]){ { 1, 5 }, { 2, 4 } },
        .n_fds = 2,
        .process_group = RIP_GROUP_SESSION,
        .user = "nobody",
        .groups = ARGV("1", "2"),
        .umask = &(mode_t){ 0 },
        .limits = (const struct rip_limit[]){ { RLIMIT_CORE, 0, 0 } },
        .n_limits = 1,
        .nice = 1,
        .cpus = (const unsigned[]){ 0 },
        .n_cpus = 1,
        .no_new_privs = true,
        .die_with_parent = true,
    };
    CHECK_INT(fault_sweep(start_with_all, &o, NULL), >, 60);
    close(fd);
}
