/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "base/helper.h"
#include "message/queue.h"
#include "os/os.h"

/*
 * A descriptor that tells poll(2) of a queue: an eventfd, which the helper
 * (base/) writes to when somebody brings something. While it is readable nobody
 * watches the queue, however much comes. A look that finds nothing empties it,
 * and then the queue is watched again.
 *
 *     readable     nobody watches       after what came, or at first
 *     not readable the helper watches   a look found nothing since
 *
 * Who empties it looks once more when the queue is watched, so what came in
 * between makes it readable again.
 */

struct watch {
    const rip_queue *q;
    int fd;
    struct rip__os_futex word;
    struct rip__post post;
    bool posted;
    struct watch *next;
};

struct state {
    pthread_mutex_t mutex;
    struct watch *first;
};

/* In memory that a fork wipes: a child has none of these. */
static void *state;

static struct state *get_state(void)
{
    return rip__process_state(&state, sizeof(struct state));
}

/* Where the watch of a queue hangs, or would. */
static struct watch **find(struct state *s, const rip_queue *q)
{
    struct watch **at = &s->first;
    while (*at && (*at)->q != q)
        at = &(*at)->next;
    return at;
}

static void withdraw(struct watch *w)
{
    if (w->posted)
        rip__withdraw(&w->post);
    w->posted = false;
}

/* Watches a queue in which nothing is, as far as is known. A death brings
 * something, too, and nobody who tells of it: so it is looked for. */
static bool watch(struct watch *w, rip_queue *q)
{
    withdraw(w);
    w->word = (struct rip__os_futex){ .word = &q->getters, .shared = true };
    if (!rip__queue_watch(q, &w->word.seen)) {
        rip__os_eventfd_set(w->fd);
        return true;
    }
    w->post = (struct rip__post){
        .words = &w->word,
        .n = 1,
        .fd = w->fd,
        .by = rip__load_relaxed(&q->has_leases) ? rip__later(rip__look_again_ns)
                                                : RIP_FOREVER,
    };
    w->posted = rip__post(&w->post);
    return w->posted;
}

/* With the mutex. */
static int make(struct watch **at, rip_queue *q)
{
    struct watch *w = rip__alloc(sizeof *w);
    if (!w)
        return -ENOMEM;
    *w = (struct watch){ .q = q, .fd = rip__os_eventfd() };
    int r = w->fd;
    if (r >= 0 && !watch(w, q)) {
        rip__os_close(w->fd);
        r = -EAGAIN;
    }
    if (r < 0)
        rip__free(w);
    else
        *at = w;
    return r;
}

int rip_queue_fd(rip_queue *q)
{
    struct rip__queue_view *v;
    int r = rip__queue_join(q, &v);
    if (r < 0)
        return r;
    struct state *s = get_state();
    if (!s)
        return -ENOMEM;
    pthread_mutex_lock(&s->mutex);
    struct watch **at = find(s, q);
    r = *at ? (*at)->fd : make(at, q);
    pthread_mutex_unlock(&s->mutex);
    return r;
}

void rip__queue_fd_look(const struct rip__queue_view *v)
{
    struct state *s = rip__load(&state);
    uint64_t count;
    if (!s)
        return;
    pthread_mutex_lock(&s->mutex);
    struct watch *w = *find(s, v->m.q);
    if (w && rip__os_read(w->fd, &count, sizeof count) > 0 && !watch(w, v->m.q))
        rip__os_eventfd_set(w->fd);
    pthread_mutex_unlock(&s->mutex);
}

void rip__queue_fd_close(const rip_queue *q)
{
    struct state *s = rip__load(&state);
    if (!s)
        return;
    pthread_mutex_lock(&s->mutex);
    struct watch **at = find(s, q), *w = *at;
    if (w) {
        *at = w->next;
        withdraw(w);
        rip__os_close(w->fd);
        rip__free(w);
    }
    pthread_mutex_unlock(&s->mutex);
}
