/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_HARNESS_INTERNAL_H
#define RIP_TESTS_HARNESS_INTERNAL_H

/* What the files of the harness share. */

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "harness.h"

/* ---- report.c: what a test has to say --------------------------------- */

enum harness_verdict {
    HARNESS_RUNNING, /* and, if its process has ended: it did so by itself */
    HARNESS_PASSED,
    HARNESS_FAILED,
    HARNESS_SKIPPED,
};

/*
 * One test's report, in memory that the runner shares with the test and all
 * that it forks. It is no descriptor, since tests close and redirect those,
 * and what it holds is still there after a crash.
 */
struct harness_report {
    _Atomic int verdict;
    pid_t test;               /* the test's own process */
    _Atomic int64_t deadline; /* of CLOCK_MONOTONIC, ns; INT64_MAX: none */
    _Atomic unsigned dumped;  /* threads that have dumped their stacks */
    _Atomic size_t len;       /* of text; more than its size: cut */
    char skip[256];
    char note[1024];
    char text[256 * 1024];
};
extern struct harness_report *harness_report;

/* The test that runs. */
const char *harness_test_name(void);

/* Set where the test runs in the runner's process: the report is then
 * printed at once, and a failure stops in the debugger. */
extern bool harness_here;

/* The directory that the test was given; in the runner's process too. */
extern char harness_directory[4096];

/* Makes the shared memory, or empties it for the next test. */
void harness_report_reset(void);

/* Adds a text to the report, in one piece: "line\n" or more lines. */
void harness_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void harness_vsay(const char *format, va_list ap);

/* Ends the test from wherever it is called. */
_Noreturn void harness_end(enum harness_verdict verdict);

int64_t harness_now(void);

/* A nap between two looks at something that tells nobody when it changes. */
void harness_nap(void);

/* ---- set.c: sets of strings ------------------------------------------- */

/* A multiset. What is compared around a test is a set of strings each: a
 * leak is a string that is in the second set and not in the first. */
struct harness_set {
    char **item;
    size_t n, cap;
};
void harness_set_add(struct harness_set *set, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void harness_set_done(struct harness_set *set);

/* Says "<label><item>" for each item that is in b and not in a: how many.
 * A label of NULL only counts. Sorts both. */
size_t harness_set_minus(struct harness_set *b, struct harness_set *a,
                         const char *label);

/* ---- leak.c: the state of this process -------------------------------- */

struct harness_state *harness_state_take(void);
void harness_state_free(struct harness_state *state);

/* Compares with what is now, and says what differs: how many things. */
size_t harness_state_check(struct harness_state *before);

/* The signal that makes a thread dump its stack. */
#define HARNESS_DUMP_SIGNAL SIGRTMAX

/* ---- proc.c: other processes ------------------------------------------ */

struct harness_proc {
    pid_t pid, parent;
    char state;
    bool exiting; /* or a zombie */
    char comm[32];
};

/* Reads about one process; false when there is none. */
bool harness_proc_read(pid_t pid, struct harness_proc *ret);

/* Whether it is on its way out: exiting, or SIGKILL waits for it. */
bool harness_proc_dying(const struct harness_proc *p);

/* Calls fn for each child of `parent`, or for all processes if it is 0. */
void harness_proc_each(pid_t parent,
                       void (*fn)(const struct harness_proc *p, void *ctx),
                       void *ctx);

/* The command line, or "[comm]" when it has none; control characters are
 * replaced. Always a string. */
void harness_proc_command(const struct harness_proc *p, char *buf, size_t cap);

/* A hexadecimal field of /proc/<path>/status ("SigBlk"), 0 if unreadable. */
uint64_t harness_proc_mask(const char *path, const char *field);

/* All of a small file as a string; its length, or -1. */
ssize_t harness_slurp(const char *path, char *buf, size_t cap);

/* Removes a directory with all that is in it. */
void harness_remove_tree(const char *path);

/* ---- tree.c: our own descendants -------------------------------------- */

/* Looks for children of ours but `except`, says which they are, and gives how
 * many. What has ended is reaped, and what is dying passes. */
size_t harness_orphans(pid_t except);

/* Kills and reaps all our descendants; we are their subreaper. */
void harness_kill_descendants(void);

/* ---- stack.c: stack traces -------------------------------------------- */

/* Reads our own symbols; before anything is to be named. */
void harness_symbols_load(void);

/* "name+0x12", or the file and the offset in it. Async-signal-safe for the
 * code of this program. */
void harness_symbol(const void *address, char *buf, size_t cap);

/* The callers of this function, innermost first. Async-signal-safe. */
size_t harness_backtrace(void **ret, size_t cap);

/* Installs the handler by which a thread dumps its own stack. */
void harness_stack_handler(void);

/* ---- dump.c: what hangs there? ---------------------------------------- */

/* Says what each thread of each descendant of this process is doing. */
void harness_dump_tree(void);

/* ---- seam.c: the library's allocations -------------------------------- */

/* Puts the counting allocator into the library's seam. */
void harness_seam_install(void);

/* Each allocation that the library has not released. */
void harness_seam_list(struct harness_set *set);

#endif
