/* SPDX-License-Identifier: MIT */
#include "task/task.h"

#include <errno.h>
#include <string.h>
#include <unistd.h> /* getpid */

#include "base/base.h"
#include "segment/layout.h"

/*
 * The template: what it does from its birth on. All of it is one thread, in a
 * process of its own, in which nobody else's code ever runs: it has every
 * signal blocked, and waits for requests and for the ends of its clones.
 */

struct clone {
    pid_t pid;
    struct rip__task_record *record;
};

static struct {
    const struct rip__birth *birth;
    uint64_t who; /* as a member of the program's own segment */
    int ends;     /* readable when a clone has ended */
    struct rip__os_action for_children; /* that of the program */
    char name[16];
    struct clone *clones; /* in no order */
    size_t n_clones, cap;
    bool hung_up; /* no more requests will come */
} self;

/* ---- ends ------------------------------------------------------------- */

static struct rip__task_record *strike_off(pid_t pid)
{
    for (size_t i = 0; i < self.n_clones; i++) {
        struct clone c = self.clones[i];
        if (c.pid != pid)
            continue;
        self.clones[i] = self.clones[--self.n_clones];
        return c.record;
    }
    return NULL;
}

/* Reaped before it is reported: who has joined it finds no zombie. */
static void report_ends(void)
{
    struct rip__os_status status;
    pid_t pid;
    rip__os_children_seen(self.ends);
    while (rip__os_children_reap(&pid, &status) > 0) {
        struct rip__task_record *record = strike_off(pid);
        if (record) {
            record->status = status;
            __atomic_store_n(&record->reported, 1, __ATOMIC_RELEASE);
            rip__os_futex_wake(&record->reported, true, INT32_MAX);
        }
    }
}

/* ---- a request -------------------------------------------------------- */

/* As it comes: the parts of variable length follow each other. */
struct message {
    struct rip__request q;
    unsigned char *cpus, *kept, *handed;
    int fds[RIP__OS_PASSED];
    size_t n_fds;
};

/* What is there for a clone alone, made before the fork, in which it can not
 * fail any more; the template takes it away again. */
struct outfit {
    int lifeline;
    struct rip__os_stack stack;
    struct rip_segment *segments[RIP__HANDED];
    size_t n;
    size_t fds_used;
};

static int take_segment(struct outfit *o, const struct message *m)
{
    struct rip__handed h;
    memcpy(&h, m->handed + o->n * sizeof h, sizeof h);
    size_t needs = h.name[0] ? 2 : 1;
    if (m->n_fds - o->fds_used < needs)
        return -EMFILE; /* there was no room for all of them */
    const int *fd = &m->fds[o->fds_used];
    int r = rip__segment_take(&o->segments[o->n], &h, fd[0],
                              needs == 2 ? fd[1] : -1);
    if (r < 0)
        return r;
    o->fds_used += needs;
    o->n++;
    return 0;
}

static int fit_out(struct outfit *o, const struct message *m)
{
    *o = (struct outfit){ .lifeline = -1 };
    if (m->q.has_lifeline) {
        if (m->n_fds == 0)
            return -EMFILE;
        o->lifeline = m->fds[o->fds_used++];
    }
    int r = 0;
    while (r == 0 && o->n < m->q.n_handed)
        r = take_segment(o, m);
    if (r == 0 && m->q.stack_size > 0)
        r = rip__os_stack_new(&o->stack, m->q.stack_size);
    return r;
}

static void strip(const struct outfit *o, const struct message *m)
{
    for (size_t i = 0; i < o->n; i++)
        rip_segment_close(o->segments[i]);
    rip__os_stack_done(&o->stack);
    rip__os_close(o->lifeline);
    for (size_t i = o->fds_used; i < m->n_fds; i++)
        rip__os_close(m->fds[i]);
}

/* ---- a clone ---------------------------------------------------------- */

/* 0 becomes `answer`; what is there then. See clone.c. */
static int32_t settle(struct rip__task_record *record, int32_t answer)
{
    int32_t seen = 0;
    if (!__atomic_compare_exchange_n(&record->number, &seen, answer, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return seen;
    rip__os_futex_wake((const uint32_t *)(const void *)&record->number, true,
                       1);
    return answer;
}

/* What is the template's alone. */
static void let_go(void)
{
    rip__os_close(self.birth->socket);
    rip__os_close(self.birth->lifeline);
    rip__os_children_unwatch(self.ends, &self.for_children);
}

/* The task as the clone itself knows it. The program has one of its own, by
 * which it is joined. */
static rip_task *task_of(const struct rip__request *q)
{
    static struct rip_task t;
    t = (struct rip_task){ .refs = 1,
                           .kind = RIP_PROCESS,
                           .owner = self.birth->program,
                           .fn = q->fn,
                           .arg = q->arg,
                           .result_size = q->result_size,
                           .record = q->record,
                           .template = self.who };
    memcpy(t.name, q->name, sizeof t.name);
    return &t;
}

static struct rip__setting setting_of(const struct message *m,
                                      const struct outfit *o)
{
    const struct rip__request *q = &m->q;
    return (struct rip__setting){
        .name = q->has_name ? q->name : self.name,
        .nice = q->nice,
        .cpus = q->cpus_size > 0 ? (uint64_t *)(void *)m->cpus : NULL,
        .cpus_size = q->cpus_size,
        .lifeline = o->lifeline,
        .stack = o->stack,
        .streams_are_flushed = self.birth->streams_are_flushed,
    };
}

static _Noreturn void run_clone(const struct message *m, const struct outfit *o)
{
    let_go();
    if (settle(m->q.record, getpid()) != getpid())
        rip__os_exit(0); /* it was called off, since the template died */
    const struct rip__setting s = setting_of(m, o);
    rip__os_signals_set(m->q.blocked);
    rip__process_run(task_of(&m->q), &s);
    rip__os_exit(127);
}

static int make_room(void)
{
    if (self.n_clones < self.cap)
        return 0;
    size_t cap = self.cap > 0 ? 2 * self.cap : 64;
    struct clone *more = rip__alloc_array(cap, sizeof *more);
    if (!more)
        return -ENOMEM;
    if (self.n_clones > 0)
        memcpy(more, self.clones, self.n_clones * sizeof *more);
    rip__free(self.clones);
    self.clones = more;
    self.cap = cap;
    return 0;
}

static void serve(const struct message *m)
{
    struct outfit o;
    rip__segments_keep(self.birth->mark,
                       (const unsigned char *const *)(const void *)m->kept,
                       m->q.n_kept);
    int r = fit_out(&o, m);
    if (r == 0)
        r = make_room();
    pid_t pid = r < 0 ? r : rip__os_fork();
    if (pid == 0)
        run_clone(m, &o);
    if (pid > 0)
        self.clones[self.n_clones++] = (struct clone){ pid, m->q.record };
    settle(m->q.record, pid);
    strip(&o, m);
}

/* It comes from the program itself; what does not fit is no request. */
static bool parse(struct message *m, const unsigned char *at, size_t len)
{
    if (len < sizeof m->q)
        return false;
    memcpy(&m->q, at, sizeof m->q);
    const size_t parts[] = { m->q.cpus_size,
                             m->q.n_kept * sizeof(unsigned char *),
                             m->q.n_handed * sizeof(struct rip__handed) };
    unsigned char *next = (unsigned char *)(uintptr_t)at + sizeof m->q;
    m->cpus = next;
    m->kept = m->cpus + parts[0];
    m->handed = m->kept + parts[1];
    return len == sizeof m->q + parts[0] + parts[1] + parts[2];
}

static void take_request(void)
{
    enum { ROOM = 32768 }; /* 8 KiB of CPUs, and all segments */
    static _Alignas(16) unsigned char bytes[ROOM];
    struct message m;
    ssize_t n = rip__os_receive(self.birth->socket, bytes, sizeof bytes, m.fds,
                                &m.n_fds);
    if (n == 0)
        self.hung_up = true;
    else if (n > 0 && parse(&m, bytes, (size_t)n))
        serve(&m);
    else
        rip__os_exit(1); /* who asked sees that we are gone */
}

/* ---- life ------------------------------------------------------------- */

static int begin(void)
{
    struct rip__me *me;
    rip__self = NULL;
    rip__own_stop = NULL;
    rip__os_lifeline_arm(self.birth->lifeline);
    rip__os_thread_name(self.name);
    rip__os_name_thread("rip-template");
    rip__segments_settle(self.birth->mark);
    rip__leave_all(); /* memberships that are copies of our maker's */
    int r = rip__join(self.birth->own, &me);
    if (r < 0)
        return r;
    self.who = me->id;
    self.ends = rip__os_children_watch(&self.for_children);
    return self.ends < 0 ? self.ends : 0;
}

static void live(void)
{
    while (!self.hung_up || self.n_clones > 0) {
        struct pollfd p[] = {
            { .fd = self.ends, .events = POLLIN },
            { .fd = self.hung_up ? -1 : self.birth->socket, .events = POLLIN },
        };
        (void)rip__os_poll(p, RIP__LENGTH(p), RIP_FOREVER);
        if (p[0].revents)
            report_ends();
        if (p[1].revents)
            take_request();
    }
}

_Noreturn void rip__template_begin(const struct rip__birth *b)
{
    struct rip__hello hello = { 0 };
    struct iovec part = { &hello, sizeof hello };
    rip__os_close(b->ours);
    pid_t pid = rip__os_fork();
    if (pid > 0)
        rip__os_exit(0);
    self.birth = b;
    hello.error = pid < 0 ? pid : begin();
    hello.who = self.who;
    int r = rip__os_send(b->socket, &part, 1, NULL, 0);
    if (r < 0 || hello.error < 0)
        rip__os_exit(1);
    live();
    rip__os_exit(0);
}
