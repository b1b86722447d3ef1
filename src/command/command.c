/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h> /* getpid */

#include "base/stop.h"

/* ---- those that could not be reaped when they were freed -------------- */

/* The kernel lets a killed process go late when it hangs in a device or file
 * system. It stays in this list, and later calls look whether it has gone. */
static _Atomic(rip_command *) leftover;

/* Closes all that leads to its terminal, whereupon the kernel sends SIGHUP to
 * its session; or the pipes in their place. */
static void hang_up(rip_command *c)
{
    rip__input_close(c);
    rip__stream_done(&c->out[0]);
    rip__os_close(c->terminal);
    c->terminal = -1;
}

/* Its end is to be no signal for what the command has left running: that may
 * stay, now that the command has ended by itself. The end that reads is one
 * open file, here and there. A fork of us is not the one to decide that. */
static void cut_lifeline(rip_command *c)
{
    if (c->lifeline[0] >= 0 && c->owner == getpid())
        (void)rip__os_set_nonblock(c->lifeline[0]); /* and not O_ASYNC */
    rip__os_close(c->lifeline[0]);
    rip__os_close(c->lifeline[1]);
}

static void destroy(rip_command *c)
{
    for (size_t i = 0; i < c->n_held; i++)
        rip__os_close(c->held[i].pidfd);
    rip__free(c->held);
    cut_lifeline(c);
    if (c->owner == getpid())
        rip__os_cgroup_done(&c->cgroup);
    rip__files_done(c);
    hang_up(c);
    rip__buffer_done(&c->unsent);
    rip__stream_done(&c->out[1]);
    rip__free(c->scratch);
    rip__os_close(c->pidfd);
    pthread_mutex_destroy(&c->lock);
    rip__free(c);
}

static void leave_over(rip_command *c)
{
    c->next = atomic_load(&leftover);
    while (!atomic_compare_exchange_weak(&leftover, &c->next, c))
        ;
}

static void reap_leftovers(void)
{
    if (!atomic_load_explicit(&leftover, memory_order_relaxed))
        return;
    rip_command *c = atomic_exchange(&leftover, NULL);
    while (c) {
        rip_command *next = c->next;
        if (c->owner != getpid() ||
            rip_command_wait(c, NULL, RIP_NOW) != -ETIMEDOUT)
            destroy(c);
        else
            leave_over(c);
        c = next;
    }
}

/* ---- start ------------------------------------------------------------ */

static rip_command *make(const struct rip_command_options *o)
{
    rip_command *c = rip__alloc(sizeof *c);
    if (!c)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    c->pid = c->pidfd = c->terminal = c->last_typed = -1;
    c->in = c->out[0].fd = c->out[1].fd = -1;
    c->cgroup.parent = c->cgroup.dir = c->lifeline[0] = c->lifeline[1] = -1;
    c->owner = getpid();
    c->file_deadline = RIP_FOREVER;
    c->input = o->input;
    c->input_len = o->input_len;
    c->max_output = o->max_output;
    c->overflow = o->overflow;
    c->on_output = o->on_output;
    c->on_output_arg = o->on_output_arg;
    c->by_lines = o->by_lines;
    c->grace = rip__grace(o->grace);
    return c;
}

/* The ends of the pipes go from the plan to the command. */
static void adopt_fds(rip_command *c, struct rip__plan *p)
{
    c->has_input = p->ours[0] >= 0;
    c->in = p->ours[0];
    for (int i = 0; i < 2; i++) {
        c->out[i].captured = p->ours[i + 1] >= 0;
        c->out[i].fd = p->ours[i + 1];
    }
    p->ours[0] = p->ours[1] = p->ours[2] = -1;
    c->keyboard = p->stdio[0].kind == RIP_STDIO_PTY;
    c->out[0].terminal = p->stdio[1].kind == RIP_STDIO_PTY;
    c->terminal = p->terminal;
    p->terminal = -1;
    for (int i = 0; i < 2; i++) {
        c->lifeline[i] = p->lifeline[i];
        p->lifeline[i] = -1;
    }
    c->cgroup = p->cgroup;
    p->cgroup.parent = p->cgroup.dir = -1;
}

/* The program may be open for writing nowhere (ETXTBSY). Where another thread
 * has just written it, and a third was starting a program at that time, the
 * third one's child may hold the writer's descriptor for the moment that it
 * takes to close it. That passes by itself, and so do the children of others
 * that fork. So it is tried again, for about a tenth of a second in all. */
static int spawn_when_closed(struct rip__os_spawned *s,
                             const struct rip__plan *p)
{
    const rip_time longest_nap = 64000000;
    for (rip_time nap = 1000000;; nap *= 2) {
        int r = rip__os_spawn(s, &p->spawn);
        if (r != -ETXTBSY || nap > longest_nap)
            return r;
        (void)rip__os_poll(NULL, 0, rip__later(nap));
    }
}

static int spawn(rip_command *c, struct rip__plan *p)
{
    struct rip__os_spawned s;
    int r = rip__redirect_open(p);
    if (r < 0)
        return r;
    c->started = rip__os_clock();
    r = spawn_when_closed(&s, p);
    if (r < 0)
        return rip__fail_spawn(p, &s, r);
    c->pid = s.pid;
    c->pidfd = s.pidfd;
    if (p->spawn.group == RIP__GROUP_OWN ||
        p->spawn.group == RIP__GROUP_SESSION)
        c->leader = c;
    memcpy(c->mark, p->mark, sizeof c->mark);
    c->inherited_peak = rip__os_peak_memory();
    adopt_fds(c, p);
    return 0;
}

int rip__command_start(rip_command **ret, const char *const *argv,
                       const struct rip_command_options *options,
                       unsigned manner)
{
    struct rip__plan plan;
    reap_leftovers();
    int r = rip__plan_resolve(&plan, argv, options, manner);
    if (r < 0)
        return r;
    rip_command *c = make(plan.options);
    if (c)
        r = spawn(c, &plan);
    else
        r = rip__fail(plan.options, "memory", argv[0], -ENOMEM);
    rip__plan_done(&plan);
    if (r < 0) {
        if (c)
            destroy(c);
        return r;
    }
    *ret = c;
    return 0;
}

int rip_command_start(rip_command **ret, const char *const *argv,
                      const struct rip_command_options *options)
{
    return rip__command_start(ret, argv, options, 0);
}

pid_t rip_command_pid(const rip_command *c)
{
    return c->pid;
}

int rip_command_fd(const rip_command *c)
{
    return c->pidfd;
}

int rip_command_resize(rip_command *c, unsigned short rows,
                       unsigned short columns)
{
    if (c->terminal < 0)
        return -EINVAL;
    return rip__terminal_resize(c->terminal, rows, columns);
}

/* ---- wait ------------------------------------------------------------- */

/* rip__poll, or rip__os_poll for what no request to stop may end. */
typedef int poll_fn(struct pollfd *fds, size_t n, rip_time deadline);

static int await(rip_command *c, rip_time deadline, poll_fn *poll)
{
    struct pollfd ended = { .fd = c->pidfd, .events = POLLIN };
    int r = poll(&ended, 1, deadline);
    if (r == 0)
        return -ETIMEDOUT;
    return r < 0 ? r : 0;
}

int rip__command_await(rip_command *c, rip_time deadline)
{
    return await(c, deadline, rip__os_poll);
}

/* A control group counts what was touched in it, and only that. Of the usage
 * what lies above our own is surely the program's: until exec the child had our
 * memory, and the kernel keeps the highest mark. */
static int64_t peak_of(const rip_command *c, const struct rip__os_status *s)
{
    int64_t peak = rip__os_cgroup_peak(&c->cgroup);
    if (peak > 0)
        return peak;
    return s->has_usage && s->max_rss_bytes > c->inherited_peak
               ? s->max_rss_bytes
               : 0;
}

static void fill_end(rip_command *c, const struct rip__os_status *s)
{
    struct rip_exit *e = &c->end;
    *e = (struct rip_exit){
        .timed_out = c->timed_out,
        .stopped = c->stopped,
        .wall_ns = rip__os_clock() - c->started,
        .user_ns = s->user_ns,
        .system_ns = s->system_ns,
    };
    rip__exit_note(e, s->known, s->wait_status);
    e->max_rss_bytes = peak_of(c, s);
    e->oom_killed = rip__os_cgroup_oom_killed(&c->cgroup);
}

/* Takes its status if it has ended: 1, 0 if it has not. `note`: without
 * reaping it. */
static int look(rip_command *c, bool note)
{
    struct rip__os_status status;
    int r = 1;
    pthread_mutex_lock(&c->lock);
    bool keep = note || c->stopping > 0;
    if (!c->reaped && !(c->ended && keep)) {
        r = rip__os_reap(c->pidfd, keep, &status);
        if (r == 1 && !c->ended)
            fill_end(c, &status);
        if (r == 1) {
            c->ended = true;
            c->reaped = !keep;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

void rip__command_note_end(rip_command *c)
{
    (void)look(c, true);
}

/* How it ended; and how its tree was reached, which may go on after that. */
static void read_end(rip_command *c, struct rip_exit *ret)
{
    pthread_mutex_lock(&c->lock);
    *ret = c->end;
    ret->tree = c->tree;
    pthread_mutex_unlock(&c->lock);
}

static int wait_with(rip_command *c, struct rip_exit *ret, rip_time deadline,
                     poll_fn *poll)
{
    const rip_time longest_nap = 20000000;
    int r = deadline == RIP_NOW ? 0 : await(c, deadline, poll);
    if (r == 0)
        r = look(c, false);
    /* Ended, and no status: a tracer (strace, gdb) has it, and hands it on
     * when it likes to. */
    for (rip_time nap = 1000000; r == 0;
         nap = rip__sooner(2 * nap, longest_nap)) {
        if (deadline <= rip__os_clock())
            return -ETIMEDOUT;
        r = poll(NULL, 0, rip__sooner(deadline, rip__later(nap)));
        if (r == 0)
            r = look(c, false);
    }
    if (r < 0)
        return r;
    if (ret)
        read_end(c, ret);
    return 0;
}

int rip_command_wait(rip_command *c, struct rip_exit *ret, rip_time deadline)
{
    return wait_with(c, ret, deadline, rip__poll);
}

/* First without poll(2), which may fail for want of memory: what has ended is
 * reaped all the same. */
int rip__command_reap(rip_command *c, struct rip_exit *ret, rip_time deadline)
{
    int r = wait_with(c, ret, RIP_NOW, rip__os_poll);
    if (r != -ETIMEDOUT || deadline == RIP_NOW)
        return r;
    return wait_with(c, ret, deadline, rip__os_poll);
}

rip_command *rip_command_free(rip_command *c)
{
    if (!c)
        return NULL;
    bool left = false;
    if (!c->reaped && c->owner == getpid() &&
        rip_command_wait(c, NULL, RIP_NOW) == -ETIMEDOUT) {
        rip__input_flush(c, RIP_NOW);
        if (c->terminal >= 0)
            hang_up(c);
        else
            rip__input_close(c);
        left = c->killed || rip_command_stop(c, NULL, RIP_FOREVER) < 0;
    }
    if (left)
        leave_over(c);
    else
        destroy(c);
    return NULL;
}
