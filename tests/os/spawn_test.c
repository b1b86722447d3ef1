/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "spawning.h"

static void check_runs_a_program(void)
{
    CHECK_INT(run_script("exit 7"), ==, 7);
    CHECK_INT(run_script("exit 0"), ==, 0);
}
IN_EVERY_WORLD(runs_a_program)

static void check_tells_the_failing_step(void)
{
    struct spawning p;
    prepare(&p, "exit 0");
    p.s.cwd = "/nope";
    check_failing(&p, RIP__STEP_CHDIR, 0, -ENOENT);
    prepare(&p, "exit 0");
    p.s.paths = (const char *const[]){ "/nope", "/etc/passwd", "/no", NULL };
    check_failing(&p, RIP__STEP_EXEC, 1, -EACCES);
    p.s.paths = (const char *const[]){ NULL };
    check_failing(&p, RIP__STEP_EXEC, 0, -ENOENT);
    prepare(&p, "exit 0");
    p.s.redirect[1] = (struct rip__os_redirect){ RIP__COPY, 999, 0 };
    check_failing(&p, RIP__STEP_REDIRECT, 1, -EBADF);
}
IN_EVERY_WORLD(tells_the_failing_step)

TEST(tells_the_failing_step_where_vfork_is_fork_without_close_range)
{
    lose_close_range();
    enter_emulator();
    check_tells_the_failing_step();
}

/* Where vfork is fork a pipe tells that the report is complete. A child that
 * closed it too early would not be waited for. */
static long (*emulator)(long nr, const long args[6]);
static int report_pipe;

static long check_report_pipe(long nr, const long args[6])
{
    if (nr == SYS_execve && fcntl(report_pipe, F_GETFD) < 0)
        _exit(99);
    long r = emulator(nr, args);
    if (nr == SYS_pipe2 && r == 0)
        report_pipe = ((const int *)args[0])[1];
    return r;
}

static void check_the_report_is_waited_for(void)
{
    enter_emulator();
    emulator = rip__seam.syscall;
    rip__seam.syscall = check_report_pipe;
    CHECK_INT(run_script("exit 5"), ==, 5);
}

TEST(the_report_is_waited_for)
{
    check_the_report_is_waited_for();
}

TEST(the_report_is_waited_for_without_close_range)
{
    lose_close_range();
    check_the_report_is_waited_for();
}

/* An emulator that has clone3, and makes a fork of it. */
static long fork_by_clone3(long nr, const long args[6])
{
    if (nr == SYS_clone3) {
        struct clone_args a = *(const struct clone_args *)args[0];
        a.flags &= ~(uint64_t)(CLONE_VM | CLONE_VFORK);
        const long fork[6] = { (long)&a, args[1], args[2], args[3] };
        return next_call(nr, fork);
    }
    return next_call(nr, args);
}

TEST(what_the_first_start_cannot_tell_there_the_next_one_does)
{
    struct spawning p;
    next_call = rip__seam.syscall;
    rip__seam.syscall = fork_by_clone3;
    prepare(&p, "exit 0");
    p.s.paths = (const char *const[]){ "/no", NULL };
    int status = run(&p);
    CHECK_INT(status, ==, 127);
    check_failing(&p, RIP__STEP_EXEC, 0, -ENOENT);
}

static void write_script(const char *name, const char *text)
{
    int fd = (int)CHECK_OK(rip__os_open(name, O_WRONLY | O_CREAT, 0755));
    CHECK_INT(rip__os_write(fd, text, strlen(text)), ==, strlen(text));
    rip__os_close(fd);
}

/* As execvp(3) goes on: what is there but can not be run, or whose file
 * server does not answer, is not the last word. */
static void check_goes_on_to_the_next_path(void)
{
    const int elsewhere[] = {
        ENOENT, ENOTDIR, EACCES, ESTALE, ENODEV, ETIMEDOUT
    };
    struct spawning p;
    prepare(&p, "exit 5");
    p.s.paths = (const char *const[]){ "/etc/passwd", "/bin/sh", NULL };
    CHECK_INT(run(&p), ==, 5);
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        harness_note("%s", strerror(elsewhere[i]));
        fault_once(SYS_execve, elsewhere[i]);
        p.s.paths = (const char *const[]){ "/bin/sh", "/bin/sh", NULL };
        CHECK_INT(run(&p), ==, 5);
    }
}
IN_EVERY_WORLD(goes_on_to_the_next_path)

TEST(a_missing_interpreter_is_not_a_missing_program)
{
    struct spawning p;
    write_script("script", "#!/no/such/interpreter\n");
    prepare(&p, "exit 0");
    p.s.paths = (const char *const[]){ "./nope", "./script", NULL };
    check_failing(&p, RIP__STEP_INTERPRETER, 1, -ENOENT);
    unlink("script");
}

static int asked;

static long count_asking(long nr, const long args[6])
{
    asked += nr == SYS_faccessat;
    return next_call(nr, args);
}

/* Most programs come behind directories of PATH that do not have them: to ask
 * why would be a system call for each, at every start. */
TEST(why_a_path_does_not_do_is_asked_only_when_none_does)
{
    struct spawning p;
    prepare(&p, "exit 5");
    next_call = rip__seam.syscall;
    rip__seam.syscall = count_asking;
    p.s.paths = (const char *const[]){ "/no", "/nor/this", "/bin/sh", NULL };
    CHECK_INT(run(&p), ==, 5);
    CHECK_INT(asked, ==, 0);
    p.s.paths = (const char *const[]){ "/no", "/nor/this", NULL };
    check_failing(&p, RIP__STEP_EXEC, 0, -ENOENT);
    CHECK_INT(asked, ==, 2);
}

static void check_a_group_of_its_own(void)
{
    struct spawning p;
    prepare(&p, "set -- $(cat /proc/$$/stat); test $5 = $$");
    CHECK_INT(run(&p), ==, 1);
    p.s.group = RIP__GROUP_OWN;
    CHECK_INT(run(&p), ==, 0);
}
IN_EVERY_WORLD(a_group_of_its_own)

/* ---- many threads ----------------------------------------------------- */

static void *spawn_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++)
        CHECK_INT(run_script("exit 3"), ==, 3);
    return NULL;
}

TEST_WITH(threads_with_the_smallest_stacks_spawn_at_once, .deadline = 60)
{
    pthread_t threads[8];
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    CHECK_INT(pthread_attr_setstacksize(
                  &attr, (size_t)sysconf(_SC_THREAD_STACK_MIN) + 16384),
              ==, 0);
    for (int i = 0; i < 8; i++)
        CHECK_INT(pthread_create(&threads[i], &attr, spawn_many, NULL), ==, 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    pthread_attr_destroy(&attr);
}

/* ---- the status ------------------------------------------------------- */

TEST(a_status_can_be_looked_at_and_kept)
{
    struct spawning p;
    struct rip__os_spawned c;
    struct rip__os_status status = { 0 };
    prepare(&p, "read x; exit 9");
    int in[2];
    CHECK_OK(rip__os_pipe(in));
    p.s.redirect[0] = (struct rip__os_redirect){ RIP__OURS, in[0], O_RDONLY };
    CHECK_OK(rip__os_spawn(&c, &p.s));
    CHECK_INT(rip__os_reap(c.pidfd, true, &status), ==, 0);
    rip__os_close(in[0]);
    rip__os_close(in[1]);
    struct pollfd ended = { .fd = c.pidfd, .events = POLLIN };
    CHECK_OK(rip__os_poll(&ended, 1, RIP_FOREVER));
    for (int i = 0; i < 3; i++) {
        CHECK_INT(rip__os_reap(c.pidfd, true, &status), ==, 1);
        CHECK_INT(WEXITSTATUS(status.wait_status), ==, 9);
        CHECK(status.has_usage);
    }
    CHECK_INT(kill(c.pid, 0), ==, 0); /* a zombie */
    CHECK_INT(rip__os_reap(c.pidfd, false, &status), ==, 1);
    CHECK_INT(kill(c.pid, 0), ==, -1);
    rip__os_close(c.pidfd);
}

/* getrusage(2) says the same of all our children. */
TEST(cpu_time_is_told_as_the_kernel_has_it)
{
    struct spawning p;
    struct rip__os_spawned c;
    struct rip__os_status status;
    struct rusage all;
    prepare(&p, "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); "
                "echo x >/dev/null; done");
    CHECK_OK(rip__os_spawn(&c, &p.s));
    struct pollfd ended = { .fd = c.pidfd, .events = POLLIN };
    CHECK_OK(rip__os_poll(&ended, 1, RIP_FOREVER));
    CHECK_INT(rip__os_reap(c.pidfd, false, &status), ==, 1);
    getrusage(RUSAGE_CHILDREN, &all);
    CHECK_INT(status.user_ns, ==,
              all.ru_utime.tv_sec * 1000000000 + all.ru_utime.tv_usec * 1000);
    CHECK_INT(status.system_ns, ==,
              all.ru_stime.tv_sec * 1000000000 + all.ru_stime.tv_usec * 1000);
    CHECK_INT(status.max_rss_bytes, ==, all.ru_maxrss * 1024);
    rip__os_close(c.pidfd);
}

TEST(a_status_that_another_took_is_still_known)
{
    struct spawning p;
    struct rip__os_spawned c;
    struct rip__os_status status;
    prepare(&p, "exit 9");
    CHECK_OK(rip__os_spawn(&c, &p.s));
    CHECK_INT(waitpid(-1, NULL, 0), ==, c.pid);
    CHECK_INT(rip__os_reap(c.pidfd, false, &status), ==, 1);
    rip__os_close(c.pidfd);
    if (!status.known)
        SKIP("this kernel keeps no second copy of a status");
    CHECK_INT(WEXITSTATUS(status.wait_status), ==, 9);
}

TEST(a_status_that_another_took_is_unknown_on_old_kernels)
{
    struct spawning p;
    struct rip__os_spawned c;
    struct rip__os_status status;
    fault_always(SYS_ioctl, ENOTTY);
    prepare(&p, "exit 9");
    CHECK_OK(rip__os_spawn(&c, &p.s));
    CHECK_INT(waitpid(-1, NULL, 0), ==, c.pid);
    CHECK_INT(rip__os_reap(c.pidfd, false, &status), ==, 1);
    CHECK(!status.known);
    rip__os_close(c.pidfd);
}

/* ---- what is left ------------------------------------------------------ */

static int count_mappings(void)
{
    char line[512];
    int n = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, f))
        n++;
    fclose(f);
    return n;
}

static void check_leaves_no_memory(void)
{
    CHECK_INT(run_script("exit 0"), ==, 0);
    int before = count_mappings();
    for (int i = 0; i < 10; i++)
        CHECK_INT(run_script("exit 0"), ==, 0);
    CHECK_INT(count_mappings(), <, before + 5);
}
IN_EVERY_WORLD(leaves_no_memory)

/* Of one that runs on and on, and is not held by anything. */
static void check_without_pidfd_there_is_no_child(void)
{
    struct spawning p;
    fault_always(SYS_pidfd_open, EMFILE);
    prepare(&p, "exec sleep 1000");
    check_failing(&p, RIP__STEP_CLONE, 0, -EMFILE);
}

TEST(without_pidfd_there_is_no_child)
{
    enter_old_emulator();
    check_without_pidfd_there_is_no_child();
}

/* However a filter or a kernel says that it has no clone3. */
TEST(every_way_in_which_clone3_can_be_missing)
{
    const int errors[] = { EPERM, EINVAL, ENOSYS }; /* that is kept in mind */
    for (size_t i = 0; i < 3; i++) {
        harness_note("%s", strerror(errors[i]));
        fault_once(SYS_clone3, errors[i]);
        CHECK_INT(run_script("exit 4"), ==, 4);
    }
}
