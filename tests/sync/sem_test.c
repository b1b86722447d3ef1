/* SPDX-License-Identifier: MIT */
#include <ripstop/sem.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "sync/world.h"

static rip_sem *new_sem(enum kind kind, unsigned value, unsigned max)
{
    rip_sem *s = object(kind, sizeof *s);
    rip_sem_init(s, value, max);
    return s;
}

/* ---- what it is ------------------------------------------------------- */

BOTH(permits_are_taken_and_given, 0)
{
    rip_sem *s = new_sem(kind, 2, 2);
    CHECK_INT(rip_sem_value(s), ==, 2);
    CHECK_INT(rip_sem_acquire(s, RIP_NOW), ==, 0);
    CHECK_INT(rip_sem_acquire(s, RIP_FOREVER), ==, 0);
    CHECK_INT(rip_sem_value(s), ==, 0);
    CHECK_ERR(rip_sem_acquire(s, RIP_NOW), -ETIMEDOUT);
    CHECK_INT(rip_sem_release(s, 1), ==, 0);
    CHECK_INT(rip_sem_acquire(s, RIP_NOW), ==, 0);
    CHECK_INT(rip_sem_release(s, 2), ==, 0);
    CHECK_INT(rip_sem_value(s), ==, 2);
    CHECK_ERR(rip_sem_release(s, 1), -EOVERFLOW);
    CHECK_INT(rip_sem_release(s, 0), ==, 0);
    CHECK_INT(rip_sem_value(s), ==, 2);
}

BOTH(a_zeroed_one_counts_signals, 0)
{
    rip_sem *s = object(kind, sizeof *s);
    CHECK_ERR(rip_sem_acquire(s, RIP_NOW), -ETIMEDOUT);
    CHECK_INT(rip_sem_release(s, 3), ==, 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(rip_sem_acquire(s, RIP_NOW), ==, 0);
    CHECK_ERR(rip_sem_acquire(s, RIP_NOW), -ETIMEDOUT);
    CHECK_INT(rip_sem_release(s, RIP_SEM_VALUE_MAX), ==, 0);
    CHECK_ERR(rip_sem_release(s, 1), -EOVERFLOW);
    CHECK_INT(rip_sem_value(s), ==, RIP_SEM_VALUE_MAX);
}

BOTH(one_that_began_with_less_rises_to_max, 0)
{
    rip_sem *s = new_sem(kind, 0, 3);
    CHECK_ERR(rip_sem_acquire(s, RIP_NOW), -ETIMEDOUT);
    CHECK_INT(rip_sem_release(s, 2), ==, 0);
    CHECK_INT(rip_sem_release(s, 1), ==, 0);
    CHECK_ERR(rip_sem_release(s, 1), -EOVERFLOW);
    CHECK_INT(rip_sem_acquire(s, RIP_NOW), ==, 0);
    CHECK_ERR(rip_sem_release(s, 2), -EOVERFLOW);
    CHECK_INT(rip_sem_value(s), ==, 2);
    CHECK_INT(rip_sem_release(s, 1), ==, 0);
}

BOTH(the_largest_numbers, 0)
{
    rip_sem *s = new_sem(kind, RIP_SEM_MAX, RIP_SEM_MAX);
    for (int i = 0; i < 1000; i++)
        CHECK_INT(rip_sem_acquire(s, RIP_NOW), ==, 0);
    CHECK_ERR(rip_sem_release(s, 1001), -EOVERFLOW);
    CHECK_INT(rip_sem_release(s, 999), ==, 0);
    CHECK_INT(rip_sem_value(s), ==, RIP_SEM_MAX - 1);
    rip_sem_init(s, RIP_SEM_VALUE_MAX, 0);
    CHECK_INT(rip_sem_value(s), ==, RIP_SEM_VALUE_MAX);
}

BOTH(a_deadline_is_kept, 0)
{
    rip_sem *s = new_sem(kind, 0, 1);
    rip_time deadline = rip_after_ms(30);
    CHECK_ERR(rip_sem_acquire(s, deadline), -ETIMEDOUT);
    CHECK(rip_time_now() >= deadline);
    CHECK_ERR(rip_sem_acquire(s, deadline), -ETIMEDOUT);
    CHECK_INT(rip_sem_release(s, 1), ==, 0);
    CHECK_INT(rip_sem_acquire(s, deadline), ==, 0);
}

/* ---- waiting ---------------------------------------------------------- */

static int acquire(void *s)
{
    return rip_sem_acquire(s, RIP_FOREVER);
}

static int acquire_in_vain(void *s)
{
    return rip_sem_acquire(s, rip_after_ms(20)) == -ETIMEDOUT ? 0 : 1;
}

static void a_release_wakes(enum kind kind, unsigned max)
{
    only_woken();
    enum { N = 5 };
    struct player a[N];
    rip_sem *s = new_sem(kind, 0, max);
    for (int i = 0; i < N; i++)
        player_start(&a[i], kind, acquire, s);
    until_waiting(s, N);
    CHECK_INT(rip_sem_release(s, 2), ==, 0);
    CHECK_INT(rip_sem_release(s, N - 2), ==, 0);
    for (int i = 0; i < N; i++)
        CHECK_INT(player_end(&a[i]), ==, 0);
    if (max == 0)
        CHECK_INT(rip_sem_value(s), ==, 0);
}

BOTH(a_release_wakes_as_many_as_it_gives, 0)
{
    a_release_wakes(kind, 0);
    a_release_wakes(kind, 8);
}

BOTH(who_gives_up_leaves_no_other_asleep, 0)
{
    struct player a, b;
    only_woken();
    rip_sem *s = new_sem(kind, 0, 4);
    player_start(&b, kind, acquire, s);
    until_waiting(s, 1);
    for (int i = 0; i < 3; i++) {
        player_start(&a, kind, acquire_in_vain, s);
        CHECK_INT(player_end(&a), ==, 0);
    }
    CHECK_INT(rip_sem_release(s, 1), ==, 0);
    CHECK_INT(player_end(&b), ==, 0);
}

/* ---- whose permit it is ----------------------------------------------- */

struct scene {
    rip_sem *sem;
    atomic_int *told;
};

static int hold_for_ever(void *arg)
{
    const struct scene *x = arg;
    if (rip_sem_acquire(x->sem, RIP_FOREVER) < 0)
        return 1;
    atomic_fetch_add(x->told, 1);
    for (;;)
        pause();
}

static struct scene scene(enum kind kind, unsigned value, unsigned max)
{
    return (struct scene){ new_sem(kind, value, max),
                           board(sizeof(atomic_int)) };
}

WORLD(a_killed_holders_permits_come_back_at_once, 0)
{
    only_woken();
    enum { N = 3 };
    struct player a[N], b[N];
    struct scene x = scene(PROCESSES, N, N);
    for (int i = 0; i < N; i++)
        player_start(&a[i], PROCESSES, hold_for_ever, &x);
    until_at_least(x.told, N);
    for (int i = 0; i < N; i++)
        player_start(&b[i], PROCESSES, acquire, x.sem);
    until_waiting(x.sem, N);
    for (int i = 0; i < N; i++)
        player_kill(&a[i]);
    for (int i = 0; i < N; i++)
        CHECK_INT(player_end(&b[i]), ==, 0);
    /* Those are gone as well, without having released. */
    for (int i = 0; i < N; i++)
        CHECK_INT(rip_sem_acquire(x.sem, RIP_FOREVER), ==, 0);
    CHECK_ERR(rip_sem_acquire(x.sem, RIP_NOW), -ETIMEDOUT);
}

WORLD(a_zombie_holds_nothing, 0)
{
    struct player a;
    struct scene x = scene(PROCESSES, 1, 1);
    player_start(&a, PROCESSES, hold_for_ever, &x);
    until_at_least(x.told, 1);
    CHECK_INT(kill(a.pid, SIGKILL), ==, 0);
    CHECK_INT(rip_sem_acquire(x.sem, RIP_FOREVER), ==, 0);
    CHECK_INT(waitpid(a.pid, NULL, 0), ==, a.pid);
}

/* And nobody else waits, who would look for the dead. */
WORLD(who_only_tries_gets_what_the_dead_had, 0)
{
    struct player a;
    struct scene x = scene(PROCESSES, 1, 1);
    CHECK_INT(rip_sem_acquire(x.sem, RIP_NOW), ==, 0);
    CHECK_INT(rip_sem_release(x.sem, 1), ==, 0);
    player_start(&a, PROCESSES, hold_for_ever, &x);
    until_at_least(x.told, 1);
    CHECK_ERR(rip_sem_acquire(x.sem, RIP_NOW), -ETIMEDOUT);
    player_kill(&a);
    CHECK_INT(rip_sem_acquire(x.sem, RIP_NOW), ==, 0);
    CHECK_ERR(rip_sem_acquire(x.sem, RIP_NOW), -ETIMEDOUT);
}

WORLD(a_stopped_holder_keeps_its_permit, 0)
{
    struct player a;
    struct scene x = scene(PROCESSES, 1, 1);
    player_start(&a, PROCESSES, hold_for_ever, &x);
    until_at_least(x.told, 1);
    CHECK_INT(kill(a.pid, SIGSTOP), ==, 0);
    CHECK_INT(waitpid(a.pid, NULL, WUNTRACED), ==, a.pid);
    CHECK_ERR(rip_sem_acquire(x.sem, rip_after_ms(500)), -ETIMEDOUT);
    player_kill(&a);
    CHECK_INT(rip_sem_acquire(x.sem, RIP_FOREVER), ==, 0);
}

WORLD(a_killed_waiter_takes_nothing_with_it, 0)
{
    struct player a, b;
    rip_sem *s = new_sem(PROCESSES, 0, 2);
    player_start(&a, PROCESSES, acquire, s);
    until_waiting(s, 1);
    player_start(&b, PROCESSES, acquire, s);
    until_waiting(s, 2);
    CHECK_INT(kill(a.pid, SIGSTOP), ==, 0);
    CHECK_INT(waitpid(a.pid, NULL, WUNTRACED), ==, a.pid);
    CHECK_INT(rip_sem_release(s, 1), ==, 0); /* wakes one who cannot run? */
    player_kill(&a);
    CHECK_INT(player_end(&b), ==, 0);
    CHECK_INT(rip_sem_acquire(s, RIP_FOREVER), ==, 0); /* b has ended */
}

static void *acquire_and_end(void *s)
{
    CHECK_INT(rip_sem_acquire(s, RIP_FOREVER), ==, 0);
    return NULL;
}

static int permits_of_an_ended_thread(void *arg)
{
    pthread_t t;
    rip_sem *s = arg;
    CHECK_INT(pthread_create(&t, NULL, acquire_and_end, s), ==, 0);
    CHECK_INT(pthread_join(t, NULL), ==, 0);
    CHECK_ERR(rip_sem_acquire(s, rip_after_ms(400)), -ETIMEDOUT);
    CHECK_INT(rip_sem_release(s, 1), ==, 0);
    CHECK_INT(pthread_create(&t, NULL, acquire_and_end, s), ==, 0);
    CHECK_INT(pthread_join(t, NULL), ==, 0);
    return 0;
}

/* A permit is the process's: the thread that took it may end, and another may
 * give it back; only the end of the process does by itself. */
WORLD(a_permit_outlives_the_thread_that_took_it, 0)
{
    struct player a;
    rip_sem *s = new_sem(PROCESSES, 1, 1);
    player_start(&a, PROCESSES, permits_of_an_ended_thread, s);
    CHECK_INT(player_end(&a), ==, 0);
    CHECK_INT(rip_sem_acquire(s, RIP_FOREVER), ==, 0);
}

static int release_one(void *s)
{
    return rip_sem_release(s, 1);
}

WORLD(a_permit_is_handed_over_to_a_child, 0)
{
    struct player a;
    rip_sem *s = new_sem(PROCESSES, 2, 2);
    CHECK_INT(rip_sem_acquire(s, RIP_NOW), ==, 0);
    CHECK_INT(rip_sem_acquire(s, RIP_NOW), ==, 0);
    player_start(&a, PROCESSES, release_one, s);
    CHECK_INT(player_end(&a), ==, 0);
    CHECK_INT(rip_sem_value(s), ==, 1);
    CHECK_INT(rip_sem_release(s, 1), ==, 0);
    CHECK_ERR(rip_sem_release(s, 1), -EOVERFLOW);
}

/* A child of fork(2) has none of what its parent has: its end gives back
 * nothing of it. */
static int be_born_and_die(void *arg)
{
    CHECK_ERR(rip_sem_acquire(arg, RIP_NOW), -ETIMEDOUT);
    return 0;
}

WORLD(a_child_does_not_hold_what_its_parent_does, 0)
{
    struct player a;
    rip_sem *s = new_sem(PROCESSES, 1, 1);
    CHECK_INT(rip_sem_acquire(s, RIP_NOW), ==, 0);
    player_start(&a, PROCESSES, be_born_and_die, s);
    CHECK_INT(player_end(&a), ==, 0);
    CHECK_ERR(rip_sem_acquire(s, rip_after_ms(400)), -ETIMEDOUT);
}

WORLD(one_made_anew_gets_nothing_of_the_old_one, 0)
{
    struct player a;
    struct scene x = scene(PROCESSES, 1, 2);
    player_start(&a, PROCESSES, hold_for_ever, &x);
    until_at_least(x.told, 1);
    rip_sem_init(x.sem, 0, 2);
    player_kill(&a);
    CHECK_ERR(rip_sem_acquire(x.sem, rip_after_ms(500)), -ETIMEDOUT);
    CHECK_INT(rip_sem_value(x.sem), ==, 0);
}

WORLD(many_semaphores_one_after_the_other, 0)
{
    enum { N = 100, AT_ONCE = 32 };
    rip_sem *s = object(PROCESSES, N * sizeof *s);
    for (int i = 0; i < N; i++) {
        rip_sem_init(&s[i], 1, 1);
        CHECK_INT(rip_sem_acquire(&s[i], RIP_NOW), ==, 0);
        CHECK_INT(rip_sem_release(&s[i], 1), ==, 0);
    }
    for (int i = 0; i < AT_ONCE; i++)
        CHECK_INT(rip_sem_acquire(&s[i], RIP_NOW), ==, 0);
    CHECK_ERR(rip_sem_acquire(&s[AT_ONCE], RIP_NOW), -ENOMEM);
    CHECK_INT(rip_sem_release(&s[3], 1), ==, 0);
    CHECK_INT(rip_sem_acquire(&s[AT_ONCE], RIP_NOW), ==, 0);
    CHECK_INT(rip_sem_value(&s[3]), ==, 1);
}

/* ---- misuse ----------------------------------------------------------- */

static void init_wrongly(void *s)
{
    rip_sem_init(s, 3, 2);
}

WORLD(a_value_above_max, 0)
{
    rip_sem heap = { 0 };
    check_misuse(init_wrongly, &heap,
                 "ripstop: rip_sem_init: the value or max is too large\n");
    rip_sem *s = object(PROCESSES, sizeof *s);
    rip_sem_init(s, 3, 2);
    CHECK_ERR(rip_sem_acquire(s, RIP_NOW), -EBADMSG);
    CHECK_ERR(rip_sem_release(s, 1), -EBADMSG);
    rip_sem_init(s, 0, RIP_SEM_MAX + 1);
    CHECK_ERR(rip_sem_acquire(s, RIP_FOREVER), -EBADMSG);
}

WORLD(nonsense_in_the_word, 0)
{
    rip_sem *s = new_sem(PROCESSES, 1, 2);
    CHECK_INT(rip_sem_acquire(s, RIP_NOW), ==, 0);
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 100000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        s->word = x;
        int r = rip_sem_acquire(s, RIP_NOW);
        CHECK(r == 0 || r == -EBADMSG || r == -ETIMEDOUT);
        s->word = x & ~(uint64_t)0x1fffffc;
        r = rip_sem_acquire(s, RIP_NOW);
        CHECK(r == 0 || r == -EBADMSG || r == -ETIMEDOUT);
        r = rip_sem_release(s, 1);
        CHECK(r == 0 || r == -EBADMSG || r == -EOVERFLOW);
    }
}

/* ---- signals ---------------------------------------------------------- */

static rip_sem *signalled;

static void release_in_handler(int sig)
{
    (void)sig;
    rip_sem_release(signalled, 1);
}

/* The handler gives while its own thread is anywhere in taking. */
static void give_from_a_handler(rip_sem *s)
{
    struct sigaction old, act = { .sa_handler = release_in_handler };
    const struct itimerval on = { { 0, 300 }, { 0, 300 } }, off = { 0 };
    signalled = s;
    CHECK_INT(sigaction(SIGALRM, &act, &old), ==, 0);
    CHECK_INT(setitimer(ITIMER_REAL, &on, NULL), ==, 0);
    for (int i = 0; i < 500; i++)
        CHECK_INT(rip_sem_acquire(s, RIP_FOREVER), ==, 0);
    CHECK_INT(setitimer(ITIMER_REAL, &off, NULL), ==, 0);
    CHECK_INT(sigaction(SIGALRM, &old, NULL), ==, 0);
}

BOTH(a_handler_gives_in_the_middle_of_an_acquire, 0)
{
    give_from_a_handler(new_sem(kind, 0, 0));
}

WORLD(a_handler_gives_a_permit_in_the_middle_of_an_acquire, 0)
{
    rip_sem *s = new_sem(PROCESSES, 1, 1);
    give_from_a_handler(s);
    if (rip_sem_acquire(s, RIP_NOW) == -ETIMEDOUT)
        CHECK_INT(rip_sem_release(s, 1), ==, 0);
    CHECK_INT(rip_sem_value(s) <= 1, ==, 1);
}

/* ---- many at once ----------------------------------------------------- */

struct crowd {
    rip_sem *sem;
    atomic_int *inside;
    int limit, rounds;
};

static int come_and_go(void *arg)
{
    const struct crowd *c = arg;
    for (int i = 0; i < c->rounds; i++) {
        if (rip_sem_acquire(c->sem, RIP_FOREVER) < 0 ||
            atomic_fetch_add(c->inside, 1) >= c->limit)
            return 1;
        atomic_fetch_sub(c->inside, 1);
        if (rip_sem_release(c->sem, 1) < 0)
            return 2;
    }
    return 0;
}

BOTH(never_more_than_max_are_inside, 40)
{
    enum { N = 6 };
    struct player a[N];
    struct crowd c = { new_sem(kind, 2, 2), board(sizeof(atomic_int)), 2,
                       20000 };
    for (int i = 0; i < N; i++)
        player_start(&a[i], kind, come_and_go, &c);
    for (int i = 0; i < N; i++)
        CHECK_INT(player_end(&a[i]), ==, 0);
    CHECK_INT(rip_sem_value(c.sem), ==, 2);
}

static int come_and_go_for_ever(void *arg)
{
    struct crowd c = *(const struct crowd *)arg;
    c.limit = INT32_MAX;
    c.rounds = INT32_MAX;
    return come_and_go(&c);
}

/* Some are killed all the time, anywhere in what they do. */
WORLD(permits_are_whole_after_many_deaths, 60)
{
    enum { N = 4 };
    struct player a[N];
    struct crowd c = { new_sem(PROCESSES, 3, 3), board(sizeof(atomic_int)), 3,
                       0 };
    int rounds = harness_rounds(300);
    for (int i = 0; i < N; i++)
        player_start(&a[i], PROCESSES, come_and_go_for_ever, &c);
    unsigned x = 1;
    for (int i = 0; i < rounds; i++) {
        x = x * 1103515245 + 12345;
        struct player *one = &a[(x >> 16) % N];
        int seen = atomic_load(c.inside);
        for (unsigned spin = 0; spin < (x >> 20) % 2048; spin++)
            seen += atomic_load(c.inside);
        (void)seen;
        player_kill(one);
        player_start(one, PROCESSES, come_and_go_for_ever, &c);
    }
    for (int i = 0; i < N; i++)
        player_kill(&a[i]);
    for (int i = 0; i < 3; i++)
        CHECK_INT(rip_sem_acquire(c.sem, rip_after(harness_scale(3))), ==, 0);
    CHECK_ERR(rip_sem_acquire(c.sem, RIP_NOW), -ETIMEDOUT);
    CHECK_INT(rip_sem_release(c.sem, 3), ==, 0);
}
