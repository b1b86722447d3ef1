/* SPDX-License-Identifier: MIT */
#ifndef RIP_SEGMENT_MEMBER_H
#define RIP_SEGMENT_MEMBER_H

/* Between domain.c, which knows where a thread is a member, and member.c,
 * which makes and ends a membership. */

#include "segment/segment.h"

/* Claims a slot for the calling thread; holds a reference to the domain. */
int rip__member_new(struct rip__domain *d, struct rip__me **ret);

/* The calling thread goes: what it holds has a dead holder now. */
void rip__member_end(struct rip__me *me);

/* In a fork's child: lets go of what was copied of a membership of the
 * parent's, which goes on there. */
void rip__member_forget(struct rip__me *me);

/* Generations of the domain's members are above this one. */
uint64_t rip__first_generation(const struct rip__domain *d);

/* Gives up the calling thread's membership, if it has one. */
void rip__leave(const struct rip__domain *d);

void rip__domain_unref(struct rip__domain *d);

#endif
