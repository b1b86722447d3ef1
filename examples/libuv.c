/* SPDX-License-Identifier: MIT */

/*
 * The same as poll.c in the event loop of libuv: two handles a command, one
 * for its output and one for its end. So it is in every other loop.
 *
 *     libuv 'ping -c2 localhost' 'make -j4 2>&1'
 */
#include <errno.h>
#include <ripstop/ripstop.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct job {
    const char *line;
    rip_command *command;
    uv_poll_t output, end;
};

static void tell(const struct job *j, const char *what)
{
    static const struct job *last;
    if (j != last || *what)
        printf("==> %s <==%s\n", j->line, what);
    last = j;
}

static void unwatch(uv_poll_t *handle)
{
    if (!uv_is_closing((uv_handle_t *)handle))
        uv_close((uv_handle_t *)handle, NULL);
}

/* What there is, up to what a pipe holds; the loop tells of what comes later.
 * At its end the descriptor is closed, so the loop has to leave it now. */
static void show(uv_poll_t *handle, int status, int events)
{
    static char buf[65536];
    struct job *j = handle->data;
    ssize_t n = rip_command_read(j->command, 1, buf, sizeof buf, RIP_NOW);
    (void)status, (void)events;
    if (n > 0) {
        tell(j, "");
        fwrite(buf, 1, (size_t)n, stdout);
    } else if (n != -ETIMEDOUT) {
        unwatch(handle);
    }
}

/* A helper that the command has left behind may hold its output open. We show
 * what is there, and do not wait for more. The descriptors are the command's:
 * the loop leaves them before they are freed. */
static void finish(uv_poll_t *handle, int status, int events)
{
    struct job *j = handle->data;
    struct rip_exit end;
    char text[RIP_EXIT_TEXT + 1] = " ";
    if (!uv_is_closing((uv_handle_t *)&j->output))
        show(&j->output, status, events);
    rip_command_wait(j->command, &end, RIP_FOREVER);
    rip_exit_format(&end, text + 1, RIP_EXIT_TEXT);
    tell(j, text);
    unwatch(&j->output);
    unwatch(&j->end);
    rip_command_free(j->command);
}

static int start(uv_loop_t *loop, struct job *j)
{
    const char *const argv[] = { "sh", "-c", j->line, NULL };
    const struct rip_command_options options = {
        .in = { .kind = RIP_STDIO_NULL },
        .out = { .kind = RIP_STDIO_PIPE },
    };
    int r = rip_command_start(&j->command, argv, &options);
    if (r < 0)
        return r;
    j->output.data = j->end.data = j;
    uv_poll_init(loop, &j->output, rip_command_pipe(j->command, 1));
    uv_poll_init(loop, &j->end, rip_command_fd(j->command));
    uv_poll_start(&j->output, UV_READABLE, show);
    uv_poll_start(&j->end, UV_READABLE, finish);
    return 0;
}

int main(int argc, char **argv)
{
    uv_loop_t *loop = uv_default_loop();
    struct job *jobs = calloc((size_t)argc, sizeof *jobs);
    if (!jobs)
        return 1;
    setbuf(stdout, NULL); /* at once, also into a pipe */
    for (int i = 1; i < argc; i++) {
        jobs[i].line = argv[i];
        int r = start(loop, &jobs[i]);
        if (r < 0)
            fprintf(stderr, "%s: %s\n", argv[i], rip_strerror(r));
    }
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    free(jobs);
    return 0;
}
