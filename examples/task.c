/* SPDX-License-Identifier: MIT */
/*
 * A function with arguments, in a thread or in a process. In Python:
 *
 *     p = Process(target=work, args=(6, 7), name="multiplier")
 *     p.start() # Thread(...): the same
 *     p.join(timeout=10)
 *     print(p.name, p.exitcode)
 *
 * But a thread has a code too, and it is the whole int that work returns. With
 * .daemon = true rip_task_join_all does not wait for it.
 */
#include <ripstop/task.h>
#include <stdio.h>
#include <string.h>

struct numbers {
    int a, b;
};

static int work(void *arg)
{
    const struct numbers *n = arg;
    printf("%s at work\n", rip_task_name(NULL));
    return n->a * n->b * 100;
}

int main(int argc, char **argv)
{
    bool process = argc > 1 && strcmp(argv[1], "processes") == 0;
    struct numbers n = { 6, 7 };
    struct rip_task_options options = {
        .kind = process ? RIP_PROCESS : RIP_THREAD,
        .name = "multiplier",
        .arg_size = sizeof n, /* the task gets a copy */
    };
    struct rip_exit end;
    rip_task *t;

    int r = rip_task_start(&t, work, &n, &options);
    if (r < 0) {
        fprintf(stderr, "start: %s\n", rip_strerror(r));
        return 1;
    }
    if (rip_task_join(t, &end, rip_after(10)) == 0)
        printf("%s: %d\n", rip_task_name(t), end.code);
    rip_task_free(t);
    return 0;
}
