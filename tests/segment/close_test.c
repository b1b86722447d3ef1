/* SPDX-License-Identifier: MIT */
#include <ripstop/lock.h>
#include <ripstop/segment.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

/* A segment is closed by one thread, and others have used it. */

static rip_segment *segment;
static rip_lock *lock;

static void set_up(void)
{
    const struct rip_segment_options o = { .size = 1 << 20, .members = 30 };
    CHECK_OK(rip_segment_new(&segment, &o));
    lock = rip_shared_alloc(segment, sizeof *lock);
    CHECK(lock != NULL);
}

/* Another thread, which is told what to do. */
static struct worker {
    pthread_t thread;
    int orders[2], answers[2];
} worker;

static void say(int fd, char what)
{
    CHECK_INT(write(fd, &what, 1), ==, 1);
}

static char hear(int fd)
{
    char what;
    CHECK_INT(read(fd, &what, 1), ==, 1);
    return what;
}

static void *work(void *unused)
{
    for (;;) {
        switch (hear(worker.orders[0])) {
        case 'a':
            CHECK_OK(rip_lock_acquire(lock, RIP_NOW));
            break;
        case 'r':
            rip_lock_release(lock);
            break;
        default:
            return unused;
        }
        say(worker.answers[1], 'k');
    }
}

static void start(void)
{
    CHECK_INT(pipe(worker.orders), ==, 0);
    CHECK_INT(pipe(worker.answers), ==, 0);
    CHECK_INT(pthread_create(&worker.thread, NULL, work, NULL), ==, 0);
}

static void order(char what)
{
    say(worker.orders[1], what);
    hear(worker.answers[0]);
}

static void end(void)
{
    say(worker.orders[1], 'e');
    CHECK_INT(pthread_join(worker.thread, NULL), ==, 0);
    for (int i = 0; i < 2; i++) {
        close(worker.orders[i]);
        close(worker.answers[i]);
    }
}

/* How often memory of a segment is mapped. */
static int count_mappings(void)
{
    char line[512];
    int n = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f))
        n += strstr(line, "memfd:ripstop") != NULL;
    fclose(f);
    return n;
}

static void hold_and_close(int told)
{
    start();
    order('a');
    rip_segment_close(segment);
    say(told, 'c');
    for (;;)
        pause();
}

/* The process goes on, and so does the thread. */
TEST(what_another_thread_held_has_a_dead_holder)
{
    int told[2];
    set_up();
    CHECK_INT(pipe(told), ==, 0);
    pid_t pid = fork();
    if (pid == 0)
        hold_and_close(told[1]);
    hear(told[0]);
    CHECK_INT(rip_lock_acquire(lock, rip_after(5)), ==, RIP_RECOVERED);
    rip_lock_release(lock);
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), ==, pid);
    close(told[0]);
    close(told[1]);
    rip_segment_close(segment);
}

/* It would hold all the memory of it. */
TEST(no_thread_keeps_a_part_of_it)
{
    start();
    for (int i = 0; i < 3; i++) {
        set_up();
        order('a');
        order('r');
        rip_segment_close(segment);
        CHECK_INT(count_mappings(), ==, 0);
    }
    end();
}

TEST(nor_does_a_child_that_has_no_such_thread)
{
    int status;
    set_up();
    start();
    order('a');
    order('r');
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_OK(rip_lock_acquire(lock, RIP_NOW));
        rip_segment_close(segment);
        _exit(count_mappings());
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_INT(status, ==, 0);
    order('a'); /* of this one's nothing has changed */
    CHECK_ERR(rip_lock_acquire(lock, RIP_NOW), -ETIMEDOUT);
    order('r');
    end();
    rip_segment_close(segment);
}

/* A thread that was a member ends later, when its place is another's. */
TEST(its_end_is_not_taken_for_that_of_its_successor)
{
    int told[2], done[2];
    set_up();
    CHECK_INT(pipe(told), ==, 0);
    CHECK_INT(pipe(done), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        start();
        order('a');
        rip_segment_close(segment);
        say(told[1], 'c');
        hear(done[0]);
        end();
        say(told[1], 'e');
        _exit(0);
    }
    hear(told[0]);
    CHECK_INT(rip_lock_acquire(lock, rip_after(5)), ==, RIP_RECOVERED);
    say(done[1], 'e');
    hear(told[0]);
    CHECK_INT(waitpid(pid, NULL, 0), ==, pid);
    rip_lock_release(lock);
    CHECK_OK(rip_lock_acquire(lock, RIP_NOW));
    for (int i = 0; i < 2; i++) {
        close(told[i]);
        close(done[i]);
    }
    rip_segment_close(segment);
}

static void *use_once(void *go)
{
    CHECK(rip_lock_acquire(lock, RIP_FOREVER) >= 0);
    rip_lock_release(lock);
    pthread_barrier_wait(go);
    return NULL;
}

/* Threads that have done with it may end at that very moment. */
TEST_WITH(threads_end_while_it_is_closed, .deadline = 60)
{
    enum { N = 8 };
    pthread_t threads[N];
    pthread_barrier_t go;
    CHECK_INT(pthread_barrier_init(&go, NULL, N + 1), ==, 0);
    int rounds = harness_rounds(300);
    for (int k = 0; k < rounds; k++) {
        set_up();
        for (int i = 0; i < N; i++)
            CHECK_INT(pthread_create(&threads[i], NULL, use_once, &go), ==, 0);
        pthread_barrier_wait(&go);
        rip_segment_close(segment);
        for (int i = 0; i < N; i++)
            CHECK_INT(pthread_join(threads[i], NULL), ==, 0);
        CHECK_INT(count_mappings(), ==, 0);
    }
    pthread_barrier_destroy(&go);
}
