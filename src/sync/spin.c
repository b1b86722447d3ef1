/* SPDX-License-Identifier: MIT */
#include "os/os.h"
#include "sync/sync.h"

/* With those before, a microsecond or two: what a short hold takes, and less
 * than a sleep costs. */
enum { SPINS = 32 };

unsigned rip__spins(void)
{
    static unsigned cpus; /* asked once: 0 is not yet */
    unsigned n = rip__load_relaxed(&cpus);
    if (n == 0) {
        n = rip__os_affinity_count();
        rip__store_relaxed(&cpus, n);
    }
    return n > 1 ? SPINS : 0;
}
