/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acts.h"
#include "base/atomic.h"
#include "harness.h"
#include "segment/layout.h"

/*
 * Members use everything in a segment while a neighbour scribbles all over it,
 * and some of them are killed. Nobody crashes, gets lost in a call, is told
 * what no header has, or finds anything of its own written over.
 *
 * RIPSTOP_SCRIBBLE=SEED tries one seed. Who runs when is the machine's choice,
 * so it does not do the same again, but the like.
 */
enum { WORKERS = 3, THREADS = 2, CANARY = 1 << 16 };
#define ROUND_NS ((int64_t)1000 * 1000000)
#define LIFE_NS  ((int64_t)25 * 1000000)

static rip_segment *segment;
static struct acts_objects *objects;

/* In shared memory that nobody scribbles in. */
static struct board {
    int stop;
    struct acts acts[WORKERS + 1][THREADS];
} * board;

static unsigned pick(unsigned *seed, size_t n)
{
    return (unsigned)((size_t)rand_r(seed) % n);
}

/* ---- members ---------------------------------------------------------- */

static void *work(void *arg)
{
    struct acts *a = arg;
    unsigned seed = a->turn;
    unsigned char *canary = malloc(CANARY);
    CHECK(canary != NULL);
    memset(canary, 0xa5, CANARY);
    while (!rip__load(&board->stop))
        acts_do(a, pick(&seed, acts_count));
    for (size_t i = 0; i < CANARY; i++)
        CHECK_INT(canary[i], ==, 0xa5);
    free(canary);
    return NULL;
}

static void work_together(struct acts *a)
{
    pthread_t other;
    CHECK_INT(pthread_create(&other, NULL, work, &a[1]), ==, 0);
    work(&a[0]);
    CHECK_INT(pthread_join(other, NULL), ==, 0);
}

static pid_t start(int worker, unsigned seed)
{
    struct acts *a = board->acts[worker];
    for (unsigned i = 0; i < THREADS; i++)
        a[i] = (struct acts){ .segment = segment,
                              .objects = objects,
                              .wait_ns = 2000000,
                              .turn = seed + i };
    pid_t pid = fork();
    CHECK_INT(pid, >=, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        work_together(a);
        _exit(0);
    }
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), ==, pid);
}

/* ---- the neighbour ---------------------------------------------------- */

static size_t place_in(size_t at, size_t len, unsigned *seed)
{
    return at + pick(seed, len);
}

static size_t place(unsigned *seed)
{
    const struct rip__layout *l = &segment->layout;
    uint32_t slot = 1 + pick(seed, 12);
    size_t o = (size_t)((unsigned char *)objects - segment->base);
    switch (pick(seed, 8)) {
    case 0:
        return place_in(0, sizeof(struct rip__header), seed);
    case 1:
    case 2:
        return place_in(slot * l->page, sizeof(struct rip__slot), seed);
    case 3: /* how its life word stands */
        return place_in((slot + 1) * l->page - 40, 40, seed);
    case 4:
        return place_in(l->names_at, 4 * sizeof(struct rip__name), seed);
    case 5:
        return place_in(l->units_at, 64 * sizeof(struct rip__unit), seed);
    case 6:
        return place_in(l->map_at, 64, seed);
    default:
        return place_in(o, sizeof *objects, seed);
    }
}

static uint64_t value(unsigned *seed)
{
    const struct rip__domain *d = segment->domain;
    uint32_t slot = pick(seed, 16);
    uint64_t g = rip__generation(rip__slot(d, slot)->claim);
    uint64_t somewhere = place(seed) & ~(uint64_t)7;
    const uint64_t values[] = {
        0,
        ~UINT64_C(0),
        rip__identity(g, slot) | pick(seed, 8),
        rip__identity(g + 1, slot),
        segment->layout.size - (size_t)pick(seed, 3) * 8,
        somewhere | (uint64_t)pick(seed, 8) << 61,
        somewhere,
        (uint64_t)rand_r(seed) << 40 | (uint64_t)rand_r(seed) << 15,
    };
    return values[pick(seed, sizeof values / sizeof *values)];
}

static void scribble(unsigned *seed)
{
    size_t at = place(seed);
    unsigned char *p = segment->base + at;
    uint64_t *word = (void *)(segment->base + (at & ~(size_t)7));
    switch (pick(seed, 4)) {
    case 0:
        rip__store_relaxed(p, (unsigned char)(*p ^ 1u << pick(seed, 8)));
        break;
    case 1:
        rip__store_relaxed(p, (unsigned char)rand_r(seed));
        break;
    default:
        rip__store_relaxed(word, value(seed));
        break;
    }
}

static pid_t start_scribbler(unsigned seed)
{
    pid_t pid = fork();
    CHECK_INT(pid, >=, 0);
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        for (int i = 0; i < 8; i++)
            scribble(&seed);
        sched_yield();
    }
}

/* ---- a round ---------------------------------------------------------- */

static struct acts any(void)
{
    return (struct acts){ .segment = segment, .objects = objects };
}

/* One after the other has a short life. Meanwhile those are let go who wait
 * without a deadline for one who was said to hold something. */
static void live_and_die(unsigned seed)
{
    rip_time last = rip_time_now() + ROUND_NS;
    struct acts a = any();
    while (rip_time_now() < last) {
        pid_t victim = start(WORKERS, ++seed);
        rip_time until = rip_time_now() + LIFE_NS;
        while (rip_time_now() < until) {
            acts_heal(&a);
            sched_yield();
        }
        end(victim);
    }
}

/* Where the others are, if they do not come to an end: then the deadline of
 * the test shows it. */
static void complain(int worker, unsigned seed)
{
    const struct acts *a = board->acts[worker];
    const char *one = a[0].doing, *two = a[1].doing;
    harness_note("RIPSTOP_SCRIBBLE=%u: a worker stays in %s, %s", seed,
                 one ? one : "nothing", two ? two : "nothing");
}

static void await(int worker, pid_t pid, unsigned seed)
{
    struct acts a = any();
    int status, r;
    rip_time late = rip_time_now() + (rip_time)(harness_scale(5) * 1e9);
    while ((r = waitpid(pid, &status, WNOHANG)) == 0) {
        acts_heal(&a);
        if (rip_time_now() > late)
            complain(worker, seed);
        sched_yield();
    }
    CHECK_INT(r, ==, pid);
    if (WIFSIGNALED(status))
        FAIL("a worker was ended by signal %d", WTERMSIG(status));
    CHECK_INT(status, ==, 0);
}

static void play(unsigned seed)
{
    const struct rip_segment_options o = { .size = 512 << 10, .members = 40 };
    pid_t pids[WORKERS];
    harness_note("RIPSTOP_SCRIBBLE=%u", seed);
    CHECK_OK(rip_segment_new(&segment, &o));
    objects = acts_prepare(segment);
    memset(board, 0, sizeof *board);
    for (int i = 0; i < WORKERS; i++)
        pids[i] = start(i, seed * 100 + (unsigned)i * 10);
    pid_t scribbler = start_scribbler(seed);
    live_and_die(seed);
    end(scribbler);
    rip__store(&board->stop, 1);
    for (int i = 0; i < WORKERS; i++)
        await(i, pids[i], seed);
    segment = rip_segment_close(segment);
}

TEST_WITH(members_work_while_one_scribbles, .deadline = 240)
{
    const char *asked = getenv("RIPSTOP_SCRIBBLE");
    int n = asked ? 1 : harness_rounds(4);
    unsigned seed = asked ? (unsigned)strtoul(asked, NULL, 0)
                          : (unsigned)(rip_time_now() / 1000) * 1000u;
    rip__look_again_ns = 20000000;
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(board != MAP_FAILED);
    for (int i = 0; i < n; i++)
        play(seed + (unsigned)i);
    munmap(board, sizeof *board);
}
