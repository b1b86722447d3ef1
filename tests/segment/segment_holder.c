/* SPDX-License-Identifier: MIT */

/*
 * segment_holder NAME MODE COMMAND [ARG...]: opens the segment of that name,
 * runs the command while it has it, and exits as that did. MODE:
 *
 *     plain   one member, and an object with a name
 *     circle  two processes that wait for each other
 *     dead    a process that was killed while it held a lock
 *     users   a member that reads, is a party and has permits, and has freed
 *             something twice; and one that waits for it to read no more
 *     evil    a member whose name speaks to terminals
 */

#include <ripstop/barrier.h>
#include <ripstop/lock.h>
#include <ripstop/rwlock.h>
#include <ripstop/segment.h>
#include <ripstop/sem.h>

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared {
    rip_lock a, b;
    rip_rwlock rwlock;
    rip_barrier barrier;
    rip_sem permits;
    unsigned ready;
};

static rip_segment *segment;
static struct shared *shared;

_Noreturn static void trouble(void)
{
    _exit(99);
}

static void acquire(rip_lock *l)
{
    if (rip_lock_acquire(l, RIP_FOREVER) < 0)
        trouble();
}

static bool are_waiting(unsigned wanted)
{
    struct rip_segment_report *r;
    unsigned n = 0;
    if (rip_segment_inspect(&r, segment) < 0)
        trouble();
    for (size_t i = 0; i < r->n_objects; i++)
        n += r->objects[i].waiting;
    rip_segment_report_free(r);
    return n == wanted;
}

static pid_t start(const char *name, rip_lock *held, rip_lock *wanted)
{
    unsigned before = shared->ready;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (rip_segment_name_me(segment, name) < 0)
            trouble();
        acquire(held);
        __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
        while (wanted && __atomic_load_n(&wanted->word, __ATOMIC_ACQUIRE) == 0)
            sched_yield();
        if (wanted)
            acquire(wanted);
        for (;;)
            pause();
    }
    while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) == before)
        sched_yield();
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static int run(char **argv)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[0], argv);
        trouble();
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int run_in_circle(char **argv)
{
    pid_t one = start("one", &shared->a, &shared->b);
    pid_t two = start("two", &shared->b, &shared->a);
    while (!are_waiting(2))
        sched_yield();
    int status = run(argv);
    end(one);
    end(two);
    return status;
}

static void call(const void *object, const char *text)
{
    if (rip_segment_name(segment, object, text) < 0)
        trouble();
}

static void use_all(void)
{
    void *p = rip_shared_alloc(segment, 100);
    rip_barrier_init(&shared->barrier, 2);
    rip_sem_init(&shared->permits, 3, 3);
    call(&shared->rwlock, "table");
    call(&shared->barrier, "start");
    call(&shared->permits, "slots");
    if (rip_rwlock_read(&shared->rwlock, RIP_NOW) < 0 ||
        rip_barrier_join(&shared->barrier) < 0 ||
        rip_sem_acquire(&shared->permits, RIP_NOW) < 0 ||
        rip_sem_acquire(&shared->permits, RIP_NOW) < 0)
        trouble();
    rip_shared_free(segment, p);
    rip_shared_free(segment, p);
}

static int run_with_a_writer(char **argv)
{
    use_all();
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (rip_segment_name_me(segment, "writer") < 0 ||
            rip_rwlock_write(&shared->rwlock, RIP_FOREVER) < 0)
            trouble();
        _exit(0);
    }
    while (!are_waiting(1))
        sched_yield();
    int status = run(argv);
    end(pid);
    return status;
}

static void set_up(const char *name)
{
    void *p;
    const struct rip_segment_options o = { .size = (size_t)1 << 20,
                                           .members = 100 };
    if (rip_segment_open(&segment, name, &o) < 0 ||
        rip_segment_get(&p, segment, "state", sizeof *shared) < 0 ||
        rip_segment_name_me(segment, "main") < 0)
        trouble();
    shared = p;
    call(&shared->a, "lock a");
    call(&shared->b, "lock b");
}

int main(int argc, char **argv)
{
    if (argc < 4)
        trouble();
    set_up(argv[1]);
    if (strcmp(argv[2], "circle") == 0)
        return run_in_circle(argv + 3);
    if (strcmp(argv[2], "dead") == 0)
        end(start("victim", &shared->a, NULL));
    if (strcmp(argv[2], "users") == 0)
        return run_with_a_writer(argv + 3);
    if (strcmp(argv[2], "evil") == 0 &&
        rip_segment_name_me(segment, "\x1b[31m\"\n\xff") < 0)
        trouble();
    return run(argv + 3);
}
