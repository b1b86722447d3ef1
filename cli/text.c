/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void line_add_va(struct line *l, const char *format, va_list ap)
{
    size_t room = sizeof l->text - l->len;
    int n = vsnprintf(l->text + l->len, room, format, ap);

    if (n > 0)
        l->len += (size_t)n < room ? (size_t)n : room - 1;
}

void line_add(struct line *l, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    line_add_va(l, format, ap);
    va_end(ap);
}

static const char *command = "run";

void text_set_command(const char *name)
{
    command = name;
}

struct line message(const char *format, va_list ap)
{
    struct line l = { .len = 0 };

    line_add(&l, "ripstop %s: ", command);
    line_add_va(&l, format, ap);
    l.text[l.len++] = '\n'; /* in place of the NUL */
    return l;
}

void complain(const char *format, ...)
{
    struct line l;
    va_list ap;

    va_start(ap, format);
    l = message(format, ap);
    va_end(ap);
    /* In one write, so that lines of several programs do not mix. There is
     * nobody left to tell when this one fails. */
    if (write(STDERR_FILENO, l.text, l.len) < 0)
        return;
}

/* How many bytes the UTF-8 character at `s` has; 0: it is none. */
static size_t utf8_length(const unsigned char *s, size_t len)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = s[0] < 0x80   ? 1
               : s[0] < 0xc0 ? 0
               : s[0] < 0xe0 ? 2
               : s[0] < 0xf0 ? 3
               : s[0] < 0xf8 ? 4
                             : 0;
    uint32_t c;

    if (n < 2 || n > len)
        return n == 1;
    c = s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    return n;
}

/* Whether a well-formed character may go to a terminal as it is: no control
 * character (C0, C1, DEL) and none that reorders the text around it. */
static bool is_harmless(const unsigned char *s, size_t n)
{
    if (n == 1)
        return s[0] >= 0x20 && s[0] != 0x7f;
    if (n == 2)
        return s[0] != 0xc2 || s[1] >= 0xa0;
    if (n != 3 || s[0] != 0xe2)
        return true;
    if (s[1] == 0x80)
        return (s[2] < 0x8e || s[2] > 0x8f) && (s[2] < 0xa8 || s[2] > 0xae);
    return s[1] != 0x81 || s[2] < 0xa6 || s[2] > 0xa9;
}

/* Writes the byte `c` as an escape sequence: its length. */
static size_t escape_byte(char out[5], unsigned char c)
{
    static const char named[] = "abtnvfr";

    if (c >= '\a' && c <= '\r')
        return (size_t)snprintf(out, 5, "\\%c", named[c - '\a']);
    return (size_t)snprintf(out, 5, "\\x%02x", c);
}

size_t text_escape(char *dst, size_t cap, const char *src, size_t len,
                   size_t width)
{
    size_t used = 0, columns = 0;
    size_t cut = 0; /* where the dots go, should it become too long */
    char unit[5];

    while (len > 0) {
        const unsigned char *s = (const unsigned char *)src;
        size_t n = utf8_length(s, len), wide = 1, taken = n;

        if (n > 0 && is_harmless(s, n)) {
            memcpy(unit, s, n);
        } else {
            taken = 1;
            wide = n = escape_byte(unit, *s);
        }
        if (columns + 3 <= width)
            cut = used;
        if (columns + wide > width || used + n + 4 > cap) {
            memcpy(dst + cut, "...", 3);
            used = cut + 3;
            break;
        }
        memcpy(dst + used, unit, n);
        used += n;
        columns += wide;
        src += taken;
        len -= taken;
    }
    dst[used] = '\0';
    return used;
}

const char *shown_part(const char *text, size_t len, size_t width)
{
    static char ring[4][512];
    static unsigned turn;
    char *buf = ring[turn++ % 4];

    text_escape(buf, sizeof ring[0], text, len, width);
    return buf;
}

const char *shown(const char *text)
{
    return shown_part(text, strlen(text), 100);
}

/* How many letters must be put in, taken out, or changed to make one word of
 * the other (Levenshtein); words longer than 31 count as far away. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[32];
    size_t n = strlen(b);

    if (n > 31)
        return 99;
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 0; a[i]; i++) {
        unsigned diagonal = row[0];

        row[0] = i + 1;
        for (unsigned j = 0; j < n; j++) {
            unsigned best = diagonal + (a[i] != b[j]);

            diagonal = row[j + 1];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (diagonal + 1 < best)
                best = diagonal + 1;
            row[j + 1] = best;
        }
    }
    return row[n];
}

const char *nearest(const char *typed, const char *const *words)
{
    const char *best = NULL;
    unsigned limit = strlen(typed) < 4 ? 1 : 3;

    for (; *words; words++) {
        unsigned d = distance(typed, *words);

        if (d <= limit) {
            limit = d - (d > 0);
            best = *words;
        }
    }
    return best;
}
