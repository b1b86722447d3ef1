/* SPDX-License-Identifier: MIT */
#include "scene.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "segment/segment.h"

unsigned char *room;
bool with_processes;

static __thread struct actor *self;

/* ---- the stage -------------------------------------------------------- */

enum { SLOTS = 2048 };

static struct rip__domain *segment_open(void)
{
    struct rip__domain d = { .stride = 4096, .n_slots = SLOTS, .shared = true };
    d.size = (size_t)SLOTS * d.stride + ROOM;
    d.fd = (int)CHECK_OK(memfd_create("scene", MFD_CLOEXEC));
    CHECK(ftruncate(d.fd, (off_t)d.size) == 0);
    void *at = mmap(NULL, d.size, PROT_READ | PROT_WRITE, MAP_SHARED, d.fd, 0);
    CHECK(at != MAP_FAILED);
    d.base = at;
    rip__roll(&d)->slots_used = 1;
    struct rip__domain *known;
    CHECK_OK(rip__domain_add(&d, &known));
    room = d.base + (size_t)SLOTS * d.stride;
    return known;
}

static void segment_close(struct rip__domain *known)
{
    struct rip__domain d = *known;
    rip__domain_remove(known);
    munmap(d.base, d.size);
    close(d.fd);
}

void scene_play(void (*scene)(void), const char *by)
{
    struct rip__domain *d = NULL;
    void *memory = NULL;
    with_processes = strcmp(by, "processes") == 0;
    if (with_processes)
        d = segment_open();
    else
        room = memory = calloc(1, ROOM);
    scene();
    rip__leave_all();
    if (d)
        segment_close(d);
    free(memory);
}

void scene_no_second_look(void)
{
    rip__look_again_ns = 3600 * (int64_t)1000000000;
}

/* ---- actors ----------------------------------------------------------- */

static void *play_thread(void *arg)
{
    self = arg;
    __atomic_store_n(&self->tid, gettid(), __ATOMIC_RELEASE);
    self->result = self->fn(self->arg);
    return NULL;
}

static void play_process(struct actor *a)
{
    self = a;
    a->pid = a->tid = getpid();
    _exit(a->fn(a->arg));
}

void actor_start(struct actor *a, int (*fn)(void *), void *arg)
{
    *a = (struct actor){ .fn = fn, .arg = arg };
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, a->stay) == 0);
    if (!with_processes) {
        a->pid = getpid();
        CHECK_INT(pthread_create(&a->thread, NULL, play_thread, a), ==, 0);
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        play_process(a);
    a->pid = a->tid = (pid_t)CHECK_OK(pid);
}

static int wait_end(struct actor *a)
{
    int status = 0;
    if (!with_processes)
        CHECK_INT(pthread_join(a->thread, NULL), ==, 0);
    else
        CHECK_INT(waitpid(a->pid, &status, 0), ==, a->pid);
    close(a->stay[0]);
    close(a->stay[1]);
    return status;
}

int actor_end(struct actor *a)
{
    int status = wait_end(a);
    if (!with_processes)
        return a->result;
    CHECK(WIFEXITED(status));
    int code = WEXITSTATUS(status);
    return code < 128 ? code : code - 256; /* -EIO, say */
}

/* Our end is stay[0], the actor's stay[1]. */
void actor_stay(void)
{
    char c = 's';
    CHECK_INT(write(self->stay[1], &c, 1), ==, 1);
    CHECK_INT(read(self->stay[1], &c, 1), ==, 1);
    if (c == 'd')
        pthread_exit(NULL);
}

void actor_wait_stays(const struct actor *a)
{
    char c;
    CHECK_INT(read(a->stay[0], &c, 1), ==, 1);
}

void actor_go_on(const struct actor *a)
{
    CHECK_INT(write(a->stay[0], "g", 1), ==, 1);
}

void actor_die(struct actor *a)
{
    if (with_processes)
        CHECK(kill(a->pid, SIGKILL) == 0);
    else
        CHECK_INT(write(a->stay[0], "d", 1), ==, 1);
    wait_end(a);
}

/* ---- what the kernel knows of them ------------------------------------ */

static void look_at(const struct actor *a, const char *what, char *text)
{
    char path[64];
    pid_t tid = __atomic_load_n(&a->tid, __ATOMIC_ACQUIRE);
    snprintf(path, sizeof path, "/proc/%d/task/%d/%s", a->pid, tid, what);
    FILE *f = tid ? fopen(path, "re") : NULL;
    text[0] = '\0';
    if (f && !fgets(text, 512, f))
        text[0] = '\0';
    if (f)
        fclose(f);
}

static char state_of(const struct actor *a)
{
    char text[512];
    look_at(a, "stat", text);
    const char *p = strrchr(text, ')');
    if (!p)
        return '\0';
    return p[2];
}

static bool is_in_futex(const struct actor *a)
{
    char text[512];
    look_at(a, "syscall", text);
    long nr = strtol(text, NULL, 10);
    return text[0] && (nr == SYS_futex || nr == SYS_futex_waitv);
}

void actor_wait_sleeps(const struct actor *a)
{
    while (!is_in_futex(a) || state_of(a) != 'S')
        sched_yield();
}

void actor_stop(const struct actor *a)
{
    siginfo_t info;
    CHECK(kill(a->pid, SIGSTOP) == 0);
    CHECK(waitid(P_PID, (id_t)a->pid, &info, WSTOPPED) == 0);
}
