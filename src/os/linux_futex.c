/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <time.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* Of a 32-bit system, where the first call has short times. */
#if defined(SYS_futex_time64) && __SIZEOF_LONG__ == 4
#define FUTEX_CALL SYS_futex_time64
#else
#define FUTEX_CALL SYS_futex
#endif

struct kernel_time {
    int64_t seconds, nanoseconds;
};

/* The kernel's struct futex_waitv, which libc's headers may not have yet. */
struct waiter {
    uint64_t seen, word;
    uint32_t flags, unused;
};
enum { SIZE_32 = 2 };

/* futex_waitv(2) is not there. Found out once, and true for ever. */
static int one_alone;

static uint32_t privacy(bool shared)
{
    return shared ? 0 : FUTEX_PRIVATE_FLAG;
}

static long wait_for_many(const struct rip__os_futex *f, size_t n,
                          const struct kernel_time *until)
{
    struct waiter w[RIP__OS_FUTEXES] = { { 0 } };
    for (size_t i = 0; i < n; i++)
        w[i] = (struct waiter){ .seen = f[i].seen,
                                .word = (uintptr_t)f[i].word,
                                .flags = SIZE_32 | privacy(f[i].shared) };
    return RIP__SYS(SYS_futex_waitv, w, n, 0, until, CLOCK_MONOTONIC);
}

static long wait_for_one(const struct rip__os_futex *f,
                         const struct kernel_time *until)
{
    return RIP__SYS(FUTEX_CALL, f->word, FUTEX_WAIT_BITSET | privacy(f->shared),
                    f->seen, until, 0, FUTEX_BITSET_MATCH_ANY);
}

int rip__os_futex_wait(const struct rip__os_futex *f, size_t n, rip_time until)
{
    struct kernel_time t = { .seconds = until / 1000000000,
                             .nanoseconds = until % 1000000000 };
    const struct kernel_time *end = until == RIP_FOREVER ? NULL : &t;
    long r = -ENOSYS;
    if (n > 1 && rip__os_futex_waits_for_many()) {
        r = wait_for_many(f, n, end);
        if (rip__is_missing(r))
            __atomic_store_n(&one_alone, 1, __ATOMIC_RELAXED);
    }
    /* Also where the kernel has no memory for many. */
    if (r < 0 && r != -ETIMEDOUT && r != -EAGAIN && r != -EINTR)
        r = wait_for_one(f, end);
    return r == -ETIMEDOUT ? -ETIMEDOUT : 0;
}

bool rip__os_futex_waits_for_many(void)
{
    return !__atomic_load_n(&one_alone, __ATOMIC_RELAXED);
}

unsigned rip__os_futex_wake(const uint32_t *word, bool shared, unsigned n)
{
    long r = RIP__SYS(FUTEX_CALL, word, FUTEX_WAKE | privacy(shared), n);
    return r > 0 ? (unsigned)r : 0;
}

bool rip__os_barrier_ask(void)
{
    return RIP__SYS(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0,
                    0) == 0;
}

void rip__os_barrier(void)
{
    RIP__SYS(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
}
