/* SPDX-License-Identifier: MIT */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ripstop/base.h>

#include "memory.h"
#include "text.h"

#define BLOCK 65536u

/* The kernel takes no argument above 128 KiB, so whoever gets here has
 * forgotten what ends his inputs; an endless one would eat all memory. */
#define ITEM_MAX ((size_t)64 << 20)

struct input {
    enum source source;
    const char *const *names; /* the inputs, or the files */
    size_t name_count;
    size_t next_name;
    char delimiter;
    uint64_t taken; /* inputs given out */
    bool ended;

    /* The file that is being read. */
    const char *name;
    int fd;       /* -1: none */
    bool regular; /* never makes us wait, and no use to poll */
    bool at_end;

    /* data[start] to data[end] are read and not given out, and hold no
     * delimiter before data[scanned]. */
    char *data;
    size_t cap, start, scanned, end;

    /* For judging how many inputs will come. */
    bool sized;
    uint64_t bytes_expected, bytes_taken;

    char error[512];
};

static const char *const stdin_alone[] = { "-" };

static bool is_stdin(const char *name)
{
    return !strcmp(name, "-");
}

static const char *called(const char *name)
{
    return is_stdin(name) ? "standard input" : shown(name);
}

/* How many bytes are left to read in a regular file. */
static uint64_t bytes_left(int fd, const struct stat *st)
{
    off_t at = fd < 0 ? 0 : lseek(fd, 0, SEEK_CUR);

    return at < 0 || at > st->st_size ? 0 : (uint64_t)(st->st_size - at);
}

static int check_file(struct input *in, const char *name)
{
    bool from_stdin = is_stdin(name);
    struct stat st;

    if ((from_stdin ? fstat(STDIN_FILENO, &st) : stat(name, &st)) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!from_stdin && faccessat(AT_FDCWD, name, R_OK, AT_EACCESS) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        in->sized = false;
    else
        in->bytes_expected += bytes_left(from_stdin ? STDIN_FILENO : -1, &st);
    return 0;
}

static bool check_files(struct input *in)
{
    in->sized = true;
    for (size_t i = 0; i < in->name_count; i++) {
        int r = check_file(in, in->names[i]);

        if (r < 0) {
            complain("cannot read %s: %s", called(in->names[i]),
                     rip_strerror(r));
            return false;
        }
    }
    return true;
}

struct input *input_open(const struct run_options *o)
{
    struct input *in = must_alloc(sizeof *in);

    in->source = o->source;
    in->names = o->inputs;
    in->name_count = o->input_count;
    in->delimiter = o->delimiter;
    in->fd = -1;
    if (o->source == SOURCE_STDIN) {
        in->names = stdin_alone;
        in->name_count = 1;
        if (isatty(STDIN_FILENO))
            complain("reading inputs from the terminal, one a line; Ctrl-D "
                     "ends them");
    }
    if (o->source == SOURCE_WORDS || check_files(in))
        return in;
    return input_free(in);
}

static void close_file(struct input *in)
{
    if (in->fd > STDIN_FILENO)
        close(in->fd);
    in->fd = -1;
}

struct input *input_free(struct input *in)
{
    if (!in)
        return NULL;
    close_file(in);
    free(in->data);
    free(in);
    return NULL;
}

/* Opens the file whose turn it is. A FIFO that nobody writes to yet must not
 * hold us up, so it is opened without waiting; poll(2) tells when there is
 * more. Standard input is shared with others and stays as it is. */
static int open_file(struct input *in)
{
    struct stat st;

    in->name = in->names[in->next_name++];
    in->at_end = false;
    in->fd = STDIN_FILENO;
    if (!is_stdin(in->name))
        in->fd = open(in->name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (in->fd < 0 || fstat(in->fd, &st) < 0)
        return -errno;
    in->regular = S_ISREG(st.st_mode);
    return 0;
}

static bool readable_now(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) != 0;
}

static void make_room(struct input *in)
{
    if (in->start > 0) {
        memmove(in->data, in->data + in->start, in->end - in->start);
        in->end -= in->start;
        in->scanned -= in->start;
        in->start = 0;
    }
    if (in->cap - in->end < BLOCK) {
        in->cap = in->cap ? 2 * in->cap : 2 * (size_t)BLOCK;
        in->data = must_resize(in->data, in->cap);
    }
}

/* Reads a block more: 1, 0 when there is nothing yet, or an error. */
static int read_block(struct input *in)
{
    ssize_t n;

    make_room(in);
    if (!in->regular && !readable_now(in->fd))
        return 0;
    n = read(in->fd, in->data + in->end, BLOCK);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    in->end += (size_t)n;
    in->at_end = n == 0;
    return 1;
}

static enum input_result fail(struct input *in, const char *why)
{
    snprintf(in->error, sizeof in->error, "cannot read %s: %s",
             called(in->name), why);
    return INPUT_FAILED;
}

/* Gives out data[start] to `stop`, and passes over the delimiter. */
static enum input_result give(struct input *in, size_t stop, struct item *ret)
{
    const char *text = in->data + in->start;
    size_t len = stop - in->start;

    in->taken++;
    if (in->delimiter != '\0' && memchr(text, '\0', len)) {
        snprintf(in->error, sizeof in->error,
                 "input %llu (in %s) holds a NUL byte; give -0 if NUL ends "
                 "each input",
                 (unsigned long long)in->taken, called(in->name));
        return INPUT_FAILED;
    }
    ret->number = in->taken;
    ret->text = must_copy(text, len);
    ret->len = len;
    in->bytes_taken += len + 1;
    in->start = in->scanned = stop < in->end ? stop + 1 : stop;
    return INPUT_ITEM;
}

static enum input_result next_in_file(struct input *in, struct item *ret)
{
    for (;;) {
        size_t unscanned = in->end - in->scanned;
        char *found = NULL;
        int r;

        if (unscanned > 0)
            found = memchr(in->data + in->scanned, in->delimiter, unscanned);
        if (found)
            return give(in, (size_t)(found - in->data), ret);
        in->scanned = in->end;
        if (in->at_end)
            return in->start < in->end ? give(in, in->end, ret) : INPUT_END;
        if (in->end - in->start > ITEM_MAX)
            return fail(in, "an input is longer than 64 MiB");
        r = read_block(in);
        if (r < 0)
            return fail(in, rip_strerror(r));
        if (r == 0)
            return INPUT_WAIT;
    }
}

static enum input_result next_word(struct input *in, struct item *ret)
{
    const char *word;

    if (in->taken == in->name_count)
        return INPUT_END;
    word = in->names[in->taken++];
    ret->number = in->taken;
    ret->len = strlen(word);
    ret->text = must_copy(word, ret->len);
    return INPUT_ITEM;
}

enum input_result input_next(struct input *in, struct item *ret)
{
    if (in->source == SOURCE_WORDS)
        return next_word(in, ret);
    for (;;) {
        enum input_result result;

        if (in->fd < 0) {
            int r;

            if (in->next_name == in->name_count) {
                in->ended = true;
                return INPUT_END;
            }
            r = open_file(in);
            if (r < 0)
                return fail(in, rip_strerror(r));
        }
        result = next_in_file(in, ret);
        if (result != INPUT_END)
            return result;
        close_file(in);
    }
}

int input_fd(const struct input *in)
{
    return in->fd;
}

const char *input_error(const struct input *in)
{
    return in->error;
}

uint64_t input_expected(const struct input *in)
{
    double per_input;

    if (in->source == SOURCE_WORDS)
        return in->name_count;
    if (in->ended)
        return in->taken;
    if (!in->sized || in->bytes_taken == 0)
        return 0;
    per_input = (double)in->bytes_taken / (double)in->taken;
    return in->taken +
           (in->bytes_expected > in->bytes_taken
                ? (uint64_t)((double)(in->bytes_expected - in->bytes_taken) /
                                 per_input +
                             0.5)
                : 0);
}
