/* SPDX-License-Identifier: MIT */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

/* Text that people read: messages, and names in them that may hold anything. */

#include <stdarg.h>
#include <stddef.h>

/* A line that is put together piece by piece, with a NUL at its end; what is
 * too long is cut. */
struct line {
    char text[2048];
    size_t len;
};

__attribute__((format(printf, 2, 3))) void line_add(struct line *l,
                                                    const char *format, ...);
__attribute__((format(printf, 2, 0))) void line_add_va(struct line *l,
                                                       const char *format,
                                                       va_list ap);

/* Which command of ripstop speaks; "run", if it does not say so. */
void text_set_command(const char *name);

/* "ripstop run: ..." with a newline at its end, and no NUL. */
__attribute__((format(printf, 1, 0))) struct line message(const char *format,
                                                          va_list ap);

/* Writes one to stderr. */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);

/*
 * Copies `src` in a form that is safe on a terminal and stays on one line:
 * control characters, bytes that are no UTF-8 and characters that turn the
 * direction of writing are written as \n or \x1b. What is longer than `width`
 * characters is cut and ends with "...". `dst` has room for `cap` bytes, and
 * 4 * len + 4 are always enough; ends with a NUL. Gives the length.
 */
size_t text_escape(char *dst, size_t cap, const char *src, size_t len,
                   size_t width);

/* The same for use in a message: the text stays until the fourth call after
 * this one. */
const char *shown(const char *text);
const char *shown_part(const char *text, size_t len, size_t width);

/* The one of `words` (ends with NULL) that is closest to what was typed, or
 * NULL when none is close. */
const char *nearest(const char *typed, const char *const *words);

#endif
