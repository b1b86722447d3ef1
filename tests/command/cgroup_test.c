/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
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
