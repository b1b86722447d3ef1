/* SPDX-License-Identifier: MIT */
/*
 * Two workers make numbers, two add them up, with room for eight in between.
 * In Python:
 *
 *     def put(x):
 *         with changed: # a Condition
 *             changed.wait_for(lambda: len(items) < 8)
 *             items.append(x)
 *             changed.notify_all()
 *
 *     def get():
 *         with changed:
 *             changed.wait_for(lambda: len(items) > 0)
 *             changed.notify_all()
 *             return items.pop(0)
 */
#include <ripstop/ripstop.h>

#include "workers.h"

enum { ROOM = 8, EACH = 2000 };

struct buffer {
    rip_lock lock;
    rip_cond changed;
    unsigned put, got; /* how many, ever */
    long items[ROOM];
    long sums[4];
};

static bool has_room(void *buffer)
{
    const struct buffer *b = buffer;
    return b->put - b->got < ROOM;
}

static bool has_items(void *buffer)
{
    const struct buffer *b = buffer;
    return b->put != b->got;
}

/* Locks the buffer, ready. If another worker is killed here there is nothing
 * to repair, since each change counts with its last store, to put or got. */
static void lock_when(struct buffer *b, bool (*ready)(void *))
{
    int r = rip_lock_acquire(&b->lock, rip_after(10));
    if (r < 0)
        abort();
    do
        r = rip_cond_wait_for(&b->changed, &b->lock, ready, b, rip_after(10));
    while (r == RIP_RECOVERED);
    if (r < 0)
        abort();
}

static void unlock_changed(struct buffer *b)
{
    rip_cond_notify_all(&b->changed);
    rip_lock_release(&b->lock);
}

static void put(struct buffer *b, long x)
{
    lock_when(b, has_room);
    b->items[b->put % ROOM] = x;
    b->put++;
    unlock_changed(b);
}

static long get(struct buffer *b)
{
    lock_when(b, has_items);
    long x = b->items[b->got % ROOM];
    b->got++;
    unlock_changed(b);
    return x;
}

static void work(void *shared, int number)
{
    struct buffer *b = shared;
    for (int i = 1; i <= EACH; i++)
        if (number % 2 == 0)
            put(b, i);
        else
            b->sums[number] += get(b);
}

int main(int argc, char **argv)
{
    struct buffer *b = rip_shared_alloc(NULL, sizeof *b);

    (void)argc;
    if (!run_workers(argv[1], 4, work, b))
        return 1;
    printf("%ld\n", b->sums[1] + b->sums[3]);
    return 0;
}
