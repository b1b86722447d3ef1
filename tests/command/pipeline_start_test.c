/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "run.h"

/* ---- what can not be started ------------------------------------------ */

/* rip_pipeline_run, which has to fail, and to leave no child. */
static void refused(int code, const char *step, const char *subject,
                    const struct rip_command_options *options, size_t n,
                    const char *const *const *stages)
{
    struct rip_failure f = { 0 };
    struct rip_command_options with = *options;
    struct rip_output o = { .out_len = 77 };
    struct rip_exit ends[8] = { { .code = 77 } };
    with.failure = &f;
    CHECK_ERR(rip_pipeline_run(stages, n, &with, &o, ends, rip_after(5)), code);
    CHECK_STR(f.step, step);
    CHECK_STR(f.subject, subject);
    CHECK_INT(f.code, ==, code);
    CHECK_INT(o.out_len, ==, 77);
    CHECK_INT(ends[0].code, ==, 77);
    CHECK_INT(waitpid(-1, NULL, __WALL | WNOHANG), ==, -1);
}

static const struct rip_command_options none = { 0 };

/* It would have left a file. */
#define MARKER SH("echo >started")

TEST(a_stage_without_a_program_is_refused_before_any_start)
{
    const char *const empty[] = { NULL };
    refused(-EINVAL, "option", "stages[1]", &none, 3,
            STAGES(MARKER, NULL, ARGV("cat")));
    refused(-EINVAL, "option", "stages[2]", &none, 3,
            STAGES(MARKER, ARGV("cat"), empty));
    refused(-EINVAL, "option", "n", &none, 0, STAGES(MARKER));
    refused(-EINVAL, "option", "stages", &none, 2, NULL);
    CHECK_INT(access("started", F_OK), ==, -1);
}

TEST(a_wrong_option_is_refused_before_any_start)
{
    struct rip_command_options o = { .err = { .kind = RIP_STDIO_FILE } };
    refused(-EINVAL, "option", "err.path", &o, 2, STAGES(MARKER, ARGV("cat")));
    o = (struct rip_command_options){ .err = { .kind = RIP_STDIO_FILE,
                                               .path = "/no/such" } };
    refused(-ENOENT, "open", "/no/such", &o, 2, STAGES(MARKER, ARGV("cat")));
    o = (struct rip_command_options){ .input = "x", .in.path = "y" };
    refused(-EINVAL, "option", "in.path", &o, 2, STAGES(MARKER, ARGV("cat")));
    CHECK_INT(access("started", F_OK), ==, -1);
}

TEST(a_stage_that_can_not_be_started_ends_those_before_it)
{
    refused(-ENOENT, "exec", "no-such-program", &none, 4,
            STAGES(SH("sleep 60 & setsid sleep 60"), ARGV("sleep", "60"),
                   ARGV("no-such-program"), MARKER));
    refused(-ENOENT, "exec", "/no/such", &none, 2,
            STAGES(ARGV("/no/such"), MARKER));
    refused(-ENOENT, "exec", "/no/such", &none, 2,
            STAGES(ARGV("sleep", "60"), ARGV("/no/such")));
    CHECK_INT(access("started", F_OK), ==, -1);
}

/* They are killed, not asked. */
TEST(deaf_stages_before_one_that_can_not_be_started)
{
    struct rip_command_options o = { .grace = 60,
                                     .signals = RIP_SIGNALS_KEEP_IGNORED };
    signal(SIGTERM, SIG_IGN);
    refused(-ENOENT, "exec", "/no/such", &o, 3,
            STAGES(ARGV("sleep", "60"), ARGV("sleep", "60"), ARGV("/no/such")));
    signal(SIGTERM, SIG_DFL);
}

TEST(a_start_that_works_says_no_failure)
{
    struct rip_failure f = { .step = "untouched" };
    struct rip_command_options o = { .failure = &f };
    struct rip_output out;
    PIPE(&out, NULL, &o, ARGV("true"), ARGV("true"), ARGV("true"));
    CHECK_STR(f.step, "untouched");
    rip_output_done(&out);
}

/* With every limit there is, until it works: each time it fails elsewhere. */
TEST_WITH(too_few_descriptors, .deadline = 60)
{
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    int r = -EMFILE;
    for (rlim_t most = 3; r == -EMFILE; most++) {
        struct rip_failure f = { 0 };
        struct rip_command_options o = { .failure = &f };
        struct rip_output out;
        struct rip_exit ends[4];
        CHECK_INT(most, <, 40);
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){ most, before.rlim_max });
        r = rip_pipeline_run(
            STAGES(ARGV("echo", "x"), ARGV("cat"), ARGV("cat"), ARGV("cat")), 4,
            &o, &out, ends, RIP_FOREVER);
        setrlimit(RLIMIT_NOFILE, &before);
        CHECK_INT(waitpid(-1, NULL, __WALL | WNOHANG), ==, -1);
        if (r == 0) {
            CHECK_STR(out.out, "x\n");
            CHECK_STR(ends_text(ends, 4), "0 0 0 0");
            rip_output_done(&out);
        } else {
            CHECK_INT(f.code, ==, r);
        }
    }
    CHECK_INT(r, ==, 0);
}

/* Neither our pipes nor those of the stages come to stand where a standard
 * stream is missing. */
TEST(standard_streams_may_be_closed)
{
    for (int set = 1; set < 8; set++) {
        int saved[3];
        struct rip_output o;
        struct rip_exit ends[3];
        harness_note("closed: %d", set);
        for (int i = 0; i < 3; i++) {
            saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
            if (set & 1 << i)
                close(i);
        }
        int r = rip_pipeline_run(STAGES(SH("echo a; echo e >&2"), ARGV("cat"),
                                        SH("cat; echo b; echo f >&2")),
                                 3, NULL, &o, ends, RIP_FOREVER);
        for (int i = 0; i < 3; i++) {
            dup2(saved[i], i);
            close(saved[i]);
        }
        CHECK_INT(r, ==, 0);
        CHECK_STR(o.out, "a\nb\n");
        CHECK_STR(o.err, "e\nf\n");
        CHECK_STR(ends_text(ends, 3), "0 0 0");
        rip_output_done(&o);
    }
}

/* ---- faults ----------------------------------------------------------- */

static void run_three(void *arg)
{
    static char input[5000];
    struct rip_failure f = { 0 };
    struct rip_command_options o = {
        .input = input, .input_len = sizeof input, .grace = 0.05, .failure = &f
    };
    struct rip_output out = { 0 };
    struct rip_exit ends[3] = { { .code = 77 } };
    (void)arg;
    int r = rip_pipeline_run(STAGES(ARGV("cat"), ARGV("cat"), ARGV("cat")), 3,
                             &o, &out, ends, RIP_FOREVER);
    if (r < 0) {
        CHECK(f.step == NULL || f.code == r);
        CHECK(out.out == NULL);
        CHECK_INT(ends[0].code, ==, 77);
        return;
    }
    CHECK(f.step == NULL);
    if (strcmp(ends_text(ends, 3), "0 0 0") == 0)
        CHECK(out.out_len == sizeof input || out.out_len == 0);
    rip_output_done(&out);
}

TEST_WITH(a_pipeline_survives_every_fault, .deadline = 300)
{
    CHECK_INT(fault_sweep(run_three, NULL, NULL), >, 100);
}

static void run_three_late(void *arg)
{
    struct rip_command_options o = { .grace = 0.02 };
    struct rip_output out;
    (void)arg;
    int r = rip_pipeline_run(
        STAGES(ARGV("sleep", "60"), ARGV("cat"), ARGV("sleep", "60")), 3, &o,
        &out, NULL, rip_after_ms(10));
    if (r == 0)
        rip_output_done(&out);
}

TEST_WITH(a_deadline_survives_every_fault, .deadline = 300)
{
    struct fault_options some = { .most = 12 };
    CHECK_INT(fault_sweep(run_three_late, NULL, &some), >, 100);
}

static void run_no_such(void *arg)
{
    struct rip_failure f = { 0 };
    struct rip_command_options o = { .failure = &f };
    struct rip_output out;
    (void)arg;
    int r = rip_pipeline_run(STAGES(ARGV("sleep", "60"), ARGV("/no/such")), 2,
                             &o, &out, NULL, RIP_FOREVER);
    CHECK_INT(r, <, 0);
    CHECK_INT(f.code, ==, r);
    CHECK(f.step != NULL);
}

TEST_WITH(giving_up_survives_every_fault, .deadline = 300)
{
    struct fault_options some = { .most = 12 };
    CHECK_INT(fault_sweep(run_no_such, NULL, &some), >, 60);
}
