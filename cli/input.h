/* SPDX-License-Identifier: MIT */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

/* The inputs, one after the other, read no sooner than they are asked for. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "args.h"

struct input;

struct item {
    uint64_t number; /* from 1 */
    char *text;      /* malloc'ed; ends with a NUL */
    size_t len;
};

enum input_result {
    INPUT_ITEM,
    INPUT_WAIT, /* nothing there yet: wait until input_fd is readable */
    INPUT_END,
    INPUT_FAILED /* see input_error */
};

/* Checks that all files can be read, so that nothing runs when one can not.
 * NULL: a message has been written. */
struct input *input_open(const struct run_options *o);

enum input_result input_next(struct input *in, struct item *ret);

int input_fd(const struct input *in);

const char *input_error(const struct input *in);

/* How many inputs there will be: exactly, or judged by the size of the files
 * and what has been read; 0: there is nothing to judge by. */
uint64_t input_expected(const struct input *in);

struct input *input_free(struct input *in);

#endif
