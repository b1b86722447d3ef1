/* SPDX-License-Identifier: MIT */
#include "sync.h"

#include <pthread.h>

#include <ripstop/lock.h>
#include <ripstop/segment.h>

/* Many who want the same lock all the time: how long it takes until each has
 * had it so often. */

struct crowd {
    bool ours, processes;
    int count, turns; /* of each */
    int outside;      /* rounds of work between two turns */
};

enum { MANY = 1000 };

/* What they share. */
struct place {
    _Alignas(64) pthread_barrier_t barrier;
    _Alignas(64) union {
        rip_lock ours;
        pthread_mutex_t glibc;
    } lock;
    _Alignas(64) long counter;
    int failed;
    struct times {
        int64_t begin, end;
    } times[MANY];
};

/* Of the one side that this process is. */
static struct place *place;
static const struct crowd *crowd;

static void make_barrier(unsigned parties)
{
    pthread_barrierattr_t a;
    pthread_barrierattr_init(&a);
    pthread_barrierattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&place->barrier, &a, parties);
}

static int prepare(const void *arg)
{
    crowd = arg;
    place =
        crowd->ours ? ours_alloc(sizeof *place) : plain_alloc(sizeof *place);
    if (!place)
        return -1;
    if (!crowd->ours)
        make_mutex(&place->lock, PLAIN);
    make_barrier((unsigned)crowd->count);
    return 0;
}

/* ---- one of them ------------------------------------------------------ */

static void work(int rounds)
{
    for (volatile int i = 0; i < rounds; i++)
        ;
}

static int take_ours(int turns)
{
    int bad = 0;
    while (turns-- > 0) {
        bad |= rip_lock_acquire(&place->lock.ours, RIP_FOREVER);
        place->counter++;
        rip_lock_release(&place->lock.ours);
        work(crowd->outside);
    }
    return bad;
}

static int take_glibc(int turns)
{
    int bad = 0;
    while (turns-- > 0) {
        bad |= pthread_mutex_lock(&place->lock.glibc);
        place->counter++;
        bad |= pthread_mutex_unlock(&place->lock.glibc);
        work(crowd->outside);
    }
    return bad;
}

static int take_turns(int turns)
{
    return crowd->ours ? take_ours(turns) : take_glibc(turns);
}

/* The first turn makes ours a member, which is not what is measured. */
static void live(void *arg)
{
    struct times *t = arg;
    int bad = take_turns(1);
    pthread_barrier_wait(&place->barrier);
    t->begin = bench_now();
    bad |= take_turns(crowd->turns);
    t->end = bench_now();
    if (bad)
        __atomic_store_n(&place->failed, 1, __ATOMIC_RELAXED);
}

static void *live_as_thread(void *arg)
{
    live(arg);
    return NULL;
}

/* ---- all of them ------------------------------------------------------ */

union one {
    pthread_t thread;
    int pid;
};

static int begin(union one *one, struct times *times)
{
    if (crowd->processes)
        return (one->pid = fork_to(live, times)) < 0 ? -1 : 0;
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 64 << 10);
    if (pthread_create(&one->thread, &a, live_as_thread, times) != 0)
        return bench_fail("pthread_create");
    return 0;
}

static int end(const union one *one)
{
    return crowd->processes ? wait_for_end(one->pid)
                            : pthread_join(one->thread, NULL);
}

/* From the first who began to the last who was done. */
static int64_t longest(void)
{
    struct times all = place->times[0];
    for (int i = 1; i < crowd->count; i++) {
        const struct times *t = &place->times[i];
        all.begin = t->begin < all.begin ? t->begin : all.begin;
        all.end = t->end > all.end ? t->end : all.end;
    }
    return all.end - all.begin;
}

/* Where one could not be made the others wait for it for ever: this process
 * says so, and ends with them. */
static int64_t run(const void *arg)
{
    (void)arg;
    union one ones[MANY];
    place->counter = 0;
    for (int i = 0; i < crowd->count; i++)
        if (begin(&ones[i], &place->times[i]) < 0)
            return -1;
    for (int i = 0; i < crowd->count; i++)
        if (end(&ones[i]) < 0)
            return -1;
    if (place->failed ||
        place->counter != (long)crowd->count * (crowd->turns + 1))
        return bench_fail("the lock did not exclude all others");
    return longest();
}

/* ---- the figures ------------------------------------------------------ */

#define CROWD(name, ...)                                                  \
    static const struct crowd our_##name = { .ours = true, __VA_ARGS__ }; \
    static const struct crowd name = { __VA_ARGS__ }

CROWD(threads, .count = 2, .turns = 100000);
CROWD(processes, .count = 2, .turns = 100000, .processes = true);
CROWD(eight, .count = 8, .turns = 20000);
CROWD(eight_processes, .count = 8, .turns = 20000, .processes = true);
CROWD(calm_threads, .count = 2, .turns = 50000, .outside = 200);
CROWD(calm_eight, .count = 8, .turns = 10000, .outside = 200);
CROWD(thousand, .count = MANY, .turns = 50);

#define FIGURE(n, w, g, crowd)                                                 \
    {                                                                          \
        .name = (n), .what = (w), .unit = BENCH_MS, .pairs = 30, .samples = 1, \
        .goal = (g), .ours = { prepare, run, &our_##crowd }, .baseline = {     \
            prepare,                                                           \
            run,                                                               \
            &(crowd)                                                           \
        }                                                                      \
    }

static const struct bench_figure figures[] = {
    FIGURE("2-threads", "two threads take a lock 100,000 times each", 1,
           threads),
    FIGURE("2-processes", "two processes do", 1, processes),
    FIGURE("8-threads", "eight threads do, 20,000 times each", 1, eight),
    FIGURE("8-processes", "eight processes do", 1, eight_processes),
    FIGURE("2-threads-calm", "two threads, with some work in between", 1,
           calm_threads),
    FIGURE("8-threads-calm", "eight threads, with some work in between", 1,
           calm_eight),
    FIGURE("1000-threads", "1,000 threads do, 50 times each", 0, thousand),
};

const struct bench_topic crowd_topic = { figures,
                                         sizeof figures / sizeof *figures };
