/* SPDX-License-Identifier: MIT */
#ifndef RIP_BASE_STOP_H
#define RIP_BASE_STOP_H

/*
 * Requests to stop. A task has one of these, in memory that it shares with who
 * may ask it to stop. It stands in base since everything that waits looks at
 * it, and everything that waits is below tasks.
 *
 *     fd       0    it has no descriptor yet
 *              n+1  descriptor n of the task's process is written to, for who
 *                   waits in poll(2)
 *
 * Who asks sets the word before it looks for the descriptor, and the task
 * publishes the descriptor before it looks at the word; so one of them sees the
 * other.
 */

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ripstop/base.h>

struct rip__stop {
    uint32_t word; /* 1: asked to. A futex, also between processes */
    uint32_t fd;
};

/* Of the calling task; NULL: it is none. */
extern __thread struct rip__stop *rip__own_stop
    __attribute__((visibility("hidden")));

/* > 0: a shield is up. */
extern __thread unsigned rip__stop_shields
    __attribute__((visibility("hidden")));

/* What a wait of the caller has to heed: NULL, nothing. */
static inline struct rip__stop *rip__stop_heeded(void)
{
    return rip__stop_shields == 0 ? rip__own_stop : NULL;
}

static inline bool rip__stop_asked(const struct rip__stop *s)
{
    return s && __atomic_load_n(&s->word, __ATOMIC_SEQ_CST) != 0;
}

/* Whether the caller's waits are to be given up. */
static inline bool rip__stopping(void)
{
    return rip__stop_asked(rip__stop_heeded());
}

/* The caller's descriptor, which is readable from the request on; made at
 * need. -ESRCH: it is no task. */
int rip__stop_fd(void);

/* As rip__os_poll, for calls that a stop ends: -ECANCELED when nothing is
 * ready, there is time left, and the caller's task is to stop. */
int rip__poll(struct pollfd *fds, size_t n, rip_time deadline);

/* How long nobody sleeps in it without a look at the word. Longer in tests. */
extern int64_t rip__stop_look_ns;

#endif
