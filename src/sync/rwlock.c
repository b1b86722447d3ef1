/* SPDX-License-Identifier: MIT */
#include <ripstop/rwlock.h>

#include <errno.h>

#include "sync/sync.h"

/*
 *     writer  the lock that a writer holds, and who queues up for it
 *     gone    bit 0: the writer sleeps until readers go; each that goes then
 *             adds 1
 *     flags   READERS: somebody has read since a writer last looked
 *             SUSPECT: a writer died, and no other has been told
 *
 * A reader holds by a mark in its slot and by nothing else. It marks, makes
 * sure of READERS, and then looks at the writer's word: no writer, it is in.
 * A writer takes the word, and then looks at READERS: clear, it is in. One of
 * the two sees the other.
 *
 * With READERS set the writer clears it and looks through the marks after
 * that; if it finds any it sets it again. So a reader that found it set before
 * it was cleared has a mark that is found, and one that comes later sets it
 * anew. Between clearing and setting nobody else can look, since the writer
 * has the word; who takes that over from a dead writer looks at the marks in
 * any case.
 *
 *     killed                         what is left
 *     reader, marked                 a mark of the dead, which counts for none
 *     writer, anywhere               its name in the word: RIP_RECOVERED
 *     told that one died, before it  SUSPECT, or its own name in the word
 *     could tell its caller
 */
enum { READERS = 1, SUSPECT = 2 };
enum { SLEEPS = 1 };

/* Marks and words are each other's guards: no load may overtake a store. */
#define look_at(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)

static void clear(rip_rwlock *l, uint32_t flag)
{
    __atomic_fetch_and(&l->flags, ~flag, __ATOMIC_SEQ_CST);
}

/* What a reader is told who is in. */
static int told(const rip_rwlock *l)
{
    return rip__load(&l->flags) & SUSPECT ? RIP_RECOVERED : 0;
}

/* ---- readers ---------------------------------------------------------- */

static uint64_t *own_mark(const struct rip__me *me, const rip_rwlock *l)
{
    return rip__find_mark(me, l, RIP__READS, 0);
}

/* NULL: there is no place for one more. */
static uint64_t *mark(struct rip__me *me, rip_rwlock *l)
{
    uint64_t *m = rip__mark(me, l, RIP__READS, 0);
    if (m && !(look_at(&l->flags) & READERS))
        rip__or(&l->flags, READERS);
    return m;
}

static void unmark(struct rip__me *me, rip_rwlock *l, uint64_t *mark)
{
    bool shared = me->domain->shared;
    rip__unmark(me, mark);
    if (!(look_at(&l->gone) & SLEEPS))
        return;
    rip__plus(&l->gone, 1);
    rip__wake(shared, &l->gone, RIP__ALL);
}

/* 0: it reads; 1: there is a writer. */
static int try_read(struct rip__me *me, rip_rwlock *l)
{
    bool again = own_mark(me, l) != NULL;
    uint64_t *m = mark(me, l);
    if (!m || again)
        return m ? 0 : -ENOMEM;
    uint64_t word = look_at(&l->writer.word);
    if (rip__who(word) == 0 && !(word & RIP__DAMAGED))
        return 0;
    unmark(me, l, m);
    return 1;
}

/* Takes the word as a writer would, to mark while it is held. */
static int queue_to_read(struct rip__me *me, rip_rwlock *l, rip_time deadline)
{
    int r = rip__lock_take(me, &l->writer, deadline);
    if (r < 0)
        return r;
    if (r == RIP_RECOVERED)
        rip__or(&l->flags, SUSPECT);
    r = mark(me, l) ? 0 : -ENOMEM;
    rip__lock_give(me, &l->writer);
    return r;
}

int rip_rwlock_read(rip_rwlock *l, rip_time deadline)
{
    struct rip__me *me;
    int r = rip__join(l, &me);
    if (r < 0)
        return r;
    r = try_read(me, l);
    if (r > 0)
        r = queue_to_read(me, l, deadline);
    return r < 0 ? r : told(l);
}

/* ---- writers ---------------------------------------------------------- */

static size_t find_readers(const struct rip__me *me, const rip_rwlock *l,
                           uint64_t *ret)
{
    uint32_t at = 0;
    size_t n = 0;
    while (n < RIP__WATCH &&
           (ret[n] = rip__next_marked(me, l, RIP__READS, 0, &at)) != 0)
        n += !rip__is_dead(me->domain, ret[n]);
    return n;
}

/* With the word in hand: until nobody reads. It sleeps from the second turn
 * on, when those whom it found see that it does. */
static int expel(struct rip__me *me, rip_rwlock *l, rip_time deadline)
{
    uint64_t who[RIP__WATCH];
    struct rip__sleep s = { .object = l, .word = &l->gone, .watch = who };
    int r = 0;
    for (bool first = true;; first = false) {
        if (!first)
            s.seen = rip__or(&l->gone, SLEEPS) | SLEEPS;
        clear(l, READERS);
        s.n_watch = find_readers(me, l, who);
        if (s.n_watch == 0)
            return 0;
        rip__or(&l->flags, READERS);
        if (r == -ETIMEDOUT)
            return r;
        if (!first)
            r = rip__sleep(me, &s, deadline);
    }
}

int rip_rwlock_write(rip_rwlock *l, rip_time deadline)
{
    struct rip__me *me;
    int r = rip__join(l, &me);
    if (r < 0)
        return r;
    if (own_mark(me, l))
        return -EDEADLK;
    r = rip__lock_take(me, &l->writer, deadline);
    if (r < 0)
        return r;
    if (r == RIP_RECOVERED)
        rip__or(&l->flags, SUSPECT);
    /* Who took over from a writer that died may have given the word on before
     * anybody looked again for readers: SUSPECT says so as well. */
    bool may_be_read = look_at(&l->flags) & (READERS | SUSPECT);
    r = may_be_read ? expel(me, l, deadline) : 0;
    if (r < 0) {
        rip__lock_give(me, &l->writer);
        return r;
    }
    r = told(l);
    if (r == RIP_RECOVERED)
        clear(l, SUSPECT);
    return r;
}

/* ---- both ------------------------------------------------------------- */

void rip_rwlock_release(rip_rwlock *l)
{
    struct rip__me *me = NULL;
    bool joined = rip__join(l, &me) == 0;
    uint64_t *m = joined ? own_mark(me, l) : NULL;
    if (m)
        unmark(me, l, m);
    else if (joined && rip__who(rip__load_relaxed(&l->writer.word)) == me->id)
        rip__lock_give(me, &l->writer);
    else
        rip__misused(&l->writer.word,
                     "rip_rwlock_release: the caller neither reads nor writes");
}
