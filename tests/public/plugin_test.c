/* SPDX-License-Identifier: MIT */

/*
 * The shared library as a plugin has it: opened, used by a thread, and closed
 * while that goes on. A process of its own finds out what becomes of it.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/lock.h>

static int (*acquire)(rip_lock *l, rip_time deadline);
static void (*release)(rip_lock *l);
static rip_lock lock;
static pthread_barrier_t used, closed;

static void *use(void *unused)
{
    if (acquire(&lock, RIP_FOREVER) < 0)
        _exit(1);
    release(&lock);
    pthread_barrier_wait(&used);
    pthread_barrier_wait(&closed);
    return unused;
}

static int play(const char *path)
{
    pthread_t thread;
    void *library = dlopen(path, RTLD_NOW);
    if (!library)
        return 2;
    *(void **)&acquire = dlsym(library, "rip_lock_acquire");
    *(void **)&release = dlsym(library, "rip_lock_release");
    pthread_barrier_init(&used, NULL, 2);
    pthread_barrier_init(&closed, NULL, 2);
    if (!acquire || !release || pthread_create(&thread, NULL, use, NULL) != 0)
        return 3;
    pthread_barrier_wait(&used);
    dlclose(library);
    pthread_barrier_wait(&closed);
    return pthread_join(thread, NULL) == 0 ? 0 : 4;
}

int main(int argc, char **argv)
{
    int status = -1;
    pid_t pid = argc == 2 ? fork() : -1;
    if (pid == 0)
        _exit(play(argv[1]));
    bool good = pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
    printf("1..1\n%s 1 - may be closed while threads that used it go on\n",
           good ? "ok" : "not ok");
    if (!good)
        printf("# status %#x\n", (unsigned)status);
    return !good;
}
