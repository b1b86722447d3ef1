/* SPDX-License-Identifier: MIT */
#include "base/helper.h"

#include <errno.h>

#include "base/atomic.h"
#include "base/base.h"

/*
 * The helper takes turns: with the mutex it tells of what has changed and
 * gathers what is posted; without it, it sleeps on all of that and on
 * `control`, which every post and withdrawal changes.
 *
 *     what comes                 when                    what becomes of it
 *     a post                     it is awake             gathered at this turn
 *                                is falling asleep       `control` is another
 *                                                        than was gathered
 *                                sleeps                  woken by `control`
 *     a change of a word         before the post         `seen` differs: told
 *                                                        by the first turn
 *                                after it                the same, or the
 *                                                        kernel refuses the
 *                                                        sleep, or it is woken
 *     a second change            the post was told       nothing: it is in no
 *                                                        list any more
 *     a withdrawal               it was told             nothing to be done
 *                                it is awake             taken out of the list
 *                                sleeps, or is falling   the same, and waits
 *                                asleep                  until it has woken
 *     a fork                     at any time             all of this is zero in
 *                                                        the child: no helper,
 *                                                        no post, the mutex
 * free a wake that was not sent   at any time             who has posted looks
 *                                                        again by himself
 *
 * A withdrawal waits since whoever sleeps on a word takes part in wakes: when
 * the memory is something else's by then, it would take one of its wakes away.
 */
struct state {
    pthread_mutex_t mutex; /* guards what follows */
    struct rip__post *first;
    bool runs;         /* there is a helper */
    bool sleeps;       /* on words that were gathered before */
    uint32_t awaiting; /* how many wait for its next turn */
    uint32_t control;  /* a futex */
    uint32_t turn;     /* a futex: how often it has woken */
};

/* Where it cannot sleep on all words it looks at them so often; and so often
 * one who waits for its turn calls again. */
static const rip_time slice = 20 * INT64_C(1000000);
static const rip_time patience = 10 * INT64_C(1000000);

static void *state;

/* In memory that a fork wipes: NULL, it is not to be had. */
static struct state *get_state(void)
{
    return rip__process_state(&state, sizeof(struct state));
}

/* ---- the helper ------------------------------------------------------- */

static bool is_due(const struct rip__post *p, rip_time now)
{
    for (size_t i = 0; i < p->n; i++)
        if (rip__load(p->words[i].word) != p->words[i].seen)
            return true;
    return p->by <= now;
}

static void tell(struct state *s)
{
    const rip_time now = rip__os_clock();
    struct rip__post **at = &s->first;
    while (*at) {
        const struct rip__post *p = *at;
        if (is_due(p, now)) {
            *at = p->next;
            rip__os_eventfd_set(p->fd);
        } else {
            at = &(*at)->next;
        }
    }
}

/* How many words there are to sleep on, and until when. */
static size_t gather(const struct state *s, struct rip__os_futex *words,
                     rip_time *until)
{
    size_t n = 0;
    bool all = true;
    words[n++] = (struct rip__os_futex){ &s->control, s->control, false };
    *until = RIP_FOREVER;
    for (const struct rip__post *p = s->first; p; p = p->next) {
        *until = rip__sooner(*until, p->by);
        for (size_t i = 0; i < p->n; i++)
            if (n < RIP__OS_FUTEXES)
                words[n++] = p->words[i];
            else
                all = false;
    }
    if (n > 1 && !(all && rip__os_futex_waits_for_many()))
        *until = rip__sooner(*until, rip__later(slice));
    return n;
}

/* With the mutex, but for the sleep. */
static void take_turn(struct state *s)
{
    struct rip__os_futex words[RIP__OS_FUTEXES];
    rip_time until;
    tell(s);
    size_t n = gather(s, words, &until);
    s->sleeps = true;
    pthread_mutex_unlock(&s->mutex);
    rip__os_futex_wait(words, n, until);
    pthread_mutex_lock(&s->mutex);
    s->sleeps = false;
    rip__store(&s->turn, s->turn + 1);
    if (s->awaiting > 0)
        rip__os_futex_wake(&s->turn, false, INT32_MAX);
}

static void *help(void *arg)
{
    struct state *s = arg;
    rip__os_name_thread("rip-wait");
    pthread_mutex_lock(&s->mutex);
    for (;;)
        take_turn(s);
    return NULL;
}

/* ---- who waits -------------------------------------------------------- */

static void call(struct state *s)
{
    rip__os_futex_wake(&s->control, false, 1);
}

bool rip__post(struct rip__post *p)
{
    struct state *s = get_state();
    if (!s)
        return false;
    pthread_mutex_lock(&s->mutex);
    s->runs = s->runs || rip__os_thread_aside(help, s) == 0;
    bool runs = s->runs;
    if (runs) {
        p->next = s->first;
        s->first = p;
        rip__store(&s->control, s->control + 1);
    }
    pthread_mutex_unlock(&s->mutex);
    if (runs)
        call(s);
    return runs;
}

/* False: it was told, or the post was made before a fork. */
static bool take_out(struct state *s, const struct rip__post *p)
{
    struct rip__post **at = &s->first;
    while (*at && *at != p)
        at = &(*at)->next;
    if (!*at)
        return false;
    *at = p->next;
    return true;
}

/* With the mutex, but for the sleep. */
static void await_turn(struct state *s)
{
    const struct rip__os_futex next = { &s->turn, s->turn, false };
    rip__store(&s->control, s->control + 1);
    s->awaiting++;
    while (s->sleeps && s->turn == next.seen) {
        pthread_mutex_unlock(&s->mutex);
        call(s);
        rip__os_futex_wait(&next, 1, rip__later(patience));
        pthread_mutex_lock(&s->mutex);
    }
    s->awaiting--;
}

void rip__withdraw(struct rip__post *p)
{
    struct state *s = rip__load(&state);
    pthread_mutex_lock(&s->mutex);
    if (take_out(s, p) && s->sleeps)
        await_turn(s);
    pthread_mutex_unlock(&s->mutex);
}
