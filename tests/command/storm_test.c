/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "os/os.h"
#include "run.h"

/* Many threads that start programs at once, and others that do meanwhile what
 * has broken such programs elsewhere. */

enum { SPAWNERS = 16 };

static char child[4096];
static int rounds; /* of each thread */

static void many_threads(void *(*fn)(void *))
{
    pthread_t threads[SPAWNERS];
    for (int i = 0; i < SPAWNERS; i++)
        pthread_create(&threads[i], NULL, fn, (void *)(intptr_t)i);
    for (int i = 0; i < SPAWNERS; i++)
        pthread_join(threads[i], NULL);
}

static void prepare(int each)
{
    snprintf(child, sizeof child, "%s", harness_program("child"));
    rounds = harness_rounds(each);
}

/* A thread that goes on until it is told to end. */
struct pest {
    pthread_t thread;
    atomic_bool end;
};

static void let_loose(struct pest *p, void *(*fn)(void *))
{
    p->end = false;
    pthread_create(&p->thread, NULL, fn, p);
}

static void catch (struct pest *p)
{
    p->end = true;
    pthread_join(p->thread, NULL);
}

/* ---- descriptors ------------------------------------------------------ */

/*
 * A child has three descriptors, whatever is open here at that moment; and
 * each stream comes to its end, as no other child holds it open. subprocess.h
 * makes its pipes without close-on-exec (#114: the end never comes), popen(3)
 * leaves its own to every child that another thread starts meanwhile.
 */
static void *list_descriptors(void *arg)
{
    const struct rip_command_options piped = {
        .in = { .kind = RIP_STDIO_PIPE },
        .out = { .kind = RIP_STDIO_PIPE },
        .err = { .kind = RIP_STDIO_PIPE },
        .grace = harness_scale(5),
    };
    (void)arg;
    for (int i = 0; i < rounds; i++) {
        struct rip_output o;
        rip_command *c = start(ARGV(child, "cat", ",", "fds"), &piped);
        CHECK_OK(rip_command_communicate(c, "in", 2, &o,
                                         rip_after(harness_scale(8))));
        CHECK(!o.pipe_held);
        CHECK_GLOB(o.out, "in0 pipe:[[]*]\n1 pipe:[[]*]\n2 pipe:[[]*]\n");
        CHECK(!strstr(o.out, "\n3"));
        CHECK_STR(o.err, "");
        rip_output_done(&o);
        rip_command_free(c);
    }
    return NULL;
}

TEST_WITH(no_descriptor_leaks_and_no_end_is_lost, .deadline = 60)
{
    prepare(100);
    many_threads(list_descriptors);
}

/* Opens and closes all the time, without close-on-exec, here and there so
 * many that pipes get high numbers. */
static void *churn(void *arg)
{
    struct pest *p = arg;
    int fds[300] = { 0 };
    for (int n = 3; !p->end; n = n == 3 ? 300 : 3) {
        for (int i = 0; i < n; i++)
            fds[i] = i % 3 ? open("/dev/zero", O_RDONLY) : dup(0);
        for (int i = 0; i < n; i++)
            close(fds[i]);
    }
    return NULL;
}

static void while_descriptors_come_and_go(void)
{
    struct pest p;
    prepare(40);
    let_loose(&p, churn);
    many_threads(list_descriptors);
    catch (&p);
}

TEST_WITH(nothing_leaks_while_descriptors_come_and_go, .deadline = 60)
{
    while_descriptors_come_and_go();
}

TEST_WITH(nothing_leaks_from_a_copied_table, .deadline = 60)
{
    fault_always(SYS_clone3, ENOSYS);
    while_descriptors_come_and_go();
}

TEST_WITH(nothing_leaks_without_close_range, .deadline = 60)
{
    fault_always(SYS_close_range, ENOSYS);
    while_descriptors_come_and_go();
}

/* ---- locks ------------------------------------------------------------ */

/*
 * A child of fork(2) has the locks of libc as other threads happened to hold
 * them, and is not to touch one: g_spawn allocated there until GLib 2.60
 * (#2140), CPython warns of it since 3.12 (#100228). Ours takes no lock, and
 * runs no atfork handler.
 */
static void *allocate(void *arg)
{
    struct pest *p = arg;
    void *blocks[64] = { 0 };
    for (unsigned i = 0; !p->end; i++) {
        free(blocks[i % 64]);
        blocks[i % 64] = malloc(i % 50 ? i % 5000 : 200000);
    }
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    return NULL;
}

/* As long as this thread lives nobody else can use stdout or stderr. */
static void *hold_stdio(void *arg)
{
    struct pest *p = arg;
    flockfile(stdout);
    flockfile(stderr);
    while (!p->end)
        sched_yield();
    funlockfile(stderr);
    funlockfile(stdout);
    return NULL;
}

static bool nobody_forks;

static void at_fork(void)
{
    if (nobody_forks)
        FAIL("an atfork handler was run");
}

static void *start_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < rounds; i++) {
        rip_command *c = start(ARGV(child, "exit", "7"), NULL);
        CHECK_INT(end_of(c).code, ==, 7);
        rip_command_free(c);
        CHECK_ERR(rip_command_start(&c, ARGV("/no/such"), NULL), -ENOENT);
    }
    return NULL;
}

static void while_locks_are_held(void)
{
    struct pest stdio, storm[3];
    CHECK_INT(pthread_atfork(at_fork, at_fork, at_fork), ==, 0);
    prepare(20);
    nobody_forks = true;
    let_loose(&stdio, hold_stdio);
    for (int i = 0; i < 3; i++)
        let_loose(&storm[i], allocate);
    many_threads(start_many);
    for (int i = 0; i < 3; i++)
        catch (&storm[i]);
    catch (&stdio);
    nobody_forks = false;
}

TEST_WITH(locks_of_other_threads_are_no_matter, .deadline = 60)
{
    while_locks_are_held();
}

TEST_WITH(locks_of_other_threads_are_no_matter_without_clone3, .deadline = 60)
{
    fault_always(SYS_clone3, ENOSYS);
    while_locks_are_held();
}

/* ---- ETXTBSY ---------------------------------------------------------- */

/*
 * A thread writes a program, closes it, and runs it. If a second thread starts
 * something in between, its child may hold the descriptor by which the first
 * one wrote, and the program cannot be run: "text file busy" (go #22315, open
 * since 2017; 86 of 200 in tailscale's PR 21252). Here the child lets go of it
 * at once, not only with exec: without the second try 1 of 75,000 failed where
 * posix_spawn failed 300 times.
 */
static void *write_and_run(void *arg)
{
    char name[64], script[5000];
    snprintf(script, sizeof script, "#!%s print\n", child);
    for (int i = 0; i < rounds; i++) {
        snprintf(name, sizeof name, "./%d-%d", (int)(intptr_t)arg, i);
        int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
        CHECK_INT(write(fd, script, strlen(script)), ==, strlen(script));
        close(fd);
        const struct rip_command_options o = { .out.kind = RIP_STDIO_NULL };
        rip_command *c = start(ARGV(name), &o);
        CHECK_INT(end_of(c).code, ==, 0);
        rip_command_free(c);
        unlink(name);
    }
    return NULL;
}

TEST_WITH(what_was_just_written_can_be_run, .deadline = 60)
{
    prepare(60);
    many_threads(write_and_run);
}

TEST_WITH(what_was_just_written_can_be_run_without_clone3, .deadline = 60)
{
    fault_always(SYS_clone3, ENOSYS);
    prepare(40);
    many_threads(write_and_run);
}

/* Counts the naps between the tries, and closes the file in the third. */
static long (*next_call)(long nr, const long args[6]);
static int naps, writer;

static long count_naps(long nr, const long args[6])
{
    if (nr == SYS_ppoll && args[1] == 0 && ++naps == 3 && writer >= 0)
        close(writer);
    return next_call(nr, args);
}

static void write_and_keep_open(bool close_it)
{
    write_file("program", "#!/bin/sh\nexit 6\n", 0755);
    writer = open("program", O_WRONLY | O_CLOEXEC);
    int fd = writer;
    if (!close_it)
        writer = -1;
    next_call = rip__seam.syscall;
    rip__seam.syscall = count_naps;
    if (close_it) {
        rip_command *c = start(ARGV("./program"), NULL);
        CHECK_INT(end_of(c).code, ==, 6);
        rip_command_free(c);
        CHECK_INT(naps, ==, 3);
    } else {
        refuse(ARGV("./program"), NULL, -ETXTBSY, "exec", "./program");
        CHECK_INT(naps, ==, 7);
        close(fd);
    }
    rip__seam.syscall = next_call;
    unlink("program");
}

TEST(a_program_that_is_still_being_written_is_waited_for)
{
    write_and_keep_open(true);
}

TEST(a_program_that_stays_open_is_told_in_the_end)
{
    write_and_keep_open(false);
}
