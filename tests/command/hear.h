/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_COMMAND_HEAR_H
#define RIP_TESTS_COMMAND_HEAR_H

/* What the tests of on_output share: a callback that takes down what it is
 * told. */

#include <ripstop/command.h>

#include "base/base.h"

/* All of it as one text: "1<line>" and "2<line>", with a newline where there
 * was one and a | where there was none. */
struct heard {
    struct rip__buffer text;
    size_t pieces;
    size_t longest;
    rip_time last;
    size_t fail_at; /* the piece at which `error` is given; 0: none */
    int error;
    const char *go; /* a file to make when "go" is heard */
    long nap_ms;    /* taken by each call */
};

/* on_output, with a struct heard. */
int hear(void *arg, const struct rip_piece *p);

/* The bytes alone, of whichever stream, as they were written. */
int hear_bytes(void *arg, const struct rip_piece *p);

/* Both streams, by lines, with little grace. */
struct rip_command_options by_lines(struct heard *h);

/* What has been heard, and that is forgotten. */
void check_heard(struct heard *h, const char *want);

#endif
