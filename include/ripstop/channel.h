/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_CHANNEL_H
#define RIPSTOP_CHANNEL_H

/*
 * <ripstop/channel.h>: connections that carry messages, both ways, between two
 * sides that may be of different programs.
 *
 * Between a program and what it starts:
 *
 *     rip_channel *ours, *theirs;
 *     int r = rip_channel_pair(&ours, &theirs, NULL);
 *     if (r == 0 && fork() == 0) {
 *         rip_channel_free(ours);
 *         r = rip_channel_send(theirs, "hello", 5, rip_after(10));
 *         _exit(r < 0);
 *     }
 *     rip_channel_free(theirs);
 *     char text[64];
 *     ssize_t n = rip_channel_receive(ours, text, sizeof text, rip_after(5));
 *
 * Between programs that have nothing in common but a name:
 *
 *     rip_listener *l;                          // the server
 *     int r = rip_listener_new(&l, "clock", NULL);
 *     while (r == 0) {
 *         r = rip_listener_accept(&c, l, RIP_FOREVER);
 *         ...
 *     }
 *
 *     rip_channel *c;                           // a client
 *     int r = rip_channel_connect(&c, "clock", NULL, rip_after(5));
 *
 * A message arrives as it was sent: whole, in order, once, and with its length,
 * which may be 0. It may be of any size: what is long goes by way of shared
 * memory. File descriptors can come with it. And each side can ask the kernel
 * who the other one is, which nobody can forge.
 *
 * A channel has two sides. For messages from many to many there is
 * <ripstop/queue.h>, which is also many times faster, and which gives the
 * message of a worker that dies to another; for a stream of bytes,
 * <ripstop/pipe.h>.
 *
 * What is promised
 *
 * Whoever is killed, at whichever instruction: a message is received as a whole
 * or not at all, and nobody waits for the dead. When a side is gone the other
 * one is told at once: it receives what was sent before, and then -EPIPE.
 *
 * A message whose send has returned is in the hands of the kernel. It is lost
 * only if the other side goes without receiving it. That side may be several:
 * after fork(2) each process has both ends, and each message goes to one of
 * those who receive. A receiver that is killed loses what it has received, and
 * nothing else. A side is gone when *all* who have it have freed it or are
 * gone, so free in each process what that does not use.
 *
 * Names
 *
 * A listener's name is no file: it is gone with the last process that has the
 * listener, however that ends, and there is nothing to clean up. It belongs to
 * the user: another user's listener of the same name is another one, and who
 * connects to ours is turned away (but see `any_user`). A name has 1 to 63
 * letters, digits, '.', '_' or '-'. Two programs see each other's names if they
 * are in the same network namespace.
 *
 * Limits
 *
 * About `capacity` bytes can be on their way in one direction; who sends more
 * waits until some are received. Of long messages that counts the first part
 * alone, up to 32 KiB: about six of them can be on their way, of whatever size.
 *
 * Caveats
 *
 * - A child that has inherited a listener by a fork keeps its name in use, and
 *   who connects then waits for somebody to accept: free it in the child.
 * - Those who receive from one end exclude each other by a lock that they have
 *   in common: threads, and processes by a fork after the channel was made.
 *   If the descriptor of an end is handed on in another way (by a channel, or
 *   over exec), it should be received from there alone.
 * - A receiver that is stopped (SIGSTOP) just when it takes a message keeps the
 *   others from receiving, until their deadlines.
 * - The template of <ripstop/task.h> has both ends of a channel that was made
 *   before it, as long as it lives, so neither side is ever gone; and what was
 *   made after it the processes that come from it do not have. They connect by
 *   a name.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h> /* ssize_t, pid_t, uid_t, gid_t */

#include <ripstop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One side of a connection. */
typedef struct rip_channel rip_channel;

/* A name to which others connect. */
typedef struct rip_listener rip_listener;

/* So many descriptors can come with a message. */
#define RIP_CHANNEL_FDS 250

struct rip_channel_options {
    size_t capacity; /* bytes that we may have on their way to the other side;
                        0: what the system gives, about 100 KiB. It may be less,
                        see /proc/sys/net/core/wmem_max. Of a listener: those of
                        the channels that it accepts */
    bool any_user;   /* names are common to all users, and everyone may connect:
                        both sides have to say so, and should ask who the other
                        one is. Not for pairs */
    uint64_t reserved[4];
};

/* ---- making them ------------------------------------------------------ */

/*
 * Makes two ends that are connected with each other. `opt` may be NULL.
 *
 *     -EINVAL  an option is wrong
 *     -EMFILE, -ENFILE, -ENOMEM
 *
 * Never blocks. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_channel_pair(
    rip_channel **a, rip_channel **b, const struct rip_channel_options *opt);

/*
 * Connects to the listener of that name, and waits until the deadline for there
 * to be one, and for it to have room: of those who wait to be accepted there
 * are at most 4096 (/proc/sys/net/core/somaxconn). One does not have to wait
 * for the accept itself: what is sent before that will be received after it.
 *
 *     -ECONNREFUSED  nobody has the name, up to the deadline
 *     -ETIMEDOUT     somebody has, and does not accept
 *     -ECANCELED     one or the other, and the calling task is to stop
 *     -EPERM         another user has taken this user's name
 *     -EINVAL        an option is wrong, or the name
 *     -EMFILE, -ENFILE, -ENOMEM
 *
 * Blocks until the deadline at the longest, looking every 20 milliseconds.
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_channel_connect(
    rip_channel **ret, const char *name, const struct rip_channel_options *opt,
    rip_time deadline);

/*
 * Makes a channel of a descriptor of one: that of rip_channel_fd, inherited
 * over exec or received through another channel. On success it belongs to the
 * channel, and is close-on-exec; on failure it stays yours.
 *
 *     -EBADF   it is not open
 *     -EINVAL  it is not what a channel has
 *     -ENOMEM
 *
 * Never blocks. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_channel_adopt(rip_channel **ret, int fd);

/* ---- messages --------------------------------------------------------- */

/*
 * Sends a message of `len` bytes, and waits for room until the deadline.
 *
 *     -ETIMEDOUT  there is no room, since the other side does not receive
 *     -EPIPE      the other side is gone, or the channel was closed
 *     -ECANCELED  there is no room, and the calling task is to stop
 *     -EMFILE, -ENFILE, -EFBIG
 *                 a long message takes a descriptor for a moment, and may not
 *                 be longer than RLIMIT_FSIZE
 *     -ETOOMANYREFS
 *                 a long message, when this user has more descriptors on their
 *                 way than RLIMIT_NOFILE
 *     -ENOMEM
 *
 * After an error nothing was sent. Raises no SIGPIPE. Blocks until the deadline
 * at the longest. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_channel_send(rip_channel *c, const void *msg,
                                              size_t len, rip_time deadline);

/*
 * Receives the next message, and waits for it until the deadline: its length,
 * up to `cap`.
 *
 *     -ETIMEDOUT  there is none; with RIP_NOW also: another is just receiving
 *     -EPIPE      the other side is gone, or the channel was closed, and there
 *                 is nothing more to come
 *     -EMSGSIZE   the message is longer than `cap`, or descriptors came with
 *                 it: it stays there, and rip_channel_next tells what it needs
 *     -ECANCELED  there is none, and the calling task is to stop
 *     -EMFILE     a long message takes a descriptor for a moment: it stays
 *                 there
 *     -EBADMSG    what the other side has sent is no message of this library.
 *                 It was thrown away, and the next one may be well
 *     -ENOMEM, -EXDEV
 *                 as of rip_lock_acquire
 *
 * What is in `buf` after an error has no meaning. Blocks until the deadline at
 * the longest, but for the time that it takes to copy the message. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT ssize_t rip_channel_receive(rip_channel *c, void *buf,
                                                     size_t cap,
                                                     rip_time deadline);

/*
 * Sends a message with copies of `n` descriptors, up to RIP_CHANNEL_FDS. They
 * stay yours, and may be closed at once. As rip_channel_send, and:
 *
 *     -EBADF     one of them is not open
 *     -EMSGSIZE  they are too many
 *     -ETOOMANYREFS
 *                this user has more on their way than RLIMIT_NOFILE; or sockets
 *                are sent through sockets that are themselves on their way
 */
RIP_API RIP_CHECK_RESULT int rip_channel_send_fds(rip_channel *c,
                                                  const void *msg, size_t len,
                                                  const int *fds, size_t n,
                                                  rip_time deadline);

/*
 * Receives a message, with or without descriptors: `*n` is the room in `fds`,
 * and on success how many came. They are yours to close, and close-on-exec. As
 * rip_channel_receive, and:
 *
 *     -EMSGSIZE  more came with it than there is room for: it stays there
 *     -EMFILE    this process can not have so many more (RLIMIT_NOFILE): the
 *                message stays there with all of them, for when it can
 */
RIP_API RIP_CHECK_RESULT ssize_t rip_channel_receive_fds(rip_channel *c,
                                                         void *buf, size_t cap,
                                                         int *fds, size_t *n,
                                                         rip_time deadline);

/* What the next message is. */
struct rip_channel_next {
    size_t len;   /* its length; of another user's only what he says */
    size_t n_fds; /* descriptors that came with it */
};

/*
 * Waits for a message, as rip_channel_receive does, and tells what it is. It
 * stays there; where several receive from this end another may be faster. 0, or
 * an error as there. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_channel_next(rip_channel *c,
                                              struct rip_channel_next *ret,
                                              rip_time deadline);

/* ---- the other side --------------------------------------------------- */

struct rip_channel_peer {
    pid_t pid; /* 0: in a pid namespace that we do not see */
    uid_t uid; /* effective ones */
    gid_t gid;
};

/*
 * Who the other side is, as the kernel has noted it: the process that
 * connected, or the one that made the listener, as they were then; of a pair,
 * who made it, so ourselves or a parent. Who has got the other end since by a
 * fork, or through a channel, is not told.
 *
 * The process may have ended, and its pid be another's: rip_channel_peer_fd is
 * the safe way to it.
 *
 * 0, or an error, which a channel does not give. Never blocks. Thread-safe.
 */
RIP_API int rip_channel_peer(const rip_channel *c,
                             struct rip_channel_peer *ret);

/*
 * A new pidfd (pidfd_open(2)) of that process, which is yours to close:
 * readable when it has ended (RIP_WAIT_FD), and a way to signal it and no
 * other.
 *
 *     -ESRCH   it has ended, and been waited for; or we do not see its pid
 *     -EMFILE, -ENFILE, -ENOMEM
 *
 * Before Linux 6.5 it is opened by the pid: if the process had ended before the
 * call, that may be another's. Never blocks. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_channel_peer_fd(const rip_channel *c);

/*
 * The descriptor of this end: for poll(2) and rip_wait_any (RIP_WAIT_FD), where
 * POLLIN is for a message or the end and POLLOUT for room; and to be handed to
 * another program, which makes a channel of it again (rip_channel_adopt). In
 * blocking mode, which no call here minds.
 *
 * It is the channel's: do not close it, and do not read or write it. Never
 * blocks. Thread-safe.
 */
RIP_API int rip_channel_fd(const rip_channel *c);

/*
 * Ends the connection, for all who have either end: who waits in a call on it
 * goes on, at both sides. What was sent before can still be received; then
 * there is -EPIPE, and at once for who sends. Other threads may be in calls on
 * the channel, which they may not be in rip_channel_free.
 *
 * Never blocks. Thread-safe.
 */
RIP_API void rip_channel_close(rip_channel *c);

/*
 * Lets go of this end in this process; NULL is fine. Returns NULL. Where nobody
 * else has it, that is the end of the connection; what was sent to this end and
 * not received is lost.
 *
 * Never blocks. Thread-safe, as the last thing that is done with it in this
 * process: no other thread may be in a call on it (rip_channel_close gets them
 * out).
 */
RIP_API rip_channel *rip_channel_free(rip_channel *c);

/* ---- listeners -------------------------------------------------------- */

/*
 * Takes a name, to which others can connect from then on. `opt` may be NULL.
 *
 *     -EADDRINUSE  somebody has it
 *     -EINVAL      an option is wrong, or the name
 *     -EMFILE, -ENFILE, -ENOMEM
 *
 * Never blocks. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_listener_new(
    rip_listener **ret, const char *name,
    const struct rip_channel_options *opt);

/*
 * Accepts the next one who has connected, and waits for that until the
 * deadline. He may have gone again by then, which is told by the channel.
 *
 *     -ETIMEDOUT  there is none
 *     -EPIPE      the listener was closed
 *     -ECANCELED  there is none, and the calling task is to stop
 *     -EMFILE, -ENFILE
 *                 not now: he waits on
 *     -ENOMEM     he was turned away
 *
 * Blocks until the deadline at the longest. Thread-safe; several may accept,
 * also in processes that were forked, and each connection goes to one.
 */
RIP_API RIP_CHECK_RESULT int rip_listener_accept(rip_channel **ret,
                                                 rip_listener *l,
                                                 rip_time deadline);

/* Its descriptor, readable when there is one to accept; as rip_channel_fd. */
RIP_API int rip_listener_fd(const rip_listener *l);

/*
 * Accepts nobody more, in whichever process: who waits to accept goes on, who
 * connects is refused, and who had connected and was not accepted is told
 * -EPIPE when the listener is freed. The name is in use until then.
 *
 * Never blocks. Thread-safe.
 */
RIP_API void rip_listener_close(rip_listener *l);

/*
 * Lets go of it in this process; NULL is fine. Returns NULL. When nobody has it
 * any more the name is free. Channels that it has accepted are not concerned.
 *
 * Never blocks. Thread-safe, as the last thing that is done with it in this
 * process.
 */
RIP_API rip_listener *rip_listener_free(rip_listener *l);

#ifdef __cplusplus
}
#endif

#endif
