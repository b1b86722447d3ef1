/* SPDX-License-Identifier: MIT */
#ifndef RIP_BASE_BASE_H
#define RIP_BASE_BASE_H

/*
 * What every module uses: memory, sizes that cannot overflow, growing
 * buffers, and text into a buffer that may be too short.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <ripstop/base.h>
#include <ripstop/exit.h>

#define RIP__LENGTH(array) (sizeof(array) / sizeof *(array))

/* ---- sizes ------------------------------------------------------------ */

/* *ret = a + b, or a * b: false, with *ret untouched, if that overflows. */
static inline bool rip__add(size_t a, size_t b, size_t *ret)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *ret = sum;
    return true;
}

static inline bool rip__multiply(size_t a, size_t b, size_t *ret)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *ret = product;
    return true;
}

/* ---- memory: as malloc(3) and its kin, through the seam --------------- */

void *rip__alloc(size_t size); /* zeroed; NULL when there is none */
void *rip__alloc_array(size_t n, size_t size);
char *rip__strdup(const char *s);
void rip__free(void *p);

/* What is a process's own: zeroed when it is first asked for, the same for all
 * threads, and zero again in a child of fork(2), whatever another thread had
 * done with it just then. It stays for good. NULL when there is no memory. */
void *rip__process_state(void **at, size_t size);

/* ---- buffer ----------------------------------------------------------- */

/* Bytes that grow at their end; valid when zeroed. `len` of `cap` bytes are
 * in use; there is always room for a NUL behind them once it has data. */
struct rip__buffer {
    char *data;
    size_t len, cap;
};

/* Room for `more` bytes behind what is there, and a NUL: 0 or -ENOMEM. */
int rip__buffer_reserve(struct rip__buffer *b, size_t more);
int rip__buffer_append(struct rip__buffer *b, const void *data, size_t len);
void rip__buffer_done(struct rip__buffer *b);

/* ---- time ------------------------------------------------------------- */

static inline rip_time rip__sooner(rip_time a, rip_time b)
{
    return a < b ? a : b;
}

/* The time `ns`, at least 0, from now: a point in time, and so never RIP_NOW,
 * which stands for more than that. */
rip_time rip__later(rip_time ns);

/* The `grace` of an option, in nanoseconds. */
rip_time rip__grace(double seconds);

/* ---- ends ------------------------------------------------------------- */

/* Notes a status as of waitpid(2); not `known`: RIP_UNKNOWN. */
void rip__exit_note(struct rip_exit *ret, bool known, int wait_status);

/* ---- CPUs ------------------------------------------------------------- */

/* A bit for each of `cpus`, as sched_setaffinity(2) wants it, to be freed, of
 * *size bytes: 0, -EINVAL, -ENOMEM. No CPUs: NULL and 0. */
int rip__cpu_mask(uint64_t **ret, size_t *size, const unsigned *cpus, size_t n);

/* ---- text ------------------------------------------------------------- */

/* Text that is cut where its buffer ends, while `len` goes on to count: what
 * snprintf(3) does, in several calls. Start with { buf, cap, 0 }. */
struct rip__text {
    char *buf;
    size_t cap, len;
};

void rip__text_add(struct rip__text *t, const char *s);
void rip__text_add_char(struct rip__text *t, char c);
void rip__text_add_int(struct rip__text *t, long long i);

/* Control characters and DEL as \n or \x1b, so that no name can speak to a
 * terminal. */
void rip__text_add_escaped(struct rip__text *t, const char *s);

/* Closes the text with a NUL, and gives its whole length. */
int rip__text_end(struct rip__text *t);

#endif
