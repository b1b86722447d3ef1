/* SPDX-License-Identifier: MIT */
/*
 * A child writes lines into a pipe, and its parent reads them to the end. In
 * Python:
 *
 *     r, w = os.pipe()
 *     if os.fork() == 0:
 *         os.close(r)
 *         with os.fdopen(w, "w") as f:
 *             f.write("one\ntwo\n")
 *         os._exit(0)
 *     os.close(w)
 *     for line in os.fdopen(r):
 *         print("parent got:", line, end="")
 *
 * With "killed" the child is killed with SIGKILL after its first line: what it
 * has written comes, and then the end.
 */
#include <ripstop/ripstop.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct job {
    rip_pipe *reader, *writer;
    bool killed;
};

static int write_lines(void *arg)
{
    struct job *j = arg;
    const rip_time deadline = rip_after(10);
    rip_pipe_free(j->reader);
    ssize_t n = rip_pipe_write(j->writer, "one\n", 4, deadline);
    if (j->killed)
        kill(getpid(), SIGKILL);
    if (n == 4)
        n = rip_pipe_write(j->writer, "two\n", 4, deadline);
    rip_pipe_free(j->writer);
    return n == 4 ? 0 : 1;
}

static ssize_t read_to_end(rip_pipe *p)
{
    char text[100];
    ssize_t n = rip_pipe_read_all(p, text, sizeof text - 1, rip_after(10));
    text[n < 0 ? 0 : n] = 0;
    for (const char *line = text; *line; line += *line == '\n') {
        int len = (int)strcspn(line, "\n");
        printf("parent got: %.*s\n", len, line);
        line += len;
    }
    return n;
}

int main(int argc, char **argv)
{
    struct job j = { .killed = argc > 1 && strcmp(argv[1], "killed") == 0 };
    const struct rip_task_options process = { .kind = RIP_PROCESS };
    struct rip_exit end;
    char text[200];
    rip_task *child;

    if (rip_pipe_new(&j.reader, &j.writer, NULL) < 0 ||
        rip_task_start(&child, write_lines, &j, &process) < 0)
        return 1;
    rip_pipe_free(j.writer); /* or we would wait for ourselves */
    ssize_t n = read_to_end(j.reader);
    rip_pipe_free(j.reader);
    if (rip_task_join(child, &end, rip_after(10)) < 0)
        return 1;
    rip_exit_format(&end, text, sizeof text);
    printf("child %s\n", text);
    rip_task_free(child);
    return n < 0;
}
