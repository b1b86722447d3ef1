/* SPDX-License-Identifier: MIT */
#ifndef CLI_SUMMARY_H
#define CLI_SUMMARY_H

/* What there is to say at the end: how many jobs failed, how, and which. */

#include <stdint.h>

#include "job.h"
#include "output.h"

#define SUMMARY_NAMED 10 /* so many failed jobs are named */

struct summary {
    uint64_t succeeded;
    uint64_t failed;
    uint64_t stopped; /* by us: neither of the two */
    uint64_t partial; /* of these: not all that they started was reached */
    uint64_t held;    /* left somebody behind that holds their output */
    uint64_t first_held;

    /* The failed ones, by how they ended. */
    uint64_t exited[256];
    uint64_t signaled[128];
    uint64_t timed_out;
    uint64_t not_started;
    uint64_t unknown;
    char *named[SUMMARY_NAMED];
};

/* Counts a job that has been finished. */
void summary_add(struct summary *s, const struct job *j);

/* Counts one that could not be started, and why. */
void summary_add_unstarted(struct summary *s, const struct job *j,
                           const char *why);

void summary_report(const struct summary *s, struct output *o);
void summary_done(struct summary *s);

#endif
