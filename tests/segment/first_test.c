/* SPDX-License-Identifier: MIT */
#include <ripstop/lock.h>
#include <ripstop/segment.h>

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "os/os.h"

/* The first use of anything in a program. */

static rip_lock lock;
static int forks, failures;
static long (*real)(long nr, const long args[6]);

static void use(void)
{
    CHECK_OK(rip_lock_acquire(&lock, RIP_NOW));
    rip_lock_release(&lock);
}

/* As if another thread forked just then: the child has what this one holds. */
static long fork_meanwhile(long nr, const long args[6])
{
    if (nr != SYS_madvise || args[2] != MADV_WIPEONFORK)
        return real(nr, args);
    int status;
    rip__seam.syscall = real;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(3);
        use();
        _exit(0);
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    forks++;
    failures += status != 0;
    rip__seam.syscall = fork_meanwhile;
    return real(nr, args);
}

/* The harness has used much before a test begins. So this is played before
 * main, in a program of its own. */
static const char in_own_program[] = "RIPSTOP_FIRST_TEST";

__attribute__((constructor)) static void play(void)
{
    if (!getenv(in_own_program))
        return;
    real = rip__seam.syscall;
    rip__seam.syscall = fork_meanwhile;
    use();
    _exit(forks == 0 ? 100 : failures);
}

TEST(a_child_that_is_forked_in_the_middle_of_it_does_not_hang)
{
    int code;
    pid_t pid = fork();
    if (pid == 0) {
        setenv(in_own_program, "1", 1);
        execl("/proc/self/exe", "first", (char *)NULL);
        _exit(127);
    }
    CHECK_INT(waitpid(pid, &code, 0), ==, pid);
    CHECK_INT(code, ==, 0);
}

/* ---- the same number as its maker ------------------------------------- */

static int open_one(void)
{
    const struct rip_segment_options o = { .size = 1 << 20, .members = 3 };
    rip_segment *s;
    int r = rip_segment_new(&s, &o);
    if (r == 0)
        rip_segment_close(s);
    return r;
}

static void give_up(int signal)
{
    _exit(signal);
}

/* As another thread might: while this one maps the segment. */
static long fork_while_mapping(long nr, const long args[6])
{
    int status;
    if (nr != SYS_mmap || !(args[3] & MAP_SHARED))
        return real(nr, args);
    rip__seam.syscall = real;
    CHECK_INT(unshare(CLONE_NEWPID), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_INT(getpid(), ==, 1);
        alarm(3);
        signal(SIGALRM, give_up); /* what it is to no other first process */
        _exit(-open_one());
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    forks++;
    failures += status != 0;
    return real(nr, args);
}

static void be_first_and_fork(void)
{
    real = rip__seam.syscall;
    rip__seam.syscall = fork_while_mapping;
    int r = open_one();
    rip__seam.syscall = real;
    _exit(r < 0 || forks == 0 ? 100 : failures);
}

/* The first process of a pid namespace, and the first one of another. */
TEST(a_child_of_the_same_number_does_not_take_its_makers_lock_for_its_own)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWPID) < 0)
            _exit(101);
        pid_t first = fork();
        if (first == 0)
            be_first_and_fork();
        CHECK_INT(waitpid(first, &status, 0), ==, first);
        _exit(WEXITSTATUS(status));
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    if (WEXITSTATUS(status) == 101)
        SKIP("no pid namespaces");
    CHECK_INT(status, ==, 0);
}
