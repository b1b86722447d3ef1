/* SPDX-License-Identifier: MIT */
#ifndef CLI_SCHED_STATE_H
#define CLI_SCHED_STATE_H

/* What the files of the scheduler share: sched.c has the event loop,
 * sched_start.c starts jobs, and sched_stop.c ends them early. */

#include <stdbool.h>
#include <stddef.h>

#include "args.h"
#include "input.h"
#include "job.h"
#include "loop.h"
#include "output.h"
#include "progress.h"
#include "store.h"
#include "summary.h"
#include "template.h"

#define SECOND INT64_C(1000000000)

struct sched {
    const struct run_options *options;
    struct input *input;
    const struct template *template;
    bool same_program; /* all jobs run it */

    struct loop loop;
    struct store store;
    struct progress progress;
    struct output output;
    struct summary summary;
    struct job_setup setup;
    struct watch input_watch, signal_watch, print_watch;
    int signal_fd;

    struct job_list running; /* started and not over */
    struct job_list over;    /* to be finished in this turn */
    struct job_list pending; /* the system had no room to start them */
    size_t active;           /* jobs whose process runs */
    size_t lingering;        /* jobs whose process has ended, not the output */

    bool input_ended;
    bool no_more;        /* jobs are to be started, whatever is left */
    bool short_of_room;  /* for starting jobs, until one ends */
    bool warned_of_room; /* the user knows */
    bool input_waited;   /* the loop tells when there is more */
    bool print_waited;   /*   and when we can print on */
    bool store_failed;   /* and the user knows */
    bool read_failed;
    bool reported; /* the summary is with the output */
    enum output_state printed;
    rip_time due;        /* when a job needs attention next */
    rip_time give_up_at; /* what has not ended by then is left as it is */

    int signal; /* that ends the run; 0: none */
    bool halted;
    int status; /* of a failure of our own */
};

/* sched_start.c */

/* Starts jobs as long as there is room. */
void start_jobs(struct sched *s);

/* Starts this one, or deals with that it can not be started. */
void start_job(struct sched *s, struct job *j);

/* Whether there are, or may come, jobs to start; and whether one can be
 * started now. */
bool more_to_start(const struct sched *s);
bool can_start(const struct sched *s);

/* sched_stop.c */

/* Starts no more jobs, and ends those that run: politely, or at once. */
void stop_all(struct sched *s);
void kill_all(struct sched *s);

/* A failure of ours, not of a job: no more jobs are started, and the first
 * such failure decides the exit status. */
void fail(struct sched *s, int status);

/* Ends early if --halt says so. To be called when a job has been counted. */
void check_halt(struct sched *s);

/* Does what a signal that came asks for. */
void take_signal(struct sched *s);

/* A job wants attention at that time. */
void note_due(struct sched *s, rip_time due);

#endif
