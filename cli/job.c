/* SPDX-License-Identifier: MIT */
#include "job.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "memory.h"

#define SECOND INT64_C(1000000000)

/* What a job gets between SIGTERM and SIGKILL, and others between its end and
 * ours of reading its output. */
#define GRACE SECOND

/*
 * When a process ends, its pipes are closed a moment before its pidfd becomes
 * readable, so that a watched pipe wakes us for nothing. A job younger than
 * this has only its end watched: most short ones then cost one wake-up. The
 * price is that one which writes more than a pipe holds waits for so long,
 * and therefore it is paid for only once: see `chatty`.
 */
#define WATCH_DELAY (5 * SECOND / 1000)

/* One turn reads so many blocks of an ended job: what others, left behind,
 * keep on writing must not hold up the rest. */
#define DRAIN_BLOCKS 16

struct job *job_new(struct job_setup *setup, struct item item, char **argv)
{
    struct job *j = must_alloc(sizeof *j);

    j->setup = setup;
    j->item = item;
    j->argv = argv;
    j->end_watch = (struct watch){ .kind = WATCH_END, .job = j };
    for (int i = 0; i < 2; i++)
        j->output_watch[i] = (struct watch){ WATCH_OUTPUT, j, i };
    return j;
}

struct job *job_free(struct job *j)
{
    if (!j)
        return NULL;
    rip_command_free(j->command);
    store_drop(j->setup->store, &j->stream[0]);
    store_drop(j->setup->store, &j->stream[1]);
    free(j->argv);
    free(j->item.text);
    free(j);
    return NULL;
}

/* ---- start ------------------------------------------------------------ */

/* Where the loop has no room for them now it is tried again `later`. */
static void watch_output(struct job *j, rip_time later)
{
    j->watch_at = RIP_FOREVER;
    for (int i = 0; i < 2; i++) {
        if (!j->open[i] || j->watched[i])
            continue;
        j->watched[i] =
            loop_watch(j->setup->loop, rip_command_pipe(j->command, i + 1),
                       EPOLLIN, &j->output_watch[i]) == 0;
        if (!j->watched[i])
            j->watch_at = later;
    }
}

static void reset(struct job *j)
{
    rip_time now = rip_time_now();
    double timeout = j->setup->timeout;

    j->attempts++;
    j->open[0] = j->open[1] = true;
    j->watched[0] = j->watched[1] = false;
    j->ended = j->queued = false;
    j->terminated = j->killed = false;
    j->timed_out = j->stopped = j->held = false;
    j->watch_at = now + WATCH_DELAY;
    j->stop_at = timeout > 0 ? rip_after(timeout) : RIP_FOREVER;
    j->kill_at = j->leave_at = RIP_FOREVER;
}

int job_start(struct job *j)
{
    const struct rip_command_options options = {
        .in.kind = RIP_STDIO_NULL,
        .out.kind = RIP_STDIO_PIPE,
        .err.kind = RIP_STDIO_PIPE,
        .signals = RIP_SIGNALS_KEEP_IGNORED,
        .die_with_parent = true,
        .failure = &j->failure,
    };
    int r =
        rip_command_start(&j->command, (const char *const *)j->argv, &options);

    if (r < 0)
        return r;
    reset(j);
    /* Once: it stays readable, and we do not always take leave of the process
     * as soon as it has ended. */
    r = loop_watch(j->setup->loop, rip_command_fd(j->command),
                   EPOLLIN | EPOLLONESHOT, &j->end_watch);
    if (r < 0) {
        j->failure = (struct rip_failure){ .step = "watch", .code = r };
        j->command = rip_command_free(j->command);
    } else if (j->setup->chatty) {
        watch_output(j, j->watch_at);
    }
    return r;
}

/* ---- output ----------------------------------------------------------- */

/* Reads a block of a stream: whether there may be more at once. */
static bool read_block(struct job *j, int stream)
{
    struct job_setup *setup = j->setup;
    ssize_t n = rip_command_read(j->command, stream + 1, setup->block,
                                 sizeof setup->block, RIP_NOW);
    int r;

    if (n == -ETIMEDOUT)
        return false;
    if (n < 0 && setup->read_error == 0)
        setup->read_error = (int)n;
    if (n <= 0) {
        j->open[stream] = false;
        return false;
    }
    if (n == (ssize_t)sizeof setup->block)
        setup->chatty = true;
    r = store_append(setup->store, &j->stream[stream], setup->block, (size_t)n);
    if (r < 0)
        setup->error = r;
    return true;
}

void job_read(struct job *j, int stream)
{
    if (j->open[stream])
        read_block(j, stream);
}

static void drain(struct job *j)
{
    for (int i = 0; i < 2; i++) {
        int n = 0;

        while (j->open[i] && n++ < DRAIN_BLOCKS && read_block(j, i))
            ;
    }
}

static bool at_end(const struct job *j)
{
    return !j->open[0] && !j->open[1];
}

/* ---- end -------------------------------------------------------------- */

/*
 * The process has ended. As long as nobody has taken its status its group is
 * still its own, so that what it leaves behind can be signalled: that is
 * needed where we stop it, and else the status is taken at once.
 */
void job_note_end(struct job *j)
{
    rip_time now;

    j->ended = true;
    j->stop_at = j->watch_at = RIP_FOREVER;
    if (!j->terminated)
        rip_command_wait(j->command, &j->exit, RIP_NOW);
    drain(j);
    if (at_end(j))
        return;
    now = rip_time_now();
    watch_output(j, now + WATCH_DELAY);
    if (!j->terminated)
        j->leave_at = now + GRACE;
}

void job_stop(struct job *j, rip_time now)
{
    if (j->terminated || j->ended)
        return;
    j->terminated = true;
    j->stop_at = RIP_FOREVER;
    j->kill_at = now + GRACE;
    j->signal = SIGTERM;
}

void job_kill(struct job *j, rip_time now)
{
    if (j->killed || (j->ended && !j->terminated))
        return;
    j->terminated = j->killed = true;
    j->stop_at = j->kill_at = RIP_FOREVER;
    j->leave_at = now + GRACE;
    j->signal = SIGKILL;
}

void job_sweep(struct job *j)
{
    if (j->terminated)
        j->signal = SIGKILL;
}

/* What has ended meanwhile is no error. */
static void send_signal(const struct job_list *list, int sig,
                        rip_command **commands)
{
    size_t n = 0;

    for (struct job *j = list->first; j; j = j->next) {
        if (j->signal != sig)
            continue;
        j->signal = 0;
        commands[n++] = j->command;
    }
    if (n > 0)
        (void)rip_command_signal_all(commands, n, sig);
}

void jobs_signal(const struct job_list *list)
{
    static const int signals[] = { SIGTERM, SIGKILL, SIGSTOP, SIGCONT };
    rip_command **commands;
    size_t n = 0;

    for (struct job *j = list->first; j; j = j->next)
        n += j->signal != 0;
    if (n == 0)
        return;
    /* Pointers are meant. NOLINTNEXTLINE(bugprone-sizeof-expression) */
    commands = must_alloc(n * sizeof *commands);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        send_signal(list, signals[i], commands);
    free(commands);
}

bool job_is_over(const struct job *j)
{
    return j->ended && (at_end(j) || j->held);
}

void job_finish(struct job *j)
{
    if (j->terminated)
        rip_command_wait(j->command, &j->exit, RIP_NOW);
    j->exit.timed_out = j->timed_out;
    j->exit.stopped = j->stopped;
    j->command = rip_command_free(j->command);
}

bool job_succeeded(const struct job *j)
{
    return rip_exit_ok(&j->exit) && !j->timed_out;
}

/* ---- time ------------------------------------------------------------- */

/* It may have ended in time, and only we been too late to see it: stopped, or
 * starved. */
static bool still_runs(const struct job *j)
{
    struct pollfd end = { .fd = rip_command_fd(j->command), .events = POLLIN };

    return !j->ended && poll(&end, 1, 0) == 0;
}

rip_time job_tick(struct job *j, rip_time now)
{
    if (now >= j->watch_at)
        watch_output(j, now + WATCH_DELAY);
    if (now >= j->stop_at && (j->ended || still_runs(j))) {
        j->timed_out = true;
        job_stop(j, now);
    }
    if (now >= j->kill_at)
        job_kill(j, now);
    if (now >= j->leave_at && j->ended)
        j->held = true;
    return earlier(earlier(j->watch_at, j->stop_at),
                   earlier(j->kill_at, j->ended ? j->leave_at : RIP_FOREVER));
}

void job_suspend(struct job *j)
{
    if (!j->ended)
        j->signal = SIGSTOP;
}

static void postpone(rip_time *t, rip_time pause)
{
    if (*t != RIP_FOREVER)
        *t += pause;
}

void job_resume(struct job *j, rip_time pause)
{
    postpone(&j->stop_at, pause);
    postpone(&j->kill_at, pause);
    postpone(&j->leave_at, pause);
    if (!j->ended)
        j->signal = SIGCONT;
}

/* ---- lists ------------------------------------------------------------ */

void job_list_add(struct job_list *list, struct job *j)
{
    j->next = NULL;
    j->prev = list->last;
    if (j->prev)
        j->prev->next = j;
    else
        list->first = j;
    list->last = j;
}

void job_list_remove(struct job_list *list, struct job *j)
{
    if (j->next)
        j->next->prev = j->prev;
    else
        list->last = j->prev;
    if (j->prev)
        j->prev->next = j->next;
    else
        list->first = j->next;
}
