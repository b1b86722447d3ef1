/* SPDX-License-Identifier: MIT */
#include "sched_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "explain.h"

/* So many jobs are started before the loop looks at the others again. */
#define START_BATCH 8

/* A job that failed before it ran. */
static void add_unstarted(struct sched *s, struct job *j, int code)
{
    char why[700], how[800];

    explain_start(j->argv, &j->failure, code, why, sizeof why);
    snprintf(how, sizeof how, "could not be started (%s)", why);
    summary_add_unstarted(&s->summary, j, how);
    output_add(&s->output, &j->item, j->stream);
    job_free(j);
    check_halt(s);
}

static bool is_shortage(int code)
{
    return code == -EAGAIN || code == -ENOMEM || code == -EMFILE ||
           code == -ENFILE;
}

static bool is_program_wrong(const struct rip_failure *f)
{
    return !strcmp(f->step, "exec") || !strcmp(f->step, "interpreter");
}

/* As shells have it: 127 when there is no such program, 126 when it can not
 * be run. */
static int program_status(const struct rip_failure *f)
{
    bool missing = f->code == -ENOENT || f->code == -ENOTDIR;

    return missing && !strcmp(f->step, "exec") ? 127 : 126;
}

/* The system has no room for another job: there is as soon as one ends. */
static void postpone(struct sched *s, struct job *j, int code)
{
    job_list_add(&s->pending, j);
    s->short_of_room = true;
    if (!s->warned_of_room)
        output_say(&s->output, "no more than %zu jobs can run at once: %s%s",
                   s->active, rip_strerror(code),
                   code == -EMFILE ? " (see ulimit -n)" : "");
    s->warned_of_room = true;
}

static void start_failed(struct sched *s, struct job *j, int code)
{
    bool program = is_program_wrong(&j->failure) && !is_shortage(code);
    char why[1280];

    if (is_shortage(code) && (s->running.first || s->over.first)) {
        postpone(s, j, code);
        return;
    }
    if (code == -E2BIG || (program && !s->same_program)) {
        add_unstarted(s, j, code);
        return;
    }
    explain_start(j->argv, &j->failure, code, why, sizeof why);
    output_say(&s->output, "%s", why);
    fail(s, program ? program_status(&j->failure) : 1);
    job_free(j);
}

void start_job(struct sched *s, struct job *j)
{
    int r = job_start(j);

    if (r < 0) {
        start_failed(s, j, r);
        return;
    }
    job_list_add(&s->running, j);
    s->active++;
    note_due(s, j->watch_at);
    note_due(s, j->stop_at);
}

static void wait_for_input(struct sched *s)
{
    int r =
        loop_watch_once(&s->loop, input_fd(s->input), EPOLLIN, &s->input_watch);

    s->input_waited = true;
    if (r == 0)
        return;
    output_say(&s->output, "cannot wait for input: %s", rip_strerror(r));
    fail(s, 1);
}

/* The next job to start; NULL: there is none, or not yet. */
static struct job *next_job(struct sched *s)
{
    struct job *j = s->pending.first;
    struct item item;

    if (j) {
        job_list_remove(&s->pending, j);
        return j;
    }
    switch (input_next(s->input, &item)) {
    case INPUT_ITEM:
        return job_new(&s->setup, item, template_expand(s->template, &item));
    case INPUT_WAIT:
        wait_for_input(s);
        return NULL;
    case INPUT_FAILED:
        output_say(&s->output, "%s", input_error(s->input));
        fail(s, 1);
        return NULL;
    default:
        s->input_ended = true;
        return NULL;
    }
}

bool more_to_start(const struct sched *s)
{
    return !s->no_more && (s->pending.first || !s->input_ended);
}

bool can_start(const struct sched *s)
{
    return more_to_start(s) && !s->input_waited && !s->short_of_room &&
           s->active < s->options->jobs && s->lingering < s->options->jobs &&
           !output_is_full(&s->output);
}

void start_jobs(struct sched *s)
{
    for (int i = 0; i < START_BATCH && can_start(s); i++) {
        struct job *j = next_job(s);

        if (j)
            start_job(s, j);
    }
}
