/* SPDX-License-Identifier: MIT */
/*
 * Two programs meet at a FIFO: `fifo NAME` makes it, and shows what is written
 * to it; `fifo NAME TEXT` writes. Each waits five seconds for the other one,
 * which may as well be cat or a shell. In Python, where that wait has no end:
 *
 *     os.mkfifo(name)
 *     with open(name) as f:
 *         print("received:", f.read(), end="")
 *     os.remove(name)
 *
 *     with open(name, "w") as f:
 *         f.write(text + "\n")
 */
#include <errno.h>
#include <ripstop/ripstop.h>
#include <stdio.h>
#include <string.h>

static int say_why(const char *name, ssize_t code)
{
    if (code >= 0)
        return 0;
    fprintf(stderr, "%s: %s\n", name,
            code == -EINVAL ? "not a FIFO" : rip_strerror((int)code));
    return 1;
}

static ssize_t show(rip_pipe *p)
{
    char text[1000];
    ssize_t n;
    while ((n = rip_pipe_read(p, text, sizeof text, rip_after(5))) > 0)
        printf("received: %.*s", (int)n, text);
    return n;
}

static int receive(const char *name)
{
    rip_pipe *p;
    ssize_t r = rip_fifo_make(name, 0600);
    if (r < 0)
        return say_why(name, r);
    r = rip_fifo_open(&p, name, RIP_FIFO_READ, rip_after(5));
    if (r == 0) {
        r = show(p);
        rip_pipe_free(p);
    }
    rip_fifo_remove(name);
    return say_why(name, r);
}

static int send_text(const char *name, const char *text)
{
    rip_pipe *p;
    const rip_time deadline = rip_after(5);
    char line[1000];
    int len = snprintf(line, sizeof line, "%s\n", text);
    ssize_t r = len < (int)sizeof line ? 0 : -EMSGSIZE;
    if (r == 0)
        r = rip_fifo_open(&p, name, RIP_FIFO_WRITE, deadline);
    if (r == 0) {
        r = rip_pipe_write(p, line, (size_t)len, deadline);
        rip_pipe_free(p);
    }
    return say_why(name, r);
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return receive(argv[1]);
    if (argc == 3)
        return send_text(argv[1], argv[2]);
    fprintf(stderr, "usage: fifo NAME [TEXT]\n");
    return 2;
}
