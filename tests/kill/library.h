/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_KILL_LIBRARY_H
#define RIP_TESTS_KILL_LIBRARY_H

/* What the scenes of the library's own objects share. */

#include <errno.h>

#include <ripstop/barrier.h>
#include <ripstop/cond.h>
#include <ripstop/event.h>
#include <ripstop/latch.h>
#include <ripstop/lock.h>
#include <ripstop/once.h>
#include <ripstop/rlock.h>
#include <ripstop/rwlock.h>
#include <ripstop/segment.h>
#include <ripstop/sem.h>

#include "kill.h"
#include "segment/segment.h"

/* In a small segment, all of which is swept: with its slots. */
kill_memory_fn library_memory;
/* In one that has room for a few blocks that are returned to the system. */
kill_memory_fn library_large_memory;

/* What the library finds out once in a process, by a child that shares its
 * memory: in the director, since what such a child does is no point. */
void library_try_kernel(void);

/* The segment of the scene. */
extern rip_segment *library_segment;

/* Becomes a member of the object's segment. */
kill_fn library_join;

/* Mends what the dead have left. */
kill_fn library_sweep;

/* Leaves so few slots free that they are used again and again: those of the
 * dead as soon as these are swept. */
void library_settle(void *object, unsigned newcomers);

/* A check that all these are free again. */
void library_none_lost(void *object);

/* A survivor's deadline. That one comes in time is seen to by the director,
 * who shows the stacks. */
#define LIBRARY_LATE RIP_FOREVER

/* The survivor that does what only one may do. */
bool library_is_first(void);

/* The state in which nothing has happened. */
extern const struct kill_state library_fresh;

#endif
