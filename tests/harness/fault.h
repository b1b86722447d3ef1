/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_FAULT_H
#define RIP_TESTS_FAULT_H

/*
 * Faults on purpose: system calls and allocations of the library that fail.
 *
 * A sweep runs a scenario once and counts the calls it makes through
 * rip__seam. Then it runs it again for each call and each error which that
 * call can give (fault_table.c), with just that call failing ("once"), and
 * where it makes sense with all further calls of its kind failing too ("on"):
 *
 *     static void start_and_wait(void *ctx)
 *     {
 *         int r = rip_command_start(&c, argv, NULL);
 *         CHECK(r == 0 || r == -EMFILE || ...);
 *         ...
 *     }
 *
 *     TEST(start_survives_every_fault)
 *     {
 *         fault_sweep(start_and_wait, NULL, NULL);
 *     }
 *
 * The scenario itself checks that each result is success or a clean error.
 * After each run everything must be as it was before, as after a test, and no
 * process be left behind. On a problem the report begins with
 *
 *     fault: call 17 (pipe2) gives EMFILE, once
 *     alone: RIPSTOP_FAULT=17:EMFILE:once .../spawn_test start_survives...
 *
 * Each run has a process of its own, forked from the test's, so what the
 * scenario changes in memory is lost, and what the library remembers from one
 * run (that clone3 is missing, say) does not change the next. The test must
 * have no children and no threads of its own meanwhile.
 *
 * A scenario may make thousands of calls of a kind, in loops; of those some
 * at both ends and between are chosen. RIPSTOP_FAULT_ALL=1 chooses all.
 *
 * Calls count in whichever process or thread they are made: also in the child
 * of a vfork, before its exec. Where several run at once their order, and so
 * the number of a call, may differ from run to run; the fault then strikes
 * the next call of that kind, and what never comes is counted as not reached.
 */

/* Beside the numbers of system calls. */
enum {
    FAULT_MEMORY = -1, /* stands for allocations where system calls do */
    FAULT_LAST = -2    /* ends a list of system calls */
};

struct fault_options {
    double deadline;    /* seconds for each run; 0: 10 */
    const long *except; /* system calls that are left alone, FAULT_LAST */
    unsigned long most; /* about so many calls of a kind fail; 0: 48 */
};

/* Gives how many faults were tried and did strike. Options may be NULL. */
unsigned long fault_sweep(void (*scenario)(void *ctx), void *ctx,
                          const struct fault_options *options);

/* From now on, every system call `nr` fails with `error` (positive), as on a
 * kernel that lacks it. Up to eight different ones. */
void fault_always(long nr, int error);

/* The next one alone fails. */
void fault_once(long nr, int error);

#endif
