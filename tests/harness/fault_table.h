/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_FAULT_TABLE_H
#define RIP_TESTS_FAULT_TABLE_H

/* Which errors a system call can give. */

enum fault_how {
    FAULT_ONCE = 1,  /* this call alone */
    FAULT_ON = 2,    /* this one and all later ones of its kind */
    FAULT_AFTER = 4, /* the call is done, then the error reported */
    FAULT_SHORT = 8, /* no error: one byte is read or written */
};

struct fault_error {
    int error;
    unsigned how;
};

struct fault_call {
    long nr;
    long arg; /* the second argument must be this, or FAULT_ANY */
    const char *name;
    struct fault_error errors[8]; /* ends with one whose `how` is 0 */
};

#define FAULT_ANY (-1L)

/* The entry for a call, or NULL. */
const struct fault_call *fault_lookup(long nr, long arg);

#endif
