/* SPDX-License-Identifier: MIT */
/*
 * Two pictures are measured, each in a process of its own. One is broken, and
 * crashes whoever looks at it: that costs its own task, which says where.
 */
#include <ripstop/ripstop.h>
#include <stdio.h>

struct picture {
    const char *name;
    const int *width; /* NULL in a broken one */
};

static int measure(void *arg)
{
    const struct picture *p = arg;
    return *p->width < 1000 ? 0 : 1;
}

static int inspect(const struct picture *p)
{
    const struct rip_task_options o = { .kind = RIP_PROCESS, .name = p->name };
    struct picture copy = *p;
    struct rip_exit end;
    char text[2048];
    rip_task *t;

    int r = rip_task_start(&t, measure, &copy, &o);
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", p->name, rip_strerror(r));
        return 1;
    }
    r = rip_task_join(t, &end, rip_after(10));
    if (r == 0 && end.how == RIP_EXITED)
        printf("%s: well\n", p->name);
    else if (r == 0 && rip_task_report(t, text, sizeof text) > 0)
        printf("%s", text);
    rip_task_free(t);
    return r < 0;
}

int main(void)
{
    static const int wide = 640;
    static const struct picture pictures[] = { { "cat.png", &wide },
                                               { "broken.png", NULL },
                                               { "dog.png", &wide } };
    int failed = 0;
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++)
        failed |= inspect(&pictures[i]);
    return failed;
}
