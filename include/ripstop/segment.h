/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_SEGMENT_H
#define RIPSTOP_SEGMENT_H

/*
 * <ripstop/segment.h>: shared memory that knows its members.
 *
 * Memory that a program and its children share, in one line; there is nothing
 * to set up and nothing to clean up:
 *
 *     struct tally {
 *         rip_lock lock;
 *         long count;
 *     } *t = rip_shared_alloc(NULL, sizeof *t);
 *     if (fork() == 0) {
 *         if (rip_lock_acquire(&t->lock, RIP_FOREVER) >= 0) {
 *             t->count++;
 *             rip_lock_release(&t->lock);
 *         }
 *         _exit(0);
 *     }
 *
 * Memory that programs share which know nothing of each other but a name:
 *
 *     rip_segment *s = NULL;
 *     void *p;
 *     int r = rip_segment_open(&s, "cache", NULL);
 *     if (r == 0)
 *         r = rip_segment_get(&p, s, "tally", sizeof(struct tally));
 *     if (r >= 0)
 *         use(p);
 *     rip_segment_close(s);
 *
 * A segment is a piece of memory that several processes have mapped, from
 * which each of them allocates, and in which the objects of <ripstop/lock.h>
 * and its kin work between processes as they do between threads. Each thread
 * that uses one of these objects, or allocates, becomes a member of the
 * segment by that, until it ends. When a member dies, however it dies, what it
 * held is taken over by the others. rip_segment_inspect, and `ripstop inspect`
 * at a shell, tell who the members are, what they hold and wait for, and who
 * has died of what.
 *
 * A segment is anonymous or named. An anonymous one is shared with the
 * processes that are forked after it was made, which have it at the same
 * addresses; the program's own, which is meant by NULL, is made when it is
 * first used, so use it before you fork. A named one is found by the programs
 * of the same user. It is mapped at another address in each of them: keep
 * offsets in it rather than pointers.
 *
 * Nothing of a segment is in the file system, in /dev/shm for example: it is
 * gone when the last process that has it has ended or closed it.
 *
 * Deaths
 *
 * A member is dead when the kernel says so: its process was killed or has
 * ended or called exec, or its thread has ended. One that is stopped, slow or
 * swapped out is alive, and keeps what it holds: no timeout takes anything from
 * anybody. Who waits for a member that dies knows it within a few milliseconds,
 * or before Linux 5.16 within 0.2 seconds. Where somebody is killed who was to
 * wake others, these go on within 0.2 seconds as well.
 *
 * An object that lies in no segment, a static one for example, is used by the
 * threads of its process alone. These are members too, of the program, and the
 * end of one is told to the others as it is in a segment.
 *
 * Memory
 *
 * A segment has a size, which it can never exceed. It costs memory only as it
 * is allocated, and rip_shared_free gives large blocks back to the system.
 * What rip_shared_alloc gives is there: when the system has no memory left the
 * call fails, and no access crashes later.
 *
 * Trust
 *
 * Every process of a segment can write everywhere in it. One that does so by
 * mistake, or by malice, can spoil what you keep there, but it can not make
 * the calls of this library crash, nor read or write outside of the segment.
 * Named segments are shared among processes of one user alone.
 *
 * Caveats
 *
 * - exec makes a program leave its segments; the new program opens them again.
 * - Two programs see each other's names if they are in the same network
 *   namespace, and can share a segment if they are in the same pid namespace.
 *   A process in another one is refused (-EXDEV); but one that has no /proc is
 *   told apart from Linux 6.11 on only, and must not use a segment before that.
 * - A program that closes descriptors which are not its own (closefrom(3))
 *   takes away the sign that it has a named segment: others may then make a
 *   new one of that name.
 * - A process has at most 64 segments at a time.
 * - While a thread opens a named segment, no other thread should fork a child
 *   that goes on without exec: it would hold what others wait for to open it.
 * - A segment is left out of core dumps, but for what was allocated in it by
 *   the dumped process.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h> /* pid_t */

#include <ripstop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rip_segment rip_segment;

/* Whether a named segment is to be there already. */
enum rip_segment_how {
    RIP_SEGMENT_ANY,    /* joined, or made if there is none */
    RIP_SEGMENT_CREATE, /* made; -EEXIST if there is one */
    RIP_SEGMENT_JOIN    /* joined; -ENOENT if there is none */
};

struct rip_segment_options {
    size_t size;      /* the most that can be allocated, in bytes, with what the
                         allocator loses; 0: 1 GiB, or less where a limit of the
                         process (RLIMIT_AS, RLIMIT_FSIZE) demands it */
    unsigned members; /* the most threads that use it at once, at most 8191;
                         0: 4095 */
    enum rip_segment_how how; /* of a named one */
    uint64_t reserved[4];
};

/*
 * Makes an anonymous segment. The processes that are forked from now on have
 * it too, at the same addresses, and each of them may close it.
 *
 *     -EINVAL  an option is wrong
 *     -EFBIG   `size` is more than RLIMIT_FSIZE allows
 *     -ENOMEM  no memory, or no address space
 *     -EMFILE, -ENFILE
 *              no descriptor: a segment needs one, a named one two
 *
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_segment_new(
    rip_segment **ret, const struct rip_segment_options *opt);

/*
 * Joins the segment of that name, or makes it. A name has 1 to 63 letters,
 * digits, dots, underscores and hyphens; each user has names of his own. The
 * first one decides on size and members; who joins with options that ask for
 * more than there is gets -EINVAL. Who has the segment already, or was forked
 * by one who had it, gets the same handle again, to be closed as often.
 *
 * The segment lives as long as a process has it, also one that was forked by
 * a member and does nothing with it.
 *
 *     -EINVAL     the name or an option is wrong
 *     -ENOENT     there is none (RIP_SEGMENT_JOIN); or /proc is not there,
 *                 which is needed to find one
 *     -EEXIST     there is one (RIP_SEGMENT_CREATE)
 *     -EPERM      a process of another user has taken this name of ours
 *     -EXDEV      its members are in another pid namespace
 *     -EPROTO     it was made by another version of this library
 *     -EBADMSG    what is there is damaged, or no segment
 *     -EACCES     who has it may not be looked at (prctl(2), PR_SET_DUMPABLE)
 *     -ETIMEDOUT  somebody was in the middle of opening it for 2 seconds, for
 *                 instance stopped there by a signal
 *     -ECANCELED  somebody opens it just now, and the calling task is to stop
 *     and those of rip_segment_new
 *
 * Blocks while others open it, at most 30 seconds. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_segment_open(
    rip_segment **ret, const char *name, const struct rip_segment_options *opt);

/*
 * Leaves a segment: it is no longer mapped in this process, and what this
 * process's threads held in it has a dead holder. Returns NULL. Nobody may use
 * anything in it meanwhile or later. Other processes keep it.
 *
 * Thread-safe, for different segments.
 */
RIP_API rip_segment *rip_segment_close(rip_segment *s);

/* ---- allocation ------------------------------------------------------- */

/*
 * Memory in a segment, all zero, to be freed by rip_shared_free, in whichever
 * process. NULL for the segment means the program's own. The address is a
 * multiple of 64 from 64 bytes on, and of 16 below. NULL when the segment is
 * full, the system has no memory, or there is no place for one more member.
 *
 * When a process is killed in the middle of it, the others go on and nothing
 * is lost. What is allocated belongs to nobody: when a process dies its memory
 * stays, for the others to use or to free.
 *
 * Up to 2048 bytes come out of pages of blocks of one size, of 16 to 2048
 * bytes; more is taken in steps of 4 KiB.
 *
 * Waits while another member is within the allocator, where one that was
 * stopped (SIGSTOP) stays. Thread-safe; in a signal handler that has
 * interrupted the allocator it gives NULL.
 */
RIP_API void *rip_shared_alloc(rip_segment *s, size_t size);

/*
 * Frees it, and forgets the names within it. NULL is fine.
 *
 * What does not lie in the segment ends the program with a message. Within
 * it, what is not allocated (or no more: a double free) is left as it is, and
 * counted as damage (rip_segment_stats): a neighbour may be the cause.
 *
 * Waits as rip_shared_alloc does. Thread-safe, not for signal handlers.
 */
RIP_API void rip_shared_free(rip_segment *s, void *p);

struct rip_segment_stats {
    size_t size;      /* the most that can be allocated */
    size_t used;      /* what is, with what is lost between blocks */
    unsigned members; /* how many there are, the dead not counted */
    unsigned members_max;
    uint64_t damaged; /* how often something was found that can not be: it was
                         freed twice, or written over */
    uint64_t reserved[4];
};

/*
 * What there is in a segment; NULL means the program's own. Takes no lock, so
 * while others are at it the numbers may not quite fit together.
 *
 * Thread-safe.
 */
RIP_API void rip_segment_stats(rip_segment *s, struct rip_segment_stats *ret);

/* ---- names ------------------------------------------------------------ */

/*
 * The object of a name: found, or allocated and named, whichever of several
 * processes is the first. It is zeroed when it is new, and all objects of
 * ripstop are valid so. What its first words are to be is decided by a lock or
 * a rip_once_flag within it.
 *
 * 0: it was there; 1: it is new. Names are as those of segments, but with
 * blanks allowed.
 *
 *     -EINVAL    no such name is possible, or the size is 0
 *     -EMSGSIZE  it is there, and smaller than `size`
 *     -EBADMSG   the name is there, and where its object is to be is none, or
 *                none at a multiple of 8: the segment was written over
 *     -ENOMEM    as rip_shared_alloc; or there are 1024 names
 *     -EXDEV     this process is in another pid namespace than the segment
 *     -EDEADLK   called by a signal handler that has interrupted the allocator
 *
 * Waits as rip_shared_alloc does. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_segment_get(void **ret, rip_segment *s,
                                             const char *name, size_t size);

/*
 * Gives an allocated object, or a part of one, a name for reports: `ripstop
 * inspect` then says that "jobs lock" is waited for. An object has one name; a
 * new one replaces it, and NULL takes it away.
 *
 *     -EINVAL  no such name is possible
 *     -ENOENT  nothing is allocated there
 *     -ENOMEM  there are 1024 names; or as rip_shared_alloc
 *     -EXDEV, -EDEADLK
 *              as of rip_segment_get
 *
 * Waits as rip_shared_alloc does. Thread-safe.
 */
RIP_API int rip_segment_name(rip_segment *s, const void *object,
                             const char *name);

/*
 * Names the calling thread as a member of a segment, for reports; what is
 * longer than 31 bytes is cut. NULL takes the name away.
 *
 * 0, or -ENOMEM when there is no place for one more member, or -EXDEV as of
 * rip_segment_get. Thread-safe.
 */
RIP_API int rip_segment_name_me(rip_segment *s, const char *name);

/* ---- reports ---------------------------------------------------------- */

enum rip_member_state {
    RIP_MEMBER_ALIVE,
    RIP_MEMBER_STOPPED, /* by a signal or a debugger: alive, and it keeps what
                           it holds */
    RIP_MEMBER_DEAD,    /* it was killed, or its process has ended */
    RIP_MEMBER_LEFT     /* it has closed the segment, or its thread has
                           returned */
};

/* An object that somebody uses or has named. Who it is, the members tell; here
 * those count that live. */
struct rip_segment_object {
    uint64_t offset;  /* where it is: in bytes from the segment's begin */
    const char *name; /* "": it has none */
    int holder;       /* which of the members has it locked; -1: nobody */
    unsigned waiting; /* how many members wait for it */
    unsigned readers; /* of a reader-writer lock: how many have it to read */
    unsigned parties; /* of a barrier or latch: how many parties it has */
    unsigned permits; /* of a semaphore: how many are taken, by anyone */
};

/* Permits that a member has taken, and not given back. */
struct rip_segment_permits {
    int object; /* which of the objects */
    unsigned count;
};

/* A thread that uses the segment, or did. */
struct rip_segment_member {
    const char *name;    /* "": it has none */
    const char *program; /* what its process runs; "": not known */
    pid_t pid, tid;
    enum rip_member_state state;
    rip_time joined;
    rip_time died; /* when that was noticed; 0: it was not */
    int waits_for; /* which of the objects it waits for; -1: none */
    rip_time waits_since;
    const int *holds; /* which of the objects it has locked, or had when it
                         died: 32 at most, some may be missing */
    size_t n_holds;
    const int *reads; /* which it reads, or did when it died */
    size_t n_reads;
    const int *party_of; /* which barriers and latches it is a party of, or was
                            when it died */
    size_t n_party_of;
    const struct rip_segment_permits *permits;
    size_t n_permits;
    unsigned cycle; /* > 0: members with this number wait for each other in a
                       circle, and none of them can go on */
};

struct rip_segment_report {
    const char *name; /* "(anonymous)", "(program)" */
    struct rip_segment_stats stats;
    const struct rip_segment_member *members; /* the longest there first */
    size_t n_members;
    const struct rip_segment_object *objects; /* by offset */
    size_t n_objects;
    unsigned cycles; /* how many circles of waiting members there are */
    uint64_t reserved[4];
};

/*
 * A picture of a segment: who its members are, what they hold, read, are a
 * party of and wait for, how many permits they have, who has died, and who
 * waits in a circle. It is read without any lock, and
 * without becoming a member, so it works whatever state the others are in; a
 * member that is just acquiring something may be shown as waiting and holding.
 * A dead member is shown until its place is taken by another.
 *
 * NULL means the program's own segment. To be freed by
 * rip_segment_report_free.
 *
 *     -EBADMSG, -EPROTO, -EXDEV
 *              what stands at the segment's begin was written over
 *     -ENOMEM  no memory
 *
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_segment_inspect(
    struct rip_segment_report **ret, rip_segment *s);

/*
 * The same for a segment of that name which this process has not opened, and
 * does not open; errors as of rip_segment_open. It waits for others for
 * a tenth of a second at most, while they open or close the segment.
 *
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_segment_inspect_name(
    struct rip_segment_report **ret, const char *name);

/*
 * The same for the segments of another process, also anonymous ones: the one
 * number `index`, from 0 on. -ENOENT when it has no more than that, -ESRCH when
 * there is no such process, -EACCES when it is not ours to look at.
 *
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_segment_inspect_pid(
    struct rip_segment_report **ret, pid_t pid, unsigned index);

/*
 * Frees a report; NULL is fine. Returns NULL.
 *
 * Thread-safe.
 */
RIP_API struct rip_segment_report *rip_segment_report_free(
    struct rip_segment_report *r);

#ifdef __cplusplus
}
#endif

#endif
