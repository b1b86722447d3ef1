/* SPDX-License-Identifier: MIT */
/*
 * A child that goes on from here, and its exit status. In Python:
 *
 *     pid = os.fork()
 *     if pid == 0:
 *         os._exit(3)
 *     pid, status = os.wait()
 *     print(os.WEXITSTATUS(status))
 *
 * But the child dies with its parent, and the wait has a deadline.
 */
#include <ripstop/task.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    rip_task *child;
    struct rip_exit end;
    pid_t pid = rip_fork(&child);

    if (pid == 0)
        _exit(3);
    if (pid < 0 || rip_task_join(child, &end, rip_after(10)) < 0)
        return 1;
    printf("the child exited with %d\n", end.code);
    rip_task_free(child);
    return 0;
}
