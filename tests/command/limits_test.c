/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "os/os.h"
#include "run.h"

static const struct rip_command_options piped = {
    .in = { .kind = RIP_STDIO_PIPE },
    .out = { .kind = RIP_STDIO_PIPE },
    .err = { .kind = RIP_STDIO_PIPE },
};

/* ---- many descriptors ------------------------------------------------- */

enum { MANY = 10000 };

/* reproc makes one system call for each descriptor that there might be (#82,
 * #105), and refuses to above a million; so did Python 2 (moby #9876), and
 * CPython in a chroot still (#127177): minutes. Popen's other way, a look at
 * /proc, takes longer with each that is open (#92301). */
static void allow_a_million(void)
{
    struct rlimit now, most = { 1 << 20, 1 << 20 };
    if (setrlimit(RLIMIT_NOFILE, &most) == 0)
        return;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &now), ==, 0);
    now.rlim_cur = now.rlim_max;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &now), ==, 0);
    if (now.rlim_cur < MANY + 100)
        SKIP("no more than %llu files can be open here",
             (unsigned long long)now.rlim_cur);
}

static void open_many(int *fds)
{
    for (int i = 0; i < MANY; i++)
        fds[i] = (int)CHECK_OK(dup(0)); /* not close-on-exec */
}

static void close_many(const int *fds)
{
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
}

static long (*next_call)(long nr, const long args[6]);
static int calls;
static long copied; /* so long was the longest table that a child began with */

static long count(long nr, const long args[6])
{
    calls++;
    if (nr == SYS_close_range && args[2] != 0 && args[0] > copied)
        copied = args[0];
    return next_call(nr, args);
}

/* The system calls of a start, the child's included. */
static int cost_of_a_start(void)
{
    rip_command *c;
    next_call = rip__seam.syscall;
    rip__seam.syscall = count;
    calls = 0;
    CHECK_OK(rip_command_start(&c, ARGV("true"), &piped));
    int cost = calls;
    rip__seam.syscall = next_call;
    end_of(c);
    rip_command_free(c);
    return cost;
}

static void check_three_descriptors(void)
{
    struct rip_output o;
    rip_command *c =
        start(ARGV(harness_program("child"), "cat", ",", "fds"), &piped);
    CHECK_OK(rip_command_communicate(c, "in", 2, &o, RIP_FOREVER));
    CHECK_GLOB(o.out, "in0 pipe:[[]*]\n1 pipe:[[]*]\n2 pipe:[[]*]\n");
    CHECK(!strstr(o.out, "\n3"));
    rip_output_done(&o);
    rip_command_free(c);
}

TEST(many_descriptors_cost_nothing)
{
    static int fds[MANY];
    int before = cost_of_a_start();
    allow_a_million();
    CHECK_INT(cost_of_a_start(), ==, before);
    open_many(fds);
    /* Four calls more for each pipe, which is opened anew. */
    copied = -1;
    CHECK_INT(cost_of_a_start(), <=, before + 12);
    CHECK_INT(copied, ==, 3);
    check_three_descriptors();
    close_many(fds);
}

/* Whatever is opened for a command is opened anew there. */
static void check_nothing_is_copied(void)
{
    struct rip_output o;
    copied = -1;
    CHECK_OK(rip_pipeline_run(STAGES(SH("echo one"), SH("cat; echo two >&2")),
                              2, NULL, &o, NULL, RIP_FOREVER));
    CHECK_INT(copied, ==, 3);
    CHECK_STR(o.out, "one\n");
    CHECK_STR(o.err, "two\n");
    rip_output_done(&o);
    run(&o, SH("tty; test -t 1 && test -t 2 && stty size <&2"),
        &(struct rip_command_options){ .in = { .kind = RIP_STDIO_PTY },
                                       .out = { .kind = RIP_STDIO_PTY },
                                       .err = { .kind = RIP_STDIO_PTY } });
    CHECK_INT(copied, ==, 3);
    CHECK_GLOB(o.out, "/dev/pts/*24 80\r\n");
    rip_output_done(&o);
}

static void check_files(enum rip_stdio_kind kind, const char *want)
{
    write_file("f", "old\n", 0600);
    copied = -1;
    run_ok(
        SH("echo a; echo b >&2; echo c"),
        &(struct rip_command_options){ .in = { .kind = RIP_STDIO_NULL },
                                       .out = { .kind = kind, .path = "f" },
                                       .err = { .kind = RIP_STDIO_STDOUT } });
    CHECK_INT(copied, ==, 3);
    CHECK_STR(read_file("f"), want);
    struct rip_output o;
    run(&o, SH("echo d >>f; cat"),
        &(struct rip_command_options){
            .in = { .kind = RIP_STDIO_FILE, .path = "f" } });
    CHECK_INT(copied, ==, 3);
    CHECK_GLOB(o.out, "*a\nb\nc\nd\n");
    rip_output_done(&o);
    unlink("f");
}

TEST(many_descriptors_are_copied_for_nothing)
{
    static int fds[MANY];
    allow_a_million();
    open_many(fds);
    next_call = rip__seam.syscall;
    rip__seam.syscall = count;
    check_nothing_is_copied();
    check_files(RIP_STDIO_FILE, "a\nb\nc\n");
    check_files(RIP_STDIO_APPEND, "old\na\nb\nc\n");
    rip__seam.syscall = next_call;
    close_many(fds);
}

static void check_many(void)
{
    static int fds[MANY];
    allow_a_million();
    open_many(fds);
    check_three_descriptors();
    close_many(fds);
}

TEST(many_descriptors_without_clone3)
{
    fault_always(SYS_clone3, ENOSYS);
    check_many();
}

/* Those that are open cost something here, but not those that could be. */
TEST(many_descriptors_without_close_range)
{
    fault_always(SYS_close_range, ENOSYS);
    int before = cost_of_a_start();
    allow_a_million();
    CHECK_INT(cost_of_a_start(), ==, before);
    check_many();
}

TEST(many_descriptors_without_both)
{
    fault_always(SYS_clone3, ENOSYS);
    fault_always(SYS_close_range, ENOSYS);
    check_many();
}

/* ---- hardly any descriptor -------------------------------------------- */

/* Starts with room for `n` descriptors: whether it worked. */
static bool start_within(int n, const struct rip_command_options *o)
{
    struct rlimit old, few;
    struct rip_failure f = { 0 };
    struct rip_command_options options = *o;
    rip_command *c = NULL;
    options.failure = &f;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &old), ==, 0);
    few = (struct rlimit){ (rlim_t)n, old.rlim_max };
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
    int r = rip_command_start(&c, ARGV(harness_program("child")), &options);
    setrlimit(RLIMIT_NOFILE, &old);
    harness_note("%d: %d %s %s", n, r, f.step ? f.step : "", f.subject);
    if (r < 0) {
        CHECK_ERR(r, -EMFILE);
        CHECK_INT(f.code, ==, -EMFILE);
        CHECK(f.step && f.subject[0]);
        CHECK_INT(waitpid(-1, NULL, __WALL | WNOHANG), ==, -1);
        return false;
    }
    CHECK_INT(end_of(c).code, ==, 0);
    rip_command_free(c);
    return true;
}

/* One descriptor more each time, until there are enough. */
static void starve(const struct rip_command_options *o, int enough)
{
    int n = 3;
    while (!start_within(n, o))
        n++;
    CHECK_INT(n, ==, enough);
}

TEST(each_descriptor_is_the_one_too_many)
{
    struct rip_command_options o = { 0 };
    starve(&o, 4); /* the pidfd */
    o.in.kind = o.out.kind = o.err.kind = RIP_STDIO_NULL;
    starve(&o, 6); /* the child has /dev/null three times for a moment */
    starve(&piped, 10);
    o.in = (struct rip_stdio){ RIP_STDIO_FILE, "/dev/zero", 0 };
    o.out = (struct rip_stdio){ RIP_STDIO_APPEND, "/dev/null", 0 };
    o.err = (struct rip_stdio){ RIP_STDIO_STDOUT, NULL, 0 };
    starve(&o, 6);
}

/* There are numbers left, but only those that are for standard streams. */
static void start_with_three_numbers(void)
{
    struct rip_command_options o = { .in = { .kind = RIP_STDIO_NULL } };
    close(0);
    close(1);
    CHECK(!start_within(3, &piped)); /* fails here */
    CHECK(!start_within(3, &o));     /* fails in the child */
}

/* ---- standard streams, closed and crossed ----------------------------- */

/* Our own are three different files, or closed; the child tells what it got.
 * GLib confused descriptors that happened to be 0 to 2 (#16, #2503, #2506), as
 * subprocess.h did (#118). */
static const char *const own[] = { "own0", "own1", "own2" };
static int high; /* a descriptor above them, of the file "high" */
static int saved[3];

enum { KINDS = 9 };

static struct rip_stdio stream_of(int i, int kind)
{
    static const char *const files[] = { "file0", "file1", "file2" };
    switch (kind) {
    case 0:
        return (struct rip_stdio){ RIP_STDIO_INHERIT, NULL, 0 };
    case 1:
        return (struct rip_stdio){ RIP_STDIO_PIPE, NULL, 0 };
    case 2:
        return (struct rip_stdio){ RIP_STDIO_NULL, NULL, 0 };
    case 3:
        return (struct rip_stdio){ RIP_STDIO_FILE, files[i], 0 };
    case 4:
        return (struct rip_stdio){ RIP_STDIO_FD, NULL, high };
    case 5:
    case 6:
    case 7:
        return (struct rip_stdio){ RIP_STDIO_FD, NULL, kind - 5 };
    default: /* of err alone */
        return (struct rip_stdio){ RIP_STDIO_STDOUT, NULL, 0 };
    }
}

static bool is_closed(unsigned closed, int fd)
{
    return (closed >> fd & 1) != 0;
}

/* What stream `i` is in the child: a pattern; "" if it is closed, NULL if the
 * start fails on it. `closed`: a bit for each of ours. */
static const char *wanted(const struct rip_stdio s[3], int i, unsigned closed)
{
    static const char *const files[] = { "*/file0", "*/file1", "*/file2" };
    static const char *const ours[] = { "*/own0", "*/own1", "*/own2" };
    switch (s[i].kind) {
    case RIP_STDIO_INHERIT:
        return is_closed(closed, i) ? "" : ours[i];
    case RIP_STDIO_PIPE:
        return "pipe:*";
    case RIP_STDIO_NULL:
        return "/dev/null";
    case RIP_STDIO_FILE:
        return files[i];
    case RIP_STDIO_FD:
        if (s[i].fd > 2)
            return "*/high";
        return is_closed(closed, s[i].fd) ? NULL : ours[s[i].fd];
    default:
        if (s[1].kind == RIP_STDIO_INHERIT && is_closed(closed, 1))
            return NULL;
        return wanted(s, 1, closed);
    }
}

/* Nothing of the harness goes to these meanwhile. */
static void arrange(unsigned closed)
{
    for (int i = 0; i < 3; i++) {
        int fd = (int)CHECK_OK(open(own[i], O_RDWR));
        if (fd != i) {
            dup2(fd, i);
            close(fd);
        }
    }
    for (int i = 0; i < 3; i++)
        if (is_closed(closed, i))
            close(i);
}

static void restore(void)
{
    for (int i = 0; i < 3; i++)
        dup2(saved[i], i);
}

/* Line by line: "0 /dev/null". */
static void check_list(const char *list, const char *const want[3])
{
    char line[4200], text[4100];
    for (int i = 0; i < 3; i++) {
        if (!*want[i])
            continue;
        size_t len = strcspn(list, "\n");
        CHECK_INT(len, <, sizeof line);
        snprintf(line, sizeof line, "%.*s", (int)len, list);
        snprintf(text, sizeof text, "%d %s", i, want[i]);
        CHECK_GLOB(line, text);
        list += len + (list[len] == '\n');
    }
    CHECK_STR(list, "");
}

static void check_started(const struct rip_command_options *o, unsigned closed)
{
    static const char *const names[] = { "in", "out", "err" };
    const struct rip_stdio s[] = { o->in, o->out, o->err };
    const char *want[3];
    const char *failing = NULL;
    struct rip_failure f = { 0 };
    struct rip_command_options options = *o;
    rip_command *c = NULL;
    for (int i = 0; i < 3; i++) {
        want[i] = wanted(s, i, closed);
        if (!want[i] && !failing)
            failing = names[i];
    }
    options.failure = &f;
    arrange(closed);
    int r = rip_command_start(&c, ARGV(harness_program("child"), "fds", "list"),
                              &options);
    bool low = r == 0 && rip_command_fd(c) < 3;
    if (r == 0)
        end_of(c);
    rip_command_free(c);
    restore();
    CHECK(!low);
    if (failing) {
        CHECK_ERR(r, -EBADF);
        CHECK_STR(f.step, "redirect");
        CHECK_STR(f.subject, failing);
        return;
    }
    CHECK_OK(r);
    check_list(read_file("list"), want);
}

static void every_combination(int step)
{
    struct rip_command_options o = { 0 };
    const int all = 8 * (KINDS - 1) * (KINDS - 1) * KINDS;
    for (int n = 0; n < all; n += step) {
        int rest = n;
        unsigned closed = (unsigned)rest % 8;
        rest /= 8;
        o.in = stream_of(0, rest % (KINDS - 1));
        rest /= KINDS - 1;
        o.out = stream_of(1, rest % (KINDS - 1));
        rest /= KINDS - 1;
        o.err = stream_of(2, rest);
        harness_note("%d: closed %x, in %d %d, out %d %d, err %d %d", n, closed,
                     o.in.kind, o.in.fd, o.out.kind, o.out.fd, o.err.kind,
                     o.err.fd);
        check_started(&o, closed);
    }
}

/* All of them are 4608; of these some, or all where there is time. */
static void cross_streams(void)
{
    static const char *const files[] = { "file0", "file1", "file2", "own0",
                                         "own1",  "own2",  "high",  "list" };
    for (int i = 0; i < 8; i++)
        write_file(files[i], "", 0600);
    for (int i = 0; i < 3; i++)
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 20);
    int fd = (int)CHECK_OK(open("high", O_RDWR | O_CLOEXEC));
    high = fcntl(fd, F_DUPFD_CLOEXEC, 20);
    close(fd);
    every_combination(harness_rounds(1) > 1 ? 1 : 7);
    close(high);
    for (int i = 0; i < 3; i++)
        close(saved[i]);
    for (int i = 0; i < 8; i++)
        unlink(files[i]);
}

TEST_WITH(streams_that_are_closed_or_crossed, .deadline = 60)
{
    cross_streams();
}

TEST_WITH(streams_that_are_closed_or_crossed_without_clone3, .deadline = 60)
{
    fault_always(SYS_clone3, ENOSYS);
    cross_streams();
}

/* A number that is closed here is the one that a pipe, a file or the pidfd
 * gets next: it must not be taken for what was meant. */
TEST(a_closed_descriptor_is_not_one_of_the_new_ones)
{
    for (int fd = 3; fd < 12; fd++) {
        struct rip_command_options o = piped;
        o.err = (struct rip_stdio){ RIP_STDIO_FD, NULL, fd };
        refuse(ARGV("true"), &o, -EBADF, "redirect", "err");
        o = (struct rip_command_options){ .err = o.err };
        refuse(ARGV("true"), &o, -EBADF, "redirect", "err");
    }
}

/* ---- no more processes ------------------------------------------------ */

/* Root is exempt, so it is tried as somebody else. */
static void start_without_a_process_left(void)
{
    struct rlimit old, none;
    if (geteuid() == 0)
        CHECK_INT(setresuid(65534, 65534, 65534), ==, 0);
    CHECK_INT(getrlimit(RLIMIT_NPROC, &old), ==, 0);
    none = (struct rlimit){ 0, old.rlim_max };
    CHECK_INT(setrlimit(RLIMIT_NPROC, &none), ==, 0);
    refuse(ARGV("/bin/true"), &piped, -EAGAIN, "clone", "/bin/true");
    CHECK_INT(setrlimit(RLIMIT_NPROC, &old), ==, 0);
    rip_command *c = start(ARGV("/bin/true"), &piped);
    CHECK_INT(end_of(c).code, ==, 0);
    rip_command_free(c);
}

static void in_a_fork(void (*fn)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        fn();
        _exit(0);
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_INT(status, ==, 0);
}

TEST(no_number_left_above_the_standard_streams)
{
    in_a_fork(start_with_three_numbers);
}

TEST(no_process_left)
{
    in_a_fork(start_without_a_process_left);
}

TEST(no_process_left_without_clone3)
{
    fault_always(SYS_clone3, ENOSYS);
    in_a_fork(start_without_a_process_left);
}
