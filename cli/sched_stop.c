/* SPDX-License-Identifier: MIT */
#include "sched_state.h"

#include <signal.h>

#include "signals.h"

void stop_all(struct sched *s)
{
    rip_time now = rip_time_now();

    s->no_more = true;
    for (struct job *j = s->running.first; j; j = j->next) {
        if (!j->terminated && !j->ended)
            j->stopped = true;
        job_stop(j, now);
    }
    jobs_signal(&s->running);
    s->due = RIP_NOW;
}

void kill_all(struct sched *s)
{
    rip_time now = rip_time_now();

    stop_all(s);
    for (struct job *j = s->running.first; j; j = j->next)
        job_kill(j, now);
    jobs_signal(&s->running);
    s->give_up_at = now + SECOND;
}

void fail(struct sched *s, int status)
{
    if (s->status == 0)
        s->status = status;
    s->no_more = true;
}

static uint64_t halt_count(const struct sched *s)
{
    const struct summary *sum = &s->summary;

    switch (s->options->halt.what) {
    case HALT_FAIL:
        return sum->failed;
    case HALT_SUCCESS:
        return sum->succeeded;
    default:
        return sum->failed + sum->succeeded;
    }
}

void check_halt(struct sched *s)
{
    const struct halt *halt = &s->options->halt;

    if (halt->when == HALT_NEVER || s->halted || halt_count(s) < halt->count)
        return;
    s->halted = true;
    s->no_more = true;
    if (halt->when == HALT_NOW)
        stop_all(s);
}

static void suspend(struct sched *s)
{
    rip_time since = rip_time_now(), pause;

    progress_clear(&s->progress);
    for (struct job *j = s->running.first; j; j = j->next)
        job_suspend(j);
    jobs_signal(&s->running);
    signals_suspend();
    pause = rip_time_now() - since;
    for (struct job *j = s->running.first; j; j = j->next)
        job_resume(j, pause);
    jobs_signal(&s->running);
    s->progress.started += pause;
    s->due = RIP_NOW;
}

void take_signal(struct sched *s)
{
    int sig = signals_next(s->signal_fd);

    if (sig == 0)
        return;
    if (sig == SIGTSTP) {
        suspend(s);
        return;
    }
    if (s->signal != 0 || sig == SIGQUIT)
        kill_all(s);
    else
        stop_all(s);
    s->signal = sig;
    if (s->reported) /* all that is left is a reader that does not read */
        s->give_up_at = earlier(s->give_up_at, rip_time_now() + SECOND);
}
