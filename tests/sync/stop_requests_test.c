/* SPDX-License-Identifier: MIT */
#include <ripstop/ripstop.h>
#include <ripstop/task.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "fault.h"
#include "harness.h"
#include "segment/segment.h"
#include "sync/world.h"

/* ---- what can be waited for ------------------------------------------- */

struct stage {
    rip_event event, go;
    rip_sem signals, permits;
    rip_lock lock;
    rip_cond cond;
    rip_barrier barrier;
    rip_latch latch;
    rip_once_flag once;
    int ready, done;
    pthread_t other;
};

static bool is_ready(void *arg)
{
    const struct stage *s = arg;
    return __atomic_load_n(&s->ready, __ATOMIC_SEQ_CST);
}

static int call_event(struct stage *s, rip_time deadline)
{
    return rip_event_wait(&s->event, deadline);
}

static void set_event(struct stage *s)
{
    rip_event_set(&s->event);
}

static int call_signals(struct stage *s, rip_time deadline)
{
    return rip_sem_acquire(&s->signals, deadline);
}

static void give_signal(struct stage *s)
{
    CHECK_OK(rip_sem_release(&s->signals, 1));
}

static int call_permits(struct stage *s, rip_time deadline)
{
    return rip_sem_acquire(&s->permits, deadline);
}

static void give_permit(struct stage *s)
{
    CHECK_OK(rip_sem_release(&s->permits, 1));
}

static int call_latch(struct stage *s, rip_time deadline)
{
    return rip_latch_wait(&s->latch, deadline);
}

static void open_latch(struct stage *s)
{
    rip_latch_count_down(&s->latch);
}

static int call_cond(struct stage *s, rip_time deadline)
{
    CHECK_INT(rip_lock_acquire(&s->lock, RIP_FOREVER), ==, 0);
    int r = 0;
    while (r == 0 && !is_ready(s))
        r = rip_cond_wait(&s->cond, &s->lock, deadline);
    CHECK(rip_lock_is_mine(&s->lock));
    rip_lock_release(&s->lock);
    return r;
}

static int call_cond_for(struct stage *s, rip_time deadline)
{
    CHECK_INT(rip_lock_acquire(&s->lock, RIP_FOREVER), ==, 0);
    int r = rip_cond_wait_for(&s->cond, &s->lock, is_ready, s, deadline);
    CHECK(rip_lock_is_mine(&s->lock));
    rip_lock_release(&s->lock);
    return r;
}

static void notify(struct stage *s)
{
    __atomic_store_n(&s->ready, 1, __ATOMIC_SEQ_CST);
    rip_cond_notify(&s->cond, 1);
}

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int run_until_go(void *arg)
{
    struct stage *s = arg;
    rip_event_set(&s->event);
    return rip_event_wait(&s->go, RIP_FOREVER);
}

static void *run_once(void *arg)
{
    struct stage *s = arg;
    CHECK_INT(rip_once(&s->once, run_until_go, s, RIP_FOREVER), ==, 0);
    return NULL;
}

/* Another thread runs it. */
static void begin_once(struct stage *s)
{
    CHECK_INT(pthread_create(&s->other, NULL, run_once, s), ==, 0);
    CHECK_INT(rip_event_wait(&s->event, RIP_FOREVER), ==, 0);
}

static int call_once(struct stage *s, rip_time deadline)
{
    return rip_once(&s->once, do_nothing, NULL, deadline);
}

static void end_once(struct stage *s)
{
    rip_event_set(&s->go);
    CHECK_INT(pthread_join(s->other, NULL), ==, 0);
}

static int call_barrier(struct stage *s, rip_time deadline)
{
    int r = rip_barrier_wait(&s->barrier, deadline);
    return r > 0 ? 0 : r;
}

static void *arrive(void *arg)
{
    struct stage *s = arg;
    CHECK_INT(call_barrier(s, RIP_FOREVER), ==, 0);
    return NULL;
}

/* Another thread waits there, in the middle of the epoch. */
static void begin_barrier(struct stage *s)
{
    (void)s;
}

static void end_barrier(struct stage *s)
{
    CHECK_INT(pthread_create(&s->other, NULL, arrive, s), ==, 0);
}

static void done_barrier(struct stage *s)
{
    CHECK_INT(pthread_join(s->other, NULL), ==, 0);
}

static const struct row {
    const char *name;
    size_t object; /* what it sleeps on */
    int (*call)(struct stage *s, rip_time deadline);
    void (*begin)(struct stage *s);   /* before it is called; NULL */
    void (*satisfy)(struct stage *s); /* makes it succeed */
    void (*done)(struct stage *s);    /* when it has; NULL */
} rows[] = {
#define AT(member) offsetof(struct stage, member)
    { "event", AT(event), call_event, NULL, set_event, NULL },
    { "signals", AT(signals), call_signals, NULL, give_signal, NULL },
    { "permits", AT(permits), call_permits, NULL, give_permit, NULL },
    { "latch", AT(latch), call_latch, NULL, open_latch, NULL },
    { "cond", AT(cond), call_cond, NULL, notify, NULL },
    { "cond_for", AT(cond), call_cond_for, NULL, notify, NULL },
    { "once", AT(once), call_once, begin_once, end_once, NULL },
    { "barrier", AT(barrier), call_barrier, begin_barrier, end_barrier,
      done_barrier },
};
enum { ROWS = sizeof rows / sizeof *rows };

/* ---- a task that waits ------------------------------------------------ */

struct play {
    struct stage *stage;
    const struct row *row;
    bool shielded, stopped_before;
    rip_time deadline;
};

static int play(void *arg)
{
    const struct play *p = arg;
    while (p->stopped_before && !rip_task_stopping())
        sched_yield();
    if (p->shielded)
        rip_task_shield(true);
    return p->row->call(p->stage, p->deadline);
}

static struct stage *stage_new(enum kind kind)
{
    struct stage *s = object(kind, sizeof *s);
    rip_sem_init(&s->signals, 0, 0);
    rip_sem_init(&s->permits, 0, 4);
    rip_latch_init(&s->latch, 1);
    rip_barrier_init(&s->barrier, 2);
    return s;
}

static const struct row *begin(struct stage *s, size_t i)
{
    const struct row *row = &rows[i];
    harness_note("%s", row->name);
    if (row->begin)
        row->begin(s);
    return row;
}

static rip_task *start(enum kind kind, int (*fn)(void *), void *arg,
                       size_t size)
{
    const struct rip_task_options o = { .kind = kind == THREADS ? RIP_THREAD
                                                                : RIP_PROCESS,
                                        .arg_size = size };
    rip_task *t;
    CHECK_OK(rip_task_start(&t, fn, arg, &o));
    return t;
}

static int end_of(rip_task *t)
{
    struct rip_exit e;
    CHECK_OK(rip_task_join(t, &e, RIP_FOREVER));
    CHECK_INT(e.how, ==, RIP_EXITED);
    rip_task_free(t);
    return e.code;
}

/* ---- each of them ----------------------------------------------------- */

BOTH(a_stop_ends_each_wait, 30)
{
    only_woken();
    for (size_t i = 0; i < ROWS; i++) {
        struct stage *s = stage_new(kind);
        const struct row *row = begin(s, i);
        struct play p = { .stage = s, .row = row, .deadline = RIP_FOREVER };
        rip_task *t = start(kind, play, &p, sizeof p);
        until_waiting((char *)s + row->object, 1);
        rip_task_stop(t);
        CHECK_ERR(end_of(t), -ECANCELED);
        if (row->begin == begin_once)
            end_once(s);
    }
}

BOTH(who_is_to_stop_does_not_begin_to_wait, 30)
{
    only_woken();
    for (size_t i = 0; i < ROWS; i++) {
        struct stage *s = stage_new(kind);
        const struct row *row = begin(s, i);
        struct play p = { .stage = s,
                          .row = row,
                          .stopped_before = true,
                          .deadline = RIP_FOREVER };
        rip_task *t = start(kind, play, &p, sizeof p);
        rip_task_stop(t);
        CHECK_ERR(end_of(t), -ECANCELED);
        if (row->begin == begin_once)
            end_once(s);
    }
}

BOTH(a_shield_keeps_a_stop_off, 30)
{
    only_woken();
    for (size_t i = 0; i < ROWS; i++) {
        struct stage *s = stage_new(kind);
        const struct row *row = begin(s, i);
        struct play p = {
            .stage = s, .row = row, .shielded = true, .deadline = RIP_FOREVER
        };
        rip_task *t = start(kind, play, &p, sizeof p);
        until_waiting((char *)s + row->object, 1);
        rip_task_stop(t);
        row->satisfy(s);
        CHECK_INT(end_of(t), ==, 0);
        if (row->done)
            row->done(s);
    }
}

BOTH(what_can_be_done_at_once_is_done, 30)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct stage *s = stage_new(kind);
        const struct row *row = begin(s, i);
        struct play p = { .stage = s,
                          .row = row,
                          .stopped_before = true,
                          .deadline = RIP_FOREVER };
        row->satisfy(s);
        if (row->done)
            until_waiting((char *)s + row->object, 1);
        rip_task *t = start(kind, play, &p, sizeof p);
        rip_task_stop(t);
        CHECK_INT(end_of(t), ==, 0);
        if (row->done)
            row->done(s);
    }
}

BOTH(what_does_not_wait_is_not_cancelled, 30)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct stage *s = stage_new(kind);
        const struct row *row = begin(s, i);
        for (rip_time deadline = RIP_NOW; deadline < 2; deadline++) {
            struct play p = { .stage = s,
                              .row = row,
                              .stopped_before = true,
                              .deadline = deadline };
            if (row->call == call_barrier)
                rip_barrier_reset(&s->barrier);
            rip_task *t = start(kind, play, &p, sizeof p);
            rip_task_stop(t);
            CHECK_ERR(end_of(t), -ETIMEDOUT);
        }
        if (row->begin == begin_once)
            end_once(s);
    }
}

/* Before Linux 5.16 there is no sleep on two words. */
BOTH(a_stop_is_seen_where_only_one_word_can_be_slept_on, 30)
{
    fault_always(SYS_futex_waitv, ENOSYS);
    for (size_t i = 0; i < ROWS; i++) {
        struct stage *s = stage_new(kind);
        const struct row *row = begin(s, i);
        struct play p = { .stage = s, .row = row, .deadline = RIP_FOREVER };
        rip_task *t = start(kind, play, &p, sizeof p);
        until_waiting((char *)s + row->object, 1);
        rip_task_stop(t);
        CHECK_ERR(end_of(t), -ECANCELED);
        if (row->begin == begin_once)
            end_once(s);
    }
}

/* ---- what is not cancelled -------------------------------------------- */

struct locks {
    rip_lock lock;
    rip_rlock rlock;
    rip_rwlock rwlock;
};

static int take_lock(void *arg)
{
    struct locks *l = *(struct locks **)arg;
    int r = rip_lock_acquire(&l->lock, RIP_FOREVER);
    rip_lock_release(&l->lock);
    return r;
}

static int take_rlock(void *arg)
{
    struct locks *l = *(struct locks **)arg;
    int r = rip_rlock_acquire(&l->rlock, RIP_FOREVER);
    rip_rlock_release(&l->rlock);
    return r;
}

static int take_to_read(void *arg)
{
    struct locks *l = *(struct locks **)arg;
    int r = rip_rwlock_read(&l->rwlock, RIP_FOREVER);
    rip_rwlock_release(&l->rwlock);
    return r;
}

static int take_to_write(void *arg)
{
    struct locks *l = *(struct locks **)arg;
    int r = rip_rwlock_write(&l->rwlock, RIP_FOREVER);
    rip_rwlock_release(&l->rwlock);
    return r;
}

BOTH(locks_are_waited_for_all_the_same, 30)
{
    int (*const take[])(void *) = { take_lock, take_rlock, take_to_read,
                                    take_to_write };
    struct locks *l = object(kind, sizeof *l);
    const void *const at[] = { &l->lock, &l->rlock, &l->rwlock, &l->rwlock };
    for (size_t i = 0; i < 4; i++) {
        harness_note("lock %zu", i);
        CHECK_INT(rip_lock_acquire(&l->lock, RIP_NOW), ==, 0);
        CHECK_INT(rip_rlock_acquire(&l->rlock, RIP_NOW), ==, 0);
        CHECK_INT(rip_rwlock_write(&l->rwlock, RIP_NOW), ==, 0);
        rip_task *t = start(kind, take[i], &l, sizeof(void *));
        until_waiting(at[i], 1);
        rip_task_stop(t);
        CHECK_ERR(rip_task_join(t, NULL, rip_after_ms(20)), -ETIMEDOUT);
        rip_rwlock_release(&l->rwlock);
        rip_rlock_release(&l->rlock);
        rip_lock_release(&l->lock);
        CHECK_INT(end_of(t), ==, 0);
    }
}

/* It gets its lock back, however long that takes. */
BOTH(a_cancelled_wait_has_its_lock_again, 30)
{
    only_woken();
    struct stage *s = stage_new(kind);
    struct play p = { .stage = s, .row = begin(s, 4), .deadline = RIP_FOREVER };
    rip_task *t = start(kind, play, &p, sizeof p);
    until_waiting(&s->cond, 1);
    CHECK_INT(rip_lock_acquire(&s->lock, RIP_FOREVER), ==, 0);
    rip_task_stop(t);
    until_waiting(&s->lock, 1);
    CHECK_ERR(rip_task_join(t, NULL, RIP_NOW), -ETIMEDOUT);
    rip_lock_release(&s->lock);
    CHECK_ERR(end_of(t), -ECANCELED);
}

/* What is true by then is told, though nobody has notified. */
BOTH(a_condition_that_has_come_true_is_not_cancelled, 30)
{
    only_woken();
    struct stage *s = stage_new(kind);
    struct play p = { .stage = s, .row = begin(s, 5), .deadline = RIP_FOREVER };
    rip_task *t = start(kind, play, &p, sizeof p);
    until_waiting(&s->cond, 1);
    __atomic_store_n(&s->ready, 1, __ATOMIC_SEQ_CST);
    rip_task_stop(t);
    CHECK_INT(end_of(t), ==, 0);
}

BOTH(a_cancelled_party_breaks_the_barrier, 30)
{
    only_woken();
    struct stage *s = stage_new(kind);
    rip_barrier_init(&s->barrier, 3);
    struct play p = { .stage = s, .row = begin(s, 7), .deadline = RIP_FOREVER };
    rip_task *a = start(kind, play, &p, sizeof p);
    rip_task *b = start(kind, play, &p, sizeof p);
    until_waiting(&s->barrier, 2);
    rip_task_stop(a);
    CHECK_ERR(end_of(a), -ECANCELED);
    CHECK_ERR(end_of(b), -EPIPE);
    CHECK(rip_barrier_is_broken(&s->barrier));
}

/* ---- no wake is lost with who is cancelled ---------------------------- */

/* Two wait, one of them is stopped, and at the same time there is something
 * for one: one of them has it, and the other can still be woken. */
static void share_one(enum kind kind, size_t i)
{
    struct stage *s = stage_new(kind);
    const struct row *row = begin(s, i);
    struct play p = { .stage = s, .row = row, .deadline = RIP_FOREVER };
    rip_task *a = start(kind, play, &p, sizeof p);
    rip_task *b = start(kind, play, &p, sizeof p);
    until_waiting((char *)s + row->object, 2);
    rip_task_stop(a);
    row->satisfy(s);
    int first = end_of(a);
    if (first == 0 && row->object != offsetof(struct stage, cond))
        row->satisfy(s);
    else if (first == 0)
        rip_cond_notify(&s->cond, 1);
    CHECK(first == 0 || first == -ECANCELED);
    CHECK_INT(end_of(b), ==, 0);
    world_end();
}

BOTH(a_wake_is_not_lost_with_who_is_cancelled, 60)
{
    int rounds = harness_rounds(kind == THREADS ? 150 : 40);
    only_woken();
    for (int i = 0; i < rounds; i++) {
        share_one(kind, 1);
        share_one(kind, 2);
        share_one(kind, 4);
    }
}
