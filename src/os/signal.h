/* SPDX-License-Identifier: MIT */
#ifndef RIP_OS_SIGNAL_H
#define RIP_OS_SIGNAL_H

/*
 * Signals that are handled in a process of our own: the part of os.h that
 * brings <signal.h> with it.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "os/os.h"

/* The calling thread's stack for handlers, unless it has one. */
void rip__os_signal_stack(const struct rip__os_stack *s);

typedef void rip__os_handler(int sig, siginfo_t *info, void *context);

/* Handles a signal, on the alternate stack, also while it is being handled;
 * with `once` the first time alone. */
void rip__os_signal_handle(int sig, rip__os_handler *handler, bool once);

/* The same unless the program has another disposition than the default for it.
 * In a process with one thread, which nobody knows yet: what there was is put
 * back, so that no more calls are made than there must be. */
void rip__os_signal_take(int sig, rip__os_handler *handler, bool once);

/* These are for handlers, and async-signal-safe. */

/* Blocks all signals in the calling thread but these: bit n - 1 is signal n. */
void rip__os_signal_allow(uint64_t signals);

/* Lets the default action strike when the handler returns: to the kernel, and
 * to who looks at the core, it is as if there had been no handler. Blocks all
 * signals until then. */
void rip__os_signal_default(int sig, siginfo_t *info);

/* To a thread of this process. */
void rip__os_signal_thread(pid_t tid, int sig);

/* SIGALRM to the process in so many seconds; 0: not any more. */
void rip__os_alarm(unsigned seconds);

/* Sleeps until a handler has run. */
void rip__os_sleep(void);

/* The registers that tell where a thread was: in the context of a handler. 0
 * on machines of which this is not known. */
struct rip__os_place {
    uintptr_t pc, sp;
};
struct rip__os_place rip__os_place_get(const void *context);
void rip__os_place_set(void *context, struct rip__os_place place);

/* Where it would return to, if it has just been called to where it is. May
 * fault, if there is no stack. */
struct rip__os_place rip__os_place_of_caller(const void *context);

#endif
