/* SPDX-License-Identifier: MIT */
#include <ripstop/segment.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "segment/layout.h"
#include "segment/other.h"

#define MIB ((size_t)1 << 20)

static const struct rip_segment_options small = { .size = MIB, .members = 300 };

/* A name that no other test has at the same time. */
static const char *own_name(void)
{
    static char name[40];
    if (!name[0])
        snprintf(name, sizeof name, "test-%d", (int)getpid());
    return name;
}

static rip_segment *open_it(void)
{
    rip_segment *s;
    CHECK_OK(rip_segment_open(&s, own_name(), &small));
    return s;
}

static int open_how(enum rip_segment_how how)
{
    const struct rip_segment_options o = { .size = MIB, .how = how };
    rip_segment *s;
    int r = rip_segment_open(&s, own_name(), &o);
    if (r == 0)
        rip_segment_close(s);
    return r;
}

static void await(pid_t pid, int signal)
{
    int status;
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_INT(signal ? WTERMSIG(status) : WEXITSTATUS(status), ==, signal);
}

/* A child that does `fn`, whose result is given back. */
static int in_child(int (*fn)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(-fn());
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static int number(void)
{
    int *p;
    rip_segment *s = open_it();
    CHECK_OK(rip_segment_get((void **)&p, s, "number", sizeof *p));
    int n = ++*p;
    rip_segment_close(s);
    return -n;
}

static void open_and_count(void)
{
    open_it();
    number();
}

static bool is_left_anywhere(void)
{
    char line[512];
    bool found = false;
    FILE *f = fopen("/proc/net/unix", "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f))
        found = found || strstr(line, own_name());
    fclose(f);
    return found;
}

TEST(processes_that_know_the_name_share_it)
{
    own_name();
    pid_t first = other_start(open_and_count);
    CHECK_INT(in_child(number), ==, -2);
    pid_t second = other_start(open_and_count);
    other_end(first);
    CHECK_INT(in_child(number), ==, -4);
    other_end(second);
    CHECK(!is_left_anywhere());
    CHECK_INT(in_child(number), ==, -1); /* it was gone */
    CHECK(!is_left_anywhere());
}

TEST(it_is_at_other_addresses_and_the_same_memory)
{
    int *p;
    rip_segment *s = open_it();
    CHECK_INT(rip_segment_get((void **)&p, s, "number", sizeof *p), ==, 1);
    *p = 5;
    CHECK_INT(in_child(number), ==, -6);
    CHECK_INT(*p, ==, 6);
    CHECK_INT(rip_segment_get((void **)&p, s, "number", sizeof *p), ==, 0);
    CHECK_INT(*p, ==, 6);
    CHECK_ERR(rip_segment_get((void **)&p, s, "number", 1000), -EMSGSIZE);
    CHECK_ERR(rip_segment_get((void **)&p, s, "", 1), -EINVAL);
    CHECK_ERR(rip_segment_get((void **)&p, s, "a\nb", 1), -EINVAL);
    CHECK_ERR(rip_segment_get((void **)&p, s, "a", 0), -EINVAL);
    rip_segment_close(s);
}

TEST(a_fork_that_does_nothing_keeps_it)
{
    own_name();
    int *p;
    rip_segment *s = open_it();
    CHECK_INT(rip_segment_get((void **)&p, s, "number", sizeof *p), ==, 1);
    pid_t outer = fork();
    if (outer == 0) { /* our only member is gone, its child is not */
        pid_t inner = fork();
        if (inner == 0)
            for (;;)
                pause();
        *p = inner;
        _exit(0);
    }
    await(outer, 0);
    int inner = *p;
    *p = 10;
    rip_segment_close(s);
    CHECK(is_left_anywhere());
    CHECK_INT(in_child(number), ==, -11);
    kill(inner, SIGKILL);
    while (kill(inner, 0) == 0 && is_left_anywhere())
        sched_yield();
    CHECK(!is_left_anywhere());
}

TEST(opened_again_it_is_the_same_handle)
{
    rip_segment *s = open_it(), *again = open_it();
    CHECK(s == again);
    rip_segment_close(s);
    CHECK(rip_shared_alloc(again, 10) != NULL);
    CHECK(is_left_anywhere());
    rip_segment_close(again);
    CHECK(!is_left_anywhere());
}

static int try_join(void)
{
    return open_how(RIP_SEGMENT_JOIN);
}

static int try_create(void)
{
    return open_how(RIP_SEGMENT_CREATE);
}

static int try_any(void)
{
    return open_how(RIP_SEGMENT_ANY);
}

static int try_larger(void)
{
    const struct rip_segment_options o = { .size = 2 * MIB };
    rip_segment *s;
    return rip_segment_open(&s, own_name(), &o);
}

static int try_more(void)
{
    const struct rip_segment_options o = { .members = 301 };
    rip_segment *s;
    return rip_segment_open(&s, own_name(), &o);
}

TEST(how_it_is_opened_is_kept)
{
    own_name();
    CHECK_INT(in_child(try_join), ==, -ENOENT);
    CHECK_INT(in_child(try_create), ==, 0);
    pid_t other = other_start(open_and_count);
    CHECK_INT(in_child(try_join), ==, 0);
    CHECK_INT(in_child(try_any), ==, 0);
    CHECK_INT(in_child(try_create), ==, -EEXIST);
    CHECK_INT(in_child(try_larger), ==, -EINVAL);
    CHECK_INT(in_child(try_more), ==, -EINVAL);
    other_end(other);
    rip_segment *s = open_it();
    CHECK_INT(try_create(), ==, -EEXIST);
    CHECK_INT(try_larger(), ==, -EINVAL);
    CHECK_INT(try_join(), ==, 0);
    rip_segment_close(s);
}

TEST(names_that_are_none_are_refused)
{
    rip_segment *s;
    char name[80];
    memset(name, 'a', sizeof name);
    name[64] = 0;
    const char *const bad[] = { "", "a/b", "a b", "a\nb", "\xc3\xa4", name };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_ERR(rip_segment_open(&s, bad[i], NULL), -EINVAL);
        CHECK_ERR(rip_segment_inspect_name(NULL, bad[i]), -EINVAL);
    }
    CHECK_ERR(rip_segment_open(&s, NULL, NULL), -EINVAL);
    name[63] = 0;
    CHECK_OK(rip_segment_open(&s, name, &small));
    rip_segment_close(s);
}

/* ---- what is there and is not as it should be -------------------------- */

/* What the owner makes of the segment, for others to find. */
static void (*spoil)(struct rip__header *h);

static void open_and_spoil(void)
{
    rip_segment *s = open_it();
    spoil(s->header);
}

static void spoil_magic(struct rip__header *h)
{
    h->magic++;
}

static void spoil_version(struct rip__header *h)
{
    h->version++;
}

static void spoil_units(struct rip__header *h)
{
    h->n_units *= 2;
}

static void spoil_checksum(struct rip__header *h)
{
    h->checksum ^= 1;
}

static void spoil_owner(struct rip__header *h)
{
    h->uid++;
}

static void spoil_namespace(struct rip__header *h)
{
    h->roll.pid_namespace++;
}

TEST(a_header_that_is_wrong_is_refused)
{
    static const struct {
        void (*spoil)(struct rip__header *h);
        int error;
    } t[] = {
        { spoil_magic, -EBADMSG }, { spoil_version, -EPROTO },
        { spoil_units, -EBADMSG }, { spoil_checksum, -EBADMSG },
        { spoil_owner, -EBADMSG }, { spoil_namespace, -EXDEV },
    };
    own_name();
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        spoil = t[i].spoil;
        pid_t other = other_start(open_and_spoil);
        CHECK_INT(in_child(try_any), ==, t[i].error);
        other_end(other);
        CHECK_INT(in_child(try_any), ==, 0);
    }
}

/* One that can shrink would crash who uses it. */
static void offer_unsealed(void)
{
    char name[80];
    rip_segment *s = open_it();
    snprintf(name, sizeof name, "ripstop:%s", own_name());
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK_INT(write(fd, s->header, 4096), ==, 4096);
    CHECK_INT(ftruncate(fd, (off_t)s->layout.size), ==, 0);
    close(s->fd);
}

TEST(memory_that_can_shrink_is_refused)
{
    own_name();
    pid_t other = other_start(offer_unsealed);
    CHECK_INT(in_child(try_any), ==, -EBADMSG);
    other_end(other);
}

static int try_any_as_user(void)
{
    CHECK_INT(setresuid(1000, 1000, 1000), ==, 0);
    return open_how(RIP_SEGMENT_ANY);
}

static void open_as_user(void)
{
    CHECK_INT(setresuid(1000, 1000, 1000), ==, 0);
    open_it();
}

static void hide_as_user(void)
{
    open_as_user();
    prctl(PR_SET_DUMPABLE, 0);
}

TEST(who_may_not_be_looked_at_is_told)
{
    if (geteuid() != 0)
        SKIP("not root");
    own_name();
    pid_t other = other_start(hide_as_user);
    CHECK_INT(in_child(try_any_as_user), ==, -EACCES);
    other_end(other);
}

TEST(users_have_names_of_their_own)
{
    if (geteuid() != 0)
        SKIP("not root");
    own_name();
    pid_t other = other_start(open_as_user);
    CHECK_INT(in_child(try_join), ==, -ENOENT);
    other_end(other);
}

/* Which of our names another user takes. */
static const char *squatted;

static void squat(void)
{
    char name[100];
    CHECK_INT(setresuid(1000, 1000, 1000), ==, 0);
    snprintf(name, sizeof name, squatted, own_name());
    CHECK_OK(rip__os_name_take(name));
}

TEST(another_user_who_has_taken_a_name_of_ours_is_told)
{
    if (geteuid() != 0)
        SKIP("not root");
    own_name();
    static const char *const names[] = { "ripstop/0/%s", "ripstop/0/%s/1.0",
                                         "ripstop/0/%s/junk" };
    for (int i = 0; i < 3; i++) {
        squatted = names[i];
        pid_t other = other_start(squat);
        CHECK_INT(in_child(try_any), ==, -EPERM);
        other_end(other);
        CHECK_INT(in_child(try_any), ==, 0);
    }
}

static void open_elsewhere(void)
{
    CHECK_INT(unshare(CLONE_NEWPID), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        open_it();
        for (;;)
            pause();
    }
    while (!is_left_anywhere())
        sched_yield();
}

TEST(another_pid_namespace_is_refused)
{
    if (geteuid() != 0)
        SKIP("not root");
    own_name();
    pid_t other = other_start(open_elsewhere);
    CHECK_INT(in_child(try_any), ==, -EXDEV);
    other_end(other);
    while (is_left_anywhere())
        sched_yield();
}

/* Where not even their processes are to be seen. */
static int try_any_in_a_container(void)
{
    int status;
    CHECK_INT(unshare(CLONE_NEWPID | CLONE_NEWNS), ==, 0);
    CHECK_INT(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_INT(mount("proc", "/proc", "proc", 0, NULL), ==, 0);
        _exit(-open_how(RIP_SEGMENT_ANY));
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    return -WEXITSTATUS(status);
}

TEST(from_another_pid_namespace_it_is_refused)
{
    if (geteuid() != 0)
        SKIP("not root");
    own_name();
    pid_t other = other_start(open_and_count);
    CHECK_INT(in_child(try_any_in_a_container), ==, -EXDEV);
    other_end(other);
}

/* ---- many at once ----------------------------------------------------- */

TEST_WITH(two_hundred_who_open_it_at_once_agree, .deadline = 60)
{
    enum { N = 200 };
    int go[2], said[2];
    pid_t pid[N];
    own_name();
    CHECK_INT(pipe(go), ==, 0);
    CHECK_INT(pipe(said), ==, 0);
    for (int i = 0; i < N; i++) {
        pid[i] = fork();
        if (pid[i] != 0)
            continue;
        char c;
        void *p;
        close(go[1]);
        CHECK_INT(read(go[0], &c, 1), ==, 0);
        rip_segment *s = open_it();
        int r = (int)CHECK_OK(rip_segment_get(&p, s, "it", 8));
        c = (char)r;
        CHECK_INT(write(said[1], &c, 1), ==, 1);
        for (;;)
            pause();
    }
    close(go[0]);
    close(go[1]);
    int made = 0;
    for (int i = 0; i < N; i++) {
        char c;
        CHECK_INT(read(said[0], &c, 1), ==, 1);
        made += c;
    }
    CHECK_INT(made, ==, 1);
    for (int i = 0; i < N; i++)
        kill(pid[i], SIGKILL);
    for (int i = 0; i < N; i++)
        await(pid[i], SIGKILL);
    CHECK(!is_left_anywhere());
    close(said[0]);
    close(said[1]);
}

/* Who is killed while opening leaves nothing, and is no reason to wait. */
TEST_WITH(killed_while_opening_nothing_is_left, .deadline = 60)
{
    own_name();
    int n = harness_rounds(150);
    for (int i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0)
            for (;;)
                open_how(RIP_SEGMENT_ANY);
        for (volatile int k = 0; k < (i * 7919) % 300000; k++)
            ;
        if (i % 3 == 0)
            CHECK_INT(in_child(try_any), ==, 0);
        other_end(pid);
        CHECK(!is_left_anywhere());
    }
}

static void stop_in_our_turn(void)
{
    char name[100];
    snprintf(name, sizeof name, "ripstop/%u/%s", (unsigned)geteuid(),
             own_name());
    CHECK_OK(rip__os_name_take(name));
}

TEST(one_who_is_stopped_while_opening_is_waited_for_in_vain)
{
    own_name();
    pid_t other = other_start(stop_in_our_turn);
    rip_time before = rip_time_now();
    CHECK_INT(in_child(try_any), ==, -ETIMEDOUT);
    CHECK_INT(rip_time_now() - before, >=, 1990000000);
    CHECK_INT(rip_time_now() - before, <, (rip_time)(harness_scale(5) * 1e9));
    other_end(other);
    CHECK_INT(in_child(try_any), ==, 0);
}

static void open_and_close(void *ctx)
{
    rip_segment *s;
    (void)ctx;
    int r = rip_segment_open(&s, own_name(), &small);
    if (r == 0)
        rip_segment_close(s);
}

TEST_WITH(opening_survives_every_fault, .deadline = 60)
{
    own_name();
    CHECK_INT(fault_sweep(open_and_close, NULL, NULL), >, 20);
}
