/* SPDX-License-Identifier: MIT */
/*
 * A worker that goes on until it is asked to stop, and puts things in order
 * then. In Python:
 *
 *     stop = Event()
 *     def work():
 *         while not stop.wait(timeout=1):
 *             ... # a piece of the work
 *         ... # clean up
 *
 * Here every task has such an event, which is also a descriptor for poll(2).
 */
#include <poll.h>
#include <ripstop/task.h>
#include <stdio.h>
#include <string.h>

static int work(void *arg)
{
    struct pollfd stop = { .fd = rip_task_stop_fd(), .events = POLLIN };
    (void)arg;
    while (!rip_task_stopping())
        poll(&stop, 1, 1000); /* or a piece of the work */
    printf("%s: asked to stop\n", rip_task_name(NULL));
    return 0;
}

int main(int argc, char **argv)
{
    bool process = argc > 1 && strcmp(argv[1], "processes") == 0;
    struct rip_task_options options = { .kind =
                                            process ? RIP_PROCESS : RIP_THREAD,
                                        .name = "worker" };
    struct rip_exit end;
    rip_task *t;

    if (rip_task_start(&t, work, NULL, &options) < 0)
        return 1;
    rip_task_stop(t);
    if (rip_task_join(t, &end, rip_after(10)) == 0)
        printf("it has ended with %d\n", end.code);
    rip_task_free(t);
    return 0;
}
