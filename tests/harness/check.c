/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include <ripstop/base.h>

void harness_fail(const char *file, int line, const char *format, ...)
{
    char text[2048];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    harness_say("%s:%d: %s\n", file, line, text);
    harness_end(HARNESS_FAILED);
}

void harness_skip(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(harness_report->skip, sizeof harness_report->skip, format, ap);
    va_end(ap);
    harness_end(HARNESS_SKIPPED);
}

void harness_fail_int(const char *file, int line, const char *a, const char *op,
                      const char *b, intmax_t av, intmax_t bv)
{
    harness_fail(file, line,
                 "CHECK_INT(%s, %s, %s)\n    left:  %jd\n    right: %jd", a, op,
                 b, av, bv);
}

/* A part of a byte string as a C literal: `len` bytes from `at`. */
static const char *quoted(const char *s, size_t len, char *buf, size_t cap)
{
    size_t n = 0;

    buf[n++] = '"';
    for (size_t i = 0; i < len && n + 8 < cap; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c == '\n')
            n += (size_t)sprintf(buf + n, "\\n");
        else if (c == '"' || c == '\\')
            n += (size_t)sprintf(buf + n, "\\%c", c);
        else if (isprint(c))
            buf[n++] = (char)c;
        else
            n += (size_t)sprintf(buf + n, "\\x%02x", c);
    }
    buf[n++] = '"';
    buf[n] = '\0';
    return buf;
}

/* How much is shown of what differs, and from where on: long strings that
 * begin alike are shown around the first difference. */
#define SHOWN  400
#define BEFORE 40

static size_t first_difference(const char *a, size_t an, const char *b,
                               size_t bn)
{
    size_t i = 0;

    while (i < an && i < bn && a[i] == b[i])
        i++;
    return i;
}

static void show_part(const char *what, const char *s, size_t len, size_t from)
{
    char buf[4 * SHOWN + 16];
    size_t n = len > from ? len - from : 0;

    harness_say(
        "    %s %s%s%s (%zu bytes)\n", what, from > 0 ? "..." : "",
        quoted(s + (n > 0 ? from : 0), n < SHOWN ? n : SHOWN, buf, sizeof buf),
        n > SHOWN ? "..." : "", len);
}

static void show_both(const char *got, size_t got_len, const char *want,
                      size_t want_len)
{
    size_t at = first_difference(got, got_len, want, want_len);
    size_t from = at > SHOWN / 2 ? at - BEFORE : 0;

    show_part("got: ", got, got_len, from);
    show_part("want:", want, want_len, from);
    if (at > 0)
        harness_say("    they differ from byte %zu on\n", at);
}

void harness_check_str(const char *file, int line, const char *got_text,
                       const char *want_text, const char *got, const char *want)
{
    if (got == NULL && want == NULL)
        return;
    if (got != NULL && want != NULL && strcmp(got, want) == 0)
        return;
    harness_say("%s:%d: CHECK_STR(%s, %s)\n", file, line, got_text, want_text);
    if (got != NULL && want != NULL)
        show_both(got, strlen(got), want, strlen(want));
    else
        harness_say("    got:  %s\n    want: %s\n", got ? got : "NULL",
                    want ? want : "NULL");
    harness_end(HARNESS_FAILED);
}

void harness_check_glob(const char *file, int line, const char *text,
                        const char *got, const char *pattern)
{
    if (got != NULL && fnmatch(pattern, got, 0) == 0)
        return;
    harness_say("%s:%d: CHECK_GLOB(%s, \"%s\")\n", file, line, text, pattern);
    if (got != NULL)
        show_part("got:", got, strlen(got), 0);
    else
        harness_say("    got: NULL\n");
    harness_end(HARNESS_FAILED);
}

void harness_check_mem(const char *file, int line, const char *text,
                       const void *got, size_t got_len, const void *want,
                       size_t want_len)
{
    if (got_len == want_len &&
        (got_len == 0 || memcmp(got, want, got_len) == 0))
        return;
    harness_say("%s:%d: CHECK_MEM(%s)\n", file, line, text);
    show_both(got, got_len, want, want_len);
    harness_end(HARNESS_FAILED);
}

intmax_t harness_check_ok(const char *file, int line, const char *text,
                          intmax_t got)
{
    if (got < 0)
        harness_fail(file, line, "CHECK_OK(%s)\n    got: %s (%s)", text,
                     harness_errno_name((int)got), rip_strerror((int)got));
    return got;
}

void harness_check_err(const char *file, int line, const char *text,
                       intmax_t got, intmax_t want)
{
    char number[32];
    const char *shown = number;

    if (got == want)
        return;
    snprintf(number, sizeof number, "%jd", got);
    if (got < 0)
        shown = harness_errno_name((int)got);
    harness_say("%s:%d: CHECK_ERR(%s)\n    got:  %s (%s)\n", file, line, text,
                shown, rip_strerror((int)got));
    harness_say("    want: %s (%s)\n", harness_errno_name((int)want),
                rip_strerror((int)want));
    harness_end(HARNESS_FAILED);
}
