/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_FIFO_H
#define RIPSTOP_FIFO_H

/*
 * <ripstop/fifo.h>: a pipe that has a name in the file system, for programs
 * that know nothing of each other but that.
 *
 *     int r = rip_fifo_make("/run/user/1000/jobs", 0600);
 *     if (r == 0 || r == -EEXIST)
 *         r = rip_fifo_open(&p, "/run/user/1000/jobs", RIP_FIFO_READ,
 *                           rip_after(30));
 *     if (r == 0)
 *         n = rip_pipe_read(p, text, sizeof text, rip_after(5));
 *
 * and in the other program, or at a shell with `echo hello >jobs`:
 *
 *     int r = rip_fifo_open(&p, "/run/user/1000/jobs", RIP_FIFO_WRITE,
 *                           rip_after(30));
 *     if (r == 0)
 *         n = rip_pipe_write(p, "hello\n", 6, rip_after(5));
 *
 * What is opened is an end of a pipe like any other: <ripstop/pipe.h> reads,
 * writes and frees it. Only the opening is another matter. open(2) on a FIFO
 * waits until the other end is opened too, for ever if need be; here that wait
 * has a deadline.
 *
 * The name is a file: it has an owner and a mode, which decide who may open it,
 * and it stays until somebody removes it. No kernel takes it away when its
 * maker is killed. That does no harm: it holds no data, and the next one who
 * makes it is told -EEXIST and opens it as it is. Where a name is to vanish
 * with the program, use a listener of <ripstop/channel.h>; it also tells its
 * clients apart, which a FIFO does not: what several have written comes out of
 * the one end, mixed.
 *
 * Caveats
 *
 * - Whoever may write to the directory can put another file in the FIFO's
 *   place: make it in a directory that is yours alone.
 * - In a network file system a FIFO connects programs on one machine only.
 */

#include <sys/types.h> /* mode_t */

#include <ripstop/base.h>
#include <ripstop/pipe.h>

#ifdef __cplusplus
extern "C" {
#endif

enum rip_fifo_end {
    RIP_FIFO_READ,  /* to read, until the last writer has gone: then
                       rip_pipe_read gives 0, and 0 again until the next one
                       opens it */
    RIP_FIFO_WRITE, /* to write */
    RIP_FIFO_SERVE  /* to read from whoever comes, as they come and go: there is
                       no end of the stream. It is there at once, with nobody
                       to wait for */
};

/*
 * Makes a FIFO. `mode` is that of open(2), less what the umask takes away.
 *
 *     -EEXIST  there is something of that name; whether it is a FIFO the
 *              opening tells
 *     -ENOENT, -EACCES, -ENOSPC, -EROFS, ...
 *              as of mkfifo(3)
 *
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_fifo_make(const char *path, mode_t mode);

/*
 * Opens one end, and waits until somebody has the other one, or until the
 * deadline. With RIP_NOW it does not wait: -ETIMEDOUT, if nobody has.
 *
 * For a reader the wait ends as well if a writer came and has gone again by
 * then: what it wrote is there to be read, and then the end of the stream. A
 * reader that waits counts as one: a writer that comes need not wait, whatever
 * it uses to open the file.
 *
 *     -ETIMEDOUT  nobody has the other end
 *     -ECANCELED  the same, and the calling task is to stop
 *     -EINVAL     the file is no FIFO, or `end` is none of the above
 *     -ENOENT, -EACCES, -ELOOP, ...
 *                 as of open(2). RIP_FIFO_SERVE needs the right to write too
 *     -EMFILE, -ENFILE, -ENOMEM
 *                 to wait takes one or two descriptors more, for a moment
 *
 * A wait costs nothing where the other one opens the FIFO by this library, or
 * has not begun to. A reader that waits in open(2) itself (`cat jobs`) the
 * kernel shows to nobody, so a writer looks for such a one every 20
 * milliseconds. And so does everybody where no inotify(7) instance is to be
 * had, of which a user has 128.
 *
 * Blocks until the deadline at the longest. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_fifo_open(rip_pipe **ret, const char *path,
                                           enum rip_fifo_end end,
                                           rip_time deadline);

/*
 * Removes a FIFO. Who has it open keeps it; who waits for the other end of it
 * will not find one.
 *
 *     -EINVAL  it is no FIFO, and was left alone
 *     -ENOENT, -EACCES, ...
 *              as of unlink(2)
 *
 * Thread-safe.
 */
RIP_API int rip_fifo_remove(const char *path);

#ifdef __cplusplus
}
#endif

#endif
