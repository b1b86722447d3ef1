/* SPDX-License-Identifier: MIT */
#include <ripstop/rwlock.h>

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "sync/world.h"

struct scene {
    rip_rwlock *lock;
    atomic_int *told, *go;
    int rounds;
    long *cells;
};

static struct scene new_scene(enum kind kind)
{
    struct {
        atomic_int told, go;
        long cells[2];
    } *b = board(sizeof *b);
    return (struct scene){ .lock = object(kind, sizeof(rip_rwlock)),
                           .told = &b->told,
                           .go = &b->go,
                           .cells = b->cells };
}

static int read_and_end(void *arg)
{
    const struct scene *x = arg;
    int r = rip_rwlock_read(x->lock, RIP_FOREVER);
    if (r < 0)
        return r;
    atomic_fetch_add(x->told, 1);
    rip_rwlock_release(x->lock);
    return r;
}

static int write_and_end(void *arg)
{
    const struct scene *x = arg;
    int r = rip_rwlock_write(x->lock, RIP_FOREVER);
    if (r < 0)
        return r;
    atomic_fetch_add(x->told, 1);
    rip_rwlock_release(x->lock);
    return r;
}

static int try_read(void *arg)
{
    const struct scene *x = arg;
    int r = rip_rwlock_read(x->lock, RIP_NOW);
    if (r >= 0)
        rip_rwlock_release(x->lock);
    return r;
}

static int try_write(void *arg)
{
    const struct scene *x = arg;
    int r = rip_rwlock_write(x->lock, RIP_NOW);
    if (r >= 0)
        rip_rwlock_release(x->lock);
    return r;
}

static int by_another(enum kind kind, int (*fn)(void *), struct scene *x)
{
    struct player p;
    player_start(&p, kind, fn, x);
    return player_end(&p);
}

/* ---- what it is ------------------------------------------------------- */

BOTH(many_read_or_one_writes, 0)
{
    struct scene x = new_scene(kind);
    CHECK_INT(rip_rwlock_read(x.lock, RIP_NOW), ==, 0);
    CHECK_INT(by_another(kind, try_read, &x), ==, 0);
    CHECK_INT(by_another(kind, try_write, &x), ==, -ETIMEDOUT);
    rip_rwlock_release(x.lock);
    CHECK_INT(by_another(kind, try_write, &x), ==, 0);
    CHECK_INT(rip_rwlock_write(x.lock, RIP_NOW), ==, 0);
    CHECK_INT(by_another(kind, try_read, &x), ==, -ETIMEDOUT);
    CHECK_INT(by_another(kind, try_write, &x), ==, -ETIMEDOUT);
    rip_rwlock_release(x.lock);
    CHECK_INT(by_another(kind, try_read, &x), ==, 0);
    CHECK_INT(by_another(kind, try_write, &x), ==, 0);
}

BOTH(one_would_wait_for_oneself, 0)
{
    struct scene x = new_scene(kind);
    CHECK_INT(rip_rwlock_write(x.lock, RIP_FOREVER), ==, 0);
    CHECK_ERR(rip_rwlock_write(x.lock, RIP_FOREVER), -EDEADLK);
    CHECK_ERR(rip_rwlock_read(x.lock, RIP_FOREVER), -EDEADLK);
    rip_rwlock_release(x.lock);
    CHECK_INT(rip_rwlock_read(x.lock, RIP_FOREVER), ==, 0);
    CHECK_ERR(rip_rwlock_write(x.lock, RIP_FOREVER), -EDEADLK);
    CHECK_INT(rip_rwlock_read(x.lock, RIP_FOREVER), ==, 0);
    rip_rwlock_release(x.lock);
    CHECK_INT(by_another(kind, try_write, &x), ==, -ETIMEDOUT);
    rip_rwlock_release(x.lock);
    CHECK_INT(by_another(kind, try_write, &x), ==, 0);
}

BOTH(a_deadline_is_kept, 0)
{
    struct scene x = new_scene(kind);
    struct player p;
    CHECK_INT(rip_rwlock_read(x.lock, RIP_NOW), ==, 0);
    player_start(&p, kind, write_and_end, &x);
    until_waiting(x.lock, 1);
    CHECK_INT(by_another(kind, try_read, &x), ==, -ETIMEDOUT);
    CHECK_INT(rip_rwlock_read(x.lock, RIP_NOW), ==, 0); /* again: it may */
    rip_rwlock_release(x.lock);
    rip_rwlock_release(x.lock);
    CHECK_INT(player_end(&p), ==, 0);
    CHECK_INT(by_another(kind, try_read, &x), ==, 0);
}

static int write_until_late(void *arg)
{
    const struct scene *x = arg;
    rip_time deadline = rip_after_ms(50);
    int r = rip_rwlock_write(x->lock, deadline);
    return r == -ETIMEDOUT && rip_time_now() < deadline ? 1 : r;
}

static int read_until_late(void *arg)
{
    const struct scene *x = arg;
    rip_time deadline = rip_after_ms(50);
    int r = rip_rwlock_read(x->lock, deadline);
    return r == -ETIMEDOUT && rip_time_now() < deadline ? 1 : r;
}

BOTH(who_gives_up_is_in_nobodys_way, 0)
{
    struct scene x = new_scene(kind);
    CHECK_INT(rip_rwlock_read(x.lock, RIP_NOW), ==, 0);
    CHECK_INT(by_another(kind, write_until_late, &x), ==, -ETIMEDOUT);
    CHECK_INT(by_another(kind, try_read, &x), ==, 0);
    rip_rwlock_release(x.lock);
    CHECK_INT(rip_rwlock_write(x.lock, RIP_NOW), ==, 0);
    CHECK_INT(by_another(kind, read_until_late, &x), ==, -ETIMEDOUT);
    rip_rwlock_release(x.lock);
    CHECK_INT(by_another(kind, try_write, &x), ==, 0);
}

/* ---- waiting ---------------------------------------------------------- */

BOTH(all_readers_come_in_when_the_writer_goes, 0)
{
    only_woken();
    enum { N = 5 };
    struct player p[N];
    struct scene x = new_scene(kind);
    CHECK_INT(rip_rwlock_write(x.lock, RIP_NOW), ==, 0);
    for (int i = 0; i < N; i++)
        player_start(&p[i], kind, read_and_end, &x);
    until_waiting(x.lock, N);
    rip_rwlock_release(x.lock);
    for (int i = 0; i < N; i++)
        CHECK_INT(player_end(&p[i]), ==, 0);
}

BOTH(a_writer_comes_in_when_the_last_reader_goes, 0)
{
    only_woken();
    struct player p;
    struct scene x = new_scene(kind);
    CHECK_INT(rip_rwlock_read(x.lock, RIP_NOW), ==, 0);
    player_start(&p, kind, write_and_end, &x);
    until_waiting(x.lock, 1);
    rip_rwlock_release(x.lock);
    CHECK_INT(player_end(&p), ==, 0);
}

/* Some read all the time, each beginning before the other ends: a writer gets
 * its turn none the less. */
static int read_for_ever(void *arg)
{
    const struct scene *x = arg;
    while (atomic_load(x->go) == 0) {
        if (rip_rwlock_read(x->lock, RIP_FOREVER) < 0)
            return 1;
        for (volatile int i = 0; i < 3000; i++)
            ;
        rip_rwlock_release(x->lock);
    }
    return 0;
}

static int write_for_ever(void *arg)
{
    const struct scene *x = arg;
    while (atomic_load(x->go) == 0) {
        if (rip_rwlock_write(x->lock, RIP_FOREVER) < 0)
            return 1;
        for (volatile int i = 0; i < 3000; i++)
            ;
        rip_rwlock_release(x->lock);
    }
    return 0;
}

static void nobody_starves(enum kind kind, int (*them)(void *),
                           int (*it)(void *))
{
    enum { N = 3 };
    struct player p[N];
    struct scene x = new_scene(kind);
    for (int i = 0; i < N; i++)
        player_start(&p[i], kind, them, &x);
    for (int i = 0; i < 20; i++)
        CHECK_INT(by_another(kind, it, &x), ==, 0);
    atomic_store(x.go, 1);
    for (int i = 0; i < N; i++)
        CHECK_INT(player_end(&p[i]), ==, 0);
}

BOTH(a_writer_does_not_starve, 20)
{
    nobody_starves(kind, read_for_ever, write_and_end);
}

BOTH(a_reader_does_not_starve, 20)
{
    nobody_starves(kind, write_for_ever, read_and_end);
}

/* ---- deaths ----------------------------------------------------------- */

static int read_and_stay(void *arg)
{
    const struct scene *x = arg;
    if (rip_rwlock_read(x->lock, RIP_FOREVER) < 0)
        return 1;
    atomic_fetch_add(x->told, 1);
    for (;;)
        pause();
}

static int write_and_stay(void *arg)
{
    const struct scene *x = arg;
    if (rip_rwlock_write(x->lock, RIP_FOREVER) < 0)
        return 1;
    atomic_fetch_add(x->told, 1);
    for (;;)
        pause();
}

WORLD(killed_readers_read_no_more, 0)
{
    only_woken();
    enum { N = 3 };
    struct player p[N], writer;
    struct scene x = new_scene(PROCESSES);
    for (int i = 0; i < N; i++)
        player_start(&p[i], PROCESSES, read_and_stay, &x);
    until_at_least(x.told, N);
    player_start(&writer, PROCESSES, write_and_end, &x);
    until_waiting(x.lock, 1);
    for (int i = 0; i < N; i++)
        player_kill(&p[i]);
    CHECK_INT(player_end(&writer), ==, 0); /* nothing to be repaired */
}

/* Readers are told until a writer has been, who is told once. */
WORLD(a_killed_writer_is_told_of, 0)
{
    struct player p;
    struct scene x = new_scene(PROCESSES);
    player_start(&p, PROCESSES, write_and_stay, &x);
    until_at_least(x.told, 1);
    player_kill(&p);
    CHECK_INT(by_another(PROCESSES, read_and_end, &x), ==, RIP_RECOVERED);
    CHECK_INT(rip_rwlock_read(x.lock, RIP_NOW), ==, RIP_RECOVERED);
    CHECK_INT(by_another(PROCESSES, write_until_late, &x), ==, -ETIMEDOUT);
    rip_rwlock_release(x.lock);
    CHECK_INT(by_another(PROCESSES, write_and_end, &x), ==, RIP_RECOVERED);
    CHECK_INT(rip_rwlock_read(x.lock, RIP_NOW), ==, 0);
    rip_rwlock_release(x.lock);
    CHECK_INT(rip_rwlock_write(x.lock, RIP_NOW), ==, 0);
    rip_rwlock_release(x.lock);
}

WORLD(a_killed_writer_wakes_who_waits, 0)
{
    only_woken();
    struct player p, reader, writer;
    struct scene x = new_scene(PROCESSES);
    player_start(&p, PROCESSES, write_and_stay, &x);
    until_at_least(x.told, 1);
    player_start(&reader, PROCESSES, read_and_end, &x);
    player_start(&writer, PROCESSES, write_and_end, &x);
    until_waiting(x.lock, 2);
    player_kill(&p);
    int r = player_end(&reader);
    CHECK_INT(player_end(&writer), ==, RIP_RECOVERED);
    CHECK_INT(r, >=, 0);
}

/* It had the word in hand and waited for readers; who takes over finds them,
 * whatever the dead one had cleared. */
WORLD(a_writer_is_killed_while_it_waits_for_readers, 0)
{
    struct player p;
    struct scene x = new_scene(PROCESSES);
    CHECK_INT(rip_rwlock_read(x.lock, RIP_NOW), ==, 0);
    player_start(&p, PROCESSES, write_and_end, &x);
    until_waiting(x.lock, 1);
    player_kill(&p);
    x.lock->flags &= ~1u;
    CHECK_INT(by_another(PROCESSES, try_write, &x), ==, -ETIMEDOUT);
    rip_rwlock_release(x.lock);
    CHECK_INT(by_another(PROCESSES, try_write, &x), ==, RIP_RECOVERED);
}

WORLD(who_is_stopped_keeps_it, 0)
{
    struct player p;
    struct scene x = new_scene(PROCESSES);
    player_start(&p, PROCESSES, read_and_stay, &x);
    until_at_least(x.told, 1);
    CHECK_INT(kill(p.pid, SIGSTOP), ==, 0);
    CHECK_INT(waitpid(p.pid, NULL, WUNTRACED), ==, p.pid);
    CHECK_ERR(rip_rwlock_write(x.lock, rip_after_ms(500)), -ETIMEDOUT);
    player_kill(&p);
    CHECK_INT(rip_rwlock_write(x.lock, RIP_FOREVER), ==, 0);
    rip_rwlock_release(x.lock);
}

static int read_and_go(void *arg)
{
    const struct scene *x = arg;
    return rip_rwlock_read(x->lock, RIP_FOREVER);
}

static int write_and_go(void *arg)
{
    const struct scene *x = arg;
    return rip_rwlock_write(x->lock, RIP_FOREVER);
}

BOTH(a_thread_that_ends_holds_nothing, 0)
{
    struct scene x = new_scene(kind);
    CHECK_INT(by_another(kind, read_and_go, &x), ==, 0);
    CHECK_INT(rip_rwlock_write(x.lock, RIP_FOREVER), ==, 0);
    rip_rwlock_release(x.lock);
    CHECK_INT(by_another(kind, write_and_go, &x), ==, 0);
    CHECK_INT(rip_rwlock_write(x.lock, RIP_FOREVER), ==, RIP_RECOVERED);
    rip_rwlock_release(x.lock);
}

/* The child neither reads nor writes; what it has of the parent's is in the
 * program's own domain the lock of one who is dead. */
WORLD(a_fork_holds_nothing, 0)
{
    struct scene x = new_scene(PROCESSES);
    CHECK_INT(rip_rwlock_read(x.lock, RIP_NOW), ==, 0);
    CHECK_INT(by_another(PROCESSES, try_write, &x), ==, -ETIMEDOUT);
    rip_rwlock_release(x.lock);
    CHECK_INT(rip_rwlock_write(x.lock, RIP_NOW), ==, 0);
    CHECK_INT(by_another(PROCESSES, try_read, &x), ==, -ETIMEDOUT);
    rip_rwlock_release(x.lock);

    static rip_rwlock own;
    x.lock = &own;
    CHECK_INT(rip_rwlock_read(&own, RIP_NOW), ==, 0);
    CHECK_INT(by_another(PROCESSES, try_write, &x), ==, 0);
    rip_rwlock_release(&own);
    CHECK_INT(rip_rwlock_write(&own, RIP_NOW), ==, 0);
    CHECK_INT(by_another(PROCESSES, try_read, &x), ==, RIP_RECOVERED);
    rip_rwlock_release(&own);
}

/* ---- misuse ----------------------------------------------------------- */

static void release(void *l)
{
    rip_rwlock_release(l);
}

WORLD(a_release_of_what_one_does_not_hold, 0)
{
    static rip_rwlock own;
    check_misuse(release, &own,
                 "ripstop: rip_rwlock_release: the caller neither reads nor "
                 "writes\n");
    struct scene x = new_scene(PROCESSES);
    rip_rwlock_release(x.lock);
    CHECK_ERR(rip_rwlock_read(x.lock, RIP_FOREVER), -EBADMSG);
    CHECK_INT(rip_rwlock_read(x.lock, RIP_FOREVER), ==, 0);
    rip_rwlock_release(x.lock);
    rip_rwlock_release(x.lock);
    CHECK_ERR(rip_rwlock_write(x.lock, RIP_FOREVER), -EBADMSG);
    CHECK_INT(rip_rwlock_write(x.lock, RIP_FOREVER), ==, 0);
    rip_rwlock_release(x.lock);
}

WORLD(more_than_can_be_read_at_once, 0)
{
    enum { N = 129 };
    rip_rwlock *l = object(PROCESSES, N * sizeof *l);
    for (int i = 0; i < N - 1; i++)
        CHECK_INT(rip_rwlock_read(&l[i], RIP_NOW), ==, 0);
    CHECK_ERR(rip_rwlock_read(&l[N - 1], RIP_NOW), -ENOMEM);
    for (int i = 0; i < N - 1; i++)
        rip_rwlock_release(&l[i]);
    CHECK_INT(rip_rwlock_read(&l[N - 1], RIP_NOW), ==, 0);
    rip_rwlock_release(&l[N - 1]);
}

WORLD(nonsense_in_the_words, 30)
{
    struct scene x = new_scene(PROCESSES);
    uint64_t n = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        n ^= n << 13;
        n ^= n >> 7;
        n ^= n << 17;
        x.lock->writer.word = n;
        x.lock->writer.heir = n * 31;
        x.lock->flags = (uint32_t)(n >> 7);
        x.lock->gone = (uint32_t)(n >> 13);
        if (rip_rwlock_read(x.lock, RIP_NOW) >= 0)
            rip_rwlock_release(x.lock);
        if (rip_rwlock_write(x.lock, RIP_NOW) >= 0)
            rip_rwlock_release(x.lock);
    }
}

/* ---- many at once ----------------------------------------------------- */

static int mix(void *arg)
{
    const struct scene *x = arg;
    volatile long *cell = x->cells;
    for (int i = 0; i < x->rounds; i++) {
        bool writes = i % 4 == 0;
        if ((writes ? rip_rwlock_write(x->lock, RIP_FOREVER)
                    : rip_rwlock_read(x->lock, RIP_FOREVER)) < 0)
            return 1;
        if (writes)
            cell[0]++;
        bool same = cell[0] == cell[1] + writes;
        if (writes)
            cell[1]++;
        rip_rwlock_release(x->lock);
        if (!same)
            return 2;
    }
    return 0;
}

BOTH(nobody_sees_what_is_half_written, 40)
{
    enum { N = 5 };
    struct player p[N];
    struct scene x = new_scene(kind);
    x.rounds = 8000;
    for (int i = 0; i < N; i++)
        player_start(&p[i], kind, mix, &x);
    for (int i = 0; i < N; i++)
        CHECK_INT(player_end(&p[i]), ==, 0);
    CHECK_INT(x.cells[0], ==, N * x.rounds / 4);
    CHECK_INT(x.cells[1], ==, N * x.rounds / 4);
}

/* Some are killed all the time. Who is told that a writer died makes both
 * cells the same again. */
static int mix_and_mend(void *arg)
{
    const struct scene *x = arg;
    volatile long *cell = x->cells;
    for (int i = 0; i < INT32_MAX; i++) {
        bool writes = i % 3 == 0;
        int r = writes ? rip_rwlock_write(x->lock, RIP_FOREVER)
                       : rip_rwlock_read(x->lock, RIP_FOREVER);
        if (writes && r == RIP_RECOVERED)
            cell[1] = cell[0];
        if (r < 0 || ((writes || r == 0) && cell[0] != cell[1]))
            atomic_fetch_add(x->go, 1);
        if (writes) {
            cell[0]++;
            cell[1]++;
        }
        rip_rwlock_release(x->lock);
    }
    return 0;
}

WORLD(it_holds_through_many_deaths, 60)
{
    enum { N = 4 };
    struct player p[N];
    struct scene x = new_scene(PROCESSES);
    int rounds = harness_rounds(300);
    for (int i = 0; i < N; i++)
        player_start(&p[i], PROCESSES, mix_and_mend, &x);
    unsigned n = 1;
    for (int i = 0; i < rounds; i++) {
        n = n * 1103515245 + 12345;
        struct player *one = &p[(n >> 16) % N];
        int seen = 0;
        for (unsigned spin = 0; spin < (n >> 20) % 2048; spin++)
            seen += atomic_load(x.told);
        (void)seen;
        player_kill(one);
        player_start(one, PROCESSES, mix_and_mend, &x);
    }
    for (int i = 0; i < N; i++)
        player_kill(&p[i]);
    CHECK_INT(atomic_load(x.go), ==, 0);
    CHECK_INT(rip_rwlock_write(x.lock, rip_after(harness_scale(3))), >=, 0);
    rip_rwlock_release(x.lock);
}
