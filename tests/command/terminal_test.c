/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "run.h"
#include "screen.h"

/* ---- what the program finds ------------------------------------------- */

TEST(all_three_are_one_terminal)
{
    struct rip_output o;
    run(&o,
        SH("for i in 0 1 2; do [ -t $i ] || echo $i is none; done; tty;"
           "tty <&1; tty <&2; tty </dev/tty; stty size; echo err >&2"),
        &terminal);
    CHECK_GLOB(o.out, "/dev/pts/[0-9]*\r\n/dev/pts/[0-9]*\r\n"
                      "/dev/pts/[0-9]*\r\n/dev/tty\r\n24 80\r\nerr\r\n");
    CHECK_STR(o.err, "");
    CHECK_INT(o.exit.code, ==, 0);
    CHECK(!o.pipe_held);
    rip_output_done(&o);
}

TEST(its_session_is_its_own)
{
    struct rip_output o;
    int pid, parent, group, session;
    run(&o, ARGV(harness_program("child"), "ids"), &terminal);
    CHECK_INT(sscanf(o.out, "pid %d parent %d group %d session %d", &pid,
                     &parent, &group, &session),
              ==, 4);
    CHECK_INT(group, ==, pid);
    CHECK_INT(session, ==, pid);
    rip_output_done(&o);
}

TEST(it_has_no_other_descriptor)
{
    struct rip_output o;
    run(&o, ARGV(harness_program("child"), "fds"), &terminal);
    CHECK_GLOB(o.out, "0 /dev/pts/*\r\n1 /dev/pts/*\r\n2 /dev/pts/*\r\n");
    CHECK(strstr(o.out, "\n3 ") == NULL);
    rip_output_done(&o);
}

TEST(some_streams_may_be_others)
{
    struct rip_output o;
    const char *const *which =
        SH("for i in 0 1 2; do [ -t $i ] && echo $i; done; echo err >&2;"
           "cat; true </dev/tty && echo controlled");
    struct rip_command_options options = terminal;
    options.in.kind = RIP_STDIO_NULL;
    options.err.kind = RIP_STDIO_PIPE;
    run(&o, which, &options);
    CHECK_STR(o.out, "1\r\ncontrolled\r\n");
    CHECK_STR(o.err, "err\n");
    rip_output_done(&o);

    options.in.kind = RIP_STDIO_PIPE;
    options.err.kind = RIP_STDIO_STDOUT;
    options.input = "in\n";
    options.input_len = 3;
    run(&o, which, &options);
    CHECK_STR(o.out, "1\r\n2\r\nerr\r\nin\r\ncontrolled\r\n");
    rip_output_done(&o);
}

TEST(the_size_is_as_asked_for_from_the_start)
{
    struct rip_output o;
    struct rip_command_options options = terminal;
    options.rows = 65535;
    run(&o, ARGV("stty", "size"), &options);
    CHECK_STR(o.out, "65535 80\r\n");
    rip_output_done(&o);
    options.rows = 0;
    options.columns = 1;
    run(&o, ARGV("stty", "size"), &options);
    CHECK_STR(o.out, "24 1\r\n");
    rip_output_done(&o);
}

TEST(the_size_can_change)
{
    rip_command *c = start(SH("read x; stty size"), &terminal);
    CHECK_OK(rip_command_resize(c, 50, 132));
    type(c, "\n");
    expect(c, "50 132\r\n");
    end_of(c);
    CHECK_STR(rest(c), "");
    CHECK_OK(rip_command_resize(c, 0, 0)); /* nobody looks any more */
    rip_command_free(c);

    c = start(ARGV(harness_program("child"), "catch", "28", "7", ",", "print",
                   "ready", ",", "wait"),
              &terminal);
    expect(c, "ready");
    CHECK_OK(rip_command_resize(c, 24, 81));
    CHECK_INT(end_of(c).code, ==, 7); /* SIGWINCH */
    rip_command_free(c);

    c = start(ARGV("true"), NULL);
    CHECK_ERR(rip_command_resize(c, 1, 1), -EINVAL);
    rip_command_free(c);
}

/* ---- output ----------------------------------------------------------- */

TEST(all_is_read_that_was_written_before_the_end)
{
    size_t want = 0;
    for (int i = 1; i <= 5000; i++)
        want += (size_t)snprintf(NULL, 0, "%d\r\n", i);
    for (int round = 0; round < 20; round++) {
        struct rip_output o;
        run(&o, ARGV("seq", "5000"), &terminal);
        CHECK_INT(o.out_len, ==, want);
        CHECK_STR(o.out + want - 6, "5000\r\n");
        rip_output_done(&o);

        rip_command *c = start(SH("echo last words; kill -9 $$"), &terminal);
        end_of(c);
        CHECK_STR(rest(c), "last words\r\n");
        CHECK_STR(rest(c), "");
        rip_command_free(c);
    }
}

TEST(reading_keeps_its_deadline)
{
    char buf[8];
    rip_command *c = start(ARGV("cat"), &terminal);
    rip_time deadline = rip_after_ms(20);
    CHECK_ERR(rip_command_read(c, 1, buf, 8, deadline), -ETIMEDOUT);
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK_ERR(rip_command_read(c, 1, buf, 8, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_command_read(c, 2, buf, 8, RIP_NOW), -EINVAL);
    rip_command_free(c);
}

TEST(somebody_else_may_hold_the_terminal)
{
    struct rip_output o;
    struct rip_command_options options = terminal;
    options.grace = 0.05;
    mkfifo("go", 0600);
    run(&o, SH("trap '' HUP; cat go >/dev/null & echo done"), &options);
    CHECK_STR(o.out, "done\r\n");
    CHECK(o.pipe_held);
    rip_output_done(&o);
    close(open("go", O_WRONLY | O_CLOEXEC));
    unlink("go");
}

/* ---- signals ---------------------------------------------------------- */

TEST(control_c_and_its_like)
{
    rip_command *c = start(ARGV("cat"), &terminal);
    type(c, "\003");
    CHECK_INT(end_of(c).signal, ==, SIGINT);
    rip_command_free(c);
    c = start(SH("ulimit -c 0; echo ready; exec cat"), &terminal);
    expect(c, "ready");
    type(c, "\034");
    CHECK_INT(end_of(c).signal, ==, SIGQUIT);
    rip_command_free(c);
}

TEST_WITH(a_shell_controls_its_jobs, .deadline = 30)
{
    struct rip_command_options o = terminal;
    o.env = ARGV("PS1=$ ", "TERM=dumb", "HISTFILE", "PROMPT_COMMAND");
    o.grace = 20;
    if (access("/bin/bash", X_OK) < 0)
        SKIP("no bash");
    rip_command *c =
        start(ARGV("bash", "--noprofile", "--norc", "--noediting", "-i"), &o);
    expect(c, "$ ");
    type(c, "stty -echo\n");
    expect(c, "$ ");
    type(c, "cat\n");
    type(c, "in cat\n");
    expect(c, "in cat\r\n");
    type(c, "\003"); /* cat alone */
    expect(c, "$ ");
    type(c, "echo status $?\n");
    expect(c, "status 130\r\n");
    type(c, "cat\n");
    type(c, "again\n");
    expect(c, "again\r\n");
    type(c, "\032");
    expect(c, "Stopped");
    expect(c, "$ ");
    type(c, "jobs | wc -l\n");
    expect(c, "1\r\n");
    type(c, "fg\n");
    type(c, "and again\n");
    expect(c, "and again\r\n");
    type(c, "\004");
    expect(c, "$ ");
    type(c, "echo end $?\n");
    expect(c, "end 0\r\n");

    /* It ignores SIGTERM, but not that its terminal is hung up. */
    rip_time began = rip_time_now();
    rip_command_free(c);
    CHECK_INT(rip_time_now() - began, <, 10000000000);
}

TEST(freeing_hangs_up)
{
    rip_command *c = start(SH("trap '' TERM; trap 'echo yes >hup; exit' HUP;"
                              "sleep 60 & echo ready; wait"),
                           &terminal);
    expect(c, "ready");
    rip_command_free(c);
    CHECK_STR(read_file("hup"), "yes\n");
    unlink("hup");
}

TEST(the_deadline_of_run)
{
    struct rip_output o;
    rip_time deadline = rip_after_ms(100);
    CHECK_OK(rip_run(SH("echo begun; cat; sleep 60"), &terminal, &o, deadline));
    CHECK_STR(o.out, "begun\r\n");
    CHECK(o.exit.timed_out);
    CHECK_INT(o.exit.signal, ==, SIGTERM);
    rip_output_done(&o);
}

/* ---- in the middle of others ------------------------------------------ */

TEST(the_standard_streams_of_this_process_may_be_closed)
{
    int saved[3], in = -1, out = -1, code = -1;
    const char *text = "";
    rip_command *c;
    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        close(i);
    }
    if (rip_command_start(&c, SH("tty && test -t 1"), &terminal) == 0) {
        in = rip_command_pipe(c, 0);
        out = rip_command_pipe(c, 1);
        text = rest(c);
        code = end_of(c).code;
        rip_command_free(c);
    }
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    CHECK_INT(in, >, 2);
    CHECK_INT(out, >, 2);
    CHECK_INT(code, ==, 0);
    CHECK_GLOB(text, "/dev/pts/*");
}

TEST(both_directions_in_one_event_loop)
{
    rip_command *c = start(ARGV("cat"), &terminal);
    struct pollfd p[2] = {
        { .fd = rip_command_pipe(c, 0), .events = POLLOUT },
        { .fd = rip_command_pipe(c, 1), .events = POLLIN },
    };
    CHECK(p[0].fd != p[1].fd); /* epoll wants them so */
    CHECK_INT(poll(p, 2, 0), ==, 1);
    CHECK_INT(p[0].revents, ==, POLLOUT);
    CHECK_INT(rip_command_write(c, "x\n", 2, RIP_NOW), ==, 2);
    CHECK_INT(poll(p + 1, 1, -1), ==, 1);
    rip_command_close_input(c);
    rest(c);
    CHECK_INT(rip_command_pipe(c, 1), ==, -1);
    rip_command_free(c);
}

TEST(many_terminals)
{
    rip_command *c[20];
    for (int i = 0; i < 20; i++)
        c[i] = start(SH("read x; echo $x$x; tty"), &terminal);
    for (int i = 19; i >= 0; i--) {
        char line[8];
        snprintf(line, sizeof line, "%d\n", 100 + i);
        type(c[i], line);
    }
    for (int i = 0; i < 20; i++) {
        char want[40];
        snprintf(want, sizeof want, "%d\r\n%d%d\r\n/dev/pts/*", 100 + i,
                 100 + i, 100 + i);
        CHECK_GLOB(rest(c[i]), want);
        rip_command_free(c[i]);
    }
}

TEST(the_terminal_belongs_to_the_user_who_works_there)
{
    struct rip_output o;
    struct rip_command_options options = terminal;
    if (geteuid() != 0)
        SKIP("only root can be somebody else");
    options.user = "65534";
    options.group = "65534";
    run(&o, SH("stat -c %u $(tty); true <$(tty) && echo opened"), &options);
    CHECK_STR(o.out, "65534\r\nopened\r\n");
    rip_output_done(&o);
}

/* ---- what is refused -------------------------------------------------- */

TEST(options_that_make_no_sense)
{
    static const struct {
        struct rip_command_options o;
        const char *subject;
    } bad[] = {
        { { .in.kind = RIP_STDIO_PTY }, "in.kind and out.kind" },
        { { .err.kind = RIP_STDIO_PTY }, "err.kind and out.kind" },
        { { .rows = 1 }, "rows and out.kind" },
        { { .columns = 1 }, "columns and out.kind" },
        { { .out.kind = RIP_STDIO_PTY, .out.path = "x" }, "out.path" },
        { { .out.kind = RIP_STDIO_PTY, .out.fd = 1 }, "out.fd" },
        { { .out.kind = (enum rip_stdio_kind)(RIP_STDIO_PTY + 1) },
          "out.kind" },
        { { .out.kind = RIP_STDIO_PTY, .process_group = RIP_GROUP_OWN },
          "process_group and out.kind" },
        { { .out.kind = RIP_STDIO_PTY, .process_group = RIP_GROUP_OURS },
          "process_group and out.kind" },
        { { .out.kind = RIP_STDIO_PTY,
            .process_group = RIP_GROUP_SESSION,
            .controlling_terminal = true },
          "controlling_terminal and out.kind" },
        { { .out.kind = RIP_STDIO_PTY, .foreground = true },
          "foreground and process_group" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        harness_note("option %zu", i);
        refuse(ARGV("true"), &bad[i].o, -EINVAL, "option", bad[i].subject);
    }
    struct rip_command_options fine = terminal;
    fine.process_group = RIP_GROUP_SESSION;
    fine.controlling_terminal = true;
    rip_command *c = start(ARGV("true"), &fine);
    CHECK_INT(end_of(c).code, ==, 0);
    rip_command_free(c);
}

TEST(there_may_be_no_terminals)
{
    fault_always(SYS_openat, ENOENT);
    refuse(ARGV("true"), &terminal, -ENOENT, "pty", "/dev/ptmx");
}

TEST(a_program_that_is_not_there)
{
    refuse(ARGV("/nope"), &terminal, -ENOENT, "exec", "/nope");
}

/* ---- faults ----------------------------------------------------------- */

/* One of the faults is none that a terminal has: that the key for the end of
 * input can not be typed. These deadlines are for that. */

static void drain(rip_command *c)
{
    ssize_t r;
    char buf[256];
    while ((r = rip_command_read(c, 1, buf, sizeof buf, rip_after_ms(300))) > 0)
        ;
    CHECK(r == 0 || r == -ENOMEM || r == -ETIMEDOUT);
}

static void talk(void *arg)
{
    struct rip_failure f = { 0 };
    struct rip_command_options o = terminal;
    rip_command *c;
    (void)arg;
    o.failure = &f;
    o.grace = 0.02;
    int r = rip_command_start(&c, ARGV("cat"), &o);
    if (r < 0) {
        CHECK_INT(f.code, ==, r);
        CHECK(f.step != NULL);
        return;
    }
    (void)rip_command_resize(c, 10, 10);
    if (rip_command_write(c, "hello", 5, RIP_FOREVER) == 5) {
        rip_command_close_input(c);
        if (rip_command_pipe(c, 0) < 0)
            drain(c);
    }
    rip_command_free(c);
}

TEST_WITH(talking_survives_every_fault, .deadline = 240)
{
    CHECK_INT(fault_sweep(talk, NULL, NULL), >, 40);
}

static void run_cat(void *arg)
{
    static char input[2000];
    struct rip_failure f = { 0 };
    struct rip_command_options o = terminal;
    struct rip_output out;
    (void)arg;
    memset(input, '\n', sizeof input);
    o.failure = &f;
    o.input = input;
    o.input_len = sizeof input;
    o.grace = 0.05;
    int r = rip_run(ARGV("cat"), &o, &out, rip_after_ms(300));
    if (r < 0) {
        CHECK(f.step == NULL || f.code == r);
        return;
    }
    rip_output_done(&out);
}

TEST_WITH(run_survives_every_fault, .deadline = 240)
{
    CHECK_INT(fault_sweep(run_cat, NULL, NULL), >, 40);
}
