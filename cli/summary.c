/* SPDX-License-Identifier: MIT */
#include "summary.h"

#include <stdio.h>
#include <stdlib.h>

#include "memory.h"
#include "text.h"

#define NAME_WIDTH 60

/* Remembers a failed job by name, if it is one of the first. */
static void name(struct summary *s, const struct job *j, const char *how)
{
    struct line l = { .len = 0 };

    if (s->failed > SUMMARY_NAMED)
        return;
    line_add(&l, "job %llu %s", (unsigned long long)j->item.number, how);
    if (j->attempts > 1)
        line_add(&l, " (attempt %llu)", (unsigned long long)j->attempts);
    line_add(&l, ": %s", shown_part(j->item.text, j->item.len, NAME_WIDTH));
    s->named[s->failed - 1] = must_copy(l.text, l.len);
}

static void count_end(struct summary *s, const struct rip_exit *e)
{
    if (e->timed_out)
        s->timed_out++;
    else if (e->how == RIP_EXITED)
        s->exited[e->code & 255]++;
    else if (e->how == RIP_SIGNALED)
        s->signaled[e->signal & 127]++;
    else
        s->unknown++;
}

static void describe(const struct rip_exit *e, char *to, size_t cap)
{
    struct rip_exit plain = *e;
    char how[RIP_EXIT_TEXT];

    plain.timed_out = false;
    rip_exit_format(&plain, how, sizeof how);
    snprintf(to, cap, e->timed_out ? "timed out (%s)" : "%s", how);
}

void summary_add(struct summary *s, const struct job *j)
{
    char how[RIP_EXIT_TEXT + 16];

    if (j->held && s->held++ == 0)
        s->first_held = j->item.number;
    if (job_succeeded(j)) {
        s->succeeded++;
        return;
    }
    if (j->stopped) {
        s->stopped++;
        s->partial += j->exit.tree == RIP_TREE_PARTIAL;
        return;
    }
    s->failed++;
    count_end(s, &j->exit);
    describe(&j->exit, how, sizeof how);
    name(s, j, how);
}

void summary_add_unstarted(struct summary *s, const struct job *j,
                           const char *why)
{
    s->failed++;
    s->not_started++;
    name(s, j, why);
}

/* ---- report ----------------------------------------------------------- */

static void add_count(struct line *l, uint64_t count, const char *how)
{
    if (count > 0)
        line_add(l, "%s%llu %s", l->len ? ", " : "", (unsigned long long)count,
                 how);
}

static void add_end(struct line *l, uint64_t count, struct rip_exit e)
{
    char how[RIP_EXIT_TEXT];

    rip_exit_format(&e, how, sizeof how);
    add_count(l, count, how);
}

static void list_ends(const struct summary *s, struct line *l)
{
    for (int i = 0; i < 128; i++)
        add_end(l, s->signaled[i],
                (struct rip_exit){ .how = RIP_SIGNALED, .signal = i });
    for (int i = 0; i < 256; i++)
        add_end(l, s->exited[i],
                (struct rip_exit){ .how = RIP_EXITED, .code = i });
    add_count(l, s->timed_out, "timed out");
    add_count(l, s->not_started, "could not be started");
    add_count(l, s->unknown, "ended in an unknown way");
}

static void report_failed(const struct summary *s, struct output *o)
{
    uint64_t all = s->failed + s->succeeded;
    struct line ends = { .len = 0 };

    list_ends(s, &ends);
    output_say(o, "%llu of %llu %s failed: %s", (unsigned long long)s->failed,
               (unsigned long long)all, all == 1 ? "job" : "jobs", ends.text);
    for (int i = 0; i < SUMMARY_NAMED && s->named[i]; i++)
        output_say(o, "%s", s->named[i]);
    if (s->failed > SUMMARY_NAMED)
        output_say(o, "... and %llu more",
                   (unsigned long long)(s->failed - SUMMARY_NAMED));
}

void summary_report(const struct summary *s, struct output *o)
{
    if (s->failed > 0)
        report_failed(s, o);
    if (s->held > 0)
        output_say(o,
                   "%llu %s left processes behind that hold the output open "
                   "(job %llu%s); what these write is not shown",
                   (unsigned long long)s->held, s->held == 1 ? "job" : "jobs",
                   (unsigned long long)s->first_held,
                   s->held == 1 ? "" : " was the first");
    if (s->partial > 0)
        output_say(o,
                   "of %llu stopped %s not all processes could be looked for; "
                   "some may run on",
                   (unsigned long long)s->partial,
                   s->partial == 1 ? "job" : "jobs");
}

void summary_done(struct summary *s)
{
    for (int i = 0; i < SUMMARY_NAMED; i++)
        free(s->named[i]);
}
