/* SPDX-License-Identifier: MIT */
/*
 * One worker prepares something, the others wait for it. In Python:
 *
 *     if number == 0:
 *         answer.value = 42
 *         ready.set() # an Event
 *     elif ready.wait(timeout=10):
 *         seen[number] = answer.value
 */
#include <ripstop/ripstop.h>

#include "workers.h"

enum { WORKERS = 4 };

struct question {
    rip_event ready; /* clear when zeroed */
    int answer;
    int seen[WORKERS];
};

static void ask(void *shared, int number)
{
    struct question *q = shared;
    if (number == 0) {
        q->answer = 42;
        rip_event_set(&q->ready);
    } else if (rip_event_wait(&q->ready, rip_after(10)) == 0) {
        q->seen[number] = q->answer;
    }
}

int main(int argc, char **argv)
{
    struct question *q = rip_shared_alloc(NULL, sizeof *q);

    (void)argc;
    if (q && rip_event_wait(&q->ready, RIP_NOW) == -ETIMEDOUT)
        printf("not yet\n");
    fflush(stdout); /* a process that is forked would have it, too */
    if (!run_workers(argv[1], WORKERS, ask, q))
        return 1;
    for (int i = 1; i < WORKERS; i++)
        printf("worker %d has seen %d\n", i, q->seen[i]);
    return 0;
}
