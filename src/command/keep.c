/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>

/*
 * What becomes of the bytes that the pump reads. Either they are kept, in the
 * stream's buffer, as far as max_output lets them; or they are told to
 * on_output, and the buffer has no more than what is not told yet: the
 * beginning of a line, or what came when the deadline passed.
 *
 * Whatever comes, the memory is what is kept, or a line of the greatest
 * length, and one block.
 */

enum {
    FIRST = 4096,    /* read at first: most programs say little */
    BLOCK = 1 << 17, /* read at once from those that go on */
    GROWTH_MAX = 1 << 20,
    LINE_MAX = 1 << 20,
    ENOUGH = 2 * BLOCK, /* to speak of a stream that goes on */
    PIPE_FULL = 1 << 15 /* so much at once: the pipe may have been full */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Those who fill the pipe while we are away are kept waiting by its size. */
static void note_read(struct rip__stream *s, size_t n)
{
    if (s->seen < ENOUGH)
        s->seen += n;
    if (s->seen < ENOUGH || n < PIPE_FULL || s->widened)
        return;
    s->widened = true;
    rip__os_pipe_widen(s->fd);
}

static ssize_t read_pipe(struct rip__stream *s, char *to, size_t cap)
{
    ssize_t n = rip__stream_read_once(s, to, cap);
    if (n > 0)
        note_read(s, (size_t)n);
    return n;
}

static size_t worth_reading(const struct rip__stream *s)
{
    return s->seen < FIRST ? FIRST : BLOCK;
}

/* Reads behind what the buffer has, at most `most` bytes. */
static ssize_t read_behind(struct rip__stream *s, size_t most)
{
    struct rip__buffer *b = &s->buffer;
    size_t room = b->cap > b->len ? b->cap - b->len - 1 : 0;
    ssize_t n = read_pipe(s, b->data + b->len, smaller(room, most));
    b->len += n > 0 ? (size_t)n : 0;
    return n;
}

static ssize_t read_to_scratch(rip_command *c, struct rip__stream *s)
{
    if (!c->scratch)
        c->scratch = rip__seam.resize(NULL, BLOCK);
    return c->scratch ? read_pipe(s, c->scratch, BLOCK) : -ENOMEM;
}

static bool has_null(rip_command *c)
{
    if (c->null == 0)
        c->null = rip__os_open_null();
    return c->null > 0;
}

static void close_null(rip_command *c)
{
    if (c->null > 0)
        rip__os_close(c->null);
    c->null = 0;
}

/* What is not wanted has to be taken, too: else the program would wait. Much
 * of it goes to /dev/null without a copy, but from a terminal. */
static ssize_t drop(rip_command *c, struct rip__stream *s)
{
    if (s->seen >= ENOUGH && has_null(c)) {
        ssize_t n = rip__stream_splice_once(s, c->null, ENOUGH);
        if (n > 0)
            note_read(s, (size_t)n);
        if (n >= 0 || n == -EAGAIN)
            return n;
        close_null(c);
        c->null = -1;
    }
    return read_to_scratch(c, s);
}

static void settle(struct rip__stream *s)
{
    struct rip__buffer *b = &s->buffer;
    if (s->start == 0)
        return;
    b->len -= s->start;
    memmove(b->data, b->data + s->start, b->len);
    s->start = 0;
}

/* ---- kept ------------------------------------------------------------- */

/*
 * A buffer with max_output bytes is full. With RIP_OVERFLOW_HEAD_TAIL its
 * last half then becomes a ring, in which the oldest byte is at `turn`: so
 * what comes is copied once, however much it is, and nothing else is moved
 * until the end, when the ring is opened and laid straight.
 */

static size_t tail_of(const rip_command *c)
{
    return c->overflow == RIP_OVERFLOW_HEAD_TAIL ? c->max_output / 2 : 0;
}

static void swap(char *a, char *b, size_t n)
{
    char block[1024];
    for (size_t done = 0, some; done < n; done += some) {
        some = smaller(n - done, sizeof block);
        memcpy(block, a + done, some);
        memcpy(a + done, b + done, some);
        memcpy(b + done, block, some);
    }
}

/* Brings what begins at `turn` of n bytes to the front, and what was before it
 * behind it. Of two parts of unequal length the shorter one changes places
 * with the far end of the longer one, and is where it belongs. */
static void rotate(char *data, size_t n, size_t turn)
{
    size_t left = turn, right = n - turn;
    while (left > 0 && right > 0) {
        char *middle = data + left;
        if (left <= right) {
            swap(data, middle + right - left, left);
            right -= left;
        } else {
            swap(data, middle, right);
            data += right;
            left -= right;
        }
    }
}

static void open_ring(const rip_command *c, struct rip__stream *s)
{
    size_t tail = tail_of(c);
    if (s->turn > 0)
        rotate(s->buffer.data + s->buffer.len - tail, tail, s->turn);
    s->turn = 0;
}

/* The last of n bytes go into the ring. */
static void put_in_ring(struct rip__stream *s, char *ring, size_t tail,
                        const char *data, size_t n)
{
    size_t some = smaller(n, tail);
    size_t first = smaller(some, tail - s->turn);
    data += n - some;
    memcpy(ring + s->turn, data, first);
    memcpy(ring, data + first, some - first);
    s->turn = (s->turn + some) % tail;
}

static ssize_t read_into_ring(rip_command *c, struct rip__stream *s,
                              size_t tail)
{
    char *ring = s->buffer.data + s->buffer.len - tail;
    ssize_t n;
    if (tail - s->turn >= BLOCK) { /* straight into it */
        n = read_pipe(s, ring + s->turn, BLOCK);
        if (n > 0)
            s->turn = (s->turn + (size_t)n) % tail;
    } else {
        n = read_to_scratch(c, s);
        if (n > 0)
            put_in_ring(s, ring, tail, c->scratch, (size_t)n);
    }
    return n;
}

static ssize_t read_over(rip_command *c, struct rip__stream *s)
{
    size_t tail = tail_of(c);
    ssize_t n = tail > 0 ? read_into_ring(c, s, tail) : drop(c, s);
    c->truncated = c->truncated || n > 0;
    return n > 0 && c->overflow == RIP_OVERFLOW_FAIL ? -EMSGSIZE : n;
}

static ssize_t read_kept(rip_command *c, struct rip__stream *s)
{
    struct rip__buffer *b = &s->buffer;
    size_t most = c->max_output > 0 ? c->max_output - b->len : SIZE_MAX;
    size_t want = larger(worth_reading(s), smaller(b->len, GROWTH_MAX));
    if (most == 0)
        return read_over(c, s);
    if (b->cap < b->len + 1 + smaller(FIRST / 2, most)) {
        int r = rip__buffer_reserve(b, smaller(want, most));
        if (r < 0)
            return r;
    }
    return read_behind(s, most);
}

/* Holds what had been read ahead to max_output. */
static int limit(rip_command *c, struct rip__stream *s)
{
    struct rip__buffer *b = &s->buffer;
    size_t tail = tail_of(c), max = c->max_output;
    if (max == 0 || b->len <= max)
        return 0;
    memmove(b->data + max - tail, b->data + b->len - tail, tail);
    b->len = max;
    c->truncated = true;
    return c->overflow == RIP_OVERFLOW_FAIL ? -EMSGSIZE : 0;
}

/* ---- told ------------------------------------------------------------- */

/* The next piece, at the front of the buffer; false: there is none yet. `end`:
 * nothing will follow what is there. */
static bool next_piece(const rip_command *c, struct rip__stream *s, bool end,
                       struct rip_piece *p)
{
    size_t have = s->buffer.len - s->start;
    size_t most = c->max_output > 0 ? c->max_output - s->told : SIZE_MAX;
    const char *newline = NULL;
    if (have == 0)
        return false;
    p->data = s->buffer.data + s->start;
    p->len = smaller(have, most);
    p->newline = false;
    if (!c->by_lines)
        return p->len > 0;
    size_t in_reach = smaller(p->len, LINE_MAX + 1);
    if (in_reach > s->searched)
        newline = memchr(p->data + s->searched, '\n', in_reach - s->searched);
    if (newline) {
        p->len = (size_t)(newline - p->data);
        p->newline = true;
        return true;
    }
    s->searched = in_reach;
    bool whole = end || have > most || have > LINE_MAX;
    p->len = smaller(p->len, LINE_MAX);
    return whole && p->len > 0;
}

/* Takes the piece out of the buffer, and tells it; its NUL is put there for
 * the time being. */
static int tell(rip_command *c, struct rip__stream *s, struct rip_piece *p)
{
    char *end = s->buffer.data + s->start + p->len;
    char behind = *end;
    size_t size = p->len + p->newline;
    s->start += size;
    s->told += size;
    s->searched = 0;
    p->which = s == &c->out[0] ? 1 : 2;
    p->at = s->at;
    *end = 0;
    int r = c->on_output(c->on_output_arg, p);
    *end = behind;
    if (r >= 0)
        return 0;
    c->refused = r;
    return RIP__REFUSED;
}

/* When there is more than may be told, nothing more will be told. */
static int drop_rest(rip_command *c, struct rip__stream *s)
{
    if (c->max_output == 0 || s->told < c->max_output ||
        s->start == s->buffer.len)
        return 0;
    s->start = s->buffer.len = 0;
    c->truncated = true;
    return c->overflow == RIP_OVERFLOW_FAIL ? -EMSGSIZE : 0;
}

/* Each call of on_output may take its time, so each is followed by a look at
 * the clock; but one is made in any case, so that a call with a deadline that
 * has passed gets on as well. */
static int tell_all(rip_command *c, struct rip__stream *s, bool end)
{
    struct rip_piece p;
    for (bool first = true; next_piece(c, s, end, &p); first = false) {
        if (!first && c->until != RIP_FOREVER && rip__os_clock() >= c->until)
            return -ETIMEDOUT;
        int r = tell(c, s, &p);
        if (r < 0)
            return r;
    }
    return drop_rest(c, s);
}

static ssize_t read_told(rip_command *c, struct rip__stream *s)
{
    settle(s);
    int r = rip__buffer_reserve(&s->buffer, worth_reading(s));
    ssize_t n = r < 0 ? r : read_behind(s, BLOCK);
    if (n < 0)
        return n;
    if (n > 0)
        s->at = rip__os_clock();
    r = tell_all(c, s, n == 0);
    return r < 0 ? r : n;
}

/* ---- for the pump ----------------------------------------------------- */

ssize_t rip__keep_read(rip_command *c, struct rip__stream *s)
{
    if (c->deaf)
        return drop(c, s);
    return c->on_output ? read_told(c, s) : read_kept(c, s);
}

int rip__keep_begin(rip_command *c)
{
    int r = 0;
    for (int i = 0; i < 2 && r == 0 && !c->deaf; i++) {
        struct rip__stream *s = &c->out[i];
        settle(s);
        if (!c->on_output) {
            r = limit(c, s);
            continue;
        }
        if (s->at == 0)
            s->at = rip__os_clock();
        r = tell_all(c, s, s->fd < 0);
    }
    return r;
}

void rip__keep_end(rip_command *c)
{
    for (int i = 0; i < 2; i++) {
        open_ring(c, &c->out[i]);
        if (!c->on_output) /* other bytes may stand there now */
            c->out[i].searched = 0;
    }
    rip__free(c->scratch);
    c->scratch = NULL;
    close_null(c);
}

int rip__keep_finish(rip_command *c)
{
    int r = 0;
    for (int i = 0; i < 2 && r == 0 && c->on_output; i++)
        r = tell_all(c, &c->out[i], true);
    return r;
}

/* ---- the result ------------------------------------------------------- */

/* Gives back what was only room to grow. */
static void shrink(struct rip__buffer *b)
{
    char *data = NULL;
    if (b->cap - b->len > 64)
        data = rip__seam.resize(b->data, b->len + 1);
    if (data) {
        b->data = data;
        b->cap = b->len + 1;
    }
}

/* The stream as a string of its own, that the caller frees: the buffer itself
 * with `give`, else a copy. Nothing where all has been told. */
static int result(const rip_command *c, struct rip__stream *s, bool give,
                  struct rip__buffer *ret)
{
    struct rip__buffer b = { 0 };
    size_t len = c->on_output ? 0 : s->buffer.len - s->start;
    if (give && s->buffer.data) {
        settle(s);
        b = s->buffer;
        b.len = len;
        shrink(&b);
        s->buffer = (struct rip__buffer){ 0 };
    } else {
        const char *data = len > 0 ? s->buffer.data + s->start : "";
        if (rip__buffer_append(&b, data, len) < 0)
            return -ENOMEM;
    }
    b.data[b.len] = 0;
    *ret = b;
    return 0;
}

/* Room for an empty result is made before anything is given away, so that a
 * failure loses nothing. */
int rip__keep_results(rip_command *c, bool give, struct rip_output *ret)
{
    struct rip__buffer out[2] = { { 0 } };
    for (int i = 0; i < 2; i++) {
        struct rip__buffer *own = &c->out[i].buffer;
        if (rip__buffer_reserve(own, 0) < 0)
            return -ENOMEM;
    }
    for (int i = 0; i < 2; i++) {
        if (result(c, &c->out[i], give, &out[i]) < 0) {
            rip__buffer_done(&out[0]);
            return -ENOMEM;
        }
    }
    ret->out = out[0].data;
    ret->out_len = out[0].len;
    ret->err = out[1].data;
    ret->err_len = out[1].len;
    ret->truncated = c->truncated;
    ret->pipe_held = c->pipe_held;
    return 0;
}
