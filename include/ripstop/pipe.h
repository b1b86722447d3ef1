/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_PIPE_H
#define RIPSTOP_PIPE_H

/*
 * <ripstop/pipe.h>: a stream of bytes from one to another, between threads and
 * between processes, with deadlines.
 *
 *     rip_pipe *reader, *writer;
 *     int r = rip_pipe_new(&reader, &writer, NULL);
 *     if (r == 0 && fork() == 0) {
 *         rip_pipe_free(reader);
 *         ssize_t n = rip_pipe_write(writer, "hello", 5, rip_after(10));
 *         _exit(n < 0);
 *     }
 *     rip_pipe_free(writer);                // else the end would never come
 *     char text[64];
 *     ssize_t n = rip_pipe_read(reader, text, sizeof text, rip_after(5));
 *
 * It is the kernel's own pipe, as of pipe(2), with what that lacks: a deadline
 * for every call; an error and never SIGPIPE where nobody reads any more;
 * descriptors that no program inherits unasked; and calls that a request to
 * stop ends (see <ripstop/base.h>).
 *
 * A pipe has no messages: what was written in two pieces may be read in one, or
 * in three. <ripstop/channel.h> keeps messages whole, in both directions, and
 * <ripstop/queue.h> shares them out among many.
 *
 * The two ends
 *
 * Each end is a handle of its own. After fork(2) the child has both ends too,
 * and each process frees those that it does not use. That matters: the reader
 * comes to the end of the stream when *everybody* has freed the writing end,
 * ended, or been killed, and a reader that has a writing end of its own waits
 * for itself. In the same way a writer is told -EPIPE when nobody has the
 * reading end.
 *
 * So a death is told by the kernel, at once: of a writer that is killed all
 * that it had written is read, and then comes the end; of a reader that is
 * killed the writer has -EPIPE. A writer that is killed in the middle of a long
 * write has written the beginning of it. Who needs to know whether what came is
 * whole writes its length first, or uses a channel.
 *
 * Several writers may share an end: RIP_PIPE_WHOLE bytes or fewer in one call
 * are never mixed with those of others, and are written as a whole or, at the
 * deadline or a death, not at all. Of longer ones the pieces may be mixed.
 *
 * Caveats
 *
 * - A child that was started by others, and that has inherited the writing end
 *   by a fork without exec, delays the end of the stream as long as it lives.
 * - So does the template of <ripstop/task.h>, which has all that was open when
 *   it was made; and the processes that come from it do not have what was made
 *   after it.
 * - Before Linux 6.4 each end opens its pipe a second time, through /proc, when
 *   it is first used: that takes a second descriptor, and without /proc reading
 *   and writing give -ENOTSUP. So it is with what rip_pipe_adopt was given,
 *   where that is a FIFO which is not in non-blocking mode.
 * - The kernel gives each user 64 MiB for pipes; who has more of them gets new
 *   ones that hold 4 or 8 KiB.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h> /* ssize_t */

#include <ripstop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One end of a pipe. */
typedef struct rip_pipe rip_pipe;

/* So many bytes are written in one piece: what POSIX calls PIPE_BUF. */
#define RIP_PIPE_WHOLE 4096

struct rip_pipe_options {
    size_t capacity; /* bytes that it holds at least; 0: what the kernel gives,
                        64 KiB as a rule. More than 1 MiB takes a privilege, see
                        /proc/sys/fs/pipe-max-size */
    uint64_t reserved[4];
};

/*
 * Makes a pipe: an end to read from, and one to write to. `opt` may be NULL.
 *
 *     -EINVAL  an option is wrong
 *     -EPERM   `capacity` is more than this user may have
 *     -EMFILE, -ENFILE, -ENOMEM
 *
 * Never blocks. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_pipe_new(rip_pipe **reader, rip_pipe **writer,
                                          const struct rip_pipe_options *opt);

/*
 * Makes a handle of a descriptor that is one end of a pipe or FIFO: one that
 * was inherited over exec, or received through a channel. On success it belongs
 * to the handle, and is close-on-exec; its other flags stay as they are, since
 * other processes may have the same open file. On failure it stays yours.
 *
 *     -EBADF   it is not open
 *     -EINVAL  it is no pipe
 *     -ENOMEM
 *
 * Never blocks. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_pipe_adopt(rip_pipe **ret, int fd);

/*
 * Reads what there is, up to `cap` bytes, and waits until there is something,
 * or until the deadline: how many bytes, or 0 at the end of the stream.
 *
 *     -ETIMEDOUT  there is nothing
 *     -ECANCELED  there is nothing, and the calling task is to stop
 *     -EINVAL     `cap` is 0, or this is the end to write to
 *     -EMFILE, -ENFILE, -ENOTSUP, -EACCES
 *                 of the first call, on an old kernel: see above
 *
 * After an error nothing was read. Blocks until the deadline at the longest.
 * Thread-safe: of two who read each gets other bytes.
 */
RIP_API RIP_CHECK_RESULT ssize_t rip_pipe_read(rip_pipe *p, void *buf,
                                               size_t cap, rip_time deadline);

/*
 * Reads exactly `len` bytes, in as many pieces as they come in: `len`, or fewer
 * at the end of the stream, 0 if it has ended before the first.
 *
 * When the deadline passes, or the calling task is to stop, what was read by
 * then is the result; it is an error only if that is nothing. Otherwise as
 * rip_pipe_read; but of two who read so, each may get pieces of what was meant
 * for one.
 */
RIP_API RIP_CHECK_RESULT ssize_t rip_pipe_read_all(rip_pipe *p, void *buf,
                                                   size_t len,
                                                   rip_time deadline);

/*
 * Writes all of it, and waits for room until the deadline: `len`.
 *
 * When the deadline passes half-way, or the calling task is to stop, the result
 * is how much was written; that is an error only if it is nothing. Of
 * RIP_PIPE_WHOLE bytes or fewer it is all or nothing.
 *
 *     -ETIMEDOUT  there is no room
 *     -ECANCELED  there is no room, and the calling task is to stop
 *     -EPIPE      nobody has the end to read from; nobody will read what was
 *                 written before, either
 *     -EINVAL     this is the end to read from
 *     -EMFILE, -ENFILE, -ENOTSUP, -EACCES
 *                 of the first call, on an old kernel: see above
 *
 * Raises no SIGPIPE. Blocks until the deadline at the longest. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT ssize_t rip_pipe_write(rip_pipe *p, const void *data,
                                                size_t len, rip_time deadline);

/*
 * The descriptor of this end: for poll(2) and rip_wait_any (RIP_WAIT_FD with
 * POLLIN, or POLLOUT), where the calls above with RIP_NOW then do the rest; and
 * to be handed to a command, as its standard stream (RIP_STDIO_FD) or by its
 * number (`fds` of <ripstop/command.h>). That of a pipe is in blocking mode, as
 * programs expect; that of a FIFO that was opened here is not.
 *
 * It is the handle's: do not close it. Never blocks. Thread-safe.
 */
RIP_API int rip_pipe_fd(const rip_pipe *p);

/*
 * Closes this end in this process; NULL is fine. Returns NULL. What was written
 * stays to be read.
 *
 * Never blocks. Thread-safe, as the last thing that is done with it in this
 * process: no other thread may be in a call on this handle. (To free the other
 * end is what ends such a call.)
 */
RIP_API rip_pipe *rip_pipe_free(rip_pipe *p);

#ifdef __cplusplus
}
#endif

#endif
