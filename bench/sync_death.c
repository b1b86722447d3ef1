/* SPDX-License-Identifier: MIT */
#include "sync.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ripstop/lock.h>

/* What it takes to go on after one was killed. */

enum { KILLS = 1000, LOST = 20, HELD = 10000, MANY = 1000 };

/* What the processes share. */
struct place {
    _Alignas(64) union {
        rip_lock ours;
        pthread_mutex_t glibc;
    } lock;
    _Alignas(64) int64_t killed; /* when */
    int told, last;              /* of the many */
    int64_t end;
    rip_lock locks[HELD];
};

struct death {
    bool ours;
    double quantile; /* of all times that one turn takes */
};

/* Of the one side that this process is. */
static struct place *place;
static const struct death *death;
static int pipe_fds[2];

static int prepare(const void *arg)
{
    death = arg;
    place =
        death->ours ? ours_alloc(sizeof *place) : plain_alloc(sizeof *place);
    if (!place)
        return -1;
    if (!death->ours)
        make_mutex(&place->lock, ROBUST);
    return pipe(pipe_fds) == 0 ? 0 : bench_fail("pipe");
}

static void pass_time(int64_t ns)
{
    const struct timespec t = { ns / 1000000000, ns % 1000000000 };
    nanosleep(&t, NULL);
}

static void die(void)
{
    __atomic_store_n(&place->killed, bench_now(), __ATOMIC_RELAXED);
    kill(getpid(), SIGKILL);
}

/* A child that holds something, and has said so. */
static int fork_holder(void (*body)(void *))
{
    char c;
    int pid = fork_to(body, NULL);
    if (pid > 0 && read(pipe_fds[0], &c, 1) != 1)
        return bench_fail("the holder did not come so far");
    return pid;
}

static void tell(void)
{
    if (write(pipe_fds[1], "", 1) != 1)
        _exit(1);
}

/* Whether it was acquired, and from a dead holder. */
static bool take(void)
{
    return death->ours ? rip_lock_acquire(&place->lock.ours, RIP_FOREVER) ==
                             RIP_RECOVERED
                       : pthread_mutex_lock(&place->lock.glibc) == EOWNERDEAD;
}

static void give(bool recovered)
{
    if (death->ours) {
        rip_lock_release(&place->lock.ours);
        return;
    }
    if (recovered)
        pthread_mutex_consistent(&place->lock.glibc);
    pthread_mutex_unlock(&place->lock.glibc);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* ---- one who waits ---------------------------------------------------- */

/* By then the other sleeps. */
static void hold_and_die(void *unused)
{
    (void)unused;
    take();
    tell();
    pass_time(1000000);
    die();
}

static int64_t recover_once(void)
{
    int pid = fork_holder(hold_and_die);
    if (pid < 0)
        return -1;
    bool recovered = take();
    int64_t t = bench_now() - __atomic_load_n(&place->killed, __ATOMIC_RELAXED);
    give(recovered);
    waitpid(pid, NULL, 0);
    return recovered ? t : bench_fail("not recovered");
}

static int64_t run_recover(const void *unused)
{
    (void)unused;
    int64_t times[KILLS];
    for (int i = 0; i < KILLS; i++) {
        times[i] = recover_once();
        if (times[i] < 0)
            return -1;
    }
    qsort(times, KILLS, sizeof *times, compare);
    return times[(int)(death->quantile * (KILLS - 1) + 0.5)];
}

/* ---- a wake that got lost --------------------------------------------- */

/* Frees the lock as one does who is killed before it has woken anybody. */
static void lose_wakes(void *unused)
{
    (void)unused;
    take();
    tell();
    pass_time(20000000);
    __atomic_store_n(&place->killed, bench_now(), __ATOMIC_RELAXED);
    __atomic_store_n(&place->lock.ours.word, 0, __ATOMIC_RELEASE);
    for (;;)
        pause();
}

static int64_t lose_once(void)
{
    int pid = fork_holder(lose_wakes);
    if (pid < 0)
        return -1;
    int r = rip_lock_acquire(&place->lock.ours, RIP_FOREVER);
    int64_t t = bench_now() - __atomic_load_n(&place->killed, __ATOMIC_RELAXED);
    rip_lock_release(&place->lock.ours);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return r == 0 ? t : bench_fail("the lock was not free");
}

static int64_t run_lost(const void *unused)
{
    (void)unused;
    int64_t longest = 0;
    for (int i = 0; i < LOST; i++) {
        int64_t t = lose_once();
        if (t < 0)
            return -1;
        longest = t > longest ? t : longest;
    }
    return longest;
}

/* ---- one who waits for long ------------------------------------------- */

static void hold(void *unused)
{
    (void)unused;
    take();
    tell();
    for (;;)
        pause();
}

static long switches(void)
{
    struct rusage u;
    getrusage(RUSAGE_THREAD, &u);
    return u.ru_nvcsw;
}

static int64_t run_idle(const void *unused)
{
    enum { SECONDS = 5 };
    (void)unused;
    int pid = fork_holder(hold);
    if (pid < 0)
        return -1;
    long before = switches();
    int r = rip_lock_acquire(&place->lock.ours, rip_after(SECONDS));
    long n = switches() - before;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    /* Rounded up: a look too many counts. */
    return r == -ETIMEDOUT ? (n + SECONDS - 1) / SECONDS
                           : bench_fail("acquired");
}

/* ---- many locks ------------------------------------------------------- */

static void hold_all_and_die(void *unused)
{
    (void)unused;
    for (int i = 0; i < HELD; i++)
        if (rip_lock_acquire(&place->locks[i], RIP_NOW) < 0)
            _exit(1);
    tell();
    die();
}

static int64_t run_held(const void *unused)
{
    (void)unused;
    int bad = 0, pid = fork_holder(hold_all_and_die);
    for (int i = 0; i < HELD && pid > 0; i++)
        bad |= rip_lock_acquire(&place->locks[i], RIP_FOREVER) != RIP_RECOVERED;
    int64_t t = bench_now() - __atomic_load_n(&place->killed, __ATOMIC_RELAXED);
    for (int i = 0; i < HELD; i++)
        rip_lock_release(&place->locks[i]);
    waitpid(pid, NULL, 0);
    return bad || pid < 0 ? bench_fail("not all were recovered") : t;
}

/* ---- many who wait ---------------------------------------------------- */

static void hold_until_told(void *unused)
{
    (void)unused;
    take();
    tell();
    while (__atomic_load_n(&place->told, __ATOMIC_ACQUIRE) < MANY)
        pass_time(1000000);
    pass_time(50000000);
    die();
}

/* The first turn makes ours a member, which is not what is measured. */
static void *wait_in_crowd(void *unused)
{
    if (death->ours && rip_lock_acquire(&place->locks[0], RIP_FOREVER) >= 0)
        rip_lock_release(&place->locks[0]);
    __atomic_add_fetch(&place->told, 1, __ATOMIC_RELEASE);
    give(take());
    if (__atomic_add_fetch(&place->last, 1, __ATOMIC_ACQ_REL) == MANY)
        place->end = bench_now();
    return unused;
}

static int64_t run_many(const void *unused)
{
    (void)unused;
    static pthread_t threads[MANY];
    place->told = place->last = 0;
    int pid = fork_holder(hold_until_told), n = 0;
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 64 << 10);
    while (n < MANY && pid > 0 &&
           pthread_create(&threads[n], &a, wait_in_crowd, NULL) == 0)
        n++;
    if (n < MANY)
        return bench_fail("no %d threads", MANY);
    while (n > 0)
        pthread_join(threads[--n], NULL);
    waitpid(pid, NULL, 0);
    return place->end - place->killed;
}

/* ---- the figures ------------------------------------------------------ */

static const struct death ours = { true, 0.5 };
static const struct death ours_late = { true, 0.999 };
static const struct death robust = { false, 0.5 };

static const struct bench_figure figures[] = {
    {
        .name = "recover",
        .what = "from SIGKILL of a holder until one who waits has its lock",
        .unit = BENCH_US,
        .pairs = 2,
        .samples = 1,
        .ours = { prepare, run_recover, &ours },
        .baseline = { prepare, run_recover, &robust },
    },
    {
        .name = "recover-late",
        .what = "the same: the second longest of 1,000",
        .unit = BENCH_MS,
        .pairs = 1,
        .samples = 1,
        .goal = 100,
        .ours = { prepare, run_recover, &ours_late },
    },
    {
        .name = "lost-wake",
        .what = "until one finds a lock free of which nothing told it",
        .unit = BENCH_MS,
        .pairs = 1,
        .samples = 1,
        .goal = 300,
        .ours = { prepare, run_lost, &ours },
    },
    {
        .name = "idle",
        .what = "how often one wakes who waits for a lock in vain",
        .unit = BENCH_PER_SECOND,
        .pairs = 1,
        .samples = 1,
        .goal = 10,
        .ours = { prepare, run_idle, &ours },
    },
    {
        .name = "10000-locks",
        .what = "from SIGKILL of who holds 10,000 locks until another has all",
        .unit = BENCH_MS,
        .pairs = 20,
        .samples = 1,
        .ours = { prepare, run_held, &ours },
    },
    {
        .name = "1000-waiters",
        .what =
            "from SIGKILL of a holder until 1,000 threads have had its lock",
        .unit = BENCH_MS,
        .pairs = 5,
        .samples = 1,
        .ours = { prepare, run_many, &ours },
        .baseline = { prepare, run_many, &robust },
    },
};

const struct bench_topic death_topic = { figures,
                                         sizeof figures / sizeof *figures };
