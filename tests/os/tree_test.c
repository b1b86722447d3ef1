/* SPDX-License-Identifier: MIT */
#include "os/os.h"

#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"
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

/* Looks at the tree of `pid` and `group`, as it is at this moment. */
static void kill_tree(pid_t pid, pid_t group, const char *mark, struct count *c)
{
    struct rip__os_processes *all;
    const struct rip__os_root root = { pid, group, mark };
    CHECK_OK(rip__os_processes_read(&all));
    CHECK_INT(rip__os_tree(all, &root, kill_found, c), >=, 0);
    rip__os_processes_free(all);
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
    kill_tree(root, 0, NULL, &c);
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
        kill_tree(root, root, NULL, &c);
    CHECK_INT(c.in_group, ==, c.n);
    kill(root, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    rip__os_close(ready[0]);
    rip__os_close(ready[1]);
}

/* It becomes `sleep`, with that environment, in a session of its own. */
static pid_t start_marked(char *mark)
{
    char sleep[] = "sleep", minute[] = "60", a[] = "A=1", z[] = "Z=1";
    char *const argv[] = { sleep, minute, NULL };
    char *const envp[] = { a, mark, z, NULL };
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        execve("/bin/sleep", argv, envp); /* which closes the pipe */
    }
    return pid;
}

TEST(the_marked_are_found_whoever_they_belong_to)
{
    static char marks[][40] = {
        RIP__OS_MARK "=7-1",     RIP__OS_MARK "=1-1:7-1:2-2",
        RIP__OS_MARK "=1-1:7-1", RIP__OS_MARK "=7-1:3-3",
        RIP__OS_MARK "=7-11",    RIP__OS_MARK "=17-1",
        RIP__OS_MARK "=1-1:7-",  RIP__OS_MARK "S=7-1",
        "X" RIP__OS_MARK "=7-1", RIP__OS_MARK "=",
    };
    enum { ALL = 10, FOUND = 4 };
    pid_t pids[ALL];
    char x;
    int ready[2];
    CHECK_OK(rip__os_pipe(ready));
    for (int i = 0; i < ALL; i++)
        pids[i] = start_marked(marks[i]);
    rip__os_close(ready[1]);
    CHECK_INT(read(ready[0], &x, 1), ==, 0); /* all are `sleep` by now */
    rip__os_close(ready[0]);

    struct count c = { 0 };
    kill_tree(0, 0, "7-1", &c);
    CHECK_INT(c.n, ==, FOUND);
    for (int i = 0; i < ALL; i++) {
        int status;
        harness_note("%s", marks[i]);
        if (i >= FOUND)
            kill(pids[i], SIGTERM);
        CHECK_INT(waitpid(pids[i], &status, 0), ==, pids[i]);
        CHECK_INT(WTERMSIG(status), ==, i < FOUND ? SIGKILL : SIGTERM);
    }
}

/* What the tree of a mark is when nobody has it: whether all was seen. */
static int look_for_nobody(void)
{
    struct count c = { 0 };
    struct rip__os_processes *all;
    const struct rip__os_root root = { .mark = "7-1" };
    CHECK_OK(rip__os_processes_read(&all));
    int r = rip__os_tree(all, &root, kill_found, &c);
    rip__os_processes_free(all);
    CHECK_INT(c.n, ==, 0);
    return r;
}

static pid_t start_with_environment(char *const envp[])
{
    char sleep[] = "sleep", minute[] = "60";
    char *const argv[] = { sleep, minute, NULL };
    char x;
    int ready[2];
    CHECK_OK(rip__os_pipe(ready));
    pid_t pid = fork();
    if (pid == 0)
        execve("/bin/sleep", argv, envp);
    rip__os_close(ready[1]);
    CHECK_INT(read(ready[0], &x, 1), ==, 0);
    rip__os_close(ready[0]);
    return pid;
}

TEST(a_process_without_environment_is_in_no_tree)
{
    pid_t pid = start_with_environment((char *const[]){ NULL });
    CHECK_INT(look_for_nobody(), ==, 0);
    kill(pid, SIGKILL);
    reap_all(1);
}

/* In the midst of an exec there is an environment that nobody can read yet. */
static long (*next_call)(long nr, const long args[6]);
static char unreadable[40];

static long read_nothing(long nr, const long args[6])
{
    if (nr == SYS_openat && strcmp((const char *)args[1], unreadable) == 0) {
        const long other[6] = { args[0], (long)"/dev/null", args[2] };
        return next_call(nr, other);
    }
    return next_call(nr, args);
}

TEST(a_process_whose_environment_is_not_there_yet_is_told)
{
    char variable[] = "A=b";
    pid_t pid = start_with_environment((char *const[]){ variable, NULL });
    snprintf(unreadable, sizeof unreadable, "/proc/%d/environ", (int)pid);
    next_call = rip__seam.syscall;
    rip__seam.syscall = read_nothing;
    CHECK_INT(look_for_nobody(), ==, 1);
    kill(pid, SIGKILL);
    reap_all(1);
}

TEST(the_dead_are_not_found)
{
    struct count c = { 0 };
    siginfo_t info;
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        _exit(0);
    }
    CHECK_INT(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), ==, 0);
    kill_tree(0, pid, NULL, &c);
    CHECK_INT(c.n, ==, 0);
    reap_all(1);
}

static void *leave_the_thread_behind(void *arg)
{
    (void)!write(*(int *)arg, "x", 1);
    for (;;)
        pause();
    return NULL;
}

/* Its first thread has ended, so it looks like a zombie; the others go on. */
TEST(a_process_whose_first_thread_has_ended_is_alive)
{
    struct count c = { 0 };
    int ready[2];
    CHECK_OK(rip__os_pipe(ready));
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        setpgid(0, 0);
        pthread_create(&thread, NULL, leave_the_thread_behind, &ready[1]);
        syscall(SYS_exit, 0);
    }
    await_all(ready[0], 1);
    char path[40], text[512], *state;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    do {
        CHECK_OK(rip__os_slurp(path, text, sizeof text));
        state = strrchr(text, ')') + 2;
        sched_yield();
    } while (*state != 'Z');
    kill_tree(0, pid, NULL, &c);
    CHECK_INT(c.n, ==, 1);
    reap_all(1);
    rip__os_close(ready[0]);
    rip__os_close(ready[1]);
}

/* A name may look like what follows it in /proc. */
TEST(names_do_not_matter)
{
    struct count c = { 0 };
    int ready[2];
    CHECK_OK(rip__os_pipe(ready));
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        prctl(PR_SET_NAME, ") Z 1 1 (");
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    await_all(ready[0], 1);
    kill_tree(0, pid, NULL, &c);
    CHECK_INT(c.n, ==, 1);
    reap_all(1);
    rip__os_close(ready[0]);
    rip__os_close(ready[1]);
}

TEST(the_root_is_not_of_its_tree)
{
    struct count c = { 0 };
    int ready[2];
    CHECK_OK(rip__os_pipe(ready));
    pid_t root = grow(1, ready[1], true);
    await_all(ready[0], 1);
    kill_tree(root, root, NULL, &c);
    CHECK_INT(c.n, ==, 0);
    kill(root, SIGKILL);
    reap_all(1);
    rip__os_close(ready[0]);
    rip__os_close(ready[1]);
}

static long now_in_ticks(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * 100 + t.tv_nsec / 10000000;
}

/* A child with that very pid. */
static pid_t fork_as(pid_t pid)
{
    struct clone_args args = { .exit_signal = SIGCHLD,
                               .set_tid = (uintptr_t)&pid,
                               .set_tid_size = 1 };
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

/* A free number below that of `pid`. */
static pid_t number_below(pid_t pid)
{
    while (--pid > 1 && kill(pid, 0) == 0)
        ;
    return pid;
}

/* Numbers start anew when they are used up, so that children stand before
 * their parents in /proc. */
TEST(children_may_have_lower_numbers_than_their_parents)
{
    struct count c = { 0 };
    int ready[2];
    CHECK_OK(rip__os_pipe(ready));
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t root = fork();
    if (root == 0) {
        pid_t pid = 0;
        for (int depth = 0; depth < 4 && pid == 0; depth++)
            pid = fork_as(number_below(getpid()));
        (void)!write(ready[1], pid < 0 ? "-" : "x", 1);
        for (;;)
            pause();
    }
    char x = 0;
    int n = 0;
    for (; n < 5 && x != '-'; n++)
        CHECK_INT(read(ready[0], &x, 1), ==, 1);
    kill_tree(root, 0, NULL, &c);
    kill(root, SIGKILL);
    reap_all(1 + c.n);
    rip__os_close(ready[0]);
    rip__os_close(ready[1]);
    if (x == '-')
        SKIP("choosing a pid needs privileges, and Linux 5.5");
    CHECK_INT(c.n, ==, 4);
}

TEST(a_reused_pid_is_somebody_else)
{
    struct count c = { 0 };
    struct rip__os_processes *all;
    int ready[2];
    CHECK_OK(rip__os_pipe(ready));
    pid_t root = grow(1, ready[1], true);
    const struct rip__os_root group = { .group = root };
    await_all(ready[0], 1);
    CHECK_OK(rip__os_processes_read(&all));
    long then = now_in_ticks();
    kill(root, SIGKILL);
    reap_all(1);
    while (now_in_ticks() <= then) /* what a start is measured in */
        sched_yield();
    pid_t other = fork_as(root);
    if (other == 0)
        for (;;)
            pause();
    int r = other > 0 ? rip__os_tree(all, &group, kill_found, &c) : 0;
    rip__os_processes_free(all);
    rip__os_close(ready[0]);
    rip__os_close(ready[1]);
    if (other < 0)
        SKIP("choosing a pid needs privileges, and Linux 5.5");
    CHECK_INT(other, ==, root);
    CHECK_OK(r);
    CHECK_INT(c.n, ==, 0);
    kill(other, SIGKILL);
    reap_all(1);
}

/* As different kernels tell that it has just been reaped, or that its number
 * is a thread's now. */
TEST(who_ends_while_he_is_looked_for_is_no_failure)
{
    static const int answers[] = { ESRCH, EINVAL, ENOENT };
    struct count c = { 0 };
    int ready[2];
    CHECK_OK(rip__os_pipe(ready));
    pid_t root = grow(1, ready[1], true);
    const struct rip__os_root group = { .group = root };
    await_all(ready[0], 1);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct rip__os_processes *all;
        CHECK_OK(rip__os_processes_read(&all));
        fault_once(SYS_pidfd_open, answers[i]);
        CHECK_INT(rip__os_tree(all, &group, kill_found, &c), ==, 0);
        CHECK_INT(c.n, ==, 0);
        rip__os_processes_free(all);
    }
    kill(root, SIGKILL);
    reap_all(1);
    rip__os_close(ready[0]);
    rip__os_close(ready[1]);
}
