/* SPDX-License-Identifier: MIT */
/*
 * The event loop. Each turn starts jobs as long as there is room, prints what
 * can be printed, waits until something happens, and takes leave of the jobs
 * that are over. Whatever happens, nothing here waits for anything else.
 */
#include "sched.h"
#include "sched_state.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <ripstop/ripstop.h>

#include "memory.h"
#include "signals.h"
#include "text.h"

/* So many jobs are named whose output is lost. */
#define LOST_NAMED 10

void note_due(struct sched *s, rip_time due)
{
    if (due < s->due)
        s->due = due;
}

/* ---- ending ----------------------------------------------------------- */

static bool should_retry(const struct sched *s, const struct job *j)
{
    return !job_succeeded(j) && j->attempts <= s->options->retries &&
           !s->no_more && !j->stopped;
}

static void drop_output(struct sched *s, struct job *j)
{
    store_drop(&s->store, &j->stream[0]);
    store_drop(&s->store, &j->stream[1]);
}

static void finish(struct sched *s, struct job *j)
{
    job_list_remove(&s->over, j);
    s->lingering--;
    s->short_of_room = false;
    job_finish(j);
    if (should_retry(s, j)) {
        drop_output(s, j);
        start_job(s, j);
        return;
    }
    if (s->setup.error != 0) /* a part of it may be missing */
        drop_output(s, j);
    summary_add(&s->summary, j);
    output_add(&s->output, &j->item, j->stream);
    job_free(j);
    check_halt(s);
}

static void finish_all(struct sched *s)
{
    for (struct job *j = s->over.first; j; j = j->next)
        job_sweep(j);
    jobs_signal(&s->over);
    while (s->over.first)
        finish(s, s->over.first);
}

static void check_reads(struct sched *s)
{
    if (s->setup.read_error == 0 || s->read_failed)
        return;
    s->read_failed = true;
    output_say(&s->output, "cannot read what a job wrote, a part is lost: %s",
               rip_strerror(s->setup.read_error));
    fail(s, 1);
}

/* The numbers of these jobs. */
static void add_numbers(struct line *l, size_t *n, const struct job_list *list)
{
    for (const struct job *j = list->first; j; j = j->next)
        if (++*n <= LOST_NAMED)
            line_add(l, "%s%llu", *n > 1 ? ", " : "",
                     (unsigned long long)j->item.number);
}

/* Of the jobs that have not come to an end some output may be missing, so none
 * of it is printed. */
static void say_lost(struct sched *s)
{
    struct line l = { .len = 0 };
    size_t n = 0;

    add_numbers(&l, &n, &s->over);
    add_numbers(&l, &n, &s->running);
    if (n > LOST_NAMED)
        line_add(&l, " and %zu more", n - LOST_NAMED);
    output_say(&s->output, "the output of %s %s is lost",
               n == 1 ? "job" : "jobs", l.text);
}

static void check_store(struct sched *s)
{
    if (s->setup.error == 0 || s->store_failed)
        return;
    s->store_failed = true;
    output_say(&s->output,
               "cannot keep output in \"%s\": %s; set TMPDIR to a directory "
               "with more room",
               shown(store_directory()), rip_strerror(s->setup.error));
    say_lost(s);
    fail(s, 1);
    stop_all(s);
}

/* ---- events ----------------------------------------------------------- */

static void note_over(struct sched *s, struct job *j)
{
    if (!job_is_over(j) || j->queued)
        return;
    j->queued = true;
    job_list_remove(&s->running, j);
    job_list_add(&s->over, j);
}

static void note_end(struct sched *s, struct job *j)
{
    s->active--;
    s->lingering++;
    job_note_end(j);
    note_due(s, job_tick(j, RIP_NOW));
    note_over(s, j);
}

static void read_output(struct sched *s, struct job *j, int stream)
{
    if (j->queued) /* it was read to the end before this was told */
        return;
    job_read(j, stream);
    note_over(s, j);
}

static void dispatch(struct sched *s, const struct watch *w)
{
    switch (w->kind) {
    case WATCH_INPUT:
        s->input_waited = false;
        break;
    case WATCH_PRINT:
        s->print_waited = false;
        break;
    case WATCH_SIGNAL:
        take_signal(s);
        break;
    case WATCH_END:
        note_end(s, w->job);
        break;
    case WATCH_OUTPUT:
        read_output(s, w->job, w->stream);
        break;
    }
}

static void tick(struct sched *s)
{
    rip_time now = rip_time_now();
    struct job *next;

    if (now < s->due)
        return;
    s->due = RIP_FOREVER;
    for (struct job *j = s->running.first; j; j = j->next)
        note_due(s, job_tick(j, now));
    jobs_signal(&s->running);
    for (struct job *j = s->running.first; j; j = next) {
        next = j->next;
        note_over(s, j);
    }
}

/* ---- printing --------------------------------------------------------- */

/* Nobody reads what we print: as any filter we end, and say nothing. */
static void lose_reader(struct sched *s)
{
    if (s->signal == 0)
        s->signal = SIGPIPE;
    s->reported = true;
    s->output.discard[1] = true;
    progress_end(&s->progress);
    stop_all(s);
}

static void print_failed(struct sched *s, int code)
{
    s->output.discard[0] = true;
    output_drop(&s->output);
    s->printed = OUTPUT_MORE;
    s->print_waited = false;
    if (code == -EPIPE) {
        lose_reader(s);
        return;
    }
    output_say(&s->output, "cannot print output: %s", rip_strerror(code));
    fail(s, 1);
    stop_all(s);
}

static void print(struct sched *s)
{
    int r;

    if (s->print_waited)
        return;
    r = output_step(&s->output);
    if (r < 0) {
        print_failed(s, r);
        return;
    }
    s->printed = (enum output_state)r;
    if (r != OUTPUT_BLOCKED)
        return;
    s->print_waited = true;
    r = loop_watch_once(&s->loop, output_fd(&s->output), EPOLLOUT,
                        &s->print_watch);
    if (r < 0)
        print_failed(s, r);
}

static void draw_progress(struct sched *s)
{
    struct progress *p = &s->progress;
    rip_time now;

    if (!p->enabled)
        return;
    now = rip_time_now();
    if (!progress_is_due(p, now))
        return;
    p->done = s->summary.succeeded + s->summary.failed + s->summary.stopped;
    p->failed = s->summary.failed;
    p->expected = s->no_more ? p->done + s->active + s->lingering
                             : input_expected(s->input);
    if (output_at_line_start(&s->output))
        progress_draw(p, now);
    else
        p->next = now + SECOND / 10;
}

/* ---- the run ---------------------------------------------------------- */

static bool jobs_left(const struct sched *s)
{
    return s->running.first || s->over.first || more_to_start(s);
}

static void say_why_early(struct sched *s)
{
    uint64_t n = s->summary.stopped;

    if (s->signal != 0)
        output_say(&s->output, "interrupted by %s, %llu running %s stopped",
                   rip_signal_name(s->signal), (unsigned long long)n,
                   n == 1 ? "job was" : "jobs were");
    else if (s->halted)
        output_say(&s->output, "ended early by --halt, %llu running %s stopped",
                   (unsigned long long)n, n == 1 ? "job was" : "jobs were");
}

/* Those that will not be started after all. In the output their turn has to
 * come all the same. */
static void drop_pending(struct sched *s)
{
    struct job *j;

    while ((j = s->pending.first)) {
        job_list_remove(&s->pending, j);
        output_add(&s->output, &j->item, j->stream);
        job_free(j);
    }
}

/* When all jobs are done: what is left is to print it. */
static void report(struct sched *s)
{
    s->reported = true;
    progress_end(&s->progress);
    drop_pending(s);
    say_why_early(s);
    summary_report(&s->summary, &s->output);
    if (s->signal != 0 && s->give_up_at == RIP_FOREVER)
        s->give_up_at = rip_time_now() + SECOND;
}

static rip_time next_deadline(const struct sched *s)
{
    rip_time deadline = earlier(s->due, s->give_up_at);

    if (can_start(s) || (s->printed == OUTPUT_MORE && !s->print_waited))
        return RIP_NOW;
    return s->progress.enabled ? earlier(deadline, s->progress.next) : deadline;
}

static void turn(struct sched *s)
{
    struct watch *told[LOOP_BATCH];
    int n = loop_wait(&s->loop, told, next_deadline(s));

    for (int i = 0; i < n; i++)
        dispatch(s, told[i]);
    tick(s);
    finish_all(s);
    check_reads(s);
    check_store(s);
}

static bool is_finished(const struct sched *s)
{
    if (s->give_up_at != RIP_FOREVER && s->give_up_at <= rip_time_now())
        return true;
    return !jobs_left(s) && s->reported && s->printed == OUTPUT_IDLE;
}

static void run(struct sched *s)
{
    for (;;) {
        start_jobs(s);
        if (!jobs_left(s) && !s->reported)
            report(s);
        print(s);
        draw_progress(s);
        if (is_finished(s))
            return;
        turn(s);
    }
}

static int exit_status(const struct sched *s)
{
    if (s->status != 0)
        return s->status;
    if (s->halted && s->options->halt.what == HALT_FAIL)
        return 124;
    if (s->halted && s->options->halt.what == HALT_SUCCESS)
        return 0; /* what was looked for has been found */
    for (int i = 0; i < 128; i++)
        if (s->summary.signaled[i] > 0)
            return 125;
    return s->summary.failed > 0 ? 123 : 0;
}

static int init(struct sched *s)
{
    int r = loop_init(&s->loop);

    if (r < 0)
        return r;
    s->signal_fd = signals_open();
    if (s->signal_fd < 0)
        return s->signal_fd;
    s->input_watch.kind = WATCH_INPUT;
    s->signal_watch.kind = WATCH_SIGNAL;
    s->print_watch.kind = WATCH_PRINT;
    s->due = s->give_up_at = RIP_FOREVER;
    store_init(&s->store);
    progress_init(&s->progress, !s->options->no_progress);
    output_init(&s->output, &s->store, &s->progress);
    s->output.keep_order = s->options->keep_order;
    s->output.tag = s->options->tag;
    s->setup.loop = &s->loop;
    s->setup.store = &s->store;
    s->setup.timeout = s->options->timeout;
    return loop_watch(&s->loop, s->signal_fd, EPOLLIN, &s->signal_watch);
}

static void done(struct sched *s)
{
    drop_pending(s);
    output_drop(&s->output);
    store_done(&s->store);
    summary_done(&s->summary);
    close(s->signal_fd);
    close(s->loop.fd);
    free(s);
}

/* For when we have to end at once: no job outlives us. */
static struct sched *current;

static void kill_current(void)
{
    for (struct job *j = current->running.first; j; j = j->next)
        (void)rip_command_signal(j->command, SIGKILL);
}

int sched_run(const struct run_options *o, struct input *in,
              const struct template *t)
{
    struct sched *s = must_alloc(sizeof *s);
    int r, status, sig;

    s->options = o;
    s->input = in;
    s->template = t;
    s->same_program = template_program_is_fixed(t);
    r = init(s);
    if (r < 0) {
        complain("cannot wait for jobs: %s", rip_strerror(r));
        free(s);
        return 1;
    }
    current = s;
    memory_emergency = kill_current;
    run(s);
    memory_emergency = NULL;
    progress_end(&s->progress);
    status = exit_status(s);
    sig = s->signal;
    if (s->running.first) /* killed, but the kernel does not let go of them */
        _exit(sig ? 128 + sig : status);
    done(s);
    if (sig)
        signals_die(sig);
    return status;
}
