/* SPDX-License-Identifier: MIT */
#ifndef RIP_SEGMENT_LAYOUT_H
#define RIP_SEGMENT_LAYOUT_H

/*
 * What stands where in a segment:
 *
 *     slot 0                the header, in a page of its own
 *     slots 1 .. n_slots-1  a page each, see struct rip__slot
 *     names                 of objects
 *     units                 a struct rip__unit for each unit of the data
 *     map                   a byte for each unit
 *     data                  what is allocated from
 *
 * All offsets follow from three numbers: the page size, how many slots, how
 * many units. Whoever opens a segment checks these, and computes the rest
 * into private memory: nothing else is ever taken from the header.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ripstop/base.h>

#include "segment/segment.h"

#define RIP__UNIT_SIZE   ((size_t)4096)
#define RIP__UNITS_MAX   ((uint64_t)1 << 32) /* 16 TiB */
#define RIP__NAMES       1024
#define RIP__NAME_LENGTH 64 /* of a segment or an object, its NUL included */
#define RIP__CLASSES     14

/* The state of what is allocated: alloc.c. */
struct rip__heap {
    uint64_t lock;       /* who is at it; WAITERS */
    uint64_t disordered; /* the last one there died, and nobody has put all in
                            order since */
    uint64_t top;        /* the units from there on were never used */
    uint64_t used;       /* bytes; only to be told */
    uint64_t stirred;    /* something may be found by looking at all */
    uint64_t hint[RIP__CLASSES + 1]; /* below there none with room; [0]: free */
};

struct rip__header {
    /* What never changes, and is covered by the checksum. */
    uint64_t magic;
    uint32_t version;
    uint32_t checksum;
    uint32_t page, slot_size;
    uint32_t n_slots, n_names;
    uint64_t n_units;
    uint64_t size; /* of all */
    uint32_t uid, reserved[3];
    char name[RIP__NAME_LENGTH];

    /* What changes. */
    struct rip__roll roll;
    uint32_t names_used; /* names from there on were never used */
    uint32_t reserved2;
    RIP_ALIGNED(64) struct rip__heap heap;
};

/* The name of an object. Written under the heap's lock; `key` last. */
struct rip__name {
    uint64_t key; /* where the object is: an offset; 0: unused */
    uint64_t size;
    char name[RIP__NAME_LENGTH];
};

struct rip__unit {
    uint64_t word;    /* what it is: alloc.c */
    uint64_t owner;   /* who is just making it, or taking it down */
    uint64_t bits[4]; /* which of its small objects are in use */
    uint64_t named;   /* a name may be there for something in it */
    uint64_t reserved;
};

/* A segment's geometry, in private memory. */
struct rip__layout {
    size_t page, size;
    uint32_t n_slots;
    uint64_t n_units;
    size_t names_at, units_at, map_at, data_at;
};

/* For so many bytes of data, and so many members. False: it is too large. */
bool rip__layout_plan(struct rip__layout *ret, size_t size, unsigned members);

/* Fills in the header of a new segment. */
void rip__header_write(struct rip__header *h, const struct rip__layout *l,
                       const char *name);

/* Checks a copy of a header, of a file of `size` bytes that belongs to `uid`,
 * and tells the geometry: 0; -EBADMSG: no segment, or a damaged one; -EPROTO:
 * one of another version of this library, or other page size; -EXDEV: one of
 * another pid namespace. */
int rip__header_check(const struct rip__header *h, size_t size, uint32_t uid,
                      struct rip__layout *ret);

/* ---- segments as this process has them: segment.c --------------------- */

struct rip_segment {
    unsigned char *base;        /* where it is mapped */
    struct rip__domain *domain; /* as the members know it */
    struct rip__layout layout;
    struct rip__header *header;
    int fd;
    uint64_t device, inode; /* what the descriptor stands for: who closes those
                               that are not his may make it another's */
    uint64_t backed;        /* units whose entries are known to be there: under
                               the heap's lock */
    unsigned refs;
    int presence; /* the name that says that we have it; -1: it has no name */
    uint32_t mark;
    char name[RIP__NAME_LENGTH];
    struct rip_segment *next;
};

/* Makes sure of the memory behind a part of it, so that to use that raises no
 * SIGBUS: 0 or -ENOMEM. */
int rip__segment_back(struct rip_segment *s, size_t offset, size_t len);

/* Closes the program's own segment, as only a test needs to. */
void rip__segment_close_own(void);

/* What a named segment or an object may be called. */
bool rip__is_name(const char *name);

int rip__options_check(const struct rip_segment_options *o);

/* Makes one; `name` is for /proc and the header. */
int rip__segment_make(struct rip_segment **ret, const char *name,
                      const struct rip_segment_options *opt);

/* Maps what a descriptor stands for, which belongs to it on success: one that
 * there is, or one that is new and shall have this name. */
int rip__segment_map(struct rip_segment **ret, int fd,
                     const struct rip__layout *l, const char *new_name);

/* Reads and checks the header of what a descriptor stands for. */
int rip__segment_look(int fd, struct rip__header *header,
                      struct rip__layout *ret);

/* Finds the one of a name in whichever process has it: a descriptor to read
 * it. -ENOENT: nobody has it. */
int rip__segment_find(const char *name, int *fd, struct rip__header *header,
                      struct rip__layout *layout);

/* The one of a name that this process has already, with one more reference;
 * NULL if there is none. */
struct rip_segment *rip__segment_again(const char *name);

/* Lets it be found so, once it is whole. */
void rip__segment_announce(struct rip_segment *s, const char *name,
                           int presence);

/* `s`, or for NULL the program's own, which is made at need. */
struct rip_segment *rip__segment_or_own(struct rip_segment *s);

/* ---- handed on: hand.c ------------------------------------------------ */

/*
 * For a process that was forked from this one earlier, and from which another
 * is just being forked that is to have what we have now.
 *
 * Before the first fork all that is whole is marked; what is not, the fork puts
 * away (_settle). From then on it has those that are marked, as far as they
 * are still open here (_keep), and is sent the others.
 */
enum { RIP__HANDED = 64 }; /* as many are open at most */

/* What belongs to one of them but its descriptors. */
struct rip__handed {
    unsigned char *base;
    struct rip__layout layout;
    char name[RIP__NAME_LENGTH]; /* "": none */
};

struct rip__hand {
    size_t n_kept, n, n_fds;
    const unsigned char *kept[RIP__HANDED]; /* where those with a mark are */
    struct rip__handed handed[RIP__HANDED];
    int fds[2 * RIP__HANDED]; /* of each the memory, and the sign if named */
};

uint32_t rip__segments_mark(void);
void rip__segments_settle(uint32_t mark);

/* What there is now: copies of the descriptors belong to the caller, until
 * _hand_done. 0 or an error. */
int rip__segments_hand(uint32_t mark, struct rip__hand *ret);
void rip__segments_hand_done(const struct rip__hand *h);

void rip__segments_keep(uint32_t mark, const unsigned char *const *kept,
                        size_t n);

/* Maps one at its place; the descriptors (`sign` may be -1) belong to it on
 * success. rip_segment_close takes it away again. */
int rip__segment_take(struct rip_segment **ret, const struct rip__handed *h,
                      int fd, int sign);

/* What guards the list of segments: of domain.c, and free in a fork's child. */
pthread_mutex_t *rip__mutex_of_segments(void);

/* Of segment.c, for that: */
struct rip_segment *rip__segments_lock(void); /* all of them, by `next` */
void rip__segments_unlock(void);
void rip__segment_forget(struct rip_segment *s); /* while they are locked */
int rip__segment_map_there(struct rip_segment **ret, int fd,
                           const struct rip__layout *l, unsigned char *base);

/* ---- the heap: heap.c ------------------------------------------------- */

/* What a byte of the map says, beside the class of small blocks of which a
 * unit has some to give. */
#define RIP__MAP_FREE 0
#define RIP__MAP_USED 0xff

enum rip__unit_kind {
    RIP__UNIT_FREE,   /* and all that is within a run and not its first */
    RIP__UNIT_SMALL,  /* small blocks, of one class */
    RIP__UNIT_RUN,    /* the first unit of a block of several */
    RIP__UNIT_CLAIMED /* the same, and `owner` is just making or freeing it */
};

/* The word of a unit: its kind, the class, and how many units it is. */
static inline uint64_t rip__unit_word(enum rip__unit_kind kind, unsigned class,
                                      uint64_t n)
{
    return n << 16 | class << 8 | kind;
}
static inline enum rip__unit_kind rip__unit_kind(uint64_t word)
{
    return (enum rip__unit_kind)(word & 0xff);
}
static inline unsigned rip__unit_class(uint64_t word)
{
    return (unsigned)(word >> 8) & 0xff;
}
static inline uint64_t rip__unit_count(uint64_t word)
{
    return word >> 16;
}

/* Being in the allocator of a segment, alone. */
struct rip__work {
    struct rip_segment *s;
    struct rip__me *me;
    struct rip__unit *units;
    uint8_t *map;
    uint64_t top; /* no unit from there on was ever used */
};

/* 0, with the heap in order, or an error. */
int rip__heap_enter(struct rip__work *ret, struct rip_segment *s);
void rip__heap_leave(struct rip__work *w);

/* Claims n units in a row: the first of them, or -1. */
int64_t rip__heap_claim(struct rip__work *w, uint64_t n);
/* Makes them free. */
void rip__heap_give(struct rip__work *w, uint64_t unit, uint64_t n);

/* Counts that something was found which can not be. */
void rip__heap_damaged(const struct rip_segment *s);

/* The memory of a unit. */
static inline unsigned char *rip__unit_at(const struct rip_segment *s,
                                          uint64_t unit)
{
    return s->base + s->layout.data_at + unit * RIP__UNIT_SIZE;
}

/* How large the small blocks of a class are; classes begin with 1. */
size_t rip__class_size(unsigned class);

/* A block that is in use. */
struct rip__block {
    uint64_t unit;      /* the first one */
    size_t begin, size; /* an offset in the segment */
    unsigned class;     /* 0: a run */
};

/* The block that `p` points into. False: there is none. */
bool rip__block_of(const struct rip__work *w, const void *p,
                   struct rip__block *ret);

/* ---- blocks: alloc.c -------------------------------------------------- */

/* Allocates while the heap is ours. `publish` is called with the block, all
 * zero, just before it counts as allocated, and can refuse it. */
void *rip__block_new(struct rip__work *w, size_t size,
                     bool (*publish)(struct rip__work *w, void *block,
                                     void *arg),
                     void *arg);

/* ---- names: name.c ---------------------------------------------------- */

/* Forgets the names in a part of a segment. */
void rip__names_forget(struct rip__work *w, size_t begin, size_t size);

/* Forgets those for which there is no block any more. */
void rip__names_sift(struct rip__work *w);

#endif
