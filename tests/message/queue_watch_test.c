/* SPDX-License-Identifier: MIT */
/* Queues among other things that are waited for. */
#include <ripstop/queue.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/event.h>
#include <ripstop/task.h>
#include <ripstop/wait.h>

#include "fault.h"
#include "harness.h"
#include "sync/world.h"

static rip_queue *new_queue(void)
{
    rip_queue *q;
    const struct rip_queue_options o = { .capacity = 4, .message_size = 8 };
    CHECK_OK(rip_queue_new(&q, &o));
    return q;
}

static void put(rip_queue *q, uint64_t number)
{
    CHECK_OK(rip_queue_put(q, &number, sizeof number, RIP_NOW));
}

static int64_t get(rip_queue *q, rip_time deadline)
{
    uint64_t number;
    ssize_t r = rip_queue_get(q, &number, sizeof number, deadline);
    return r == sizeof number ? (int64_t)number : r;
}

static int fd_of(rip_queue *q)
{
    int fd = rip_queue_fd(q);
    CHECK_INT(fd, >=, 0);
    return fd;
}

static bool is_readable(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int r = poll(&p, 1, ms);
    CHECK_INT(r, >=, 0);
    return r == 1;
}

static const int long_ms = 20000;

/* ---- the descriptor --------------------------------------------------- */

static int put_one(void *arg)
{
    put(arg, 1);
    return 0;
}

/* What a get with RIP_NOW has found empty is watched again. */
BOTH(the_descriptor_tells_of_each_message, 0)
{
    rip_queue *q = new_queue();
    only_woken();
    int fd = fd_of(q);
    CHECK_INT(fd_of(q), ==, fd);
    CHECK(!is_readable(fd, 0));
    for (int i = 0; i < 3; i++) {
        struct player a;
        player_start(&a, kind, put_one, q);
        CHECK(is_readable(fd, long_ms));
        CHECK_OK(player_end(&a));
        CHECK_INT(get(q, RIP_NOW), ==, 1);
        CHECK(is_readable(fd, 0)); /* nobody knows yet */
        CHECK_ERR(get(q, RIP_NOW), -ETIMEDOUT);
        CHECK(!is_readable(fd, 0));
    }
    rip_queue_close(q);
    CHECK(is_readable(fd, long_ms));
    CHECK_ERR(get(q, RIP_NOW), -EPIPE);
    CHECK(is_readable(fd, 0));
    rip_queue_free(q);
}

TEST(the_descriptor_of_a_queue_that_is_not_empty)
{
    rip_queue *q = new_queue();
    put(q, 1);
    put(q, 2);
    int fd = fd_of(q);
    CHECK(is_readable(fd, 0));
    CHECK_INT(get(q, RIP_NOW), ==, 1);
    CHECK(is_readable(fd, 0));
    CHECK_INT(get(q, RIP_NOW), ==, 2);
    CHECK_ERR(get(q, RIP_NOW), -ETIMEDOUT);
    CHECK(!is_readable(fd, 0));
    rip_queue_free(q);
}

static int use_its_own(void *arg)
{
    int fd = fd_of(arg);
    CHECK(is_readable(fd, long_ms));
    CHECK_INT(get(arg, RIP_NOW), ==, 1);
    CHECK_ERR(get(arg, RIP_NOW), -ETIMEDOUT);
    return is_readable(fd, 0);
}

/* A child has one of its own, and does not empty its parent's. */
WORLD(each_process_has_its_descriptor, 0)
{
    rip_queue *q = new_queue();
    struct player a;
    int fd = fd_of(q);
    put(q, 1);
    CHECK(is_readable(fd, long_ms));
    player_start(&a, PROCESSES, use_its_own, q);
    CHECK_OK(player_end(&a));
    CHECK(is_readable(fd, 0));
    CHECK_ERR(get(q, RIP_NOW), -ETIMEDOUT);
    CHECK(!is_readable(fd, 0));
    rip_queue_free(q);
}

struct desk {
    rip_queue *q;
    atomic_int there;
};

static int take_and_stay(void *arg)
{
    struct desk *k = arg;
    struct rip_message m;
    CHECK_OK(rip_queue_take(k->q, &m, RIP_NOW));
    atomic_fetch_add(&k->there, 1);
    while (pause() < 0)
        ;
    return 0;
}

/* Nobody else is there to look for the dead. */
WORLD(the_descriptor_tells_of_what_comes_back, 0)
{
    struct desk *k = board(sizeof *k);
    struct player a;
    k->q = new_queue();
    put(k->q, 7);
    player_start(&a, PROCESSES, take_and_stay, k);
    until_at_least(&k->there, 1);
    int fd = fd_of(k->q);
    CHECK_ERR(get(k->q, RIP_NOW), -ETIMEDOUT);
    player_kill(&a);
    int64_t r = -ETIMEDOUT;
    rip_time late = rip_after(20);
    while (r == -ETIMEDOUT && rip_time_now() < late) {
        CHECK(is_readable(fd, long_ms));
        r = get(k->q, RIP_NOW);
    }
    CHECK_INT(r, ==, 7);
    rip_queue_free(k->q);
    munmap(k, sizeof *k);
}

/* ---- rip_wait_any ----------------------------------------------------- */

static struct rip_wait item(rip_queue *q)
{
    return (struct rip_wait){ .kind = RIP_WAIT_QUEUE, .u.queue = q };
}

static int wait_for_one(void *arg)
{
    const struct rip_wait items[] = { item(arg) };
    return rip_wait_any(items, 1, rip_after(20));
}

static int wait_with_a_pipe(void *arg)
{
    int p[2];
    CHECK_INT(pipe(p), ==, 0);
    const struct rip_wait items[] = {
        { .kind = RIP_WAIT_FD, .events = POLLIN, .u.fd = p[0] },
        item(arg),
    };
    int r = rip_wait_any(items, 2, rip_after(20));
    close(p[0]);
    close(p[1]);
    return r == 1 ? 0 : -1;
}

static int get_one(void *arg)
{
    return get(arg, rip_after(20)) == 1 ? 0 : -1;
}

/* Two who wait for other things, too, and take nothing; and one who does. */
BOTH(those_who_only_wait_take_nobodys_wake, 0)
{
    rip_queue *q = new_queue();
    struct player a[3];
    only_woken();
    player_start(&a[0], kind, wait_for_one, q);
    player_start(&a[1], kind, wait_with_a_pipe, q);
    player_start(&a[2], kind, get_one, q);
    until_waiting(q, 1);
    put(q, 1);
    CHECK_OK(player_end(&a[2]));
    put(q, 2); /* if one of them came later */
    CHECK_OK(player_end(&a[0]));
    CHECK_OK(player_end(&a[1]));
    rip_queue_free(q);
}

TEST(the_first_of_several)
{
    rip_queue *q = new_queue(), *other = new_queue();
    rip_event e = { 0 };
    const struct rip_wait items[] = {
        { .kind = RIP_WAIT_EVENT, .u.event = &e },
        item(q),
        item(other),
    };
    CHECK_ERR(rip_wait_any(items, 3, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_wait_any(items, 3, rip_after_ms(20)), -ETIMEDOUT);
    put(other, 1);
    CHECK_INT(rip_wait_any(items, 3, RIP_FOREVER), ==, 2);
    put(q, 1);
    CHECK_INT(rip_wait_any(items, 3, RIP_FOREVER), ==, 1);
    CHECK_INT(rip_queue_depth(q), ==, 1); /* nothing was taken */
    rip_event_set(&e);
    CHECK_INT(rip_wait_any(items, 3, RIP_FOREVER), ==, 0);
    CHECK_INT(rip_wait_any(items + 1, 1, RIP_FOREVER), ==, 0);
    rip_queue_close(other);
    CHECK_INT(get(other, RIP_NOW), ==, 1);
    CHECK_INT(rip_wait_any(items + 2, 1, RIP_FOREVER), ==, 0);
    const struct rip_wait none = item(NULL);
    CHECK_ERR(rip_wait_any(&none, 1, RIP_NOW), -EINVAL);
    rip_queue_free(q);
    rip_queue_free(other);
}

static int wait_until_stopped(void *arg)
{
    const struct rip_wait items[] = { item(arg) };
    return rip_wait_any(items, 1, RIP_FOREVER) == -ECANCELED ? 0 : 1;
}

TEST(a_request_to_stop_ends_the_wait)
{
    rip_queue *q = new_queue();
    rip_task *t;
    struct rip_exit e;
    CHECK_OK(rip_task_start(&t, wait_until_stopped, q, NULL));
    rip_task_stop(t);
    CHECK_OK(rip_task_join(t, &e, rip_after(20)));
    CHECK_INT(e.code, ==, 0);
    rip_task_free(t);
    rip_queue_free(q);
}

/* What is no queue is told of at once, by the get. */
TEST(what_is_no_queue_is_ready)
{
    unsigned char *nothing = rip_shared_alloc(NULL, 4096);
    CHECK(nothing != NULL);
    const struct rip_wait items[] = { item((rip_queue *)(void *)nothing) };
    CHECK_INT(rip_wait_any(items, 1, RIP_FOREVER), ==, 0);
    CHECK_ERR(rip_queue_fd((rip_queue *)(void *)nothing), -EBADMSG);
    rip_shared_free(NULL, nothing);
}

/* ---- faults ----------------------------------------------------------- */

static bool is_named(const char *tid)
{
    char path[80], comm[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%.16s/comm", tid);
    FILE *f = fopen(path, "r");
    if (f) {
        (void)!fgets(comm, sizeof comm, f);
        fclose(f);
    }
    return strcmp(comm, "rip-wait\n") == 0;
}

/* Before that the helper looks like a thread that was left behind. */
static void until_helper_is_named(void)
{
    for (bool named = false; !named; sched_yield()) {
        DIR *d = opendir("/proc/self/task");
        CHECK(d != NULL);
        const struct dirent *e;
        while (!named && (e = readdir(d)) != NULL)
            named = is_named(e->d_name);
        closedir(d);
    }
}

static void watch_it(rip_queue *q)
{
    const struct rip_wait items[] = { item(q) };
    int fd = rip_queue_fd(q);
    put(q, 1);
    if (fd >= 0) {
        until_helper_is_named();
        (void)is_readable(fd, 20); /* one of the faults is that it is not */
    }
    int r = rip_wait_any(items, 1, rip_after(20));
    CHECK(r == 0 || r == -ENOMEM);
    CHECK_INT(get(q, RIP_NOW), ==, 1);
    CHECK_ERR(get(q, RIP_NOW), -ETIMEDOUT);
}

static void use(void *ctx)
{
    const struct rip_queue_options o = { .capacity = 4, .message_size = 8 };
    rip_queue *q;
    (void)ctx;
    if (rip_queue_new(&q, &o) < 0)
        return;
    watch_it(q);
    rip_queue_free(q);
}

/* The helper stays, and is known by its name. */
TEST_WITH(a_watch_survives_every_fault, .deadline = 120)
{
    static const long except[] = { SYS_prctl, FAULT_LAST };
    const struct fault_options o = { .except = except };
    CHECK(fault_sweep(use, NULL, &o) > 10);
}
