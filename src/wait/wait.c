/* SPDX-License-Identifier: MIT */
#include <ripstop/wait.h>

#include <errno.h>
#include <limits.h>

#include "base/base.h"
#include "base/helper.h"
#include "base/stop.h"
#include "message/queue.h"
#include "sync/sync.h"

/*
 * What has a descriptor is waited for by poll(2), what is a word of memory by
 * a sleep on it; and a mixture by poll(2) as well, where the helper (base/)
 * sleeps on the words for us.
 */

/* As many are watched without an allocation. */
enum { FEW = 32 };

/* In the place of the descriptor of a task that has ended, and may have none
 * any more. */
enum { ENDED = INT_MIN };

/* How often words are looked at of which no wake comes. */
static const rip_time slice = 20 * INT64_C(1000000);

/* One call. */
struct wait {
    const struct rip_wait *items;
    size_t n;
    struct pollfd *fds; /* of the items that have one, and room for one more */
    size_t n_fds;
    size_t n_words;              /* items that are one: events and queues */
    uint64_t *then;              /* of events, the word as the call began */
    struct rip__os_futex *words; /* and one more: of the stop */
};

/* ---- what is asked for ------------------------------------------------ */

static bool is_word(const struct rip_wait *item)
{
    return item->kind == RIP_WAIT_EVENT || item->kind == RIP_WAIT_QUEUE;
}

/* What poll(2) is to watch for an item. */
static int watch(struct pollfd *ret, const struct rip_wait *item)
{
    *ret = (struct pollfd){ .fd = -EINVAL, .events = POLLIN };
    switch (item->kind) {
    case RIP_WAIT_TASK:
        if (item->u.task)
            ret->fd = rip_task_fd(item->u.task);
        if (ret->fd == -ESRCH)
            ret->fd = ENDED;
        return ret->fd < 0 && ret->fd != ENDED ? ret->fd : 0;
    case RIP_WAIT_COMMAND:
        if (item->u.command)
            ret->fd = rip_command_fd(item->u.command);
        break;
    case RIP_WAIT_FD:
        ret->events = item->events;
        if (item->events != 0)
            ret->fd = item->u.fd;
        break;
    case RIP_WAIT_NONE:
    case RIP_WAIT_EVENT:
    case RIP_WAIT_QUEUE:
        break;
    }
    return ret->fd < 0 ? -EINVAL : 0;
}

/* Items that are none have no place in the list: poll(2) takes no more than
 * there may be open files, and a list of jobs, most of them done, may be much
 * longer than that. */
static int watch_all(struct wait *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const struct rip_wait *item = &w->items[i];
        int r = 0;
        if (is_word(item)) {
            w->n_words++;
            r = item->u.event ? 0 : -EINVAL;
        } else if (item->kind != RIP_WAIT_NONE) {
            r = watch(&w->fds[w->n_fds++], item);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- what is ready ---------------------------------------------------- */

/* An event, since its word was *then; or a queue. */
static bool word_is_ready(const struct rip_wait *item, const uint64_t *then)
{
    return item->kind == RIP_WAIT_EVENT
               ? rip__event_has_come(item->u.event, *then)
               : rip__queue_is_ready(item->u.queue);
}

/* The index of the first item that is ready, or -ETIMEDOUT. One with a closed
 * descriptor is refused wherever it stands: else it would be told of only when
 * nothing before it is ready. */
static int first_ready(const struct wait *w)
{
    const struct pollfd *p = w->fds;
    const uint64_t *then = w->then;
    int first = -ETIMEDOUT;
    for (size_t i = 0; i < w->n; i++) {
        const struct rip_wait *item = &w->items[i];
        bool ready = false;
        if (is_word(item)) {
            ready = word_is_ready(item, then++);
        } else if (item->kind != RIP_WAIT_NONE) {
            if (p->revents & POLLNVAL)
                return -EINVAL;
            ready = p->revents || p->fd == ENDED;
            p++;
        }
        if (ready && first < 0)
            first = (int)i;
    }
    return first;
}

static bool has_ended_task(const struct wait *w)
{
    for (size_t i = 0; i < w->n_fds; i++)
        if (w->fds[i].fd == ENDED)
            return true;
    return false;
}

/* Waits for descriptors alone. */
static int wait_for_fds(const struct wait *w, rip_time deadline)
{
    int r = rip__poll(w->fds, w->n_fds, has_ended_task(w) ? RIP_NOW : deadline);
    if (r == -EINVAL)
        return -EMFILE; /* its one meaning here */
    return r < 0 ? r : first_ready(w);
}

/* ---- words ------------------------------------------------------------ */

static void note_words(const struct wait *w)
{
    size_t at = 0;
    for (size_t i = 0; i < w->n; i++) {
        const struct rip_wait *item = &w->items[i];
        if (item->kind == RIP_WAIT_EVENT)
            w->then[at] = rip__load(&item->u.event->word);
        at += is_word(item);
    }
}

/* Sees to it that its change is woken for: false, it has come. */
static bool announce_one(const struct rip_wait *item, uint64_t then,
                         struct rip__os_futex *ret)
{
    if (item->kind == RIP_WAIT_QUEUE) {
        *ret = (struct rip__os_futex){ .word = &item->u.queue->getters,
                                       .shared = true };
        return rip__queue_watch(item->u.queue, &ret->seen);
    }
    rip_event *e = item->u.event;
    *ret = (struct rip__os_futex){
        .word = rip__low(&e->word),
        .seen = (uint32_t)rip__event_announce(e, then),
        .shared = rip__is_shared(e),
    };
    return !rip__event_has_come(e, then);
}

/* The same for each: false, one has come. */
static bool announce(const struct wait *w)
{
    size_t at = 0;
    bool none = true;
    for (size_t i = 0; i < w->n && none; i++) {
        const struct rip_wait *item = &w->items[i];
        if (!is_word(item))
            continue;
        none = announce_one(item, w->then[at], &w->words[at]);
        at++;
    }
    return none;
}

/* Sleeps on the words, and that of the stop as the last. What there is no room
 * for is looked at again soon. */
static void sleep_on_words(const struct wait *w, const struct rip__stop *stop,
                           rip_time now, rip_time deadline)
{
    size_t n = w->n_words;
    if (n >= RIP__OS_FUTEXES)
        n = RIP__OS_FUTEXES - 1;
    if (stop)
        w->words[n++] = (struct rip__os_futex){ &stop->word, 0, true };
    bool all = n >= w->n_words && (n == 1 || rip__os_futex_waits_for_many());
    rip_time nap = all ? rip__look_again_ns : slice;
    rip__os_futex_wait(w->words, n,
                       deadline - now < nap ? deadline : now + nap);
}

/* What has come to a queue another may have taken, just after it was seen. */
static int wait_for_words(const struct wait *w, rip_time deadline)
{
    const struct rip__stop *stop = rip__stop_heeded();
    for (;;) {
        bool none = announce(w);
        int r = none ? -ETIMEDOUT : first_ready(w);
        rip_time now = rip__os_clock();
        if (r != -ETIMEDOUT || deadline <= now)
            return r;
        if (rip__stop_asked(stop))
            return -ECANCELED;
        if (none)
            sleep_on_words(w, stop, now, deadline);
    }
}

/* ---- words and descriptors -------------------------------------------- */

/* Polls until something comes or it is time to look again. `told`: what the
 * helper writes to; without it, or without a helper, that is soon. */
static int poll_with_helper(const struct wait *w, struct pollfd *told,
                            rip_time deadline)
{
    struct rip__post post = {
        .words = w->words, .n = w->n_words, .fd = told->fd, .by = RIP_FOREVER
    };
    bool posted = told->fd >= 0 && rip__post(&post);
    rip_time end = rip__later(posted ? rip__look_again_ns : slice);
    int r = rip__poll(w->fds, w->n_fds + posted, rip__sooner(deadline, end));
    if (posted)
        rip__withdraw(&post);
    return r;
}

/* poll(2) may not take one more. */
static void do_without(struct pollfd *told)
{
    rip__os_close(told->fd);
    told->fd = -1;
}

static void empty(const struct pollfd *told)
{
    uint64_t count;
    if (told->fd >= 0 && told->revents)
        (void)rip__os_read(told->fd, &count, sizeof count);
}

static int wait_for_both(const struct wait *w, struct pollfd *told,
                         rip_time deadline)
{
    for (;;) {
        int r = announce(w) ? poll_with_helper(w, told, deadline)
                            : rip__os_poll(w->fds, w->n_fds, RIP_NOW);
        if (r == -EINVAL && told->fd >= 0)
            do_without(told);
        else if (r < 0 && r != -ECANCELED)
            return r == -EINVAL ? -EMFILE : r;
        int first = first_ready(w);
        if (first != -ETIMEDOUT || r == -ECANCELED)
            return first != -ETIMEDOUT ? first : r;
        if (deadline <= rip__os_clock())
            return -ETIMEDOUT;
        empty(told);
    }
}

static int wait_with_words(const struct wait *w, rip_time deadline)
{
    note_words(w);
    int r = w->n_fds > 0 ? wait_for_fds(w, RIP_NOW) : first_ready(w);
    if (r != -ETIMEDOUT || deadline <= rip__os_clock())
        return r;
    if (rip__stopping())
        return -ECANCELED;
    if (w->n_fds == 0)
        return wait_for_words(w, deadline);
    struct pollfd *told = &w->fds[w->n_fds];
    *told = (struct pollfd){ .fd = rip__os_eventfd(), .events = POLLIN };
    r = wait_for_both(w, told, deadline);
    rip__os_close(told->fd);
    return r;
}

/* With room for what is known of the words. */
static int with_room(struct wait w, rip_time deadline)
{
    uint64_t then[FEW] = { 0 };
    struct rip__os_futex words[FEW + 1];
    w.then = then;
    w.words = words;
    if (w.n_words <= FEW)
        return wait_with_words(&w, deadline);
    w.then = rip__alloc_array(w.n_words, sizeof *w.then);
    w.words = rip__alloc_array(w.n_words + 1, sizeof *w.words);
    int r = w.then && w.words ? wait_with_words(&w, deadline) : -ENOMEM;
    rip__free(w.then);
    rip__free(w.words);
    return r;
}

/* ---- all of it -------------------------------------------------------- */

static int wait_any(struct wait *w, rip_time deadline)
{
    int r = watch_all(w);
    if (r < 0)
        return r;
    if (w->n_words > 0)
        return with_room(*w, deadline);
    if (w->n_fds == 0 && deadline == RIP_FOREVER)
        return -EINVAL;
    return wait_for_fds(w, deadline);
}

int rip_wait_any(const struct rip_wait *items, size_t n, rip_time deadline)
{
    struct pollfd few[FEW + 1] = { { 0 } };
    struct wait w = { .items = items, .n = n, .fds = few };
    if (n > INT_MAX || (n > 0 && !items))
        return -EINVAL;
    if (n > FEW)
        w.fds = rip__alloc_array(n + 1, sizeof *w.fds);
    if (!w.fds)
        return -ENOMEM;
    int r = wait_any(&w, deadline);
    if (w.fds != few)
        rip__free(w.fds);
    return r;
}
