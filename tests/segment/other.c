/* SPDX-License-Identifier: MIT */
#include "segment/other.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

pid_t other_start(void (*fn)(void))
{
    int fd[2];
    char c;
    CHECK_INT(pipe(fd), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        fn();
        CHECK_INT(write(fd[1], "", 1), ==, 1);
        for (;;)
            pause();
    }
    close(fd[1]);
    CHECK_INT(read(fd[0], &c, 1), ==, 1);
    close(fd[0]);
    return pid;
}

void other_end(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_INT(WTERMSIG(status), ==, SIGKILL);
}
