/* SPDX-License-Identifier: MIT */
/*
 * A class of one's own that is a thread. In Python:
 *
 *     class Summer(Thread): # or Process
 *         def __init__(self, numbers): ...
 *         def run(self):
 *             self.sum = sum(self.numbers)
 *
 *     s = Summer([1, 2, 3, 4])
 *     s.start()
 *     s.join()
 *     print(s.sum)
 *
 * Here it is a struct that has its data and its task in it. The function that
 * runs gets the struct, so its fields are what `self` has. As a process it runs
 * on the same memory if the struct is in shared memory.
 */
#include <ripstop/segment.h>
#include <ripstop/task.h>
#include <stdio.h>
#include <string.h>

struct summer {
    rip_task *task;
    int numbers[4];
    int sum;
};

static int run(void *arg)
{
    struct summer *self = arg;
    for (int i = 0; i < 4; i++)
        self->sum += self->numbers[i];
    return 0;
}

static int start(struct summer *s, enum rip_kind kind)
{
    const struct rip_task_options options = { .kind = kind, .name = "summer" };
    return rip_task_start(&s->task, run, s, &options);
}

int main(int argc, char **argv)
{
    bool process = argc > 1 && strcmp(argv[1], "processes") == 0;
    struct summer *s = rip_shared_alloc(NULL, sizeof *s);

    if (!s)
        return 1;
    *s = (struct summer){ .numbers = { 1, 2, 3, 4 } };
    if (start(s, process ? RIP_PROCESS : RIP_THREAD) < 0)
        return 1;
    if (rip_task_join(s->task, NULL, rip_after(10)) == 0)
        printf("%d\n", s->sum);
    rip_task_free(s->task);
    rip_shared_free(NULL, s);
    return 0;
}
