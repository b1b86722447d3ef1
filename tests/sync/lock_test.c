/* SPDX-License-Identifier: MIT */
#include <ripstop/lock.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "fault.h"
#include "scene.h"
#include "segment/segment.h"

struct play {
    rip_lock lock;
    long count, check;
    int recovered, missed, stop, done;
};
#define stage ((struct play *)(void *)room)
#define lock  (&stage->lock)

static void acquire(void)
{
    CHECK_INT(rip_lock_acquire(lock, RIP_FOREVER), ==, 0);
}

static int hold(void *arg)
{
    (void)arg;
    acquire();
    actor_stay();
    rip_lock_release(lock);
    return 0;
}

static void start_holder(struct actor *a)
{
    actor_start(a, hold, NULL);
    actor_wait_stays(a);
}

static void end_holder(struct actor *a)
{
    actor_go_on(a);
    CHECK_INT(actor_end(a), ==, 0);
}

/* Gives what the acquire gave. */
static int take_and_give(void *arg)
{
    (void)arg;
    int r = rip_lock_acquire(lock, RIP_FOREVER);
    if (r == RIP_RECOVERED)
        __atomic_add_fetch(&stage->recovered, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&stage->done, 1, __ATOMIC_RELAXED);
    if (r >= 0)
        rip_lock_release(lock);
    return r;
}

static int give_up(void *arg)
{
    (void)arg;
    return rip_lock_acquire(lock, rip_after_ms(100));
}

static int take_and_give_alone(void *arg)
{
    (void)arg;
    int r = rip_lock_acquire(lock, RIP_FOREVER);
    rip_lock_release(lock);
    return r;
}

/* ---- semantics -------------------------------------------------------- */

static int count_up(void *arg)
{
    for (long i = (long)arg; i > 0; i--) {
        acquire();
        stage->count++;
        rip_lock_release(lock);
    }
    return 0;
}

BOTH(excludes)
{
    struct actor a[4];
    long rounds = 20000;
    scene_no_second_look();
    for (int i = 0; i < 4; i++)
        actor_start(&a[i], count_up, (void *)rounds);
    for (int i = 0; i < 4; i++)
        CHECK_INT(actor_end(&a[i]), ==, 0);
    CHECK_INT(stage->count, ==, 4 * rounds);
    CHECK_INT(lock->word, ==, 0);
}

BOTH(keeps_deadlines)
{
    struct actor a;
    start_holder(&a);
    CHECK_ERR(rip_lock_acquire(lock, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_lock_acquire(lock, -5), -ETIMEDOUT);
    /* Who does not wait does not slow down the holder's release. */
    const struct rip__domain *d = rip__domain_of(lock);
    CHECK_INT(rip__slot(d, rip__slot_of(lock->word))->wanted, ==, 0);
    CHECK_ERR(rip_lock_acquire(lock, rip_time_now() - 1), -ETIMEDOUT);
    rip_time deadline = rip_after_ms(20);
    CHECK_ERR(rip_lock_acquire(lock, deadline), -ETIMEDOUT);
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK_INT(rip_time_now(), <, deadline + rip_after(5) - rip_after(0.001));
    end_holder(&a);
    CHECK_INT(rip_lock_acquire(lock, RIP_NOW), ==, 0);
    rip_lock_release(lock);
    CHECK_INT(rip_lock_acquire(lock, rip_time_now() - 1), ==, 0);
    rip_lock_release(lock);
}

BOTH(waits_for_no_itself)
{
    CHECK(!rip_lock_is_mine(lock));
    acquire();
    CHECK(rip_lock_is_mine(lock));
    CHECK_ERR(rip_lock_acquire(lock, RIP_NOW), -EDEADLK);
    CHECK_ERR(rip_lock_acquire(lock, RIP_FOREVER), -EDEADLK);
    rip_lock_release(lock);
    CHECK(!rip_lock_is_mine(lock));
    CHECK_INT(rip_lock_acquire(lock, RIP_NOW), ==, 0);
    rip_lock_release(lock);
}

BOTH(release_wakes)
{
    struct actor a[3];
    scene_no_second_look();
    acquire();
    for (int i = 0; i < 3; i++) {
        actor_start(&a[i], take_and_give, NULL);
        actor_wait_sleeps(&a[i]);
    }
    CHECK_INT(rip__load(&stage->done), ==, 0);
    rip_lock_release(lock);
    for (int i = 0; i < 3; i++)
        CHECK_INT(actor_end(&a[i]), ==, 0);
}

/* At first a sleeper looks again by itself, very soon. */
static void wait_sleeps_soundly(const struct actor *a)
{
    const struct rip__domain *d = rip__domain_of(lock);
    const struct rip__slot *slot = NULL;
    for (uint32_t i = 1; i < rip__slots_used(d); i++)
        if (rip__load(&rip__slot(d, i)->wait) == rip__key(d, lock) &&
            (pid_t)rip__slot(d, i)->tid == a->tid)
            slot = rip__slot(d, i);
    CHECK(slot != NULL);
    rip_time since = rip__load_relaxed(&slot->wait_since);
    while (rip_time_now() < since + 5000000)
        sched_yield();
    actor_wait_sleeps(a);
}

static bool sleeps_soundly(void)
{
    const struct rip__domain *d = rip__domain_of(lock);
    for (uint32_t i = 1; i < rip__slots_used(d); i++) {
        const struct rip__slot *slot = rip__slot(d, i);
        if (rip__load(&slot->wait) == rip__key(d, lock) &&
            rip_time_now() > rip__load_relaxed(&slot->wait_since) + 5000000)
            return true;
    }
    return false;
}

static void release_traced(void)
{
    acquire();
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    rip_lock_release(lock);
    raise(SIGSTOP);
    _exit(0);
}

/* So many instructions on from where it is; false: it stops there by itself. */
static bool step(pid_t pid, int n)
{
    int status = 0;
    for (; n > 0 && WSTOPSIG(status) != SIGSTOP; n--) {
        CHECK(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0);
        CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    }
    return n == 0 && WSTOPSIG(status) != SIGSTOP;
}

/* Who comes while the holder is within the release, and is asleep when that
 * goes on, is woken by it, wherever that was. */
PROCESSES_WITH(a_release_wakes_whoever_comes_meanwhile, 60)
{
    bool within = true;
    scene_no_second_look();
    for (int n = 0; within; n++) {
        struct actor a;
        pid_t pid = fork();
        if (pid == 0)
            release_traced();
        CHECK_INT(waitpid(pid, NULL, WUNTRACED), ==, pid);
        within = step(pid, n);
        stage->done = 0;
        actor_start(&a, take_and_give, NULL);
        while (rip__load(&stage->done) == 0 && !sleeps_soundly())
            sched_yield();
        CHECK(ptrace(PTRACE_DETACH, pid, NULL, NULL) == 0);
        CHECK_INT(actor_end(&a), ==, 0);
        kill(pid, SIGKILL);
        CHECK_INT(waitpid(pid, NULL, 0), ==, pid);
    }
}

/* Its end would be one more thing that wakes others. */
static int take_give_and_stay(void *arg)
{
    int r = take_and_give(arg);
    actor_stay();
    return r;
}

/* Each release wakes one; who has been woken wakes the next. */
BOTH(each_sleeper_is_woken_in_turn)
{
    struct actor a[3];
    scene_no_second_look();
    acquire();
    for (int i = 0; i < 3; i++) {
        actor_start(&a[i], take_give_and_stay, NULL);
        actor_wait_sleeps(&a[i]);
    }
    for (int i = 0; i < 3; i++)
        wait_sleeps_soundly(&a[i]);
    rip_lock_release(lock);
    while (rip__load(&stage->done) != 3)
        sched_yield();
    for (int i = 0; i < 3; i++)
        end_holder(&a[i]);
}

BOTH(leaves_errno_alone)
{
    struct actor a;
    start_holder(&a);
    errno = 77;
    CHECK_ERR(rip_lock_acquire(lock, rip_after_ms(1)), -ETIMEDOUT);
    CHECK_INT(errno, ==, 77);
    end_holder(&a);
    errno = 78;
    acquire();
    rip_lock_release(lock);
    CHECK_INT(errno, ==, 78);
}

/* ---- deaths ----------------------------------------------------------- */

BOTH(of_the_dead_is_recovered_once)
{
    struct actor a;
    start_holder(&a);
    actor_die(&a);
    CHECK_INT(rip_lock_acquire(lock, RIP_NOW), ==, RIP_RECOVERED);
    rip_lock_release(lock);
    CHECK_INT(rip_lock_acquire(lock, RIP_NOW), ==, 0);
    rip_lock_release(lock);
}

BOTH(death_wakes_all)
{
    struct actor a, b[6];
    scene_no_second_look();
    start_holder(&a);
    for (int i = 0; i < 6; i++) {
        actor_start(&b[i], take_and_give, NULL);
        actor_wait_sleeps(&b[i]);
    }
    actor_die(&a);
    int recovered = 0;
    for (int i = 0; i < 6; i++)
        recovered += actor_end(&b[i]);
    CHECK_INT(recovered, ==, RIP_RECOVERED);
}

static int hold_and_exec(void *arg)
{
    (void)arg;
    const char *path = harness_program("child");
    acquire();
    execl(path, path, "wait", (char *)NULL);
    return 1;
}

PROCESSES(exec_is_a_death)
{
    struct actor a;
    actor_start(&a, hold_and_exec, NULL);
    int r = 0;
    while (r != RIP_RECOVERED) {
        r = rip_lock_acquire(lock, RIP_FOREVER);
        rip_lock_release(lock);
    }
    actor_die(&a);
}

PROCESSES(killed_sleeper_is_passed_over)
{
    struct actor a, b;
    acquire();
    actor_start(&a, take_and_give, NULL);
    actor_wait_sleeps(&a);
    actor_start(&b, take_and_give, NULL);
    actor_wait_sleeps(&b);
    actor_die(&a);
    rip_lock_release(lock);
    CHECK_INT(actor_end(&b), ==, 0);
}

/* The wake is spent on one that is stopped, and is killed before it runs. */
PROCESSES(woken_and_killed_loses_no_wake)
{
    struct actor a, b;
    acquire();
    actor_start(&a, take_and_give, NULL);
    actor_wait_sleeps(&a);
    actor_start(&b, take_and_give, NULL);
    actor_wait_sleeps(&b);
    actor_stop(&a);
    rip_lock_release(lock);
    actor_die(&a);
    CHECK_INT(actor_end(&b), ==, 0);
    CHECK_INT(rip_lock_acquire(lock, RIP_NOW), ==, 0);
    rip_lock_release(lock);
}

PROCESSES(stopped_holder_keeps_it)
{
    struct actor a;
    start_holder(&a);
    actor_stop(&a);
    CHECK_ERR(rip_lock_acquire(lock, rip_after_ms(500)), -ETIMEDOUT);
    CHECK(kill(a.pid, SIGCONT) == 0);
    end_holder(&a);
}

static void check_exit(pid_t pid)
{
    int status;
    CHECK_INT(waitpid((pid_t)CHECK_OK(pid), &status, 0), ==, pid);
    CHECK_INT(status, ==, 0);
}

PROCESSES(fork_holds_nothing)
{
    static rip_lock outside;
    acquire();
    CHECK_INT(rip_lock_acquire(&outside, RIP_NOW), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(!rip_lock_is_mine(lock));
        CHECK(!rip_lock_is_mine(&outside));
        CHECK_ERR(rip_lock_acquire(lock, RIP_NOW), -ETIMEDOUT);
        CHECK_INT(rip_lock_acquire(&outside, RIP_NOW), ==, RIP_RECOVERED);
        _exit(0);
    }
    check_exit(pid);
    CHECK(rip_lock_is_mine(lock));
    rip_lock_release(lock);
    rip_lock_release(&outside);
}

/* ---- misuse ----------------------------------------------------------- */

PROCESSES(misuse_in_a_segment_is_told_once)
{
    struct actor a;
    rip_lock_release(lock);
    CHECK_ERR(rip_lock_acquire(lock, RIP_FOREVER), -EBADMSG);
    acquire();
    rip_lock_release(lock);

    start_holder(&a);
    rip_lock_release(lock);
    CHECK_ERR(rip_lock_acquire(lock, RIP_NOW), -EBADMSG);
    CHECK_ERR(rip_lock_acquire(lock, RIP_NOW), -ETIMEDOUT);
    rip_lock_release(lock);
    end_holder(&a);
    CHECK_ERR(rip_lock_acquire(lock, RIP_NOW), -EBADMSG);
    CHECK_INT(rip_lock_acquire(lock, RIP_NOW), ==, 0);
    rip_lock_release(lock);
    CHECK_INT(rip__roll(rip__domain_of(room))->damaged, ==, 3);
}

TEST(misuse_outside_of_segments_ends_the_program)
{
    static rip_lock outside;
    int fd[2], status;
    char text[200] = "";
    CHECK(pipe(fd) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd[1], 2);
        rip_lock_release(&outside);
        _exit(0);
    }
    CHECK_OK(pid);
    close(fd[1]);
    CHECK_INT(read(fd[0], text, sizeof text - 1), >, 0);
    close(fd[0]);
    CHECK_STR(text,
              "ripstop: rip_lock_release: the caller does not hold the lock\n");
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* Whatever stands in a lock: a result, by the deadline. */
PROCESSES(nonsense_harms_nobody)
{
    unsigned seed = 1;
    for (int i = 0; i < 20000; i++) {
        uint64_t w[2];
        for (int j = 0; j < 2; j++)
            w[j] = (uint64_t)(unsigned)rand_r(&seed) << 33 ^
                   (uint64_t)(unsigned)rand_r(&seed) << 11 ^
                   (unsigned)rand_r(&seed);
        *lock = (rip_lock){ i % 2 ? w[0] : w[0] & 0xfffff,
                            i % 3 ? w[1] : w[1] & 0xfffff };
        harness_note("%llx %llx", (unsigned long long)lock->word,
                     (unsigned long long)lock->heir);
        int r = rip_lock_acquire(lock, i % 5 ? RIP_NOW : rip_after_ms(1));
        CHECK(r == 0 || r == RIP_RECOVERED || r == -EBADMSG || r == -EDEADLK ||
              r == -ETIMEDOUT);
        rip_lock_release(lock);
    }
}

/* What a waiter leaves in the holder's slot is forgotten, and does not cost a
 * system call at each release for ever: also in nested locks. */
BOTH(waiters_are_forgotten)
{
    struct actor a;
    rip_lock *outer = (rip_lock *)(void *)(room + 4096);
    CHECK_INT(rip_lock_acquire(outer, RIP_NOW), ==, 0);
    acquire();
    actor_start(&a, give_up, NULL);
    CHECK_INT(actor_end(&a), ==, -ETIMEDOUT);
    rip_lock_release(lock);
    for (int i = 0; i < 100; i++) {
        acquire();
        rip_lock_release(lock);
    }
    struct rip__me *me;
    CHECK_OK(rip__join(lock, &me));
    CHECK_INT(me->slot->wanted, ==, 0);
    rip_lock_release(outer);
}

/* More locks than there are places for. */
BOTH(many_locks_are_held)
{
    enum { N = 200 };
    rip_lock *l = lock;
    struct rip__me *me;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++)
            CHECK_INT(rip_lock_acquire(&l[i], RIP_NOW), ==, 0);
        for (int i = 0; i < N; i++)
            rip_lock_release(&l[round ? i : N - 1 - i]);
    }
    CHECK_OK(rip__join(lock, &me));
    CHECK_INT(me->unlisted, ==, 0);
    for (int i = 0; i < RIP__HELD; i++)
        CHECK_INT(me->slot->held[i], ==, 0);
}

/* Just before the waiter sleeps, the holder gives the lock away, forgets that
 * anybody waits, and takes it again: to the waiter all looks the same. */
static struct rip__seam seam;
static bool is_done;
static long give_way(long nr, const long args[6])
{
    if (nr == SYS_futex_waitv && !is_done) {
        is_done = true;
        actor_stay();
    }
    return seam.syscall(nr, args);
}

TEST(holder_that_comes_back_is_another)
{
    static rip_lock l;
    struct actor a;
    struct rip__me *me;
    if (syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) < 0 && errno == ENOSYS)
        SKIP("no futex_waitv here: it would sleep until it looks again");
    room = (void *)&l;
    seam = rip__seam;
    rip__seam.syscall = give_way;
    scene_no_second_look();
    acquire();
    actor_start(&a, take_and_give_alone, NULL);
    actor_wait_stays(&a);
    CHECK_OK(rip__join(lock, &me));
    while (me->slot->wanted != 0) {
        rip_lock_release(lock);
        acquire();
    }
    actor_go_on(&a);
    actor_wait_sleeps(&a);
    rip_lock_release(lock);
    CHECK_INT(actor_end(&a), ==, 0);
    rip__seam = seam;
    rip__leave_all();
}

/* ---- fairness --------------------------------------------------------- */

/* Leaves the lock for no longer than it takes to acquire it again. */
static int hog(void *arg)
{
    (void)arg;
    while (!rip__load(&stage->stop)) {
        acquire();
        for (int i = 0; i < 1000; i++)
            rip__pause();
        rip_lock_release(lock);
    }
    return 0;
}

BOTH(sleepers_do_not_starve)
{
    struct actor a[3];
    for (int i = 0; i < 3; i++)
        actor_start(&a[i], hog, NULL);
    for (int i = 0; i < 50; i++) {
        CHECK_INT(rip_lock_acquire(lock, rip_after(harness_scale(2))), ==, 0);
        rip_lock_release(lock);
    }
    rip__store(&stage->stop, 1);
    for (int i = 0; i < 3; i++)
        CHECK_INT(actor_end(&a[i]), ==, 0);
    CHECK_INT(lock->heir, ==, 0);
}

/* Makes `a`, which sleeps on the lock that we hold, its heir. */
static void make_heir(const struct actor *a)
{
    while (!rip__load(&lock->heir)) {
        rip_time begin = rip_time_now();
        while (rip_time_now() - begin < 2000000)
            ;
        /* A wake in vain: the word changes, and is still ours. */
        rip__wake(with_processes, rip__low(&lock->word), RIP__ALL);
        for (int i = 0; i < 100 && !rip__load(&lock->heir); i++)
            sched_yield();
    }
    actor_wait_sleeps(a);
}

BOTH(heir_has_it_before_others)
{
    struct actor a;
    scene_no_second_look();
    acquire();
    actor_start(&a, take_and_give, NULL);
    actor_wait_sleeps(&a);
    make_heir(&a);
    rip_lock_release(lock);
    /* Not before it had its turn, though we are here and it is asleep. */
    acquire();
    CHECK_INT(rip__load(&stage->done), ==, 1);
    rip_lock_release(lock);
    CHECK_INT(actor_end(&a), ==, 0);
    CHECK_INT(lock->word | lock->heir, ==, 0);
}

PROCESSES(stopped_heir_keeps_nobody_waiting)
{
    struct actor a;
    scene_no_second_look();
    acquire();
    actor_start(&a, take_and_give, NULL);
    actor_wait_sleeps(&a);
    make_heir(&a);
    actor_stop(&a);
    rip_lock_release(lock);
    /* Who cannot wait takes it at once, and who can after a while. */
    CHECK_INT(rip_lock_acquire(lock, RIP_NOW), ==, 0);
    rip_lock_release(lock);
    CHECK_INT(lock->word, !=, 0);
    acquire();
    CHECK_INT(rip__load(&stage->done), ==, 0);
    rip_lock_release(lock);
    CHECK_INT(rip_lock_acquire(lock, RIP_NOW), ==, 0);
    CHECK(kill(a.pid, SIGCONT) == 0);
    rip_lock_release(lock);
    CHECK_INT(actor_end(&a), ==, 0);
}

PROCESSES(killed_heir_has_no_heirs)
{
    struct actor a, b;
    acquire();
    actor_start(&a, take_and_give, NULL);
    actor_wait_sleeps(&a);
    make_heir(&a);
    actor_start(&b, take_and_give, NULL);
    actor_wait_sleeps(&b);
    scene_no_second_look();
    actor_die(&a);
    rip_lock_release(lock);
    acquire();
    rip_lock_release(lock);
    CHECK_INT(actor_end(&b), ==, 0);
}

BOTH(heir_gives_up)
{
    struct actor a, b;
    scene_no_second_look();
    acquire();
    actor_start(&a, give_up, NULL);
    actor_wait_sleeps(&a);
    make_heir(&a);
    CHECK_INT(actor_end(&a), ==, -ETIMEDOUT);
    CHECK_INT(lock->heir, ==, 0);
    actor_start(&b, take_and_give, NULL);
    actor_wait_sleeps(&b);
    rip_lock_release(lock);
    CHECK_INT(actor_end(&b), ==, 0);
}

/* ---- many ------------------------------------------------------------- */

BOTH_WITH(a_thousand_members, 60)
{
    enum { N = 1000 };
    struct actor *a = calloc(N, sizeof *a);
    int n = with_processes ? 300 : N;
    acquire();
    for (int i = 0; i < n; i++)
        actor_start(&a[i], take_and_give, NULL);
    for (int i = 0; i < n; i++)
        actor_wait_sleeps(&a[i]);
    rip_lock_release(lock);
    for (int i = 0; i < n; i++)
        CHECK_INT(actor_end(&a[i]), ==, 0);
    CHECK_INT(stage->done, ==, n);
    free(a);
}
