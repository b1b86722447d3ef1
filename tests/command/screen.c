/* SPDX-License-Identifier: MIT */
#include "screen.h"

#include <string.h>

#include "harness.h"

const struct rip_command_options terminal = {
    .in = { .kind = RIP_STDIO_PTY },
    .out = { .kind = RIP_STDIO_PTY },
    .err = { .kind = RIP_STDIO_PTY },
};

/* What has been read, and not been expected yet. */
static char seen[1 << 16];
static size_t seen_len;

void expect(rip_command *c, const char *text)
{
    char *at;
    harness_note("waiting for \"%s\"", text);
    while (!(at = strstr(seen, text))) {
        ssize_t r = rip_command_read(c, 1, seen + seen_len,
                                     sizeof seen - seen_len - 1, RIP_FOREVER);
        if (r <= 0)
            FAIL("%s after \"%s\"", harness_errno_name((int)r), seen);
        seen_len += (size_t)r;
        seen[seen_len] = 0;
    }
    at += strlen(text);
    seen_len -= (size_t)(at - seen);
    memmove(seen, at, seen_len + 1);
}

void type(rip_command *c, const char *text)
{
    size_t len = strlen(text);
    CHECK_INT(rip_command_write(c, text, len, RIP_FOREVER), ==, len);
}

const char *rest(rip_command *c)
{
    ssize_t r;
    while ((r = CHECK_OK(rip_command_read(c, 1, seen + seen_len,
                                          sizeof seen - seen_len - 1,
                                          RIP_FOREVER))) > 0)
        seen_len += (size_t)r;
    seen[seen_len] = 0;
    seen_len = 0;
    return seen;
}
