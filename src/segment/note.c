/* SPDX-License-Identifier: MIT */
#include "segment/segment.h"

#include <stdlib.h>
#include <unistd.h>

void rip__misuse(const char *what)
{
    char line[256];
    size_t len = 0;
    const char *parts[] = { "ripstop: ", what, "\n" };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (const char *s = parts[i]; *s && len < sizeof line; s++)
            line[len++] = *s;
    ssize_t r = write(STDERR_FILENO, line, len);
    (void)r;
    abort();
}
