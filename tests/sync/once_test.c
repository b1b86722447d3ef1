/* SPDX-License-Identifier: MIT */
#include <ripstop/once.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "scene.h"
#include "segment/segment.h"

struct play {
    rip_once_flag flag;
    int runs, fail, inside;
};
#define stage ((struct play *)(void *)room)
#define flag  (&stage->flag)

static int run(void *arg)
{
    (void)arg;
    CHECK_INT(__atomic_add_fetch(&stage->inside, 1, __ATOMIC_ACQ_REL), ==, 1);
    stage->runs++;
    int r = stage->fail-- > 0 ? -EIO : 5;
    rip__pause();
    __atomic_sub_fetch(&stage->inside, 1, __ATOMIC_ACQ_REL);
    return r;
}

static int call(void *arg)
{
    return rip_once(flag, run, arg, RIP_FOREVER);
}

static int stay(void *arg)
{
    actor_stay();
    return arg ? -EIO : 0;
}

static int call_stay(void *arg)
{
    return rip_once(flag, stay, arg, RIP_FOREVER);
}

static void start_runner(struct actor *a, void *fail)
{
    actor_start(a, call_stay, fail);
    actor_wait_stays(a);
}

BOTH_WITH(is_done_once, 30)
{
    struct actor a[6];
    scene_no_second_look();
    for (int i = 0; i < 100; i++) {
        *stage = (struct play){ .runs = 0 };
        for (int j = 0; j < 6; j++)
            actor_start(&a[j], call, NULL);
        for (int j = 0; j < 6; j++)
            CHECK_INT(actor_end(&a[j]), ==, 0);
        CHECK_INT(stage->runs, ==, 1);
    }
}

static struct rip__seam seam;
static __thread int calls; /* of this thread */
static long counting(long nr, const long args[6])
{
    calls++;
    return seam.syscall(nr, args);
}

BOTH(done_costs_nothing)
{
    CHECK_INT(rip_once(flag, run, NULL, RIP_NOW), ==, 0);
    uint64_t word = flag->word;
    seam = rip__seam;
    rip__seam.syscall = counting;
    CHECK_INT(rip_once(flag, run, NULL, RIP_NOW), ==, 0);
    rip__seam = seam;
    CHECK_INT(calls, ==, 0);
    CHECK_INT(flag->word, ==, word);
    CHECK_INT(stage->runs, ==, 1);
}

BOTH(failure_is_the_runners_alone)
{
    stage->fail = 2;
    CHECK_ERR(call(NULL), -EIO);
    CHECK_ERR(call(NULL), -EIO);
    CHECK_INT(call(NULL), ==, 0);
    CHECK_INT(call(NULL), ==, 0);
    CHECK_INT(stage->runs, ==, 3);
}

BOTH(after_a_failure_a_sleeper_runs_it)
{
    struct actor a, b[3];
    scene_no_second_look();
    stage->fail = 1;
    start_runner(&a, room);
    for (int i = 0; i < 3; i++) {
        actor_start(&b[i], call, NULL);
        actor_wait_sleeps(&b[i]);
    }
    actor_go_on(&a);
    CHECK_INT(actor_end(&a), ==, -EIO);
    int sum = 0;
    for (int i = 0; i < 3; i++)
        sum += actor_end(&b[i]);
    CHECK_INT(sum, ==, -EIO);
    CHECK_INT(stage->runs, ==, 2);
}

BOTH(success_wakes_all)
{
    struct actor a, b[3];
    scene_no_second_look();
    start_runner(&a, NULL);
    for (int i = 0; i < 3; i++) {
        actor_start(&b[i], call, NULL);
        actor_wait_sleeps(&b[i]);
    }
    actor_go_on(&a);
    CHECK_INT(actor_end(&a), ==, 0);
    for (int i = 0; i < 3; i++)
        CHECK_INT(actor_end(&b[i]), ==, 0);
    CHECK_INT(stage->runs, ==, 0);
}

BOTH(keeps_deadlines)
{
    struct actor a;
    start_runner(&a, NULL);
    CHECK_ERR(rip_once(flag, run, NULL, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_once(flag, run, NULL, rip_time_now() - 1), -ETIMEDOUT);
    rip_time deadline = rip_after_ms(20);
    CHECK_ERR(rip_once(flag, run, NULL, deadline), -ETIMEDOUT);
    CHECK_INT(rip_time_now(), >=, deadline);
    actor_go_on(&a);
    CHECK_INT(actor_end(&a), ==, 0);
    CHECK_INT(rip_once(flag, run, NULL, RIP_NOW), ==, 0);
    CHECK_INT(stage->runs, ==, 0);
}

BOTH(dead_runner_is_replaced)
{
    struct actor a, b[3];
    scene_no_second_look();
    start_runner(&a, NULL);
    for (int i = 0; i < 3; i++) {
        actor_start(&b[i], call, NULL);
        actor_wait_sleeps(&b[i]);
    }
    actor_die(&a);
    for (int i = 0; i < 3; i++)
        CHECK_INT(actor_end(&b[i]), ==, 0);
    CHECK_INT(stage->runs, ==, 1);
}

BOTH(dead_runner_is_replaced_by_who_comes)
{
    struct actor a;
    start_runner(&a, NULL);
    actor_die(&a);
    CHECK_INT(rip_once(flag, run, NULL, RIP_NOW), ==, 0);
    CHECK_INT(stage->runs, ==, 1);
}

static int recurse(void *arg)
{
    int r = rip_once(flag, recurse, arg, RIP_NOW);
    CHECK_ERR(r, -EDEADLK);
    CHECK_ERR(rip_once(flag, run, arg, RIP_FOREVER), -EDEADLK);
    return 0;
}

BOTH(does_not_wait_for_itself)
{
    CHECK_INT(rip_once(flag, recurse, NULL, RIP_FOREVER), ==, 0);
    CHECK_INT(rip_once(flag, recurse, NULL, RIP_FOREVER), ==, 0);
}

static pid_t forked;
static int fork_inside(void *arg)
{
    (void)arg;
    forked = fork();
    return 0;
}

BOTH(belongs_to_the_parent_after_a_fork)
{
    int status;
    int r = rip_once(flag, fork_inside, NULL, RIP_FOREVER);
    if (forked == 0)
        _exit(r != -EPERM);
    CHECK_INT(r, ==, 0);
    CHECK_INT(waitpid(forked, &status, 0), ==, forked);
    CHECK_INT(status, ==, 0);
}

static int scribble(void *arg)
{
    flag->word = *(uint64_t *)arg;
    return 0;
}

PROCESSES(nonsense_harms_nobody)
{
    unsigned seed = 1;
    uint64_t nonsense = 0x123456789;
    CHECK_ERR(rip_once(flag, scribble, &nonsense, RIP_NOW), -EBADMSG);
    for (int i = 0; i < 5000; i++) {
        flag->word = (uint64_t)(unsigned)rand_r(&seed) << (i % 3 ? 33 : 0) ^
                     (unsigned)rand_r(&seed) >> (i % 2 * 20);
        int r = rip_once(flag, run, NULL, i % 5 ? RIP_NOW : rip_after_ms(1));
        CHECK(r == 0 || r == -EDEADLK || r == -ETIMEDOUT);
    }
}

static int run_alone(void *arg)
{
    (void)arg;
    int mine = stage->runs + 1;
    rip__store(&stage->runs, mine);
    for (int i = 0; i < 50; i++)
        rip__pause();
    CHECK_INT(rip__load(&stage->runs), ==, mine);
    return -EIO;
}

static int run_for_ever(void *arg)
{
    while (rip_once(flag, run_alone, arg, RIP_FOREVER) == -EIO)
        ;
    FAIL("it was done");
}

/* Every run fails, so that there always is one. */
PROCESSES_WITH(storm_of_deaths, 60)
{
    struct actor a[4];
    for (int i = 0; i < 4; i++)
        actor_start(&a[i], run_for_ever, NULL);
    for (int i = 0; i < harness_rounds(100); i++) {
        int runs = rip__load(&stage->runs);
        while (rip__load(&stage->runs) == runs)
            ;
        actor_die(&a[i % 4]);
        actor_start(&a[i % 4], run_for_ever, NULL);
    }
    for (int i = 0; i < 4; i++)
        actor_die(&a[i]);
}
