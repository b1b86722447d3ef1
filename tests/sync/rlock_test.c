/* SPDX-License-Identifier: MIT */
#include <ripstop/rlock.h>

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scene.h"
#include "segment/segment.h"

struct play {
    rip_rlock lock;
    long count;
};
#define stage ((struct play *)(void *)room)
#define lock  (&stage->lock)

static int take(rip_time deadline)
{
    return rip_rlock_acquire(lock, deadline);
}

static int try_it(void *arg)
{
    int r = take(arg ? RIP_FOREVER : RIP_NOW);
    if (r >= 0)
        rip_rlock_release(lock);
    return r;
}

static int another_tries(void)
{
    struct actor a;
    actor_start(&a, try_it, NULL);
    return actor_end(&a);
}

BOTH(is_free_after_as_many_releases)
{
    for (int i = 0; i < 3; i++)
        CHECK_INT(take(i % 2 ? RIP_NOW : RIP_FOREVER), ==, 0);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(another_tries(), ==, -ETIMEDOUT);
        rip_rlock_release(lock);
    }
    CHECK_INT(another_tries(), ==, 0);
    CHECK_INT(take(RIP_NOW), ==, 0);
    rip_rlock_release(lock);
    CHECK_INT(another_tries(), ==, 0);
}

BOTH(last_release_wakes)
{
    struct actor a;
    scene_no_second_look();
    CHECK_INT(take(RIP_NOW), ==, 0);
    CHECK_INT(take(RIP_NOW), ==, 0);
    actor_start(&a, try_it, room);
    actor_wait_sleeps(&a);
    rip_rlock_release(lock);
    rip_rlock_release(lock);
    CHECK_INT(actor_end(&a), ==, 0);
}

static int hold_thrice(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        CHECK_INT(take(RIP_FOREVER), ==, 0);
    actor_stay();
    return 0;
}

BOTH(death_frees_every_depth)
{
    struct actor a;
    actor_start(&a, hold_thrice, NULL);
    actor_wait_stays(&a);
    CHECK_ERR(take(rip_after_ms(5)), -ETIMEDOUT);
    actor_die(&a);
    CHECK_INT(take(RIP_NOW), ==, RIP_RECOVERED);
    CHECK_INT(take(RIP_NOW), ==, 0);
    rip_rlock_release(lock);
    rip_rlock_release(lock);
    CHECK_INT(another_tries(), ==, 0);
}

static int count_up(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10000; i++) {
        CHECK_INT(take(RIP_FOREVER), ==, 0);
        stage->count++;
        CHECK_INT(take(RIP_FOREVER), ==, 0);
        stage->count++;
        rip_rlock_release(lock);
        stage->count++;
        rip_rlock_release(lock);
    }
    return 0;
}

BOTH(excludes)
{
    struct actor a[3];
    scene_no_second_look();
    for (int i = 0; i < 3; i++)
        actor_start(&a[i], count_up, NULL);
    for (int i = 0; i < 3; i++)
        CHECK_INT(actor_end(&a[i]), ==, 0);
    CHECK_INT(stage->count, ==, 90000);
}

BOTH(has_a_limit)
{
    CHECK_INT(take(RIP_NOW), ==, 0);
    lock->depth = UINT32_MAX;
    CHECK_ERR(take(RIP_NOW), -EOVERFLOW);
    rip_rlock_release(lock);
    CHECK_INT(take(RIP_NOW), ==, 0);
    lock->depth = 1;
    rip_rlock_release(lock);
}

PROCESSES(fork_holds_nothing)
{
    CHECK_INT(take(RIP_NOW), ==, 0);
    CHECK_INT(take(RIP_NOW), ==, 0);
    CHECK_INT(another_tries(), ==, -ETIMEDOUT);
    rip_rlock_release(lock);
    rip_rlock_release(lock);
}

static int release_it(void *arg)
{
    (void)arg;
    rip_rlock_release(lock);
    return 0;
}

PROCESSES(misuse_in_a_segment_is_told_once)
{
    struct actor a;
    CHECK_INT(take(RIP_NOW), ==, 0);
    CHECK_INT(take(RIP_NOW), ==, 0);
    actor_start(&a, release_it, NULL);
    CHECK_INT(actor_end(&a), ==, 0);
    CHECK_INT(lock->depth, ==, 2);
    CHECK_INT(take(RIP_NOW), ==, 0);
    for (int i = 0; i < 3; i++)
        rip_rlock_release(lock);
    CHECK_ERR(take(RIP_NOW), -EBADMSG);
    CHECK_INT(take(RIP_NOW), ==, 0);
    lock->depth = 0; /* scribbled */
    rip_rlock_release(lock);
    CHECK_INT(another_tries(), ==, 0);
}

TEST(misuse_outside_of_segments_ends_the_program)
{
    static rip_rlock outside;
    int fd[2], status;
    char text[200] = "";
    CHECK(pipe(fd) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd[1], 2);
        CHECK_INT(rip_rlock_acquire(&outside, RIP_NOW), ==, 0);
        rip_rlock_release(&outside);
        rip_rlock_release(&outside);
        _exit(0);
    }
    CHECK_OK(pid);
    close(fd[1]);
    CHECK_INT(read(fd[0], text, sizeof text - 1), >, 0);
    close(fd[0]);
    CHECK_STR(
        text,
        "ripstop: rip_rlock_release: the caller does not hold the lock\n");
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK(WIFSIGNALED(status));
}
