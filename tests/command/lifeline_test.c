/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "os/os.h"
#include "run.h"

/*
 * die_with_parent. A parent is forked that starts a command and is killed.
 * The command holds the writing end of a pipe as its stdout, and so does
 * whatever it starts: when all of them are gone the pipe is at its end.
 */

struct life {
    int pipe[2];
    pid_t parent;
};

static struct rip_command_options options_of(const struct life *l)
{
    return (struct rip_command_options){
        .in = { .kind = RIP_STDIO_NULL },
        .out = { .kind = RIP_STDIO_FD, .fd = l->pipe[1] },
        .die_with_parent = true,
    };
}

/* In the parent, when it has done its work. */
static _Noreturn void end_of_parent(const struct life *l)
{
    CHECK_INT(write(l->pipe[1], "r", 1), ==, 1);
    for (;;)
        pause();
}

static void live(struct life *l, void (*parent)(const struct life *l))
{
    CHECK_INT(pipe2(l->pipe, O_CLOEXEC), ==, 0);
    l->parent = fork();
    CHECK_INT(l->parent, >=, 0);
    if (l->parent == 0) {
        close(l->pipe[0]);
        parent(l);
        end_of_parent(l);
    }
    close(l->pipe[1]);
}

/* Waits until something has come, or all are gone: what read(2) says. */
static ssize_t hear(const struct life *l)
{
    struct pollfd p = { .fd = l->pipe[0], .events = POLLIN };
    char byte;
    int r = poll(&p, 1, (int)(harness_scale(5) * 1000));
    if (r == 0)
        FAIL("somebody lives on");
    return read(l->pipe[0], &byte, 1);
}

static void kill_parent(const struct life *l)
{
    CHECK_INT(hear(l), ==, 1);
    kill(l->parent, SIGKILL);
    CHECK_INT(waitpid(l->parent, NULL, 0), ==, l->parent);
}

static void check_all_die(void (*parent)(const struct life *l))
{
    struct life l;
    live(&l, parent);
    kill_parent(&l);
    CHECK_INT(hear(&l), ==, 0);
    close(l.pipe[0]);
}

static void start_sleep(const struct life *l)
{
    const struct rip_command_options o = options_of(l);
    start(ARGV("sleep", "1000"), &o);
}

TEST(a_command_dies_with_its_parent)
{
    check_all_die(start_sleep);
}

TEST(a_command_dies_with_its_parent_without_clone3)
{
    fault_always(SYS_clone3, ENOSYS);
    fault_always(SYS_close_range, ENOSYS);
    check_all_die(start_sleep);
}

/* In a group of its own all of the group dies; in ours nobody else does. */
static void start_group(const struct life *l)
{
    const struct rip_command_options o = options_of(l);
    start(SH("sleep 1000 & sleep 1000 & wait"), &o);
}

TEST(its_group_dies_too)
{
    check_all_die(start_group);
}

static void start_in_session(const struct life *l)
{
    struct rip_command_options o = options_of(l);
    o.process_group = RIP_GROUP_SESSION;
    start(SH("sleep 1000 & wait"), &o);
}

TEST(a_session_dies_too)
{
    check_all_die(start_in_session);
}

/* The parent is one of a group, whose other members go on. */
static void start_in_our_group(const struct life *l)
{
    struct rip_command_options o = options_of(l);
    o.process_group = RIP_GROUP_OURS;
    start(SH("exec sleep 1000"), &o);
}

TEST(in_our_group_it_dies_alone)
{
    check_all_die(start_in_our_group);
}

/* Who asks for it is root, and who is killed is not. */
static void start_as_nobody(const struct life *l)
{
    struct rip_command_options o = options_of(l);
    o.user = "nobody";
    o.cwd = "/";
    start(ARGV("sleep", "1000"), &o);
}

TEST(another_user_dies_too)
{
    if (geteuid() != 0)
        SKIP("needs root");
    check_all_die(start_as_nobody);
}

/* PR_SET_PDEATHSIG is of the thread that starts: go #27505. */
static void *start_in_thread(void *arg)
{
    const struct rip_command_options o = options_of(arg);
    return start(ARGV("cat"), &(struct rip_command_options){
                                  .in = { .kind = RIP_STDIO_PIPE },
                                  .out = o.out,
                                  .die_with_parent = true });
}

TEST(it_does_not_die_with_a_thread)
{
    struct life l;
    pthread_t thread;
    void *c;
    CHECK_INT(pipe2(l.pipe, O_CLOEXEC), ==, 0);
    pthread_create(&thread, NULL, start_in_thread, &l);
    pthread_join(thread, &c);
    close(l.pipe[1]);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(rip_command_write(c, "x", 1, RIP_FOREVER), ==, 1);
        CHECK_INT(hear(&l), ==, 1);
    }
    rip_command_free(c);
    CHECK_INT(hear(&l), ==, 0);
    close(l.pipe[0]);
}

/* Who did not ask for it lives on. */
static int others_pipe[2];

static void start_both(const struct life *l)
{
    struct rip_command_options o = options_of(l);
    start(ARGV("sleep", "1000"), &o);
    o.die_with_parent = false;
    o.out.fd = others_pipe[1];
    rip_command *c = start(SH("echo; read x <fifo; echo $x"), &o);
    (void)c;
}

TEST(only_who_asked_for_it_dies)
{
    struct life l;
    char text[8];
    CHECK_INT(pipe2(others_pipe, O_CLOEXEC), ==, 0);
    CHECK_INT(mkfifo("fifo", 0600), ==, 0);
    live(&l, start_both);
    close(others_pipe[1]);
    kill_parent(&l);
    CHECK_INT(hear(&l), ==, 0);
    CHECK_INT(read(others_pipe[0], text, sizeof text), ==, 1);
    write_file("fifo", "alive\n", 0600);
    CHECK_INT(read(others_pipe[0], text, sizeof text), ==, 6);
    CHECK_INT(read(others_pipe[0], text, sizeof text), ==, 0);
    close(others_pipe[0]);
    close(l.pipe[0]);
    unlink("fifo");
}

/* What a command leaves behind when it ends by itself is left alone when it is
 * freed, and when the parent dies after that. */
static void start_and_leave(const struct life *l)
{
    const struct rip_command_options o = options_of(l);
    rip_command *c = start(SH("{ read x <fifo; echo $x; } &"), &o);
    CHECK(rip_exit_ok(&(struct rip_exit){ .how = end_of(c).how }));
    rip_command_free(c);
}

TEST(what_a_freed_command_left_lives_on)
{
    struct life l;
    char text[8];
    CHECK_INT(mkfifo("fifo", 0600), ==, 0);
    live(&l, start_and_leave);
    kill_parent(&l);
    write_file("fifo", "alive\n", 0600);
    CHECK_INT(read(l.pipe[0], text, sizeof text), ==, 6);
    CHECK_INT(hear(&l), ==, 0);
    close(l.pipe[0]);
    unlink("fifo");
}

/* Closing and freeing is no death of the parent. */
TEST(the_lifeline_is_no_hindrance)
{
    struct rip_command_options o = { .die_with_parent = true };
    struct rip_output out;
    run(&out, SH("cd /proc/$$/fd && echo *"), &o);
    CHECK_GLOB(out.out, "0 1 * 2 *");
    CHECK(rip_exit_ok(&out.exit));
    rip_output_done(&out);
    o.fds = (const struct rip_fd[]){ { 2, 100 }, { 2, 101 } };
    o.n_fds = 2;
    run(&out, ARGV(harness_program("child"), "fds"), &o);
    CHECK_GLOB(out.out, "*\n100 /*\n101 /*\n102 pipe:*\n");
    rip_output_done(&out);
}

TEST(there_may_be_no_number_as_high)
{
    struct rip_command_options o = { .die_with_parent = true };
    struct rip_output out;
    struct rlimit old, few;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &old), ==, 0);
    few = (struct rlimit){ 64, old.rlim_max };
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
    run(&out, ARGV(harness_program("child"), "fds"), &o);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &old), ==, 0);
    CHECK_GLOB(out.out, "0 *\n1 *\n2 *\n[0-9]* pipe:*\n");
    rip_output_done(&out);
}

/* ---- killed at every system call of the start ------------------------- */

/* In memory that parent and child share, whether or not they are a fork. */
static struct points {
    atomic_long left; /* system calls until the kill */
    atomic_bool struck;
    pid_t victim;
} * points;

static long (*next_call)(long nr, const long args[6]);

static long killing_call(long nr, const long args[6])
{
    if (atomic_fetch_sub(&points->left, 1) == 0) {
        atomic_store(&points->struck, true);
        kill(points->victim, SIGKILL);
        /* In the parent there is nothing after this; the child goes on. */
    }
    return next_call(nr, args);
}

static void start_under_fire(const struct life *l)
{
    const struct rip_command_options o = options_of(l);
    points->victim = getpid();
    next_call = rip__seam.syscall;
    rip__seam.syscall = killing_call;
    start(ARGV("sleep", "1000"), &o);
    atomic_store(&points->left, -1);
    kill(getpid(), SIGKILL);
}

static void check_every_point(void)
{
    points = mmap(NULL, sizeof *points, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    long point = 0;
    do {
        struct life l;
        *points = (struct points){ .left = point };
        harness_note("killed at system call %ld", point);
        live(&l, start_under_fire);
        CHECK_INT(waitpid(l.parent, NULL, 0), ==, l.parent);
        CHECK_INT(hear(&l), ==, 0);
        close(l.pipe[0]);
        point++;
    } while (points->struck);
    CHECK_INT(point, >, 30);
    munmap(points, sizeof *points);
}

TEST_WITH(no_orphan_wherever_the_parent_is_killed, .deadline = 60)
{
    check_every_point();
}

TEST_WITH(no_orphan_wherever_it_is_killed_without_clone3, .deadline = 60)
{
    fault_always(SYS_clone3, ENOSYS);
    check_every_point();
}
