/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_RIPSTOP_H
#define RIPSTOP_RIPSTOP_H

/* All of ripstop, in reading order. */

#include <ripstop/base.h>
#include <ripstop/exit.h>
#include <ripstop/command.h>
#include <ripstop/wait.h>

#endif
