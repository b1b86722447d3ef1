/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/os.h"

/*
 * Which allocations the library holds, and who made them. A table beside the
 * blocks, not a header in front of them, so that what the library hands out
 * can be freed with free(3), and a sanitizer sees the blocks as they are.
 */
#define DEPTH 12

struct block {
    void *p;
    size_t size;
    unsigned long serial;
    size_t depth;
    void *caller[DEPTH];
};

static struct block *blocks;
static size_t n_blocks, cap_blocks;
static unsigned long serial;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Newest first: most blocks live shortly. */
static struct block *find(const void *p)
{
    for (size_t i = n_blocks; i > 0; i--)
        if (blocks[i - 1].p == p)
            return &blocks[i - 1];
    return NULL;
}

static void forget(const void *p)
{
    struct block *b = find(p);

    if (b != NULL)
        *b = blocks[--n_blocks];
}

static void remember(void *p, size_t size)
{
    struct block *b;

    if (n_blocks == cap_blocks) {
        cap_blocks = cap_blocks > 0 ? 2 * cap_blocks : 64;
        blocks = realloc(blocks, cap_blocks * sizeof *blocks);
        if (blocks == NULL)
            abort();
    }
    b = &blocks[n_blocks++];
    *b = (struct block){ .p = p, .size = size, .serial = ++serial };
    b->depth = harness_backtrace(b->caller, DEPTH);
}

/* The lock is held over the call, or another thread could be given the
 * address that has just been freed before it is forgotten. */
static void *counting_resize(void *p, size_t size)
{
    void *q;

    pthread_mutex_lock(&mutex);
    q = rip__seam_real.resize(p, size);
    if (q != NULL || size == 0) {
        if (p != NULL)
            forget(p);
        if (q != NULL)
            remember(q, size);
    }
    pthread_mutex_unlock(&mutex);
    return q;
}

static void counting_release(void *p)
{
    pthread_mutex_lock(&mutex);
    if (p != NULL)
        forget(p);
    rip__seam_real.release(p);
    pthread_mutex_unlock(&mutex);
}

void *harness_take(void *p)
{
    pthread_mutex_lock(&mutex);
    forget(p);
    pthread_mutex_unlock(&mutex);
    return p;
}

static void lock(void)
{
    pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

void harness_seam_install(void)
{
    /* As malloc does: a child that is forked by one thread while another is
     * in here can go on. */
    pthread_atfork(lock, unlock, unlock);
    rip__seam.resize = counting_resize;
    rip__seam.release = counting_release;
}

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* From the one who asked for memory up to the test's function; the frames of
 * the harness below and above are of no interest. */
static void callers(const struct block *b, char *buf, size_t cap)
{
    size_t len = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < b->depth && len < cap; i++) {
        char name[128];

        harness_symbol(b->caller[i], name, sizeof name);
        if (begins(name, "run_and_check+"))
            break;
        if (!begins(name, "harness_backtrace+") && !begins(name, "remember+") &&
            !begins(name, "counting_resize+"))
            len += (size_t)snprintf(buf + len, cap - len, "%s%s",
                                    len > 0 ? " < " : "", name);
    }
}

void harness_seam_list(struct harness_set *set)
{
    char by[800];

    for (size_t i = 0; i < n_blocks; i++) {
        callers(&blocks[i], by, sizeof by);
        harness_set_add(set, "%zu bytes (allocation %lu) by %s", blocks[i].size,
                        blocks[i].serial, by);
    }
}
