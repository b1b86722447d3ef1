/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_SYNC_WORLD_H
#define RIP_TESTS_SYNC_WORLD_H

/*
 * Who uses an object in the tests: threads of one program, with the object on
 * the heap, or processes, with it in shared memory.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "harness.h"

enum kind { THREADS, PROCESSES };

/* A test in a world of its own, of which nothing is left. */
#define WORLD(id, seconds)               \
    static void in_world_##id(void);     \
    TEST_WITH(id, .deadline = (seconds)) \
    {                                    \
        in_world_##id();                 \
        world_end();                     \
    }                                    \
    static void in_world_##id(void)

/* A test of both kinds. */
#define BOTH(id, seconds)                     \
    static void of_kind_##id(enum kind kind); \
    WORLD(threads_##id, seconds)              \
    {                                         \
        of_kind_##id(THREADS);                \
    }                                         \
    WORLD(processes_##id, seconds)            \
    {                                         \
        of_kind_##id(PROCESSES);              \
    }                                         \
    static void of_kind_##id(enum kind kind)

void world_end(void);

/* Zeroed memory that all of them see, until the end of the test; `object` for
 * what is tested, `board` for what they tell each other. */
void *object(enum kind kind, size_t size);
void *board(size_t size);

/* From now on nobody looks again for an hour: what then goes on does so
 * because it was woken, by a release or a death. */
void only_woken(void);

/* Somebody who runs fn(arg), and gives back what it returns. */
struct player {
    enum kind kind;
    int (*fn)(void *arg);
    void *arg;
    pid_t pid;
    unsigned long thread;
    int result;
};

void player_start(struct player *a, enum kind kind, int (*fn)(void *arg),
                  void *arg);
int player_end(struct player *a);

/* Of processes: SIGKILL, and until it is reaped. */
void player_kill(struct player *a);

/* Until so many members sleep on the object. */
void until_waiting(const void *o, unsigned n);

/* Until *p is at least n. */
void until_at_least(const atomic_int *p, int n);

/* fn in a child; whether it ended with abort(3), and with that line. */
void check_misuse(void (*fn)(void *), void *arg, const char *line);

#endif
