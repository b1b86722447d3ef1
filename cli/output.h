/* SPDX-License-Identifier: MIT */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

/*
 * Prints what the jobs wrote, one job after the other, without ever waiting
 * for whoever reads it: a pager that is not scrolled must not keep us from
 * noticing that a job has ended or that its time is up.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "input.h"
#include "progress.h"
#include "store.h"

#define OUTPUT_BLOCK 65536

/* What one job wrote, or a message of ours. */
struct result {
    struct result *next, *prev;
    uint64_t number;        /* the job's; 0: a message */
    struct spool stream[2]; /* for stdout and stderr */
    char *tag;              /* put before each line; NULL: nothing */
    size_t tag_len;
};

struct result_list {
    struct result *first, *last;
};

struct output {
    struct store *store;
    struct progress *progress;
    bool keep_order;
    bool tag;
    bool discard[2]; /* nobody reads this stream any more */

    struct result_list ready;
    uint64_t ready_bytes;

    /* With keep_order: results whose turn has not come. */
    struct result_list early;
    size_t early_count;
    uint64_t next_number;

    /* Of the first ready result: which stream is being printed, and of that
     * the block in work. */
    int stream;
    char block[OUTPUT_BLOCK];
    size_t block_len, block_done;

    /* With a tag: the text that lines are taken from. */
    char raw[OUTPUT_BLOCK];
    size_t raw_len, raw_done;
    size_t tag_done;
    bool line_started;

    bool never_waits[2]; /* a file: there is no use in poll(2) */
    bool terminal[2];
    bool unfinished_line; /* stands on the terminal */
};

void output_init(struct output *o, struct store *store,
                 struct progress *progress);

/* Takes what a job wrote; the spools are empty afterwards. Every job has to
 * come by here when order is kept. */
void output_add(struct output *o, const struct item *item,
                struct spool stream[2]);

/* Puts a line to stderr, "ripstop run: ...", in its turn. */
__attribute__((format(printf, 2, 3))) void output_say(struct output *o,
                                                      const char *format, ...);

enum output_state {
    OUTPUT_IDLE,   /* all is printed */
    OUTPUT_MORE,   /* call again */
    OUTPUT_BLOCKED /* wait until output_fd can be written to */
};

/* Prints some: a state, or why stdout can not be written, or the temporary
 * file not be read. */
int output_step(struct output *o);

int output_fd(const struct output *o);

/* Whether so much waits to be printed that no more jobs should start. */
bool output_is_full(const struct output *o);

/* Whether the terminal's cursor is where the progress bar can stand. */
bool output_at_line_start(const struct output *o);

/* Forgets all that is not printed. */
void output_drop(struct output *o);

#endif
