/* SPDX-License-Identifier: MIT */
#include "segment/segment.h"

/* Who is alive. A slot's fields are read once each: a neighbour may write
 * there. What nonsense then says is wrong, and harmless to us. */

static struct rip__os_thread thread_of(const struct rip__slot *slot)
{
    return (struct rip__os_thread){
        .pid = (pid_t)rip__load_relaxed(&slot->pid),
        .tid = (pid_t)rip__load_relaxed(&slot->tid),
        .start = rip__load_relaxed(&slot->start),
        .process_start = rip__load_relaxed(&slot->pstart),
        .pidfs = rip__load_relaxed(&slot->pidfs),
    };
}

static bool is_member(const struct rip__domain *d, uint64_t who)
{
    uint32_t index = rip__slot_of(who);
    if (index == 0 || index >= d->n_slots)
        return false;
    uint64_t claim = rip__load(&rip__slot(d, index)->claim);
    return rip__phase(claim) == RIP__LIVE &&
           rip__identity(rip__generation(claim), index) == rip__who(who);
}

bool rip__is_dead(const struct rip__domain *d, uint64_t who)
{
    return !is_member(d, who) ||
           (rip__load(rip__life(d, rip__slot_of(who))) & RIP__OS_DIED) != 0;
}

/* For all to see, as the kernel would have done it. */
static void declare_dead(const struct rip__domain *d, uint64_t who)
{
    uint32_t *life = rip__life(d, rip__slot_of(who));
    uint32_t seen = rip__load(life);
    if (is_member(d, who) && !(seen & RIP__OS_DIED))
        rip__cas32(life, &seen, RIP__OS_DIED);
    rip__os_futex_wake(life, true, RIP__ALL);
}

bool rip__is_gone(const struct rip__domain *d, uint64_t who)
{
    if (rip__is_dead(d, who))
        return true;
    struct rip__os_thread t = thread_of(rip__slot(d, rip__slot_of(who)));
    if (!rip__os_thread_is_gone(&t) || !is_member(d, who))
        return false;
    declare_dead(d, who);
    return true;
}

bool rip__is_seen_dead(const struct rip__domain *d, uint64_t who)
{
    return rip__is_dead(d, who) ||
           (rip__load_relaxed(&rip__slot(d, rip__slot_of(who))->polled) &&
            rip__is_gone(d, who));
}

bool rip__process_is_gone(const struct rip__domain *d, uint32_t index)
{
    struct rip__os_thread t = thread_of(rip__slot(d, index));
    return rip__os_process_is_gone(&t);
}
