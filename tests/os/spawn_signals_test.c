/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "spawning.h"

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
