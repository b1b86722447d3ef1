/* SPDX-License-Identifier: MIT */
/*
 * Semaphores of both kinds. In Python:
 *
 *     seats = BoundedSemaphore(2)
 *     done = Semaphore(0)
 *
 *     def work():
 *         with seats:
 *             ... # in here there are never more than two
 *         done.release()
 *
 *     for _ in range(4):
 *         done.acquire(timeout=10)
 *     seats.release() # ValueError: Semaphore released too many times
 *
 * But seats whose process was killed are free again.
 */
#include <ripstop/ripstop.h>

#include <sched.h>

#include "workers.h"

enum { WORKERS = 4, SEATS = 2 };

struct room {
    rip_sem seats, done;
    rip_lock lock;
    int inside, most;
};

static void count(struct room *room, int change)
{
    if (rip_lock_acquire(&room->lock, rip_after(10)) < 0)
        abort();
    room->inside += change;
    if (room->inside > room->most)
        room->most = room->inside;
    rip_lock_release(&room->lock);
}

static void work(void *shared, int number)
{
    struct room *room = shared;
    (void)number;
    for (int i = 0; i < 1000; i++) {
        if (rip_sem_acquire(&room->seats, rip_after(10)) < 0)
            abort();
        count(room, +1);
        sched_yield();
        count(room, -1);
        rip_sem_release(&room->seats, 1);
    }
    rip_sem_release(&room->done, 1);
}

int main(int argc, char **argv)
{
    struct room *room = rip_shared_alloc(NULL, sizeof *room);

    (void)argc;
    if (!room)
        return 1;
    rip_sem_init(&room->seats, SEATS, SEATS); /* permits: bounded */
    rip_sem_init(&room->done, 0, 0);          /* a count: not bounded */
    if (!run_workers(argv[1], WORKERS, work, room))
        return 1;
    for (int i = 0; i < WORKERS; i++)
        if (rip_sem_acquire(&room->done, rip_after(10)) < 0)
            return 1;
    printf("all are done, and %s\n",
           room->most <= SEATS ? "never were more than two inside" : "oops");
    if (rip_sem_release(&room->seats, 1) == -EOVERFLOW)
        printf("released too many times\n");
    return 0;
}
