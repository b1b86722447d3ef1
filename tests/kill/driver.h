/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_DRIVER_H
#define RIP_TESTS_KILL_DRIVER_H

/*
 * There are two programs that play the same scenes, and differ in what a point
 * is, and in how a process comes to it. In kill-sweep (point.c) it counts its
 * own accesses, and kills itself; in kill-step (step.c) the director steps it
 * through its instructions.
 */

#include "seat.h"
#include "sweep.h"

extern const char drive_name[]; /* the program's */
extern const bool drive_steps;
extern char drive_swept[256]; /* the file of what is swept, if not its own */

/* First of all, in main(). */
void drive_prepare(char **argv);

/* ---- in a process, before and after what it does with points ---------- */

void drive_begin(struct kill_seat *s);
void drive_end(struct kill_seat *s);

/* ---- in the director -------------------------------------------------- */

/* Before the first point of a unit is played: finds out which there are. */
void drive_learn(struct tally *t);

/* The first point of those to be played that is not before `at`; 0: there is
 * none. */
uint32_t drive_next(const struct unit *u, uint32_t at);

/* The same as play(), but it tries more to come to that point. */
enum verdict drive_play(const struct unit *u, uint32_t at, uint32_t at2);

/* Whether it sleeps in a call of what is swept; and whether it may come to do
 * so without a word. */
bool drive_is_asleep(struct kill_seat *s);
bool drive_may_sleep(struct kill_seat *s);

/* A process has stopped by a signal, which its tracer is told of. What is seen
 * of it now, as of enum kill_seen; 0: nothing yet. */
unsigned drive_stopped(struct kill_seat *s, int sig);

/* It goes on from where it was paused or stopped. */
void drive_continue(struct kill_seat *s);

#endif
