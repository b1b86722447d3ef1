/* SPDX-License-Identifier: MIT */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

/*
 * Signals as events: SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGTSTP are blocked
 * and read from a descriptor. One that was ignored when we were started
 * (nohup, a background job of a shell without job control) stays ignored.
 * SIGPIPE and SIGXFSZ are blocked, and seen as EPIPE and EFBIG where something
 * is written.
 */

/* The descriptor, or a negative errno value. */
int signals_open(void);

/* The next signal that came; 0: none. */
int signals_next(int fd);

/* Stops this process as SIGTSTP does, until it is continued. */
void signals_suspend(void);

/* Ends this process by a signal, so that its parent sees which. */
_Noreturn void signals_die(int sig);

#endif
