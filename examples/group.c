/* SPDX-License-Identifier: MIT */
/*
 * Three tasks that belong together: when one fails the others are stopped. In
 * Python:
 *
 *     async with asyncio.TaskGroup() as group:
 *         for number in range(3):
 *             group.create_task(work(number))
 *
 * But these are threads or processes.
 */
#include <poll.h>
#include <ripstop/group.h>
#include <stdio.h>
#include <string.h>

/* The second one fails; the others have much to do. */
static int work(void *arg)
{
    const int *number = arg;
    if (*number == 1)
        return 5;
    while (!rip_task_stopping())
        poll(NULL, 0, 1); /* a piece of the work */
    return -ECANCELED;
}

int main(int argc, char **argv)
{
    bool process = argc > 1 && strcmp(argv[1], "processes") == 0;
    struct rip_task_options options = { .kind =
                                            process ? RIP_PROCESS : RIP_THREAD,
                                        .arg_size = sizeof(int) };
    struct rip_exit worst = { .code = 0 };
    rip_group *g;

    int r = rip_group_new(&g, NULL);
    if (r < 0)
        return 1;
    for (int i = 0; r == 0 && i < 3; i++)
        r = rip_group_start(g, work, &i, &options);
    if (r == 0 || r == -ECANCELED) /* one has failed already */
        r = rip_group_wait(g, &worst, rip_after(10));
    if (r > 0)
        printf("%d failed: with %d\n", r, worst.code);
    rip_group_free(g); /* whatever happened, none is left */
    return 0;
}
