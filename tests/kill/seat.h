/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_SEAT_H
#define RIP_TESTS_KILL_SEAT_H

/*
 * A seat is what the director and one of its processes share: what it is to
 * do, and how far it is. It lies outside of the memory that is swept.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kill.h"

enum kill_act { KILL_GO_ON, KILL_DIE, KILL_STOP, KILL_PAUSE };

/* Who dies: the process, or one thread of it, beside which another waits. */
enum kill_way {
    KILL_PROCESS,
    KILL_THREAD, /* it is gone all at once, as by exit(2) */
    KILL_LEADER, /* the same, and its number is that of the process */
    KILL_RETURN, /* as by pthread_exit(3): its destructors run */
};

struct kill_seat {
    pid_t pid; /* 0: nobody */
    pid_t tid; /* of a thread that is to die; else 0 */
    unsigned who;
    enum kill_way way;

    /* The points. */
    bool counts;
    bool waits_first; /* to be told to go on, between before and run */
    uint32_t count;   /* how many there were */
    uint32_t at;      /* before this one it is to ... */
    enum kill_act act;
    uint32_t limit; /* more than these are no progress */

    /* How far it is. Odd: it is in a system call that can block, whatever
     * phase it is in. */
    _Atomic uint32_t in_wait;
    _Atomic uint32_t paused, lost, failed;
    _Atomic uint32_t ended; /* the thread, and not its process */
    _Atomic uint32_t go;    /* a futex: ends the pause */
    _Atomic uint32_t order; /* a futex: the number of the last order, */
    _Atomic uint32_t done;  /*   and of the last that was carried out */
    kill_fn *fn;            /* the order */
    void *object;

    char complaint[240];
};

/* The seat of this process; NULL: it is the director. */
extern struct kill_seat *kill_seat;

/* What kill_seed() says. */
extern uint32_t kill_the_seed;
extern bool kill_the_pid; /* what kill_pid_is_taken() says */

/* Grows with each change of any seat: a futex. */
extern _Atomic uint32_t *kill_events;
extern _Atomic uint32_t *kill_dead; /* what kill_deaths() says */

/* For the sleepers of what is swept: after how many nanoseconds they look again
 * by themselves; NULL: that cannot be set. */
extern int64_t *kill_look_again;

void kill_event(void);

/* A pause, by the process itself: until it is told to go on. */
void kill_pause(struct kill_seat *s);

/* Ends the calling thread in the way that its seat says. */
_Noreturn void kill_end_thread(void);

/* What is shared: see kill_share(). */
enum { KILL_RANGES = 8 };
extern struct kill_range {
    uintptr_t lo, len;
} kill_shared[KILL_RANGES];
extern unsigned kill_n_shared;

/* Nothing is shared any more, but what kill_share() says from now on. */
void kill_share_nothing(void);

/* Whether one can sleep in this system call. */
bool kill_can_block(long nr, const long args[6]);

/* A system call that is no point; as libc's syscall(). */
long kill_syscall(long nr, const long args[6]);
#define KILL_SYS7(nr, a, b, c, d, e, f, ...)                             \
    kill_syscall((nr), (const long[6]){ (long)(a), (long)(b), (long)(c), \
                                        (long)(d), (long)(e), (long)(f) })
#define KILL_SYS(...) KILL_SYS7(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

#endif
