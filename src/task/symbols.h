/* SPDX-License-Identifier: MIT */
#ifndef RIP_TASK_SYMBOLS_H
#define RIP_TASK_SYMBOLS_H

/*
 * Names for addresses of code, also of the functions that a program or library
 * does not export: as its symbol table has them.
 */

#include <stddef.h>
#include <stdint.h>

#include <ripstop/task.h>

/* Fills in the rest of frames of which the address is set, in a process that
 * was forked from this one: the first is where that was, the others are where
 * it would have returned to. What can not be found out stays 0 or "". */
void rip__symbols_find(struct rip_frame *frames, size_t n);

/* What is looked for in a file, and what is found there. */
struct rip__symbol {
    uint64_t at;          /* by the addresses that the file has for itself */
    uint64_t begin, size; /* of the function */
    uint32_t rank;        /* 0: none found */
    uint32_t name;        /* where it is in the table of names */
    uint32_t section;
    char function[64];
};

/* Precondition: all but `at` is 0. The file may be damaged, or anything. */
void rip__symbols_read(int fd, struct rip__symbol *wanted, size_t n);

#endif
