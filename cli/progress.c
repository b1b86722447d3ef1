/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "text.h"

#define INTERVAL_MS 100
#define DELAY_MS    500 /* a run shorter than this shows no bar at all */
#define BAR_MAX     30
#define BAR_MIN     5

static bool terminal_can(void)
{
    const char *term = getenv("TERM");

    return isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

void progress_init(struct progress *p, bool wanted)
{
    rip_time now = rip_time_now();

    *p = (struct progress){ .enabled = wanted && terminal_can() };
    p->started = now;
    p->next = p->enabled ? now + DELAY_MS * INT64_C(1000000) : RIP_FOREVER;
}

static void write_all(const char *text, size_t len)
{
    if (write(STDERR_FILENO, text, len) < 0)
        return; /* a bar that can not be drawn is no loss */
}

void progress_clear(struct progress *p)
{
    static const char clear[] = "\r\033[K";

    if (p->visible)
        write_all(clear, sizeof clear - 1);
    p->visible = false;
}

void progress_end(struct progress *p)
{
    progress_clear(p);
    p->enabled = false;
    p->next = RIP_FOREVER;
}

static size_t terminal_width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

/* A terminal that is stopped (Ctrl-S) would block us, and one that another
 * program has in front is not ours to write on. */
static bool terminal_is_ours(void)
{
    struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

    return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) &&
           tcgetpgrp(STDERR_FILENO) == getpgrp();
}

static void add_time(struct line *l, double seconds, const char *what)
{
    unsigned long long s = seconds < 1e9 ? (unsigned long long)seconds : 0;

    line_add(l, "  ");
    if (s >= 3600)
        line_add(l, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
    else
        line_add(l, "%llu:%02llu", s / 60, s % 60);
    line_add(l, " %s", what);
}

/* "120/400  2 failed  52/s  0:02 elapsed  0:05 left" */
static void add_counts(struct line *l, const struct progress *p, double elapsed)
{
    double rate = (double)p->done / elapsed;

    line_add(l, "%llu", (unsigned long long)p->done);
    if (p->expected > 0)
        line_add(l, "/%llu", (unsigned long long)p->expected);
    if (p->failed > 0)
        line_add(l, "  %llu failed", (unsigned long long)p->failed);
    if (p->done > 0)
        line_add(l, rate < 10 ? "  %.1f/s" : "  %.0f/s", rate);
    add_time(l, elapsed, "elapsed");
    if (p->done > 0 && p->expected >= p->done)
        add_time(l, (double)(p->expected - p->done) / rate, "left");
}

/* "[#####.....] ", as wide as there is room, or nothing. */
static void add_bar(struct line *l, double part, size_t room)
{
    static const char full[] = "##############################";
    static const char empty[] = "..............................";
    int width = room < BAR_MAX + 3 ? (int)room - 3 : BAR_MAX;
    int done = (int)(part * width);

    if (width >= BAR_MIN)
        line_add(l, "[%.*s%.*s] ", done, full, width - done, empty);
}

static void draw(struct progress *p, rip_time now)
{
    struct line counts = { .len = 0 }, l = { .len = 0 };
    size_t width = terminal_width() - 1, len;

    add_counts(&counts, p, (double)(now - p->started) / 1e9);
    len = counts.len < width ? counts.len : width;
    line_add(&l, "\r");
    if (p->expected > 0 && p->expected >= p->done)
        add_bar(&l, (double)p->done / (double)p->expected, width - len);
    line_add(&l, "%.*s\033[K", (int)len, counts.text);
    write_all(l.text, l.len);
    p->visible = true;
}

bool progress_is_due(const struct progress *p, rip_time now)
{
    return now >= p->next;
}

void progress_draw(struct progress *p, rip_time now)
{
    p->next = now + INTERVAL_MS * INT64_C(1000000);
    if (terminal_is_ours())
        draw(p, now);
}
