/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acts.h"
#include "base/atomic.h"
#include "harness.h"
#include "segment/layout.h"

/*
 * A segment is spoilt at one place between two operations, and then everything
 * is done in it: for each byte of its tables and objects, and for each word,
 * with each of some values. After each the segment is made as it was.
 *
 * One that failed is named by a note. RIPSTOP_FLIP=OFFSET:VALUE tries a word
 * alone, and RIPSTOP_FLIP=OFFSET^MASK a byte.
 */

static rip_segment *segment;
static struct acts acts;
static unsigned char *as_it_was;
static size_t size;
static uint64_t living, dead, own; /* identities */
static pid_t other;

/* ---- the world -------------------------------------------------------- */

static uint64_t identity_of(pid_t pid)
{
    const struct rip__domain *d = segment->domain;
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
        acts_take_all(&acts);
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

static void set_up(void)
{
    const struct rip_segment_options o = { .size = 256 << 10, .members = 6 };
    CHECK_OK(rip_segment_new(&segment, &o));
    acts = (struct acts){ .segment = segment, .wait_ns = 1000 };
    acts.objects = acts_prepare(segment);
    rip__look_again_ns = 1000000;
    pid_t gone = start();
    end(gone);
    dead = identity_of(gone);
    other = start();
    living = identity_of(other);
    own = identity_of(getpid());
    size = segment->layout.size;
    as_it_was = malloc(size);
    CHECK(as_it_was != NULL);
    memcpy(as_it_was, segment->base, size);
}

static void tear_down(void)
{
    memcpy(segment->base, as_it_was, size);
    end(other);
    rip_segment_close(segment);
    free(as_it_was);
}

/* ---- one attempt ------------------------------------------------------ */

/* The allocator knows no deadline, and waits for a living member that is said
 * to be in it, as for one who is stopped there. */
static bool is_endless(void)
{
    return rip__who(segment->header->heap.lock) == living;
}

static void play(void)
{
    if (!is_endless())
        acts_do_all(&acts);
    memcpy(segment->base, as_it_was, size);
}

static void try_word(size_t at, uint64_t value)
{
    harness_note("RIPSTOP_FLIP=0x%zx:0x%llx", at, (unsigned long long)value);
    memcpy(segment->base + at, &value, sizeof value);
    play();
}

static void try_byte(size_t at, unsigned mask)
{
    harness_note("RIPSTOP_FLIP=0x%zx^0x%x", at, mask);
    segment->base[at] ^= (unsigned char)mask;
    play();
}

static bool try_asked(void)
{
    const char *text = getenv("RIPSTOP_FLIP");
    char *end_of_it = NULL;
    size_t at = text ? strtoull(text, &end_of_it, 0) : 0;
    if (!text)
        return false;
    if (*end_of_it == ':')
        try_word(at, strtoull(end_of_it + 1, NULL, 0));
    else
        try_byte(at, (unsigned)strtoul(end_of_it + 1, NULL, 0));
    return true;
}

/* ---- all of them ------------------------------------------------------ */

/* Where something stands that is not the user's own. */
struct part {
    size_t at, len;
};
enum { PARTS = 16 };

static size_t list_parts(struct part *ret)
{
    const struct rip__layout *l = &segment->layout;
    size_t n = 0, page = l->page;
    ret[n++] = (struct part){ 0, (sizeof(struct rip__header) + 7) & ~7ul };
    for (uint32_t i = 1; i <= 4; i++) {
        ret[n++] = (struct part){ i * page, sizeof(struct rip__slot) };
        ret[n++] = (struct part){ (i + 1) * page - 32, 32 };
    }
    ret[n++] = (struct part){ l->names_at, 2 * sizeof(struct rip__name) };
    ret[n++] = (struct part){ l->units_at, 6 * sizeof(struct rip__unit) };
    ret[n++] = (struct part){ l->map_at, 8 };
    size_t objects = (size_t)((unsigned char *)acts.objects - segment->base);
    ret[n++] = (struct part){ objects, sizeof *acts.objects };
    return n;
}

/* What may stand in a word and be taken for something. */
enum { VALUES = 20 };
static uint64_t value_for(size_t at, unsigned i)
{
    const size_t rwlock = offsetof(struct acts_objects, rwlock);
    const size_t permits = offsetof(struct acts_objects, permits);
    uint64_t objects =
        (uint64_t)((unsigned char *)acts.objects - segment->base);
    uint64_t incarnation =
        (uint64_t)(acts.objects->permits.incarnation & 0xffff) << 48;
    const uint64_t values[VALUES] = {
        0,
        ~UINT64_C(0),
        1,
        (uint64_t)INT64_MAX,
        (uint64_t)INT64_MIN,
        own,
        own | RIP__WAITERS,
        living,
        living | RIP__FLAGS,
        dead,
        dead | RIP__WAITERS,
        size - 8,
        size,
        at,                              /* itself */
        at | (uint64_t)RIP__PARTY << 61, /* a mark on itself */
        (at - 8) | (uint64_t)RIP__READS << 61,
        (objects + rwlock) | (uint64_t)RIP__READS << 61,
        (objects + permits) | incarnation,  /* a record of the permits */
        segment->layout.data_at + 0xfffff8, /* far beyond */
        rip__unit_word(RIP__UNIT_RUN, 0, 1),
    };
    return values[i];
}

static const unsigned masks[] = { 0x01, 0x80, 0xff, 0x10 };

/* Each of them is tried, over as many runs as it takes: in one run each
 * `stride`th, from another one on in each part. */
static void try_all(size_t stride)
{
    struct part parts[PARTS];
    size_t n = list_parts(parts), at = 0;
    for (size_t i = 0; i < n; i++) {
        size_t bytes = parts[i].len * sizeof masks / sizeof *masks;
        size_t words = parts[i].len / 8 * VALUES;
        for (; at < bytes; at += stride)
            try_byte(parts[i].at + at % parts[i].len, masks[at / parts[i].len]);
        for (at -= bytes; at < words; at += stride) {
            size_t where = parts[i].at + at / VALUES * 8;
            try_word(where, value_for(where, at % VALUES));
        }
        at -= words;
    }
}

TEST_WITH(a_word_that_is_spoilt_does_no_harm, .deadline = 60)
{
    set_up();
    if (!try_asked())
        try_all(harness_rounds(1) > 1 ? 1 : 13);
    tear_down();
}
