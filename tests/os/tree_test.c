/* SPDX-License-Identifier: MIT */
#include "os/os.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

/* A child that has a child, and so on: each waits until it is killed. The
 * pipe tells when all are there. */
static pid_t grow(int depth, int ready, bool own_group)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (own_group)
        setpgid(0, 0);
    if (depth > 1)
        grow(depth - 1, ready, own_group);
    (void)!write(ready, "x", 1);
    for (;;)
        pause();
}

struct count {
    int n, in_group;
    pid_t group;
};

static void kill_found(void *arg, const struct rip__os_member *m)
{
    struct count *c = arg;
    c->n++;
    c->in_group += m->group == c->group;
    rip__os_pidfd_signal(m->pidfd, SIGKILL);
    rip__os_close(m->pidfd);
}

static void await_all(int fd, int n)
{
    char x;
    while (n-- > 0)
        CHECK_INT(read(fd, &x, 1), ==, 1);
}

static void reap_all(int n)
{
    while (n-- > 0)
        CHECK_INT(waitpid(-1, NULL, 0), >, 0);
}

TEST(descendants_of_every_depth_are_found)
{
    int ready[2];
    struct count c = { 0 };
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    CHECK_OK(rip__os_pipe(ready));
    pid_t root = grow(5, ready[1], true);
    await_all(ready[0], 5);
    CHECK_OK(rip__os_tree(root, 0, kill_found, &c));
    CHECK_INT(c.n, ==, 4);
    kill(root, SIGKILL);
    reap_all(5);
    rip__os_close(ready[0]);
    rip__os_close(ready[1]);
}

TEST(group_members_are_found_whoever_their_parent_is)
{
    int ready[2];
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    CHECK_OK(rip__os_pipe(ready));
    pid_t root = fork();
    if (root == 0) {
        setpgid(0, 0);
        if (fork() == 0) { /* its child outlives it */
            grow(1, ready[1], false);
            _exit(0);
        }
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    await_all(ready[0], 2);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), ==, 0);
    struct count c = { .group = root };
    while (c.n == 0) /* until its parent is gone it counts as two */
        CHECK_OK(rip__os_tree(root, root, kill_found, &c));
    CHECK_INT(c.in_group, ==, c.n);
    kill(root, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    rip__os_close(ready[0]);
    rip__os_close(ready[1]);
}
