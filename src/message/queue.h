/* SPDX-License-Identifier: MIT */
#ifndef RIP_MESSAGE_QUEUE_H
#define RIP_MESSAGE_QUEUE_H

/*
 * A queue, as it lies in a segment. docs/queue.md is the design, and its words
 * are used here.
 */

#include <ripstop/queue.h>

#include "base/base.h"
#include "segment/segment.h"

/* ---- the word of a cell ---------------------------------------------- */

/*
 * {deaths:12, version:20, owner:29, state:3}. The owner is the low half of a
 * member's identity: its slot, and 16 bits of its generation; 0 is nobody. The
 * version is one more each time that a lease ends, so an entry that names
 * another one is spent, and so is a lease.
 */
enum rip__cell_state {
    RIP__CELL_FREE,   /* no owner */
    RIP__CELL_FILLED, /* being written by its owner, if no entry has it; else it
                         waits to be taken, whoever its owner is */
    RIP__CELL_LEASED, /* to its owner's process */
    RIP__CELL_BACK,   /* it came back from its owner, and waits to be taken; or
                         it is a dead letter */
};
#define RIP__VERSIONS   0xfffffu
#define RIP__DEATHS_MAX 0xfffu

static inline enum rip__cell_state rip__cell_state(uint64_t word)
{
    return (enum rip__cell_state)(word & RIP__FLAGS);
}

static inline uint32_t rip__cell_owner(uint64_t word)
{
    return (uint32_t)word & ~RIP__FLAGS;
}

static inline uint32_t rip__cell_version(uint64_t word)
{
    return (uint32_t)(word >> 32) & RIP__VERSIONS;
}

static inline uint32_t rip__cell_deaths(uint64_t word)
{
    return (uint32_t)(word >> 52);
}

static inline uint64_t rip__cell_word(enum rip__cell_state state,
                                      uint32_t owner, uint32_t version,
                                      uint32_t deaths)
{
    return (uint64_t)deaths << 52 | (uint64_t)(version & RIP__VERSIONS) << 32 |
           owner | state;
}

/* The same cell in another state, of another owner. */
static inline uint64_t rip__cell_to(uint64_t word, enum rip__cell_state state,
                                    uint32_t owner)
{
    return (word >> 32) << 32 | owner | state;
}

/* The end of a lease. */
static inline uint64_t rip__cell_done(uint64_t word)
{
    return rip__cell_word(RIP__CELL_FREE, 0, rip__cell_version(word) + 1, 0);
}

/* The end of a put that was none: no entry has the version. */
static inline uint64_t rip__cell_undone(uint64_t word)
{
    return rip__cell_word(RIP__CELL_FREE, 0, rip__cell_version(word), 0);
}

/* Of a cell that an entry has. */
static inline bool rip__cell_waits(uint64_t word, uint32_t version)
{
    return rip__cell_state(word) == RIP__CELL_FILLED &&
           rip__cell_version(word) == version;
}

struct rip__cell {
    uint64_t word;
    uint64_t len;
};

/* ---- in the segment --------------------------------------------------- */

enum {
    RIP__LINE = 64,
    RIP__CELLS_MAX = 1 << 19, /* order.c tells why */
    RIP__MESSAGE_MAX = 16 << 20
};

/* What stands at the begin of a line of the cache, of which several write. */
#define RIP__OWN_LINE _Alignas(RIP__LINE)

/* Where to look first: never too high, and too low only for a while. Each on a
 * line of its own, and so is what is sought next to it. */
struct rip__order {
    RIP__OWN_LINE uint64_t tail;
    uint32_t cursor; /* of the cells: the next free one may be there */
    RIP__OWN_LINE uint64_t head;
};

struct rip_queue {
    RIP__OWN_LINE uint32_t magic; /* 0: it is no queue, or no more */
    uint32_t incarnation;
    uint32_t capacity, message_size, max_deaths;
    uint32_t closing;    /* no put is to begin; RIP__SHUT: and no take */
    uint32_t has_leases; /* or had: rip_queue_take was called */
    uint32_t ends;       /* when all who have put are gone */
    uint32_t was_put_to; /* by one who has a mark for that */
    uint64_t returned;   /* how often something came back */
    uint64_t examined; /* what `returned` was when a look found nothing left */
    uint64_t resume;   /* {returned:32, cell:32}, where the next look begins */

    /* {wakes:30, flags:2}: with flags somebody may sleep until it changes. */
    RIP__OWN_LINE uint32_t getters;
    uint32_t putters, joiners, mourners;

    struct rip__order order;
    /* then the cells, the entries, and the data */
};
_Static_assert(sizeof(struct rip_queue) == (size_t)4 * RIP__LINE,
               "what is read by all stands on one line");
#define RIP__CLOSED      1u
#define RIP__SHUT        2u
#define RIP__SLEEPS      1u
#define RIP__WATCHES     2u /* and all are to be woken */
#define RIP__AWAITED     3u
#define RIP__QUEUE_MAGIC 0x51756575u

/* ---- as a thread sees it: private memory ------------------------------ */

/* Where all of it is. Checked once; what stands in the queue may be written by
 * anyone. */
struct rip__queue_map {
    rip_queue *q;
    uint32_t incarnation;
    uint32_t capacity;
    uint32_t mask, bits; /* of the entries: their number less one, and that
                            number's logarithm */
    size_t stride, message_size;
    uint32_t max_deaths;
    bool ends;
    struct rip__cell *cells;
    uint64_t *entries;
    unsigned char *data;
};

struct rip__queue_view {
    struct rip__queue_map m;
    uint64_t process; /* as of rip__near */
    struct rip__me *me;
    uint32_t owner; /* as it stands in the word of a cell */
    bool writes;    /* and has a mark for that */
    uint32_t takes;
    rip_time look_at;     /* for the dead, though there is no need to sleep */
    uint32_t patience[2]; /* of its puts and gets, in ns: wait.c */
};

/* How much memory a queue takes. */
size_t rip__queue_size(uint32_t capacity, size_t message_size);
/* Where all of it is, by `q`, `capacity` and `message_size`. */
void rip__queue_lay_out(struct rip__queue_map *m);
/* Of what there is at `q`: false, it is no queue. */
bool rip__queue_map(struct rip__queue_map *ret, const struct rip__domain *d,
                    rip_queue *q);
int rip__queue_join_slowly(rip_queue *q, struct rip__queue_view **ret);

enum { RIP__VIEWS = 4 };
extern __thread struct rip__queue_view rip__views[RIP__VIEWS]
    __attribute__((visibility("hidden")));

static inline struct rip__queue_view *rip__view_at(const rip_queue *q)
{
    return &rip__views[(uintptr_t)q / 64 % RIP__VIEWS];
}

/* The calling thread's view, as a member that has a mark on the queue. 0, or as
 * rip_queue_put. */
static inline int rip__queue_join(rip_queue *q, struct rip__queue_view **ret)
{
    struct rip__queue_view *v = rip__view_at(q);
    if (v->m.q != q || v->process != rip__load_relaxed(rip__process) ||
        rip__load_relaxed(&q->incarnation) != v->m.incarnation)
        return rip__queue_join_slowly(q, ret);
    *ret = v;
    return 0;
}

/* The calling thread is one who puts: 0, -ENOMEM. */
int rip__queue_begin_writing(struct rip__queue_view *v);

/* Of those who put and live, up to `max`; the caller is not among them. */
size_t rip__queue_writers(const struct rip__queue_view *v, uint64_t *ret,
                          size_t max);

/* Of a call that makes no sense. */
void rip__queue_count_damage(const struct rip__queue_view *v);

static inline unsigned char *rip__queue_data(const struct rip__queue_map *m,
                                             uint32_t cell)
{
    return m->data + (size_t)cell * m->stride;
}

/* ---- the order -------------------------------------------------------- */

/* Puts a cell at the end: 0, -EPIPE when the end is there, -EBADMSG. From this
 * swap on it is in the queue. */
int rip__order_append(const struct rip__queue_map *m, uint32_t cell,
                      uint32_t version);

/* The end: nothing is appended from now on. */
void rip__order_end(const struct rip__queue_map *m);

/* The first entry that waits to be taken: 1, its cell and the word of that, and
 * its position; 0: there is none; -EPIPE: there is the end; -EBADMSG. */
int rip__order_first(const struct rip__queue_map *m, uint32_t *cell,
                     uint64_t *word, uint64_t *position);

/* It is taken. */
static inline void rip__order_pass(const struct rip__queue_map *m,
                                   uint64_t position)
{
    uint64_t *head = &m->q->order.head;
    if (rip__load_relaxed(head) <= position)
        rip__store_relaxed(head, position + 1);
}

/* Entries from the first on that wait to be taken. */
size_t rip__order_count(const struct rip__queue_map *m);

/* Of what waits to be taken and names this owner, each loses the name. */
void rip__order_disown(const struct rip__queue_map *m, uint32_t owner);

/* ---- waiting ---------------------------------------------------------- */

/* Wakes up to n who sleep on a word of the queue. */
void rip__queue_wake(uint32_t *sleepers, unsigned n);

/* One of them; after a change of a word or an entry, each of which is a fence.
 */
static inline void rip__queue_tell(uint32_t *sleepers)
{
    if (rip__load_relaxed(sleepers) & RIP__AWAITED)
        rip__queue_wake(sleepers, 1);
}

struct rip__queue_wait {
    rip_time deadline;
    uint32_t *sleepers;
    uint32_t *patience;
    uint32_t seen;  /* of the word, when it was announced */
    unsigned spins; /* rounds made so far */
    bool announced, slept;
    int naps;
    int end; /* why it waits no more; 0 */
};

/*
 * A turn of a wait, after a look that found nothing: 0, look again; or
 * -ETIMEDOUT, -ECANCELED: that was the last look.
 */
int rip__queue_turn(struct rip__queue_view *v, struct rip__queue_wait *w);

/* The end of a wait that has found something. True: others may sleep still, so
 * the caller looks whether there is more now, and wakes one then. */
bool rip__queue_found(struct rip__queue_wait *w);

/* ---- being watched ---------------------------------------------------- */

/* Whether a get would not block: it has a message, or an error. Looks for the
 * dead, now and then. */
bool rip__queue_is_ready(rip_queue *q);

/* Watches it by a sleep on the word of the getters, while that is as it was
 * seen. False: it is ready. */
bool rip__queue_watch(rip_queue *q, uint32_t *seen);

/* The descriptor of this process, if it has one, is to be readable only if the
 * queue is: after a look that found nothing. */
void rip__queue_fd_look(const struct rip__queue_view *v);

/* In this process nobody uses the queue any more. */
void rip__queue_fd_close(const rip_queue *q);

/* ---- coming back ------------------------------------------------------ */

static inline bool rip__is_dead_letter(const struct rip__queue_map *m,
                                       uint64_t word)
{
    return m->max_deaths > 0 && rip__cell_deaths(word) >= m->max_deaths;
}

/* Sends a cell back that was leased, and has that word now. False: it is not
 * so any more. */
bool rip__queue_return(const struct rip__queue_map *m, uint32_t cell,
                       uint64_t word, bool by_death);

/* After a cell has come back: who waits for it learns of it. */
void rip__queue_tell_of_return(const struct rip__queue_map *m, uint64_t word);

/* One that came back, or a dead letter, oldest first: its cell and its word. */
bool rip__queue_find_back(const struct rip__queue_map *m, bool dead,
                          uint32_t *cell, uint64_t *word);
/* It is taken. */
void rip__queue_pass_back(const struct rip__queue_map *m, uint32_t cell);
size_t rip__queue_count_back(const struct rip__queue_map *m, bool dead);

/* Whether this process is it. */
bool rip__queue_is_ours(const struct rip__queue_view *v, uint32_t owner);

/* All that is leased to this process. */
void rip__queue_return_all(const struct rip__queue_view *v);

#endif
