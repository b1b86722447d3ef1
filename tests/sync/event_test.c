/* SPDX-License-Identifier: MIT */
#include <ripstop/event.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "fault.h"
#include "harness.h"
#include "os/os.h"
#include "sync/world.h"

static int await(void *e)
{
    return rip_event_wait(e, RIP_FOREVER);
}

BOTH(it_is_set_and_clear, 0)
{
    rip_event *e = object(kind, sizeof *e);
    CHECK(!rip_event_is_set(e));
    CHECK_ERR(rip_event_wait(e, RIP_NOW), -ETIMEDOUT);
    rip_event_set(e);
    rip_event_set(e);
    CHECK(rip_event_is_set(e));
    CHECK_INT(rip_event_wait(e, RIP_NOW), ==, 0);
    CHECK_INT(rip_event_wait(e, RIP_FOREVER), ==, 0);
    rip_event_clear(e);
    rip_event_clear(e);
    CHECK(!rip_event_is_set(e));
    CHECK_ERR(rip_event_wait(e, RIP_NOW), -ETIMEDOUT);
}

BOTH(a_deadline_is_kept, 0)
{
    rip_event *e = object(kind, sizeof *e);
    rip_time deadline = rip_after_ms(30);
    CHECK_ERR(rip_event_wait(e, deadline), -ETIMEDOUT);
    CHECK(rip_time_now() >= deadline);
    CHECK_ERR(rip_event_wait(e, deadline), -ETIMEDOUT);
    rip_event_set(e);
    CHECK_INT(rip_event_wait(e, deadline), ==, 0);
}

/* One of them is stopped, so that it sees the event only when it is long
 * clear again. */
BOTH(a_set_counts_for_all_who_wait_though_a_clear_follows, 0)
{
    only_woken();
    enum { N = 4 };
    struct player a[N];
    rip_event *e = object(kind, sizeof *e);
    for (int i = 0; i < N; i++)
        player_start(&a[i], kind, await, e);
    until_waiting(e, N);
    if (kind == PROCESSES) {
        CHECK_INT(kill(a[0].pid, SIGSTOP), ==, 0);
        CHECK_INT(waitpid(a[0].pid, NULL, WUNTRACED), ==, a[0].pid);
    }
    rip_event_set(e);
    rip_event_clear(e);
    for (int i = 1; i < N; i++)
        CHECK_INT(player_end(&a[i]), ==, 0);
    if (kind == PROCESSES)
        CHECK_INT(kill(a[0].pid, SIGCONT), ==, 0);
    CHECK_INT(player_end(&a[0]), ==, 0);
    CHECK(!rip_event_is_set(e));
}

WORLD(a_killed_waiter_hurts_nobody, 0)
{
    struct player a, b;
    rip_event *e = object(PROCESSES, sizeof *e);
    player_start(&a, PROCESSES, await, e);
    player_start(&b, PROCESSES, await, e);
    until_waiting(e, 2);
    player_kill(&a);
    rip_event_set(e);
    CHECK_INT(player_end(&b), ==, 0);
}

/* ---- a wake that was never sent --------------------------------------- */

/* What one leaves who is killed between the swap and the wake. */
WORLD(a_setter_that_is_killed_before_its_wake, 0)
{
    struct player a;
    rip_event *e = object(PROCESSES, sizeof *e);
    player_start(&a, PROCESSES, await, e);
    until_waiting(e, 1);
    rip_event copy = *e;
    rip_event_set(&copy);
    __atomic_store_n(&e->word, copy.word, __ATOMIC_SEQ_CST);
    CHECK_INT(player_end(&a), ==, 0);
}

/* ---- to and fro ------------------------------------------------------- */

struct table {
    rip_event ping, pong;
};

enum { STROKES = 5000 };

static int play(void *arg)
{
    struct table *t = arg;
    for (int i = 0; i < STROKES; i++) {
        if (rip_event_wait(&t->ping, RIP_FOREVER) != 0)
            return 1;
        rip_event_clear(&t->ping);
        rip_event_set(&t->pong);
    }
    return 0;
}

BOTH(to_and_fro, 30)
{
    struct player a;
    only_woken();
    struct table *t = object(kind, sizeof *t);
    player_start(&a, kind, play, t);
    for (int i = 0; i < STROKES; i++) {
        rip_event_set(&t->ping);
        CHECK_INT(rip_event_wait(&t->pong, RIP_FOREVER), ==, 0);
        rip_event_clear(&t->pong);
    }
    CHECK_INT(player_end(&a), ==, 0);
}

/* ---- signals ---------------------------------------------------------- */

static rip_event *signalled;

static void set_in_handler(int sig)
{
    (void)sig;
    rip_event_set(signalled);
}

/* Between its last look and its sleep. */
static struct rip__seam seam;

static long set_before_sleep(long nr, const long args[6])
{
    rip_event *e = signalled;
    if (e && (nr == SYS_futex || nr == SYS_futex_waitv)) {
        signalled = NULL;
        rip_event_set(e);
    }
    return seam.syscall(nr, args);
}

BOTH(a_set_just_before_the_sleep_is_seen, 0)
{
    only_woken();
    rip_event *e = object(kind, sizeof *e);
    seam = rip__seam;
    signalled = e;
    rip__seam.syscall = set_before_sleep;
    CHECK_INT(rip_event_wait(e, RIP_FOREVER), ==, 0);
    rip__seam = seam;
}

BOTH(a_handler_sets_what_its_thread_waits_for, 0)
{
    struct sigaction old, act = { .sa_handler = set_in_handler };
    const struct itimerval on = { { 0, 500 }, { 0, 500 } }, off = { 0 };
    signalled = object(kind, sizeof *signalled);
    CHECK_INT(sigaction(SIGALRM, &act, &old), ==, 0);
    CHECK_INT(setitimer(ITIMER_REAL, &on, NULL), ==, 0);
    for (int i = 0; i < 300; i++) {
        CHECK_INT(rip_event_wait(signalled, RIP_FOREVER), ==, 0);
        rip_event_clear(signalled);
    }
    CHECK_INT(setitimer(ITIMER_REAL, &off, NULL), ==, 0);
    CHECK_INT(sigaction(SIGALRM, &old, NULL), ==, 0);
}
