/* SPDX-License-Identifier: MIT */
#include <ripstop/barrier.h>
#include <ripstop/latch.h>
#include <ripstop/lock.h>
#include <ripstop/rwlock.h>
#include <ripstop/segment.h>
#include <ripstop/sem.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "segment/layout.h"

#define MIB ((size_t)1 << 20)

struct shared {
    rip_lock a, b;
    int ready;
};

static rip_segment *segment;
static struct shared *shared;

static void set_up(void)
{
    const struct rip_segment_options o = { .size = MIB, .members = 50 };
    CHECK_OK(rip_segment_new(&segment, &o));
    shared = rip_shared_alloc(segment, sizeof *shared);
    CHECK(shared != NULL);
    CHECK_OK(rip_segment_name(segment, &shared->a, "lock a"));
}

static void tear_down(void)
{
    rip_shared_free(segment, shared);
    rip_segment_close(segment);
}

static void acquire(rip_lock *l)
{
    CHECK_INT(rip_lock_acquire(l, RIP_FOREVER), >=, 0);
}

/* A child that holds one of the locks and waits for the other. */
static pid_t start(rip_lock *held, rip_lock *wanted, const char *name)
{
    int before = shared->ready;
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_OK(rip_segment_name_me(segment, name));
        if (held)
            acquire(held);
        __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
        while (wanted && __atomic_load_n(&wanted->word, __ATOMIC_ACQUIRE) == 0)
            sched_yield();
        if (wanted)
            acquire(wanted);
        for (;;)
            pause();
    }
    while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) == before)
        sched_yield();
    return pid;
}

static void end(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
}

static struct rip_segment_report *report_now(void)
{
    struct rip_segment_report *r;
    CHECK_OK(rip_segment_inspect(&r, segment));
    return r;
}

static const struct rip_segment_member *find(const struct rip_segment_report *r,
                                             const char *name)
{
    for (size_t i = 0; i < r->n_members; i++)
        if (strcmp(r->members[i].name, name) == 0)
            return &r->members[i];
    FAIL("no member is called %s", name);
}

/* A report in which so many members wait. */
static struct rip_segment_report *report_when(unsigned waiting)
{
    for (;;) {
        struct rip_segment_report *r = report_now();
        unsigned n = 0;
        for (size_t i = 0; i < r->n_objects; i++)
            n += r->objects[i].waiting;
        if (n == waiting)
            return r;
        rip_segment_report_free(r);
        sched_yield();
    }
}

static const struct rip_segment_object *object_at(
    const struct rip_segment_report *r, int index)
{
    CHECK_INT(index, >=, 0);
    CHECK_INT(index, <, r->n_objects);
    return &r->objects[index];
}

TEST(it_tells_who_holds_and_who_waits)
{
    set_up();
    rip_time before = rip_time_now();
    pid_t holder = start(&shared->a, NULL, "holder");
    pid_t waiter = start(&shared->b, &shared->a, "waiter");
    struct rip_segment_report *r = report_when(1);
    const struct rip_segment_member *h = find(r, "holder");
    const struct rip_segment_member *w = find(r, "waiter");
    CHECK_INT(h->pid, ==, holder);
    CHECK_INT(h->tid, ==, holder);
    CHECK_INT(h->state, ==, RIP_MEMBER_ALIVE);
    CHECK_STR(h->program, "inspect_test");
    CHECK_INT(h->joined, >=, before);
    CHECK_INT(h->joined, <=, rip_time_now());
    CHECK_INT(h->waits_for, ==, -1);
    CHECK_INT(h->n_holds, ==, 1);
    const struct rip_segment_object *a = object_at(r, h->holds[0]);
    CHECK_STR(a->name, "lock a");
    CHECK_INT(a->offset, ==, (unsigned char *)&shared->a - segment->base);
    CHECK_INT(a->waiting, ==, 1);
    CHECK(&r->members[a->holder] == h);
    CHECK(object_at(r, w->waits_for) == a);
    CHECK_INT(w->waits_since, >=, before);
    CHECK_INT(w->waits_since, <=, rip_time_now());
    CHECK_STR(object_at(r, w->holds[0])->name, "");
    CHECK_INT(r->cycles, ==, 0);
    CHECK_STR(r->name, "(anonymous)");
    CHECK_INT(r->stats.members, ==, 3);
    CHECK_INT(r->stats.members_max, ==, 50);
    CHECK_INT(r->stats.size, ==, MIB);
    rip_segment_report_free(r);
    end(holder);
    end(waiter);
    tear_down();
}

TEST(members_that_wait_in_a_circle_are_told)
{
    set_up();
    pid_t one = start(&shared->a, &shared->b, "one");
    pid_t two = start(&shared->b, &shared->a, "two");
    pid_t three = start(NULL, &shared->a, "three");
    struct rip_segment_report *r = report_when(3);
    CHECK_INT(r->cycles, ==, 1);
    CHECK_INT(find(r, "one")->cycle, ==, 1);
    CHECK_INT(find(r, "two")->cycle, ==, 1);
    CHECK_INT(find(r, "three")->cycle, ==, 0);
    rip_segment_report_free(r);
    end(two); /* so one gets what it held, and three goes on waiting */
    r = report_when(1);
    CHECK_INT(r->cycles, ==, 0);
    size_t b = (size_t)((unsigned char *)&shared->b - segment->base);
    int found = 0;
    for (size_t i = 0; i < r->n_objects; i++)
        if (r->objects[i].offset == b) {
            CHECK(&r->members[r->objects[i].holder] == find(r, "one"));
            found++;
        }
    CHECK_INT(found, ==, 1);
    rip_segment_report_free(r);
    end(one);
    end(three);
    tear_down();
}

TEST(the_dead_are_told_with_what_they_held)
{
    set_up();
    pid_t pid = start(&shared->a, NULL, "victim");
    rip_time before = rip_time_now();
    kill(pid, SIGSTOP);
    CHECK_INT(waitpid(pid, NULL, WUNTRACED), ==, pid);
    struct rip_segment_report *r = report_now();
    CHECK_INT(find(r, "victim")->state, ==, RIP_MEMBER_STOPPED);
    rip_segment_report_free(r);
    end(pid);
    rip__sweep(segment->domain); /* which notes the time */
    r = report_now();
    const struct rip_segment_member *v = find(r, "victim");
    CHECK_INT(v->state, ==, RIP_MEMBER_DEAD);
    CHECK_INT(v->pid, ==, pid);
    CHECK_INT(v->died, >=, before);
    CHECK_INT(v->died, <=, rip_time_now());
    CHECK_STR(object_at(r, v->holds[0])->name, "lock a");
    CHECK_INT(r->stats.members, ==, 1);
    rip_segment_report_free(r);
    tear_down();
}

static rip_time death_of(pid_t pid)
{
    struct rip_segment_report *r = report_now();
    size_t i = 0;
    while (i < r->n_members && r->members[i].pid != pid)
        i++;
    CHECK_INT(i, <, r->n_members);
    rip_time died = r->members[i].died;
    rip_segment_report_free(r);
    return died;
}

/* A sweep that was stopped for long, as it was about to note the end of who had
 * the slot before. */
TEST(the_living_are_not_said_to_have_died)
{
    set_up();
    pid_t pid = start(NULL, NULL, "earlier");
    end(pid);
    rip__sweep(segment->domain);
    struct rip__slot *slot = rip__slot(segment->domain, 2);
    rip_time noted = slot->died, late = death_of(pid);
    CHECK_INT(late, >, 0);
    pid = start(NULL, NULL, "later");
    while (slot->pid != (uint32_t)pid) { /* until one has that slot again */
        end(pid);
        pid = start(NULL, NULL, "later");
    }
    slot->died = noted;
    CHECK_INT(death_of(pid), ==, 0);
    end(pid);
    rip__sweep(segment->domain);
    CHECK_INT(death_of(pid), >, late);
    tear_down();
}

TEST(the_living_holder_is_told_where_a_dead_one_was)
{
    set_up();
    pid_t victim = start(&shared->a, NULL, "victim");
    pid_t next = start(NULL, &shared->a, "next");
    rip_segment_report_free(report_when(1));
    end(victim);
    struct rip_segment_report *r = report_when(0);
    const struct rip_segment_member *n = find(r, "next");
    CHECK_INT(find(r, "victim")->n_holds, ==, 1);
    CHECK_INT(n->n_holds, ==, 1);
    CHECK(&r->members[object_at(r, n->holds[0])->holder] == n);
    rip_segment_report_free(r);
    end(next);
    tear_down();
}

static void *leave(void *unused)
{
    CHECK_OK(rip_segment_name_me(segment, "thread"));
    return unused;
}

TEST(who_has_left_is_not_called_dead)
{
    pthread_t t;
    set_up();
    CHECK_INT(pthread_create(&t, NULL, leave, NULL), ==, 0);
    CHECK_INT(pthread_join(t, NULL), ==, 0);
    struct rip_segment_report *r = report_now();
    CHECK_INT(find(r, "thread")->state, ==, RIP_MEMBER_LEFT);
    rip_segment_report_free(r);
    tear_down();
}

TEST(names_of_objects_come_and_go_with_them)
{
    set_up();
    char *p = rip_shared_alloc(segment, 100000);
    CHECK_OK(rip_segment_name(segment, p, "all of it"));
    CHECK_OK(rip_segment_name(segment, p + 50000, "a part"));
    CHECK_OK(rip_segment_name(segment, p + 50000, "the part"));
    struct rip_segment_report *r = report_now();
    CHECK_INT(r->n_objects, ==, 3);
    rip_segment_report_free(r);
    CHECK_OK(rip_segment_name(segment, p, NULL));
    r = report_now();
    CHECK_INT(r->n_objects, ==, 2);
    CHECK_STR(r->objects[0].name, "lock a");
    CHECK_STR(r->objects[1].name, "the part");
    rip_segment_report_free(r);
    rip_shared_free(segment, p);
    r = report_now();
    CHECK_INT(r->n_objects, ==, 1);
    rip_segment_report_free(r);
    CHECK_ERR(rip_segment_name(segment, p, "gone"), -ENOENT);
    CHECK_ERR(rip_segment_name(segment, &p, "elsewhere"), -ENOENT);
    CHECK_ERR(rip_segment_name(segment, shared, "\x1b[1m"), -EINVAL);
    tear_down();
}

TEST(there_is_an_end_to_names)
{
    set_up();
    char *p = rip_shared_alloc(segment, 4096), name[20];
    void *q;
    for (int i = 0; i < RIP__NAMES - 1; i++) {
        snprintf(name, sizeof name, "name %d", i);
        CHECK_OK(rip_segment_name(segment, p + i, name));
    }
    CHECK_ERR(rip_segment_name(segment, p + 4000, "more"), -ENOMEM);
    struct rip_segment_stats before, after;
    rip_segment_stats(segment, &before);
    CHECK_ERR(rip_segment_get(&q, segment, "more", 10000), -ENOMEM);
    CHECK_ERR(rip_segment_get(&q, segment, "more", 10), -ENOMEM);
    rip_segment_stats(segment, &after);
    CHECK_INT(after.used - before.used, <=, 4096);
    CHECK_OK(rip_segment_name(segment, p + 1, NULL));
    CHECK_INT(rip_segment_get(&q, segment, "more", 10), ==, 1);
    rip_shared_free(segment, q);
    rip_shared_free(segment, p);
    CHECK_INT(rip_segment_get(&q, segment, "more", 10), ==, 1);
    tear_down();
}

/* One who is no member, and has not mapped it. */
TEST(another_process_can_be_looked_at)
{
    struct rip_segment_report *r;
    set_up();
    pid_t pid = start(&shared->a, NULL, "holder");
    end(start(NULL, NULL, "gone"));
    int n = 0, e;
    while ((e = rip_segment_inspect_pid(&r, pid, (unsigned)n)) == 0) {
        CHECK_STR(object_at(r, find(r, "holder")->holds[0])->name, "lock a");
        rip_segment_report_free(r);
        n++;
    }
    CHECK_INT(e, ==, -ENOENT);
    CHECK_INT(n, ==, 1);
    end(pid);
    CHECK_ERR(rip_segment_inspect_pid(&r, pid, 0), -ESRCH);
    CHECK_ERR(rip_segment_inspect_pid(&r, 0, 0), -ESRCH);
    CHECK_ERR(rip_segment_inspect_pid(&r, -1, 0), -ESRCH);
    tear_down();
}

TEST(a_named_one_can_be_looked_at)
{
    char name[40];
    int fd[2];
    struct rip_segment_report *r;
    snprintf(name, sizeof name, "test-%d", (int)getpid());
    CHECK_ERR(rip_segment_inspect_name(&r, name), -ENOENT);
    CHECK_INT(pipe(fd), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        rip_segment *s;
        void *p;
        CHECK_OK(rip_segment_open(&s, name, NULL));
        CHECK_OK(rip_segment_get(&p, s, "state", 100));
        CHECK_INT(write(fd[1], "", 1), ==, 1);
        for (;;)
            pause();
    }
    char c;
    CHECK_INT(read(fd[0], &c, 1), ==, 1);
    CHECK_OK(rip_segment_inspect_name(&r, name));
    CHECK_STR(r->name, name);
    CHECK_INT(r->n_members, ==, 1);
    CHECK_INT(r->members[0].pid, ==, pid);
    CHECK_STR(r->objects[0].name, "state");
    rip_segment_report_free(r);
    end(pid);
    CHECK_ERR(rip_segment_inspect_name(&r, name), -ENOENT);
    close(fd[0]);
    close(fd[1]);
}

/* What is told may be nonsense then, and that is all. */
TEST_WITH(scribbled_slots_do_no_harm, .deadline = 60)
{
    struct rip_segment_report *r;
    set_up();
    unsigned seed = 1;
    pid_t pid[4];
    for (int i = 0; i < 4; i++)
        pid[i] = start(i == 0 ? &shared->a : NULL, i ? &shared->a : NULL, "x");
    for (int i = 0; i < 4; i++)
        end(pid[i]);
    int n = harness_rounds(300), told = 0;
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < 50; k++) {
            uint32_t slot = 2 + (uint32_t)rand_r(&seed) % 4;
            size_t at = (size_t)rand_r(&seed) % 4096;
            size_t page =
                k % 5 ? slot * segment->layout.page : segment->layout.names_at;
            segment->base[page + at] = (unsigned char)rand_r(&seed);
        }
        if (rip_segment_inspect(&r, segment) < 0)
            continue;
        told++;
        rip_segment_report_free(r);
    }
    CHECK_INT(told, >, n / 2);
    tear_down();
}

/* ---- what is not held by one alone ------------------------------------ */

struct crowd {
    rip_rwlock rwlock;
    rip_barrier barrier;
    rip_latch latch;
    rip_sem permits;
    int ready;
};
static struct crowd *crowd;

static void set_up_crowd(void)
{
    set_up();
    crowd = rip_shared_alloc(segment, sizeof *crowd);
    CHECK(crowd != NULL);
    rip_barrier_init(&crowd->barrier, 3);
    rip_latch_init(&crowd->latch, 3);
    rip_sem_init(&crowd->permits, 5, 5);
}

static void tear_down_crowd(void)
{
    rip_shared_free(segment, crowd);
    tear_down();
}

/* A child that has so many permits, and one of each of the others. */
static pid_t start_user(const char *name, unsigned permits)
{
    int before = crowd->ready;
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_OK(rip_segment_name_me(segment, name));
        CHECK_OK(rip_rwlock_read(&crowd->rwlock, RIP_NOW));
        CHECK_OK(rip_rwlock_read(&crowd->rwlock, RIP_NOW));
        CHECK_OK(rip_barrier_join(&crowd->barrier));
        CHECK_OK(rip_latch_join(&crowd->latch));
        while (permits-- > 0)
            CHECK_OK(rip_sem_acquire(&crowd->permits, RIP_NOW));
        __atomic_add_fetch(&crowd->ready, 1, __ATOMIC_SEQ_CST);
        for (;;)
            pause();
    }
    while (__atomic_load_n(&crowd->ready, __ATOMIC_SEQ_CST) == before)
        sched_yield();
    return pid;
}

static uint64_t offset_of(const void *object)
{
    return (uint64_t)((const unsigned char *)object - segment->base);
}

static const struct rip_segment_object *object_of(
    const struct rip_segment_report *r, const void *object)
{
    for (size_t i = 0; i < r->n_objects; i++)
        if (r->objects[i].offset == offset_of(object))
            return &r->objects[i];
    FAIL("an object is missing");
}

static void check_user(const struct rip_segment_report *r, const char *name,
                       unsigned permits)
{
    const struct rip_segment_member *m = find(r, name);
    CHECK_INT(m->n_reads, ==, 1);
    CHECK(object_at(r, m->reads[0]) == object_of(r, &crowd->rwlock));
    CHECK_INT(m->n_party_of, ==, 2);
    CHECK(object_at(r, m->party_of[1]) == object_of(r, &crowd->barrier));
    CHECK(object_at(r, m->party_of[0]) == object_of(r, &crowd->latch));
    CHECK_INT(m->n_permits, ==, permits > 0);
    if (permits > 0) {
        const struct rip_segment_permits *p = &m->permits[0];
        CHECK(object_at(r, p->object) == object_of(r, &crowd->permits));
        CHECK_INT(p->count, ==, permits);
    }
}

static void check_uses(const struct rip_segment_report *r, unsigned users,
                       unsigned permits)
{
    CHECK_INT(object_of(r, &crowd->rwlock)->readers, ==, users);
    CHECK_INT(object_of(r, &crowd->rwlock)->holder, ==, -1);
    CHECK_INT(object_of(r, &crowd->barrier)->parties, ==, users);
    CHECK_INT(object_of(r, &crowd->latch)->parties, ==, users);
    CHECK_INT(object_of(r, &crowd->permits)->permits, ==, permits);
}

TEST(it_tells_who_reads_is_a_party_and_has_permits)
{
    set_up_crowd();
    CHECK_OK(rip_segment_name(segment, &crowd->permits, "permits"));
    pid_t one = start_user("one", 3);
    pid_t two = start_user("two", 1);
    struct rip_segment_report *r = report_now();
    check_user(r, "one", 3);
    check_user(r, "two", 1);
    check_uses(r, 2, 4);
    rip_segment_report_free(r);
    end(one); /* its permits come back, its marks are told of */
    rip__sweep(segment->domain);
    r = report_now();
    check_user(r, "one", 0);
    CHECK_INT(find(r, "one")->state, ==, RIP_MEMBER_DEAD);
    check_user(r, "two", 1);
    check_uses(r, 1, 1);
    rip_segment_report_free(r);
    end(two);
    tear_down_crowd();
}

/* What was at that address before is another object. */
TEST(marks_of_an_earlier_object_are_not_told)
{
    set_up_crowd();
    pid_t one = start_user("one", 1);
    rip_barrier_reset(&crowd->barrier);
    rip_latch_init(&crowd->latch, 3);
    rip_sem_init(&crowd->permits, 5, 5);
    struct rip_segment_report *r = report_now();
    const struct rip_segment_member *m = find(r, "one");
    CHECK_INT(m->n_reads, ==, 1);
    CHECK_INT(m->n_party_of, ==, 0);
    CHECK_INT(m->n_permits, ==, 0);
    rip_segment_report_free(r);
    end(one);
    tear_down_crowd();
}

TEST(damage_is_counted)
{
    struct rip_segment_report *r;
    struct rip_segment_stats s;
    set_up();
    r = report_now();
    CHECK_INT(r->stats.damaged, ==, 0);
    rip_segment_report_free(r);
    void *p = rip_shared_alloc(segment, 100);
    rip_shared_free(segment, p);
    rip_shared_free(segment, p);
    rip_lock_release(&shared->a);
    r = report_now();
    CHECK_INT(r->stats.damaged, ==, 2);
    rip_segment_report_free(r);
    rip_segment_stats(segment, &s);
    CHECK_INT(s.damaged, ==, 2);
    CHECK_ERR(rip_lock_acquire(&shared->a, RIP_NOW), -EBADMSG);
    r = report_now();
    CHECK_INT(r->stats.damaged, ==, 2);
    rip_segment_report_free(r);
    tear_down();
}
