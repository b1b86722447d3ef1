/* SPDX-License-Identifier: MIT */
#include <ripstop/ripstop.h>
#include <ripstop/task.h>

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/stop.h"
#include "command/run.h"
#include "harness.h"

/* What holds in tasks of both kinds. */
#define TASKS(id, seconds)                           \
    static void in_##id(enum rip_kind kind);         \
    TEST_WITH(threads_##id, .deadline = (seconds))   \
    {                                                \
        in_##id(RIP_THREAD);                         \
    }                                                \
    TEST_WITH(processes_##id, .deadline = (seconds)) \
    {                                                \
        in_##id(RIP_PROCESS);                        \
    }                                                \
    static void in_##id(enum rip_kind kind)

static const struct rip_command_options piped = {
    .in = { .kind = RIP_STDIO_PIPE },
    .out = { .kind = RIP_STDIO_PIPE },
};

/* ---- the task --------------------------------------------------------- */

static void until_stopping(void)
{
    while (!rip_task_stopping())
        sched_yield();
}

static rip_task *begin(enum rip_kind kind, rip_task_fn *fn)
{
    const struct rip_task_options o = { .kind = kind };
    rip_task *t;
    CHECK_OK(rip_task_start(&t, fn, NULL, &o));
    return t;
}

static int end(rip_task *t)
{
    struct rip_exit e;
    CHECK_OK(rip_task_join(t, &e, RIP_FOREVER));
    CHECK_INT(e.how, ==, RIP_EXITED);
    rip_task_free(t);
    return e.code;
}

/* Whether a thread of that process is in poll(2), and sleeps there. */
static bool sleeps_in_poll(int pid, int tid)
{
    char path[80], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", pid, tid);
    FILE *f = fopen(path, "re");
    if (f && !fgets(text, sizeof text, f))
        text[0] = '\0';
    if (f)
        fclose(f);
    return strtol(text, NULL, 10) == SYS_ppoll;
}

static void await_poll(int pid)
{
    char path[40];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    while (!found) {
        DIR *dir = opendir(path);
        CHECK(dir != NULL);
        for (struct dirent *e; (e = readdir(dir)) && !found;)
            found = sleeps_in_poll(pid, atoi(e->d_name));
        closedir(dir);
        sched_yield();
    }
}

/* Nobody looks again: so what is seen was told. Not every process may be
 * written to. */
static void only_told(enum rip_kind kind)
{
    if (kind == RIP_THREAD)
        rip__stop_look_ns = INT64_C(3600) * 1000000000;
}

/* Stops it in the midst of its wait: what it returned. */
static int stop_in_wait(enum rip_kind kind, rip_task_fn *fn)
{
    only_told(kind);
    rip_task *t = begin(kind, fn);
    await_poll(rip_task_pid(t));
    rip_task_stop(t);
    return end(t);
}

static int after_the_stop(void *fn)
{
    until_stopping();
    return (*(rip_task_fn **)fn)(NULL);
}

/* Stops it before it waits. */
static int stop_before(enum rip_kind kind, rip_task_fn *fn)
{
    const struct rip_task_options o = { .kind = kind, .arg_size = sizeof fn };
    rip_task *t;
    CHECK_OK(rip_task_start(&t, after_the_stop, &fn, &o));
    rip_task_stop(t);
    return end(t);
}

/* ---- calls on a command ----------------------------------------------- */

static int waits(void *arg)
{
    (void)arg;
    rip_command *c = start(ARGV("cat"), &piped);
    int r = rip_command_wait(c, NULL, RIP_FOREVER);
    CHECK_ERR(rip_command_wait(c, NULL, RIP_FOREVER), r);
    CHECK_ERR(rip_command_wait(c, NULL, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_command_wait(c, NULL, 1), -ETIMEDOUT);
    rip_command_free(c);
    return r;
}

static int reads(void *arg)
{
    (void)arg;
    char buf[8];
    rip_command *c = start(ARGV("cat"), &piped);
    int r = (int)rip_command_read(c, 1, buf, sizeof buf, RIP_FOREVER);
    CHECK_ERR(rip_command_read(c, 1, buf, sizeof buf, RIP_NOW), -ETIMEDOUT);
    CHECK_INT(rip_command_write(c, "x", 1, RIP_FOREVER), ==, 1);
    rip_task_shield(true);
    CHECK_INT(rip_command_read(c, 1, buf, sizeof buf, RIP_FOREVER), ==, 1);
    rip_task_shield(false);
    rip_command_free(c);
    return r;
}

static int reads_a_line(void *arg)
{
    (void)arg;
    char *line = NULL;
    size_t cap = 0;
    rip_command *c =
        start(SH("printf begun; read x; echo -end; read x"), &piped);
    int r = (int)rip_command_line(c, &line, &cap, RIP_FOREVER);
    CHECK_INT(rip_command_write(c, "\n", 1, RIP_FOREVER), ==, 1);
    rip_task_shield(true);
    CHECK_INT(rip_command_line(c, &line, &cap, RIP_FOREVER), ==, 10);
    CHECK_STR(line, "begun-end\n");
    rip_task_shield(false);
    free(harness_take(line));
    rip_command_free(c);
    return r;
}

/* A line without an end, of which there is always more. */
static int reads_an_endless_line(void *arg)
{
    (void)arg;
    char *line = NULL;
    size_t cap = 0;
    rip_command *c = start(SH("tr '\\0' x </dev/zero"), &piped);
    int r = (int)rip_command_line(c, &line, &cap, RIP_FOREVER);
    rip_command_free(c);
    return r;
}

static int writes(void *arg)
{
    (void)arg;
    enum { MUCH = 1 << 20 };
    char *data = make_data(MUCH);
    rip_command *c = start(ARGV("sleep", "1000"), &piped);
    ssize_t some = rip_command_write(c, data, MUCH, RIP_FOREVER);
    CHECK(some > 0 && some < MUCH);
    int r = (int)rip_command_write(c, data, MUCH, RIP_FOREVER);
    free(data);
    rip_command_free(c);
    return r;
}

static int reads_a_stream(void *arg)
{
    (void)arg;
    rip_command *c = start(ARGV("cat"), &piped);
    FILE *f = rip_command_stream(c, 1);
    CHECK_INT(fgetc(f), ==, EOF);
    int r = ferror(f) ? -errno : 0;
    rip_command_free(c);
    return r;
}

static int writes_a_stream(void *arg)
{
    (void)arg;
    enum { MUCH = 1 << 20 };
    char *data = make_data(MUCH);
    rip_command *c = start(ARGV("sleep", "1000"), &piped);
    FILE *f = rip_command_stream(c, 0);
    CHECK_INT(fwrite(data, 1, MUCH, f), <, MUCH);
    int r = ferror(f) ? -errno : 0;
    rip_command_close_input(c); /* which does not wait either */
    free(data);
    rip_command_free(c);
    return r;
}

static int waits_for_any(void *arg)
{
    (void)arg;
    rip_command *c = start(ARGV("cat"), &piped);
    struct rip_wait item = { .kind = RIP_WAIT_COMMAND, .u.command = c };
    int r = rip_wait_any(&item, 1, RIP_FOREVER);
    CHECK_ERR(rip_wait_any(&item, 1, RIP_NOW), -ETIMEDOUT);
    rip_task_shield(true);
    rip_command_close_input(c);
    CHECK_INT(rip_wait_any(&item, 1, RIP_FOREVER), ==, 0);
    rip_task_shield(false);
    CHECK_INT(rip_wait_any(&item, 1, RIP_FOREVER), ==, 0);
    CHECK_INT(rip_command_wait(c, NULL, RIP_FOREVER), ==, 0);
    rip_command_free(c);
    return r;
}

static rip_task_fn *const calls[] = {
    waits,          reads,           reads_a_line,  writes,
    reads_a_stream, writes_a_stream, waits_for_any,
};
enum { CALLS = sizeof calls / sizeof *calls };

TASKS(a_stop_ends_each_wait_for_a_command, 30)
{
    for (int i = 0; i < CALLS; i++) {
        harness_note("call %d", i);
        CHECK_ERR(stop_in_wait(kind, calls[i]), -ECANCELED);
        CHECK_ERR(stop_before(kind, calls[i]), -ECANCELED);
    }
}

TASKS(a_stop_ends_what_would_go_on_for_ever, 30)
{
    CHECK_ERR(stop_before(kind, reads_an_endless_line), -ECANCELED);
}

static int talks_once(void *arg)
{
    (void)arg;
    struct rip_output o;
    const struct rip_command_options feed = { .in.kind = RIP_STDIO_PIPE,
                                              .out.kind = RIP_STDIO_PIPE };
    rip_command *c = start(SH("read x; echo $x; exec cat"), &feed);
    CHECK_INT(rip_command_write(c, "begun\n", 6, RIP_FOREVER), ==, 6);
    /* The call closes stdin, so cat ends when it may. */
    CHECK_INT(kill(rip_command_pid(c), SIGSTOP), ==, 0);
    int r = rip_command_communicate(c, NULL, 0, &o, RIP_FOREVER);
    if (r == -ECANCELED) {
        CHECK_INT(o.exit.how, ==, RIP_RUNNING);
        CHECK(!o.exit.stopped);
        rip_output_done(&o);
    }
    CHECK_INT(kill(rip_command_pid(c), SIGCONT), ==, 0);
    rip_task_shield(true);
    CHECK_INT(rip_command_communicate(c, NULL, 0, &o, RIP_FOREVER), ==, 0);
    CHECK_STR(o.out, "begun\n");
    rip_task_shield(false);
    rip_output_done(&o);
    rip_command_free(c);
    return r;
}

TASKS(communicate_is_cancelled_and_goes_on, 20)
{
    CHECK_ERR(stop_in_wait(kind, talks_once), -ECANCELED);
    CHECK_ERR(stop_before(kind, talks_once), -ECANCELED);
}

/* ---- from start to end ------------------------------------------------ */

/* Says that it runs, by a byte, and leaves somebody in the background. */
static int said[2];
#define RUNS "sleep 1000 & printf x >&9; echo begun; wait"

static void hear(void)
{
    char c;
    CHECK_INT(read(said[0], &c, 1), ==, 1);
}

static const struct rip_fd *say_by(void)
{
    static struct rip_fd fds[1];
    fds[0] = (struct rip_fd){ .ours = said[1], .theirs = 9 };
    return fds;
}

static void check_stopped(int r, struct rip_output *o)
{
    CHECK_ERR(r, -ECANCELED);
    CHECK_STR(o->out, "begun\n");
    CHECK(o->exit.stopped);
    CHECK(!o->exit.timed_out);
    CHECK_INT(o->exit.how, ==, RIP_SIGNALED);
    CHECK_INT(o->exit.signal, ==, SIGTERM);
    rip_output_done(o);
}

static int runs(void *arg)
{
    (void)arg;
    struct rip_output o = { 0 };
    struct rip_failure why = { 0 };
    struct rip_command_options opt = { .failure = &why };
    opt.fds = say_by();
    opt.n_fds = 1;
    check_stopped(rip_run(SH(RUNS), &opt, &o, RIP_FOREVER), &o);
    CHECK_STR(why.step, "run");
    CHECK_INT(why.code, ==, -ECANCELED);
    return 0;
}

static int runs_a_pipeline(void *arg)
{
    (void)arg;
    struct rip_output o = { 0 };
    struct rip_command_options opt = { 0 };
    struct rip_exit ends[2];
    opt.fds = say_by();
    opt.n_fds = 1;
    int r = rip_pipeline_run(STAGES(SH(RUNS), ARGV("cat")), 2, &opt, &o, ends,
                             RIP_FOREVER);
    CHECK_ERR(r, -ECANCELED);
    CHECK(o.exit.stopped && ends[0].stopped);
    CHECK_INT(ends[0].signal, ==, SIGTERM);
    rip_output_done(&o);
    return 0;
}

static int runs_a_shell(void *arg)
{
    (void)arg;
    struct rip_exit e;
    char text[100];
    snprintf(text, sizeof text, "sleep 1000 & printf x >/proc/%d/fd/%d; wait",
             (int)getpid(), said[1]);
    CHECK_ERR(rip_system(text, &e, RIP_FOREVER), -ECANCELED);
    CHECK(e.stopped && !e.timed_out);
    CHECK_INT(e.signal, ==, SIGTERM);
    return 0;
}

TASKS(a_stop_ends_what_was_run_with_its_tree, 30)
{
    static rip_task_fn *const all[] = { runs, runs_a_pipeline, runs_a_shell };
    only_told(kind);
    CHECK_INT(pipe(said), ==, 0);
    for (int i = 0; i < 3; i++) {
        harness_note("call %d", i);
        rip_task *t = begin(kind, all[i]);
        hear();
        await_poll(rip_task_pid(t));
        rip_task_stop(t);
        CHECK_INT(end(t), ==, 0);
    }
    close(said[0]);
    close(said[1]);
}

/* There is always something to read, since this takes its time. */
static int takes_its_time(void *arg, const struct rip_piece *p)
{
    (void)arg;
    (void)p;
    nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
    return 0;
}

static int runs_yes(void *arg)
{
    (void)arg;
    struct rip_output o = { 0 };
    const struct rip_command_options slow = { .on_output = takes_its_time };
    int r = rip_run(ARGV("yes"), &slow, &o, RIP_FOREVER);
    CHECK(o.exit.stopped);
    rip_output_done(&o);
    return r;
}

TASKS(a_stop_ends_what_never_makes_us_wait, 20)
{
    rip_task *t = begin(kind, runs_yes);
    while (find_alive("yes", NULL, 0) == 0)
        sched_yield();
    CHECK_ERR(rip_task_join(t, NULL, rip_after_ms(100)), -ETIMEDOUT);
    rip_task_stop(t);
    CHECK_ERR(end(t), -ECANCELED);
}

static int runs_nothing(void *arg)
{
    (void)arg;
    struct rip_output o = { .out_len = 1 };
    struct rip_exit e = { .code = 1 }, ends[1] = { { .code = 1 } };
    CHECK_ERR(rip_run(ARGV("touch", "made"), NULL, &o, RIP_FOREVER),
              -ECANCELED);
    CHECK(!o.out && !o.err && o.out_len == 0);
    rip_output_done(&o);
    CHECK_ERR(rip_pipeline_run(STAGES(ARGV("touch", "made")), 1, NULL, &o, ends,
                               RIP_FOREVER),
              -ECANCELED);
    CHECK_INT(ends[0].code, ==, 0);
    CHECK_ERR(rip_system("touch made", &e, RIP_FOREVER), -ECANCELED);
    CHECK_INT(e.code, ==, 0);
    CHECK(access("made", F_OK) != 0);
    return 0;
}

TASKS(who_is_to_stop_runs_nothing, 20)
{
    CHECK_INT(stop_before(kind, runs_nothing), ==, 0);
}

/* The command has ended; what it left behind holds its output. */
static int runs_and_is_held(void *arg)
{
    (void)arg;
    struct rip_output o = { 0 };
    struct rip_command_options opt = { .grace = 1000 };
    opt.fds = say_by();
    opt.n_fds = 1;
    int r = rip_run(SH("sleep 1000 & echo begun; echo $$ >&9; exit 3"), &opt,
                    &o, RIP_FOREVER);
    CHECK_STR(o.out, "begun\n");
    CHECK(o.pipe_held);
    CHECK_INT(o.exit.code, ==, 3);
    rip_output_done(&o);
    return r;
}

TASKS(a_stop_ends_who_holds_the_output, 20)
{
    char pid[16] = "";
    CHECK_INT(pipe(said), ==, 0);
    rip_task *t = begin(kind, runs_and_is_held);
    CHECK_INT(read(said[0], pid, sizeof pid - 1), >, 0);
    await_death(atoi(pid));
    rip_task_stop(t);
    CHECK_INT(end(t), ==, 0);
    close(said[0]);
    close(said[1]);
}

/* ---- what is not cancelled -------------------------------------------- */

static int stops_and_frees(void *arg)
{
    (void)arg;
    struct rip_exit e;
    const struct rip_command_options slow = { .in.kind = RIP_STDIO_PIPE,
                                              .out.kind = RIP_STDIO_PIPE,
                                              .grace = 0.05 };
    const char *const deaf[] = { harness_program("child"),
                                 "ignore",
                                 "15",
                                 ",",
                                 "print",
                                 "on",
                                 ",",
                                 "wait",
                                 NULL };
    rip_command *c = start(deaf, &slow);
    rip_command *d = start(deaf, &slow);
    rip_task_shield(true);
    await_line(c);
    await_line(d);
    rip_task_shield(false);
    CHECK_INT(rip_command_stop(c, &e, RIP_FOREVER), ==, 0);
    CHECK_INT(e.signal, ==, SIGKILL);
    CHECK_INT(rip_command_wait(c, &e, RIP_FOREVER), ==, 0);
    rip_command_free(c);
    rip_command_free(d);
    return 0;
}

/* One that takes its time to end is given it. */
static int stops_politely(void *arg)
{
    (void)arg;
    struct rip_exit e;
    struct rip_command_options patient = piped;
    patient.grace = 1000;
    rip_command *c = start(SH("trap 'exit 5' TERM; echo on;"
                              "while :; do sleep 0.05; done"),
                           &patient);
    rip_task_shield(true);
    await_line(c);
    rip_task_shield(false);
    CHECK_INT(rip_command_stop(c, &e, RIP_FOREVER), ==, 0);
    CHECK_INT(e.how, ==, RIP_EXITED);
    CHECK_INT(e.code, ==, 5);
    rip_command_free(c);
    return 0;
}

TASKS(stop_and_free_do_their_work, 20)
{
    CHECK_INT(stop_before(kind, stops_and_frees), ==, 0);
    CHECK_INT(stop_before(kind, stops_politely), ==, 0);
}
