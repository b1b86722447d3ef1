/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_SEGMENT_ACTS_H
#define RIP_TESTS_SEGMENT_ACTS_H

/*
 * All that one can do in a segment, for tests of segments that somebody
 * scribbles in: each act may then fail, but only with an error that its header
 * has; it comes to an end; and what it gives lies in the segment.
 */

#include <ripstop/barrier.h>
#include <ripstop/cond.h>
#include <ripstop/event.h>
#include <ripstop/latch.h>
#include <ripstop/once.h>
#include <ripstop/rlock.h>
#include <ripstop/rwlock.h>
#include <ripstop/segment.h>
#include <ripstop/sem.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the segment: one of each kind. */
struct acts_objects {
    rip_lock lock;
    rip_rlock rlock;
    rip_rwlock rwlock;
    rip_cond cond;
    rip_event event;
    rip_sem signals, permits;
    rip_barrier barrier;
    rip_latch latch;
    rip_once_flag once;
};

struct acts {
    rip_segment *segment;
    struct acts_objects *objects;
    int64_t wait_ns;   /* how long an act waits for others */
    const char *doing; /* which act, for a watchdog; NULL: none */
    rip_time since;    /* when that began */
    unsigned turn;     /* counts the acts */
};

/* How long an act may take, in seconds: of the processor's time, and of the
 * clock's, which on a loaded machine is much more. */
#define ACTS_BUSY 3.0
#define ACTS_LATE 30.0

extern const char *const acts_names[];
extern const size_t acts_count;

/* Makes the objects of a segment, and gives them names. */
struct acts_objects *acts_prepare(rip_segment *s);

void acts_do(struct acts *a, size_t which);
void acts_do_all(struct acts *a);

/* Holds, reads, is a party of: one of each. */
void acts_take_all(struct acts *a);

/* What makes one wait who has given no deadline: whom a scribbler names there
 * seems to hold it, and is not dead. Sets it free. */
void acts_heal(const struct acts *a);

#endif
