/* SPDX-License-Identifier: MIT */
#ifndef RIP_SEGMENT_MEMBER_H
#define RIP_SEGMENT_MEMBER_H

/* Between domain.c, which knows where a thread is a member, and member.c,
 * which makes and ends a membership. */

#include "segment/segment.h"

/* Claims a slot for the calling thread; holds a reference to the domain. */
int rip__member_new(struct rip__domain *d, struct rip__me **ret);

/* The calling thread goes: what it holds has a dead holder now. With `sweep`
 * the domain is still there, and it looks for what is to be mended. */
void rip__member_end(struct rip__me *me, bool sweep);

/* Another thread goes, as its domain is about to be removed. */
void rip__member_bury(struct rip__me *me);

/* In a fork's child: a membership of the parent's keeps nothing of the domain
 * any more. */
void rip__member_part(struct rip__me *me);

/* In a fork's child: lets go of what was copied of a membership of the
 * parent's, which goes on there. */
void rip__member_forget(struct rip__me *me);

/* Generations of the domain's members are above this one. */
uint64_t rip__first_generation(const struct rip__domain *d);

/* Gives up the calling thread's membership, if it has one. */
void rip__leave(const struct rip__domain *d);

void rip__domain_unref(struct rip__domain *d);

#endif
