/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "run.h"

static rip_command *popen_ok(const char *shell_command, const char *mode)
{
    rip_command *c;
    CHECK_OK(rip_popen(&c, shell_command, mode));
    return c;
}

/* Something to read from our stdin. */
static void offer_input(void)
{
    write_file("input", "input\n", 0600);
    int fd = open("input", O_RDONLY);
    CHECK_INT(dup2(fd, 0), ==, 0);
    close(fd);
    unlink("input");
}

static void withdraw_input(void)
{
    int fd = open("/dev/null", O_RDWR);
    CHECK_INT(dup2(fd, 0), ==, 0);
    close(fd);
}

/* ---- popen ------------------------------------------------------------ */

TEST(popen_for_reading)
{
    offer_input();
    rip_command *c = popen_ok("cat; echo $0 $((6 * 7)); exit 3", "r");
    CHECK_STR(rest_of(c), "sh 42\n");
    CHECK_INT(rip_command_write(c, "x", 1, RIP_NOW), ==, -EINVAL);
    CHECK_INT(end_of(c).code, ==, 3);
    rip_command_free(c);
    withdraw_input();
}

TEST(popen_for_writing)
{
    char buf[1];
    rip_command *c = popen_ok("cat >copy", "w");
    CHECK_INT(rip_command_write(c, "hello\n", 6, RIP_FOREVER), ==, 6);
    CHECK_INT(rip_command_read(c, 1, buf, 1, RIP_NOW), ==, -EINVAL);
    rip_command_close_input(c);
    CHECK_INT(end_of(c).code, ==, 0);
    CHECK_STR(read_file("copy"), "hello\n");
    rip_command_free(c);
    unlink("copy");
}

TEST(popen_both_ways)
{
    rip_command *c = popen_ok("sort | tr a-z A-Z", "r+");
    fputs("b\na\n", rip_command_stream(c, 0));
    rip_command_close_input(c);
    CHECK_STR(rest_of(c), "A\nB\n");
    end_of(c);
    rip_command_free(c);
}

TEST(popen_refuses_other_modes)
{
    static const char *const modes[] = { "",   "a",   "e",   "re",  "rw",
                                         "w+", "r+ ", "r+b", "R",   "d",
                                         "dr", "rdd", "rd ", "rd+", NULL };
    rip_command *c = NULL;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        CHECK_ERR(rip_popen(&c, "exit", modes[i]), -EINVAL);
    CHECK_ERR(rip_popen(&c, NULL, "r"), -EINVAL);
    CHECK(c == NULL);
}

/* popen(3)'s oldest bug: the second command holds the input of the first
 * open, which then never ends. */
TEST(a_command_gets_no_end_of_another_ones_pipes)
{
    rip_command *first = popen_ok("exec cat", "r+");
    rip_command *second = popen_ok("exec cat", "r+");
    rip_command_close_input(first);
    CHECK_STR(rest_of(first), "");
    CHECK_INT(end_of(first).code, ==, 0);
    rip_command_free(first);
    rip_command_free(second);
}

/* Nor do children that are made in other ways. */
TEST(no_other_child_gets_its_pipes)
{
    char line[4200];
    rip_command *c = popen_ok("exec cat", "r+");
    snprintf(line, sizeof line, "exec %s fds >fds", harness_program("child"));
    CHECK_INT(system(line), ==, 0);
    CHECK_GLOB(read_file("fds"), "0 *\n1 *\n2 *\n");
    CHECK(strstr(read_file("fds"), "\n3 ") == NULL);
    rip_command_free(c);
    unlink("fds");
}

TEST(free_ends_what_was_not_waited_for)
{
    rip_command *c = popen_ok("sleep 60 & echo $!; wait", "r");
    int pid = atoi(await_line(c));
    CHECK(is_alive(pid));
    rip_command_free(c);
    CHECK(!is_alive(pid));
}

/* ---- system ----------------------------------------------------------- */

TEST(system_tells_how_it_ended)
{
    struct rip_exit e;
    CHECK_OK(rip_system("exit 7", &e, RIP_FOREVER));
    CHECK_INT(e.how, ==, RIP_EXITED);
    CHECK_INT(e.code, ==, 7);
    CHECK(!e.timed_out && !e.stopped);
    CHECK_OK(rip_system("kill -9 $$", &e, RIP_FOREVER));
    CHECK_INT(e.how, ==, RIP_SIGNALED);
    CHECK_INT(e.signal, ==, SIGKILL);
    CHECK_OK(rip_system("exec 2>/dev/null; /no/such", &e, RIP_FOREVER));
    CHECK_INT(e.code, ==, 127);
    CHECK_OK(rip_system("", &e, RIP_FOREVER));
    CHECK(rip_exit_ok(&e));
    CHECK_OK(rip_system("exit 1", NULL, RIP_FOREVER));
}

TEST(system_uses_our_streams)
{
    struct rip_exit e;
    int out = dup(1), file = open("out", O_WRONLY | O_CREAT, 0600);
    fflush(stdout);
    dup2(file, 1);
    offer_input();
    CHECK_OK(rip_system("echo hello; cat", &e, RIP_FOREVER));
    withdraw_input();
    dup2(out, 1);
    close(out);
    close(file);
    CHECK_STR(read_file("out"), "hello\ninput\n");
    unlink("out");
}

TEST(what_is_no_shell_command)
{
    struct rip_exit e = { .code = 5 };
    CHECK_ERR(rip_system(NULL, &e, RIP_FOREVER), -EINVAL);
    CHECK_INT(e.code, ==, 5);
    /* No option of the shell. */
    CHECK_OK(rip_system("-c 'exit 4' 2>/dev/null", &e, RIP_FOREVER));
    CHECK_INT(e.code, ==, 127);
}

TEST(a_system_without_a_shell)
{
    struct rip_exit e = { .code = 5 };
    rip_command *c = NULL;
    fault_always(SYS_execve, ENOENT);
    CHECK_ERR(rip_system("exit", &e, RIP_FOREVER), -ENOENT);
    CHECK_ERR(rip_popen(&c, "exit", "r"), -ENOENT);
    CHECK_INT(e.code, ==, 5);
    CHECK(c == NULL);
}

/* What sh waits for, and what has left its group and session. */
TEST_WITH(the_deadline_of_a_system_ends_all_of_it, .deadline = 20)
{
    char line[4200];
    struct rip_exit e;
    snprintf(line, sizeof line,
             "sleep 60 & echo $! >near; %s fork , setsid , exec sh -c "
             "'echo $$ >far; exec sleep 60'; wait",
             harness_program("child"));
    rip_time deadline = rip_after(harness_scale(2)); /* all have begun */
    CHECK_OK(rip_system(line, &e, deadline));
    CHECK_INT(rip_time_now(), >=, deadline);
    CHECK(e.timed_out && !e.stopped);
    CHECK_INT(e.how, ==, RIP_SIGNALED);
    CHECK_INT(e.signal, ==, SIGTERM);
    int near = atoi(read_file("near")), far = atoi(read_file("far"));
    CHECK(near > 0 && far > 0);
    CHECK(!is_alive(near) && !is_alive(far));
    unlink("near");
    unlink("far");
}

/* ---- what system(3) does to the process, and ours does not ------------ */

static void *run_gated(void *arg)
{
    struct rip_exit e;
    (void)arg;
    CHECK_OK(rip_system("echo >ready; read x <go", &e, RIP_FOREVER));
    CHECK(rip_exit_ok(&e));
    return NULL;
}

static void await_fifo(const char *name)
{
    char buf[8];
    int fd = open(name, O_RDONLY);
    CHECK_INT(read(fd, buf, sizeof buf), >, 0);
    close(fd);
}

/* The lines of /proc/THREAD/status about signals. */
static void signal_state(int thread, char *buf, size_t cap)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/status", thread);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    buf[0] = 0;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, "SigBlk", 6) == 0 || strncmp(line, "SigIgn", 6) == 0)
            snprintf(buf + strlen(buf), cap - strlen(buf), "%s", line);
    fclose(f);
}

static _Atomic int gated_tid;

static void *run_gated_and_tell(void *arg)
{
    gated_tid = (int)syscall(SYS_gettid);
    return run_gated(arg);
}

TEST(a_running_system_changes_no_signal)
{
    char before[512], during[512], there[512];
    pthread_t thread;
    int self = (int)syscall(SYS_gettid);
    CHECK_INT(mkfifo("ready", 0600), ==, 0);
    CHECK_INT(mkfifo("go", 0600), ==, 0);
    signal_state(self, before, sizeof before);
    pthread_create(&thread, NULL, run_gated_and_tell, NULL);
    await_fifo("ready");
    signal_state(self, during, sizeof during);
    do /* the shell may be ahead of the thread that has started it */
        signal_state(gated_tid, there, sizeof there);
    while (strcmp(there, before) != 0);
    write_file("go", "\n", 0600);
    pthread_join(thread, NULL);
    CHECK_STR(during, before);
    unlink("ready");
    unlink("go");
}

static void *run_often(void *arg)
{
    const int *code = arg;
    char line[16];
    snprintf(line, sizeof line, "exit %d", *code);
    for (int i = 0; i < 100; i++) {
        struct rip_exit e;
        CHECK_OK(rip_system(line, &e, RIP_FOREVER));
        CHECK_INT(e.code, ==, *code);
    }
    return NULL;
}

/* With musl's system(3) SIGINT may stay ignored after this: the harness looks
 * at that. */
TEST_WITH(threads_that_call_system_at_once, .deadline = 30)
{
    int codes[] = { 1, 2, 3, 4 };
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, run_often, &codes[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

/* ---- Ctrl-C ----------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

/* In a session on the terminal; gives what is wrong, 0 if nothing. */
static int run_on_terminal(const char *terminal)
{
    struct sigaction act = { .sa_handler = on_interrupt };
    struct rip_exit e;
    setsid();
    int fd = open(terminal, O_RDWR);
    if (fd < 0 || dup2(fd, 0) < 0)
        return 1;
    sigaction(SIGINT, &act, NULL);
    if (rip_system("echo >ready; exec sleep 60", &e, rip_after(30)) != 0)
        return 2;
    if (e.how != RIP_SIGNALED || e.signal != SIGINT)
        return 3;
    return interrupted ? 0 : 4;
}

TEST_WITH(ctrl_c_reaches_both, .deadline = 40)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), status;
    if (terminal < 0)
        SKIP("there are no terminals here");
    grantpt(terminal);
    unlockpt(terminal);
    CHECK_INT(mkfifo("ready", 0600), ==, 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(run_on_terminal(ptsname(terminal)));
    await_fifo("ready");
    CHECK_INT(write(terminal, "\003", 1), ==, 1);
    CHECK_INT(waitpid(child, &status, 0), ==, child);
    CHECK_INT(status, ==, 0);
    close(terminal);
    unlink("ready");
}

/* ---- faults ----------------------------------------------------------- */

static void popen_and_talk(void *arg)
{
    char *line = NULL;
    size_t cap = 0;
    rip_command *c = NULL;
    (void)arg;
    if (rip_popen(&c, "cat", "r+") < 0) {
        CHECK(c == NULL);
        return;
    }
    fputs("hello\n", rip_command_stream(c, 0));
    rip_command_close_input(c);
    ssize_t n = rip_command_line(c, &line, &cap, RIP_FOREVER);
    if (n > 0)
        CHECK_STR(line, "hello\n");
    free(harness_take(line));
    (void)rip_command_wait(c, NULL, RIP_FOREVER);
    rip_command_free(c);
}

TEST_WITH(popen_survives_every_fault, .deadline = 240)
{
    CHECK_INT(fault_sweep(popen_and_talk, NULL, NULL), >, 40);
}

static void system_ends(void *arg)
{
    struct rip_exit e = { .code = -1 };
    (void)arg;
    int r = rip_system("exit 3", &e, RIP_FOREVER);
    if (r == 0)
        CHECK(e.how == RIP_UNKNOWN || e.code == 3);
    else
        CHECK_INT(e.code, ==, -1);
}

TEST_WITH(system_survives_every_fault, .deadline = 240)
{
    CHECK_INT(fault_sweep(system_ends, NULL, NULL), >, 20);
}

static void system_is_late(void *arg)
{
    struct rip_exit e;
    (void)arg;
    int r = rip_system("exec sleep 60", &e, rip_after_ms(10));
    if (r == 0)
        CHECK(e.how == RIP_UNKNOWN || e.timed_out);
}

TEST_WITH(the_deadline_of_a_system_survives_every_fault, .deadline = 240)
{
    struct fault_options some = { .most = 16 };
    CHECK_INT(fault_sweep(system_is_late, NULL, &some), >, 40);
}
