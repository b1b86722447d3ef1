/* SPDX-License-Identifier: MIT */
#include <ripstop/lock.h>
#include <ripstop/segment.h>
#include <ripstop/sem.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "segment/segment.h"
#include "segment/other.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* What proves a death, and what seems to. */

struct shared {
    rip_lock lock;
    rip_sem sem;
};

static struct shared *shared;
static rip_segment *segment;

static void set_up(void)
{
    const struct rip_segment_options o = { .size = 1 << 20, .members = 30 };
    CHECK_OK(rip_segment_new(&segment, &o));
    shared = rip_shared_alloc(segment, sizeof *shared);
    CHECK(shared != NULL);
    rip__look_again_ns = 2000000;
}

/* Of somebody who lives. It looks again many times. */
static int try_lock(void)
{
    return rip_lock_acquire(&shared->lock, rip_after_ms(100));
}

/* A child that does `fn`, whose result is given back. */
static int in_child(int (*fn)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(-fn());
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static void hold_lock(void)
{
    CHECK_OK(rip_lock_acquire(&shared->lock, RIP_NOW));
}

static void hold_permit(void)
{
    CHECK_OK(rip_sem_acquire(&shared->sem, RIP_NOW));
}

static bool put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) > 0;
    close(fd);
    return done;
}

/* ---- clocks ----------------------------------------------------------- */

static bool put_clock_forward(void)
{
    return unshare(CLONE_NEWTIME) == 0 &&
           put("/proc/self/timens_offsets", "boottime 100000 0\n");
}

/* Its children have the clock. */
static int try_with_another_clock(void)
{
    return put_clock_forward() ? in_child(try_lock) : -ENOTSUP;
}

TEST(who_has_another_clock_robs_nobody)
{
    set_up();
    CHECK_OK(rip_lock_acquire(&shared->lock, RIP_NOW));
    int r = in_child(try_with_another_clock);
    if (r == -ENOTSUP)
        SKIP("no time namespaces");
    CHECK_INT(r, ==, -ETIMEDOUT);
    rip_lock_release(&shared->lock);
    CHECK_OK(rip_lock_acquire(&shared->lock, RIP_NOW));
    rip_segment_close(segment);
}

/* ---- numbers ---------------------------------------------------------- */

static pid_t outer_zombie;

/* As the first process of a namespace, with the /proc of another. */
static int try_with_other_numbers(void)
{
    char last[16];
    set_up();
    snprintf(last, sizeof last, "%d", (int)outer_zombie - 1);
    if (!put("/proc/sys/kernel/ns_last_pid", last))
        return -ENOTSUP;
    pid_t holder = other_start(hold_lock);
    CHECK_INT(holder, ==, outer_zombie);
    int r = try_lock();
    other_end(holder);
    int after = try_lock();
    return after == RIP_RECOVERED ? r : -EIO;
}

static int try_in_a_namespace(void)
{
    return unshare(CLONE_NEWPID) < 0 ? -ENOTSUP
                                     : in_child(try_with_other_numbers);
}

TEST(what_another_has_of_the_same_number_robs_nobody)
{
    siginfo_t info;
    outer_zombie = fork();
    if (outer_zombie == 0)
        _exit(0);
    CHECK_INT(waitid(P_PID, (id_t)outer_zombie, &info, WEXITED | WNOWAIT), ==,
              0);
    int r = in_child(try_in_a_namespace);
    CHECK_INT(waitpid(outer_zombie, NULL, 0), ==, outer_zombie);
    if (r == -ENOTSUP)
        SKIP("no pid namespaces");
    CHECK_INT(r, ==, -ETIMEDOUT);
}

/* ---- no /proc --------------------------------------------------------- */

/* The first process of a namespace, and nothing to see of any. */
static int try_without_proc(void)
{
    if (unshare(CLONE_NEWPID) < 0 || chroot(".") < 0)
        return -ENOTSUP;
    int r = in_child(try_lock);
    return r == 0 && rip__os_pid_namespace() == 0 ? -ENOTSUP : r;
}

TEST(who_cannot_see_that_his_numbers_are_others_is_refused)
{
    set_up();
    int r = in_child(try_without_proc);
    if (r == -ENOTSUP)
        SKIP("no pid namespaces, or a kernel that does not tell them");
    CHECK_INT(r, ==, -EXDEV);
    CHECK_OK(rip_lock_acquire(&shared->lock, RIP_NOW));
    rip_lock_release(&shared->lock);
    rip_segment_close(segment);
}

/* ---- no descriptors --------------------------------------------------- */

/* A zombie, in a process that has no descriptor to look at it with. */
TEST(who_has_no_descriptors_left_sees_the_dead)
{
    struct rlimit before, few;
    siginfo_t info;
    set_up();
    rip_sem_init(&shared->sem, 1, 1);
    pid_t pid = other_start(hold_permit);
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
    few = (struct rlimit){ 3, before.rlim_max };
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
    CHECK_INT(rip_sem_acquire(&shared->sem, rip_after_ms(50)), ==, -ETIMEDOUT);
    kill(pid, SIGKILL);
    CHECK_INT(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), ==, 0);
    CHECK_OK(rip_sem_acquire(&shared->sem, rip_after(5)));
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    CHECK_INT(waitpid(pid, NULL, 0), ==, pid);
    rip_segment_close(segment);
}
