/* SPDX-License-Identifier: MIT */
#ifndef RIP_SEGMENT_SEGMENT_H
#define RIP_SEGMENT_SEGMENT_H

/*
 * Domains, their members, who of them lives, and what is mended after a
 * death. docs/crash-safety.md is the design; its words are used here.
 *
 * All below is thread-safe. Whatever lies in a slot or a header of a shared
 * domain may be written by a hostile neighbour at any time: read it once,
 * check it, then use it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ripstop/base.h>
#include <ripstop/segment.h>

#include "base/atomic.h"
#include "os/os.h"

/* ---- identities ------------------------------------------------------- */

/*
 * Who: {8 bits 0, generation:40, slot:13, 3 bits that belong to the word which
 * holds it}. 0 with those bits cleared: nobody.
 */
#define RIP__FLAGS      7u
#define RIP__WAITERS    1u /* somebody may sleep on this word */
#define RIP__SLOT_SHIFT 3
#define RIP__SLOT_BITS  13
#define RIP__SLOTS_MAX  (1u << RIP__SLOT_BITS)

static inline uint64_t rip__who(uint64_t word)
{
    return word & ~(uint64_t)RIP__FLAGS;
}

static inline uint64_t rip__identity(uint64_t generation, uint32_t slot)
{
    return generation << 16 | (uint64_t)slot << RIP__SLOT_SHIFT;
}

static inline uint32_t rip__slot_of(uint64_t who)
{
    return (uint32_t)(who >> RIP__SLOT_SHIFT) & (RIP__SLOTS_MAX - 1);
}

/* ---- slots ------------------------------------------------------------ */

enum {
    RIP__MARKS = 128,  /* rwlocks read, barriers and latches joined: a thread */
    RIP__RECORDS = 32, /* semaphores with permits taken: a thread */
    RIP__HELD = 32,    /* places for locks that it holds */
    RIP__NAME = 32,    /* with its NUL */
    RIP__LIFE_ROOM = 128 /* at the end of a slot: the life word is in there */
};

/* Permits of one semaphore, taken by this slot: see count.c. */
struct rip__record {
    uint64_t key, state;
};

/* One page, at least 4 KiB, of the domain. */
struct rip__slot {
    uint64_t claim;   /* {generation:40, tid:22, phase:2}: member.c */
    uint32_t life_at; /* where in the slot its life word is */
    uint32_t polled;  /* the life word is not to be relied on */
    uint64_t wanted;  /* a bit for each of its locks that others wait for */
    uint32_t pid, tid;
    uint64_t start;        /* of the thread, as the system tells it */
    uint64_t pstart;       /* of its process */
    uint64_t pidfs;        /* of its process: 0 where the kernel has none */
    rip_time joined, died; /* the latter as rip__death_word makes it */
    uint32_t left;         /* it went of its own accord */
    uint32_t n_marks;      /* none is used from there on */
    uint64_t wait;         /* key of the object it waits for; 0 */
    rip_time wait_since;
    char name[RIP__NAME];
    uint64_t marks[RIP__MARKS];
    struct rip__record records[RIP__RECORDS];
    uint64_t held[RIP__HELD]; /* keys of locks, each at its place; or 0 */
};

/* ---- domains ---------------------------------------------------------- */

/* What is common to the headers of all domains: it stands at this byte of
 * slot 0. */
struct rip__roll {
    uint64_t pid_namespace; /* whose numbers `pid` and `tid` are; 0: unknown */
    uint32_t slots_used;    /* slots from there on were never claimed */
    uint32_t damaged;       /* how often an object was found misused */
};
enum { RIP__ROLL_AT = 128 };

/* A domain as this process sees it: private memory. */
struct rip__domain {
    unsigned char *base; /* of the mapping; slot i is at base + i * stride */
    size_t size;         /* of the mapping */
    size_t stride;
    uint32_t n_slots;       /* slot 0, the header, counted in */
    int fd;                 /* of the memfd; -1: the program's own domain */
    uint64_t device, inode; /* what that stands for: who closes descriptors that
                               are not his may have made it another's */
    bool shared;            /* false: the program's own; it spans all addresses
                               that lie in no segment */
    uint32_t refs; /* one of domain.c's table, one of each membership */
    /* Of a segment: domain.c. */
    uint32_t removed; /* the mapping may be gone */
    uint32_t leaving; /* so many threads are just going, and still use it; none
                         begins to when it is removed */
    struct rip__me *members; /* in this process, by `fellow` */
};

/*
 * Makes a mapped segment known, so that addresses in it are found; `from` is
 * copied, without refs. 0 or -ENOMEM, -EMFILE (64 are open). The caller keeps
 * the descriptor and the mapping until rip__domain_remove, after which no
 * address in it may be used; threads that are members of it are dead to the
 * others.
 */
int rip__domain_add(const struct rip__domain *from, struct rip__domain **ret);
void rip__domain_remove(struct rip__domain *d);

/* The same after a fork, of what may have been removed half-way by a thread
 * that is not here. Nobody is a member. */
void rip__domain_forget(const unsigned char *base, size_t size);

/* Makes sure of the memory behind a part of a segment, so that to use that
 * raises no SIGBUS: 0 or -ENOMEM. */
int rip__back(const struct rip__domain *d, size_t offset, size_t len);

/* The segment that an address lies in, and whether that has a name; NULL. */
struct rip_segment *rip__segment_at(const void *p, bool *named);

/* A wake of up to n sleepers on `word`, whose value is `value`, that is due
 * when the lock `key` is released. */
struct rip__wake_owed {
    uint64_t *word;
    uint64_t value, key;
    unsigned n; /* 0: none is */
};

/* A thread's membership of a domain: private, and gone when it leaves. */
struct rip__me {
    struct rip__domain *domain;
    struct rip__slot *slot;
    struct rip__slot *twin; /* the same in a mapping of its own, which lasts as
                               long as the membership; private memory from the
                               removal of the domain on; NULL: it is a copy,
                               of a thread of the process that has forked us */
    uintptr_t origin;       /* where keys count from */
    uint64_t id;            /* as it stands in a word, flags 0 */
    uint32_t index;
    uint32_t unlisted; /* locks that it holds, and not in `held` */
    uint32_t vain;     /* lock.c: wakes of late that found nobody */
    uint32_t working;  /* heap.c: calls that are in the allocator; a second one
                          is a signal handler's */
    struct rip__wake_owed owed;
    struct rip__wake_owed vain_one; /* the last that found too few */
    bool unfenced;       /* nobody can make a barrier in our CPU for us */
    uint64_t waited_for; /* its last sleep, and */
    rip_time waits_since, woke; /* when that wait began, and the sleep ended */
    struct rip__os_life *node;  /* NULL: polled */
    struct rip__me *next;       /* of the same thread */
    struct rip__me *fellow;     /* of the same domain */
    uint64_t lineage;           /* domain.c: in which it was made */
    uint32_t buried;            /* the domain was removed under it */
};

/* What a thread looked at last: addresses lo .. lo+len are of me's domain,
 * while the process is still the `process` it was. */
struct rip__near {
    uintptr_t lo, len;
    uint64_t process;
    struct rip__me *me;
};
extern __thread struct rip__near rip__near
    __attribute__((visibility("hidden")));

/* In a page that is wiped in a child of fork(2): 0 there until its first use.
 * It changes too when a segment is opened or closed. */
extern const uint64_t *rip__process __attribute__((visibility("hidden")));

int rip__join_slowly(const void *object, struct rip__me **ret);

/* The caller's membership of the domain that `object` lies in, or NULL when it
 * is none, or has just been in another. */
static inline struct rip__me *rip__here(const void *object)
{
    bool valid = (uintptr_t)object - rip__near.lo < rip__near.len &&
                 rip__near.process == rip__load_relaxed(rip__process);
    return valid ? rip__near.me : NULL;
}

/* The same, but it joins if it is none yet. 0, or -ENOMEM (no slot, or no
 * memory), -EXDEV (another pid namespace than the segment's). */
static inline int rip__join(const void *object, struct rip__me **ret)
{
    struct rip__me *me = rip__here(object);
    if (!me)
        return rip__join_slowly(object, ret);
    *ret = me;
    return 0;
}

/* The same, or NULL when the caller is no member: joins nothing, so it is
 * async-signal-safe. */
struct rip__me *rip__member(const void *object);

/* The domain of an address; the program's own (which is made at need, and
 * NULL without memory) when it lies in no segment. Async-signal-safe for
 * addresses in segments. */
struct rip__domain *rip__domain_of(const void *object);

/* Whether an address lies in a segment. Async-signal-safe. */
bool rip__is_shared(const void *object);

/* The same, and cheap where the caller is a member. */
static inline bool rip__is_shared_here(const void *object)
{
    const struct rip__me *me = rip__here(object);
    return me ? me->domain->shared : rip__is_shared(object);
}

/* An object as it is named in slots: its offset in a segment, its address in
 * the program's own domain. At most 48 bits. And back: NULL when `size` bytes
 * from there are not all inside, and behind the slots, which would be spoilt
 * where they told of an object in themselves (of the program's own domain
 * nothing is checked: nobody else writes there). */
static inline uint64_t rip__key(const struct rip__domain *d, const void *object)
{
    return d->shared ? (uint64_t)((const unsigned char *)object - d->base)
                     : (uint64_t)(uintptr_t)object;
}
void *rip__object(const struct rip__domain *d, uint64_t key, size_t size);

static inline struct rip__slot *rip__slot(const struct rip__domain *d,
                                          uint32_t index)
{
    return (struct rip__slot *)(void *)(d->base + (size_t)index * d->stride);
}

static inline struct rip__roll *rip__roll(const struct rip__domain *d)
{
    return (struct rip__roll *)(void *)(d->base + RIP__ROLL_AT);
}

/* Slots from this one on were never claimed; at most d->n_slots. */
static inline uint32_t rip__slots_used(const struct rip__domain *d)
{
    uint32_t n = rip__load(&rip__roll(d)->slots_used);
    return n < d->n_slots ? n : d->n_slots;
}

/* Gives up every membership of the calling thread; what it held has a dead
 * holder from then on. At the end of a thread this happens by itself. */
void rip__leave_all(void);

/* ---- life ------------------------------------------------------------- */

/* What `claim` says. */
enum rip__phase { RIP__FREE, RIP__CLAIMED, RIP__LIVE };
static inline enum rip__phase rip__phase(uint64_t claim)
{
    return (enum rip__phase)(claim & 3);
}
static inline uint64_t rip__generation(uint64_t claim)
{
    return claim >> 24;
}
static inline pid_t rip__claimer(uint64_t claim)
{
    return (pid_t)(claim >> 2 & 0x3fffff);
}

/* When a member died, with the generation of which that is said in place of
 * the last bits; and back: 0, it is of another, or not noted. */
enum { RIP__DEATH_MARK = 0xff };
static inline rip_time rip__death_word(uint64_t claim, rip_time when)
{
    return (when & ~(rip_time)RIP__DEATH_MARK) |
           (rip_time)(rip__generation(claim) & RIP__DEATH_MARK);
}
static inline rip_time rip__death_of(uint64_t claim, rip_time died)
{
    rip_time when = died & ~(rip_time)RIP__DEATH_MARK;
    return rip__death_word(claim, when) == died ? when : 0;
}

/* The life word of a slot. */
static inline uint32_t *rip__life(const struct rip__domain *d, uint32_t index)
{
    struct rip__slot *slot = rip__slot(d, index);
    size_t at = rip__load_relaxed(&slot->life_at);
    if (at % 4 != 0 || at < d->stride - RIP__LIFE_ROOM || at > d->stride - 4)
        at = d->stride - 4;
    return (uint32_t *)(void *)((unsigned char *)slot + at);
}

/*
 * Whether `who` is dead: on proof alone. An identity that no member ever had
 * (scribbled) counts as dead. `rip__is_dead` looks at memory and is cheap;
 * `rip__is_gone` asks the kernel as well, as is done at each look again.
 */
bool rip__is_dead(const struct rip__domain *d, uint64_t who);
bool rip__is_gone(const struct rip__domain *d, uint64_t who);

/* The same, and the kernel is asked where memory does not tell. */
bool rip__is_seen_dead(const struct rip__domain *d, uint64_t who);

/* Whether the whole process of a slot is dead, whatever its thread is. */
bool rip__process_is_gone(const struct rip__domain *d, uint32_t index);

/* ---- sleeping --------------------------------------------------------- */

enum { RIP__WATCH = 64 };

/* How long nobody sleeps without looking again: 200 ms. Shorter in tests. */
extern int64_t rip__look_again_ns;

struct rip__sleep {
    void *object;    /* what it is about: for `wait` */
    uint32_t *word;  /* what to sleep on, while it is */
    uint32_t seen;   /*   equal to this */
    uint32_t *word2; /* further ones, or NULL */
    uint32_t seen2;
    uint32_t *word3;
    uint32_t seen3;
    const uint64_t *watch; /* whose death ends it: identities; who is nobody
                              is passed over */
    size_t n_watch;        /* those above RIP__WATCH are left to looking
                              again */
    bool heeds_stop;       /* a request to stop ends it, too */
};

/*
 * Sleeps until a word has changed, one who is watched has died, or it is time
 * to look again; `wait` tells the object meanwhile. Then (0) the caller looks
 * at its words anew. A look again has swept the domain. -ETIMEDOUT: the
 * deadline has passed; the caller tries once more before it says so. A death
 * that is seen here has woken all who watch it.
 *
 * -ECANCELED, to who heeds it: the caller is to stop, and has not slept. One
 * that comes during the sleep ends it with 0: so whatever else has come by then
 * is seen first, and no wake that this sleeper was given is lost.
 */
int rip__sleep(struct rip__me *me, const struct rip__sleep *s,
               rip_time deadline);

/*
 * Until when to sleep, for who waits for what belongs to processes: that comes
 * back some moments after the thread of one is dead, and is looked for at short
 * intervals, for a while. The dead among those n are taken out. `naps` is 0 at
 * first.
 */
rip_time rip__dying_until(struct rip__me *me, uint64_t *who, size_t *n,
                          int *naps, rip_time deadline);

/* Wakes up to n sleepers; how many there were. Async-signal-safe. */
unsigned rip__wake(bool shared, const uint32_t *word, unsigned n);
#define RIP__ALL 0x7fffffffu

/* ---- marks ------------------------------------------------------------ */

enum rip__mark_kind {
    RIP__READS = 1,
    RIP__PARTY = 2,   /* its object begins with a struct rip__fellowship, which
                         breaks when it dies, or goes while others wait */
    RIP__PLEDGED = 3, /* the same, and it breaks when it goes, whenever */
    RIP__USES = 4,    /* a queue: rip__queue_mend */
    RIP__WRITES = 5,  /* has put into a queue that asks who does */
};

/* What objects with parties begin with. */
struct rip__fellowship {
    uint64_t word;    /* the flags below; the rest is the object's own */
    uint64_t culprit; /* who broke it by dying */
    uint32_t number;  /* the object's own */
    uint32_t incarnation;
};
#define RIP__BROKEN 2u

/* As much of an incarnation as a mark has room for. */
#define RIP__INCARNATIONS 0x1fffu

/*
 * A mark on `object` in one's own slot: where it stands, or NULL when all
 * RIP__MARKS are in use. No load after it overtakes it. `incarnation` tells
 * an object from an earlier one at the same address; readers say 0.
 */
uint64_t *rip__mark(struct rip__me *me, const void *object,
                    enum rip__mark_kind kind, unsigned incarnation);
/* One's own mark of that kind; NULL: there is none. */
uint64_t *rip__find_mark(const struct rip__me *me, const void *object,
                         enum rip__mark_kind kind, unsigned incarnation);
void rip__unmark(struct rip__me *me, uint64_t *mark);

/* The marks of all members but `me` on an object: begin with *at = 0; the
 * identity of the next one who has such a mark, 0 at the end. It may be dead:
 * a reader is none then, a party has been missed, or soon will be. */
uint64_t rip__next_marked(const struct rip__me *me, const void *object,
                          enum rip__mark_kind kind, unsigned incarnation,
                          uint32_t *at);

/* Whether `who` is a party of the object as it is now, or was when it died: of
 * the dead that can be told until another has the slot. */
bool rip__is_party(const struct rip__domain *d, const struct rip__fellowship *f,
                   uint64_t who);

/* What a mark says; false: there is none. */
bool rip__mark_read(uint64_t mark, enum rip__mark_kind *kind, uint64_t *key,
                    unsigned *incarnation);

/* ---- held locks ------------------------------------------------------- */

/* Where a lock stands in `held`, and which bit it has in `wanted`: in the low
 * half of it, on which one can sleep. */
static inline unsigned rip__place(uint64_t key)
{
    return (unsigned)((key >> 4) * 0x9e3779b97f4a7c15u >> 59);
}

/* Where a lock is noted as held in one's own slot; NULL: it is not held, or
 * only counted. */
static inline uint64_t *rip__find_held(const struct rip__me *me,
                                       const void *object)
{
    uint64_t key = (uintptr_t)object - me->origin;
    uint64_t *at = &me->slot->held[rip__place(key)];
    return rip__load_relaxed(at) == key ? at : NULL;
}

/* Notes it, and tells where. NULL: another has the place, and it is counted. */
static inline uint64_t *rip__note_held(struct rip__me *me, const void *object)
{
    uint64_t key = (uintptr_t)object - me->origin;
    uint64_t *at = &me->slot->held[rip__place(key)];
    if (rip__load_relaxed(at) == 0) {
        rip__store_relaxed(at, key);
        return at;
    }
    me->unlisted++;
    return NULL;
}

static inline void rip__forget_held(struct rip__me *me, uint64_t *at)
{
    if (at)
        rip__store_relaxed(at, 0);
    else if (me->unlisted > 0)
        me->unlisted--;
}

/* Set in `wanted` by its owner. For good: a release has to be a barrier itself.
 * And: with a release a wake is due. */
#define RIP__UNFENCED ((uint64_t)1 << 63)
#define RIP__OWES     ((uint64_t)1 << 62)

/* Ends the program with one line, "ripstop: WHAT": for misuse of an object
 * outside of segments. */
_Noreturn void rip__misuse(const char *what);

/* ---- counting words: count.c ------------------------------------------ */

/* A number that says who changed it last, so that what a member took comes
 * back when its process dies. Only in segments. */
struct rip__count {
    uint64_t word;
    uint32_t max;
    uint32_t incarnation;
};
#define RIP__COUNT_MAX 0xffffffu
unsigned rip__count_value(const struct rip__count *c);
/* Takes one: 1; 0 when there is none, with WAITERS set in the low half of the
 * word, and that half in *seen, to sleep on it; seen may be NULL for one who
 * will not. `slept`: whether the caller has, since it was called. -ENOMEM when
 * all records are in use, -EBADMSG. */
int rip__count_take(struct rip__me *me, struct rip__count *c, bool slept,
                    uint32_t *seen);
/* Gives n back, and wakes as many; `me` may be NULL. 0, or -EOVERFLOW, with
 * nothing given, -EBADMSG. Async-signal-safe. */
int rip__count_give(const struct rip__me *me, struct rip__count *c, unsigned n);
/* Up to `max` members, but the caller, who have taken some: how many. */
size_t rip__count_holders(const struct rip__me *me, struct rip__count *c,
                          uint64_t *ret, size_t max);

/* How many permits the record number `index` of a slot has, in a copy of it;
 * `word` was the object's word before. */
unsigned rip__count_recorded(uint64_t state, uint64_t word, uint32_t slot,
                             uint32_t index);

/* ---- the sweep -------------------------------------------------------- */

/* Mends what is left by the dead of a domain. Cheap when there are none. */
void rip__sweep(struct rip__domain *d);
/*
 * That of message/mend.c, which stands above: what a dead member, whose slot
 * says `claim`, has left in the queue `key`. False: something is left, as its
 * process lives. Weak, as a program with the static library may have no queue
 * in it.
 */
bool rip__queue_mend(struct rip__domain *d, uint32_t index, uint64_t claim,
                     uint64_t key, unsigned incarnation)
    __attribute__((weak, visibility("hidden")));
/* That of count.c: gives back what the slot's dead process had taken. False:
 * something is left. */
bool rip__count_sweep(const struct rip__domain *d, uint32_t index);

#endif
