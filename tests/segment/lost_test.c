/* SPDX-License-Identifier: MIT */
#include <ripstop/segment.h>

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "os/os.h"

/* Memory, names and addresses that must not get lost, nor come to others. */

#define MIB ((size_t)1 << 20)

static rip_segment *new_segment(size_t size)
{
    const struct rip_segment_options o = { .size = size };
    rip_segment *s;
    CHECK_OK(rip_segment_new(&s, &o));
    return s;
}

TEST(a_large_object_forgets_its_name_when_it_is_freed)
{
    void *p, *other;
    rip_segment *s = new_segment(4 * MIB);
    CHECK_INT(rip_segment_get(&p, s, "large", 8192), ==, 1);
    rip_shared_free(s, p);
    other = rip_shared_alloc(s, 8192);
    CHECK(other != NULL);
    CHECK_INT(rip_segment_get(&p, s, "large", 8192), ==, 1);
    CHECK(p != other);
    rip_segment_close(s);
}

static long (*real)(long nr, const long args[6]);

static long die_giving_memory_back(long nr, const long args[6])
{
    if (nr == SYS_madvise && args[2] == MADV_REMOVE)
        raise(SIGKILL);
    return real(nr, args);
}

/* All of the segment, and an allocation has failed before. */
TEST(what_one_was_giving_back_who_was_killed_is_free)
{
    const size_t all = 4 * MIB - 8192;
    int status;
    rip_segment *s = new_segment(4 * MIB);
    void *p = rip_shared_alloc(s, all);
    CHECK(p != NULL);
    CHECK(rip_shared_alloc(s, all) == NULL);
    pid_t pid = fork();
    if (pid == 0) {
        real = rip__seam.syscall;
        rip__seam.syscall = die_giving_memory_back;
        rip_shared_free(s, p);
        _exit(0);
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK(WIFSIGNALED(status));
    CHECK(rip_shared_alloc(s, all) != NULL);
    rip_segment_close(s);
}

/* The kernel looks at no more than 2048, but libc unlocks them all. */
TEST(a_member_may_hold_more_robust_mutexes_than_the_kernel_looks_at)
{
    enum { N = 2100 };
    static pthread_mutex_t mutexes[N];
    pthread_mutexattr_t robust;
    rip_segment *s = new_segment(4 * MIB);
    CHECK(rip_shared_alloc(s, 10) != NULL);
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    for (int i = 0; i < N; i++) {
        pthread_mutex_init(&mutexes[i], &robust);
        CHECK_INT(pthread_mutex_lock(&mutexes[i]), ==, 0);
    }
    rip_segment_close(s);
    for (int i = 0; i < N; i++)
        CHECK_INT(pthread_mutex_unlock(&mutexes[i]), ==, 0);
}

static void limit_addresses(rlim_t to)
{
    struct rlimit limit;
    CHECK_INT(getrlimit(RLIMIT_AS, &limit), ==, 0);
    limit.rlim_cur = to;
    CHECK_INT(setrlimit(RLIMIT_AS, &limit), ==, 0);
}

/* With a limit its addresses can not be kept when it is closed, and then are
 * anybody's. */
TEST(a_segment_takes_no_addresses_that_others_have_by_now)
{
    enum { TRIES = 8 };
    const size_t size = 1024 * MIB;
    char *others[TRIES], *p;
    rip_segment *s = new_segment(size);
    CHECK(rip_shared_alloc(s, 5000) != NULL);
    limit_addresses((rlim_t)8 << 30);
    rip_segment_close(s);
    limit_addresses(RLIM_INFINITY);
    for (int i = 0; i < TRIES; i++) {
        others[i] = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(others[i] != MAP_FAILED);
        others[i][0] = others[i][size - 1] = 'x';
    }
    s = new_segment(size);
    p = rip_shared_alloc(s, 5000);
    CHECK(p != NULL);
    for (int i = 0; i < TRIES; i++) {
        CHECK(p < others[i] || p >= others[i] + size);
        CHECK(others[i][0] == 'x' && others[i][size - 1] == 'x');
        munmap(others[i], size);
    }
    rip_segment_close(s);
}
