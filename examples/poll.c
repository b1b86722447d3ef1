/* SPDX-License-Identifier: MIT */

/*
 * Several commands at once, and what they write as it comes, under the name
 * of who wrote it:
 *
 *     poll 'ping -c2 localhost' 'make -j4 2>&1'
 *
 * One poll(2) waits for all of them. No call here blocks but that.
 */
#include <errno.h>
#include <poll.h>
#include <ripstop/ripstop.h>
#include <stdio.h>

enum { MOST = 32 };

struct job {
    const char *line;
    rip_command *command;
};

static struct job jobs[MOST];
static struct pollfd fds[MOST][2]; /* a job's output and its end */

static void tell(const struct job *j, const char *what)
{
    static const struct job *last;
    if (j != last || *what)
        printf("==> %s <==%s\n", j->line, what);
    last = j;
}

static int start(struct job *j, struct pollfd p[2])
{
    const char *const argv[] = { "sh", "-c", j->line, NULL };
    const struct rip_command_options options = {
        .in = { .kind = RIP_STDIO_NULL },
        .out = { .kind = RIP_STDIO_PIPE },
    };
    int r = rip_command_start(&j->command, argv, &options);
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", j->line, rip_strerror(r));
        p[0].fd = p[1].fd = -1; /* poll passes them over */
        return 0;
    }
    p[0] = (struct pollfd){ rip_command_pipe(j->command, 1), POLLIN, 0 };
    p[1] = (struct pollfd){ rip_command_fd(j->command), POLLIN, 0 };
    return 1;
}

/* What there is, up to what a pipe holds; poll tells of what comes later. */
static void show(struct job *j, struct pollfd *p)
{
    static char buf[65536];
    ssize_t n = rip_command_read(j->command, 1, buf, sizeof buf, RIP_NOW);
    if (n > 0) {
        tell(j, "");
        fwrite(buf, 1, (size_t)n, stdout);
    } else if (n != -ETIMEDOUT) {
        p->fd = -1; /* its end: the descriptor is closed */
    }
}

/* A helper that the command has left behind may hold its output open. We show
 * what is there, and do not wait for more. */
static void finish(struct job *j, struct pollfd p[2])
{
    struct rip_exit end;
    char text[RIP_EXIT_TEXT + 1] = " ";
    if (p[0].fd >= 0)
        show(j, &p[0]);
    rip_command_wait(j->command, &end, RIP_FOREVER);
    rip_exit_format(&end, text + 1, RIP_EXIT_TEXT);
    tell(j, text);
    rip_command_free(j->command);
    p[0].fd = p[1].fd = -1;
}

int main(int argc, char **argv)
{
    int n = argc - 1 < MOST ? argc - 1 : MOST, running = 0;
    setbuf(stdout, NULL); /* at once, also into a pipe */
    for (int i = 0; i < n; i++) {
        jobs[i].line = argv[i + 1];
        running += start(&jobs[i], fds[i]);
    }
    while (running > 0) {
        if (poll(fds[0], 2 * (nfds_t)n, -1) < 0)
            continue; /* EINTR */
        for (int i = 0; i < n; i++) {
            if (fds[i][0].revents)
                show(&jobs[i], &fds[i][0]);
            if (fds[i][1].revents) {
                finish(&jobs[i], fds[i]);
                running--;
            }
        }
    }
    return 0;
}
