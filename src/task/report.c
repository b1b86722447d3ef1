/* SPDX-License-Identifier: MIT */
#include "task/task.h"

#include <errno.h>
#include <signal.h>

#include "base/base.h"
#include "task/symbols.h"

/* ---- the calls -------------------------------------------------------- */

/* What is said of one that has not ended is that; of another's, why not. */
static int look(rip_task *t, struct rip_exit *end, struct rip__crash *crash)
{
    int r = rip_task_join(t, end, RIP_NOW);
    if (r < 0)
        return r == -ETIMEDOUT || r == -EDEADLK ? -EBUSY : r;
    rip__crash_read(crash, &t->record->crash, end);
    return 0;
}

/* To be freed: n_frames of them; NULL: there are none, or no memory. */
static struct rip_frame *name_frames(const struct rip__crash *c)
{
    struct rip_frame *frames =
        c->n_frames > 0 ? rip__alloc_array(c->n_frames, sizeof *frames) : NULL;
    for (uint32_t i = 0; frames && i < c->n_frames; i++)
        frames[i].address = (uintptr_t)c->frames[i];
    if (frames)
        rip__symbols_find(frames, c->n_frames);
    return frames;
}

int rip_task_backtrace(rip_task *t, struct rip_frame *ret, size_t cap)
{
    struct rip_exit end;
    struct rip__crash crash;
    int r = look(t, &end, &crash);
    if (r < 0)
        return r;
    struct rip_frame *frames = name_frames(&crash);
    if (!frames)
        return 0;
    size_t n = cap < crash.n_frames ? cap : crash.n_frames;
    if (n > 0)
        memcpy(ret, frames, n * sizeof *ret);
    rip__free(frames);
    return (int)crash.n_frames;
}

/* ---- words ------------------------------------------------------------ */

static void add_hex(struct rip__text *t, uint64_t i)
{
    int shift = 60;
    while (shift > 0 && i >> shift == 0)
        shift -= 4;
    rip__text_add(t, "0x");
    for (; shift >= 0; shift -= 4)
        rip__text_add_char(t, "0123456789abcdef"[i >> shift & 15]);
}

/* n / unit with so many digits, 1 or 2, after the point. */
static void add_decimal(struct rip__text *t, int64_t n, int64_t unit,
                        int digits)
{
    int64_t scale = digits == 1 ? 10 : 100;
    int64_t rest = n % unit / (unit / scale);
    rip__text_add_int(t, n / unit);
    rip__text_add_char(t, '.');
    if (digits > 1 && rest < 10)
        rip__text_add_char(t, '0');
    rip__text_add_int(t, rest);
}

static void add_seconds(struct rip__text *t, int64_t ns)
{
    add_decimal(t, ns, 1000000000, 2);
    rip__text_add(t, " s");
}

static void pad(struct rip__text *t, size_t from, size_t width)
{
    while (t->len - from < width)
        rip__text_add_char(t, ' ');
}

/* ---- the report ------------------------------------------------------- */

/* Of a fault where; of a signal that was sent by whom. */
static void add_cause(struct rip__text *t, const struct rip__crash *c,
                      pid_t self)
{
    if (rip__crash_is_stack_overflow(c)) {
        rip__text_add(t, " by stack overflow");
    } else if ((c->signal == SIGSEGV || c->signal == SIGBUS) &&
               rip__crash_has_address(c)) {
        rip__text_add(t, " at address ");
        add_hex(t, c->address);
    } else if (c->sender != 0 && c->sender != (uint32_t)self) {
        rip__text_add(t, " from process ");
        rip__text_add_int(t, c->sender);
    }
}

/* task "resize" (process 4711): killed by SIGSEGV at address 0x10 after 0.31 s
 */
static void add_end(struct rip__text *t, const rip_task *task,
                    const struct rip_exit *end, const struct rip__crash *c)
{
    char words[RIP_EXIT_TEXT];
    rip_exit_format(end, words, sizeof words);
    rip__text_add(t, "task \"");
    rip__text_add_escaped(t, task->name);
    if (task->kind == RIP_PROCESS) {
        rip__text_add(t, "\" (process ");
        rip__text_add_int(t, task->child.pid);
        rip__text_add(t, "): ");
    } else {
        rip__text_add(t, "\" (thread): ");
    }
    rip__text_add(t, words);
    add_cause(t, c, task->child.pid);
    rip__text_add(t, " after ");
    add_seconds(t, end->wall_ns);
    rip__text_add_char(t, '\n');
}

static void add_usage(struct rip__text *t, const struct rip_exit *end)
{
    rip__text_add(t, "  user ");
    add_seconds(t, end->user_ns);
    rip__text_add(t, ", system ");
    add_seconds(t, end->system_ns);
    if (end->max_rss_bytes > 0) {
        rip__text_add(t, ", peak memory ");
        add_decimal(t, end->max_rss_bytes, 1 << 20, 1);
        rip__text_add(t, " MiB");
    }
    rip__text_add_char(t, '\n');
}

/* paint+0x1c, or the address where there is no name. */
static void add_place(struct rip__text *t, const struct rip_frame *f)
{
    if (f->function[0]) {
        rip__text_add_escaped(t, f->function);
        rip__text_add_char(t, '+');
        add_hex(t, f->offset);
    } else {
        add_hex(t, f->address);
    }
}

/* (imageview), and the place in it where there is no other. */
static void add_file(struct rip__text *t, const struct rip_frame *f)
{
    rip__text_add_char(t, '(');
    rip__text_add_escaped(t, f->file);
    if (!f->function[0]) {
        rip__text_add_char(t, '+');
        add_hex(t, f->offset);
    }
    rip__text_add_char(t, ')');
}

static size_t width_of(const struct rip_frame *f)
{
    struct rip__text t = { NULL, 0, 0 };
    add_place(&t, f);
    return t.len;
}

/* The files stand below each other, but for a name that is very long. */
static void add_frames(struct rip__text *t, const struct rip_frame *frames,
                       uint32_t n)
{
    enum { WIDEST = 40 };
    size_t width = 0;
    for (uint32_t i = 0; i < n; i++) {
        size_t w = width_of(&frames[i]);
        width = w > width && w <= WIDEST ? w : width;
    }
    for (uint32_t i = 0; i < n; i++) {
        size_t line = t->len;
        rip__text_add(t, "  ");
        rip__text_add_int(t, i);
        pad(t, line, 5);
        size_t place = t->len;
        add_place(t, &frames[i]);
        if (frames[i].file[0]) {
            pad(t, place, width + 1);
            add_file(t, &frames[i]);
        }
        rip__text_add_char(t, '\n');
    }
    if (n == RIP__FRAMES)
        rip__text_add(t, "  ...\n");
}

int rip_task_report(rip_task *t, char *buf, size_t cap)
{
    struct rip__text text = { buf, cap, 0 };
    struct rip_exit end;
    struct rip__crash crash;
    int r = look(t, &end, &crash);
    if (r < 0)
        return r;
    struct rip_frame *frames = name_frames(&crash);
    add_end(&text, t, &end, &crash);
    add_usage(&text, &end);
    if (frames)
        add_frames(&text, frames, crash.n_frames);
    rip__free(frames);
    return rip__text_end(&text);
}
