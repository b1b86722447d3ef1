/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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

/* A control group to make others in. */
static char parent[300];

static const char *find_mount(void)
{
    static char path[200];
    char line[500];
    FILE *f = fopen("/proc/self/mounts", "r");
    path[0] = 0;
    while (f && !path[0] && fgets(line, sizeof line, f))
        if (sscanf(line, "%*s %199s cgroup2", path) != 1 ||
            !strstr(line, " cgroup2 "))
            path[0] = 0;
    if (f)
        fclose(f);
    return path[0] ? path : NULL;
}

static void make_parent(void)
{
    const char *mount = find_mount();
    if (!mount)
        SKIP("no cgroup2 file system is mounted");
    snprintf(parent, sizeof parent, "%s/ripstop-test-%d", mount, (int)getpid());
    if (mkdir(parent, 0755) < 0)
        SKIP("may make no control group: %s", strerror(errno));
}

/* It can only be removed when there is nothing left in it. */
static void remove_parent(void)
{
    CHECK_INT(rmdir(parent), ==, 0);
}

static struct rip_command_options options(void)
{
    return (struct rip_command_options){ .in = { .kind = RIP_STDIO_NULL },
                                         .out = { .kind = RIP_STDIO_PIPE },
                                         .cgroup = parent,
                                         .grace = 0.1 };
}

/* Leaves the group, the session, the parent and the mark behind. */
static const char escape[] =
    "env -i setsid -f sh -c 'trap \"\" TERM; echo $$; exec sleep 1000'; "
    "exec sleep 1000";

static void check_nobody_escapes(void)
{
    make_parent();
    const struct rip_command_options o = options();
    struct rip_exit e;
    rip_command *c = start(SH(escape), &o);
    int pid = (int)strtol(await_line(c), NULL, 10);
    CHECK(is_alive(pid));
    CHECK_OK(rip_command_stop(c, &e, RIP_FOREVER));
    CHECK_INT(e.signal, ==, SIGTERM);
    CHECK_INT(e.tree, ==, RIP_TREE_CGROUP);
    CHECK(!is_alive(pid));
    rip_command_free(c);
    remove_parent();
}

TEST(nobody_escapes_from_a_control_group)
{
    check_nobody_escapes();
}

TEST(nobody_escapes_without_clone3)
{
    fault_always(SYS_clone3, ENOSYS);
    check_nobody_escapes();
}

/* Before Linux 5.14 there is no cgroup.kill. */
static long (*next_call)(long nr, const long args[6]);

static long no_kill_file(long nr, const long args[6])
{
    if (nr == SYS_openat && strcmp((const char *)args[1], "cgroup.kill") == 0)
        return -ENOENT;
    return next_call(nr, args);
}

TEST(nobody_escapes_on_old_kernels)
{
    next_call = rip__seam.syscall;
    rip__seam.syscall = no_kill_file;
    check_nobody_escapes();
}

TEST(what_a_command_leaves_running_keeps_its_control_group)
{
    make_parent();
    const struct rip_command_options o = options();
    rip_command *c = start(SH("setsid -f sleep 1000; echo"), &o);
    await_line(c);
    CHECK(rip_exit_ok(&(struct rip_exit){ .how = end_of(c).how }));
    CHECK_OK(rip_command_signal(c, SIGKILL));
    rip_command_free(c);
    /* The kernel lets go of the group when the killed one is gone. */
    while (rmdir(parent) < 0) {
        CHECK_INT(errno, ==, EBUSY);
        char pattern[400];
        snprintf(pattern, sizeof pattern, "rmdir %s/ripstop-* 2>/dev/null",
                 parent);
        (void)!system(pattern);
    }
}

TEST(a_directory_that_is_no_control_group_is_refused)
{
    mkdir("d", 0755);
    refuse(ARGV("true"), &(struct rip_command_options){ .cgroup = "d" },
           -EOPNOTSUPP, "cgroup", "d");
    refuse(ARGV("true"), &(struct rip_command_options){ .cgroup = "nope" },
           -ENOENT, "cgroup", "nope");
    CHECK_INT(rmdir("d"), ==, 0);
}

/* ---- memory ----------------------------------------------------------- */

/* The files of the memory controller, which not every test machine has for
 * version 2, are those of the test. */
static long own_files(long nr, const long args[6])
{
    long own[6];
    memcpy(own, args, sizeof own);
    if (nr == SYS_openat &&
        strncmp((const char *)args[1], "memory.", strlen("memory.")) == 0)
        own[0] = AT_FDCWD;
    return next_call(nr, own);
}

/* How a command ended whose control group has these, NULL for a file that is
 * not there. */
static struct rip_exit end_with(const char *events, const char *peak)
{
    make_parent();
    const struct rip_command_options o = options();
    if (events)
        write_file("memory.events", events, 0600);
    if (peak)
        write_file("memory.peak", peak, 0600);
    next_call = rip__seam.syscall;
    rip__seam.syscall = own_files;
    rip_command *c = start(SH("kill -9 $$"), &o);
    struct rip_exit e = end_of(c);
    rip_command_free(c);
    rip__seam.syscall = next_call;
    unlink("memory.events");
    unlink("memory.peak");
    remove_parent();
    return e;
}

static const char no_kill[] = "low 0\nhigh 9\nmax 7\noom 5\noom_kill 0\n"
                              "oom_group_kill 0\n";

TEST(memory_is_what_the_control_group_counts)
{
    char text[RIP_EXIT_TEXT];
    struct rip_exit e =
        end_with("low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n",
                 "123456789012\n");
    CHECK(e.oom_killed);
    CHECK(e.max_rss_bytes == 123456789012);
    rip_exit_format(&e, text, sizeof text);
    CHECK_STR(text, "killed by SIGKILL (out of memory)");
    e = end_with(no_kill, "4096\n");
    CHECK(!e.oom_killed);
    CHECK_INT(e.max_rss_bytes, ==, 4096);
}

/* The program is smaller than this one, so its own peak is not known. */
TEST(memory_that_nobody_counts_is_unknown)
{
    static const char *const events[] = { NULL, "", "oom_kill", "low 0\n" };
    char *much = make_data(64 << 20);
    memset(much, 1, 64 << 20);
    for (size_t i = 0; i < COUNT(events); i++) {
        struct rip_exit e = end_with(events[i], i > 0 ? "" : NULL);
        CHECK(!e.oom_killed);
        CHECK_INT(e.max_rss_bytes, ==, 0);
    }
    free(much);
}

/* ---- a real one ------------------------------------------------------- */

/* Asks for the memory controller in the groups below. */
static bool enable_memory(const char *below)
{
    char name[400];
    snprintf(name, sizeof name, "%s/cgroup.subtree_control", below);
    FILE *f = fopen(name, "w");
    if (!f)
        return false;
    bool written = fputs("+memory", f) >= 0;
    return fclose(f) == 0 && written;
}

TEST(who_takes_too_much_is_known)
{
    char name[400];
    make_parent();
    snprintf(name, sizeof name, "%s/..", parent);
    if (!enable_memory(name) || !enable_memory(parent)) {
        remove_parent();
        SKIP("no memory controller for control groups of version 2");
    }
    snprintf(name, sizeof name, "%s/memory.max", parent);
    write_file(name, "16777216", 0600);
    snprintf(name, sizeof name, "%s/memory.swap.max", parent);
    if (access(name, W_OK) == 0)
        write_file(name, "0", 0600);
    const struct rip_command_options o = options();
    rip_command *c =
        start(ARGV(harness_program("child"), "memory", "64", ",", "wait"), &o);
    struct rip_exit e = end_of(c);
    rip_command_free(c);
    CHECK_INT(e.signal, ==, SIGKILL);
    CHECK(e.oom_killed);
    CHECK_INT(e.max_rss_bytes, <, 32 << 20); /* the kernel is not so exact */
    CHECK_INT(e.max_rss_bytes, >, 8 << 20);
    c = start(ARGV(harness_program("child"), "memory", "4"), &o);
    e = end_of(c);
    rip_command_free(c);
    CHECK(rip_exit_ok(&e));
    CHECK(!e.oom_killed);
    CHECK_INT(e.max_rss_bytes, >=, 4 << 20);
    CHECK_INT(e.max_rss_bytes, <, 16 << 20);
    remove_parent();
}

/* ---- faults ----------------------------------------------------------- */

static void start_and_stop(void *arg)
{
    struct rip_failure f = { 0 };
    struct rip_command_options o = options();
    rip_command *c;
    (void)arg;
    o.failure = &f;
    int r = rip_command_start(&c, ARGV("sleep", "1000"), &o);
    if (r < 0) {
        CHECK_INT(f.code, ==, r);
        return;
    }
    (void)rip_command_stop(c, NULL, rip_after(5));
    rip_command_free(c);
}

TEST_WITH(a_control_group_survives_every_fault, .deadline = 120)
{
    make_parent();
    CHECK_INT(fault_sweep(start_and_stop, NULL, NULL), >, 40);
    remove_parent();
}
