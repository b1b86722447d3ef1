/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_QUEUE_H
#define RIPSTOP_QUEUE_H

/*
 * <ripstop/queue.h>: messages from anyone to anyone, between threads and
 * between processes, of which none is lost when somebody is killed.
 *
 *     rip_queue *q;
 *     int r = rip_queue_new(&q, NULL);         // before the fork
 *     ...
 *     r = rip_queue_put(q, "hello", 6, RIP_FOREVER);
 *     ...
 *     char text[64];
 *     ssize_t n = rip_queue_get(q, text, sizeof text, rip_after(5));
 *
 * Any number of threads and processes put, and any number get; each message
 * goes to one of them. A queue has a capacity: who puts into a full one waits,
 * and so does who gets from an empty one, until the deadline.
 *
 * A worker that may be killed in the middle of its work takes the message in
 * place of getting it, and says when it is done:
 *
 *     struct rip_message m;
 *     while (rip_queue_take(q, &m, RIP_FOREVER) == 0) {
 *         work_on(m.data, m.len);              // in place, without a copy
 *         rip_queue_done(q, &m);
 *     }
 *
 * Until then the message is leased to the worker's process. If that dies, the
 * message goes to another worker, and comes before all others; `deliveries`
 * then says that this is not the first try. A message which has killed as many
 * as `max_deaths` is set aside, as a dead letter: rip_queue_take_dead gets it.
 * A slow worker holds up nobody but its own message.
 *
 * What is promised
 *
 * Whoever is killed by whatever at whichever instruction: a message whose put
 * has returned is delivered, once; or again, with a mark, when the one to whom
 * it was leased has died. One whose put was killed is there as a whole or not
 * at all. Nobody waits for the dead: what they held is free within milliseconds
 * where somebody waits for it who can see the death, and else within 0.3
 * seconds. Who is stopped (SIGSTOP) is alive, and keeps what it has.
 *
 * Messages come in the order of their puts: one whose put has returned before
 * another put was called comes first. What comes back after a death, or by
 * rip_queue_give_back, comes out of turn, before the others.
 *
 * Where it lies
 *
 * A queue lies in shared memory: in the program's own segment, so that every
 * child of a later fork(2) has it, and every task, by the same pointer; or in a
 * segment of your choice; or it has a name, by which other programs of the same
 * user find it (rip_queue_open). When all who have it are gone so is the queue:
 * nothing is left in the file system.
 *
 * A name's queue is a segment of its own, see <ripstop/segment.h>, "Trust" and
 * "Caveats" too.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h> /* ssize_t */
#include <sys/uio.h>   /* struct iovec */

#include <ripstop/base.h>
#include <ripstop/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rip_queue rip_queue;

struct rip_queue_options {
    rip_segment *segment; /* where it is to lie; NULL: the program's own
                             segment. A named queue has a segment of its own */
    size_t capacity;      /* messages that are in it or leased, at most 524288;
                             0: 1024 */
    size_t message_size;  /* the longest message, in bytes, at most 16 MiB;
                             0: 256. So much memory is set aside for each */
    unsigned max_deaths;  /* of workers to whom a message was leased, then it is
                             a dead letter; 0: it is given out again for ever */
    bool ends_with_writers; /* it is closed when all who have put are gone, see
                               rip_queue_end_writing */
    uint64_t reserved[4];
};

/* A message that is leased. The data is for reading, up to rip_queue_done. */
struct rip_message {
    const void *data;
    size_t len;
    unsigned deliveries; /* 1: the first; each death on the way is one more */
    uint64_t opaque[4];  /* the library's own */
};

/*
 * Makes a queue. `opt` may be NULL, or any of its fields zero.
 *
 *     -EINVAL  an option is wrong
 *     -ENOMEM  the segment is full, or the system has no memory
 *     -EMFILE, -ENFILE
 *              no descriptor for the program's own segment, at its first use
 *     -EXDEV   this process is in another pid namespace than the segment
 *
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_queue_new(rip_queue **ret,
                                           const struct rip_queue_options *opt);

/*
 * Joins the queue of that name, or makes it; names are as those of segments.
 * The first one decides on the options; who joins with other ones than that, or
 * NULL, gets -EINVAL, but that fields of zero fit to any.
 *
 *     -EINVAL  the name or an option is wrong, or not what the queue has;
 *              `segment` is set
 *     and those of rip_segment_open and of rip_queue_new
 *
 * Blocks as rip_segment_open does. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_queue_open(
    rip_queue **ret, const char *name, const struct rip_queue_options *opt);

/*
 * Puts a copy of `len` bytes at the end of the queue, and waits for a place
 * until the deadline. A message may be empty.
 *
 *     -ETIMEDOUT  it is full
 *     -EPIPE      the queue is closed
 *     -EMSGSIZE   the message is longer than `message_size`
 *     -ECANCELED  it is full, and the calling task is to stop
 *     -ENOMEM     there is no place for one more member of the segment, or this
 *                 thread uses 128 queues, barriers and the like
 *     -EBADMSG    there is no queue, or what is in it makes no sense
 *     -EXDEV      as of rip_queue_new
 *
 * After an error nothing was put. Blocks until the deadline at the longest.
 * Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_queue_put(rip_queue *q, const void *msg,
                                           size_t len, rip_time deadline);

/*
 * Gets the first message, and waits for it until the deadline: its length, up
 * to `cap`.
 *
 *     -ETIMEDOUT  there is none
 *     -EPIPE      the queue is closed, and there is nothing more to come
 *     -EMSGSIZE   the message is longer than `cap`: it stays in the queue
 *     -ECANCELED  there is none, and the calling task is to stop
 *     -ENOMEM, -EBADMSG, -EXDEV
 *                 as of rip_queue_put
 *
 * Who gets a message has it: if he dies with it, it is gone. Use rip_queue_take
 * where that matters.
 *
 * Blocks until the deadline at the longest. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT ssize_t rip_queue_get(rip_queue *q, void *buf,
                                               size_t cap, rip_time deadline);

/*
 * Puts several, in this order, and waits for a place for each: how many were
 * put. Others may come in between.
 *
 * An error is told when none was put, as by rip_queue_put. Blocks until the
 * deadline at the longest. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_queue_put_many(rip_queue *q,
                                                const struct iovec *msgs,
                                                size_t n, rip_time deadline);

/*
 * Gets up to n, and waits for the first alone: how many. `iov_len` is the room
 * in each, and afterwards the length of the message.
 *
 * Errors as of rip_queue_get, when there was none. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_queue_get_many(rip_queue *q,
                                                struct iovec *msgs, size_t n,
                                                rip_time deadline);

/* ---- in place --------------------------------------------------------- */

/* A message that is being written: `len` bytes at `data`. */
struct rip_draft {
    void *data;
    size_t len;         /* may be made smaller before the commit */
    uint64_t opaque[3]; /* the library's own */
};

/*
 * Reserves a place in the queue, to write the message there without a copy, and
 * waits for it until the deadline. What stands there is of messages before.
 *
 *     struct rip_draft d;
 *     r = rip_queue_reserve(q, &d, sizeof(struct frame), rip_after(1));
 *     if (r == 0) {
 *         render(d.data);
 *         r = rip_queue_commit(q, &d);
 *     }
 *
 * It is not in the queue before the commit, and comes where it is committed: a
 * slow writer holds up nobody. The draft belongs to the calling thread; when
 * that ends, or is killed, it is as if it was aborted. It is of no use after a
 * fork, in the child.
 *
 * Errors as of rip_queue_put. Blocks until the deadline at the longest.
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_queue_reserve(rip_queue *q,
                                               struct rip_draft *ret,
                                               size_t len, rip_time deadline);

/*
 * Puts what was written. After this the draft is none, whatever comes of it,
 * but with -EMSGSIZE.
 *
 *     -EPIPE     the queue was closed meanwhile
 *     -EMSGSIZE  `len` is more than was reserved: the draft stays as it is
 *     -EINVAL    it is no draft of this thread, or not any more; counted as
 *                damage (rip_segment_stats)
 *     -ENOMEM, -EBADMSG, -EXDEV
 *                as of rip_queue_put
 *
 * Never blocks. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_queue_commit(rip_queue *q,
                                              struct rip_draft *d);

/* Gives the place back. What is no draft of this thread is left as it is, and
 * counted as damage. Never blocks. Thread-safe. */
RIP_API void rip_queue_abort(rip_queue *q, struct rip_draft *d);

/* ---- leases ----------------------------------------------------------- */

/*
 * Takes the first message on lease, in place, and waits for it until the
 * deadline. Errors as of rip_queue_get, without -EMSGSIZE.
 *
 * The lease belongs to the process: any of its threads may end it. It has no
 * time: a worker that is stopped, or slow, keeps it. A child of fork(2) has
 * none of its parent's leases.
 *
 * Blocks until the deadline at the longest. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_queue_take(rip_queue *q,
                                            struct rip_message *ret,
                                            rip_time deadline);

/* The same for dead letters; there is no -EPIPE. */
RIP_API RIP_CHECK_RESULT int rip_queue_take_dead(rip_queue *q,
                                                 struct rip_message *ret,
                                                 rip_time deadline);

/*
 * The message is dealt with: its place is free. What is not leased to this
 * process, or not any more, is left as it is, and counted as damage
 * (rip_segment_stats).
 *
 * Never blocks. Thread-safe, for different messages.
 */
RIP_API void rip_queue_done(rip_queue *q, struct rip_message *m);

/*
 * The message is not dealt with: it goes to the next one who takes, before all
 * others. That is no death, and does not count as a delivery. Also after close.
 *
 * Never blocks. Thread-safe, for different messages.
 */
RIP_API void rip_queue_give_back(rip_queue *q, struct rip_message *m);

/*
 * Waits until there is nothing in the queue and nothing is leased. Dead letters
 * do not count; after rip_queue_shutdown, what is in the queue does not either.
 *
 * 0, -ETIMEDOUT, -ECANCELED, or as rip_queue_put. Blocks until the deadline at
 * the longest. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_queue_join(rip_queue *q, rip_time deadline);

/* ---- the end ---------------------------------------------------------- */

/*
 * Nothing more is to come: a put gives -EPIPE from now on. What is there is
 * still given out; then who gets or takes has -EPIPE. As long as something is
 * leased to another process it may come back, so they wait for that.
 *
 * Never blocks. Thread-safe.
 */
RIP_API void rip_queue_close(rip_queue *q);

/*
 * The same, and nothing more is given out either: who gets or takes, or waits
 * to do so, has -EPIPE at once. What is in the queue stays there unread, and is
 * gone with it. Leases are ended as ever, and rip_queue_join waits for those
 * alone; dead letters can still be had.
 *
 * Never blocks. Thread-safe.
 */
RIP_API void rip_queue_shutdown(rip_queue *q);

/*
 * The calling thread puts no more. In a queue made with `ends_with_writers`
 * each thread is a writer from its first put on, until it says so here, frees
 * the queue, ends, or is killed. When it has had writers and none is left the
 * queue is closed, as by rip_queue_close, and for good: the readers have what
 * is there, and then -EPIPE, as from a pipe. A thread that puts again after
 * this is a writer again, if the queue is not closed yet.
 *
 * Never blocks. Thread-safe.
 */
RIP_API void rip_queue_end_writing(rip_queue *q);

/*
 * Lets go of a queue in this process; NULL is fine. Returns NULL. What this
 * process had leased goes to others. The last process to do so, of those that
 * have used the queue and live, frees its memory: so not before the children
 * have begun to use it.
 *
 * Thread-safe, as the last thing that is done with it in this process.
 */
RIP_API rip_queue *rip_queue_free(rip_queue *q);

/* ---- with poll(2) ----------------------------------------------------- */

/*
 * A descriptor that is readable when a get would not block: there is a message,
 * or the end. For poll(2), epoll(7) and whatever stands on them; do not read it
 * yourself. It belongs to the queue, and is closed by rip_queue_free.
 *
 *     while (poll(fds, n, -1) > 0)
 *         if (fds[0].revents)      // rip_queue_fd(q)
 *             while ((r = rip_queue_get(q, &m, sizeof m, RIP_NOW)) >= 0)
 *                 handle(&m, r);
 *
 * It stays readable until a get or take with RIP_NOW has found nothing
 * (-ETIMEDOUT): so get until then. It may be readable though there is nothing,
 * since another was faster, or when it is time to look for the dead. However
 * much comes while it is readable, it costs nothing.
 *
 * All threads of a process share one; a child of fork(2) asks for its own. The
 * first call in a process starts the helper, see rip_wait_any, which does
 * without a descriptor where the others that are waited for are ripstop's.
 *
 *     -EMFILE, -ENFILE
 *              no descriptor is to be had
 *     -EAGAIN  no thread is to be had
 *     -ENOMEM, -EBADMSG, -EXDEV
 *              as of rip_queue_put
 *
 * Never blocks. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_queue_fd(rip_queue *q);

/* ---- reports ---------------------------------------------------------- */

struct rip_queue_stats {
    size_t capacity, message_size;
    size_t depth;          /* messages that wait to be taken */
    size_t leased;         /* that are taken, and not done */
    size_t dead;           /* dead letters */
    uint64_t puts, gets;   /* since it was made; gets: also the takes */
    uint64_t redeliveries; /* what came back */
    bool closed;
    uint64_t reserved[4];
};

/*
 * What goes on in a queue. It costs those who use the queue nothing; what they
 * do meanwhile may be counted or not. 0, or as rip_queue_put.
 *
 * Never blocks. Thread-safe.
 */
RIP_API int rip_queue_stats(rip_queue *q, struct rip_queue_stats *ret);

/* How many messages wait to be taken; 0 where there is no queue. Never blocks.
 * Thread-safe. */
RIP_API size_t rip_queue_depth(const rip_queue *q);

#ifdef __cplusplus
}
#endif

#endif
