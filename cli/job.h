/* SPDX-License-Identifier: MIT */
#ifndef CLI_JOB_H
#define CLI_JOB_H

/*
 * One job: the command for one input, from its start to its end.
 *
 *     runs  --(its process ends)-->  ended, its output is read to the end
 *      |
 *      +--(timeout, stop)-->  SIGTERM  --(1 second)-->  SIGKILL
 *
 * A job is over when its process has ended and its output too, or 1 second
 * after the process has ended: then somebody that it has left behind holds
 * the output open.
 */

#include <stdbool.h>
#include <stdint.h>

#include <ripstop/command.h>

#include "input.h"
#include "loop.h"
#include "store.h"

#define JOB_BLOCK 65536 /* as much as a pipe holds */

/* What all jobs have in common. */
struct job_setup {
    struct loop *loop;
    struct store *store;
    double timeout; /* seconds; 0: none */
    bool chatty;    /* jobs were seen to wait for us to read their output */
    int error;      /* why output could not be stored; 0: it could */
    int read_error; /* the first of a job whose output is lost */
    char block[JOB_BLOCK];
};

struct job {
    struct job *next, *prev;
    struct job_setup *setup;
    struct item item;
    char **argv;
    uint64_t attempts;
    struct spool stream[2]; /* what came from stdout and stderr */

    rip_command *command; /* NULL: it is not running */
    struct watch end_watch, output_watch[2];
    bool open[2];    /* this stream has not come to its end */
    bool watched[2]; /* and is in the loop */
    bool ended;      /* the process has ended */
    bool queued;     /* it is over, and waits for being finished */
    int signal;      /* to be sent by jobs_signal; 0: none */
    bool terminated; /* we sent SIGTERM */
    bool killed;     /* we sent SIGKILL */
    bool timed_out;
    bool stopped;
    bool held; /* others held its output when we went on without it */

    /* When there is something to do; RIP_FOREVER: nothing. */
    rip_time watch_at, stop_at, kill_at, leave_at;

    struct rip_exit exit;
    struct rip_failure failure; /* of the last start */
};

/* Jobs in the order in which they were added. */
struct job_list {
    struct job *first, *last;
};

/* Takes over the text of the item, and argv. */
struct job *job_new(struct job_setup *setup, struct item item, char **argv);
struct job *job_free(struct job *j);

/* Starts it, also once more after it was over: the result of
 * rip_command_start, and `failure` is filled in. */
int job_start(struct job *j);

/* What the loop tells of it: its process has ended; there is output. */
void job_note_end(struct job *j);
void job_read(struct job *j, int stream);

/* Does what is due by now, and tells when to call again. */
rip_time job_tick(struct job *j, rip_time now);

/*
 * Signals to the whole tree of a job. What these decide on is sent by
 * jobs_signal, to all of a list at once: that takes hardly longer than to
 * one.
 */

/* Ends it: politely first, or at once. */
void job_stop(struct job *j, rip_time now);
void job_kill(struct job *j, rip_time now);

/* It is over: kills what it has left behind, if it was stopped. */
void job_sweep(struct job *j);

/* Holds it, and lets it go on after `pause`. */
void job_suspend(struct job *j);
void job_resume(struct job *j, rip_time pause);

void jobs_signal(const struct job_list *list);

bool job_is_over(const struct job *j);

/* Takes leave of the process of a job that is over. */
void job_finish(struct job *j);

/* Whether it did what it should. After job_finish. */
bool job_succeeded(const struct job *j);

void job_list_add(struct job_list *list, struct job *j);
void job_list_remove(struct job_list *list, struct job *j);

static inline rip_time earlier(rip_time a, rip_time b)
{
    return a < b ? a : b;
}

#endif
