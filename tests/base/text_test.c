/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include <ripstop/command.h>

#include "harness.h"

static const char *format(struct rip_exit e)
{
    static char text[RIP_EXIT_TEXT];
    CHECK_INT(rip_exit_format(&e, text, sizeof text), ==, strlen(text));
    return text;
}

TEST(exit_in_words)
{
    CHECK_STR(format((struct rip_exit){ .how = RIP_EXITED, .code = 3 }),
              "exited with 3");
    CHECK_STR(format((struct rip_exit){ .how = RIP_EXITED, .code = INT_MIN }),
              "exited with -2147483648");
    CHECK_STR(format((struct rip_exit){ .how = RIP_SIGNALED,
                                        .signal = SIGSEGV,
                                        .core_dumped = true }),
              "killed by SIGSEGV (core dumped)");
    CHECK_STR(format((struct rip_exit){ .how = RIP_SIGNALED, .signal = 50 }),
              "killed by signal 50");
    CHECK_STR(format((struct rip_exit){ .how = RIP_SIGNALED, .signal = -7 }),
              "killed by signal -7");
    CHECK_STR(format((struct rip_exit){ .how = RIP_RUNNING }), "still running");
    CHECK_STR(format((struct rip_exit){ .how = RIP_UNKNOWN }),
              "ended, nobody knows how");
}

TEST(each_note_stands_for_itself)
{
    const struct rip_exit stopped = { .how = RIP_EXITED, .stopped = true };
    const struct rip_exit late = { .how = RIP_EXITED, .timed_out = true };
    CHECK_STR(format(stopped), "exited with 0 (stopped)");
    CHECK_STR(format(late), "exited with 0 (deadline passed)");
}

TEST(every_exit_text_fits_where_the_header_says)
{
    struct rip_exit all = { .how = RIP_SIGNALED,
                            .signal = INT_MIN,
                            .core_dumped = true,
                            .timed_out = true,
                            .stopped = true,
                            .oom_killed = true,
                            .tree = RIP_TREE_PARTIAL };
    CHECK_GLOB(format(all), "* (core dumped, out of memory, deadline passed, "
                            "stopped, part of its tree may run on)");
    CHECK_INT(strlen(format(all)), <, RIP_EXIT_TEXT);
}

TEST(text_is_cut_and_its_length_told)
{
    struct rip_exit e = { .how = RIP_EXITED, .code = 127 };
    char text[8] = "#######";
    CHECK_INT(rip_exit_format(&e, text, 7), ==, strlen("exited with 127"));
    CHECK_STR(text, "exited");
    CHECK_INT(text[7], ==, 0);
    CHECK_INT(rip_exit_format(&e, text, 1), ==, strlen("exited with 127"));
    CHECK_STR(text, "");
    CHECK_INT(rip_exit_format(&e, NULL, 0), ==, strlen("exited with 127"));
}

TEST(only_exit_0_is_ok)
{
    CHECK(rip_exit_ok(&(struct rip_exit){ .how = RIP_EXITED }));
    CHECK(!rip_exit_ok(&(struct rip_exit){ .how = RIP_EXITED, .code = 1 }));
    CHECK(!rip_exit_ok(&(struct rip_exit){ .how = RIP_SIGNALED }));
    CHECK(!rip_exit_ok(&(struct rip_exit){ .how = RIP_RUNNING }));
    CHECK(!rip_exit_ok(&(struct rip_exit){ .how = RIP_UNKNOWN }));
}

TEST(failure_in_words)
{
    struct rip_failure f = { .step = "chdir",
                             .subject = "/nope",
                             .code = -ENOENT };
    char text[512];
    rip_failure_format(&f, text, sizeof text);
    CHECK_STR(text, "chdir \"/nope\": no such file or directory");
    f = (struct rip_failure){ "chdir", "a\n\x1b[31m\tb\x7f", -ENOENT };
    rip_failure_format(&f, text, sizeof text);
    CHECK_STR(text, "chdir \"a\\n\\x1b[31m\\tb\\x7f\": "
                    "no such file or directory");
    rip_failure_format(&(struct rip_failure){ .code = 0 }, text, sizeof text);
    CHECK_STR(text, "nothing failed");
}

TEST(strerror_knows_every_code)
{
    CHECK_STR(rip_strerror(-ETIMEDOUT), "deadline passed");
    CHECK_STR(rip_strerror(0), "success");
    CHECK_STR(rip_strerror(RIP_RECOVERED), "success");
    CHECK_STR(rip_strerror(-4095), "unknown error");
    CHECK_STR(rip_strerror(INT_MIN), "unknown error");
    for (int e = 1; e < 200; e++) { /* with those that do not exist */
        harness_note("errno %d", e);
        CHECK(rip_strerror(-e) != NULL);
        if (strerrordesc_np(e))
            CHECK(strcmp(rip_strerror(-e), "unknown error") != 0);
    }
}

TEST(signals_have_their_names)
{
    for (int sig = 1; sig < 32; sig++) {
        harness_note("signal %d", sig);
        if (sig != SIGIO) /* that libc calls SIGPOLL */
            CHECK_STR(rip_signal_name(sig) + 3, sigabbrev_np(sig));
    }
    CHECK(!rip_signal_name(0));
    CHECK(!rip_signal_name(-1));
    CHECK(!rip_signal_name(SIGRTMIN));
    CHECK(!rip_signal_name(INT_MAX));
}
