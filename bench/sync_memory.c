/* SPDX-License-Identifier: MIT */
#include "sync.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/segment.h>

void *ours_alloc(size_t size)
{
    void *p = rip_shared_alloc(NULL, size);
    if (!p)
        bench_fail("rip_shared_alloc: no memory");
    return p;
}

void *plain_alloc(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        bench_fail("mmap: %s", rip_strerror(-errno));
    return p == MAP_FAILED ? NULL : p;
}

void make_mutex(void *at, enum mutex_kind kind)
{
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    if (kind != PLAIN)
        pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    if (kind == ROBUST_RECURSIVE)
        pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(at, &a);
}

void make_rwlock(void *at)
{
    pthread_rwlockattr_t a;
    pthread_rwlockattr_init(&a);
    pthread_rwlockattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_rwlock_init(at, &a);
}

void make_cond(void *at)
{
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(at, &a);
}

bool stay_on_cpu(int which)
{
    static cpu_set_t all;
    static int count;
    if (count == 0) {
        sched_getaffinity(0, sizeof all, &all);
        count = CPU_COUNT(&all);
    }
    int left = which % count;
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &all) && left-- == 0)
            CPU_SET(i, &one);
    sched_setaffinity(0, sizeof one, &one);
    return count > 1;
}

int fork_to(void (*body)(void *), void *arg)
{
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return bench_fail("fork: %s", rip_strerror(-errno));
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    body(arg);
    _exit(0);
}

int wait_for_end(int pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        return bench_fail("another process of it has failed");
    return 0;
}
