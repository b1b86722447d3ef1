/* SPDX-License-Identifier: MIT */
#include <ripstop/rlock.h>

#include <errno.h>

#include "sync/sync.h"

/*
 * `depth` belongs to the holder: it means something only while the lock is
 * held, and is written by every first acquire. So a holder that dies at any
 * depth, or before it has written that, leaves nothing to mend.
 */

static int acquire_again(rip_rlock *l)
{
    uint32_t depth = rip__load_relaxed(&l->depth);
    if (depth == UINT32_MAX)
        return -EOVERFLOW;
    rip__store_relaxed(&l->depth, depth + 1);
    return 0;
}

int rip_rlock_acquire(rip_rlock *l, rip_time deadline)
{
    struct rip__me *me;
    int r = rip__join(l, &me);
    if (r < 0)
        return r;
    if (rip__lock_is_of(&l->lock, me))
        return acquire_again(l);
    r = rip__lock_take(me, &l->lock, deadline);
    if (r >= 0)
        rip__store_relaxed(&l->depth, 1);
    /* It has come to name the caller since: a neighbour has written that. */
    return r == -EDEADLK ? -EBADMSG : r;
}

static bool give(struct rip__me *me, rip_rlock *l)
{
    uint32_t depth = rip__load_relaxed(&l->depth);
    if (depth <= 1 || !rip__lock_is_of(&l->lock, me))
        return rip__lock_give(me, &l->lock);
    rip__store_relaxed(&l->depth, depth - 1);
    return true;
}

void rip_rlock_release(rip_rlock *l)
{
    struct rip__me *me;
    if (rip__join(l, &me) < 0 || !give(me, l))
        rip__misused(&l->lock.word,
                     "rip_rlock_release: the caller does not hold the lock");
}
