/* SPDX-License-Identifier: MIT */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

/* What `ripstop run` was asked to do. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum halt_when {
    HALT_NEVER,
    HALT_SOON, /* start no more jobs */
    HALT_NOW   /* and stop those that run */
};

enum halt_what { HALT_FAIL, HALT_SUCCESS, HALT_DONE };

struct halt {
    enum halt_when when;
    enum halt_what what;
    uint64_t count;
};

enum source {
    SOURCE_STDIN,
    SOURCE_WORDS, /* `inputs` themselves */
    SOURCE_FILES  /* the files that `inputs` name; "-" is stdin */
};

/* The strings are those of argv. */
struct run_options {
    unsigned jobs;
    bool keep_order;
    bool tag;
    bool dry_run;
    bool shell;
    bool no_progress;
    double timeout; /* seconds; 0: none */
    uint64_t retries;
    struct halt halt;
    char delimiter;     /* what ends an input: newline or NUL */
    const char *marker; /* of -I, or NULL */

    const char *const *command;
    size_t command_len;
    enum source source;
    const char *const *inputs;
    size_t input_count;
};

enum args_result {
    ARGS_RUN,
    ARGS_HELP, /* --help was asked for */
    ARGS_WRONG /* a message has been written */
};

enum args_result args_parse(struct run_options *ret, int argc, char **argv);

#endif
