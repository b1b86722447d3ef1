/* SPDX-License-Identifier: MIT */
/* Objects of all kinds in one segment, and programs that use them as it comes:
 * a seed is a program. */
#include "guard.h"
#include "library.h"
#include "scenes.h"

enum { LOCKS = 2, STEPS = 5, PERMITS = 2 };

struct scene {
    rip_lock lock[LOCKS];
    struct guard guard[LOCKS];
    rip_rlock rlock;
    struct guard rguard;
    rip_cond cond;
    rip_sem permits, signals;
    rip_event event;
    rip_once_flag once;
    uint64_t a, b;
};

static void lock_in(struct scene *s, unsigned i)
{
    guard_in(&s->guard[i], rip_lock_acquire(&s->lock[i], LIBRARY_LATE));
}

static void lock_out(struct scene *s, unsigned i)
{
    guard_out(&s->guard[i]);
    rip_lock_release(&s->lock[i]);
}

static void use_lock(struct scene *s)
{
    lock_in(s, 0);
    lock_out(s, 0);
}

static void nest_locks(struct scene *s)
{
    lock_in(s, 0);
    lock_in(s, 1);
    rip_cond_notify(&s->cond, 1);
    lock_out(s, 0);
    lock_out(s, 1);
}

static void nest_rlock(struct scene *s)
{
    guard_in(&s->rguard, rip_rlock_acquire(&s->rlock, LIBRARY_LATE));
    KILL_CHECK_INT(rip_rlock_acquire(&s->rlock, LIBRARY_LATE), ==, 0);
    rip_rlock_release(&s->rlock);
    guard_out(&s->rguard);
    rip_rlock_release(&s->rlock);
}

static void use_permit(struct scene *s)
{
    KILL_CHECK_INT(rip_sem_acquire(&s->permits, LIBRARY_LATE), ==, 0);
    KILL_CHECK_INT(rip_sem_release(&s->permits, 1), ==, 0);
}

static void permit_in_lock(struct scene *s)
{
    KILL_CHECK_INT(rip_sem_acquire(&s->permits, LIBRARY_LATE), ==, 0);
    lock_in(s, 1);
    lock_out(s, 1);
    KILL_CHECK_INT(rip_sem_release(&s->permits, 1), ==, 0);
}

static void use_signal(struct scene *s)
{
    KILL_CHECK_INT(rip_sem_release(&s->signals, 1), ==, 0);
    KILL_CHECK_INT(rip_sem_acquire(&s->signals, LIBRARY_LATE), ==, 0);
}

static void use_event(struct scene *s)
{
    rip_event_set(&s->event);
    KILL_CHECK_INT(rip_event_wait(&s->event, LIBRARY_LATE), ==, 0);
}

static int make_once(void *o)
{
    struct scene *s = o;
    s->a++;
    s->b = s->a;
    return 0;
}

static void use_once(struct scene *s)
{
    KILL_CHECK_INT(rip_once(&s->once, make_once, s, LIBRARY_LATE), >=, 0);
    KILL_CHECK_INT(s->a, ==, s->b);
}

static void use_memory(struct scene *s)
{
    void *p = rip_shared_alloc(library_segment, 40);
    (void)s;
    KILL_CHECK(p != NULL);
    rip_shared_free(library_segment, p);
}

static void sweep(struct scene *s)
{
    library_sweep(s);
}

static void come_anew(struct scene *s)
{
    rip__leave_all();
    library_join(s);
}

typedef void step(struct scene *s);
static step *const steps[] = {
    use_lock,  nest_locks, nest_rlock, use_permit, permit_in_lock, use_signal,
    use_event, use_once,   use_memory, sweep,      come_anew,
};
enum { N_STEPS = sizeof steps / sizeof *steps };

static void program(void *o)
{
    uint64_t random = kill_seed() * 0x9e3779b97f4a7c15u;
    for (unsigned i = 0; i < STEPS; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        steps[(random >> 33) % N_STEPS](o);
    }
}

/* All but to come anew: survivors are members for good. */
static void check(void *o)
{
    for (unsigned lap = 0; lap < 3; lap++)
        for (unsigned i = 0; i + 1 < N_STEPS; i++)
            steps[i](o);
}

static void audit(void *o)
{
    struct scene *s = o;
    KILL_CHECK_INT(s->a, <=, 1 + kill_deaths());
    for (unsigned i = 0; i < PERMITS; i++)
        KILL_CHECK_INT(rip_sem_acquire(&s->permits, LIBRARY_LATE), ==, 0);
    KILL_CHECK_INT(rip_sem_acquire(&s->permits, RIP_NOW), ==, -ETIMEDOUT);
    KILL_CHECK_INT(rip_sem_release(&s->permits, PERMITS), ==, 0);
}

static void make(void *o)
{
    struct scene *s = o;
    rip_sem_init(&s->permits, PERMITS, PERMITS);
    rip_sem_init(&s->signals, 0, 0);
}

static void try_all(void *o)
{
    struct scene *s = o;
    for (unsigned i = 0; i < LOCKS; i++) {
        int r = rip_lock_acquire(&s->lock[i], RIP_NOW);
        if (r != -ETIMEDOUT) {
            guard_in(&s->guard[i], r);
            lock_out(s, i);
        }
    }
    library_sweep(o);
}

static void hold_all(void *o)
{
    struct scene *s = o;
    lock_in(s, 0);
    lock_in(s, 1);
    guard_in(&s->rguard, rip_rlock_acquire(&s->rlock, LIBRARY_LATE));
    KILL_CHECK_INT(rip_sem_acquire(&s->permits, LIBRARY_LATE), ==, 0);
    KILL_CHECK_INT(rip_sem_acquire(&s->permits, LIBRARY_LATE), ==, 0);
}

static const struct kill_state died = { "died",
                                        { { KILL_DIED, hold_all, NULL } } };

static const struct kill_operation operations[] = {
    { .name = "program",
      .before = library_join,
      .run = program,
      .seeds = 40,
      .alone = true,
      .against = "",
      .states = { &library_fresh, &died } },
    { .name = NULL },
};

const struct kill_object scene_medley = {
    .name = "medley",
    .size = sizeof(struct scene),
    .memory = library_memory,
    .make = make,
    .join = library_join,
    .settle = library_settle,
    .check = check,
    .audit = audit,
    .while_stopped = try_all,
    .sibling = check,
    .operations = operations,
};
