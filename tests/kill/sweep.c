/* SPDX-License-Identifier: MIT */
/* Plays units: each in a director of its own, which ends with its first bad
 * point, since who knows what that has left; another goes on from there. */
#include "sweep.h"
#include "cast.h"
#include "complain.h"
#include "driver.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Controls are to hang: that need not take long. */
#define CONTROL_DEADLINE 0.5

static const struct plan *plan;

/* ---- a director ------------------------------------------------------- */

static enum verdict play_one(struct tally *t)
{
    enum verdict v = drive_play(&t->unit, t->at, t->at2);
    if (v == OVER && drive_steps)
        t->missed += t->at != 0;
    else
        t->points++;
    return v;
}

/* B's points, with A at one of its own. With fewer than all, they begin
 * somewhere else for each of A's. */
static bool play_row(struct tally *t)
{
    uint32_t step = t->unit.shallow;
    for (;; t->at2 += step) {
        enum verdict v = play_one(t);
        if (v == OVER)
            return false;
        if (v == LAST)
            break;
    }
    t->at2 = 1 + t->at * 7 % step;
    return true;
}

static bool play_next(struct tally *t)
{
    if (MODE_IS_PAIR(t->unit.mode)) {
        if (!play_row(t))
            return false;
        t->at++;
        return true;
    }
    t->at = drive_next(&t->unit, t->at);
    if (t->at == 0 || (play_one(t) == OVER && !drive_steps))
        return false;
    t->at += t->unit.shallow;
    return true;
}

/* Once without any death, and without anybody who looks again by himself: so a
 * wake that does not come is not made up for. It is point 0. */
static void be_calm(struct tally *t)
{
    uint32_t at = t->at;
    if (t->unit.mode != MODE_REAPED || at > 1 || (at == 1 && plan->one))
        return;
    t->at = 0;
    cast_calm(true);
    play_one(t);
    cast_calm(false);
    t->at = at;
}

_Noreturn static void direct(struct tally *t)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    complain_silently = t->unit.op->is_broken;
    cast_begin(complain_silently ? CONTROL_DEADLINE : plan->deadline);
    play_begin(&t->unit);
    be_calm(t);
    drive_learn(t);
    cast_calm(t->unit.mode == MODE_RACE);
    if (plan->one && t->at != 0)
        play_one(t);
    else if (!plan->one)
        while (play_next(t))
            ;
    play_end();
    t->over = true;
    t->ends = t->at;
    t->slowest = play_slowest;
    t->not_reused = play_not_reused;
    exit(0);
}

/* ---- all of them ------------------------------------------------------ */

/* Directors at work: each has a CPU to itself, where there is one. */
enum { JOBS_MAX = 64 };
static struct {
    pid_t pid;
    struct tally *tally;
} job[JOBS_MAX];

static void pin(unsigned slot)
{
    cpu_set_t all, one;
    unsigned n = 0;
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        return;
    slot %= (unsigned)CPU_COUNT(&all);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && n++ == slot) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one);
        }
}

static void start(unsigned slot, struct tally *t)
{
    fflush(NULL);
    job[slot].tally = t;
    job[slot].pid = fork();
    if (job[slot].pid < 0) {
        perror("kill: fork");
        exit(2);
    }
    if (job[slot].pid == 0) {
        pin(slot);
        direct(t);
    }
}

static bool is_enough(struct tally *t)
{
    uint32_t max = t->unit.op->is_broken ? 1 : plan->max_bad;
    return plan->one || t->bad >= max;
}

/* A director has ended: whether its unit is through. */
static bool has_ended(struct tally *t, int status)
{
    if (t->over)
        return true;
    t->bad++;
    t->points++;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1) {
        fprintf(stderr, "bad: the director ended with status 0x%x\n",
                (unsigned)status);
        return true;
    }
    if (MODE_IS_PAIR(t->unit.mode))
        t->at2 += t->unit.shallow;
    else
        t->at += t->at == 0 ? 1 : t->unit.shallow;
    return is_enough(t);
}

static unsigned wait_for_one(int *status)
{
    for (;;) {
        pid_t pid = wait(status);
        for (unsigned i = 0; i < plan->jobs; i++)
            if (pid > 0 && job[i].pid == pid)
                return i;
        if (pid < 0 && errno != EINTR)
            exit(2);
    }
}

void sweep_run(const struct plan *p, struct tally *units, unsigned n)
{
    unsigned next = 0, busy = 0;
    plan = p;
    while (next < n && busy < p->jobs)
        start(busy++, &units[next++]);
    while (busy > 0) {
        int status;
        unsigned slot = wait_for_one(&status);
        bool ended = has_ended(job[slot].tally, status);
        if (p->first && job[slot].tally->bad > 0)
            next = n;
        if (!ended) {
            start(slot, job[slot].tally);
        } else if (next < n) {
            start(slot, &units[next++]);
        } else {
            job[slot].pid = 0;
            busy--;
        }
    }
}
