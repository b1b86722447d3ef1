/* SPDX-License-Identifier: MIT */
/*
 * Four workers count in one place. In Python:
 *
 *     def count(lock, n):
 *         for _ in range(100000):
 *             with lock:
 *                 n.value += 1
 *
 * There threading.Lock and multiprocessing.Lock are two things, as are the
 * memory of threads and a multiprocessing.Value. Here they are one.
 */
#include <ripstop/ripstop.h>

#include "workers.h"

struct counter {
    rip_lock lock; /* free when zeroed, as rip_shared_alloc's memory is */
    long n;
};

static void count(void *shared, int number)
{
    struct counter *c = shared;
    (void)number;
    for (int i = 0; i < 100000; i++) {
        if (rip_lock_acquire(&c->lock, rip_after(10)) < 0)
            abort();
        c->n++;
        rip_lock_release(&c->lock);
    }
}

int main(int argc, char **argv)
{
    struct counter *c = rip_shared_alloc(NULL, sizeof *c);

    (void)argc;
    if (!run_workers(argv[1], 4, count, c))
        return 1;
    printf("%ld\n", c->n);
    return 0;
}
