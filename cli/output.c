/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"
#include "text.h"

/* A pipe that can be written to takes this much without blocking. */
#define PIPE_ATOMIC 4096u

/* How much is printed before other things get a turn. */
#define STEP_BYTES ((size_t)1 << 20)

/* The limits of what waits: bytes to be printed, and results out of turn. */
#define READY_MAX ((uint64_t)4 << 20)
#define EARLY_MAX ((size_t)65536)

void output_init(struct output *o, struct store *store,
                 struct progress *progress)
{
    *o = (struct output){ .store = store, .progress = progress };
    o->next_number = 1;
    for (int i = 0; i < 2; i++) {
        struct stat st;

        o->never_waits[i] = fstat(i + 1, &st) == 0 &&
                            (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
        o->terminal[i] = isatty(i + 1);
    }
}

/* ---- the queue -------------------------------------------------------- */

static void insert_after(struct result_list *list, struct result *at,
                         struct result *r)
{
    r->prev = at;
    r->next = at ? at->next : list->first;
    if (r->next)
        r->next->prev = r;
    else
        list->last = r;
    if (at)
        at->next = r;
    else
        list->first = r;
}

static struct result *take_first(struct result_list *list)
{
    struct result *r = list->first;

    list->first = r->next;
    if (list->first)
        list->first->prev = NULL;
    else
        list->last = NULL;
    return r;
}

static void make_ready(struct output *o, struct result *r)
{
    o->ready_bytes += sizeof *r + r->stream[0].size + r->stream[1].size;
    insert_after(&o->ready, o->ready.last, r);
}

/* A result can be out of its turn by no more places than jobs run at once, so
 * its place is near the end. */
static void add_early(struct output *o, struct result *r)
{
    struct result *at = o->early.last;

    while (at && at->number > r->number)
        at = at->prev;
    insert_after(&o->early, at, r);
    o->early_count++;
}

static void release_early(struct output *o)
{
    while (o->early.first && o->early.first->number == o->next_number) {
        make_ready(o, take_first(&o->early));
        o->early_count--;
        o->next_number++;
    }
}

static char *make_tag(const struct item *item, size_t *ret_len)
{
    size_t cap = 4 * item->len + 5;
    char *tag = must_resize(NULL, cap);

    *ret_len = text_escape(tag, cap - 1, item->text, item->len, SIZE_MAX);
    tag[(*ret_len)++] = '\t';
    return tag;
}

void output_add(struct output *o, const struct item *item,
                struct spool stream[2])
{
    bool empty = stream[0].size + stream[1].size == 0;
    struct result *r;

    if (empty && !o->keep_order)
        return;
    r = must_alloc(sizeof *r);
    r->number = item->number;
    memcpy(r->stream, stream, sizeof r->stream);
    memset(stream, 0, sizeof r->stream);
    if (o->tag && !empty)
        r->tag = make_tag(item, &r->tag_len);
    if (!o->keep_order) {
        make_ready(o, r);
        return;
    }
    add_early(o, r);
    release_early(o);
}

void output_say(struct output *o, const char *format, ...)
{
    struct result *r = must_alloc(sizeof *r);
    struct line l;
    va_list ap;

    va_start(ap, format);
    l = message(format, ap);
    va_end(ap);
    store_append_short(o->store, &r->stream[1], l.text, l.len);
    make_ready(o, r);
}

static void free_result(struct output *o, struct result *r)
{
    store_drop(o->store, &r->stream[0]);
    store_drop(o->store, &r->stream[1]);
    free(r->tag);
    free(r);
}

void output_drop(struct output *o)
{
    while (o->ready.first)
        free_result(o, take_first(&o->ready));
    while (o->early.first)
        free_result(o, take_first(&o->early));
    o->ready_bytes = 0;
    o->early_count = 0;
    o->stream = 0;
    o->block_len = o->block_done = 0;
    o->raw_len = o->raw_done = 0;
}

bool output_is_full(const struct output *o)
{
    return o->ready_bytes > READY_MAX || o->early_count > EARLY_MAX;
}

/* ---- the block -------------------------------------------------------- */

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void put(struct output *o, const char *from, size_t n)
{
    memcpy(o->block + o->block_len, from, n);
    o->block_len += n;
}

static size_t block_room(const struct output *o)
{
    return OUTPUT_BLOCK - o->block_len;
}

/* Puts the tag, or as much of it as there is room for. */
static void put_tag(struct output *o, const struct result *r)
{
    size_t n = min_size(r->tag_len - o->tag_done, block_room(o));

    put(o, r->tag + o->tag_done, n);
    o->tag_done += n;
    o->line_started = o->tag_done == r->tag_len;
}

static void put_line(struct output *o)
{
    size_t n = min_size(o->raw_len - o->raw_done, block_room(o));
    const char *from = o->raw + o->raw_done;
    const char *newline = memchr(from, '\n', n);

    if (newline) {
        n = (size_t)(newline - from) + 1;
        o->line_started = false;
        o->tag_done = 0;
    }
    put(o, from, n);
    o->raw_done += n;
}

/* Fills the block with tagged lines: 0, or why there is nothing to read. A
 * last line without a newline gets one, or the next tag would follow it. */
static int fill_tagged(struct output *o, struct result *r)
{
    while (block_room(o) > 0) {
        if (o->raw_done == o->raw_len) {
            ssize_t n = store_take(o->store, &r->stream[o->stream], o->raw,
                                   sizeof o->raw);

            if (n < 0)
                return (int)n;
            o->raw_done = 0;
            o->raw_len = (size_t)n;
        }
        if (o->raw_len == 0) {
            if (o->line_started)
                put(o, "\n", 1);
            o->line_started = false;
            o->tag_done = 0;
            return 0;
        }
        if (!o->line_started)
            put_tag(o, r);
        else
            put_line(o);
    }
    return 0;
}

/* Fills the empty block from the stream that is being printed; it stays empty
 * at the end of the stream. */
static int fill(struct output *o, struct result *r)
{
    uint64_t before = r->stream[o->stream].size;
    ssize_t n;

    if (r->tag) {
        n = fill_tagged(o, r);
    } else {
        n = store_take(o->store, &r->stream[o->stream], o->block,
                       sizeof o->block);
        if (n > 0)
            o->block_len = (size_t)n;
    }
    o->ready_bytes -= before - r->stream[o->stream].size;
    return n < 0 ? (int)n : 0;
}

/* ---- writing ---------------------------------------------------------- */

static bool writable_now(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };

    return poll(&p, 1, 0) != 0;
}

/* Nothing may stand on the line where output goes. */
static void clear_way(struct output *o)
{
    if (o->terminal[o->stream])
        progress_clear(o->progress);
}

/* Writes from the block: 1 when it made progress, 0 when it would block. */
static int write_some(struct output *o)
{
    size_t len = o->block_len - o->block_done;
    ssize_t n;

    if (o->discard[o->stream]) {
        o->block_done = o->block_len;
        return 1;
    }
    if (!o->never_waits[o->stream]) {
        if (!writable_now(output_fd(o)))
            return 0;
        len = min_size(len, PIPE_ATOMIC);
    }
    clear_way(o);
    n = write(output_fd(o), o->block + o->block_done, len);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    o->block_done += (size_t)n;
    if (o->terminal[o->stream])
        o->unfinished_line = o->block[o->block_done - 1] != '\n';
    return 1;
}

/* Where stderr can not be written there is nobody to tell. */
static int write_block(struct output *o)
{
    int r = write_some(o);

    if (r >= 0 || o->stream == 0)
        return r;
    o->discard[1] = true;
    return 1;
}

/* Goes on to the next stream, or the next result. */
static void next_stream(struct output *o)
{
    if (++o->stream < 2)
        return;
    o->stream = 0;
    o->ready_bytes -= sizeof(struct result);
    free_result(o, take_first(&o->ready));
}

int output_step(struct output *o)
{
    size_t written = 0;

    while (o->ready.first) {
        size_t before;
        int r;

        if (o->block_done == o->block_len) {
            o->block_done = o->block_len = 0;
            r = fill(o, o->ready.first);
            if (r < 0)
                return r;
        }
        if (o->block_len == 0) {
            next_stream(o);
            continue;
        }
        if (written >= STEP_BYTES)
            return OUTPUT_MORE;
        before = o->block_done;
        r = write_block(o);
        written += o->block_done - before;
        if (r < 0)
            return r;
        if (r == 0)
            return OUTPUT_BLOCKED;
    }
    return OUTPUT_IDLE;
}

int output_fd(const struct output *o)
{
    return o->stream + 1;
}

bool output_at_line_start(const struct output *o)
{
    return !o->unfinished_line;
}
