/* SPDX-License-Identifier: MIT */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"

/* What runs is a shell line, that tells by its status or output what it
 * found. */
static const char *const shell[] = { "/bin/sh", NULL };
static const char *const no_env[] = { "PATH=/usr/bin:/bin", NULL };

struct spawning {
    struct rip__os_spawn s;
    const char *argv[4];
};

static void prepare(struct spawning *p, const char *script)
{
    *p = (struct spawning){ .argv = { "sh", "-c", script, NULL } };
    p->s.paths = shell;
    p->s.argv = p->argv;
    p->s.envp = no_env;
}

static int status_of(const struct rip__os_spawned *c)
{
    struct rip__os_status status;
    struct pollfd ended = { .fd = c->pidfd, .events = POLLIN };
    CHECK_OK(rip__os_poll(&ended, 1, RIP_FOREVER));
    CHECK_INT(rip__os_reap(c->pidfd, false, &status), ==, 1);
    CHECK(status.known);
    rip__os_close(c->pidfd);
    return status.wait_status;
}

/* The exit status of a script. */
static int run(struct spawning *p)
{
    struct rip__os_spawned c;
    CHECK_OK(rip__os_spawn(&c, &p->s));
    CHECK(c.pid > 0);
    int status = status_of(&c);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int run_script(const char *script)
{
    struct spawning p;
    prepare(&p, script);
    return run(&p);
}

/* What a script prints on descriptor `target`, with the redirections of `p`
 * as they are. */
static const char *output_of(struct spawning *p, int target)
{
    static char text[4096];
    struct rip__os_spawned c;
    int fd[2];
    CHECK_OK(rip__os_pipe(fd));
    p->s.redirect[target] = (struct rip__os_redirect){ RIP__PIPE, fd[1] };
    CHECK_OK(rip__os_spawn(&c, &p->s));
    rip__os_close(fd[1]);
    size_t len = 0;
    ssize_t r;
    while ((r = CHECK_OK(
                rip__os_read(fd[0], text + len, sizeof text - len - 1))) > 0)
        len += (size_t)r;
    text[len] = 0;
    rip__os_close(fd[0]);
    CHECK_INT(status_of(&c), ==, 0);
    return text;
}

static const char *script_output(const char *script)
{
    struct spawning p;
    prepare(&p, script);
    return output_of(&p, 1);
}

/* ---- the worlds in which all of the above must hold ------------------- */

/* An emulator: no clone3, and vfork is fork; older ones have no CLONE_PIDFD
 * either. */
static long (*next_call)(long nr, const long args[6]);
static bool no_clone_pidfd;

static long emulate(long nr, const long args[6])
{
    if (nr == SYS_clone3)
        return -ENOSYS;
    if (nr == SYS_clone && no_clone_pidfd && (args[0] & CLONE_PIDFD))
        return -EINVAL;
    if (nr == SYS_clone) {
        long fork[6] = { args[0] & ~(long)(CLONE_VM | CLONE_VFORK),
                         args[1],
                         args[2],
                         args[3],
                         args[4],
                         args[5] };
        return next_call(nr, fork);
    }
    return next_call(nr, args);
}

static void enter_emulator(void)
{
    next_call = rip__seam.syscall;
    rip__seam.syscall = emulate;
}

static void enter_old_emulator(void)
{
    no_clone_pidfd = true;
    enter_emulator();
}

static void enter_native(void)
{
}

static void lose_clone3(void)
{
    fault_always(SYS_clone3, ENOSYS);
}

static void lose_close_range(void)
{
    fault_always(SYS_close_range, ENOSYS);
}

static void lose_both(void)
{
    lose_clone3();
    lose_close_range();
}

#define IN_EVERY_WORLD(what)         \
    TEST(what)                       \
    {                                \
        enter_native();              \
        check_##what();              \
    }                                \
    TEST(what##_without_clone3)      \
    {                                \
        lose_clone3();               \
        check_##what();              \
    }                                \
    TEST(what##_without_close_range) \
    {                                \
        lose_close_range();          \
        check_##what();              \
    }                                \
    TEST(what##_without_both)        \
    {                                \
        lose_both();                 \
        check_##what();              \
    }                                \
    TEST(what##_where_vfork_is_fork) \
    {                                \
        enter_emulator();            \
        check_##what();              \
    }                                \
    TEST(what##_in_an_old_emulator)  \
    {                                \
        enter_old_emulator();        \
        check_##what();              \
    }

static void check_runs_a_program(void)
{
    CHECK_INT(run_script("exit 7"), ==, 7);
    CHECK_INT(run_script("exit 0"), ==, 0);
}
IN_EVERY_WORLD(runs_a_program)

static void check_failing(struct spawning *p, enum rip__os_step step, int index,
                          int code)
{
    struct rip__os_spawned c;
    CHECK_ERR(rip__os_spawn(&c, &p->s), code);
    CHECK_INT(c.step, ==, step);
    CHECK_INT(c.index, ==, index);
    CHECK_INT(c.pid, ==, -1);
    CHECK_INT(waitpid(-1, NULL, __WALL | WNOHANG), ==, -1);
    CHECK_INT(errno, ==, ECHILD);
}

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
    p.s.redirect[1] = (struct rip__os_redirect){ RIP__COPY, 999 };
    check_failing(&p, RIP__STEP_REDIRECT, 1, -EBADF);
}
IN_EVERY_WORLD(tells_the_failing_step)

TEST(tells_the_failing_step_where_vfork_is_fork_without_close_range)
{
    lose_close_range();
    enter_emulator();
    check_tells_the_failing_step();
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

static void check_signals_are_as_at_birth(void)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, old[2];
    sigset_t mask, before, after;
    sigaction(SIGPIPE, &ignore, &old[0]);
    sigaction(SIGRTMIN, &ignore, &old[1]);
    sigfillset(&mask);
    pthread_sigmask(SIG_SETMASK, &mask, &before);
    CHECK_STR(script_output("exec grep -E 'Sig(Blk|Ign)' /proc/self/status"),
              "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    pthread_sigmask(SIG_SETMASK, &before, &after);
    CHECK(sigismember(&after, SIGTERM) && sigismember(&after, SIGCHLD));
    sigaction(SIGPIPE, &old[0], NULL);
    sigaction(SIGRTMIN, &old[1], NULL);
}
IN_EVERY_WORLD(signals_are_as_at_birth)

static void handler(int sig)
{
    (void)sig;
}

/* From the first to the last, but for SIGCHLD, which would take the status
 * away. */
static void check_no_signal_stays_ignored(void)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, old[65];
    for (int sig = 1; sig <= 64; sig++)
        sigaction(sig, sig == SIGCHLD ? NULL : &ignore, &old[sig]);
    CHECK_STR(script_output("exec grep SigIgn /proc/self/status"),
              "SigIgn:\t0000000000000000\n");
    for (int sig = 1; sig <= 64; sig++)
        sigaction(sig, &old[sig], NULL);
}
IN_EVERY_WORLD(no_signal_stays_ignored)

static long (*world)(long nr, const long args[6]);

/* Whoever asks for a pidfd of one that has become another program is so slow
 * that it has ended by then. */
static long ask_late(long nr, const long args[6])
{
    char path[40], ours[4096], theirs[4096];
    if (nr == SYS_pidfd_open) {
        snprintf(path, sizeof path, "/proc/%d/exe", (int)args[0]);
        ssize_t n = readlink("/proc/self/exe", ours, sizeof ours);
        while (readlink(path, theirs, sizeof theirs) > 0 &&
               memcmp(ours, theirs, (size_t)n) != 0)
            sched_yield();
    }
    return world(nr, args);
}

/* Where SIGCHLD is ignored nothing is left of a child that has ended. */
static void check_ignored_children_are_held(void)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
    struct rip__os_status status;
    struct rip__os_spawned c;
    struct spawning p;
    world = rip__seam.syscall;
    rip__seam.syscall = ask_late;
    sigaction(SIGCHLD, &ignore, &old);
    prepare(&p, "exit 9");
    CHECK_OK(rip__os_spawn(&c, &p.s));
    struct pollfd ended = { .fd = c.pidfd, .events = POLLIN };
    CHECK_OK(rip__os_poll(&ended, 1, RIP_FOREVER));
    while (rip__os_reap(c.pidfd, false, &status) == 0)
        sched_yield();
    CHECK(!status.known || WEXITSTATUS(status.wait_status) == 9);
    rip__os_close(c.pidfd);
    sigaction(SIGCHLD, &old, NULL);
}
IN_EVERY_WORLD(ignored_children_are_held)

/* What the child has when it makes a system call of that number. */
static long look_at;
static struct {
    uint64_t blocked;
    bool handled;
} * seen;

static long look(long nr, const long args[6])
{
    if (nr == look_at) {
        struct {
            void (*handler)(int);
            unsigned long flags;
            void (*restorer)(void);
            uint64_t mask;
        } action = { 0 };
        const long mask[6] = { SIG_BLOCK, 0, (long)&seen->blocked, 8 };
        const long usr1[6] = { SIGUSR1, 0, (long)&action, 8 };
        next_call(SYS_rt_sigprocmask, mask);
        next_call(SYS_rt_sigaction, usr1);
        seen->handled = (uintptr_t)action.handler > 1;
    }
    return next_call(nr, args);
}

static void look_at_call(long nr)
{
    look_at = nr;
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    next_call = rip__seam.syscall;
    rip__seam.syscall = look;
}

/* In our memory a handler would run with our data; and what is sent to our
 * group must not end a child that has not unblocked it yet. */
static void check_every_signal_is_blocked_meanwhile(long call)
{
    look_at_call(call);
    CHECK_INT(run_script("exit 0"), ==, 0);
    const uint64_t kill_and_stop = 1ull << (SIGKILL - 1) | 1ull
                                                               << (SIGSTOP - 1);
    CHECK_INT(seen->blocked | kill_and_stop, ==, ~0ull);
}

TEST(every_signal_is_blocked_meanwhile)
{
    check_every_signal_is_blocked_meanwhile(SYS_clone3);
}

TEST(every_signal_is_blocked_meanwhile_without_clone3)
{
    lose_clone3();
    check_every_signal_is_blocked_meanwhile(SYS_clone);
}

static void handler(int sig);

TEST(no_handler_is_left_when_signals_are_unblocked)
{
    struct sigaction handle = { .sa_handler = handler }, old;
    struct spawning p;
    lose_clone3();
    sigaction(SIGUSR1, &handle, &old);
    look_at_call(SYS_execve);
    prepare(&p, "exit 0");
    p.s.keep_ignored = true;
    CHECK_INT(run(&p), ==, 0);
    CHECK_INT(seen->blocked, ==, 0);
    CHECK(!seen->handled);
    sigaction(SIGUSR1, &old, NULL);
}

static void check_ignored_signals_can_be_kept(void)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    struct sigaction handle = { .sa_handler = handler };
    struct sigaction old[2];
    struct spawning p;
    sigaction(SIGHUP, &ignore, &old[0]);
    sigaction(SIGUSR1, &handle, &old[1]);
    prepare(&p, "exec cat /proc/self/status");
    p.s.keep_ignored = true;
    CHECK_GLOB(output_of(&p, 1), "*\nSigIgn:\t0000000000000001\n"
                                 "SigCgt:\t0000000000000000\n*");
    sigaction(SIGHUP, &old[0], NULL);
    sigaction(SIGUSR1, &old[1], NULL);
}
IN_EVERY_WORLD(ignored_signals_can_be_kept)

/* ls has one more: the folder that it reads. */
#define LIST_FDS "exec /bin/ls -C -w 0 /proc/self/fd"

static void check_other_descriptors_do_not_leak(void)
{
    int fds[100], low, high;
    for (int i = 0; i < 100; i++)
        fds[i] = open("/dev/null", O_RDONLY); /* not close-on-exec */
    low = dup2(fds[0], 3);
    high = dup2(fds[0], 700);
    CHECK_STR(script_output(LIST_FDS), "0  1  2  3\n");
    for (int i = 0; i < 100; i++)
        close(fds[i]);
    close(low);
    close(high);
}
IN_EVERY_WORLD(other_descriptors_do_not_leak)

/* stdout and stderr change places. */
static void check_swaps_come_out_right(void)
{
    struct spawning p;
    struct rip__os_spawned c;
    int out[2], err[2], saved[2] = { dup(1), dup(2) };
    char text[16];
    CHECK_OK(rip__os_pipe(out));
    CHECK_OK(rip__os_pipe(err));
    dup2(out[1], 1);
    dup2(err[1], 2);
    prepare(&p, "echo to-out; echo to-err >&2");
    p.s.redirect[1] = (struct rip__os_redirect){ RIP__COPY, 2 };
    p.s.redirect[2] = (struct rip__os_redirect){ RIP__COPY, 1 };
    int r = rip__os_spawn(&c, &p.s);
    dup2(saved[0], 1);
    dup2(saved[1], 2);
    CHECK_OK(r);
    CHECK_INT(status_of(&c), ==, 0);
    CHECK_INT(read(out[0], text, sizeof text), ==, 7);
    CHECK_MEM(text, 7, "to-err\n", 7);
    CHECK_INT(read(err[0], text, sizeof text), ==, 7);
    CHECK_MEM(text, 7, "to-out\n", 7);
    const int all[] = { out[0], out[1], err[0], err[1], saved[0], saved[1] };
    for (size_t i = 0; i < 6; i++)
        close(all[i]);
}
IN_EVERY_WORLD(swaps_come_out_right)

/* Where all comes from 0 to 2 nothing else is copied, nor closed later. */
static void check_only_streams_are_passed_on(void)
{
    struct spawning p;
    struct rip__os_spawned c;
    char text[64] = "";
    int out[2], saved = fcntl(1, F_DUPFD_CLOEXEC, 10);
    CHECK_OK(rip__os_pipe(out));
    dup2(out[1], 1);
    prepare(&p, LIST_FDS);
    p.s.redirect[0].kind = RIP__NULL;
    p.s.redirect[2] = (struct rip__os_redirect){ RIP__COPY, 1 };
    int r = rip__os_spawn(&c, &p.s);
    dup2(saved, 1);
    close(saved);
    CHECK_OK(r);
    CHECK_INT(status_of(&c), ==, 0);
    CHECK_INT(read(out[0], text, sizeof text - 1), >, 0);
    CHECK_STR(text, "0  1  2  3\n");
    rip__os_close(out[0]);
    rip__os_close(out[1]);
}
IN_EVERY_WORLD(only_streams_are_passed_on)

/* With 0 to 2 closed here, pipes and whatever else is opened get just these
 * numbers. */
static void check_works_with_0_1_2_closed(void)
{
    int saved[3];
    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        close(i);
    }
    struct spawning p;
    prepare(&p, "read x; echo got $x; echo no >&2; " LIST_FDS);
    int in[2];
    CHECK_INT(pipe2(in, O_CLOEXEC), ==, 0);
    CHECK_INT(in[0], ==, 0);
    CHECK_INT(rip__os_write(in[1], "it\n", 3), ==, 3);
    p.s.redirect[0] = (struct rip__os_redirect){ RIP__PIPE, in[0] };
    p.s.redirect[2].kind = RIP__NULL;
    char text[64];
    snprintf(text, sizeof text, "%s", output_of(&p, 1));
    rip__os_close(in[0]);
    rip__os_close(in[1]);
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    CHECK_STR(text, "got it\n0  1  2  3\n");
}
IN_EVERY_WORLD(works_with_0_1_2_closed)

static void check_an_inherited_closed_one_stays_closed(void)
{
    int saved = fcntl(0, F_DUPFD_CLOEXEC, 10);
    close(0);
    CHECK_INT(run_script("test -e /proc/self/fd/0; exit $?"), ==, 1);
    dup2(saved, 0);
    close(saved);
}
IN_EVERY_WORLD(an_inherited_closed_one_stays_closed)

static void check_null_reads_and_writes(void)
{
    struct spawning p;
    prepare(&p, "read x && exit 1; echo x && echo y >&2");
    for (int i = 0; i < 3; i++)
        p.s.redirect[i].kind = RIP__NULL;
    CHECK_INT(run(&p), ==, 0);
    prepare(&p, LIST_FDS);
    p.s.redirect[0].kind = p.s.redirect[2].kind = RIP__NULL;
    CHECK_STR(output_of(&p, 1), "0  1  2  3\n");
    prepare(&p, LIST_FDS);
    p.s.redirect[2] = (struct rip__os_redirect){ RIP__COPY, 0 };
    CHECK_STR(output_of(&p, 1), "0  1  2  3\n");
}
IN_EVERY_WORLD(null_reads_and_writes)

static void check_a_group_of_its_own(void)
{
    struct spawning p;
    prepare(&p, "set -- $(cat /proc/$$/stat); test $5 = $$");
    CHECK_INT(run(&p), ==, 1);
    p.s.group = RIP__GROUP_OWN;
    CHECK_INT(run(&p), ==, 0);
}
IN_EVERY_WORLD(a_group_of_its_own)

/* ---- pipes with high numbers, which are opened anew ------------------- */

static int open_many(int *fds, int n)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < (rlim_t)n + 100)
        SKIP("needs %d open files, the limit is %llu", n,
             (unsigned long long)limit.rlim_cur);
    for (int i = 0; i < n; i++)
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fds[n - 1];
}

static void check_pipes_with_high_numbers(void)
{
    static int fds[600];
    open_many(fds, 600);
    struct spawning p;
    prepare(&p, "read x; echo got $x; " LIST_FDS);
    int in[2];
    CHECK_OK(rip__os_pipe(in));
    CHECK_INT(in[0], >, 256);
    p.s.redirect[0] = (struct rip__os_redirect){ RIP__PIPE, in[0] };
    CHECK_INT(rip__os_write(in[1], "it\n", 3), ==, 3);
    CHECK_STR(output_of(&p, 1), "got it\n0  1  2  3\n");
    /* Opened anew without waiting, but the program is to wait. */
    prepare(&p, "exec cat /proc/self/fdinfo/0 /proc/self/fdinfo/1");
    p.s.redirect[0] = (struct rip__os_redirect){ RIP__PIPE, in[0] };
    const char *flags = output_of(&p, 1);
    for (int i = 0; i < 2; i++) {
        flags = strstr(flags, "flags:");
        CHECK(flags != NULL);
        flags += strlen("flags:");
        CHECK_INT(strtol(flags, NULL, 8) & O_NONBLOCK, ==, 0);
    }
    for (int i = 0; i < 600; i++)
        close(fds[i]);
    rip__os_close(in[0]);
    rip__os_close(in[1]);
}
IN_EVERY_WORLD(pipes_with_high_numbers)

static long no_proc(long nr, const long args[6])
{
    if (nr == SYS_openat && strncmp((const char *)args[1], "/proc/", 6) == 0)
        return -ENOENT;
    return next_call(nr, args);
}

TEST(pipes_with_high_numbers_without_proc)
{
    next_call = rip__seam.syscall;
    rip__seam.syscall = no_proc;
    check_pipes_with_high_numbers();
}

/* /proc of another pid namespace: the name is there, and of something else. */
static long other_proc(long nr, const long args[6])
{
    if (nr == SYS_openat && strncmp((const char *)args[1], "/proc/", 6) == 0) {
        long other[6] = { args[0], (long)"/dev/null", O_RDWR | O_CLOEXEC };
        return next_call(nr, other);
    }
    return next_call(nr, args);
}

TEST(pipes_with_high_numbers_in_another_namespace)
{
    next_call = rip__seam.syscall;
    rip__seam.syscall = other_proc;
    check_pipes_with_high_numbers();
}

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
    p.s.redirect[0] = (struct rip__os_redirect){ RIP__PIPE, in[0] };
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
