/* SPDX-License-Identifier: MIT */
/*
 * Money goes round between accounts. In Python:
 *
 *     def add(account, sum):
 *         with lock:
 *             account.balance += sum
 *
 *     def move(a, b, sum):
 *         with lock: # an RLock: add takes it again
 *             add(a, -sum)
 *             add(b, sum)
 */
#include <ripstop/ripstop.h>

#include "workers.h"

enum { ACCOUNTS = 4 };

struct bank {
    rip_rlock lock;
    long balance[ACCOUNTS];
};

static void lock(struct bank *b)
{
    if (rip_rlock_acquire(&b->lock, rip_after(10)) < 0)
        abort();
}

static void add(struct bank *b, int account, long sum)
{
    lock(b);
    b->balance[account] += sum;
    rip_rlock_release(&b->lock);
}

static void move(struct bank *b, int from, int to, long sum)
{
    lock(b);
    add(b, from, -sum);
    add(b, to, sum);
    rip_rlock_release(&b->lock); /* only now is it free */
}

static void move_much(void *shared, int number)
{
    for (int i = 0; i < 10000; i++)
        move(shared, number, (number + 1) % ACCOUNTS, number + 1);
}

int main(int argc, char **argv)
{
    struct bank *b = rip_shared_alloc(NULL, sizeof *b);

    (void)argc;
    if (!run_workers(argv[1], ACCOUNTS, move_much, b))
        return 1;
    for (int i = 0; i < ACCOUNTS; i++)
        printf("account %d: %ld\n", i, b->balance[i]);
    return 0;
}
