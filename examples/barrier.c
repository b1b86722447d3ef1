/* SPDX-License-Identifier: MIT */
/*
 * Eight workers make running sums of eight numbers, in three steps. In Python:
 *
 *     def add_up(me):
 *         for d in 1, 2, 4:
 *             left = x[me - d] if me >= d else 0
 *             barrier.wait(timeout=10) # all have read
 *             x[me] += left
 *             barrier.wait(timeout=10) # all have written
 *
 * But when a worker is killed the others hear of it at once (-EPIPE), and not
 * when their time is over.
 */
#include <ripstop/ripstop.h>

#include "workers.h"

enum { WORKERS = 8 };

struct sums {
    rip_barrier barrier;
    long x[WORKERS];
};

static void meet(struct sums *s)
{
    if (rip_barrier_wait(&s->barrier, rip_after(10)) < 0)
        abort();
}

static void add_up(void *shared, int me)
{
    struct sums *s = shared;
    for (int d = 1; d < WORKERS; d *= 2) {
        long left = me >= d ? s->x[me - d] : 0;
        meet(s); /* all have read */
        s->x[me] += left;
        meet(s); /* all have written */
    }
}

int main(int argc, char **argv)
{
    struct sums *s = rip_shared_alloc(NULL, sizeof *s);

    (void)argc;
    if (!s)
        return 1;
    rip_barrier_init(&s->barrier, WORKERS);
    for (int i = 0; i < WORKERS; i++)
        s->x[i] = i + 1;
    if (!run_workers(argv[1], WORKERS, add_up, s))
        return 1;
    for (int i = 0; i < WORKERS; i++)
        printf("%ld%c", s->x[i], i < WORKERS - 1 ? ' ' : '\n');
    return 0;
}
