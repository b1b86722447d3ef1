/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_BASE_H
#define RIPSTOP_BASE_H

/*
 * <ripstop/base.h>: what every other header builds on: the version, time,
 * error codes, and the number of CPUs that this process may use.
 *
 * Errors. A function that can fail returns a negative errno value, 0 or a
 * positive number otherwise. `errno` itself is neither read nor changed.
 *
 *     -ETIMEDOUT  the deadline passed (also for RIP_NOW)
 *     -EPIPE      the other end is closed or broken
 *     -ECANCELED  this task was told to stop
 *     -EDEADLK    the caller would wait for itself
 *     -EBADMSG    what lies in shared memory makes no sense
 *     -EINVAL     an option is wrong, or two contradict each other
 *     -EMSGSIZE   more than a stated limit
 *     -ENOMEM     no memory
 *
 * Results. A pointer that a function fills in is called `ret`; it is not
 * touched when the function fails, unless its description says so.
 *
 * Stops. A task (task.h) that is asked to stop gets -ECANCELED from each call
 * that would have to wait. What can be done at once is done as ever, and what
 * never waits, as with RIP_NOW, is not concerned; nor are locks, nor what ends
 * or frees something.
 *
 * Options. Options come in one struct, by pointer; NULL means all defaults,
 * and so does every field that is zero. The last field of each is `reserved`
 * and must be zero: what is set there by accident is refused, not ignored.
 *
 * Threads. The last line on each function says who may call it when. No
 * function is a cancellation point (pthread_cancel(3)), none installs a
 * signal handler or changes the caller's signal mask or dispositions, and
 * none prints anything, but for one case: where a program errs in what cannot
 * be told by a result, as with the release of a lock that the caller does not
 * hold, a line on stderr says so and the program is aborted.
 */

#include <errno.h> /* the names of errors */
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RIP_API          __attribute__((visibility("default")))
#define RIP_CHECK_RESULT __attribute__((warn_unused_result))
#define RIP_ALIGNED(n)   __attribute__((aligned(n)))
#else
#define RIP_API
#define RIP_CHECK_RESULT
#define RIP_ALIGNED(n)
#endif

#define RIP_VERSION_MAJOR 0
#define RIP_VERSION_MINOR 1
#define RIP_VERSION_PATCH 0

/*
 * The version of the library that is running, as "0.1.0". The macros above
 * tell which headers the program was compiled with.
 *
 * Thread-safe, async-signal-safe.
 */
RIP_API const char *rip_version(void);

/*
 * A point in time: nanoseconds of CLOCK_MONOTONIC. Every deadline is one,
 * and always the last parameter. A deadline is absolute, so that it can be
 * handed from call to call and the whole still ends on time:
 *
 *     rip_time deadline = rip_after(2.5);
 *     r = rip_command_write(c, data, len, deadline);
 *     if (r >= 0)
 *         r = rip_command_wait(c, &end, deadline);
 *
 * RIP_NOW (and any time that is past) means: try once, do not wait.
 * RIP_FOREVER means: wait as long as it takes. A plain number of seconds is a
 * time that is long past, and 0 is RIP_NOW.
 */
typedef int64_t rip_time;

#define RIP_NOW     ((rip_time)0)
#define RIP_FOREVER INT64_MAX

/*
 * The present time.
 *
 * Thread-safe, async-signal-safe.
 */
RIP_API rip_time rip_time_now(void);

/*
 * The time `seconds` from now. What is too far away to be told gives
 * RIP_FOREVER; NaN, zero and negative numbers give RIP_NOW.
 *
 * Thread-safe, async-signal-safe.
 */
RIP_API rip_time rip_after(double seconds);

/*
 * The time `ms` milliseconds from now, with the same limits.
 *
 * Thread-safe, async-signal-safe.
 */
RIP_API rip_time rip_after_ms(int64_t ms);

/*
 * What a result code means, in words: "deadline passed" for -ETIMEDOUT, "no
 * such file or directory" for -ENOENT, "success" for 0 and above, "unknown
 * error" for what is none. The string is constant: it is never freed, and no
 * other call changes it. Not translated.
 *
 * Thread-safe, async-signal-safe.
 */
RIP_API const char *rip_strerror(int code);

/*
 * Returned by an acquire instead of 0: acquired, but the last holder died
 * while holding it, so what it guards may be half changed.
 */
#define RIP_RECOVERED 1

/*
 * How many CPUs this process may use: those in its affinity mask, or fewer
 * when its cgroup, or one above it, has a CPU quota (version 1 or 2; a quota
 * of 1.5 CPUs counts as 2). At least 1. Asked anew at every call.
 *
 * Thread-safe.
 */
RIP_API unsigned rip_cpu_count(void);

#ifdef __cplusplus
}
#endif

#endif
