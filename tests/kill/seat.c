/* SPDX-License-Identifier: MIT */
/* What a process of the play knows of itself, and says. */
#include "seat.h"

#include <linux/futex.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

struct kill_seat *kill_seat;
uint32_t kill_the_seed;
bool kill_the_pid;
_Atomic uint32_t *kill_events;
_Atomic uint32_t *kill_dead;

/* ---- what is shared --------------------------------------------------- */

struct kill_range kill_shared[KILL_RANGES];
unsigned kill_n_shared;

void kill_share(const void *lo, size_t len)
{
    unsigned last = KILL_RANGES - 1;
    unsigned i = kill_n_shared < last ? kill_n_shared++ : last;
    kill_shared[i].lo = (uintptr_t)lo;
    kill_shared[i].len = len;
}

void kill_share_nothing(void)
{
    kill_n_shared = 0;
}

/* ---- events ----------------------------------------------------------- */

void kill_event(void)
{
    atomic_fetch_add(kill_events, 1);
    KILL_SYS(SYS_futex, kill_events, FUTEX_WAKE, INT_MAX);
}

void kill_pause(struct kill_seat *s)
{
    atomic_store(&s->paused, 1);
    kill_event();
    while (atomic_load(&s->go) == 0)
        KILL_SYS(SYS_futex, &s->go, FUTEX_WAIT, 0);
    atomic_store(&s->paused, 0);
}

_Noreturn void kill_end_thread(void)
{
    struct kill_seat *s = kill_seat;
    s->counts = false;
    if (atomic_load(&s->in_wait) % 2 == 1)
        atomic_fetch_add(&s->in_wait, 1); /* it does not come back */
    if (s->way == KILL_RETURN)
        pthread_exit(NULL);
    for (;;)
        KILL_SYS(SYS_exit, 0);
}

/* ---- system calls ----------------------------------------------------- */

bool kill_can_block(long nr, const long a[6])
{
    if (nr == SYS_futex) {
        long op = a[1] & FUTEX_CMD_MASK;
        return op == FUTEX_WAIT || op == FUTEX_WAIT_BITSET;
    }
    return nr == SYS_futex_waitv || nr == SYS_ppoll || nr == SYS_poll;
}

/* ---- for scenarios ---------------------------------------------------- */

void kill_fail(const char *format, ...)
{
    struct kill_seat *s = kill_seat;
    va_list ap;
    va_start(ap, format);
    if (s == NULL) {
        vfprintf(stderr, format, ap);
        fputc('\n', stderr);
        _exit(2);
    }
    vsnprintf(s->complaint, sizeof s->complaint, format, ap);
    va_end(ap);
    atomic_store(&s->failed, 1);
    kill_event();
    for (;;) /* so that its stack can be looked at */
        pause();
}

unsigned kill_who(void)
{
    return kill_seat != NULL ? kill_seat->who : 0;
}

uint32_t kill_seed(void)
{
    return kill_the_seed;
}

bool kill_pid_is_taken(void)
{
    return kill_the_pid;
}

unsigned kill_deaths(void)
{
    return atomic_load(kill_dead);
}
