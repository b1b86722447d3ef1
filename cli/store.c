/* SPDX-License-Identifier: MIT */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"

#define MEMORY_MAX ((size_t)16 << 20)
#define CHUNK_MAX  ((size_t)64 << 10)

/* Pieces of the file begin at multiples of this, the largest block that is
 * usual, so that the space of each can be given back on its own. */
#define ALIGN 4096

/* Space is given back whenever so much has been read. */
#define PUNCH_EVERY ((off_t)1 << 20)

struct chunk {
    struct chunk *next;
    uint64_t len, taken; /* bytes that came, and that were taken again */
    size_t cap;          /* in memory: how many have room; 0: on disk */
    off_t offset;        /* on disk: where it begins */
    off_t punched;       /*   and how much of it has been given back */
    char data[];
};

void store_init(struct store *s)
{
    *s = (struct store){ .fd = -1 };
}

void store_done(struct store *s)
{
    if (s->fd >= 0)
        close(s->fd);
    store_init(s);
}

const char *store_directory(void)
{
    const char *dir = getenv("TMPDIR");

    return dir && *dir ? dir : "/tmp";
}

static int open_named(const char *dir)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/ripstop-XXXXXX", dir);
    int fd;

    if (n < 0 || (size_t)n >= sizeof path)
        return -ENAMETOOLONG;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

static int open_file(struct store *s)
{
    const char *dir = store_directory();

    if (s->fd >= 0)
        return 0;
    s->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (s->fd < 0) /* not every file system has this */
        s->fd = open_named(dir);
    return s->fd < 0 ? s->fd : 0;
}

static struct chunk *add_chunk(struct spool *to, size_t cap)
{
    struct chunk *c = must_resize(NULL, sizeof *c + cap);

    *c = (struct chunk){ .cap = cap };
    if (to->last)
        to->last->next = c;
    else
        to->first = c;
    to->last = c;
    return c;
}

static void remove_first(struct store *s, struct spool *from)
{
    struct chunk *c = from->first;

    s->memory -= c->cap;
    from->first = c->next;
    if (!from->first)
        from->last = NULL;
    free(c);
}

/* Chunks grow with the spool: small output costs little, and much output few
 * chunks. */
static size_t next_capacity(const struct spool *to, size_t len)
{
    size_t cap = to->size < CHUNK_MAX ? (size_t)to->size : CHUNK_MAX;

    return cap > len ? cap : len;
}

static int append_on_disk(struct store *s, struct spool *to, const char *data,
                          size_t len)
{
    struct chunk *c = to->last;
    int r = open_file(s);

    if (r < 0)
        return r;
    if (!c || c->cap > 0 || c->offset + (off_t)c->len != s->end) {
        s->end = (s->end + ALIGN - 1) / ALIGN * ALIGN;
        c = add_chunk(to, 0);
        c->offset = s->end;
    }
    while (len > 0) {
        ssize_t n = pwrite(s->fd, data, len, s->end);

        if (n < 0)
            return -errno;
        c->len += (uint64_t)n;
        to->size += (uint64_t)n;
        s->on_disk += (uint64_t)n;
        s->end += n;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Appends in memory what does not exceed the limit: how much. */
static size_t append_in_memory(struct store *s, struct spool *to,
                               const char *data, size_t len, size_t limit)
{
    struct chunk *c = to->last;
    size_t done = 0;

    while (done < len) {
        size_t room = c && c->cap ? c->cap - (size_t)c->len : 0;

        if (room == 0) {
            room = next_capacity(to, len - done);
            if (s->memory + room > limit)
                break;
            c = add_chunk(to, room);
            s->memory += room;
        }
        if (room > len - done)
            room = len - done;
        memcpy(c->data + c->len, data + done, room);
        c->len += room;
        to->size += room;
        done += room;
    }
    return done;
}

int store_append(struct store *s, struct spool *to, const char *data,
                 size_t len)
{
    size_t done = append_in_memory(s, to, data, len, MEMORY_MAX);

    return done == len ? 0 : append_on_disk(s, to, data + done, len - done);
}

void store_append_short(struct store *s, struct spool *to, const char *text,
                        size_t len)
{
    append_in_memory(s, to, text, len, SIZE_MAX);
}

/* Gives the space of a part of the file back. Where the file system can not
 * do that the file only grows larger than it had to be. */
static void punch(struct store *s, struct chunk *c, bool whole)
{
    off_t upto = whole ? (off_t)c->len : (off_t)c->taken;

    upto = (whole ? upto + ALIGN - 1 : upto) / ALIGN * ALIGN;
    if (upto == c->punched)
        return;
    fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
              c->offset + c->punched, upto - c->punched);
    c->punched = upto;
}

static void forget_on_disk(struct store *s, uint64_t len)
{
    s->on_disk -= len;
    if (s->on_disk == 0 && ftruncate(s->fd, 0) == 0)
        s->end = 0;
}

static ssize_t take_from_disk(struct store *s, struct chunk *c, char *buf,
                              size_t len)
{
    ssize_t n = pread(s->fd, buf, len, c->offset + (off_t)c->taken);

    if (n <= 0)
        return n < 0 ? -errno : -EIO;
    c->taken += (uint64_t)n;
    if (c->taken == c->len)
        punch(s, c, true);
    else if ((off_t)c->taken - c->punched >= PUNCH_EVERY)
        punch(s, c, false);
    forget_on_disk(s, (uint64_t)n);
    return n;
}

ssize_t store_take(struct store *s, struct spool *from, char *buf, size_t cap)
{
    struct chunk *c = from->first;
    uint64_t left;
    ssize_t n;

    if (!c)
        return 0;
    left = c->len - c->taken;
    n = (ssize_t)(left < cap ? left : cap);
    if (c->cap > 0) {
        memcpy(buf, c->data + c->taken, (size_t)n);
        c->taken += (uint64_t)n;
    } else {
        n = take_from_disk(s, c, buf, (size_t)n);
        if (n < 0)
            return n;
    }
    from->size -= (uint64_t)n;
    if (c->taken == c->len)
        remove_first(s, from);
    return n;
}

void store_drop(struct store *s, struct spool *spool)
{
    while (spool->first) {
        struct chunk *c = spool->first;

        if (c->cap == 0) {
            punch(s, c, true);
            forget_on_disk(s, c->len - c->taken);
        }
        remove_first(s, spool);
    }
    spool->size = 0;
}
