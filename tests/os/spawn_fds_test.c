/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "spawning.h"

/* ls has one more: the folder that it reads. */
#define LIST_FDS "exec /bin/ls -C -w 0 /proc/self/fd"

static void check_other_descriptors_do_not_leak(void)
{
    int fds[100], low, high;
    for (int i = 0; i < 100; i++)
        fds[i] = open("/dev/null", O_RDONLY); /* not close-on-exec */
    low = dup2(fds[0], 3);
    high = dup2(fds[0], 700);
    CHECK_STR(script_output(LIST_FDS), "0  1  2  3\n");
    for (int i = 0; i < 100; i++)
        close(fds[i]);
    close(low);
    close(high);
}
IN_EVERY_WORLD(other_descriptors_do_not_leak)

/* stdout and stderr change places. */
static void check_swaps_come_out_right(void)
{
    struct spawning p;
    struct rip__os_spawned c;
    int out[2], err[2], saved[2] = { dup(1), dup(2) };
    char text[16];
    CHECK_OK(rip__os_pipe(out));
    CHECK_OK(rip__os_pipe(err));
    dup2(out[1], 1);
    dup2(err[1], 2);
    prepare(&p, "echo to-out; echo to-err >&2");
    p.s.redirect[1] = (struct rip__os_redirect){ RIP__COPY, 2, 0 };
    p.s.redirect[2] = (struct rip__os_redirect){ RIP__COPY, 1, 0 };
    int r = rip__os_spawn(&c, &p.s);
    dup2(saved[0], 1);
    dup2(saved[1], 2);
    CHECK_OK(r);
    CHECK_INT(status_of(&c), ==, 0);
    CHECK_INT(read(out[0], text, sizeof text), ==, 7);
    CHECK_MEM(text, 7, "to-err\n", 7);
    CHECK_INT(read(err[0], text, sizeof text), ==, 7);
    CHECK_MEM(text, 7, "to-out\n", 7);
    const int all[] = { out[0], out[1], err[0], err[1], saved[0], saved[1] };
    for (size_t i = 0; i < 6; i++)
        close(all[i]);
}
IN_EVERY_WORLD(swaps_come_out_right)

/* Where all comes from 0 to 2 nothing else is copied, nor closed later. */
static void check_only_streams_are_passed_on(void)
{
    struct spawning p;
    struct rip__os_spawned c;
    char text[64] = "";
    int out[2], saved = fcntl(1, F_DUPFD_CLOEXEC, 10);
    CHECK_OK(rip__os_pipe(out));
    dup2(out[1], 1);
    prepare(&p, LIST_FDS);
    p.s.redirect[0].kind = RIP__NULL;
    p.s.redirect[2] = (struct rip__os_redirect){ RIP__COPY, 1, 0 };
    int r = rip__os_spawn(&c, &p.s);
    dup2(saved, 1);
    close(saved);
    CHECK_OK(r);
    CHECK_INT(status_of(&c), ==, 0);
    CHECK_INT(read(out[0], text, sizeof text - 1), >, 0);
    CHECK_STR(text, "0  1  2  3\n");
    rip__os_close(out[0]);
    rip__os_close(out[1]);
}
IN_EVERY_WORLD(only_streams_are_passed_on)

/* With 0 to 2 closed here, pipes and whatever else is opened get just these
 * numbers. */
static void check_works_with_0_1_2_closed(void)
{
    int saved[3];
    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        close(i);
    }
    struct spawning p;
    prepare(&p, "read x; echo got $x; echo no >&2; " LIST_FDS);
    int in[2];
    CHECK_INT(pipe2(in, O_CLOEXEC), ==, 0);
    CHECK_INT(in[0], ==, 0);
    CHECK_INT(rip__os_write(in[1], "it\n", 3), ==, 3);
    p.s.redirect[0] = (struct rip__os_redirect){ RIP__OURS, in[0], O_RDONLY };
    p.s.redirect[2].kind = RIP__NULL;
    char text[64];
    snprintf(text, sizeof text, "%s", output_of(&p, 1));
    rip__os_close(in[0]);
    rip__os_close(in[1]);
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    CHECK_STR(text, "got it\n0  1  2  3\n");
}
IN_EVERY_WORLD(works_with_0_1_2_closed)

static void check_an_inherited_closed_one_stays_closed(void)
{
    int saved = fcntl(0, F_DUPFD_CLOEXEC, 10);
    close(0);
    CHECK_INT(run_script("test -e /proc/self/fd/0; exit $?"), ==, 1);
    dup2(saved, 0);
    close(saved);
}
IN_EVERY_WORLD(an_inherited_closed_one_stays_closed)

static void check_null_reads_and_writes(void)
{
    struct spawning p;
    prepare(&p, "read x && exit 1; echo x && echo y >&2");
    for (int i = 0; i < 3; i++)
        p.s.redirect[i].kind = RIP__NULL;
    CHECK_INT(run(&p), ==, 0);
    prepare(&p, LIST_FDS);
    p.s.redirect[0].kind = p.s.redirect[2].kind = RIP__NULL;
    CHECK_STR(output_of(&p, 1), "0  1  2  3\n");
    prepare(&p, LIST_FDS);
    p.s.redirect[2] = (struct rip__os_redirect){ RIP__COPY, 0, 0 };
    CHECK_STR(output_of(&p, 1), "0  1  2  3\n");
}
IN_EVERY_WORLD(null_reads_and_writes)

/* ---- pipes with high numbers, which are opened anew ------------------- */

static int open_many(int *fds, int n)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < (rlim_t)n + 100)
        SKIP("needs %d open files, the limit is %llu", n,
             (unsigned long long)limit.rlim_cur);
    for (int i = 0; i < n; i++)
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fds[n - 1];
}

static void check_pipes_with_high_numbers(void)
{
    static int fds[600];
    open_many(fds, 600);
    struct spawning p;
    prepare(&p, "read x; echo got $x; " LIST_FDS);
    int in[2];
    CHECK_OK(rip__os_pipe(in));
    CHECK_INT(in[0], >, 256);
    p.s.redirect[0] = (struct rip__os_redirect){ RIP__OURS, in[0], O_RDONLY };
    CHECK_INT(rip__os_write(in[1], "it\n", 3), ==, 3);
    CHECK_STR(output_of(&p, 1), "got it\n0  1  2  3\n");
    /* Opened anew without waiting, but the program is to wait. */
    prepare(&p, "exec cat /proc/self/fdinfo/0 /proc/self/fdinfo/1");
    p.s.redirect[0] = (struct rip__os_redirect){ RIP__OURS, in[0], O_RDONLY };
    const char *flags = output_of(&p, 1);
    for (int i = 0; i < 2; i++) {
        flags = strstr(flags, "flags:");
        CHECK(flags != NULL);
        flags += strlen("flags:");
        CHECK_INT(strtol(flags, NULL, 8) & O_NONBLOCK, ==, 0);
    }
    for (int i = 0; i < 600; i++)
        close(fds[i]);
    rip__os_close(in[0]);
    rip__os_close(in[1]);
}
IN_EVERY_WORLD(pipes_with_high_numbers)

static long no_proc(long nr, const long args[6])
{
    if (nr == SYS_openat && strncmp((const char *)args[1], "/proc/", 6) == 0)
        return -ENOENT;
    return next_call(nr, args);
}

TEST(pipes_with_high_numbers_without_proc)
{
    next_call = rip__seam.syscall;
    rip__seam.syscall = no_proc;
    check_pipes_with_high_numbers();
}

/* /proc of another pid namespace: the name is there, and of something else. */
static long other_proc(long nr, const long args[6])
{
    if (nr == SYS_openat && strncmp((const char *)args[1], "/proc/", 6) == 0) {
        long other[6] = { args[0], (long)"/dev/null", O_RDWR | O_CLOEXEC };
        return next_call(nr, other);
    }
    return next_call(nr, args);
}

TEST(pipes_with_high_numbers_in_another_namespace)
{
    next_call = rip__seam.syscall;
    rip__seam.syscall = other_proc;
    check_pipes_with_high_numbers();
}
