/* SPDX-License-Identifier: MIT */
#include <ripstop/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "harness.h"
#include "os/os.h"
#include "segment/segment.h"
#include "sync/world.h"

#define EVENT(e) ((struct rip_wait){ .kind = RIP_WAIT_EVENT, .u.event = (e) })
#define FD(n) \
    ((struct rip_wait){ .kind = RIP_WAIT_FD, .events = POLLIN, .u.fd = (n) })

static void make_pipe(int fd[2])
{
    CHECK_INT(pipe2(fd, O_CLOEXEC), ==, 0);
}

static void close_pipe(const int fd[2])
{
    close(fd[0]);
    close(fd[1]);
}

/* ---- the thread ------------------------------------------------------- */

/* How many of our threads have that name; what the kernel says of the last. */
static int helpers(char *status, size_t cap)
{
    char path[300], comm[32];
    DIR *dir = opendir("/proc/self/task");
    int n = 0;
    CHECK(dir != NULL);
    for (struct dirent *e; (e = readdir(dir));) {
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
        if (e->d_name[0] == '.' || rip__os_slurp(path, comm, sizeof comm) < 0 ||
            strcmp(comm, "rip-wait\n") != 0)
            continue;
        n++;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", e->d_name);
        CHECK_OK(rip__os_slurp(path, status, cap));
    }
    closedir(dir);
    return n;
}

static void wait_mixed(int fd)
{
    rip_event e = { 0 };
    const struct rip_wait items[] = { EVENT(&e), FD(fd) };
    CHECK_ERR(rip_wait_any(items, 2, rip_after_ms(2)), -ETIMEDOUT);
}

TEST(there_is_one_from_the_first_mixed_wait_on)
{
    int fd[2];
    char status[8192], *blocked;
    rip_event e = { 0 };
    make_pipe(fd);
    const struct rip_wait items[] = { EVENT(&e), FD(fd[0]) };
    CHECK_ERR(rip_wait_any(items, 1, rip_after_ms(2)), -ETIMEDOUT);
    CHECK_ERR(rip_wait_any(items + 1, 1, rip_after_ms(2)), -ETIMEDOUT);
    CHECK_ERR(rip_wait_any(items, 2, RIP_NOW), -ETIMEDOUT);
    CHECK_INT(helpers(status, sizeof status), ==, 0);
    for (int i = 0; i < 5; i++)
        wait_mixed(fd[0]);
    CHECK_INT(helpers(status, sizeof status), ==, 1);
    blocked = strstr(status, "SigBlk:");
    CHECK(blocked != NULL);
    unsigned long long mask = strtoull(blocked + 7, NULL, 16);
    CHECK_INT(mask & 0x7fffffff, ==,
              0x7fffffff & ~(1u << (SIGKILL - 1) | 1u << (SIGSTOP - 1)));
    close_pipe(fd);
}

static struct rip__seam seam;
static int calls;
static long counting(long nr, const long args[6])
{
    calls++;
    return seam.syscall(nr, args);
}

TEST(descriptors_alone_are_one_system_call)
{
    int fd[2];
    make_pipe(fd);
    const struct rip_wait items[] = { FD(fd[0]), FD(fd[0]) };
    seam = rip__seam;
    rip__seam.syscall = counting;
    CHECK_ERR(rip_wait_any(items, 2, rip_after_ms(1)), -ETIMEDOUT);
    rip__seam = seam;
    CHECK_INT(calls, ==, 1);
    close_pipe(fd);
}

/* libc has all threads change their identity, by a signal. */
TEST(it_stands_in_nobodys_way)
{
    int fd[2];
    make_pipe(fd);
    wait_mixed(fd[0]);
    CHECK_INT(setuid(getuid()), ==, 0);
    wait_mixed(fd[0]);
    close_pipe(fd);
}

/* ---- when a wait is over ---------------------------------------------- */

struct write {
    rip_event *event;
    int fd;
};

static int writes_when_announced(void *arg)
{
    const struct write *w = arg;
    while (!(rip__load(&w->event->word) & RIP__WAITERS))
        sched_yield();
    return write(w->fd, "x", 1) == 1 ? 0 : 1;
}

/* The memory may be anything now, also what others sleep on. */
BOTH(it_sleeps_on_no_word_any_more, 30)
{
    int fd[2], rounds = harness_rounds(300);
    make_pipe(fd);
    only_woken();
    rip_event *e = object(kind, sizeof *e);
    const struct rip_wait items[] = { EVENT(e), FD(fd[0]) };
    struct write w = { e, fd[1] };
    for (int i = 0; i < rounds; i++) {
        struct player a;
        char c;
        player_start(&a, THREADS, writes_when_announced, &w);
        CHECK_INT(rip_wait_any(items, 2, RIP_FOREVER), ==, 1);
        CHECK_INT(rip__os_futex_wake(rip__low(&e->word), kind == PROCESSES, 1),
                  ==, 0);
        e->word = 0;
        CHECK_INT(player_end(&a), ==, 0);
        CHECK_INT(read(fd[0], &c, 1), ==, 1);
    }
    close_pipe(fd);
}

/* ---- when a wait begins ----------------------------------------------- */

static atomic_int armed, held, posted;
static pid_t main_tid;

/* Holds the helper back where it is about to fall asleep. */
static long late_sleep(long nr, const long args[6])
{
    bool main_wakes = nr == SYS_futex && (args[1] & 127) == FUTEX_WAKE &&
                      gettid() == main_tid;
    if (nr == SYS_futex_waitv && atomic_exchange(&armed, 0) == 1) {
        atomic_store(&held, 1);
        until_at_least(&posted, 1);
    }
    long r = seam.syscall(nr, args);
    if (main_wakes && atomic_load(&held))
        atomic_store(&posted, 1);
    return r;
}

static int sets_and_clears(void *arg)
{
    rip_event *e = arg;
    while (!(rip__load(&e->word) & RIP__WAITERS))
        sched_yield();
    rip_event_set(e);
    rip_event_clear(e);
    return 0;
}

struct other {
    const struct rip_wait *items;
    size_t n;
};

static int waits_meanwhile(void *arg)
{
    const struct other *o = arg;
    return rip_wait_any(o->items, o->n, RIP_FOREVER);
}

/* Another waits, whose post the helper has gathered when ours comes. */
static void post_late(const int fd[2])
{
    rip_event e[2] = { { 0 } };
    const struct rip_wait theirs[] = { FD(fd[0]), EVENT(&e[0]) };
    const struct rip_wait ours[] = { FD(fd[0]), EVENT(&e[1]) };
    struct other o = { .items = theirs, .n = 2 };
    struct player a, b;
    char c;
    atomic_store(&held, 0);
    atomic_store(&posted, 0);
    atomic_store(&armed, 1);
    player_start(&a, THREADS, waits_meanwhile, &o);
    until_at_least(&held, 1);
    player_start(&b, THREADS, sets_and_clears, &e[1]);
    CHECK_INT(rip_wait_any(ours, 2, RIP_FOREVER), ==, 1);
    atomic_store(&posted, 1); /* also where the event was faster than that */
    CHECK_INT(player_end(&b), ==, 0);
    CHECK_INT(write(fd[1], "x", 1), ==, 1);
    CHECK_INT(player_end(&a), ==, 0);
    CHECK_INT(read(fd[0], &c, 1), ==, 1);
}

WORLD(a_post_while_it_falls_asleep_is_seen, 20)
{
    int fd[2];
    make_pipe(fd);
    only_woken();
    main_tid = gettid();
    seam = rip__seam;
    rip__seam.syscall = late_sleep;
    for (int i = 0; i < 50; i++)
        post_late(fd);
    rip__seam = seam;
    close_pipe(fd);
}

/* ---- forks ------------------------------------------------------------ */

static int wait_in_child(int fd, rip_event *e)
{
    const struct rip_wait items[] = { FD(fd), EVENT(e) };
    char status[8192];
    struct player a;
    if (helpers(status, sizeof status) != 0)
        return 2;
    player_start(&a, THREADS, sets_and_clears, e);
    if (rip_wait_any(items, 2, RIP_FOREVER) != 1)
        return 3;
    player_end(&a);
    wait_mixed(fd); /* the event may have been faster than the wait */
    while (helpers(status, sizeof status) == 0) /* it has no name at first */
        sched_yield();
    return helpers(status, sizeof status) == 1 ? 0 : 4;
}

/* Forks while another thread waits, and the helper sleeps. */
WORLD(a_fork_begins_anew, 20)
{
    int fd[2], status;
    make_pipe(fd);
    only_woken();
    rip_event *e = object(PROCESSES, 2 * sizeof *e);
    const struct rip_wait items[] = { FD(fd[0]), EVENT(&e[0]) };
    struct other o = { items, 2 };
    struct player t;
    player_start(&t, THREADS, waits_meanwhile, &o);
    while (!(rip__load(&e[0].word) & RIP__WAITERS))
        sched_yield();
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(wait_in_child(fd[0], &e[1]));
        CHECK_INT(waitpid(pid, &status, 0), ==, pid);
        CHECK(WIFEXITED(status));
        CHECK_INT(WEXITSTATUS(status), ==, 0);
    }
    rip_event_set(&e[0]);
    CHECK_INT(player_end(&t), ==, 1);
    close_pipe(fd);
}

/* ---- storm ------------------------------------------------------------ */

/* Each waiter has an event of its own, one that is for all and is never set,
 * and a pipe. Whoever is told says so in `heard`; who tells goes on when it has
 * been heard, so that a wake that is lost stops all. */
enum { WAITERS = 4 };

struct storm {
    rip_event own[WAITERS], all, over;
    atomic_int heard[WAITERS];
    int rounds;
};
static struct storm *storm;
static int pipes[WAITERS][2];

/* What an earlier wait has left there is not to be taken for this one. */
static void forget_announced(rip_event *e)
{
    __atomic_fetch_and(&e->word, ~(uint64_t)RIP__WAITERS, __ATOMIC_SEQ_CST);
}

static int waiter(void *arg)
{
    long me = (long)arg;
    const struct rip_wait items[] = { FD(pipes[me][0]), EVENT(&storm->own[me]),
                                      EVENT(&storm->all), EVENT(&storm->over) };
    for (int i = 0; i < storm->rounds; i++) {
        char c;
        int r = rip_wait_any(items, 4, RIP_FOREVER);
        if (r == 0 && read(pipes[me][0], &c, 1) != 1)
            return 1;
        if (r != 0 && r != 1)
            return 2;
        while (rip_event_is_set(&storm->own[me])) /* not to count it twice */
            sched_yield();
        forget_announced(&storm->own[me]);
        atomic_fetch_add(&storm->heard[me], 1);
    }
    return rip_wait_any(items, 4, RIP_FOREVER) == 3 ? 0 : 3;
}

/* Not before it waits for that again: else it would be set and clear before
 * anybody looked. */
static int teller(void *arg)
{
    long me = (long)arg;
    rip_event *e = &storm->own[me];
    for (int i = 0; i < storm->rounds; i++) {
        if (i % 3 == 0) {
            if (write(pipes[me][1], "x", 1) != 1)
                return 1;
        } else {
            while (!(rip__load(&e->word) & RIP__WAITERS))
                sched_yield();
            rip_event_set(e);
            rip_event_clear(e);
        }
        until_at_least(&storm->heard[me], i + 1);
    }
    return 0;
}

BOTH(a_storm, 60)
{
    struct player w[WAITERS], t[WAITERS];
    only_woken();
    storm = object(kind, sizeof *storm);
    storm->rounds = harness_rounds(200);
    for (long i = 0; i < WAITERS; i++)
        make_pipe(pipes[i]);
    for (long i = 0; i < WAITERS; i++) /* of two processes */
        player_start(&t[i], kind, teller, (void *)i);
    for (long i = 0; i < WAITERS; i++)
        player_start(&w[i], THREADS, waiter, (void *)i);
    for (long i = 0; i < WAITERS; i++)
        CHECK_INT(player_end(&t[i]), ==, 0);
    rip_event_set(&storm->over);
    for (long i = 0; i < WAITERS; i++)
        CHECK_INT(player_end(&w[i]), ==, 0);
    for (long i = 0; i < WAITERS; i++)
        close_pipe(pipes[i]);
}

/* All have the same words, and are told at the same time. */
static int counts_rounds(void *arg)
{
    long me = (long)arg;
    const struct rip_wait items[] = { FD(pipes[0][0]), EVENT(&storm->all) };
    for (int i = 0; i < storm->rounds; i++) {
        if (rip_wait_any(items, 2, RIP_FOREVER) != 1)
            return 1;
        atomic_fetch_add(&storm->heard[me], 1);
        while (atomic_load(&storm->heard[WAITERS - 1]) <= i)
            if (rip_event_wait(&storm->over, RIP_FOREVER) != 0)
                return 2;
    }
    return 0;
}

BOTH(all_are_told_of_one_event, 60)
{
    enum { N = WAITERS - 1 };
    struct player w[N];
    storm = object(kind, sizeof *storm);
    storm->rounds = harness_rounds(100);
    make_pipe(pipes[0]);
    for (long i = 0; i < N; i++)
        player_start(&w[i], kind, counts_rounds, (void *)i);
    for (int i = 0; i < storm->rounds; i++) {
        rip_event_clear(&storm->over);
        rip_event_set(&storm->all);
        for (int k = 0; k < N; k++)
            until_at_least(&storm->heard[k], i + 1);
        rip_event_clear(&storm->all);
        atomic_fetch_add(&storm->heard[WAITERS - 1], 1);
        rip_event_set(&storm->over);
    }
    for (long i = 0; i < N; i++)
        CHECK_INT(player_end(&w[i]), ==, 0);
    close_pipe(pipes[0]);
}
