/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DUMP_BIT (UINT64_C(1) << (HARNESS_DUMP_SIGNAL - 1))

static void each_thread(pid_t pid, void (*fn)(pid_t pid, pid_t tid))
{
    char path[64];
    DIR *dir;
    struct dirent *e;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    dir = opendir(path);
    if (dir == NULL)
        return;
    while ((e = readdir(dir)) != NULL)
        if (isdigit((unsigned char)e->d_name[0]))
            fn(pid, atoi(e->d_name));
    closedir(dir);
}

/* One line of /proc/PID/task/TID/<file>, "?" when it cannot be read. */
static void thread_file(pid_t pid, pid_t tid, const char *file, char *buf,
                        size_t cap)
{
    char path[96];

    snprintf(path, sizeof path, "/proc/%d/task/%d/%s", pid, tid, file);
    if (harness_slurp(path, buf, cap) <= 0)
        snprintf(buf, cap, "?");
    buf[strcspn(buf, "\n")] = '\0';
}

/* What the kernel knows about a thread, whatever signals it blocks. */
static void say_thread(pid_t pid, pid_t tid)
{
    char comm[32], wchan[64], syscall_text[256];

    thread_file(pid, tid, "comm", comm, sizeof comm);
    thread_file(pid, tid, "wchan", wchan, sizeof wchan);
    thread_file(pid, tid, "syscall", syscall_text, sizeof syscall_text);
    harness_say("  thread %d (%s): wchan %s, system call %s\n", tid, comm,
                wchan, syscall_text);
}

/* Only a thread that has our handler and does not block the signal. */
static void ask_thread(pid_t pid, pid_t tid)
{
    char path[64];
    unsigned before = harness_report->dumped;
    int64_t until;

    snprintf(path, sizeof path, "%d/task/%d", pid, tid);
    if (!(harness_proc_mask(path, "SigCgt") & DUMP_BIT) ||
        (harness_proc_mask(path, "SigBlk") & DUMP_BIT)) {
        harness_say("  stack of thread %d: it blocks our signal\n", tid);
        return;
    }
    if (syscall(SYS_tgkill, pid, tid, HARNESS_DUMP_SIGNAL) < 0)
        return;
    until = harness_now() + 1000000000;
    while (harness_report->dumped == before && harness_now() < until)
        harness_nap();
    if (harness_report->dumped == before)
        harness_say("  stack of thread %d: it does not answer\n", tid);
}

/* Runs our program, or one that it has become by exec? */
static bool is_ours(pid_t pid)
{
    char path[64], own[PATH_MAX], its[PATH_MAX];
    ssize_t n, m;

    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    n = readlink("/proc/self/exe", own, sizeof own);
    m = readlink(path, its, sizeof its);
    return n > 0 && n == m && memcmp(own, its, (size_t)n) == 0;
}

static pid_t start_gdb(pid_t target, int output)
{
    char number[16];
    pid_t pid;

    snprintf(number, sizeof number, "%d", target);
    pid = fork();
    if (pid == 0) {
        const char *const argv[] = {
            "gdb",
            "-nx",
            "-batch",
            "-iex",
            "set debuginfod enabled off",
            "-p",
            number,
            "-ex",
            "thread apply all bt",
            NULL,
        };
        sigset_t none;
        int null = open("/dev/null", O_RDWR);

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        dup2(null, 0);
        dup2(output, 1);
        dup2(null, 2);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return pid;
}

/* gdb reads the debug information of every library: it is given its time. */
static bool wait_gdb(pid_t pid)
{
    int64_t until = harness_now() + (int64_t)(harness_scale(20) * 1e9);
    int status;
    pid_t r;

    while ((r = waitpid(pid, &status, WNOHANG)) == 0 && harness_now() < until)
        harness_nap();
    if (r == 0) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        return false;
    }
    return r == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static size_t say_frames(int output)
{
    FILE *f = fdopen(output, "r");
    char line[1024];
    size_t frames = 0;

    if (f == NULL)
        return 0;
    rewind(f);
    while (fgets(line, sizeof line, f) != NULL)
        if (line[0] == '#' || strncmp(line, "Thread ", 7) == 0) {
            line[strcspn(line, "\n")] = '\0';
            harness_say("  %s%s\n", line[0] == '#' ? "  " : "", line);
            frames += line[0] == '#';
        }
    fclose(f);
    return frames;
}

/* By gdb, where there is one: it knows arguments and lines, and threads that
 * block every signal. RIPSTOP_TEST_GDB=0 does without. */
static bool dump_by_gdb(pid_t pid)
{
    const char *wanted = getenv("RIPSTOP_TEST_GDB");
    int output;
    bool ended;

    if (wanted != NULL && strcmp(wanted, "0") == 0)
        return false;
    output = memfd_create("gdb", MFD_CLOEXEC);
    if (output < 0)
        return false;
    ended = wait_gdb(start_gdb(pid, output));
    return say_frames(output) > 0 && ended;
}

static void dump_process(const struct harness_proc *p, void *ctx)
{
    char command[512];

    harness_proc_command(p, command, sizeof command);
    harness_say("process %d, child of %d: %s%s\n", p->pid, p->parent, command,
                p->state == 'Z' ? " (a zombie, not waited for)" : "");
    if (p->state != 'Z') {
        each_thread(p->pid, say_thread);
        if (is_ours(p->pid) && !dump_by_gdb(p->pid))
            each_thread(p->pid, ask_thread);
    }
    harness_proc_each(p->pid, dump_process, ctx);
}

void harness_dump_tree(void)
{
    harness_proc_each(getpid(), dump_process, NULL);
}
