/* SPDX-License-Identifier: MIT */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

/* The progress bar: one line on the terminal that stderr is. */

#include <stdbool.h>
#include <stdint.h>

#include <ripstop/base.h>

struct progress {
    bool enabled;
    bool visible; /* it stands on the terminal now */
    rip_time started;
    rip_time next; /* when it is to be drawn again */

    uint64_t done, failed;
    uint64_t expected; /* how many jobs there will be; 0: unknown */
};

void progress_init(struct progress *p, bool wanted);

/* Whether its time to be drawn has come. */
bool progress_is_due(const struct progress *p, rip_time now);

void progress_draw(struct progress *p, rip_time now);

/* Takes it off the terminal, so that something else can be written. */
void progress_clear(struct progress *p);

/* Takes it off for good. */
void progress_end(struct progress *p);

#endif
