/* SPDX-License-Identifier: MIT */
#include "late.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "os/os.h"
#include "run.h"

int group_terms, single_terms;

static long (*real_syscall)(long nr, const long args[6]);
static int to_await, to_end;

static void await_ready(void)
{
    char name[32];
    for (; to_await > 0; to_await--) {
        snprintf(name, sizeof name, "ready.%d", to_await);
        while (access(name, F_OK) < 0)
            sched_yield();
        unlink(name);
    }
}

static void await_ended(void)
{
    char name[32];
    for (; to_end > 0; to_end--) {
        snprintf(name, sizeof name, "ended.%d", to_end);
        while (access(name, F_OK) < 0 || !strchr(read_file(name), '\n'))
            sched_yield();
        await_death((int)strtol(read_file(name), NULL, 10));
        unlink(name);
    }
}

static long hold_calls(long nr, const long args[6])
{
    bool by_pidfd = nr == SYS_pidfd_send_signal && args[1] != 0;
    bool to_group = by_pidfd ? args[3] != 0 : nr == SYS_kill && args[0] < -1;
    if (to_group)
        await_ready();
    if (nr == SYS_ppoll)
        await_ended();
    long r = real_syscall(nr, args);
    group_terms += to_group && args[1] == SIGTERM && r == 0;
    single_terms += by_pidfd && !to_group && args[1] == SIGTERM;
    return r;
}

void hold_back(int ready, int ended)
{
    real_syscall = rip__seam.syscall;
    to_await = ready;
    to_end = ended;
    rip__seam.syscall = hold_calls;
}

void let_pass(void)
{
    rip__seam.syscall = real_syscall;
    CHECK_INT(to_await, ==, 0);
    CHECK_INT(to_end, ==, 0);
}
