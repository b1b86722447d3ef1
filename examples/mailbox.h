/* SPDX-License-Identifier: MIT */
/*
 * What send.c and receive.c have in common: a name, and the form of what they
 * share. Whoever comes first makes it, zeroed; when both are gone it is gone.
 */
#ifndef MAILBOX_H
#define MAILBOX_H

#include <ripstop/ripstop.h>
#include <stdio.h>

struct mailbox {
    rip_lock lock;
    rip_cond changed;
    bool full;
    char text[200];
};

/* The mailbox of that name, locked and ready. Nothing needs repair: a text
 * counts when `full` says so. */
static int open_mailbox(struct mailbox **ret, const char *name,
                        bool (*ready)(void *), rip_time deadline)
{
    rip_segment *s;
    void *p;
    int r = rip_segment_open(&s, name, NULL);
    if (r >= 0)
        r = rip_segment_get(&p, s, "mailbox", sizeof **ret);
    if (r >= 0) {
        *ret = p;
        r = rip_lock_acquire(&(*ret)->lock, deadline);
    }
    if (r >= 0)
        do
            r = rip_cond_wait_for(&(*ret)->changed, &(*ret)->lock, ready, *ret,
                                  deadline);
        while (r == RIP_RECOVERED);
    if (r < 0)
        fprintf(stderr, "mailbox %s: %s\n", name, rip_strerror(r));
    return r;
}

#endif
