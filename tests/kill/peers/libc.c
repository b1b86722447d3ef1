/* SPDX-License-Identifier: MIT */
/*
 * What a kill does to libc's objects: a process is killed after each
 * instruction of each operation, and two others have a second for three laps.
 * A line for each operation, with tabs between:
 *
 *     object, operation, what libc calls it, kills, hung, wrong
 */
#include "operations.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

/* Those who hang take no time of a CPU, so many go at once. */
enum { JOBS = 48, ASLEEP = 20 };

static struct {
    pid_t pid;
    unsigned operation;
} job[JOBS];

static struct {
    unsigned of[VERDICTS];
} tally[64];

static void await_one(void)
{
    int status;
    pid_t pid = wait(&status);
    for (unsigned i = 0; i < JOBS; i++) {
        if (pid <= 0 || job[i].pid != pid)
            continue;
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : TRIAL_BROKEN;
        if (code >= TRIAL_BROKEN) {
            fprintf(stderr, "peers: %s could not be tried\n",
                    operations[job[i].operation].peer);
            exit(2);
        }
        tally[job[i].operation].of[code]++;
        job[i].pid = 0;
    }
}

static unsigned free_job(void)
{
    for (;;) {
        for (unsigned i = 0; i < JOBS; i++)
            if (job[i].pid == 0)
                return i;
        await_one();
    }
}

static void start(unsigned operation, unsigned instructions)
{
    unsigned i = free_job();
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit((int)trial(&operations[operation], instructions));
    }
    job[i].pid = pid;
    job[i].operation = operation;
}

static bool is_busy(void)
{
    for (unsigned i = 0; i < JOBS; i++)
        if (job[i].pid != 0)
            return true;
    return false;
}

static void print_version(void)
{
#ifdef __GLIBC__
    printf("glibc %s\n", gnu_get_libc_version());
#else
    printf("libc\n");
#endif
}

static void print(unsigned i)
{
    const struct operation *op = &operations[i];
    const unsigned *of = tally[i].of;
    printf("%s\t%s\t%s\t%u\t%u\t%u\n", op->object, op->name, op->peer,
           of[TRIAL_FINE] + of[TRIAL_HUNG] + of[TRIAL_WRONG], of[TRIAL_HUNG],
           of[TRIAL_WRONG]);
}

int main(void)
{
    for (unsigned i = 0; i < n_operations; i++) {
        const struct operation *op = &operations[i];
        unsigned n = op->asleep ? ASLEEP : trial_length(op) + 1;
        for (unsigned at = 0; at < n; at++)
            start(i, at);
    }
    while (is_busy())
        await_one();
    print_version();
    for (unsigned i = 0; i < n_operations; i++)
        print(i);
    return 0;
}
