/* SPDX-License-Identifier: MIT */
#include "sync.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ripstop/cond.h>
#include <ripstop/event.h>
#include <ripstop/lock.h>

/* Two processes that wake each other in turns: what there and back takes. */

struct relay {
    bool ours, near;   /* both on one CPU; else each on its own */
    void (*ask)(void); /* there and back */
    void (*answer)(void);
};

struct side {
    _Alignas(64) rip_event event;
    _Alignas(64) uint32_t word;
};

/* What they share. */
struct place {
    struct side there, back;
    _Alignas(64) rip_lock lock;
    rip_cond cond;
    pthread_mutex_t mutex;
    pthread_cond_t glibc_cond;
    int turn;
};

/* Of the one side that this process is. */
static struct place *place;

static void give_answers(void *arg)
{
    const struct relay *r = arg;
    stay_on_cpu(r->near ? 0 : 1);
    for (;;)
        r->answer();
}

/* The other one dies with this process. */
static int prepare(const void *arg)
{
    const struct relay *r = arg;
    place = r->ours ? ours_alloc(sizeof *place) : plain_alloc(sizeof *place);
    if (!place)
        return -1;
    if (!r->ours) {
        make_mutex(&place->mutex, ROBUST);
        make_cond(&place->glibc_cond);
    }
    if (!stay_on_cpu(0) && !r->near)
        return bench_fail("there is but one CPU");
    return fork_to(give_answers, (void *)(uintptr_t)r) < 0 ? -1 : 0;
}

enum { TIMES = 100 };

static int64_t run(const void *arg)
{
    const struct relay *r = arg;
    int64_t start = bench_now();
    for (int i = 0; i < TIMES; i++)
        r->ask();
    return (bench_now() - start) / TIMES;
}

/* ---- events, and bare futexes ----------------------------------------- */

static void await_event(rip_event *e)
{
    if (rip_event_wait(e, RIP_FOREVER) < 0)
        _exit(1);
    rip_event_clear(e);
}

static void ask_event(void)
{
    rip_event_set(&place->there.event);
    await_event(&place->back.event);
}

static void answer_event(void)
{
    await_event(&place->there.event);
    rip_event_set(&place->back.event);
}

static void set_word(uint32_t *word)
{
    __atomic_store_n(word, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void await_word(uint32_t *word)
{
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == 0)
        syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
    __atomic_store_n(word, 0, __ATOMIC_RELEASE);
}

static void ask_word(void)
{
    set_word(&place->there.word);
    await_word(&place->back.word);
}

static void answer_word(void)
{
    await_word(&place->there.word);
    set_word(&place->back.word);
}

/* ---- conditions ------------------------------------------------------- */

static void lock_ours(void)
{
    if (rip_lock_acquire(&place->lock, RIP_FOREVER) != 0)
        _exit(1);
}

/* Until it is this one's turn. */
static void await_turn_ours(int turn)
{
    while (place->turn != turn)
        if (rip_cond_wait(&place->cond, &place->lock, RIP_FOREVER) != 0)
            _exit(1);
}

static void ask_cond(void)
{
    lock_ours();
    place->turn = 1;
    rip_cond_notify(&place->cond, 1);
    await_turn_ours(0);
    rip_lock_release(&place->lock);
}

static void answer_cond(void)
{
    lock_ours();
    await_turn_ours(1);
    place->turn = 0;
    rip_cond_notify(&place->cond, 1);
    rip_lock_release(&place->lock);
}

static void await_turn_glibc(int turn)
{
    while (place->turn != turn)
        if (pthread_cond_wait(&place->glibc_cond, &place->mutex) != 0)
            _exit(1);
}

static void ask_glibc(void)
{
    pthread_mutex_lock(&place->mutex);
    place->turn = 1;
    pthread_cond_signal(&place->glibc_cond);
    await_turn_glibc(0);
    pthread_mutex_unlock(&place->mutex);
}

static void answer_glibc(void)
{
    pthread_mutex_lock(&place->mutex);
    await_turn_glibc(1);
    place->turn = 0;
    pthread_cond_signal(&place->glibc_cond);
    pthread_mutex_unlock(&place->mutex);
}

/* ---- the figures ------------------------------------------------------ */

static const struct relay event = { true, false, ask_event, answer_event };
static const struct relay event_near = { true, true, ask_event, answer_event };
static const struct relay word = { false, false, ask_word, answer_word };
static const struct relay word_near = { false, true, ask_word, answer_word };
static const struct relay cond = { true, false, ask_cond, answer_cond };
static const struct relay cond_near = { true, true, ask_cond, answer_cond };
static const struct relay glibc = { false, false, ask_glibc, answer_glibc };
static const struct relay glibc_near = { false, true, ask_glibc, answer_glibc };

#define FIGURE(n, w, g, o, b)                                      \
    {                                                              \
        .name = (n), .what = (w), .unit = BENCH_US, .pairs = 100,  \
        .samples = 5, .goal = (g), .ours = { prepare, run, &(o) }, \
        .baseline = {                                              \
            prepare,                                               \
            run,                                                   \
            &(b)                                                   \
        }                                                          \
    }

static const struct bench_figure figures[] = {
    FIGURE("event-relay", "there and back by events, against bare futexes",
           1.05, event, word),
    FIGURE("event-relay-near", "the same on one CPU", 0, event_near, word_near),
    FIGURE("cond-relay", "by a condition, against one with a robust mutex", 0.6,
           cond, glibc),
    FIGURE("cond-relay-near", "the same on one CPU", 0, cond_near, glibc_near),
};

const struct bench_topic relay_topic = { figures,
                                         sizeof figures / sizeof *figures };
