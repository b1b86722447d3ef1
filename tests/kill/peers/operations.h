/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_PEERS_OPERATIONS_H
#define RIP_TESTS_KILL_PEERS_OPERATIONS_H

#include "trial.h"

extern const struct operation operations[];
extern const unsigned n_operations;

#endif
