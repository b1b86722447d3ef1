/* SPDX-License-Identifier: MIT */
#ifndef RIP_BENCH_PYTHON_H
#define RIP_BENCH_PYTHON_H

/* What CPython takes for the same. */

#include "bench.h"

#include <limits.h>

/* A side: the arguments of peer_python.py, the last one NULL. */
int prepare_python(const void *args);
int64_t run_python(const void *args);

/* What its --version says; empty when there is none here. */
void python_version(char *buf, size_t cap);

#endif
