/* SPDX-License-Identifier: MIT */
#ifndef RIP_BASE_HELPER_H
#define RIP_BASE_HELPER_H

/*
 * The helper, a thread of the process that sleeps on words for those who sleep
 * in poll(2): nobody can do both at once. There is none until the first post.
 * It stands in base since whatever has words to wait for may have need of it.
 */

#include <stdbool.h>
#include <stddef.h>

#include "os/os.h"

/*
 * Words to be watched. A change of one is told once, by writing to `fd`, an
 * eventfd; then the post is done with. Who changes such a word has to wake all
 * that sleep on it, as the helper is one of these.
 */
struct rip__post {
    const struct rip__os_futex *words;
    size_t n;
    int fd;
    rip_time by; /* it is told at that time at the latest; RIP_FOREVER */
    struct rip__post *next; /* helper.c's */
};

/* From here until it is withdrawn the post, its words and its descriptor stay
 * where they are. False: there can be no helper, and nothing was posted. */
bool rip__post(struct rip__post *p);

/* On return nobody looks at it, or sleeps on its words, any more. */
void rip__withdraw(struct rip__post *p);

#endif
