/* SPDX-License-Identifier: MIT */
#include "spoilt.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "segment/layout.h"

struct spoilt spoilt;

/* ---- members ---------------------------------------------------------- */

static uint64_t identity_of(pid_t pid)
{
    const struct rip__domain *d = spoilt.segment->domain;
    for (uint32_t i = 1; i < rip__slots_used(d); i++)
        if (rip__slot(d, i)->pid == (uint32_t)pid)
            return rip__identity(rip__generation(rip__slot(d, i)->claim), i);
    FAIL("%d is no member", (int)pid);
}

/* A process that takes one of everything, and stays. */
static pid_t start(void)
{
    int fd[2];
    char c;
    CHECK_INT(pipe(fd), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        acts_take_all(&spoilt.acts);
        CHECK_INT(write(fd[1], "", 1), ==, 1);
        for (;;)
            pause();
    }
    CHECK_INT(read(fd[0], &c, 1), ==, 1);
    close(fd[0]);
    close(fd[1]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), ==, pid);
}

/* ---- the segment ------------------------------------------------------ */

void spoilt_save(void)
{
    memcpy(spoilt.as_it_was, spoilt.segment->base, spoilt.size);
}

void spoilt_restore(void)
{
    memcpy(spoilt.segment->base, spoilt.as_it_was, spoilt.size);
}

void spoilt_begin(void)
{
    const struct rip_segment_options o = { .size = 256 << 10, .members = 6 };
    rip_segment *s;
    CHECK_OK(rip_segment_new(&s, &o));
    spoilt = (struct spoilt){ .segment = s, .size = s->layout.size };
    spoilt.acts = (struct acts){ .segment = s, .wait_ns = 1000 };
    spoilt.acts.objects = acts_prepare(s);
    rip__look_again_ns = 1000000;
    pid_t gone = start();
    end(gone);
    spoilt.dead = identity_of(gone);
    spoilt.other = start();
    spoilt.living = identity_of(spoilt.other);
    spoilt.own = identity_of(getpid());
    spoilt.as_it_was = malloc(spoilt.size);
    CHECK(spoilt.as_it_was != NULL);
    spoilt_save();
}

void spoilt_end(void)
{
    spoilt_restore();
    end(spoilt.other);
    rip_segment_close(spoilt.segment);
    free(spoilt.as_it_was);
}

/* ---- values ----------------------------------------------------------- */

uint64_t spoilt_value(size_t at, unsigned i)
{
    const size_t rwlock = offsetof(struct acts_objects, rwlock);
    const size_t permits = offsetof(struct acts_objects, permits);
    uint64_t objects =
        (uint64_t)((unsigned char *)spoilt.acts.objects - spoilt.segment->base);
    uint64_t incarnation =
        (uint64_t)(spoilt.acts.objects->permits.incarnation & 0xffff) << 48;
    const uint64_t values[SPOILT_VALUES] = {
        0,
        ~UINT64_C(0),
        1,
        (uint64_t)INT64_MAX,
        (uint64_t)INT64_MIN,
        spoilt.own,
        spoilt.own | RIP__WAITERS,
        spoilt.living,
        spoilt.living | RIP__FLAGS,
        spoilt.dead,
        spoilt.dead | RIP__WAITERS,
        spoilt.size - 8,
        spoilt.size,
        at,                              /* itself */
        at | (uint64_t)RIP__PARTY << 61, /* a mark on itself */
        (at - 8) | (uint64_t)RIP__READS << 61,
        (objects + rwlock) | (uint64_t)RIP__READS << 61,
        (objects + permits) | incarnation,         /* a record of the permits */
        spoilt.segment->layout.data_at + 0xfffff8, /* far beyond */
        rip__unit_word(RIP__UNIT_RUN, 0, 1),
    };
    return values[i];
}
