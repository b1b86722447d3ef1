/* SPDX-License-Identifier: MIT */
#include <ripstop/cond.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "base/atomic.h"
#include "fault.h"
#include "scene.h"
#include "segment/segment.h"

struct play {
    rip_lock lock;
    rip_cond cond, other;
    long count, taken;
    int turn, ready, asked, recovered;
};
#define stage ((struct play *)(void *)room)
#define lock  (&stage->lock)
#define cond  (&stage->cond)

static void acquire(void)
{
    CHECK_INT(rip_lock_acquire(lock, RIP_FOREVER), ==, 0);
}

static int wait_once(void *arg)
{
    acquire();
    int r = rip_cond_wait(cond, lock, arg ? rip_after_ms(100) : RIP_FOREVER);
    CHECK(rip_lock_is_mine(lock));
    stage->count++;
    rip_lock_release(lock);
    return r;
}

static void start_waiter(struct actor *a)
{
    actor_start(a, wait_once, NULL);
    actor_wait_sleeps(a);
}

/* ---- semantics -------------------------------------------------------- */

BOTH(wants_the_lock)
{
    CHECK_ERR(rip_cond_wait(cond, lock, RIP_NOW), -EPERM);
    CHECK_ERR(rip_cond_wait_for(cond, lock, NULL, NULL, RIP_NOW), -EPERM);
    CHECK_INT(cond->word, ==, 0);
}

PROCESSES(lock_and_condition_lie_together)
{
    static rip_lock lock_outside;
    static rip_cond cond_outside;
    acquire();
    CHECK_ERR(rip_cond_wait(&cond_outside, lock, RIP_NOW), -EINVAL);
    CHECK_INT(rip_lock_acquire(&lock_outside, RIP_NOW), ==, 0);
    CHECK_ERR(rip_cond_wait(cond, &lock_outside, RIP_NOW), -EINVAL);
    CHECK(rip_lock_is_mine(lock) && rip_lock_is_mine(&lock_outside));
    rip_lock_release(&lock_outside);
    rip_lock_release(lock);
}

BOTH(keeps_deadlines)
{
    acquire();
    CHECK_ERR(rip_cond_wait(cond, lock, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_cond_wait(cond, lock, rip_time_now() - 1), -ETIMEDOUT);
    rip_time deadline = rip_after_ms(20);
    CHECK_ERR(rip_cond_wait(cond, lock, deadline), -ETIMEDOUT);
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK(rip_lock_is_mine(lock));
    rip_lock_release(lock);
}

BOTH(notify_wakes_as_many)
{
    enum { N = 5 };
    struct actor a[N];
    scene_no_second_look();
    for (int i = 0; i < N; i++)
        start_waiter(&a[i]);
    rip_cond_notify(cond, 0);
    CHECK_INT(stage->count, ==, 0);
    rip_cond_notify(cond, 1);
    CHECK_INT(actor_end(&a[0]), ==, 0);
    acquire();
    CHECK_INT(stage->count, ==, 1);
    rip_cond_notify(cond, 2);
    rip_lock_release(lock);
    CHECK_INT(actor_end(&a[1]), ==, 0);
    CHECK_INT(actor_end(&a[2]), ==, 0);
    acquire();
    CHECK_INT(stage->count, ==, 3);
    rip_lock_release(lock);
    rip_cond_notify_all(cond);
    CHECK_INT(actor_end(&a[3]), ==, 0);
    CHECK_INT(actor_end(&a[4]), ==, 0);
}

BOTH(notify_wakes_all_for_a_large_number)
{
    struct actor a[3];
    scene_no_second_look();
    for (int i = 0; i < 3; i++)
        start_waiter(&a[i]);
    rip_cond_notify(cond, ~0u);
    for (int i = 0; i < 3; i++)
        CHECK_INT(actor_end(&a[i]), ==, 0);
}

static struct rip__seam seam;
static __thread int calls; /* of this thread */
static long counting(long nr, const long args[6])
{
    calls++;
    return seam.syscall(nr, args);
}

BOTH(notify_without_waiters_is_no_system_call)
{
    struct actor a;
    acquire();
    rip_lock_release(lock);
    seam = rip__seam;
    rip__seam.syscall = counting;
    rip_cond_notify(cond, 1);
    rip_cond_notify_all(cond);
    CHECK_INT(calls, ==, 0);
    CHECK_INT(cond->word, ==, 0);

    start_waiter(&a);
    calls = 0;
    rip_cond_notify(cond, 1);
    CHECK_INT(calls, ==, 1);
    CHECK_INT(actor_end(&a), ==, 0);
    calls = 0;
    rip_cond_notify(cond, 1); /* does not know yet that there was but one */
    CHECK_INT(calls, ==, 1);
    rip_cond_notify(cond, 1);
    rip_cond_notify_all(cond);
    CHECK_INT(calls, ==, 1);
    rip__seam = seam;
}

/* Who is woken while its lock is held could only fall asleep again. */
BOTH(notify_of_the_holder_wakes_with_the_release)
{
    struct actor a;
    scene_no_second_look();
    start_waiter(&a);
    acquire();
    seam = rip__seam;
    rip__seam.syscall = counting;
    rip_cond_notify(cond, 1);
    CHECK_INT(calls, ==, 0);
    rip_lock_release(lock);
    CHECK_INT(calls, ==, 1);
    CHECK_INT(actor_end(&a), ==, 0);
    calls = 0;
    for (int i = 0; i < 4; i++) {
        acquire();
        rip_cond_notify(cond, 1);
        rip_lock_release(lock);
    }
    CHECK_INT(calls, <=, 1);
    rip__seam = seam;
}

/* Two conditions, each with its waiter, and both are told at once. */
static int wait_other(void *arg)
{
    (void)arg;
    acquire();
    int r = rip_cond_wait(&stage->other, lock, RIP_FOREVER);
    rip_lock_release(lock);
    return r;
}

BOTH(notifies_of_two_conditions_are_kept_apart)
{
    struct actor a, b;
    scene_no_second_look();
    start_waiter(&a);
    actor_start(&b, wait_other, NULL);
    actor_wait_sleeps(&b);
    acquire();
    rip_cond_notify(cond, 1);
    rip_cond_notify(&stage->other, 1);
    rip_lock_release(lock);
    CHECK_INT(actor_end(&a), ==, 0);
    CHECK_INT(actor_end(&b), ==, 0);
}

/* ---- wait_for --------------------------------------------------------- */

static bool is_ready(void *arg)
{
    CHECK(arg == room && rip_lock_is_mine(lock));
    stage->asked++;
    return stage->ready;
}

static int wait_for(rip_time deadline)
{
    return rip_cond_wait_for(cond, lock, is_ready, stage, deadline);
}

BOTH(wait_for_asks_first)
{
    acquire();
    stage->ready = 1;
    CHECK_INT(wait_for(RIP_NOW), ==, 0);
    CHECK_INT(stage->asked, ==, 1);
    stage->ready = 0;
    CHECK_ERR(wait_for(RIP_NOW), -ETIMEDOUT);
    CHECK_INT(stage->asked, ==, 3);
    CHECK_ERR(wait_for(rip_after_ms(10)), -ETIMEDOUT);
    rip_lock_release(lock);
}

static int wait_for_it(void *arg)
{
    (void)arg;
    acquire();
    int r = wait_for(RIP_FOREVER);
    rip_lock_release(lock);
    return r;
}

BOTH(wait_for_goes_on_until_it_is_ready)
{
    struct actor a;
    scene_no_second_look();
    actor_start(&a, wait_for_it, NULL);
    for (int i = 0; i < 3; i++) {
        actor_wait_sleeps(&a);
        acquire();
        stage->ready = i == 2;
        rip_cond_notify(cond, 1);
        rip_lock_release(lock);
    }
    CHECK_INT(actor_end(&a), ==, 0);
    CHECK_INT(stage->asked, >=, 3);
}

/* ---- deaths ----------------------------------------------------------- */

static int notify_and_hold(void *arg)
{
    acquire();
    if (!arg)
        rip_cond_notify(cond, 1);
    actor_stay();
    return 0;
}

BOTH(dead_holder_is_told)
{
    struct actor a, b;
    start_waiter(&a);
    actor_start(&b, notify_and_hold, NULL);
    actor_wait_stays(&b);
    actor_die(&b);
    CHECK_INT(actor_end(&a), ==, RIP_RECOVERED);
    acquire();
    rip_lock_release(lock);
}

BOTH(dead_holder_is_told_at_the_deadline)
{
    struct actor a, b;
    actor_start(&a, wait_once, room); /* 100 ms */
    actor_wait_sleeps(&a);
    actor_start(&b, notify_and_hold, room); /* notifies nobody */
    actor_wait_stays(&b);
    CHECK_ERR(rip_lock_acquire(lock, rip_after_ms(200)), -ETIMEDOUT);
    actor_die(&b);
    int r = rip_lock_acquire(lock, RIP_FOREVER);
    CHECK(r >= 0);
    rip_lock_release(lock);
    CHECK_INT(actor_end(&a), ==, r ? -ETIMEDOUT : RIP_RECOVERED);
}

BOTH(wait_for_does_not_ask_after_a_death)
{
    struct actor a, b;
    actor_start(&a, wait_for_it, NULL);
    actor_wait_sleeps(&a);
    actor_start(&b, notify_and_hold, NULL);
    actor_wait_stays(&b);
    actor_die(&b);
    CHECK_INT(actor_end(&a), ==, RIP_RECOVERED);
    CHECK_INT(stage->asked, ==, 1);
}

PROCESSES(killed_waiters_harm_nobody)
{
    struct actor a[3];
    for (int i = 0; i < 3; i++)
        start_waiter(&a[i]);
    actor_die(&a[0]);
    actor_die(&a[1]);
    scene_no_second_look();
    rip_cond_notify(cond, 1);
    CHECK_INT(actor_end(&a[2]), ==, 0);
    acquire();
    rip_lock_release(lock);
}

/* The first is woken, and killed before it runs. */
PROCESSES(woken_and_killed_loses_no_notify)
{
    struct actor a, b;
    start_waiter(&a);
    start_waiter(&b);
    actor_stop(&a);
    rip_cond_notify(cond, 1);
    actor_die(&a);
    CHECK_INT(actor_end(&b), ==, 0);
}

/* ---- damage ----------------------------------------------------------- */

PROCESSES(damage_of_the_lock_is_left_to_the_next)
{
    struct actor a;
    start_waiter(&a);
    rip_lock_release(lock);
    rip_cond_notify(cond, 1);
    CHECK_INT(actor_end(&a), ==, 0);
    CHECK_ERR(rip_lock_acquire(lock, RIP_NOW), -EBADMSG);
}

PROCESSES(nonsense_harms_nobody)
{
    unsigned seed = 1;
    for (int i = 0; i < 5000; i++) {
        cond->word = (uint64_t)(unsigned)rand_r(&seed) << 33 ^
                     (unsigned)rand_r(&seed) << 1 ^ (unsigned)rand_r(&seed);
        if (i % 4 == 0)
            cond->word |= ~(uint64_t)0 << 4;
        acquire();
        CHECK_ERR(rip_cond_wait(cond, lock, RIP_NOW), -ETIMEDOUT);
        rip_cond_notify(cond, i % 3 + 1u);
        rip_cond_notify_all(cond);
        rip_lock_release(lock);
    }
}

/* ---- storms ----------------------------------------------------------- */

enum { TURNS = 5000 };

static int take_turns(void *arg)
{
    int mine = arg != NULL;
    acquire();
    for (int i = 0; i < TURNS; i++) {
        while (stage->turn != mine)
            CHECK_INT(rip_cond_wait(cond, lock, RIP_FOREVER), ==, 0);
        stage->turn = !mine;
        rip_cond_notify(cond, 1);
    }
    rip_lock_release(lock);
    return 0;
}

BOTH_WITH(turns_are_taken, 30)
{
    struct actor a[2];
    scene_no_second_look();
    actor_start(&a[0], take_turns, NULL);
    actor_start(&a[1], take_turns, room);
    CHECK_INT(actor_end(&a[0]), ==, 0);
    CHECK_INT(actor_end(&a[1]), ==, 0);
}

enum { ITEMS = 6000, MAKERS = 2, TAKERS = 3, ALL = ITEMS * MAKERS };

static int make(void *arg)
{
    unsigned seed = (unsigned)(long)arg;
    for (int i = 0; i < ITEMS; i++) {
        acquire();
        while (stage->count == 4)
            CHECK_INT(rip_cond_wait(&stage->other, lock, RIP_FOREVER), ==, 0);
        stage->count++;
        bool before = rand_r(&seed) % 2;
        if (before)
            rip_cond_notify(cond, 1);
        rip_lock_release(lock);
        if (!before)
            rip_cond_notify(cond, 1);
    }
    return 0;
}

static int take(void *arg)
{
    unsigned seed = (unsigned)(long)arg;
    acquire();
    while (stage->taken < ALL) {
        if (stage->count > 0) {
            stage->count--;
            if (++stage->taken == ALL)
                rip_cond_notify_all(cond);
            rip_cond_notify(&stage->other, 1);
            continue;
        }
        int how = rand_r(&seed) % 4;
        int r = rip_cond_wait(cond, lock,
                              how ? RIP_FOREVER : rip_time_now() + 30000);
        CHECK(r == 0 || (r == -ETIMEDOUT && how == 0));
    }
    rip_lock_release(lock);
    return 0;
}

static void market(void)
{
    struct actor m[MAKERS], t[TAKERS];
    for (int i = 0; i < MAKERS; i++)
        actor_start(&m[i], make, (void *)(long)(i + 1));
    for (int i = 0; i < TAKERS; i++)
        actor_start(&t[i], take, (void *)(long)(i + 10));
    for (int i = 0; i < MAKERS; i++)
        CHECK_INT(actor_end(&m[i]), ==, 0);
    for (int i = 0; i < TAKERS; i++)
        CHECK_INT(actor_end(&t[i]), ==, 0);
    CHECK_INT(stage->taken, ==, ALL);
}

BOTH_WITH(no_notify_is_lost, 30)
{
    scene_no_second_look();
    market();
}

BOTH_WITH(works_without_waitv, 30)
{
    fault_always(SYS_futex_waitv, ENOSYS);
    market();
}

/* Waits and notifies for ever. */
static int wait_and_notify(void *arg)
{
    unsigned seed = (unsigned)(long)arg;
    for (;;) {
        int r = rip_lock_acquire(lock, RIP_FOREVER);
        CHECK(r >= 0);
        stage->count++;
        if (rand_r(&seed) % 2)
            r = rip_cond_wait(cond, lock, RIP_FOREVER);
        CHECK(r >= 0);
        rip_cond_notify(cond, 1);
        rip_lock_release(lock);
    }
}

PROCESSES_WITH(storm_of_deaths, 60)
{
    struct actor a[5];
    for (int i = 0; i < 5; i++)
        actor_start(&a[i], wait_and_notify, (void *)(long)i);
    for (int i = 0; i < harness_rounds(200); i++) {
        int r = rip_lock_acquire(lock, RIP_FOREVER);
        CHECK(r >= 0);
        long count = stage->count;
        rip_cond_notify(cond, 1);
        rip_lock_release(lock);
        actor_die(&a[i % 5]);
        actor_start(&a[i % 5], wait_and_notify, (void *)(long)(i + 7));
        while (rip__load(&stage->count) == count)
            sched_yield();
    }
    for (int i = 0; i < 5; i++)
        actor_die(&a[i]);
}
