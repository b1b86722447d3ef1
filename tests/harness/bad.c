/* SPDX-License-Identifier: MIT */

/* Tests that fail, each in its own way, for harness_test.c to run. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "os/os.h"

TEST(good)
{
    puts("a good test's output is not shown");
}

TEST(leaks_fd)
{
    CHECK(open("/dev/full", O_RDONLY) == 3);
}

TEST(closes_fd)
{
    close(0);
}

TEST(changes_fd_flags)
{
    CHECK(fcntl(0, F_SETFL, O_NONBLOCK) == 0);
}

TEST(leaks_child)
{
    if (fork() == 0)
        for (;;)
            pause();
}

TEST(leaks_zombie)
{
    siginfo_t info;
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
}

static void *sleeper(void *arg)
{
    for (;;)
        pause();
    return arg;
}

TEST(leaks_thread)
{
    pthread_t t;

    CHECK(pthread_create(&t, NULL, sleeper, NULL) == 0);
    CHECK(pthread_setname_np(t, "left-over") == 0);
}

TEST(joins_threads)
{
    pthread_t t;

    for (int i = 0; i < 50; i++) {
        CHECK(pthread_create(&t, NULL, sleeper, NULL) == 0);
        CHECK(pthread_cancel(t) == 0);
        CHECK(pthread_join(t, NULL) == 0);
    }
}

/* Taken away by whoever runs this. */
TEST(leaks_shm)
{
    int fd = shm_open(getenv("BAD_SHM"), O_CREAT | O_EXCL | O_RDWR, 0600);

    CHECK(fd >= 0);
    close(fd);
}

TEST(leaks_file)
{
    FILE *f = fopen("left-over", "w");

    CHECK(f != NULL);
    fclose(f);
}

__attribute__((noinline)) static void *leaky_function(void)
{
    char *p = rip__seam.resize(NULL, 77);

    CHECK(p != NULL); /* so that this is no jump to resize */
    return p;
}

TEST(leaks_allocation)
{
    void *p = leaky_function();
    void *q = rip__seam.resize(NULL, 5);
    void *r = rip__seam.resize(rip__seam.resize(NULL, 6), 600);
    void *s = rip__seam.resize(NULL, 7);

    CHECK(p != NULL && q != NULL && r != NULL && s != NULL);
    rip__seam.release(q);
    rip__seam.release(r);
    free(harness_take(s));
}

TEST(leaks_mask)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

TEST(leaks_disposition)
{
    signal(SIGPIPE, SIG_IGN);
}

TEST(leaks_directory)
{
    CHECK(chdir("/") == 0);
}

TEST(leaks_orphan)
{
    int fd[2], status;
    char c;
    pid_t pid;

    CHECK(pipe(fd) == 0);
    pid = fork();
    if (pid == 0) {
        if (fork() > 0)
            _exit(0);
        setsid();
        close(fd[0]);
        close(fd[1]);
        for (;;)
            pause();
    }
    close(fd[1]);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(read(fd[0], &c, 1) == 0); /* the orphan is there and waits */
    close(fd[0]);
}

static void *hangs_in_thread(void *arg)
{
    for (;;)
        pause();
    return arg;
}

/* A thread that only the kernel or a debugger can say something about. */
static void *hangs_blocked(void *arg)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    for (;;)
        pause();
    return arg;
}

__attribute__((noinline)) static void hangs_here(void)
{
    for (;;)
        pause();
}

TEST_WITH(hangs, .deadline = 0.5)
{
    pthread_t t, u;

    CHECK(pthread_create(&t, NULL, hangs_in_thread, NULL) == 0);
    CHECK(pthread_create(&u, NULL, hangs_blocked, NULL) == 0);
    CHECK(pthread_setname_np(u, "deaf") == 0);
    hangs_here();
}

__attribute__((noinline)) static void hangs_in_child(void)
{
    for (;;)
        poll(NULL, 0, -1);
}

TEST_WITH(hangs_with_children, .deadline = 0.5)
{
    harness_note("while waiting for %s", "children");
    if (fork() == 0) {
        if (fork() == 0)
            execlp("sleep", "sleep", "1000", NULL);
        hangs_in_child();
    }
    waitpid(-1, NULL, 0);
}

TEST(crashes)
{
    puts("said before the crash");
    raise(SIGSEGV);
}

TEST(exits)
{
    exit(0);
}

TEST(exits_at_once)
{
    _exit(0);
}

TEST(interrupts_runner)
{
    kill(getppid(), SIGTERM);
    hangs_here();
}

/* For a build with the undefined behaviour sanitizer. */
TEST(overflows)
{
    volatile int n = INT_MAX;

    n++;
}

TEST(fails_int)
{
    int n = 41;

    CHECK_INT(n + 1, <, n);
}

TEST(fails_str)
{
    CHECK_STR("one\ntwo", "one\nthree");
}

TEST(fails_null)
{
    CHECK_STR(NULL, "something");
}

TEST(fails_glob)
{
    CHECK_GLOB("chdir /nope", "exec *");
}

TEST(fails_mem)
{
    CHECK_MEM("ab\0c", 4, "ab\0d", 4);
}

TEST(fails_ok)
{
    CHECK_OK(-ENOENT);
}

TEST(fails_err)
{
    CHECK_ERR(-EPIPE, -EINVAL);
}

TEST(fails_in_child)
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        FAIL("from the child");
    while (waitpid(pid, &status, 0) != pid)
        ;
    hangs_here();
}

TEST(returns_in_child)
{
    if (fork() != 0)
        hangs_here();
}

static void *fails(void *arg)
{
    FAIL("from a thread");
    return arg;
}

TEST(fails_in_thread)
{
    pthread_t t;

    CHECK(pthread_create(&t, NULL, fails, NULL) == 0);
    pthread_join(t, NULL);
    hangs_here();
}

TEST(fails_without_stderr)
{
    close(2);
    FAIL("said all the same");
}

TEST(skips)
{
    SKIP("no %s here", "moon");
}

TEST(leaves_dying_orphan)
{
    int fd[2];
    pid_t orphan = 0;

    CHECK(pipe(fd) == 0);
    if (fork() == 0) {
        pid_t pid = fork();

        if (pid == 0)
            for (;;)
                pause();
        _exit(write(fd[1], &pid, sizeof pid) != sizeof pid);
    }
    CHECK(wait(NULL) > 0);
    CHECK(read(fd[0], &orphan, sizeof orphan) == sizeof orphan);
    kill(orphan, SIGKILL);
    close(fd[0]);
    close(fd[1]);
}

/* ---- scenarios of faults ---------------------------------------------- */

static long call(long nr, long a, long b, long c)
{
    return rip__seam.syscall(nr, (const long[6]){ a, b, c });
}

static long open_zero(void)
{
    return call(SYS_openat, AT_FDCWD, (long)"/dev/zero", O_RDONLY);
}

/* Five calls. With `careless`, the descriptor is left open when the memory
 * for what is read cannot be had. */
/* cppcheck-suppress constParameter ; it is what fault_sweep takes */
static void read_zeros(void *careless)
{
    long fd = open_zero(), n;
    char *p;

    if (fd < 0)
        return;
    p = rip__seam.resize(NULL, 4);
    if (p == NULL && careless != NULL)
        return;
    if (p != NULL) {
        n = call(SYS_read, fd, (long)p, 4);
        CHECK(n == 4 || n == 1 || n == -EINTR || n == -EIO);
    }
    call(SYS_rt_sigpending, (long)&(uint64_t){ 0 }, 8, 0);
    call(SYS_close, fd, 0, 0);
    rip__seam.release(p);
}

/* openat 4 * 2 + 1, memory 2, read 1 + 2 + 2, close 2 */
TEST(sweeps)
{
    CHECK_INT(fault_sweep(read_zeros, NULL, NULL), ==, 18);
}

TEST(sweeps_in_part)
{
    const long except[] = { SYS_openat, FAULT_MEMORY, FAULT_LAST };
    struct fault_options options = { .except = except };

    CHECK_INT(fault_sweep(read_zeros, NULL, &options), ==, 7);
}

static void allocate_often(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 100; i++)
        rip__seam.release(rip__seam.resize(NULL, 1));
}

/* Five calls at each end, and four between them, twice. */
TEST(sweeps_a_choice)
{
    struct fault_options options = { .most = 12 };

    CHECK_INT(fault_sweep(allocate_often, NULL, &options), ==, 28);
}

TEST(sweep_leaks)
{
    bool careless = true;

    fault_sweep(read_zeros, &careless, NULL);
}

/* Waits for ever for a second byte, if the first read is short. */
static void read_all(void *ctx)
{
    long fd = open_zero(), n;
    char buf[2];

    (void)ctx;
    if (fd < 0)
        return;
    n = call(SYS_read, fd, (long)buf, 2);
    while (n == 1)
        poll(NULL, 0, -1);
    call(SYS_close, fd, 0, 0);
}

TEST(sweep_hangs)
{
    fault_sweep(read_all, NULL, &(struct fault_options){ .deadline = 0.5 });
}

static void crash_unless_opened(void *ctx)
{
    long fd = open_zero();

    (void)ctx;
    if (fd == -ENFILE)
        raise(SIGSEGV);
    if (fd >= 0)
        call(SYS_close, fd, 0, 0);
}

TEST(sweep_crashes)
{
    fault_sweep(crash_unless_opened, NULL, NULL);
}

/* A process that nobody knows of, when the file could not be opened. */
static void orphan_unless_opened(void *ctx)
{
    long fd = open_zero();

    (void)ctx;
    if (fd >= 0)
        call(SYS_close, fd, 0, 0);
    else if (fork() == 0) {
        if (fork() == 0)
            for (;;)
                poll(NULL, 0, -1);
        _exit(0);
    } else
        wait(NULL);
}

TEST(sweep_orphans)
{
    fault_sweep(orphan_unless_opened, NULL, NULL);
}

static void unknown_call(void *ctx)
{
    (void)ctx;
    call(SYS_times, 0, 0, 0);
}

TEST(sweep_meets_unknown_call)
{
    fault_sweep(unknown_call, NULL, NULL);
}

/* The child shares our memory, and its calls are counted and fail. */
static void vfork_and_open(void *ctx)
{
    int status;
    volatile long fd = 0;
    pid_t pid = vfork();

    (void)ctx;
    if (pid == 0) {
        fd = open_zero();
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(fd >= 0 || fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ||
          fd == -EACCES || fd == -EINTR);
}

TEST(sweeps_through_vfork)
{
    CHECK_INT(fault_sweep(vfork_and_open, NULL, NULL), ==, 9);
}

TEST(forces_faults)
{
    long fd;

    fault_always(SYS_openat, ENOSYS);
    CHECK_ERR(open_zero(), -ENOSYS);
    CHECK_ERR(open_zero(), -ENOSYS);
    fault_once(FAULT_MEMORY, ENOMEM);
    CHECK(rip__seam.resize(NULL, 1) == NULL);
    rip__seam.release(rip__seam.resize(NULL, 1));
    fd = call(SYS_dup, 0, 0, 0);
    CHECK_INT(fd, ==, 3);
    fault_once(SYS_close, EINTR);
    CHECK_ERR(call(SYS_close, fd, 0, 0), -EINTR);
    CHECK_OK(call(SYS_close, fd, 0, 0));
}
