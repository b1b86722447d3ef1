/* SPDX-License-Identifier: MIT */
#include <ripstop/task.h>

#include <errno.h>
#include <string.h>

#include "fault.h"
#include "harness.h"
#include "task/tasks.h"

/* Every call that can fail fails once: a start says so, and leaves nothing;
 * what has been started ends, and its end is told. */

static int work(void *arg)
{
    int r = rip_task_return(arg, 4);
    return r < 0 ? r : 700;
}

static bool is_clean(int r)
{
    return r == 0 || r == -ENOMEM || r == -EAGAIN || r == -EMFILE ||
           r == -ENFILE || r == -ENOSYS || r == -EINVAL || r == -EPERM ||
           r == -EACCES || r == -EIO;
}

static void let_it_end(rip_task *t)
{
    struct rip_exit e;
    const void *data;
    size_t len;
    int r = rip_task_join(t, &e, rip_after(20));
    CHECK(is_clean(r));
    if (r == 0 && e.how != RIP_UNKNOWN) {
        CHECK_INT(e.how, ==, RIP_EXITED);
        CHECK_INT(e.code, ==, 700);
        CHECK_OK(rip_task_result(t, &data, &len));
        CHECK_MEM(data, len, "word", 4);
    }
    rip_task_free(t);
}

static void start_and_join(void *ctx)
{
    rip_task *t = (rip_task *)ctx;
    const unsigned cpus[] = { 0 };
    char word[] = "word";
    struct rip_task_options o = *(const struct rip_task_options *)ctx;
    o.arg_size = sizeof word;
    o.name = "worker";
    o.cpus = cpus;
    o.n_cpus = 1;
    int r = rip_task_start(&t, work, word, &o);
    CHECK(is_clean(r));
    if (r < 0)
        CHECK(t == ctx);
    else
        let_it_end(t);
}

TEST_WITH(a_thread_survives_every_fault, .deadline = 120)
{
    struct rip_task_options o = { .kind = RIP_THREAD };
    CHECK_INT(fault_sweep(start_and_join, &o, NULL), >, 10);
}

TEST_WITH(a_process_survives_every_fault, .deadline = 240)
{
    struct rip_task_options o = { .kind = RIP_PROCESS };
    CHECK_INT(fault_sweep(start_and_join, &o, NULL), >, 50);
}

TEST_WITH(a_stack_of_its_own_survives_every_fault, .deadline = 240)
{
    struct rip_task_options o = { .kind = RIP_PROCESS, .stack_size = 1 << 20 };
    CHECK_INT(fault_sweep(start_and_join, &o, NULL), >, 50);
}

static int until_stopped(void *arg)
{
    (void)arg;
    while (!rip_task_stopping())
        ;
    return 1;
}

static void stop_and_free(void *ctx)
{
    rip_task *t;
    const struct rip_task_options o = { .kind = RIP_PROCESS, .grace = 0.05 };
    (void)ctx;
    if (rip_task_start(&t, until_stopped, NULL, &o) < 0)
        return;
    int r = rip_task_fd(t);
    /* -ESRCH: what a kernel says that lies. */
    CHECK(r >= 0 || r == -ESRCH || is_clean(r));
    CHECK(is_clean(rip_task_terminate(t)));
    rip_task_free(t);
}

TEST_WITH(an_end_by_force_survives_every_fault, .deadline = 240)
{
    CHECK_INT(fault_sweep(stop_and_free, NULL, NULL), >, 50);
}
