/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_SYNC_SCENE_H
#define RIP_TESTS_SYNC_SCENE_H

/*
 * What an object promises it promises between threads and between processes.
 * So a test is written once, with actors, and played twice: by threads, with
 * objects in ordinary memory, and by processes, with objects in a segment.
 *
 *     BOTH(is_taken_once)
 *     {
 *         struct actor a;
 *         actor_start(&a, holder, NULL);
 *         ...
 *         actor_end(&a);
 *     }
 */

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "harness.h"

#define PLAY(id, by, seconds)                   \
    TEST_WITH(id##_##by, .deadline = (seconds)) \
    {                                           \
        scene_play(scene_##id, #by);            \
    }

#define BOTH_WITH(id, seconds)    \
    static void scene_##id(void); \
    PLAY(id, threads, seconds)    \
    PLAY(id, processes, seconds)  \
    static void scene_##id(void)
#define BOTH(id) BOTH_WITH(id, 0)

/* What needs processes: a signal for one alone, or a segment. */
#define PROCESSES_WITH(id, seconds) \
    static void scene_##id(void);   \
    PLAY(id, processes, seconds)    \
    static void scene_##id(void)
#define PROCESSES(id) PROCESSES_WITH(id, 0)

/* Zeroed memory that all actors share. */
enum { ROOM = 64 << 10 };
extern unsigned char *room;

extern bool with_processes;

void scene_play(void (*scene)(void), const char *by);

/* From now on nobody looks again for an hour: what then goes on does so
 * because it was woken. */
void scene_no_second_look(void);

struct actor {
    int (*fn)(void *);
    void *arg;
    pthread_t thread;
    pid_t pid, tid; /* tid: 0 while it has not begun */
    int stay[2];    /* a pipe */
    int result;
};

void actor_start(struct actor *a, int (*fn)(void *), void *arg);

/* Waits for its end: what fn returned. */
int actor_end(struct actor *a);

/* Called by an actor: tells actor_wait_stays that it has come so far, and
 * stays there until it is told to go on, or to die. */
void actor_stay(void);
void actor_wait_stays(const struct actor *a);
void actor_go_on(const struct actor *a);

/* Ends it where it is: a process by SIGKILL, a thread, which must be in
 * actor_stay, by its end. */
void actor_die(struct actor *a);

/* Returns when it sleeps in the kernel on a futex. */
void actor_wait_sleeps(const struct actor *a);

/* SIGSTOP, and it has stopped. */
void actor_stop(const struct actor *a);

#endif
