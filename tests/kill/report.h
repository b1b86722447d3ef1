/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_REPORT_H
#define RIP_TESTS_KILL_REPORT_H

#include "sweep.h"

extern bool report_tap; /* as TAP */

/* A line for each operation, and the sum. False: something is bad. */
bool report(const struct tally *units, unsigned n, int64_t ms);

#endif
