/* SPDX-License-Identifier: MIT */
/*
 * A process is killed with SIGKILL in the middle of a change, with the lock in
 * its hand. With a multiprocessing.Lock, or a semaphore, the three others would
 * wait for it for ever.
 */
#include <ripstop/ripstop.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct bank {
    rip_lock lock;
    long ours, theirs; /* together 100 */
    rip_event half_way;
};

static void get_killed(struct bank *b)
{
    if (rip_lock_acquire(&b->lock, rip_after(10)) < 0)
        return;
    b->ours -= 30;
    rip_event_set(&b->half_way);
    for (;;)
        pause(); /* `theirs` never gets its 30 */
}

static void repair(struct bank *b)
{
    b->theirs = 100 - b->ours;
    printf("the last holder was killed: repaired\n");
}

static void work(struct bank *b)
{
    int r = rip_lock_acquire(&b->lock, rip_after(10));
    if (r < 0) {
        fprintf(stderr, "lock: %s\n", rip_strerror(r));
        return;
    }
    if (r == RIP_RECOVERED) /* told to one of them, once */
        repair(b);
    b->ours -= 10;
    b->theirs += 10;
    rip_lock_release(&b->lock);
}

static pid_t start(void (*fn)(struct bank *), struct bank *b)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    fn(b);
    fflush(stdout);
    _exit(0);
}

int main(void)
{
    struct bank *b = rip_shared_alloc(NULL, sizeof *b);

    if (!b)
        return 1;
    b->ours = 100;
    pid_t victim = start(get_killed, b);
    if (victim < 0 || rip_event_wait(&b->half_way, rip_after(10)) < 0)
        return 1;
    for (int i = 0; i < 3; i++)
        start(work, b);
    kill(victim, SIGKILL);
    while (wait(NULL) > 0)
        ;
    printf("ours %ld, theirs %ld\n", b->ours, b->theirs);
    return 0;
}
