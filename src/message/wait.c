/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "message/queue.h"
#include "sync/sync.h"

/*
 * Who finds nothing sets the word of its kind to 1, looks once more, and sleeps
 * while that is 1. Who brings something sets it to 0, if it is not, and wakes
 * one. So while nobody sleeps that is one load; and many who bring something
 * before the sleeper runs make one system call together.
 *
 * Others may sleep beside the one who was woken: when that has found something
 * it sets the word to 1 again, and wakes the next if there is more. What is
 * lost by a death in between they find at their look again.
 */

enum { FIRST_PAUSES = 4 };

void rip__queue_wake(uint32_t *sleepers, unsigned n)
{
    if (rip__swap(sleepers, 0) != 0)
        rip__wake(true, sleepers, n);
}

static int sleep_for(const struct rip__queue_view *v, struct rip__queue_wait *w)
{
    const struct rip__sleep s = {
        .object = v->m.q,
        .word = w->sleepers,
        .seen = 1,
        .heeds_stop = true,
    };
    w->announced = false;
    w->slept = true;
    return rip__sleep(v->me, &s, w->deadline);
}

int rip__queue_turn(const struct rip__queue_view *v, struct rip__queue_wait *w)
{
    if (w->end < 0 || w->deadline == RIP_NOW)
        return w->end < 0 ? w->end : -ETIMEDOUT;
    unsigned pauses = FIRST_PAUSES << w->spins;
    if (pauses <= rip__spins()) {
        for (unsigned i = 0; i < pauses; i++)
            rip__pause();
        w->spins++;
    } else if (!w->announced) {
        rip__swap(w->sleepers, 1);
        w->announced = true;
    } else {
        w->end = sleep_for(v, w);
    }
    return 0;
}
