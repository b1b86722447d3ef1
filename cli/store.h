/* SPDX-License-Identifier: MIT */
#ifndef CLI_STORE_H
#define CLI_STORE_H

/*
 * Where the output of jobs waits to be printed: in memory as long as all of
 * it together stays within a limit, beyond that in one temporary file without
 * a name, so that nothing is left behind however we end.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct chunk;

/* The output of one stream of one job. Zeroed: empty. */
struct spool {
    struct chunk *first, *last;
    uint64_t size;
};

struct store {
    size_t memory;    /* bytes held in memory */
    uint64_t on_disk; /* bytes in the file that are still needed */
    int fd;           /* the file; -1: not needed so far */
    off_t end;        /* of the file */
};

void store_init(struct store *s);
void store_done(struct store *s);

/* Appends to a spool: 0, or why the file can not be made or written. */
int store_append(struct store *s, struct spool *to, const char *data,
                 size_t len);

/* The same without a limit, for what is short and has to be said even where
 * there is no place left on disk. */
void store_append_short(struct store *s, struct spool *to, const char *text,
                        size_t len);

/* Takes up to `cap` bytes from the front; 0: it is empty. */
ssize_t store_take(struct store *s, struct spool *from, char *buf, size_t cap);

void store_drop(struct store *s, struct spool *spool);

/* The directory that the temporary file is in. */
const char *store_directory(void);

#endif
