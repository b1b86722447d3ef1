/* SPDX-License-Identifier: MIT */
/*
 * The counting word, played through: members are coroutines which may be
 * stopped before each access to what they share, for a while or for good. So
 * every point at which one can be killed is tried, every way in which two can
 * come between each other with two switches, and very many with more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "harness.h"
#include "segment/segment.h"

static void step(void);
static bool is_gone(uint32_t index);

/* What count.c does with shared memory, with a step before each; but not for
 * what was never used, which is most of a slot. */
#define stepped(p) ((void)(*(p) != 0 ? step() : (void)0))
#undef rip__load
#define rip__load(p) (stepped(p), __atomic_load_n((p), __ATOMIC_ACQUIRE))
#undef rip__store
#define rip__store(p, v) (step(), __atomic_store_n((p), (v), __ATOMIC_RELEASE))
static bool stepped_cas(uint64_t *p, uint64_t *seen, uint64_t to)
{
    step();
    return rip__cas(p, seen, to);
}
#define rip__cas(p, seen, to)          stepped_cas((p), (seen), (to))
#define rip__process_is_gone(d, index) is_gone(index)
#define rip__wake(shared, word, n)     ((void)(word))
#define rip__object(d, key, size)      ((void *)((d)->base + (key)))
#define rip__domain_of(c)              (&domain)

static struct rip__domain domain;

/* NOLINTNEXTLINE(bugprone-suspicious-include): to put the above into it */
#include "segment/count.c"

/* ---- members ---------------------------------------------------------- */

enum { MEMBERS = 4, STACK = 64 << 10, STEPS = 100000, MAX = 2 };

/* Members 1 and 2 are threads of one process. */
static const uint32_t pids[MEMBERS + 1] = { 0, 10, 10, 11, 12 };

static struct member {
    struct rip__me me;
    ucontext_t context;
    char *stack;
    void (*play)(struct member *m);
    int held; /* by its own account */
    bool runs, dead;
    int steps;
} members[MEMBERS + 1];

static struct member *running;
static ucontext_t scheduler;
static struct rip__count *count;
static void (*in_between)(void); /* runs before step `in_between_at` */
static int in_between_at;

static void step(void)
{
    struct member *m = running;
    if (!m)
        return;
    if (++m->steps == in_between_at && in_between)
        in_between();
    CHECK_INT(m->steps, <, STEPS);
    swapcontext(&m->context, &scheduler);
}

static bool is_gone(uint32_t index)
{
    bool gone = true;
    for (uint32_t i = 1; i <= MEMBERS; i++)
        gone = gone && (pids[i] != pids[index] || members[i].dead);
    return gone;
}

static void set_up(unsigned value)
{
    domain.stride = sizeof(struct rip__slot) + 64;
    domain.stride -= domain.stride % 64;
    domain.n_slots = MEMBERS + 1;
    domain.size = domain.stride * domain.n_slots + sizeof *count;
    domain.shared = true;
    if (!domain.base)
        domain.base = aligned_alloc(64, (domain.size + 63) / 64 * 64);
    memset(domain.base, 0, domain.size);
    rip__roll(&domain)->slots_used = MEMBERS + 1;
    count = (void *)(domain.base + domain.stride * domain.n_slots);
    *count = (struct rip__count){ .max = MAX, .incarnation = 7 };
    count->word = (uint64_t)value << VALUE_AT;
    for (uint32_t i = 1; i <= MEMBERS; i++) {
        struct member *m = &members[i];
        char *stack = m->stack ? m->stack : malloc(STACK);
        *m = (struct member){ .stack = stack };
        m->me.domain = &domain;
        m->me.slot = rip__slot(&domain, i);
        m->me.index = i;
        m->me.slot->pid = pids[i];
        m->me.slot->pstart = pids[i];
    }
    running = NULL;
    in_between = NULL;
}

static void tear_down(void)
{
    for (int i = 1; i <= MEMBERS; i++)
        free(members[i].stack);
    free(domain.base);
}

static void begin(void)
{
    struct member *m = running;
    m->play(m);
    m->runs = false;
    swapcontext(&m->context, &scheduler);
}

static void start(int i, void (*play)(struct member *m))
{
    struct member *m = &members[i];
    m->play = play;
    m->runs = true;
    m->steps = 0;
    getcontext(&m->context);
    m->context.uc_stack.ss_sp = m->stack;
    m->context.uc_stack.ss_size = STACK;
    m->context.uc_link = NULL;
    makecontext(&m->context, begin, 0);
}

/* Up to n accesses of a member; its first run takes it before the first. */
static void run(int i, int n)
{
    struct member *m = &members[i];
    while (n-- > 0 && m->runs && !m->dead) {
        running = m;
        swapcontext(&scheduler, &m->context);
        running = NULL;
    }
}

/* ---- what they do ----------------------------------------------------- */

static void take_one(struct member *m)
{
    int r = rip__count_take(&m->me, count, false, NULL);
    CHECK_INT(r, >=, 0);
    m->held += r;
}

static void give_one(struct member *m)
{
    int r = rip__count_give(&m->me, count, 1);
    CHECK(r == 0 || r == -EOVERFLOW);
    if (r == 0)
        m->held--;
}

/* As a thread that is no member, or a signal handler before it was one. */
static void give_as_nobody(struct member *m)
{
    int r = rip__count_give(NULL, count, 1);
    CHECK(r == 0 || r == -EOVERFLOW);
    if (r == 0)
        m->held--;
}

static void sweep_all(struct member *m)
{
    (void)m;
    for (uint32_t i = 1; i <= MEMBERS; i++)
        if (members[i].dead)
            rip__count_sweep(&domain, i);
}

static void take_and_give(struct member *m)
{
    take_one(m);
    if (m->held > 0)
        give_one(m);
    take_one(m);
}

static void (*const plays[])(struct member *m) = {
    take_one, give_one, give_as_nobody, sweep_all, take_and_give,
};
enum { PLAYS = sizeof plays / sizeof *plays };

/* ---- what must be so afterwards --------------------------------------- */

static unsigned recorded(uint32_t i)
{
    unsigned n = 0;
    for (int k = 0; k < RIP__RECORDS; k++) {
        uint64_t s = members[i].me.slot->records[k].state;
        CHECK_INT(phase_of(s), ==, IDLE);
        n += count_of(s);
    }
    return n;
}

/* Everything is settled, and nothing has been lost or doubled. What the dead
 * had is back, and the living have what they think, all in all: a permit that
 * was given for another has only changed hands. */
static void check(unsigned total)
{
    running = NULL;
    unsigned out = 0;
    int held = 0;
    bool any_dead = false;
    for (uint32_t i = 1; i <= MEMBERS; i++) {
        bool all = rip__count_sweep(&domain, i);
        any_dead = any_dead || members[i].dead;
        if (is_gone(i))
            CHECK(all);
    }
    for (uint32_t i = 1; i <= MEMBERS; i++) {
        out += recorded(i);
        held += members[i].held;
    }
    CHECK_INT(out + value_of(count->word), ==, total);
    if (!any_dead)
        CHECK_INT(held, ==, out);
    CHECK_INT(value_of(count->word), <=, MAX);
}

/* ---- one is killed ---------------------------------------------------- */

/* Before the first member's play, so that there are records of all kinds. */
static void prepare(int how)
{
    for (int i = 1; i <= 2; i++)
        if (how >> (i - 1) & 1) {
            take_one(&members[i]);
            if (how >> 2 & 1) { /* and so that it is noted */
                running = NULL;
                rip__count_sweep(&domain, (uint32_t)i);
            }
        }
}

TEST(nothing_is_lost_wherever_one_is_killed)
{
    for (int how = 0; how < 8; how++)
        for (int p = 0; p < PLAYS; p++)
            for (int k = 1;; k++) {
                harness_note("state %d, play %d, killed at step %d", how, p, k);
                set_up(MAX);
                prepare(how);
                start(1, plays[p]);
                run(1, k);
                bool over = !members[1].runs;
                members[1].dead = members[2].dead = true;
                sweep_all(NULL);
                check(MAX);
                if (over)
                    break;
            }
    tear_down();
}

/* The sweep itself is killed, at each of its steps, and another does it. */
TEST(a_sweep_that_is_killed_is_done_by_the_next)
{
    for (int how = 0; how < 8; how++)
        for (int p = 0; p < PLAYS; p++)
            for (int k = 1; k < 24; k++)
                for (int s = 1;; s++) {
                    harness_note("state %d, play %d, step %d, sweep %d", how, p,
                                 k, s);
                    set_up(MAX);
                    prepare(how);
                    start(1, plays[p]);
                    run(1, k);
                    members[1].dead = members[2].dead = true;
                    start(3, sweep_all);
                    run(3, s);
                    bool over = !members[3].runs;
                    members[3].dead = true;
                    start(4, sweep_all);
                    run(4, STEPS);
                    check(MAX);
                    if (over)
                        break;
                }
    tear_down();
}

/* A sweep is stopped anywhere, another ends the work, and the slot has a new
 * member with a permit of its own when the first goes on. */
TEST(a_sweep_that_is_late_robs_nobody)
{
    for (int s = 1;; s++) {
        harness_note("at step %d", s);
        set_up(MAX);
        prepare(7);
        members[1].dead = members[2].dead = true;
        start(3, sweep_all);
        run(3, s);
        bool over = !members[3].runs;
        start(4, sweep_all);
        run(4, STEPS);
        CHECK_INT(value_of(count->word), ==, MAX);
        members[1].me.slot->claim += 1 << 24;
        members[1].dead = false;
        members[1].held = 0;
        take_one(&members[1]);
        run(3, STEPS);
        rip__count_sweep(&domain, 1);
        CHECK_INT(recorded(1), ==, 1);
        CHECK_INT(value_of(count->word), ==, MAX - 1);
        if (over)
            break;
    }
    tear_down();
}

/* ---- two, between each other ------------------------------------------ */

struct pair {
    int how, p, q, i, j;
};

/* How all this ends does not depend on the clock, only how long it takes; so
 * the deadline is one of a part of it, for loops that do not end. */
static void next_part(void)
{
    harness_extend(60);
}

/* One goes i steps, the other j, then the one to its end, or it is killed
 * there; then the other. */
static void play_pair(const struct pair *x, int other, int kill, unsigned total)
{
    start(1, plays[x->p]);
    run(1, x->i);
    start(other, plays[x->q]);
    run(other, x->j);
    if (kill == 1)
        members[1].dead = members[2].dead = true;
    if (kill == 2)
        members[other].dead = members[other == 2 ? 1 : other].dead = true;
    run(1, STEPS);
    run(other, STEPS);
    sweep_all(NULL);
    check(total);
}

static void each_pair(int other, int kill, unsigned value)
{
    enum { FAR = 28 };
    struct pair x;
    for (x.how = 0; x.how < (value ? 8 : 1); x.how++)
        for (x.p = 0; x.p < PLAYS; x.p++)
            for (x.q = 0; x.q < PLAYS; x.q++)
                for (x.i = 1; x.i < FAR; x.i++, next_part())
                    for (x.j = 1; x.j < FAR; x.j++) {
                        harness_note("state %d, %d to %d, %d to %d, kill %d",
                                     x.how, x.p, x.i, x.q, x.j, kill);
                        set_up(value);
                        prepare(x.how);
                        play_pair(&x, other, kill, MAX);
                    }
}

TEST_WITH(two_threads_of_a_process_between_each_other, .deadline = 60)
{
    each_pair(2, 0, MAX);
    tear_down();
}

TEST_WITH(two_processes_between_each_other, .deadline = 60)
{
    each_pair(3, 0, MAX);
    tear_down();
}

TEST_WITH(two_and_the_first_is_killed, .deadline = 60)
{
    each_pair(3, 1, MAX);
    tear_down();
}

TEST_WITH(two_and_the_second_is_killed, .deadline = 60)
{
    each_pair(3, 2, MAX);
    tear_down();
}

/* ---- a signal handler ------------------------------------------------- */

static struct member *interrupted;

static void handler(void)
{
    struct member *m = running;
    running = NULL; /* in one go */
    give_one(m);
    running = m;
}

TEST(a_handler_releases_in_the_middle_of_anything)
{
    for (int how = 0; how < 8; how++)
        for (int p = 0; p < PLAYS; p++)
            for (int k = 1;; k++) {
                harness_note("state %d, play %d, at step %d", how, p, k);
                set_up(MAX);
                prepare(how);
                in_between = handler;
                in_between_at = k;
                start(1, plays[p]);
                run(1, STEPS);
                CHECK(!members[1].runs);
                int steps = members[1].steps;
                interrupted = &members[1];
                check(MAX);
                if (steps < k)
                    break;
            }
    tear_down();
}

/* ---- many ------------------------------------------------------------- */

static uint32_t seed;

static uint32_t any(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % below;
}

static void play_at_random(void)
{
    for (int i = 1; i <= MEMBERS; i++)
        start(i, plays[any(PLAYS)]);
    for (int left = 200; left > 0; left--) {
        int i = 1 + (int)any(MEMBERS);
        if (!members[i].runs && !members[i].dead)
            start(i, plays[any(PLAYS)]);
        run(i, 1 + (int)any(12));
        if (any(150) == 0) /* with its siblings, as a process dies */
            for (int k = 1; k <= MEMBERS; k++)
                members[k].dead = members[k].dead || pids[k] == pids[i];
    }
    for (int i = 1; i <= MEMBERS; i++)
        run(i, STEPS);
    start(4, sweep_all);
    sweep_all(NULL);
}

TEST_WITH(four_in_any_order_with_deaths, .deadline = 60)
{
    int rounds = harness_rounds(20000);
    for (int i = 1; i <= rounds; i++) {
        next_part();
        seed = (uint32_t)i * 2654435761u;
        harness_note("round %d", i);
        set_up(MAX);
        play_at_random();
        check(MAX);
    }
    tear_down();
}
