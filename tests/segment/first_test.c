/* SPDX-License-Identifier: MIT */
#include <ripstop/lock.h>

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
