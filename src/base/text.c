/* SPDX-License-Identifier: MIT */
#include "base/base.h"

#include <limits.h>

void rip__text_add_char(struct rip__text *t, char c)
{
    if (t->len + 1 < t->cap)
        t->buf[t->len] = c;
    t->len++;
}

void rip__text_add(struct rip__text *t, const char *s)
{
    while (*s)
        rip__text_add_char(t, *s++);
}

void rip__text_add_int(struct rip__text *t, long long i)
{
    char digits[24];
    size_t n = 0;
    unsigned long long u =
        i < 0 ? -(unsigned long long)i : (unsigned long long)i;
    do
        digits[n++] = (char)('0' + u % 10);
    while (u /= 10);
    if (i < 0)
        rip__text_add_char(t, '-');
    while (n > 0)
        rip__text_add_char(t, digits[--n]);
}

void rip__text_add_escaped(struct rip__text *t, const char *s)
{
    static const char hex[] = "0123456789abcdef";
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c >= ' ' && c != 0x7f) {
            rip__text_add_char(t, *s);
        } else if (c == '\n') {
            rip__text_add(t, "\\n");
        } else if (c == '\t') {
            rip__text_add(t, "\\t");
        } else {
            rip__text_add(t, "\\x");
            rip__text_add_char(t, hex[c >> 4]);
            rip__text_add_char(t, hex[c & 15]);
        }
    }
}

int rip__text_end(struct rip__text *t)
{
    if (t->cap > 0)
        t->buf[t->len < t->cap ? t->len : t->cap - 1] = 0;
    return t->len > INT_MAX ? INT_MAX : (int)t->len;
}
