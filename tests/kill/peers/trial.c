/* SPDX-License-Identifier: MIT */
#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SURVIVORS = 2, DEADLINE_MS = 1000, STEPS_MAX = 100000 };

_Noreturn static void broken(const char *what)
{
    perror(what);
    _exit(TRIAL_BROKEN);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Of one that lives on: what a failed check in it says is its exit status. */
static pid_t start(box_fn *fn, struct box *b)
{
    pid_t pid = fork();
    if (pid < 0)
        broken("fork");
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fn(b);
    _exit(TRIAL_FINE);
}

static char state_of(pid_t pid)
{
    char path[32], text[256], *name_end;
    int fd;
    ssize_t n;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    name_end = strrchr(text, ')');
    if (name_end == NULL || name_end[1] != ' ')
        return '?';
    return name_end[2];
}

static void await_sleep(pid_t pid)
{
    while (state_of(pid) != 'S')
        sched_yield();
}

/* ---- the victim ------------------------------------------------------- */

_Noreturn static void be_victim(const struct operation *op, struct box *b)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (op->before != NULL)
        op->before(b);
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    b->has_begun = 1;
    op->run(b);
    b->has_ended = 1;
    for (;;)
        pause();
}

static pid_t start_victim(const struct operation *op, struct box *b)
{
    int status;
    pid_t pid = fork();
    if (pid < 0)
        broken("fork");
    if (pid == 0)
        be_victim(op, b);
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        broken("the victim does not stop");
    return pid;
}

static void step(pid_t pid)
{
    int status;
    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 ||
        waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
        broken("cannot step");
}

/* How many instructions of the operation were done. */
static unsigned step_through(pid_t pid, const struct box *b, unsigned max)
{
    unsigned n = 0;
    while (!b->has_begun)
        step(pid);
    while (n < max && !b->has_ended && n < STEPS_MAX) {
        step(pid);
        n++;
    }
    return n;
}

static void fall_asleep(pid_t pid, const struct box *b)
{
    if (ptrace(PTRACE_DETACH, pid, NULL, NULL) != 0)
        broken("cannot detach");
    while (!b->has_begun)
        sched_yield();
    await_sleep(pid);
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* ---- those who live --------------------------------------------------- */

/* Waits for the end of each until the deadline. */
static enum verdict await_all(pid_t *who, unsigned n)
{
    const int64_t deadline = now_ms() + DEADLINE_MS;
    const struct timespec nap = { .tv_nsec = 1000000 };
    enum verdict worst = TRIAL_FINE;
    unsigned left = n;
    while (left > 0 && now_ms() < deadline) {
        for (unsigned i = 0; i < n; i++) {
            int status;
            if (who[i] == 0 || waitpid(who[i], &status, WNOHANG) != who[i])
                continue;
            who[i] = 0;
            left--;
            if (status != 0)
                worst = TRIAL_WRONG;
        }
        nanosleep(&nap, NULL);
    }
    return worst == TRIAL_FINE && left > 0 ? TRIAL_HUNG : worst;
}

static enum verdict survive(const struct operation *op, struct box *b,
                            pid_t helper)
{
    pid_t who[SURVIVORS + 1] = { 0 };
    unsigned n = 0;
    enum verdict v;
    for (; n < SURVIVORS; n++)
        who[n] = start(op->check, b);
    if (helper != 0)
        who[n++] = helper;
    v = await_all(who, n);
    for (unsigned i = 0; i < n; i++)
        if (who[i] != 0)
            end(who[i]);
    return v;
}

/* ---- one kill --------------------------------------------------------- */

/* A tracer and its tracee are several times as fast on one CPU. */
static void stay_on_one_cpu(void)
{
    cpu_set_t one;
    int cpu = sched_getcpu();
    CPU_ZERO(&one);
    CPU_SET(cpu < 0 ? 0 : (unsigned)cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static struct box *new_box(const struct operation *op)
{
    struct box *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (b == MAP_FAILED)
        broken("mmap");
    op->make(b);
    return b;
}

enum verdict trial(const struct operation *op, unsigned instructions)
{
    struct box *b = new_box(op);
    pid_t victim, helper = 0;
    stay_on_one_cpu();
    victim = start_victim(op, b);
    if (op->helper != NULL) {
        helper = start(op->helper, b);
        await_sleep(helper);
    }
    if (op->asleep)
        fall_asleep(victim, b);
    else
        step_through(victim, b, instructions);
    end(victim);
    return survive(op, b, helper);
}

unsigned trial_length(const struct operation *op)
{
    struct box *b = new_box(op);
    pid_t victim = start_victim(op, b), helper = 0;
    unsigned n;
    if (op->helper != NULL) {
        helper = start(op->helper, b);
        await_sleep(helper);
    }
    n = step_through(victim, b, UINT_MAX);
    end(victim);
    if (helper != 0)
        end(helper);
    munmap(b, sizeof *b);
    return n;
}
