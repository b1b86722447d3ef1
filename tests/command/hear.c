/* SPDX-License-Identifier: MIT */
#include "hear.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness.h"
#include "run.h"

static void put(struct heard *h, const char *data, size_t len)
{
    char *to = realloc(h->text.data, h->text.len + len + 1);
    CHECK(to != NULL);
    memcpy(to + h->text.len, data, len);
    h->text.data = to;
    h->text.len += len;
    to[h->text.len] = 0;
}

int hear(void *arg, const struct rip_piece *p)
{
    struct heard *h = arg;
    CHECK(p->len > 0 || p->newline);
    CHECK_INT(p->data[p->len], ==, 0);
    CHECK_INT(p->at, >=, h->last);
    CHECK_INT(p->at, <=, rip_time_now());
    h->last = p->at;
    h->pieces++;
    h->longest = p->len > h->longest ? p->len : h->longest;
    put(h, p->which == 1 ? "1" : "2", 1);
    put(h, p->data, p->len);
    put(h, p->newline ? "\n" : "|", 1);
    if (h->go && strstr(p->data, "go"))
        write_file(h->go, "", 0600);
    if (h->nap_ms > 0)
        nanosleep(
            &(struct timespec){ h->nap_ms / 1000, h->nap_ms % 1000 * 1000000 },
            NULL);
    return h->pieces == h->fail_at ? h->error : 0;
}

int hear_bytes(void *arg, const struct rip_piece *p)
{
    struct heard *h = arg;
    h->pieces++;
    put(h, p->data, p->len);
    if (p->newline)
        put(h, "\n", 1);
    return h->pieces == h->fail_at ? h->error : 0;
}

struct rip_command_options by_lines(struct heard *h)
{
    return (struct rip_command_options){ .out = { .kind = RIP_STDIO_PIPE },
                                         .err = { .kind = RIP_STDIO_PIPE },
                                         .on_output = hear,
                                         .on_output_arg = h,
                                         .by_lines = true,
                                         .grace = 0.05 };
}

void check_heard(struct heard *h, const char *want)
{
    CHECK_STR(h->text.data ? h->text.data : "", want);
    free(h->text.data);
    *h = (struct heard){ 0 };
}
