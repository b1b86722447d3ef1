/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_ONCE_H
#define RIPSTOP_ONCE_H

/*
 * <ripstop/once.h>: what is to be done once, by whoever comes first.
 *
 * Between threads the flag lies anywhere, and needs no preparation:
 *
 *     static rip_once_flag loaded;
 *
 *     static int load(void *arg) { ... return 0; } // or a negative error
 *
 *     int r = rip_once(&loaded, load, NULL, RIP_FOREVER);
 *
 * Between processes it lies in shared memory, with what is made once:
 *
 *     struct shared { rip_once_flag made; struct table table; };
 *     struct shared *s = rip_shared_alloc(NULL, sizeof *s);
 *     if (fork() == 0)
 *         _exit(rip_once(&s->made, make_table, s, rip_after(5)) < 0 ||
 *               use_table(&s->table));
 *
 * When the one who runs the function dies half-way, by SIGKILL at whatever
 * instruction, by exec, or as a thread that ends, the next caller runs it, or
 * one who waits, within milliseconds; so it is after a run that failed. So the
 * function has to bear what an earlier run has left; for its callers it is done
 * once.
 *
 * A run belongs to the thread that makes it. After fork(2) the child runs
 * nothing: a copy of a flag whose function was just running is that of a dead
 * runner to it.
 *
 * There is nothing to release when a flag is no longer needed: its memory is
 * simply freed when nobody uses it any more.
 */

#include <stdint.h>

#include <ripstop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A flag; not done yet when zeroed. The field is the library's own. Not to be
 * copied or moved while it is in use. */
typedef struct rip_once_flag {
    RIP_ALIGNED(8) uint64_t word;
} rip_once_flag;

/*
 * Sees to it that fn has been run with success: runs fn(arg) in the calling
 * thread, or waits for one who is running it. Success is a result of 0 or more.
 * What fn has written is seen by everyone to whom this returns 0.
 *
 *     0           it is done
 *     (negative)  what fn returned to this caller: it is not done, and the
 *                 next caller runs it
 *     -ETIMEDOUT  another was still running it at the deadline
 *     -ECANCELED  another runs it, and the calling task is to stop
 *     -EDEADLK    this thread is running it: rip_once was called by fn
 *     -EBADMSG    fn has run, but the flag was overwritten meanwhile
 *     -EPERM      fn has forked, and this is the child: it is for the parent
 *                 to finish
 *     -ENOMEM, -EXDEV
 *                 as of rip_lock_acquire
 *
 * The deadline is about waiting for another: fn itself takes the time that it
 * takes, and is run with RIP_NOW, too. An fn that is left by longjmp(3) counts
 * as running until its thread ends. Once it is done this neither makes a system
 * call nor writes to the flag.
 *
 * Thread-safe; not in signal handlers.
 */
RIP_API RIP_CHECK_RESULT int rip_once(rip_once_flag *f, int (*fn)(void *),
                                      void *arg, rip_time deadline);

#ifdef __cplusplus
}
#endif

#endif
