/* SPDX-License-Identifier: MIT */
#include <ripstop/task.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "task/oom.h"
#include "task/task.h"
#include "task/tasks.h"

#if defined(__clang__)
#define PLAIN __attribute__((noinline, optnone))
#else
#define PLAIN __attribute__((noipa))
#endif
#define RETURN __asm__ volatile("")

static char text[8192];

static rip_task *start_named(const char *name, enum rip_kind kind,
                             rip_task_fn *fn, void *arg)
{
    rip_task *t;
    const struct rip_task_options o = { .kind = kind, .name = name };
    CHECK_OK(rip_task_start(&t, fn, arg, &o));
    return t;
}

/* Its report, once it has ended. */
static const char *report_of(rip_task *t)
{
    CHECK_OK(rip_task_join(t, NULL, RIP_FOREVER));
    int len = rip_task_report(t, text, sizeof text);
    CHECK_INT(len, ==, strlen(text));
    return text;
}

static struct rip_exit exit_of(rip_task *t)
{
    struct rip_exit end;
    CHECK_OK(rip_task_join(t, &end, RIP_FOREVER));
    return end;
}

/* Some are handled by a sanitizer, and are not ours then. */
static void need_default(int sig)
{
    struct sigaction a;
    CHECK_OK(sigaction(sig, NULL, &a));
    if (a.sa_handler != SIG_DFL)
        SKIP("this build handles signal %d itself", sig);
}

/* ---- crashes ---------------------------------------------------------- */

PLAIN static void touch(char *p)
{
    *(volatile char *)p = 1;
    RETURN;
}

PLAIN static int paint(void *arg)
{
    touch(arg);
    RETURN;
    return 0;
}

#define BAD ((void *)0x10)

TEST(report_of_a_crash)
{
    need_default(SIGSEGV);
    rip_task *t = start_named("resize", RIP_PROCESS, paint, BAD);
    CHECK_GLOB(report_of(t),
               "task \"resize\" (process [1-9]*): killed by SIGSEGV* at "
               "address 0x10 after [0-9]*.[0-9][0-9] s\n"
               "  user [0-9]*.[0-9][0-9] s, system [0-9]*.[0-9][0-9] s*\n"
               "  0  touch+0x[0-9a-f]* (report_test)\n"
               "  1  paint+0x[0-9a-f]* (report_test)\n"
               "  2  *");
    CHECK_INT(exit_of(t).fault_address, ==, 0x10);
    CHECK(!exit_of(t).oom_killed);
    rip_task_free(t);
    unlink("core");
}

TEST(frames_of_a_crash)
{
    need_default(SIGSEGV);
    struct rip_frame f[RIP__FRAMES];
    rip_task *t = start(RIP_PROCESS, paint, BAD);
    exit_of(t);
    int n = rip_task_backtrace(t, f, RIP__FRAMES);
    CHECK_INT(n, >, 2);
    CHECK_STR(f[0].function, "touch");
    CHECK_STR(f[0].file, "report_test");
    CHECK_INT(f[0].address - f[0].offset, ==, (uintptr_t)touch);
    CHECK_STR(f[1].function, "paint");
    CHECK_INT(f[1].address - f[1].offset, ==, (uintptr_t)paint);

    struct rip_frame one[2] = { { 0 } };
    CHECK_INT(rip_task_backtrace(t, NULL, 0), ==, n);
    CHECK_INT(rip_task_backtrace(t, one, 1), ==, n);
    CHECK_STR(one[0].function, "touch");
    CHECK_INT(one[1].address, ==, 0);
    rip_task_free(t);
    unlink("core");
}

PLAIN static int descend(int n)
{
    volatile char room[200];
    room[0] = (char)n;
    return n == -1 ? 0 : descend(n + 1) + room[0];
}

static int overflow(void *arg)
{
    (void)arg;
    return descend(1);
}

TEST(report_of_a_stack_overflow)
{
    need_default(SIGSEGV);
    const size_t sizes[] = { 0, 65536 };
    for (int i = 0; i < 2; i++) {
        rip_task *t;
        const struct rip_task_options o = { .kind = RIP_PROCESS,
                                            .stack_size = sizes[i] };
        CHECK_OK(rip_task_start(&t, overflow, NULL, &o));
        CHECK_GLOB(report_of(t),
                   "*killed by SIGSEGV* by stack overflow after*\n"
                   "  0  descend+0x*(report_test)\n"
                   "*\n"
                   "  47 descend+0x*(report_test)\n"
                   "  ...\n");
        CHECK(exit_of(t).fault_address != 0);
        rip_task_free(t);
    }
    unlink("core");
}

PLAIN static int give_up(void *arg)
{
    (void)arg;
    abort();
}

TEST(report_of_an_abort)
{
    rip_task *t = start(RIP_PROCESS, give_up, NULL);
    CHECK_GLOB(report_of(t), "*: killed by SIGABRT* after*\n"
                             "*abort+0x*\n"
                             "*give_up+0x*(report_test)\n*");
    CHECK(!strstr(text, "from process"));
    CHECK(!strstr(text, "at address"));
    CHECK_INT(exit_of(t).fault_address, ==, 0);
    rip_task_free(t);
    unlink("core");
}

static void *paint_in_thread(void *arg)
{
    paint(arg);
    return NULL;
}

static int paint_beside(void *arg)
{
    pthread_t t;
    pthread_create(&t, NULL, paint_in_thread, arg);
    pthread_join(t, NULL);
    return 0;
}

TEST(report_of_a_crash_in_a_thread_of_it)
{
    need_default(SIGSEGV);
    rip_task *t = start(RIP_PROCESS, paint_beside, BAD);
    CHECK_GLOB(report_of(t), "*\n  1  paint+*\n  2  paint_in_thread+*");
    rip_task_free(t);
    unlink("core");
}

/* ---- other ends ------------------------------------------------------- */

static int give(void *arg)
{
    return (int)(intptr_t)arg;
}

static int call_exit(void *arg)
{
    exit(give(arg));
}

static int wait_for_ever(void *arg)
{
    for (;;)
        pause();
    return give(arg);
}

TEST(report_of_a_return)
{
    rip_task *t = start_named("ok", RIP_PROCESS, give, (void *)-3);
    CHECK_GLOB(report_of(t), "task \"ok\" (process [1-9]*): exited with -3 "
                             "after 0.[0-9][0-9] s\n  user *\n");
    CHECK_INT(rip_task_backtrace(t, NULL, 0), ==, 0);
    rip_task_free(t);

    t = start_named("ok", RIP_PROCESS, call_exit, (void *)7);
    CHECK_GLOB(report_of(t), "*: exited with 7 after *");
    rip_task_free(t);

    t = start_named("ok", RIP_THREAD, give, (void *)4);
    CHECK_GLOB(report_of(t), "task \"ok\" (thread): exited with 4 after *\n"
                             "  user *\n");
    CHECK_INT(rip_task_backtrace(t, NULL, 0), ==, 0);
    rip_task_free(t);
    until_alone();
}

TEST(report_of_a_kill)
{
    rip_task *t = start_named("held", RIP_PROCESS, wait_for_ever, NULL);
    CHECK_OK(rip_task_signal(t, SIGKILL));
    CHECK_GLOB(report_of(t), "*: killed by SIGKILL after *\n  user *\n");
    CHECK_INT(rip_task_backtrace(t, NULL, 0), ==, 0);
    rip_task_free(t);

    t = start_named("held", RIP_PROCESS, wait_for_ever, NULL);
    CHECK_OK(kill(rip_task_pid(t), SIGKILL));
    CHECK(!exit_of(t).oom_killed);
    rip_task_free(t);
}

static int tell_and_wait(void *arg)
{
    (void)!write(*(int *)arg, "", 1);
    return wait_for_ever(arg);
}

TEST(report_of_a_crash_by_another)
{
    char c, want[100];
    int fd[2];
    CHECK_OK(pipe(fd));
    rip_task *t = start(RIP_PROCESS, tell_and_wait, &fd[1]);
    CHECK_INT(read(fd[0], &c, 1), ==, 1);
    CHECK_OK(rip_task_signal(t, SIGILL));
    snprintf(want, sizeof want, "*: killed by SIGILL* from process %d after *",
             (int)getpid());
    CHECK_GLOB(report_of(t), want);
    CHECK_GLOB(text, "*tell_and_wait+0x*");
    rip_task_free(t);
    close(fd[0]);
    close(fd[1]);
    unlink("core");
}

TEST(report_of_what_runs)
{
    rip_task *t = start(RIP_PROCESS, wait_for_ever, NULL);
    CHECK_ERR(rip_task_report(t, text, sizeof text), -EBUSY);
    CHECK_ERR(rip_task_backtrace(t, NULL, 0), -EBUSY);
    CHECK_OK(rip_task_signal(t, SIGKILL));
    report_of(t);
    rip_task_free(t);
}

static int ask_for_self(void *arg)
{
    (void)arg;
    return rip_task_report(rip_task_self(), NULL, 0);
}

TEST(report_of_oneself)
{
    CHECK_INT(run(RIP_THREAD, ask_for_self, NULL).code, ==, -EBUSY);
    CHECK_INT(run(RIP_PROCESS, ask_for_self, NULL).code, ==, -EBUSY);
    until_alone();
}

/* ---- the text itself -------------------------------------------------- */

TEST(report_is_cut_like_snprintf)
{
    char buf[16];
    rip_task *t = start(RIP_PROCESS, give_up, NULL);
    int len = (int)strlen(report_of(t));
    CHECK_INT(rip_task_report(t, NULL, 0), ==, len);
    memset(buf, 'x', sizeof buf);
    CHECK_INT(rip_task_report(t, buf, 10), ==, len);
    CHECK_STR(buf, "task \"tas");
    CHECK_INT(buf[10], ==, 'x');
    rip_task_free(t);
    unlink("core");
}

TEST(names_can_not_speak_to_a_terminal)
{
    rip_task *t = start_named("a\033[2Jb\n", RIP_PROCESS, give, NULL);
    CHECK_GLOB(report_of(t), "task \"a\\\\x1b\\[2Jb\\\\n\" (process*");
    rip_task_free(t);
}

/* ---- records that lie ------------------------------------------------- */

/* The child writes to its own record, where the next one's may be as well. */
static int scribble(void *arg)
{
    struct rip__crash *c = &rip_task_self()->record->crash;
    memset(c, 0xff, sizeof *c);
    c->signal = SIGKILL;
    if (arg)
        memcpy(c, arg, sizeof *c);
    raise(SIGKILL);
    return 0;
}

TEST(scribbled_records)
{
    struct rip_frame f[RIP__FRAMES];
    rip_task *t = start(RIP_PROCESS, scribble, NULL);
    CHECK_GLOB(report_of(t), "*killed by SIGKILL*\n  47 0xff*\n  ...\n");
    CHECK_INT(rip_task_backtrace(t, f, RIP__FRAMES), ==, RIP__FRAMES);
    rip_task_free(t);
}

static uint64_t state = 0x2545f4914f6cdd1du;

static uint64_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

TEST_WITH(records_of_nonsense, .deadline = 30)
{
    struct rip__crash c;
    int rounds = harness_rounds(200);
    for (int i = 0; i < rounds; i++) {
        unsigned char *p = (unsigned char *)&c;
        for (size_t k = 0; k < sizeof c; k++)
            p[k] = (unsigned char)any();
        /* Near what there is, as nonsense seldom is by itself. */
        for (size_t k = 0; k < RIP__FRAMES; k += 2)
            c.frames[k] = (uintptr_t)touch + (any() & 0xffffff) - 0x800000;
        c.signal = SIGKILL;
        rip_task *t = start(RIP_PROCESS, scribble, &c);
        report_of(t);
        for (const char *s = text; *s; s++)
            CHECK(*s == '\n' || (unsigned char)*s >= ' ');
        rip_task_free(t);
    }
}

/* ---- faults ----------------------------------------------------------- */

static void crash_and_report(void *ctx)
{
    const struct rip_task_options o = { .kind = RIP_PROCESS };
    rip_task *t;
    (void)ctx;
    if (rip_task_start(&t, give_up, NULL, &o) < 0)
        return;
    if (rip_task_join(t, NULL, RIP_FOREVER) == 0) {
        int len = rip_task_report(t, text, sizeof text);
        CHECK_INT(len, ==, strlen(text));
        CHECK_GLOB(text, "task \"task\" (process [1-9]*): *\n  user *\n*");
    }
    rip_task_free(t);
    unlink("core");
}

TEST_WITH(report_survives_every_fault, .deadline = 60)
{
    CHECK_INT(fault_sweep(crash_and_report, NULL, NULL), >, 0);
}

/* ---- out of memory ---------------------------------------------------- */

static void put(const char *path, const char *content)
{
    char full[256];
    snprintf(full, sizeof full, "fake%s", path);
    for (char *s = full; *s; s++) {
        if (*s != '/')
            continue;
        *s = 0;
        mkdir(full, 0777);
        *s = '/';
    }
    FILE *f = fopen(full, "w");
    CHECK(f != NULL);
    fputs(content, f);
    fclose(f);
}

static void tidy_up(void)
{
    CHECK_INT(system("rm -r fake"), ==, 0);
}

static void put_groups(const char *groups)
{
    put("/proc/self/cgroup", groups);
    put("/proc/self/mountinfo",
        "30 22 0:26 / /cg2 rw shared:9 - cgroup2 cgroup2 rw\n"
        "31 22 0:27 / /cg1 rw shared:9 - cgroup cgroup rw,memory\n");
}

#define EVENTS(n) "low 0\nmax 5\noom 9\noom_kill " n "\noom_group_kill 9\n"

/* Each kill explains one death. */
TEST(kills_in_the_control_group)
{
    put_groups("4:memory:/a\n0::/b\n");
    put("/cg2/b/memory.events", EVENTS("3"));
    put("/cg1/a/memory.oom_control", "oom_kill 100\n");
    put("/proc/vmstat", "oom_kill 100\n");
    CHECK(!rip__oom_explains("fake")); /* not begun */
    rip__oom_begin("fake");
    CHECK(!rip__oom_explains("fake"));
    put("/cg2/b/memory.events", EVENTS("5"));
    rip__oom_begin("fake"); /* has no effect */
    CHECK(rip__oom_explains("fake"));
    CHECK(rip__oom_explains("fake"));
    CHECK(!rip__oom_explains("fake"));
    put("/cg2/b/memory.events", EVENTS("1")); /* in another group now */
    CHECK(!rip__oom_explains("fake"));
    tidy_up();
}

TEST(kills_in_a_group_of_version_1)
{
    put_groups("4:memory:/a\n0::/b\n");
    put("/cg1/a/memory.oom_control",
        "oom_kill_disable 7\nunder_oom 8\noom_kill 2\n");
    put("/proc/vmstat", "oom_kill 100\n");
    rip__oom_begin("fake");
    put("/cg1/a/memory.oom_control",
        "oom_kill_disable 7\nunder_oom 8\noom_kill 3\n");
    CHECK(rip__oom_explains("fake"));
    CHECK(!rip__oom_explains("fake"));
    tidy_up();
}

TEST(kills_in_the_system)
{
    put("/proc/vmstat", "nr_free 5\noom_kill 0\nx 3\n");
    rip__oom_begin("fake");
    CHECK(!rip__oom_explains("fake"));
    put("/proc/vmstat", "nr_free 5\noom_kill 1\nx 3\n");
    CHECK(rip__oom_explains("fake"));
    CHECK(!rip__oom_explains("fake"));
    tidy_up();
}

TEST(kills_that_nobody_counts)
{
    rip__oom_begin("fake");
    CHECK(!rip__oom_explains("fake"));
}

/* ---- the real one ----------------------------------------------------- */

static bool write_to(const char *dir, const char *file, const char *what)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, what, strlen(what)) > 0;
    close(fd);
    return written;
}

/* A new control group that may have so much memory: its directory. */
static const char *new_group(const char *limit)
{
    static char dir[128];
    static const char *const kinds[][3] = {
        { "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "" },
        { "/sys/fs/cgroup", "memory.max", "memory.swap.max" },
    };
    for (size_t i = 0; i < 2; i++) {
        snprintf(dir, sizeof dir, "%s/ripstop-test-%d", kinds[i][0],
                 (int)getpid());
        if (mkdir(dir, 0755) < 0)
            continue;
        if (write_to(dir, kinds[i][1], limit)) {
            write_to(dir, kinds[i][2], "0");
            return dir;
        }
        rmdir(dir);
    }
    SKIP("no control group for memory can be made here");
}

static void enter(const char *dir)
{
    CHECK(write_to(dir, "cgroup.procs", "0"));
}

static void leave(const char *dir)
{
    char above[128];
    snprintf(above, sizeof above, "%.*s", (int)(strrchr(dir, '/') - dir), dir);
    enter(above);
    CHECK_OK(rmdir(dir));
}

static int eat(void *arg)
{
    (void)arg;
    for (size_t mib = 0; mib < 1024; mib++) {
        char *p = malloc(1 << 20);
        CHECK(p != NULL);
        memset(p, 1, 1 << 20);
    }
    return 0;
}

static int kill_oneself(void *arg)
{
    (void)arg;
    kill(getpid(), SIGKILL);
    return 0;
}

TEST_WITH(who_ate_too_much_is_told_from_who_was_killed, .deadline = 60)
{
    static const struct {
        rip_task_fn *fn;
        bool oom_killed;
    } ends[] = { { kill_oneself, false },
                 { eat, true },
                 { kill_oneself, false } };
    static const enum rip_start from[] = { RIP_START_FORK, RIP_START_TEMPLATE };
    const char *dir = new_group("300M");
    enter(dir);
    CHECK_OK(rip_task_template());
    for (size_t i = 0; i < 6; i++) {
        rip_task *t;
        const struct rip_task_options o = { .kind = RIP_PROCESS,
                                            .start = from[i / 3] };
        CHECK_OK(rip_task_start(&t, ends[i % 3].fn, NULL, &o));
        struct rip_exit e = exit_of(t);
        CHECK_INT(e.how, ==, RIP_SIGNALED);
        CHECK_INT(e.signal, ==, SIGKILL);
        CHECK_INT(e.oom_killed, ==, ends[i % 3].oom_killed);
        rip_task_free(t);
    }
    rip__template_done();
    leave(dir);
}
