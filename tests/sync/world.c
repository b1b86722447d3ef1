/* SPDX-License-Identifier: MIT */
#include "sync/world.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "segment/segment.h"

/* ---- memory ----------------------------------------------------------- */

void *board(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

enum { WORLDS = 8 };
static struct rip__domain *worlds[WORLDS];
static int n_worlds;

void *object(enum kind kind, size_t size)
{
    if (kind == THREADS)
        return board(size);
    enum { SLOTS = 1200, STRIDE = 8192, ROOM = 4096 };
    struct rip__domain d = { .stride = STRIDE, .n_slots = SLOTS, .shared = 1 };
    d.size = (size_t)SLOTS * STRIDE + ROOM;
    d.fd = memfd_create("test", MFD_CLOEXEC);
    CHECK(d.fd >= 0 && size <= ROOM && ftruncate(d.fd, (off_t)d.size) == 0);
    d.base = mmap(NULL, d.size, PROT_READ | PROT_WRITE, MAP_SHARED, d.fd, 0);
    CHECK(d.base != MAP_FAILED && n_worlds < WORLDS);
    rip__roll(&d)->slots_used = 1;
    CHECK_OK(rip__domain_add(&d, &worlds[n_worlds++]));
    return d.base + (size_t)SLOTS * STRIDE;
}

void world_end(void)
{
    rip__leave_all();
    while (n_worlds > 0) {
        struct rip__domain *d = worlds[--n_worlds];
        void *base = d->base;
        size_t size = d->size;
        int fd = d->fd;
        rip__domain_remove(d);
        munmap(base, size);
        close(fd);
    }
}

/* ---- players ----------------------------------------------------------- */

static void *run_thread(void *arg)
{
    struct player *a = arg;
    a->result = a->fn(a->arg);
    return NULL;
}

void player_start(struct player *a, enum kind kind, int (*fn)(void *arg),
                  void *arg)
{
    *a = (struct player){ .kind = kind, .fn = fn, .arg = arg };
    if (kind == THREADS) {
        pthread_t t;
        CHECK_INT(pthread_create(&t, NULL, run_thread, a), ==, 0);
        a->thread = t;
        return;
    }
    a->pid = fork();
    CHECK_INT(a->pid, >=, 0);
    if (a->pid == 0)
        _exit(fn(arg) & 0xff);
}

int player_end(struct player *a)
{
    int status;
    if (a->kind == THREADS) {
        CHECK_INT(pthread_join(a->thread, NULL), ==, 0);
        return a->result;
    }
    CHECK_INT(waitpid(a->pid, &status, 0), ==, a->pid);
    CHECK(WIFEXITED(status));
    return (signed char)WEXITSTATUS(status);
}

void player_kill(struct player *a)
{
    CHECK_INT(kill(a->pid, SIGKILL), ==, 0);
    CHECK_INT(waitpid(a->pid, NULL, 0), ==, a->pid);
}

void only_woken(void)
{
    rip__look_again_ns = (int64_t)3600 * 1000000000;
}

/* ---- waiting for others ----------------------------------------------- */

static unsigned waiting(const struct rip__domain *d, uint64_t key)
{
    unsigned n = 0;
    for (uint32_t i = 1; i < rip__slots_used(d); i++)
        n += rip__load(&rip__slot(d, i)->wait) == key;
    return n;
}

void until_waiting(const void *o, unsigned n)
{
    const struct rip__domain *d = rip__domain_of(o);
    while (waiting(d, rip__key(d, o)) < n)
        sched_yield();
}

void until_at_least(const atomic_int *p, int n)
{
    while (atomic_load(p) < n)
        sched_yield();
}

/* ---- misuse ----------------------------------------------------------- */

void check_misuse(void (*fn)(void *), void *arg, const char *line)
{
    int fd[2], status;
    char text[300] = "";
    CHECK_INT(pipe2(fd, O_CLOEXEC), ==, 0);
    pid_t pid = fork();
    CHECK_INT(pid, >=, 0);
    if (pid == 0) {
        dup2(fd[1], STDERR_FILENO);
        fn(arg);
        _exit(0);
    }
    close(fd[1]);
    size_t len = 0;
    ssize_t n;
    while ((n = read(fd[0], text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    close(fd[0]);
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_STR(text, line);
}
