/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_TOY_H
#define RIP_TESTS_KILL_TOY_H

/*
 * A user's own structure, as an example of what can be swept: a lock between
 * processes whose word names its owner. A process is a member by a lock on a
 * byte of a file, which the kernel lets go when it dies.
 *
 * It can be made wrong in some ways, each a mistake that is often made. The
 * sweep has to find every one of them, or it is worth nothing.
 */

#include <stdint.h>

enum toy_fault {
    TOY_RIGHT,
    TOY_PID,   /* asks kill(pid, 0) whether the owner lives */
    TOY_LEASE, /* takes the lock from one who has it for too long */
    TOY_DEAF,  /* sleeps until it is woken, and looks at nothing meanwhile */
    TOY_COUNT, /* keeps a second word that says how many are in */
    TOY_SPLIT, /* looks whether it is free, and then takes it, in two steps */
};

enum { TOY_MEMBERS = 32 };

struct toy {
    uint64_t word; /* 0: free; generation << 8 | member << 1 | sleepers */
    uint32_t fault;
    uint32_t inside; /* of TOY_COUNT */
    struct {
        uint32_t generation, pid;
    } member[TOY_MEMBERS]; /* 0 is nobody */
};

/* The file whose bytes are locked; before anybody is forked. */
int toy_file(void);

/* Makes the caller a member: at its first use, or now. */
uint64_t toy_join(struct toy *t);

/* 0, 1: the last owner died with it; -1: not within `ms` (-1: any time). */
int toy_acquire(struct toy *t, int ms);
void toy_release(struct toy *t);

#endif
