/* SPDX-License-Identifier: MIT */
#include "spawn_ways.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/command.h>

/* ---- ours ------------------------------------------------------------- */

static int ours(const struct rip_command_options *options)
{
    const char *const argv[] = { spawn_program, NULL };
    rip_command *c;
    int r = rip_command_start(&c, argv, options);
    if (r < 0)
        return r;
    struct rip_exit end;
    r = rip_command_wait(c, &end, RIP_FOREVER);
    rip_command_free(c);
    return r < 0 ? r : !rip_exit_ok(&end);
}

int spawn_ours(void)
{
    return ours(NULL);
}

int spawn_ours_pipes(void)
{
    return ours(&(struct rip_command_options){
        .out = { .kind = RIP_STDIO_PIPE },
        .err = { .kind = RIP_STDIO_PIPE },
    });
}

/* ---- what one would write without it ---------------------------------- */

static char *const program_argv[] = { spawn_program, NULL };

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return status != 0;
}

static int posix(const posix_spawn_file_actions_t *actions)
{
    pid_t pid;
    int r =
        posix_spawn(&pid, spawn_program, actions, NULL, program_argv, environ);
    return r ? -r : wait_for(pid);
}

int spawn_posix(void)
{
    return posix(NULL);
}

static int posix_with_pipes(const int out[2], const int err[2])
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    int r = posix(&actions);
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

int spawn_posix_pipes(void)
{
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        return -errno;
    int r = posix_with_pipes(out, err);
    for (int i = 0; i < 2; i++) {
        close(out[i]);
        close(err[i]);
    }
    return r;
}

int spawn_vfork(void)
{
    pid_t pid = vfork(); /* NOLINT: it is what is compared with */
    if (pid == 0) {
        execve(spawn_program, program_argv, environ);
        _exit(127);
    }
    return pid < 0 ? -errno : wait_for(pid);
}

int spawn_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        execve(spawn_program, program_argv, environ);
        _exit(127);
    }
    return pid < 0 ? -errno : wait_for(pid);
}
