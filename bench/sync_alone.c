/* SPDX-License-Identifier: MIT */
#include "sync.h"

#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include <ripstop/cond.h>
#include <ripstop/event.h>
#include <ripstop/lock.h>
#include <ripstop/rlock.h>
#include <ripstop/rwlock.h>
#include <ripstop/segment.h>
#include <ripstop/sem.h>

/* What an operation costs when nobody else is at the object. */

struct lone {
    void *(*alloc)(size_t size);
    void (*make)(void *at); /* NULL: zeroes will do */
    bool (*loop)(int n);    /* false: one went wrong */
};

/* Of the one side that this process is. */
static void *object;

static int prepare(const void *arg)
{
    const struct lone *l = arg;
    object = l->alloc(256);
    if (object && l->make)
        l->make(object);
    return object ? 0 : -1;
}

/* Less than a slice of time, so that most samples are not disturbed. */
enum { TIMES = 20000 };

/* For a thousand. */
static int64_t run(const void *arg)
{
    const struct lone *l = arg;
    int64_t start = bench_now();
    if (!l->loop(TIMES))
        return bench_fail("an operation failed");
    return (bench_now() - start) / (TIMES / 1000);
}

static void *sleep_on(void *unused)
{
    for (;;)
        pause();
    return unused;
}

/* There is another thread: without one glibc's mutex is no atomic one. */
static void *private_alloc(size_t size)
{
    static _Alignas(64) unsigned char memory[256];
    pthread_t other;
    if (pthread_create(&other, NULL, sleep_on, NULL) != 0)
        bench_fail("pthread_create");
    return size <= sizeof memory ? memory : NULL;
}

/* ---- ours ------------------------------------------------------------- */

static bool ours_lock(int n)
{
    int bad = 0;
    while (n-- > 0) {
        bad |= rip_lock_acquire(object, RIP_FOREVER);
        rip_lock_release(object);
    }
    return bad == 0;
}

static bool ours_rlock(int n)
{
    int bad = 0;
    while (n-- > 0) {
        bad |= rip_rlock_acquire(object, RIP_FOREVER);
        rip_rlock_release(object);
    }
    return bad == 0;
}

static bool ours_read(int n)
{
    int bad = 0;
    while (n-- > 0) {
        bad |= rip_rwlock_read(object, RIP_FOREVER);
        rip_rwlock_release(object);
    }
    return bad == 0;
}

static bool ours_write(int n)
{
    int bad = 0;
    while (n-- > 0) {
        bad |= rip_rwlock_write(object, RIP_FOREVER);
        rip_rwlock_release(object);
    }
    return bad == 0;
}

static bool ours_event(int n)
{
    while (n-- > 0) {
        rip_event_set(object);
        rip_event_clear(object);
    }
    return !rip_event_is_set(object);
}

static void make_set(void *at)
{
    rip_event_set(at);
}

static bool ours_event_wait(int n)
{
    int bad = 0;
    while (n-- > 0)
        bad |= rip_event_wait(object, RIP_FOREVER);
    return bad == 0;
}

static void make_signal(void *at)
{
    rip_sem_init(at, 0, 0);
}

static bool ours_signal(int n)
{
    int bad = 0;
    while (n-- > 0) {
        bad |= rip_sem_release(object, 1);
        bad |= rip_sem_acquire(object, RIP_FOREVER);
    }
    return bad == 0;
}

static void make_permits(void *at)
{
    rip_sem_init(at, 4, 4);
}

static bool ours_permits(int n)
{
    int bad = 0;
    while (n-- > 0) {
        bad |= rip_sem_acquire(object, RIP_FOREVER);
        bad |= rip_sem_release(object, 1);
    }
    return bad == 0;
}

static bool ours_notify(int n)
{
    while (n-- > 0)
        rip_cond_notify(object, 1);
    return true;
}

/* ---- glibc's ---------------------------------------------------------- */

static void make_plain(void *at)
{
    make_mutex(at, PLAIN);
}

static void make_robust(void *at)
{
    make_mutex(at, ROBUST);
}

static void make_robust_recursive(void *at)
{
    make_mutex(at, ROBUST_RECURSIVE);
}

static bool glibc_mutex(int n)
{
    int bad = 0;
    while (n-- > 0) {
        bad |= pthread_mutex_lock(object);
        bad |= pthread_mutex_unlock(object);
    }
    return bad == 0;
}

static bool glibc_read(int n)
{
    int bad = 0;
    while (n-- > 0) {
        bad |= pthread_rwlock_rdlock(object);
        bad |= pthread_rwlock_unlock(object);
    }
    return bad == 0;
}

static bool glibc_write(int n)
{
    int bad = 0;
    while (n-- > 0) {
        bad |= pthread_rwlock_wrlock(object);
        bad |= pthread_rwlock_unlock(object);
    }
    return bad == 0;
}

static void make_sem(void *at)
{
    sem_init(at, 1, 1);
}

static bool glibc_sem(int n)
{
    int bad = 0;
    while (n-- > 0) {
        bad |= sem_wait(object);
        bad |= sem_post(object);
    }
    return bad == 0;
}

static bool glibc_signal(int n)
{
    int bad = 0;
    while (n-- > 0)
        bad |= pthread_cond_signal(object);
    return bad == 0;
}

/* ---- the figures ------------------------------------------------------ */

#define OURS(name) \
    static const struct lone our_##name = { ours_alloc, NULL, ours_##name }
#define OURS_MADE(name)                                              \
    static const struct lone our_##name = { ours_alloc, make_##name, \
                                            ours_##name }
OURS(lock);
OURS(rlock);
OURS(read);
OURS(write);
OURS(event);
OURS(notify);
OURS_MADE(signal);
OURS_MADE(permits);
static const struct lone our_set = { ours_alloc, make_set, ours_event_wait };
static const struct lone our_own = { private_alloc, NULL, ours_lock };

static const struct lone plain = { plain_alloc, make_plain, glibc_mutex };
static const struct lone robust = { plain_alloc, make_robust, glibc_mutex };
static const struct lone recursive = { plain_alloc, make_robust_recursive,
                                       glibc_mutex };
static const struct lone reads = { plain_alloc, make_rwlock, glibc_read };
static const struct lone writes = { plain_alloc, make_rwlock, glibc_write };
static const struct lone sems = { plain_alloc, make_sem, glibc_sem };
static const struct lone conds = { plain_alloc, make_cond, glibc_signal };
static const struct lone own = { private_alloc, NULL, glibc_mutex };

#define FIGURE(n, w, g, o, b)                                            \
    {                                                                    \
        .name = (n), .what = (w), .unit = BENCH_NS_OF_1000, .pairs = 60, \
        .samples = 9, .goal = (g), .ours = { prepare, run, &(o) },       \
        .baseline = {                                                    \
            prepare,                                                     \
            run,                                                         \
            &(b)                                                         \
        }                                                                \
    }

static const struct bench_figure figures[] = {
    FIGURE("lock", "acquire and release a lock, against a robust mutex", 0.5,
           our_lock, robust),
    FIGURE("lock-plain", "the same, against a mutex that is not robust", 1.0,
           our_lock, plain),
    FIGURE("lock-threads", "the same, between threads, against theirs", 0,
           our_own, own),
    FIGURE("rlock", "a recursive lock, against such a robust mutex", 0,
           our_rlock, recursive),
    FIGURE("read", "read and release, against pthread_rwlock_rdlock", 1.2,
           our_read, reads),
    FIGURE("write", "write and release, against pthread_rwlock_wrlock", 1.2,
           our_write, writes),
    FIGURE("event", "set and clear an event, against sem_wait and sem_post",
           1.2, our_event, sems),
    FIGURE("event-wait", "wait for one that is set, against the same", 1.2,
           our_set, sems),
    FIGURE("signal", "a signal semaphore, against sem_wait and sem_post", 1.2,
           our_signal, sems),
    FIGURE("permits", "one with permits, against the same", 2, our_permits,
           sems),
    FIGURE("notify", "notify nobody, against pthread_cond_signal", 0,
           our_notify, conds),
};

const struct bench_topic alone_topic = { figures,
                                         sizeof figures / sizeof *figures };
