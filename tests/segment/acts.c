/* SPDX-License-Identifier: MIT */
#include "acts.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/atomic.h"
#include "harness.h"
#include "segment/layout.h"

/* ---- what may come of it ---------------------------------------------- */

static void expect(const char *call, int r, const int *errors)
{
    while (r < 0 && *errors != 0 && *errors != r)
        errors++;
    if (r < 0 && *errors == 0)
        FAIL("%s gives %s", call, harness_errno_name(r));
}

#define EXPECT(call, r, ...) expect(call, r, (const int[]){ __VA_ARGS__, 0 })
#define JOINING              -ENOMEM, -EXDEV

static rip_time soon(const struct acts *a)
{
    return a->wait_ns == 0 ? RIP_NOW : rip_time_now() + a->wait_ns;
}

static void expect_inside(const struct acts *a, const void *p, size_t size,
                          size_t alignment)
{
    const struct rip__layout *l = &a->segment->layout;
    size_t at = (uintptr_t)p - (uintptr_t)a->segment->base;
    CHECK_INT(at, >=, l->data_at);
    CHECK_INT(at, <, l->size);
    CHECK_INT(size, <=, l->size - at);
    CHECK_INT(at % alignment, ==, 0);
}

/* ---- locks ------------------------------------------------------------ */

static bool acquire(struct acts *a, rip_time deadline)
{
    int r = rip_lock_acquire(&a->objects->lock, deadline);
    EXPECT("rip_lock_acquire", r, -ETIMEDOUT, -EDEADLK, -EBADMSG, JOINING);
    return r >= 0;
}

static void lock(struct acts *a)
{
    if (acquire(a, soon(a)))
        rip_lock_release(&a->objects->lock);
    (void)rip_lock_is_mine(&a->objects->lock);
}

static void keep_lock(struct acts *a)
{
    (void)acquire(a, RIP_NOW);
}

static void give_lock(struct acts *a)
{
    rip_lock_release(&a->objects->lock);
}

static bool acquire_again(struct acts *a)
{
    int r = rip_rlock_acquire(&a->objects->rlock, soon(a));
    EXPECT("rip_rlock_acquire", r, -ETIMEDOUT, -EOVERFLOW, -EBADMSG, JOINING);
    return r >= 0;
}

static void lock_twice(struct acts *a)
{
    unsigned n = acquire_again(a);
    n += acquire_again(a);
    for (; n > 0; n--)
        rip_rlock_release(&a->objects->rlock);
}

static bool read_it(struct acts *a)
{
    int r = rip_rwlock_read(&a->objects->rwlock, soon(a));
    EXPECT("rip_rwlock_read", r, -ETIMEDOUT, -EDEADLK, -EBADMSG, JOINING);
    return r >= 0;
}

static void read_twice(struct acts *a)
{
    unsigned n = read_it(a);
    n += read_it(a);
    for (; n > 0; n--)
        rip_rwlock_release(&a->objects->rwlock);
}

static void write_it(struct acts *a)
{
    int r = rip_rwlock_write(&a->objects->rwlock, soon(a));
    EXPECT("rip_rwlock_write", r, -ETIMEDOUT, -EDEADLK, -EBADMSG, JOINING);
    if (r >= 0)
        rip_rwlock_release(&a->objects->rwlock);
}

/* ---- conditions, events, once ----------------------------------------- */

static void wait_cond(struct acts *a)
{
    struct acts_objects *o = a->objects;
    if (!acquire(a, soon(a)))
        return;
    int r = rip_cond_wait(&o->cond, &o->lock, soon(a));
    EXPECT("rip_cond_wait", r, -ETIMEDOUT, -EPERM, -EINVAL, JOINING);
    rip_cond_notify(&o->cond, 1);
    rip_lock_release(&o->lock);
    rip_cond_notify(&o->cond, 2);
    rip_cond_notify_all(&o->cond);
}

static void wait_event(struct acts *a)
{
    int r = rip_event_wait(&a->objects->event, soon(a));
    EXPECT("rip_event_wait", r, -ETIMEDOUT, JOINING);
}

static void set_event(struct acts *a)
{
    rip_event_set(&a->objects->event);
    (void)rip_event_is_set(&a->objects->event);
    rip_event_clear(&a->objects->event);
}

static int nothing(void *arg)
{
    (void)arg;
    return -EIO;
}

static void once(struct acts *a)
{
    int r = rip_once(&a->objects->once, nothing, NULL, soon(a));
    EXPECT("rip_once", r, -EIO, -ETIMEDOUT, -EDEADLK, -EBADMSG, -EPERM,
           JOINING);
}

/* ---- semaphores ------------------------------------------------------- */

static void use(struct acts *a, rip_sem *s)
{
    int r = rip_sem_acquire(s, soon(a));
    EXPECT("rip_sem_acquire", r, -ETIMEDOUT, -EBADMSG, JOINING);
    (void)rip_sem_value(s);
    if (r < 0 && a->turn % 4 != 0)
        return;
    r = rip_sem_release(s, 1);
    EXPECT("rip_sem_release", r, -EOVERFLOW, -EBADMSG);
}

static void use_signals(struct acts *a)
{
    use(a, &a->objects->signals);
}

static void use_permits(struct acts *a)
{
    use(a, &a->objects->permits);
}

static void keep_permit(struct acts *a)
{
    int r = rip_sem_acquire(&a->objects->permits, RIP_NOW);
    EXPECT("rip_sem_acquire", r, -ETIMEDOUT, -EBADMSG, JOINING);
}

static void give_permits(struct acts *a)
{
    int r = rip_sem_release(&a->objects->permits, 2);
    EXPECT("rip_sem_release", r, -EOVERFLOW, -EBADMSG);
}

/* ---- barrier and latch ------------------------------------------------ */

static void join_barrier(struct acts *a)
{
    int r = rip_barrier_join(&a->objects->barrier);
    EXPECT("rip_barrier_join", r, -EPIPE, JOINING);
}

static void wait_barrier(struct acts *a)
{
    struct rip_culprit who;
    rip_barrier *b = &a->objects->barrier;
    int r = rip_barrier_wait(b, soon(a));
    EXPECT("rip_barrier_wait", r, -EPIPE, -ETIMEDOUT, -EBADMSG, JOINING);
    r = rip_barrier_culprit(b, &who);
    EXPECT("rip_barrier_culprit", r, -ESRCH);
    CHECK(r < 0 || memchr(who.name, 0, sizeof who.name));
    (void)rip_barrier_waiting(b);
    if (rip_barrier_is_broken(b))
        rip_barrier_reset(b);
}

static void leave_barrier(struct acts *a)
{
    rip_barrier_leave(&a->objects->barrier);
    rip_barrier_abort(&a->objects->barrier);
}

static void join_latch(struct acts *a)
{
    int r = rip_latch_join(&a->objects->latch);
    EXPECT("rip_latch_join", r, -EPIPE, JOINING);
    if (a->turn % 2)
        rip_latch_count_down(&a->objects->latch);
}

static void wait_latch(struct acts *a)
{
    struct rip_culprit who;
    rip_latch *l = &a->objects->latch;
    int r = rip_latch_wait(l, soon(a));
    EXPECT("rip_latch_wait", r, -EPIPE, -ETIMEDOUT, -EBADMSG, JOINING);
    r = rip_latch_culprit(l, &who);
    EXPECT("rip_latch_culprit", r, -ESRCH);
    CHECK(r < 0 || memchr(who.name, 0, sizeof who.name));
    if (rip_latch_count(l) == 0)
        rip_latch_init(l, 3);
}

/* ---- memory and names ------------------------------------------------- */

static void allocate(struct acts *a, size_t size)
{
    void *p = rip_shared_alloc(a->segment, size);
    if (!p)
        return;
    expect_inside(a, p, size, size < 64 ? 16 : 64);
    memset(p, 0x5a, size);
    rip_shared_free(a->segment, p);
    if (a->turn % 4 == 0)
        rip_shared_free(a->segment, p);
}

static void allocate_small(struct acts *a)
{
    static const size_t sizes[] = { 16, 100, 2048 };
    allocate(a, sizes[a->turn % 3]);
}

static void allocate_run(struct acts *a)
{
    allocate(a, a->turn % 8 ? 10000 : 140000);
}

/* Also what is no block: it was free at some time, or never. */
static void free_anything(struct acts *a)
{
    const struct rip__layout *l = &a->segment->layout;
    size_t at = l->data_at + a->turn * (size_t)5000 % (l->size - l->data_at);
    size_t objects = (uintptr_t)a->objects - (uintptr_t)a->segment->base;
    if (at / RIP__UNIT_SIZE != objects / RIP__UNIT_SIZE)
        rip_shared_free(a->segment, a->segment->base + at);
}

static void get(struct acts *a)
{
    void *p;
    int r = rip_segment_get(&p, a->segment, "some object", 100);
    EXPECT("rip_segment_get", r, -EMSGSIZE, -EBADMSG, JOINING);
    if (r >= 0)
        expect_inside(a, p, 100, 8);
}

static void name(struct acts *a)
{
    int r = rip_segment_name(a->segment, &a->objects->lock,
                             a->turn % 2 ? "the lock" : NULL);
    EXPECT("rip_segment_name", r, -ENOENT, JOINING);
    r = rip_segment_name_me(a->segment, "an actor");
    EXPECT("rip_segment_name_me", r, JOINING);
}

/* ---- reports ---------------------------------------------------------- */

static void look_at_list(const struct rip_segment_report *r, const int *objects,
                         size_t n, size_t most)
{
    CHECK_INT(n, <=, most);
    for (size_t i = 0; i < n; i++) {
        CHECK_INT(objects[i], >=, 0);
        CHECK_INT(objects[i], <, r->n_objects);
    }
}

static void look_at_member(const struct rip_segment_report *r,
                           const struct rip_segment_member *m)
{
    CHECK_INT(strlen(m->name), <, RIP__NAME);
    CHECK_INT(strlen(m->program), <, 32);
    CHECK_INT(m->waits_for, >=, -1);
    CHECK_INT(m->waits_for, <, r->n_objects);
    look_at_list(r, m->holds, m->n_holds, RIP__HELD);
    look_at_list(r, m->reads, m->n_reads, RIP__MARKS);
    look_at_list(r, m->party_of, m->n_party_of, RIP__MARKS - m->n_reads);
    CHECK_INT(m->n_permits, <=, RIP__RECORDS);
    for (size_t i = 0; i < m->n_permits; i++)
        look_at_list(r, &m->permits[i].object, 1, 1);
}

static void inspect(struct acts *a)
{
    struct rip_segment_report *r;
    int e = rip_segment_inspect(&r, a->segment);
    EXPECT("rip_segment_inspect", e, -EBADMSG, -EPROTO, -EXDEV);
    if (e < 0)
        return;
    for (size_t i = 0; i < r->n_members; i++)
        look_at_member(r, &r->members[i]);
    for (size_t i = 0; i < r->n_objects; i++) {
        CHECK_INT(strlen(r->objects[i].name), <, RIP__NAME_LENGTH);
        CHECK_INT(r->objects[i].offset, <, a->segment->layout.size);
        CHECK_INT(r->objects[i].holder, >=, -1);
        CHECK_INT(r->objects[i].holder, <, r->n_members);
    }
    rip_segment_report_free(r);
}

static void stats(struct acts *a)
{
    struct rip_segment_stats s;
    rip_segment_stats(a->segment, &s);
    CHECK_INT(s.size, ==, a->segment->layout.n_units * RIP__UNIT_SIZE);
    CHECK_INT(s.members, <=, s.members_max);
}

/* ---- members ---------------------------------------------------------- */

/* Of those who were found dead, too. */
static void sweep(struct acts *a)
{
    const struct rip__domain *d = a->segment->domain;
    for (uint32_t i = 0; i < rip__slots_used(d); i++)
        rip__sweep(a->segment->domain);
}

static void *visit(void *arg)
{
    struct acts a = *(struct acts *)arg;
    acts_take_all(&a);
    return NULL;
}

/* One who comes, takes one of everything, and goes with it. */
static void newcomer(struct acts *a)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, visit, a) == 0)
        pthread_join(thread, NULL);
}

/* ---- all of them ------------------------------------------------------ */

#define ACTS(x)                                                              \
    x(lock), x(keep_lock), x(give_lock), x(lock_twice), x(read_twice),       \
        x(write_it), x(wait_cond), x(wait_event), x(set_event), x(once),     \
        x(use_signals), x(use_permits), x(keep_permit), x(give_permits),     \
        x(join_barrier), x(wait_barrier), x(leave_barrier), x(join_latch),   \
        x(wait_latch), x(allocate_small), x(allocate_run), x(free_anything), \
        x(get), x(name), x(inspect), x(stats), x(sweep), x(newcomer)
#define NAME(f) #f
#define SELF(f) f

const char *const acts_names[] = { ACTS(NAME) };
static void (*const acts[])(struct acts *a) = { ACTS(SELF) };
const size_t acts_count = sizeof acts / sizeof *acts;

static double busy(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void acts_do(struct acts *a, size_t which)
{
    const char *what = acts_names[which];
    double before = busy();
    a->turn++;
    rip__store(&a->since, rip_time_now());
    rip__store(&a->doing, what);
    acts[which](a);
    rip__store(&a->doing, NULL);
    double took = (double)(rip_time_now() - a->since) / 1e9;
    if (took > harness_scale(ACTS_LATE))
        FAIL("%s takes %.1f seconds", what, took);
    if (busy() - before > harness_scale(ACTS_BUSY))
        FAIL("%s is busy for %.1f seconds", what, busy() - before);
}

void acts_do_all(struct acts *a)
{
    for (size_t i = 0; i < acts_count; i++)
        acts_do(a, i);
}

void acts_take_all(struct acts *a)
{
    keep_lock(a);
    (void)acquire_again(a);
    (void)read_it(a);
    keep_permit(a);
    join_barrier(a);
    join_latch(a);
}

/* ---- around them ------------------------------------------------------ */

struct acts_objects *acts_prepare(rip_segment *s)
{
    struct acts_objects *o = rip_shared_alloc(s, sizeof *o);
    void *p;
    CHECK(o != NULL);
    CHECK_INT(rip_segment_get(&p, s, "some object", 100), ==, 1);
    rip_sem_init(&o->signals, 1, 0);
    rip_sem_init(&o->permits, 4, 5);
    rip_barrier_init(&o->barrier, 3);
    rip_latch_init(&o->latch, 3);
    CHECK_OK(rip_segment_name(s, &o->permits, "permits"));
    return o;
}

void acts_heal(const struct acts *a)
{
    struct acts_objects *o = a->objects;
    rip__store(&a->segment->header->heap.lock, 0);
    rip__store(&o->lock.word, 0);
    rip__store(&o->rlock.lock.word, 0);
    rip__store(&o->rwlock.writer.word, 0);
}
