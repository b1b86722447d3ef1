/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_TASK_H
#define RIPSTOP_TASK_H

/*
 * <ripstop/task.h>: a function that runs in a thread or in a process.
 *
 *     static int work(void *arg)
 *     {
 *         return count_lines(arg);
 *     }
 *
 *     rip_task *t;
 *     struct rip_exit end;
 *     int r = rip_task_start(&t, work, "notes.txt", NULL);
 *     if (r == 0)
 *         r = rip_task_join(t, &end, rip_after(10));
 *     if (r == 0 && end.how == RIP_EXITED)
 *         printf("%d lines\n", end.code);
 *     rip_task_free(t);
 *
 * Change one word and the thread is a process:
 *
 *     struct rip_task_options process = { .kind = RIP_PROCESS };
 *     int r = rip_task_start(&t, work, "notes.txt", &process);
 *
 * which may crash, be killed, or run out of memory, and no more comes of it
 * than that its rip_task_join says so. Either kind gives back an int and, by
 * rip_task_return, any bytes; can be joined by any number of threads, again and
 * again, with a deadline; can be asked to stop; and uses the same locks, events
 * and queues as all the others.
 *
 * A class derived from Thread, as other languages have it, is a struct here
 * that has the task in it: examples/task_class.c.
 *
 * Fork or template: what a process sees
 *
 *                    RIP_START_FORK             RIP_START_TEMPLATE
 *     memory         a copy of ours as it is    a copy of what we had at
 *                    now                        rip_task_template
 *     shared memory  ours, at the same          ours, at the same
 *                    addresses                  addresses
 *     arg            any                        NULL, copied (arg_size), or
 *                                               in shared memory
 *     fn             any                        what was loaded before the
 *                                               template, else -EINVAL
 *     descriptors    all of ours                those from before it
 *     environment,   as they are now            as they were then; but signals
 *     directory,                                are blocked as in the thread
 *     user,                                     that starts it
 *     limits, ...
 *     time to start  grows with our memory:     does not depend on ours
 *                    44 ms a GB were measured
 *     other threads  are not there; what they   were not there, if the
 *                    were changing stays half   template came before them
 *                    changed
 *
 * Fork is the default. A program that is small, or has one thread, needs no
 * template. One that is large or has threads calls rip_task_template at the
 * beginning of main, and starts its processes with RIP_START_TEMPLATE. Both are
 * tasks of the program in the same way: they die with it, are signalled and
 * joined, and tell how they ended.
 *
 * In a program with threads, a process that was forked may use the functions of
 * ripstop, malloc and stdio (libc puts their locks right). What else another
 * thread was just changing - a structure of your own, a library's lock - stays
 * as it was at that moment, for ever: call exec, or only what you know to be
 * safe. A lock of ripstop that lies in private memory and was held at the fork
 * has a dead holder in the child: to acquire it gives RIP_RECOVERED.
 *
 * Lifetimes
 *
 * No process task outlives the program that started it, however that ends, with
 * SIGKILL too: the kernel kills it within some milliseconds (`detached` is for
 * those that are to go on). What a process task starts itself is its own: tasks
 * die with it, commands do if asked (die_with_parent). No zombies are left.
 *
 * At the end of the program (return from main, exit) threads end with it,
 * wherever they are; process tasks are killed. Who wants to wait for them calls
 * rip_task_join_all.
 *
 * How a task ends
 *
 * By returning from its function; its code is then the whole int that it
 * returned. pthread_exit in it counts as return 0. A process may also call
 * exit or _exit (code 0 to 255), exec (its end is that of the new program), or
 * be ended by a signal. A process that returns from its function flushes its
 * streams and ends without running what was registered with atexit(3): that was
 * registered by its parent. A crash in a thread ends its process, as always.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h> /* pid_t */

#include <ripstop/base.h>
#include <ripstop/exit.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rip_task rip_task;

/* What a task is. Its result is the code of its end. */
typedef int rip_task_fn(void *arg);

enum rip_kind { RIP_THREAD, RIP_PROCESS };

/* How a process task comes to be: see the table above. */
enum rip_start {
    RIP_START_DEFAULT, /* fork */
    RIP_START_FORK,
    RIP_START_TEMPLATE
};

struct rip_task_options {
    enum rip_kind kind;
    enum rip_start start; /* of a process */

    /* For rip_task_name, reports, ps(1) and debuggers; the system shows the
     * first 15 bytes of it. NULL: "task". Longer than 31 bytes is cut. */
    const char *name;

    bool daemon;   /* rip_task_join_all does not wait for it */
    bool detached; /* a process that may outlive the program */

    /* In bytes, 0: as a thread of the program has it, 8 MiB as a rule; less
     * than PTHREAD_STACK_MIN is -EINVAL. A process runs on the stack of the
     * thread that started it, or that made the template, unless this is
     * set. */
    size_t stack_size;

    size_t arg_size;    /* > 0: `arg` points to so many bytes, of which the task
                           gets a copy of its own */
    size_t result_size; /* the most bytes that rip_task_return can give back;
                           0: 1024 */

    /* The CPUs that it may run on, by number. None: as the caller may. */
    const unsigned *cpus;
    size_t n_cpus;
    int nice; /* added to ours; below 0 needs privileges */

    double grace; /* seconds that a process has to end by itself, before
                     SIGKILL, when it is terminated; 0: 1 s; negative: none */
    uint64_t reserved[4];
};

/*
 * Starts fn(arg). `opt` may be NULL: a thread. It, and the name in it, may be
 * gone after the call; what `arg` points to has to stay until the task is done
 * with it, unless it is copied.
 *
 * Before a process is forked stdout and stderr are flushed, and if the program
 * has one thread all its streams, so that nothing is written twice.
 *
 *     -EINVAL  fn is NULL; an option is wrong, or contradicts another; from the
 *              template: fn or arg is not to be had there
 *     -ENOENT  there is no template, or it was killed
 *     -EAGAIN  too many processes or threads (RLIMIT_NPROC, a control group)
 *     -ENOMEM, -EMFILE, -ENFILE
 *     -ETOOMANYREFS
 *              from the template: this user has as many descriptors on their
 *              way through sockets as RLIMIT_NOFILE allows
 *     -EPERM, -EACCES
 *              `nice` or `cpus` is not granted
 *
 * A task whose start fails never ran. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_task_start(rip_task **ret, rip_task_fn *fn,
                                            void *arg,
                                            const struct rip_task_options *opt);

/*
 * Makes the template: a small process that is a copy of this one now, and from
 * which RIP_START_TEMPLATE makes others. Call it early, while the program is
 * small and has one thread. Called again it does nothing, unless the template
 * was killed: then there is a new one. Clones of one that was killed go on,
 * and can be joined; how they end is known if they return, or from Linux 6.15
 * on, and else told as RIP_UNKNOWN.
 *
 * The template is called "rip-template" in ps(1), and ends with the program. It
 * is no child of the program, and the clones are not: wait(2) never sees them;
 * while this call runs, a wait for any child may see one that has ended. It
 * has the descriptors that are open now, as long as it lives: the other end
 * of a pipe sees no end-of-file. Segments that are closed it lets go when the
 * next clone is started. A child of fork(2) has no template but its own.
 *
 * -EAGAIN  too many processes; or it was killed before it was ready
 *
 * 0, or else as rip_task_start. Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_task_template(void);

/*
 * As fork(2): the child goes on from here with 0, the parent gets the child's
 * pid, and in *ret the task to join it by. In the child *ret is untouched.
 * Streams are flushed before as by rip_task_start, and the child dies with the
 * program. Nobody is to wait for it with waitpid(2).
 *
 * Thread-safe: "Fork or template" above tells what is safe in the child.
 */
RIP_API RIP_CHECK_RESULT pid_t rip_fork(rip_task **ret);

/*
 * Waits until the task has ended, and says how: `ret` may be NULL. Once it has,
 * every join gives the same at once.
 *
 *     -ETIMEDOUT  it had not ended by the deadline
 *     -EDEADLK    it is the caller itself
 *     -ECANCELED  the caller is a task that is to stop
 *     -ECHILD     it is not a task of this process, but of the one that this
 *                 was forked from
 *     -EMFILE, -ENFILE
 *                 no descriptor to wait for a process with
 *
 * Blocks until the deadline at the longest. Thread-safe.
 */
RIP_API int rip_task_join(rip_task *t, struct rip_exit *ret, rip_time deadline);

/*
 * The same for all tasks of this process that are not daemons, also such that
 * begin meanwhile. 0: there are none left that run.
 *
 * Called by a task it waits for the others, not for the caller.
 */
RIP_API int rip_task_join_all(rip_time deadline);

/* Whether it still runs. Thread-safe. */
RIP_API bool rip_task_alive(rip_task *t);

/*
 * Lets go of a task; NULL is fine. Returns NULL. A thread that still runs is
 * asked to stop and goes on by itself; a process that still runs is terminated
 * as by rip_task_terminate, unless it is detached. In a child of fork(2)
 * nothing happens to the parent's task.
 *
 * Blocks for `grace` and a second at the longest. Thread-safe, as the last
 * thing that is done with the task.
 */
RIP_API rip_task *rip_task_free(rip_task *t);

/* ---- results ---------------------------------------------------------- */

/*
 * Inside of a task: leaves bytes for rip_task_result, which are copied; called
 * again it replaces them. A task that is killed has no result, or the whole of
 * one.
 *
 *     -EMSGSIZE  more than the task's `result_size`
 *     -ESRCH     the caller is no task
 *
 * From one thread of the task at a time.
 */
RIP_API int rip_task_return(const void *data, size_t len);

/*
 * The bytes that an ended task has left: they are the task's, until it is
 * freed, and aligned for any type. 0 and *len 0 if it left none.
 *
 *     -EBUSY  it has not ended
 *
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_task_result(rip_task *t, const void **data,
                                             size_t *len);

/* ---- stopping --------------------------------------------------------- */

/*
 * Asks the task to stop; how soon it does is its own affair. From now on each
 * call of this library in it that would have to wait gives -ECANCELED instead;
 * one that need not wait does its work as ever. Locks are waited for all the
 * same, so that no clean-up is lost, and so is what ends something
 * (rip_command_stop, the _free functions). It can not be taken back.
 *
 * A task that waits is told at once, a process in poll(2) that may not be
 * looked at (ptrace(2), "ptrace access mode") within 0.2 seconds.
 *
 * Thread-safe, not for signal handlers.
 */
RIP_API void rip_task_stop(rip_task *t);

/* Inside of a task: whether it was asked to stop. False elsewhere, and while a
 * shield is up. Async-signal-safe. */
RIP_API bool rip_task_stopping(void);

/*
 * Inside of a task: a descriptor that becomes readable when the task is asked
 * to stop, for poll(2) and event loops; or -ESRCH (no task), -EMFILE, -ENFILE.
 * It is the task's: do not read or close it.
 */
RIP_API int rip_task_stop_fd(void);

/* Inside of a task: with `on`, waiting calls do not heed a stop, until it is
 * off again as often; for clean-up that has to wait. Elsewhere it does
 * nothing. */
RIP_API void rip_task_shield(bool on);

/*
 * Sends a signal to a process task, and never to another process.
 *
 *     -ENOTSUP  it is a thread
 *     -EINVAL   there is no such signal
 *     -ESRCH    it has ended
 *     -EPERM    it runs as another user than the program (setuid(2))
 *
 * Thread-safe.
 */
RIP_API int rip_task_signal(rip_task *t, int sig);

/*
 * Ends a process task: asks it to stop and sends SIGTERM, and after its `grace`
 * SIGKILL; join then says how it went. -ENOTSUP: it is a thread, which nobody
 * can end from outside.
 *
 * Blocks for `grace` and a second at the longest. Thread-safe.
 */
RIP_API int rip_task_terminate(rip_task *t);

/* ---- who is who ------------------------------------------------------- */

/* Of a process its pid, of a thread that of this process. It is the task's own
 * until it has been joined. Thread-safe. */
RIP_API pid_t rip_task_pid(const rip_task *t);

/*
 * A descriptor that becomes readable when the task has ended, and stays so: for
 * poll(2) and event loops. It is the task's: do not read or close it. Or
 * -EMFILE, -ENFILE, -ECHILD; tasks have none until one is asked for.
 *
 * Thread-safe.
 */
RIP_API int rip_task_fd(rip_task *t);

/* Its name; of NULL that of the calling task, "main" where there is none.
 * Thread-safe. */
RIP_API const char *rip_task_name(const rip_task *t);

RIP_API enum rip_kind rip_task_kind(const rip_task *t);

/* The calling task; NULL where there is none. Async-signal-safe. Also in the
 * task of a process: there it is good for rip_task_name, rip_task_pid and
 * rip_task_kind, and the others give -ECHILD or -EDEADLK. */
RIP_API rip_task *rip_task_self(void);

/*
 * Calls `fn` for each task of this process that has been started and has not
 * been freed, until a call does not give 0; which is given back. `fn` may do
 * anything but free the task. Tasks that begin meanwhile may be left out.
 *
 * Thread-safe.
 */
RIP_API int rip_task_each(int (*fn)(rip_task *t, void *arg), void *arg);

/* ---- crashes ---------------------------------------------------------- */

/* Where a call was made. */
struct rip_frame {
    uintptr_t address;
    uintptr_t offset;  /* from the begin of the function; or, if that is not
                          known, of the file */
    char function[64]; /* "": not known */
    char file[64];     /* the program or library, the end of its path */
};

/*
 * The calls that a crashed process task was in, the innermost first: at most
 * `cap` are stored, how many there are is returned, 48 at the most. 0 when it
 * did not crash, or could not say. That covers SIGSEGV, SIGBUS, SIGFPE, SIGILL,
 * SIGTRAP, SIGSYS and SIGABRT, sent ones too, of which the program has not
 * changed the disposition when the task starts, and the overflow of the stack
 * that the task runs on (in further threads of it that is just a SIGSEGV).
 * exit.fault_address is the address that it stumbled on.
 *
 * The names are looked for now, in the files of the program and its libraries;
 * those of functions that these do not export are there unless it was stripped.
 *
 *     -EBUSY   it has not ended
 *     -ECHILD  as of rip_task_join
 *
 * Thread-safe.
 */
RIP_API int rip_task_backtrace(rip_task *t, struct rip_frame *ret, size_t cap);

/*
 * All that is known of an ended task, as text of several lines: its name, how
 * it ended, its times, its memory; and for a crash the address and the calls.
 * Writes at most `cap` bytes with the closing NUL, and returns the length of
 * the whole text, as snprintf(3) does:
 *
 *   task "draw" (process 471): killed by SIGSEGV at address 0x10 after 0.31 s
 *     user 0.20 s, system 0.05 s, peak memory 34.1 MiB
 *     0  paint+0x1c      (imageview)
 *     1  draw_all+0x84   (imageview)
 *     2  main+0x120      (imageview)
 *
 *     -EBUSY   it has not ended
 *     -ECHILD  as of rip_task_join
 *
 * Thread-safe.
 */
RIP_API int rip_task_report(rip_task *t, char *buf, size_t cap);

#ifdef __cplusplus
}
#endif

#endif
