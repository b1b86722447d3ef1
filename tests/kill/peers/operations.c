/* SPDX-License-Identifier: MIT */
/* What is killed: libc's objects between processes, as in the scenes of the
 * sweep of ripstop's own. */
#include "operations.h"

#include <errno.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

enum { LAPS = 3, PARTIES = 2 };

static void must(int r)
{
    if (r != 0)
        _exit(TRIAL_WRONG);
}

static void must_be(bool so)
{
    must(!so);
}

/* A deadline that has passed: the call goes all the way, but does not block.
 * To ask for the time here may take for ever: the kernel's page is read anew
 * when it has changed meanwhile, as it always has to one who is stepped. */
static const struct timespec past = { .tv_sec = 1 };

/* The first of the survivors that comes: it does what one alone is to do. */
static bool is_first(struct box *b)
{
    return __atomic_fetch_add(&b->survivors, 1, __ATOMIC_SEQ_CST) == 0;
}

/* ---- mutex ------------------------------------------------------------ */

static void make_mutex(struct box *b, int type, int robust)
{
    pthread_mutexattr_t attr;
    must(pthread_mutexattr_init(&attr));
    must(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
    must(pthread_mutexattr_settype(&attr, type));
    must(pthread_mutexattr_setrobust(&attr, robust));
    must(pthread_mutex_init(&b->mutex, &attr));
}

static void make_plain(struct box *b)
{
    make_mutex(b, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED);
}

static void make_recursive(struct box *b)
{
    make_mutex(b, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED);
}

static void make_robust(struct box *b)
{
    make_mutex(b, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST);
}

static void enter(struct box *b, bool had_died)
{
    if (had_died)
        b->a = b->b;
    must_be(b->a == b->b);
    b->a++;
}

static void lock(struct box *b)
{
    int r = pthread_mutex_lock(&b->mutex);
    if (r == EOWNERDEAD)
        must(pthread_mutex_consistent(&b->mutex));
    else
        must(r);
    enter(b, r == EOWNERDEAD);
}

static void unlock(struct box *b)
{
    b->b++;
    must(pthread_mutex_unlock(&b->mutex));
}

static void cycle(struct box *b)
{
    lock(b);
    unlock(b);
}

static void check_mutex(struct box *b)
{
    for (int i = 0; i < LAPS; i++)
        cycle(b);
}

/* ---- rwlock ----------------------------------------------------------- */

static void make_rwlock(struct box *b)
{
    pthread_rwlockattr_t attr;
    must(pthread_rwlockattr_init(&attr));
    must(pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
    must(pthread_rwlock_init(&b->rwlock, &attr));
}

static void write_cycle(struct box *b)
{
    must(pthread_rwlock_wrlock(&b->rwlock));
    enter(b, false);
    b->b++;
    must(pthread_rwlock_unlock(&b->rwlock));
}

static void read_cycle(struct box *b)
{
    must(pthread_rwlock_rdlock(&b->rwlock));
    must_be(b->a == b->b);
    must(pthread_rwlock_unlock(&b->rwlock));
}

static void check_rwlock(struct box *b)
{
    for (int i = 0; i < LAPS; i++) {
        write_cycle(b);
        read_cycle(b);
    }
}

/* ---- condition: with a mutex that is robust, since it can ------------- */

static void make_cond(struct box *b)
{
    pthread_condattr_t attr;
    make_robust(b);
    must(pthread_condattr_init(&attr));
    must(pthread_condattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
    must(pthread_cond_init(&b->cond, &attr));
    b->takers = 1; /* the survivor that takes */
}

static void put_with(struct box *b, int (*notify)(pthread_cond_t *))
{
    lock(b);
    b->items++;
    must(notify(&b->cond));
    unlock(b);
}

static void put(struct box *b)
{
    put_with(b, pthread_cond_signal);
}

static void put_all(struct box *b)
{
    put_with(b, pthread_cond_broadcast);
}

static void wait_for_item(struct box *b)
{
    int r;
    b->waiting++;
    b->b++;
    r = pthread_cond_wait(&b->cond, &b->mutex);
    if (r == EOWNERDEAD)
        must(pthread_mutex_consistent(&b->mutex));
    else
        must(r);
    enter(b, r == EOWNERDEAD);
    b->waiting--;
}

static void take(struct box *b)
{
    lock(b);
    while (b->items == 0)
        wait_for_item(b);
    b->items--;
    unlock(b);
}

static void take_laps(struct box *b, int laps)
{
    for (int i = 0; i < laps; i++)
        take(b);
    __atomic_fetch_sub(&b->takers, 1, __ATOMIC_SEQ_CST);
}

/* The helper: it sleeps before the victim comes to its operation. */
static void take_one(struct box *b)
{
    __atomic_fetch_add(&b->takers, 1, __ATOMIC_SEQ_CST);
    take_laps(b, 1);
}

static void wait_a_moment(struct box *b)
{
    lock(b);
    b->b++;
    must_be(pthread_cond_timedwait(&b->cond, &b->mutex, &past) == ETIMEDOUT);
    enter(b, false);
    unlock(b);
}

/* Puts only what somebody waits for, so that each lap has a sleeper. */
static void give_to_takers(struct box *b)
{
    while (__atomic_load_n(&b->takers, __ATOMIC_SEQ_CST) > 0) {
        lock(b);
        if (b->waiting > b->items) {
            b->items++;
            must(pthread_cond_signal(&b->cond));
        }
        unlock(b);
        sched_yield();
    }
}

static void check_cond(struct box *b)
{
    if (is_first(b))
        give_to_takers(b);
    else
        take_laps(b, LAPS);
}

/* ---- semaphore -------------------------------------------------------- */

static void make_permit(struct box *b)
{
    must(sem_init(&b->sem, 1, 1));
}

static void make_signal(struct box *b)
{
    must(sem_init(&b->sem, 1, 0));
}

static void post(struct box *b)
{
    must(sem_post(&b->sem));
}

static void sem_take(struct box *b)
{
    must(sem_wait(&b->sem));
}

static void sem_cycle(struct box *b)
{
    sem_take(b);
    post(b);
}

static void sem_take_late(struct box *b)
{
    must_be(sem_timedwait(&b->sem, &past) != 0 && errno == ETIMEDOUT);
}

static void check_permit(struct box *b)
{
    for (int i = 0; i < LAPS; i++)
        sem_cycle(b);
}

static void check_signal(struct box *b)
{
    if (is_first(b))
        post(b);
    for (int i = 0; i < LAPS; i++) {
        post(b);
        sem_take(b);
    }
}

/* ---- barrier ---------------------------------------------------------- */

static void make_barrier(struct box *b)
{
    pthread_barrierattr_t attr;
    must(pthread_barrierattr_init(&attr));
    must(pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED));
    must(pthread_barrier_init(&b->barrier, &attr, PARTIES));
}

static void meet(struct box *b)
{
    int r = pthread_barrier_wait(&b->barrier);
    must_be(r == 0 || r == PTHREAD_BARRIER_SERIAL_THREAD);
}

static void check_barrier(struct box *b)
{
    for (int i = 0; i < LAPS; i++)
        meet(b);
}

/* ---- all of them ------------------------------------------------------ */

const struct operation operations[] = {
    { "lock", "cycle", "mutex", make_plain, NULL, cycle, NULL, check_mutex,
      false },
    { "lock", "cycle", "robust mutex", make_robust, NULL, cycle, NULL,
      check_mutex, false },
    { "lock", "release", "mutex", make_plain, lock, unlock, cycle, check_mutex,
      false },
    { "lock", "release", "robust mutex", make_robust, lock, unlock, cycle,
      check_mutex, false },
    { "rlock", "cycle", "recursive mutex", make_recursive, NULL, cycle, NULL,
      check_mutex, false },
    { "rwlock", "cycle", "wrlock", make_rwlock, NULL, write_cycle, NULL,
      check_rwlock, false },
    { "readers", "read", "rdlock", make_rwlock, NULL, read_cycle, NULL,
      check_rwlock, false },
    { "cond", "put", "cond_signal", make_cond, NULL, put, take_one, check_cond,
      false },
    { "cond", "put-all", "cond_broadcast", make_cond, NULL, put_all, take,
      check_cond, false },
    { "cond", "take", "cond_timedwait", make_cond, NULL, wait_a_moment, NULL,
      check_cond, false },
    { "cond", "take", "asleep in cond_wait", make_cond, NULL, take, NULL,
      check_cond, true },
    { "permits", "cycle", "sem_wait, sem_post", make_permit, NULL, sem_cycle,
      NULL, check_permit, false },
    { "signals", "release", "sem_post", make_signal, NULL, post, sem_take,
      check_signal, false },
    { "signals", "acquire", "sem_timedwait", make_signal, NULL, sem_take_late,
      NULL, check_signal, false },
    { "signals", "acquire", "asleep in sem_wait", make_signal, NULL, sem_take,
      NULL, check_signal, true },
    { "barrier", "wait", "barrier_wait", make_barrier, NULL, meet, meet,
      check_barrier, false },
    { "barrier", "wait", "asleep in barrier_wait", make_barrier, NULL, meet,
      NULL, check_barrier, true },
};
const unsigned n_operations = sizeof operations / sizeof *operations;
