/* SPDX-License-Identifier: MIT */
#include "toy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SLEEPERS = 1, LOOK_AGAIN_MS = 2, LEASE_MS = 3 };

static int file = -1;

/* Which member this process is; a child of fork(2) is none. */
static struct {
    pid_t pid;
    uint64_t id;
} self;

int toy_file(void)
{
    if (file < 0)
        file = memfd_create("toy", MFD_CLOEXEC);
    return file;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* ---- members ---------------------------------------------------------- */

static bool lock_byte(unsigned i)
{
    struct flock l = { .l_type = F_WRLCK, .l_start = i, .l_len = 1 };
    return fcntl(file, F_SETLK, &l) == 0;
}

static bool is_byte_locked(unsigned i)
{
    struct flock l = { .l_type = F_WRLCK, .l_start = i, .l_len = 1 };
    return fcntl(file, F_GETLK, &l) != 0 || l.l_type != F_UNLCK;
}

uint64_t toy_join(struct toy *t)
{
    if (self.pid == getpid())
        return self.id;
    for (unsigned i = 1; i < TOY_MEMBERS; i++)
        if (lock_byte(i)) {
            uint32_t g =
                1 + __atomic_load_n(&t->member[i].generation, __ATOMIC_RELAXED);
            __atomic_store_n(&t->member[i].pid, (uint32_t)getpid(),
                             __ATOMIC_RELAXED);
            __atomic_store_n(&t->member[i].generation, g, __ATOMIC_RELEASE);
            self.pid = getpid();
            self.id = (uint64_t)g << 8 | i << 1;
            return self.id;
        }
    abort();
}

static bool is_dead(struct toy *t, uint64_t word)
{
    unsigned i = (word >> 1) % TOY_MEMBERS;
    if (t->fault == TOY_PID)
        return kill((pid_t)t->member[i].pid, 0) < 0 && errno == ESRCH;
    if (word >> 8 !=
        __atomic_load_n(&t->member[i].generation, __ATOMIC_ACQUIRE))
        return true;
    return (word & ~(uint64_t)SLEEPERS) != self.id && !is_byte_locked(i);
}

/* ---- the lock --------------------------------------------------------- */

static bool replace(struct toy *t, uint64_t from, uint64_t to)
{
    if (t->fault == TOY_SPLIT) {
        if (__atomic_load_n(&t->word, __ATOMIC_ACQUIRE) != from)
            return false;
        __atomic_store_n(&t->word, to, __ATOMIC_RELEASE);
        return true;
    }
    return __atomic_compare_exchange_n(&t->word, &from, to, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

static void sleep_on(struct toy *t, uint64_t word)
{
    struct timespec nap = { .tv_nsec = LOOK_AGAIN_MS * 1000000L };
    syscall(SYS_futex, &t->word, (long)FUTEX_WAIT, (long)(uint32_t)word,
            t->fault == TOY_DEAF ? NULL : &nap, 0L, 0L);
}

static int enter(struct toy *t, int how)
{
    if (t->fault == TOY_COUNT)
        t->inside = t->inside + 1;
    return how;
}

int toy_acquire(struct toy *t, int ms)
{
    uint64_t me = toy_join(t), slept = 0;
    int64_t began = now_ms();
    for (;;) {
        uint64_t w = __atomic_load_n(&t->word, __ATOMIC_ACQUIRE);
        if (w <= SLEEPERS) {
            if (replace(t, w, me | w | slept))
                return enter(t, 0);
        } else if (is_dead(t, w) ||
                   (t->fault == TOY_LEASE && now_ms() - began >= LEASE_MS)) {
            if (replace(t, w, me | SLEEPERS))
                return enter(t, 1);
        } else if (ms >= 0 && now_ms() - began >= ms) {
            return -1;
        } else if ((w & SLEEPERS) != 0 || replace(t, w, w | SLEEPERS)) {
            sleep_on(t, w | SLEEPERS);
            slept = SLEEPERS;
        }
    }
}

/* Who is woken keeps the flag for the others: it cannot know of them. */
void toy_release(struct toy *t)
{
    uint64_t w;
    if (t->fault == TOY_COUNT)
        t->inside = t->inside - 1;
    w = __atomic_exchange_n(&t->word, 0, __ATOMIC_SEQ_CST);
    if (w & SLEEPERS)
        syscall(SYS_futex, &t->word, (long)FUTEX_WAKE, 1L, 0L, 0L, 0L);
}
