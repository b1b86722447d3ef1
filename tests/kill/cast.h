/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_CAST_H
#define RIP_TESTS_KILL_CAST_H

/*
 * The processes that the director leads. Workers live as long as it does and
 * play those who survive; a victim is forked for one point. All are on the
 * director's own CPU, so that one who is woken does not run before the other
 * sleeps.
 */

#include "seat.h"

enum { KILL_SEATS = 10, KILL_VICTIMS = 4, KILL_SURVIVORS = 2 };

/* Seats: victims first, then the helpers of the state (whether these are
 * workers or die), then the survivors. */
enum {
    SEAT_VICTIM = 0,
    SEAT_OTHER = 1,
    SEAT_STANDIN = 2, /* who gets a dead one's number */
    SEAT_HELPER = KILL_VICTIMS,
    SEAT_SURVIVOR = SEAT_HELPER + KILL_HELPERS,
};

/* What a process can be seen to do: bits. */
enum kill_seen {
    SEEN_DONE = 1,   /* it has carried out its order, or exited with 0 */
    SEEN_DEAD = 2,   /* killed, and not reaped; or a thread, ended */
    SEEN_ASLEEP = 4, /* blocked in the kernel, in a call of the swept code */
    SEEN_PAUSED = 8,
    SEEN_STOPPED = 16,
    SEEN_FAILED = 32, /* a check of its own has failed, or it crashed */
    SEEN_LOST = 64,   /* so many points, and no end */
    SEEN_LATE = 128,  /* nothing of all that before the deadline */
};

/* Once: the shared page. Whoever says nothing for `deadline` seconds hangs. */
void cast_begin(double deadline);

/* From the next order on: sleepers do not look again by themselves, and who
 * was forked stays after its operation. */
void cast_calm(bool calm);

struct kill_seat *cast_seat(unsigned who);

/* Before a fork, or a run of a worker: what is to happen at point `at` (0: at
 * none). Begins to count anew. */
void cast_arm(unsigned who, enum kill_act act, uint32_t at);

/* Forks a process which does before, run (with points) and after. */
void cast_fork(unsigned who, const struct kill_operation *op, void *object);

/* The same, but a thread of it does that, and it is the thread that dies.
 * Another one waits for that, and then, to be told by cast_continue(), to do
 * `sibling`. */
void cast_fork_thread(unsigned who, const struct kill_operation *op,
                      void *object, enum kill_way way, kill_fn *sibling);

/* Gives an order to a worker, who is made if there is none. */
void cast_order(unsigned who, kill_fn *fn, void *object);

/* The same, with points. */
void cast_order_run(unsigned who, const struct kill_operation *op,
                    void *object);

/* Waits until one of `mask` is so, or FAILED, LOST, LATE. */
enum kill_seen cast_await(unsigned who, unsigned mask);

/* The letter of /proc/PID/stat. */
char cast_state_of(pid_t pid);

void cast_kill(unsigned who);
/* Ends a thread that is asleep. */
void cast_kill_thread(unsigned who);
/* Takes the status of a dead one. */
void cast_reap(unsigned who);
void cast_continue(unsigned who); /* from a pause, or a stop */

/* Another process with the number of one who was reaped, until it is killed:
 * false, where that cannot be had. */
bool cast_stand_in(pid_t pid);

/* Ends those who stay after all that they had to do: see cast_calm(). */
void cast_end_stayers(void);

/* Forgets the dead of the last point: kills and reaps whoever is left. */
void cast_end(void);
/* The same with the workers. */
void cast_end_all(void);

#endif
