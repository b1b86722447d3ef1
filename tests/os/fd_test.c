/* SPDX-License-Identifier: MIT */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"

static bool is_cloexec(int fd)
{
    return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

static void make_pipe(int fd[2])
{
    CHECK_OK(rip__os_pipe(fd));
}

static void close_pipe(int fd[2])
{
    rip__os_close(fd[0]);
    rip__os_close(fd[1]);
}

TEST(descriptors_are_close_on_exec)
{
    int fd[2], file;
    make_pipe(fd);
    file = (int)CHECK_OK(rip__os_open("/dev/null", O_RDONLY, 0));
    CHECK(is_cloexec(fd[0]));
    CHECK(is_cloexec(fd[1]));
    CHECK(is_cloexec(file));
    rip__os_close(file);
    close_pipe(fd);
}

/* With standard streams closed a pipe would get their numbers. */
static void make_pipe_without_streams(void *arg)
{
    int fd[2], saved[3];
    (void)arg;
    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        close(i);
    }
    int r = rip__os_pipe(fd);
    bool closed =
        fcntl(0, F_GETFD) < 0 && fcntl(1, F_GETFD) < 0 && fcntl(2, F_GETFD) < 0;
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    CHECK(closed);
    if (r == 0) {
        CHECK(is_cloexec(fd[0]));
        CHECK(is_cloexec(fd[1]));
        close_pipe(fd);
    }
}

TEST(a_pipe_is_no_standard_stream_and_survives_every_fault)
{
    CHECK_INT(fault_sweep(make_pipe_without_streams, NULL, NULL), >, 2);
}

/* Whichever call it strikes. */
TEST(interruptions_are_not_seen)
{
    const long calls[] = { SYS_openat, SYS_read, SYS_pwritev2 };
    char x = 0;
    int fd[2];
    make_pipe(fd);
    for (size_t i = 0; i < 3; i++)
        fault_once(calls[i], EINTR);
    rip__os_close((int)CHECK_OK(rip__os_open("/dev/null", O_RDONLY, 0)));
    CHECK_INT(rip__os_write(fd[1], "x", 1), ==, 1);
    CHECK_INT(rip__os_read(fd[0], &x, 1), ==, 1);
    CHECK_INT(x, ==, 'x');
    fault_always(SYS_pwritev2, EOPNOTSUPP);
    fault_once(SYS_write, EINTR);
    CHECK_INT(rip__os_write(fd[1], "y", 1), ==, 1);
    close_pipe(fd);
}

static void write_to_closed_pipe(void)
{
    int fd[2];
    make_pipe(fd);
    rip__os_close(fd[0]);
    CHECK_ERR(rip__os_write(fd[1], "x", 1), -EPIPE);
    rip__os_close(fd[1]);
}

static bool sigpipe_is_pending(void)
{
    sigset_t set;
    sigpending(&set);
    return sigismember(&set, SIGPIPE);
}

TEST(a_closed_pipe_raises_no_signal)
{
    write_to_closed_pipe();
    CHECK(!sigpipe_is_pending());
}

TEST(nor_does_it_without_RWF_NOSIGNAL)
{
    fault_always(SYS_pwritev2, EOPNOTSUPP);
    write_to_closed_pipe();
    write_to_closed_pipe();
    CHECK(!sigpipe_is_pending());
}

TEST(a_sigpipe_that_was_pending_stays)
{
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    raise(SIGPIPE);
    fault_always(SYS_pwritev2, ENOSYS);
    write_to_closed_pipe();
    CHECK(sigpipe_is_pending());
    CHECK_INT(sigtimedwait(&set, NULL, &(struct timespec){ 0, 0 }), ==,
              SIGPIPE);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

TEST(write_goes_on_after_the_last_byte)
{
    char buf[8];
    int fd = (int)CHECK_OK(rip__os_open("f", O_RDWR | O_CREAT, 0600));
    CHECK_INT(rip__os_write(fd, "ab", 2), ==, 2);
    CHECK_INT(rip__os_write(fd, "cd", 2), ==, 2);
    CHECK_INT(pread(fd, buf, sizeof buf, 0), ==, 4);
    CHECK_MEM(buf, 4, "abcd", 4);
    rip__os_close(fd);
    unlink("f");
}

TEST(poll_ends_at_its_deadline)
{
    int fd[2];
    make_pipe(fd);
    struct pollfd p = { .fd = fd[0], .events = POLLIN };
    rip_time deadline = rip_after_ms(30);
    CHECK_INT(rip__os_poll(&p, 1, deadline), ==, 0);
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK_INT(rip__os_poll(&p, 1, RIP_NOW), ==, 0);
    CHECK_INT(rip__os_poll(&p, 1, -5), ==, 0);
    CHECK_OK(rip__os_write(fd[1], "x", 1));
    CHECK_INT(rip__os_poll(&p, 1, RIP_FOREVER), ==, 1);
    close_pipe(fd);
}

struct interrupting {
    pthread_t target;
    volatile bool done;
};

static void handle(int sig)
{
    (void)sig;
}

static void *interrupt_often(void *arg)
{
    struct interrupting *i = arg;
    while (!i->done) {
        pthread_kill(i->target, SIGUSR1);
        sched_yield();
    }
    return NULL;
}

TEST(signals_do_not_move_a_deadline)
{
    struct sigaction act = { .sa_handler = handle }, old;
    struct interrupting i = { .target = pthread_self() };
    pthread_t thread;
    sigaction(SIGUSR1, &act, &old);
    pthread_create(&thread, NULL, interrupt_often, &i);
    rip_time deadline = rip_after_ms(100);
    CHECK_INT(rip__os_poll(NULL, 0, deadline), ==, 0);
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK_INT(rip_time_now() - deadline, <, 2000000000);
    i.done = true;
    pthread_join(thread, NULL);
    sigaction(SIGUSR1, &old, NULL);
}

TEST(slurp_refuses_what_does_not_fit)
{
    char buf[4];
    int fd = (int)CHECK_OK(rip__os_open("f", O_WRONLY | O_CREAT, 0600));
    CHECK_INT(rip__os_write(fd, "abc", 3), ==, 3);
    CHECK_INT(rip__os_slurp("f", buf, sizeof buf), ==, 3);
    CHECK_STR(buf, "abc");
    CHECK_INT(rip__os_write(fd, "d", 1), ==, 1);
    CHECK_ERR(rip__os_slurp("f", buf, sizeof buf), -EMSGSIZE);
    CHECK_ERR(rip__os_slurp("nothing", buf, sizeof buf), -ENOENT);
    rip__os_close(fd);
    unlink("f");
}

TEST(errno_is_left_alone)
{
    errno = 77;
    CHECK_ERR(rip__os_open("/nope", O_RDONLY, 0), -ENOENT);
    CHECK_INT(errno, ==, 77);
#if !defined(__SANITIZE_ADDRESS__) /* which ends us instead */
    CHECK(!rip__seam_real.resize(NULL, SIZE_MAX / 2));
    CHECK_INT(errno, ==, 77);
#endif
    const long wrong[6] = { CLONE_SIGHAND }; /* which wants CLONE_VM */
    CHECK_ERR(rip__seam_real.syscall(SYS_clone, wrong), -EINVAL);
    CHECK_INT(errno, ==, 77);
}
