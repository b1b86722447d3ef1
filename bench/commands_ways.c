/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/command.h>

/* ---- ours ------------------------------------------------------------- */

static int ours(char *program, const struct rip_command_options *options)
{
    const char *const argv[] = { program, NULL };
    rip_command *c;
    int r = rip_command_start(&c, argv, options);
    if (r < 0)
        return r;
    struct rip_exit end;
    r = rip_command_wait(c, &end, RIP_FOREVER);
    rip_command_free(c);
    return r < 0 ? r : !rip_exit_ok(&end);
}

int spawn_ours(char *program)
{
    return ours(program, NULL);
}

int spawn_ours_pipes(char *program)
{
    return ours(program, &(struct rip_command_options){
                             .out = { .kind = RIP_STDIO_PIPE },
                             .err = { .kind = RIP_STDIO_PIPE },
                         });
}

int spawn_ours_options(char *program)
{
    const struct rip_limit limits[] = { { RLIMIT_CORE, 0, 0 },
                                        { RLIMIT_NOFILE, 256, 256 } };
    return ours(program, &(struct rip_command_options){
                             .cwd = "/",
                             .user = "nobody",
                             .limits = limits,
                             .n_limits = 2,
                         });
}

/* ---- posix_spawn ------------------------------------------------------ */

int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return status != 0;
}

static int posix(char *program, const posix_spawn_file_actions_t *actions)
{
    char *const argv[] = { program, NULL };
    pid_t pid;
    int r = posix_spawn(&pid, program, actions, NULL, argv, environ);
    return r ? -r : wait_for(pid);
}

int spawn_posix(char *program)
{
    return posix(program, NULL);
}

static int posix_with_pipes(char *program, const int out[2], const int err[2])
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    int r = posix(program, &actions);
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

int spawn_posix_pipes(char *program)
{
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        return -errno;
    int r = posix_with_pipes(program, out, err);
    for (int i = 0; i < 2; i++) {
        close(out[i]);
        close(err[i]);
    }
    return r;
}

/* ---- vfork and fork --------------------------------------------------- */

/* `theirs`: what becomes their streams; -1: what they are. */
static pid_t vfork_exec(char *const argv[], const int theirs[3])
{
    pid_t pid = vfork(); /* NOLINT: it is what is compared with */
    if (pid == 0) {
        for (int i = 0; i < 3; i++) {
            if (theirs[i] >= 0)
                dup2(theirs[i], i);
        }
        execve(argv[0], argv, environ);
        _exit(127);
    }
    return pid < 0 ? -errno : pid;
}

int spawn_vfork(char *program)
{
    char *const argv[] = { program, NULL };
    const int none[3] = { -1, -1, -1 };
    pid_t pid = vfork_exec(argv, none);
    return pid < 0 ? pid : wait_for(pid);
}

int spawn_fork(char *program)
{
    char *const argv[] = { program, NULL };
    pid_t pid = fork();
    if (pid == 0) {
        execve(program, argv, environ);
        _exit(127);
    }
    return pid < 0 ? -errno : wait_for(pid);
}

pid_t start_bare(char *const argv[], int ours[3])
{
    int theirs[3] = { -1, -1, -1 };
    for (int i = 0; i < 3; i++) {
        int fd[2];
        if (ours[i] < 0)
            continue;
        if (pipe2(fd, O_CLOEXEC) < 0)
            return -errno;
        ours[i] = i == 0 ? fd[1] : fd[0];
        theirs[i] = i == 0 ? fd[0] : fd[1];
    }
    pid_t pid = vfork_exec(argv, theirs);
    for (int i = 0; i < 3; i++)
        close(theirs[i]);
    return pid;
}

/* ---- as reproc does it ------------------------------------------------ */

/* Which is in no Debian package. It blocks all signals, forks, and has a pipe
 * that tells of a failure before exec and closes with exec. The child resets
 * its signals and closes all else that is open, trying each number up to the
 * limit. (It then forks with a second such pipe inside of the first, and
 * copies the environment: that is left out, in its favour.) */

static void close_all_but(int keep)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = 3; fd < (int)limit.rlim_cur; fd++) {
        if (fd != keep && fcntl(fd, F_GETFD) >= 0)
            close(fd);
    }
}

static void reset_signals(void)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    for (int sig = 1; sig < 32; sig++)
        sigaction(sig, &action, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become_program(char *program, int report)
{
    char *const argv[] = { program, NULL };
    reset_signals();
    close_all_but(report);
    execvp(program, argv);
    int code = errno;
    (void)!write(report, &code, sizeof code);
    _exit(127);
}

static pid_t fork_without_signals(void)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid != 0)
        sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

int spawn_reproc(char *program)
{
    int report[2], code = 0;
    if (pipe2(report, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork_without_signals();
    if (pid == 0)
        become_program(program, report[1]);
    close(report[1]);
    ssize_t n = pid > 0 ? read(report[0], &code, sizeof code) : 0;
    close(report[0]);
    if (pid < 0)
        return -errno;
    int r = wait_for(pid);
    return n > 0 ? -code : r;
}
