/* SPDX-License-Identifier: MIT */
#ifndef RIP_SYNC_SYNC_H
#define RIP_SYNC_SYNC_H

/*
 * What the objects share among themselves.
 */

#include <stdbool.h>

#include <ripstop/barrier.h>
#include <ripstop/event.h>
#include <ripstop/lock.h>

#include "segment/segment.h"

/* Kept out of the way of what is fast. */
#define RIP__SLOW __attribute__((noinline))

/* Set in a word by a release of one who does not hold the object: told once,
 * to the first acquire that begins after it. */
#define RIP__DAMAGED 4u

/* The longest pause between looks at a held word before one sleeps: 0 with one
 * CPU, where nobody could change it meanwhile. */
unsigned rip__spins(void);

/* A release, of the object with that word, by one who does not hold it. */
void rip__misused(uint64_t *word, const char *what);

/* Whether the word had DAMAGED; it has it no more. */
bool rip__was_damaged(uint64_t *word);

/*
 * The lock of lock.c, for those who are members already. Taking it is as
 * rip_lock_acquire. Taking it again is the end of something that began
 * earlier, and so leaves DAMAGED to the next one: 0, RIP_RECOVERED, or
 * -EDEADLK. Giving it says false, and does nothing, when it is not held by
 * `me`.
 */
int rip__lock_take(struct rip__me *me, rip_lock *l, rip_time deadline);
int rip__lock_again(struct rip__me *me, rip_lock *l);
bool rip__lock_give(struct rip__me *me, rip_lock *l);

/* What names a lock in the word of a condition. */
static inline uint32_t rip__lock_tag(const struct rip__me *me,
                                     const rip_lock *l)
{
    return (uint32_t)(rip__key(me->domain, l) >> 3);
}

/* Leaves a wake to the release of the lock of that tag: false, if `me` does not
 * hold it, or owes another wake already. `key` of `wake` is not looked at. */
bool rip__lock_defer(struct rip__me *me, uint32_t tag,
                     const struct rip__wake_owed *wake);

static inline bool rip__lock_is_of(const rip_lock *l, const struct rip__me *me)
{
    return rip__who(rip__load_relaxed(&l->word)) == me->id;
}

/* ---- events, for who waits for several -------------------------------- */

/* Whether it is set, or was since its word was `then`. */
bool rip__event_has_come(const rip_event *e, uint64_t then);

/* Makes sure of a wake by the next rip_event_set: the word then, whose low half
 * is to be slept on. One that has come meanwhile may be left as it is. */
uint64_t rip__event_announce(rip_event *e, uint64_t then);

/* ---- loops of swaps -------------------------------------------------- */

/* A turn that fails means that somebody else got on. A neighbour who scribbles
 * can make them fail as well, but not for ever. */
enum { RIP__TRIES = 1 << 20 };

/* ---- objects with parties: barrier and latch -------------------------- */

/* One that this object, and one at its address before, has not had: by it the
 * marks and permits of earlier ones are told from those of this one. */
uint32_t rip__incarnation(uint32_t last);

/* Sleeps as rip__sleep, and heeds a request to stop, while the low half of the
 * word is `seen` and all others with such a mark live; the death of one has
 * broken the object on return. */
int rip__fellow_sleep(struct rip__me *me, struct rip__fellowship *f,
                      enum rip__mark_kind kind, uint32_t seen,
                      rip_time deadline);

/* A party with a new mark: others are to watch it. Changes bits 4 to 11. */
void rip__fellow_present(struct rip__fellowship *f);

void rip__fellow_wake(struct rip__fellowship *f);

/* Sets those flags, and wakes everyone. */
void rip__fellow_flag(struct rip__fellowship *f, uint32_t flags);

int rip__fellow_culprit(const struct rip__fellowship *f,
                        struct rip_culprit *ret);

#endif
