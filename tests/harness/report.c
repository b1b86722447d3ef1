/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct harness_report *harness_report;
bool harness_here;

void harness_report_reset(void)
{
    if (harness_report == NULL) {
        harness_report =
            mmap(NULL, sizeof *harness_report, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (harness_report == MAP_FAILED) {
            perror("harness: mmap");
            exit(2);
        }
    }
    harness_report->verdict = HARNESS_RUNNING;
    harness_report->test = 0;
    harness_report->deadline = INT64_MAX;
    harness_report->dumped = 0;
    harness_report->len = 0;
    harness_report->skip[0] = '\0';
    harness_report->note[0] = '\0';
}

/* The room is taken before it is written to, so what several processes say
 * at once does not overlap. */
static void append(const char *text, size_t len)
{
    size_t at = atomic_fetch_add(&harness_report->len, len);
    size_t room = sizeof harness_report->text;

    if (at < room)
        memcpy(harness_report->text + at, text,
               len < room - at ? len : room - at);
}

void harness_vsay(const char *format, va_list ap)
{
    char text[4096];
    int len = vsnprintf(text, sizeof text, format, ap);

    if (len < 0)
        return;
    if ((size_t)len >= sizeof text) {
        len = sizeof text - 1;
        text[len - 1] = '\n';
    }
    append(text, (size_t)len);
    if (harness_here)
        fputs(text, stderr);
}

void harness_say(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    harness_vsay(format, ap);
    va_end(ap);
}

/*
 * _exit, not exit: another thread may hold any lock. A forked child ends the
 * test's process as well, which would else wait for what the child was to do
 * next. That pid is not reused meanwhile: the runner reaps the test only when
 * all its descendants are gone.
 */
_Noreturn void harness_end(enum harness_verdict verdict)
{
    harness_report->verdict = verdict;
    if (harness_here)
        harness_remove_tree(harness_directory);
    if (harness_here && verdict == HARNESS_FAILED) {
        fprintf(stderr, "%s\n", harness_report->note);
        abort(); /* to where a debugger can look around */
    }
    if (harness_here)
        fprintf(stderr, "skipped: %s\n", harness_report->skip);
    else if (getpid() != harness_report->test)
        kill(harness_report->test, SIGKILL);
    _exit(verdict == HARNESS_FAILED);
}

void harness_note(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(harness_report->note, sizeof harness_report->note, format, ap);
    va_end(ap);
}

int64_t harness_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void harness_nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOW 4
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SLOW 4
#endif
#endif
#ifndef SLOW
#define SLOW 1
#endif

double harness_scale(double seconds)
{
    const char *slow = getenv("RIPSTOP_TEST_SLOW");
    double factor = slow != NULL ? strtod(slow, NULL) : 0;

    return seconds * (factor > 0 ? factor : SLOW);
}

int harness_rounds(int n)
{
    const char *asked = getenv("RIPSTOP_TEST_LONG");
    int factor = asked != NULL ? atoi(asked) : 1;

    if (factor <= 1)
        return n;
    harness_extend(20.0 * factor);
    return n * factor;
}

void harness_extend(double seconds)
{
    /* INT64_MAX: there is no deadline, and so it stays. */
    if (harness_report->deadline != INT64_MAX)
        harness_report->deadline =
            harness_now() + (int64_t)(harness_scale(seconds) * 1e9);
}
