/* SPDX-License-Identifier: MIT */
#include "task/task.h"

#include <errno.h>
#include <string.h>
#include <unistd.h> /* getpid */

#include <ripstop/lock.h>

#include "base/base.h"
#include "segment/layout.h"

/*
 * The program's side of the template. docs/tasks.md has the states and what is
 * left by a death at each of them.
 *
 * Whether a clone comes to be is decided in one word of its record,
 * `number`, which leaves 0 once:
 *
 *     0    asked for
 *     > 0  this is its pid: set by the template, or by the clone itself
 *          before it does anything else, whoever is first
 *     < 0  it will never run: an error, set by the template; or by the
 *          program, which has found the template dead
 */

/*
 * Changed and used under the lock. After a fork it is a copy of the parent's,
 * possibly of a moment in which a thread was just changing it: the lock has a
 * dead holder here, and all begins anew.
 */
static struct {
    rip_lock lock;
    pid_t owner;
    uint64_t
        who;   /* as a member of the program's own segment; 0: there is none */
    void *own; /* in that segment */
    int socket;
    uint64_t inode; /* what that stands for: who closes descriptors that are
                       not his may have made it another's */
    uint32_t mark;
    struct rip__os_code *code; /* that it can run */
    size_t n_code;
    struct rip__hand hand; /* of the request that is just made */
} template;

static int lock(void)
{
    int r = rip_lock_acquire(&template.lock, RIP_FOREVER);
    if (r < 0)
        return r;
    if (template.owner != getpid()) {
        template.owner = getpid();
        template.who = 0;
        template.code = NULL;
    }
    return 0;
}

static void unlock(void)
{
    rip_lock_release(&template.lock);
}

/* ---- whether it lives ------------------------------------------------- */

static struct rip__domain *domain_of(const void *own)
{
    struct rip__domain *d = rip__domain_of(own);
    return d && d->shared ? d : NULL;
}

static bool is_dead(const void *own, uint64_t who)
{
    const struct rip__domain *d = domain_of(own);
    return !d || rip__is_dead(d, who);
}

static bool is_there(void)
{
    return template.who != 0 && !is_dead(template.own, template.who) &&
           rip__os_is_still(template.socket, template.inode);
}

/* Sleeps while a word of a record is 0 and a template lives; heeds a stop if
 * there is one to heed. */
static void sleep_on(const uint32_t *word, uint64_t who,
                     const struct rip__stop *stop, rip_time deadline)
{
    const struct rip__domain *d = domain_of(word);
    if (!d)
        return;
    const uint32_t *life = rip__life(d, rip__slot_of(who) % d->n_slots);
    struct rip__os_futex f[3] = { { word, 0, true },
                                  { life, rip__load(life), true } };
    size_t n = 2;
    if (stop)
        f[n++] = (struct rip__os_futex){ &stop->word, 0, true };
    if (rip__is_dead(d, who))
        return;
    rip_time end = rip__sooner(deadline, rip__later(RIP__LOOK_NS));
    if (rip__os_futex_wait(f, n, end) == -ETIMEDOUT && end < deadline)
        rip__is_gone(d, who);
    /* The kernel has woken one, and that may be us. */
    if (rip__is_dead(d, who))
        rip__os_futex_wake(life, true, RIP__ALL);
}

/* ---- making it -------------------------------------------------------- */

static int note_code(void)
{
    size_t n = rip__os_code_list(NULL, 0);
    rip__free(template.code);
    template.code = rip__alloc_array(n + 1, sizeof *template.code);
    if (!template.code)
        return -ENOMEM;
    size_t now = rip__os_code_list(template.code, n);
    template.n_code = now < n ? now : n;
    return 0;
}

/* What it says when it is ready; it says nothing when it dies before. */
static int hear(int socket, uint64_t *who)
{
    struct rip__hello hello = { 0 };
    size_t none;
    int fd[RIP__OS_PASSED];
    ssize_t n = rip__os_receive(socket, &hello, sizeof hello, fd, &none);
    if (n < 0)
        return (int)n;
    if (n != sizeof hello)
        return -EAGAIN;
    if (hello.error == 0)
        *who = hello.who;
    return hello.error;
}

/* Both forks happen with all signals blocked, so that no handler of the
 * program's ever runs in the template. */
static pid_t give_birth(const struct rip__birth *b)
{
    uint64_t before = rip__os_signals_set(UINT64_MAX);
    struct rip__os_child first = { .from = rip__os_ticks() };
    first.pid = rip__os_fork();
    if (first.pid == 0)
        rip__template_begin(b);
    rip__os_signals_set(before);
    first.until = rip__os_ticks();
    if (first.pid > 0)
        rip__os_child_await(&first);
    return first.pid;
}

static int bring_up(struct rip__birth *b)
{
    template.mark = b->mark = rip__segments_mark();
    b->streams_are_flushed = rip__process_flush();
    pid_t pid = give_birth(b);
    rip__os_close(b->socket); /* else it would not be seen to die */
    b->socket = -1;
    return pid < 0 ? pid : hear(b->ours, &template.who);
}

static int make(void)
{
    int pair[2], r;
    struct rip_segment *own = rip__segment_or_own(NULL);
    if (!own || note_code() < 0)
        return -ENOMEM;
    struct rip__birth b = { .program = getpid(), .own = own->base };
    rip__crash_prepare();
    b.lifeline = rip__os_lifeline();
    r = b.lifeline < 0 ? b.lifeline : rip__os_socket_pair(pair);
    if (r == 0) {
        b.ours = pair[0];
        b.socket = pair[1];
        template.own = own->base;
        template.inode = rip__os_inode(b.ours);
        r = template.inode == 0 ? -ENOMEM : bring_up(&b);
        rip__os_close(b.socket);
        rip__os_close(r < 0 ? b.ours : -1);
    }
    rip__os_close(b.lifeline);
    if (r < 0)
        return r;
    template.socket = b.ours;
    rip__os_not_for_children(b.ours);
    return 0;
}

/* Of one that is dead. */
static void forget(void)
{
    if (template.who == 0)
        return;
    bool ours = rip__os_is_still(template.socket, template.inode);
    template.who = 0;
    rip__os_not_for_children(-1);
    rip__os_close(ours ? template.socket : -1);
}

int rip_task_template(void)
{
    int r = lock();
    if (r < 0)
        return r;
    const struct rip__domain *d = domain_of(template.own);
    if (template.who == 0 || !d || rip__is_gone(d, template.who) ||
        !is_there()) {
        forget();
        r = make();
    }
    unlock();
    return r < 0 ? r : 0;
}

void rip__template_done(void)
{
    const rip_time patience = rip_after(5); /* it may have clones left */
    if (!template.code) /* there was none: nothing is to be used, not a lock */
        return;
    if (lock() < 0)
        return;
    uint64_t who = template.who;
    const struct rip__domain *d = domain_of(template.own);
    forget();
    while (who != 0 && d && !rip__is_gone(d, who) && rip__os_clock() < patience)
        (void)rip__os_poll(NULL, 0, rip_after_ms(1));
    rip__free(template.code);
    template.code = NULL;
    unlock();
}

/* ---- asking ----------------------------------------------------------- */

static bool can_run(rip_task_fn *fn)
{
    struct rip__os_code code = { 0 };
    if (!rip__os_code_of((uintptr_t)fn, &code))
        return false;
    for (size_t i = 0; i < template.n_code; i++) {
        const struct rip__os_code *c = &template.code[i];
        if (c->at == code.at && c->size == code.size && c->image == code.image)
            return true;
    }
    return false;
}

static struct rip__request request_of(rip_task *t, const struct rip__setting *s)
{
    struct rip__request q = {
        .record = t->record,
        .fn = t->fn,
        .arg = t->arg,
        .result_size = t->result_size,
        .stack_size = s->stack_size,
        .cpus_size = s->cpus_size,
        .n_kept = template.hand.n_kept,
        .n_handed = template.hand.n,
        .blocked = rip__os_signals_blocked(),
        .nice = s->nice,
        .has_name = s->name != NULL,
        .has_lifeline = s->lifeline >= 0,
    };
    memcpy(q.name, t->name, sizeof q.name);
    return q;
}

static int send_request(rip_task *t, const struct rip__setting *s)
{
    struct rip__hand *h = &template.hand;
    struct rip__request q = request_of(t, s);
    struct iovec parts[] = {
        { &q, sizeof q },
        { s->cpus, s->cpus_size },
        { h->kept, h->n_kept * sizeof *h->kept },
        { h->handed, h->n * sizeof *h->handed },
    };
    int fds[RIP__OS_PASSED];
    size_t n = 0;
    if (s->lifeline >= 0)
        fds[n++] = s->lifeline;
    for (size_t i = 0; i < h->n_fds; i++)
        fds[n++] = h->fds[i];
    int r = rip__os_send(template.socket, parts, RIP__LENGTH(parts), fds, n);
    return r == -EPIPE || r == -ECONNRESET ? -ENOENT : r;
}

/* The number of the clone, or why there is none. */
static int32_t await_answer(rip_task *t)
{
    int32_t *word = &t->record->number;
    int32_t seen;
    while ((seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) == 0) {
        if (!is_dead(template.own, template.who)) {
            sleep_on((const uint32_t *)(const void *)word, template.who, NULL,
                     RIP_FOREVER);
            continue;
        }
        if (!__atomic_compare_exchange_n(word, &seen, -ENOENT, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return seen;
        /* A clone that has been called off may be about to look: the record
         * is never to be anything else. */
        t->record = NULL;
        return -ENOENT;
    }
    return seen;
}

static int ask(rip_task *t, const struct rip__setting *s)
{
    int r = rip__segments_hand(template.mark, &template.hand);
    if (r < 0)
        return r;
    t->child.from = rip__os_ticks();
    r = send_request(t, s);
    rip__segments_hand_done(&template.hand);
    if (r < 0)
        return r;
    r = await_answer(t);
    t->child.until = rip__os_ticks();
    if (r < 0)
        return r;
    t->child.pid = r;
    t->template = template.who;
    return 0;
}

static int ask_with_lifeline(rip_task *t, struct rip__setting *s)
{
    if (!t->detached)
        s->lifeline = rip__os_lifeline();
    if (!t->detached && s->lifeline < 0)
        return s->lifeline;
    rip__process_flush();
    int r = ask(t, s);
    rip__os_close(s->lifeline);
    return r;
}

int rip__clone_begin(rip_task *t, struct rip__setting *s)
{
    if (t->arg && !rip__is_shared(t->arg))
        return -EINVAL;
    int r = lock();
    if (r < 0)
        return r;
    if (!is_there())
        r = -ENOENT;
    else
        r = can_run(t->fn) ? ask_with_lifeline(t, s) : -EINVAL;
    unlock();
    return r < 0 ? r : rip__process_await_set_up(t, s);
}

/* ---- its end ---------------------------------------------------------- */

/* Who has seen the descriptor become readable is told the end: the report is
 * about to come. */
static rip_time with_patience(const rip_task *t, rip_time deadline)
{
    uint32_t fd = __atomic_load_n(&t->fd, __ATOMIC_ACQUIRE);
    bool has_ended = deadline == RIP_NOW && fd != 0 &&
                     !rip__clone_is_reported(t) &&
                     rip__os_has_ended((int)fd - 1);
    return has_ended ? rip__later(RIP__MOMENT_NS) : deadline;
}

int rip__clone_await(rip_task *t, rip_time deadline)
{
    const struct rip__stop *stop = rip__stop_heeded();
    deadline = with_patience(t, deadline);
    while (!rip__clone_is_reported(t) && !is_dead(t->record, t->template)) {
        if (deadline == RIP_NOW || deadline <= rip__os_clock())
            return -ETIMEDOUT;
        if (rip__stop_asked(stop))
            return -ECANCELED;
        sleep_on(&t->record->reported, t->template, stop, deadline);
    }
    return 0;
}
