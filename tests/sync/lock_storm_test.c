/* SPDX-License-Identifier: MIT */
#include <ripstop/lock.h>

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/atomic.h"
#include "fault.h"
#include "scene.h"
#include "segment/segment.h"

/* The lock under many at once, with its last release among them. */
struct play {
    rip_lock lock;
    long count, check; /* the same, where nobody holds the lock */
};
#define stage ((struct play *)(void *)room)
#define lock  (&stage->lock)

/* ---- storms ----------------------------------------------------------- */

static void enter(void)
{
    CHECK_INT(stage->count, ==, stage->check);
    stage->count++;
    rip__pause();
    stage->check++;
}

/* Every way to acquire, mixed. */
static int storm(void *arg)
{
    unsigned seed = (unsigned)(long)arg;
    for (int i = 0; i < 3000; i++) {
        int how = rand_r(&seed) % 8;
        int r = rip_lock_acquire(lock, how == 0  ? RIP_NOW
                                       : how < 5 ? rip_time_now() + how * 50000L
                                                 : RIP_FOREVER);
        CHECK(r == 0 || (r == -ETIMEDOUT && how < 5));
        if (r == 0) {
            enter();
            if (how == 7)
                sched_yield();
            rip_lock_release(lock);
        }
    }
    return 0;
}

static void storm_of(int n)
{
    struct actor a[8];
    for (int i = 0; i < n; i++)
        actor_start(&a[i], storm, (void *)(long)(i + 1));
    for (int i = 0; i < n; i++)
        CHECK_INT(actor_end(&a[i]), ==, 0);
    CHECK_INT(rip_lock_acquire(lock, RIP_NOW), ==, 0);
    CHECK_INT(stage->count, ==, stage->check);
    rip_lock_release(lock);
}

/* A wake that is lost would stop it for an hour. */
BOTH_WITH(no_wake_is_lost, 30)
{
    scene_no_second_look();
    storm_of(8);
}

BOTH_WITH(works_without_waitv, 30)
{
    fault_always(SYS_futex_waitv, ENOSYS);
    storm_of(6);
}

BOTH_WITH(works_without_membarrier, 30)
{
    fault_always(SYS_membarrier, ENOSYS);
    storm_of(6);
}

/* Holders, heirs and sleepers are killed wherever they are. */
static int for_ever(void *arg)
{
    (void)arg;
    for (;;) {
        int r = rip_lock_acquire(lock, RIP_FOREVER);
        CHECK(r >= 0);
        if (r == RIP_RECOVERED)
            stage->check = stage->count;
        enter();
        rip_lock_release(lock);
    }
}

PROCESSES_WITH(storm_of_deaths, 60)
{
    struct actor a[5];
    for (int i = 0; i < 5; i++)
        actor_start(&a[i], for_ever, NULL);
    for (int i = 0; i < harness_rounds(200); i++) {
        int r = rip_lock_acquire(lock, RIP_FOREVER);
        CHECK(r >= 0);
        stage->check = stage->count;
        rip_lock_release(lock);
        actor_die(&a[i % 5]);
        actor_start(&a[i % 5], for_ever, NULL);
    }
    for (int i = 0; i < 5; i++)
        actor_die(&a[i]);
}

/* ---- the last release ------------------------------------------------- */

static int release_last(void *arg)
{
    rip_lock *l = arg;
    CHECK_INT(rip_lock_acquire(l, RIP_FOREVER), ==, 0);
    actor_stay();
    rip_lock_release(l);
    return 0;
}

/* Who acquires it next may take the memory away. */
TEST(memory_may_go_with_the_release)
{
    for (int i = 0; i < 300; i++) {
        struct actor a;
        void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(page != MAP_FAILED);
        actor_start(&a, release_last, page);
        actor_wait_stays(&a);
        actor_go_on(&a);
        CHECK_INT(rip_lock_acquire(page, RIP_FOREVER), ==, 0);
        munmap(page, 4096);
        CHECK_INT(actor_end(&a), ==, 0);
    }
    rip__leave_all();
}
