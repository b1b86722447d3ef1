/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/exit.h>

#define DEADLINE 10.0 /* seconds a test has, unless it says otherwise */

char harness_directory[4096];

static struct harness_test *tests, **tests_end = &tests;

/* Called by constructors, in the order of the file. */
void harness_add(struct harness_test *test)
{
    *tests_end = test;
    tests_end = &test->next;
}

/* What the runner holds for the test that runs. */
struct run {
    struct harness_test *test;
    pid_t pid;
    int output; /* a file with what the test prints */
    siginfo_t end;
    bool timed_out;
    size_t orphans;
};

static int signals = -1; /* a descriptor that tells of signals */

static _Noreturn void die(const char *what)
{
    printf("Bail out! harness: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- in the test's process -------------------------------------------- */

static void reset_signals(void)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    const long default_action[8] = { 0 }; /* in the kernel's layout */
    sigset_t none;

    for (int sig = 1; sig < NSIG; sig++)
        if (sigaction(sig, &action, NULL) < 0) /* libc's own: it refuses */
            syscall(SYS_rt_sigaction, sig, default_action, NULL, 8);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Whatever we were started from: the same surroundings for every test. */
static void enter_surroundings(struct run *run, pid_t runner)
{
    int null = open("/dev/null", O_RDWR);
    struct rlimit core;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != runner)
        _exit(1);
    setsid();
    reset_signals();
    dup2(null, 0);
    dup2(run->output, 1);
    dup2(run->output, 2);
    close_range(3, ~0u, 0);
    if (getrlimit(RLIMIT_CORE, &core) == 0)
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, core.rlim_max });
}

static struct harness_test *current;

const char *harness_test_name(void)
{
    return current->name;
}

/* The test, and the comparison with how things were before it. */
static enum harness_verdict run_and_check(struct harness_test *test)
{
    struct harness_state *before;
    size_t found;

    current = test;
    if (chdir(harness_directory) < 0)
        die(harness_directory);
    setenv("TMPDIR", harness_directory, 1);
    setenv("LC_ALL", "C", 1);
    harness_stack_handler();
    harness_seam_install();
    before = harness_state_take();
    test->run();
    if (getpid() != harness_report->test)
        FAIL("a forked child has returned from the test's function");
    found = harness_state_check(before);
    harness_state_free(before);
    return found > 0 ? HARNESS_FAILED : HARNESS_PASSED;
}

/* exit, not _exit: leak and coverage tools do their work there. */
static _Noreturn void run_in_child(struct run *run, pid_t runner)
{
    enter_surroundings(run, runner);
    harness_report->test = getpid();
    harness_report->verdict = run_and_check(run->test);
    exit(harness_report->verdict == HARNESS_FAILED);
}

/* ---- in the runner ---------------------------------------------------- */

static void make_directory(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(harness_directory, sizeof harness_directory,
             "%.4000s/ripstop-test.XXXXXX",
             tmp != NULL && *tmp != '\0' ? tmp : "/tmp");
    if (mkdtemp(harness_directory) == NULL)
        die(harness_directory);
}

static bool being_traced(void)
{
    return harness_proc_mask("self", "TracerPid") != 0;
}

static _Noreturn void stop_all(unsigned sig)
{
    harness_kill_descendants();
    harness_remove_tree(harness_directory);
    printf("Bail out! interrupted by signal %u\n", sig);
    _exit(2);
}

/* Until a signal comes, but not for long, since the test may move its
 * deadline meanwhile. */
static void wait_for_signal(void)
{
    struct pollfd fd = { signals, POLLIN, 0 };
    struct signalfd_siginfo info;

    if (poll(&fd, 1, 250) > 0 &&
        read(signals, &info, sizeof info) == sizeof info &&
        info.ssi_signo != SIGCHLD)
        stop_all(info.ssi_signo);
}

/* Waits for the test's own process, and leaves it as a zombie, so that its
 * pid stays its own until everything is cleared up. */
static void wait_for_end(struct run *run)
{
    const int ended = WEXITED | WNOWAIT;
    id_t pid = (id_t)run->pid;

    while (waitid(P_PID, pid, &run->end, ended | WNOHANG) == 0 &&
           run->end.si_pid == 0) {
        if (harness_now() >= harness_report->deadline) {
            run->timed_out = true;
            harness_say("the deadline has passed\n");
            harness_dump_tree();
            kill(run->pid, SIGKILL);
            waitid(P_PID, pid, &run->end, ended);
            return;
        }
        wait_for_signal();
    }
}

static void say_end(const siginfo_t *end)
{
    const char *name = rip_signal_name(end->si_status);

    if (end->si_code == CLD_EXITED)
        harness_say("the test's process exited with %d\n", end->si_status);
    else if (name != NULL)
        harness_say("the test's process was killed by %s\n", name);
    else
        harness_say("the test's process was killed by signal %d\n",
                    end->si_status);
}

/* A verdict is as good as the end that it was followed by: a test that
 * leaves by exit(3) has none, and a leak checker gives a status of its own. */
static enum harness_verdict judge(struct run *run)
{
    enum harness_verdict v = (enum harness_verdict)harness_report->verdict;
    bool ended_well = run->end.si_code == CLD_EXITED && run->end.si_status == 0;

    if (run->timed_out)
        return HARNESS_FAILED;
    if (v == HARNESS_RUNNING || (v == HARNESS_PASSED && !ended_well)) {
        say_end(&run->end);
        return HARNESS_FAILED;
    }
    return run->orphans > 0 ? HARNESS_FAILED : v;
}

/* ---- what is printed -------------------------------------------------- */

/* Each line behind "# ", which TAP takes as a comment. */
static void print_lines(const char *text, size_t len)
{
    bool at_start = true;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (at_start)
            fputs("# ", stdout);
        at_start = c == '\n';
        if (c == '\n' || c == '\t' || !iscntrl(c))
            putchar(c);
        else
            printf("\\x%02x", c);
    }
    if (!at_start)
        putchar('\n');
}

/* The end of what a test printed says most about why it failed. */
static void print_output(int fd)
{
    static char text[64 * 1024];
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > (off_t)sizeof text ? size - (off_t)sizeof text : 0;
    ssize_t n = pread(fd, text, sizeof text, from);

    if (n <= 0)
        return;
    printf("# ---- its output%s:\n", from > 0 ? " (the end of it)" : "");
    print_lines(text, (size_t)n);
}

static void print_failure(struct run *run)
{
    size_t len = harness_report->len;

    print_lines(harness_report->note, strlen(harness_report->note));
    print_lines(harness_report->text, len < sizeof harness_report->text
                                          ? len
                                          : sizeof harness_report->text);
    print_output(run->output);
}

static bool print_result(struct run *run, int number)
{
    enum harness_verdict v = judge(run);
    const char *name = run->test->name;

    if (v == HARNESS_SKIPPED)
        printf("ok %d - %s # SKIP %s\n", number, name, harness_report->skip);
    else
        printf("%s %d - %s\n", v == HARNESS_PASSED ? "ok" : "not ok", number,
               name);
    if (v == HARNESS_FAILED)
        print_failure(run);
    fflush(stdout);
    return v != HARNESS_FAILED;
}

static bool run_test(struct harness_test *test, int number)
{
    struct run run = { .test = test };
    pid_t runner = getpid();
    bool passed;

    run.output = memfd_create("output", MFD_CLOEXEC);
    if (run.output < 0 || fcntl(run.output, F_SETFL, O_APPEND) < 0)
        die("memfd_create");
    make_directory();
    harness_report_reset();
    if (!being_traced()) {
        harness_report->deadline = 0;
        harness_extend(test->deadline > 0 ? test->deadline : DEADLINE);
    }
    run.pid = fork();
    if (run.pid < 0)
        die("fork");
    if (run.pid == 0)
        run_in_child(&run, runner);
    wait_for_end(&run);
    if (harness_report->verdict == HARNESS_PASSED)
        run.orphans = harness_orphans(run.pid);
    harness_kill_descendants();
    harness_remove_tree(harness_directory);
    passed = print_result(&run, number);
    close(run.output);
    return passed;
}

/* ---- the command line ------------------------------------------------- */

static bool is_wanted(const struct harness_test *test, char **patterns)
{
    if (*patterns == NULL)
        return true;
    for (; *patterns != NULL; patterns++)
        if (fnmatch(*patterns, test->name, 0) == 0)
            return true;
    return false;
}

static int list(char **patterns)
{
    for (struct harness_test *t = tests; t != NULL; t = t->next)
        if (is_wanted(t, patterns))
            puts(t->name);
    return 0;
}

/* In this process, for a debugger: without deadline, and with the output
 * where it is. */
static int run_here(char **patterns)
{
    struct harness_test *test = tests;
    enum harness_verdict v;

    while (test != NULL && !is_wanted(test, patterns))
        test = test->next;
    if (test == NULL || *patterns == NULL) {
        fputs("harness: --here takes the name of a test\n", stderr);
        return 2;
    }
    harness_here = true;
    harness_report_reset();
    harness_report->test = getpid();
    make_directory();
    v = run_and_check(test);
    harness_remove_tree(harness_directory);
    fprintf(stderr, "%s: %s\n", test->name,
            v == HARNESS_PASSED ? "passed" : "failed");
    return v != HARNESS_PASSED;
}

static void watch_signals(void)
{
    sigset_t set;

    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        die("signalfd");
}

/* A /dev/shm of our own, where we may: else names that another program makes
 * there meanwhile look like leaks of ours. Not in a chroot that is no mount,
 * which can not be made private, and where a new namespace would only mislead
 * gdb: paths of what is mapped would begin outside of the chroot. */
static void enter_own_shm(void)
{
    struct statx root;

    if (statx(AT_FDCWD, "/", 0, 0, &root) == 0 &&
        (root.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 &&
        unshare(CLONE_NEWNS) == 0 &&
        mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0)
        mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, NULL);
}

static int run_all(char **patterns)
{
    int wanted = 0, number = 0, failed = 0;

    for (struct harness_test *t = tests; t != NULL; t = t->next)
        wanted += is_wanted(t, patterns);
    if (wanted == 0) {
        fputs("harness: no test has that name; --list shows them\n", stderr);
        return 2;
    }
    enter_own_shm();
    watch_signals();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    printf("1..%d\n", wanted);
    fflush(stdout);
    for (struct harness_test *t = tests; t != NULL; t = t->next)
        if (is_wanted(t, patterns))
            failed += !run_test(t, ++number);
    return failed > 0;
}

int main(int argc, char **argv)
{
    (void)argc;
    /* Before anything is printed: glibc does not change its mind later. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    harness_symbols_load();
    harness_program("");
    if (argv[1] != NULL && strcmp(argv[1], "--list") == 0)
        return list(argv + 2);
    if (argv[1] != NULL && strcmp(argv[1], "--here") == 0)
        return run_here(argv + 2);
    if (argv[1] != NULL && argv[1][0] == '-') {
        fputs("usage: [--list | --here] [TEST...]\n"
              "Runs the tests whose names match the patterns, or all.\n",
              stderr);
        return 2;
    }
    return run_all(argv + 1);
}

/* Our own path is read once, before enter_own_shm: in a chroot the kernel has
 * no right path for a program from another mount namespace. */
const char *harness_program(const char *name)
{
    static char path[4096];
    static char *slash;
    ssize_t len;

    if (slash == NULL) {
        len = readlink("/proc/self/exe", path, sizeof path - 1);
        path[len < 0 ? 0 : len] = '\0';
        slash = strrchr(path, '/');
    }
    if (slash == NULL)
        die("/proc/self/exe");
    snprintf(slash + 1, sizeof path - (size_t)(slash + 1 - path), "%s", name);
    return path;
}
