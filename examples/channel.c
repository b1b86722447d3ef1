/* SPDX-License-Identifier: MIT */
/*
 * A server to whom clients send words, which come back in capitals. `channel
 * serve NAME N` serves N clients, `channel ask NAME WORD...` is one. In Python:
 *
 *     with Listener(name) as listener:
 *         with listener.accept() as conn:
 *             while True:
 *                 conn.send(conn.recv().upper())      # until EOFError
 *
 *     with Client(name) as conn:
 *         conn.send(word)
 *         print(conn.recv())
 *
 * and `channel pair`, as Pipe() there, between a parent and its child:
 *
 *     ours, theirs = Pipe()
 *     Process(target=child, args=(theirs,)).start()
 *     print(ours.recv())
 */
#include <ctype.h>
#include <errno.h>
#include <ripstop/ripstop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int say_why(const char *what, ssize_t code)
{
    if (code >= 0)
        return 0;
    fprintf(stderr, "%s: %s\n", what, rip_strerror((int)code));
    return 1;
}

/* ---- the server ------------------------------------------------------- */

/* Until he goes, or is killed. */
static ssize_t serve_one(rip_channel *c)
{
    char word[100];
    ssize_t n;
    while ((n = rip_channel_receive(c, word, sizeof word, rip_after(10))) >=
           0) {
        for (ssize_t i = 0; i < n; i++)
            word[i] = (char)toupper((unsigned char)word[i]);
        int r = rip_channel_send(c, word, (size_t)n, rip_after(10));
        if (r < 0)
            return r;
    }
    return n == -EPIPE ? 0 : n;
}

static int serve(const char *name, long clients)
{
    rip_listener *l;
    rip_channel *c;
    ssize_t r = rip_listener_new(&l, name, NULL);
    if (r < 0)
        return say_why(name, r);
    for (long i = 0; r == 0 && i < clients; i++) {
        r = rip_listener_accept(&c, l, rip_after(10));
        if (r < 0)
            break;
        r = serve_one(c);
        rip_channel_free(c);
    }
    rip_listener_free(l);
    return say_why(name, r);
}

/* ---- a client --------------------------------------------------------- */

static ssize_t ask(rip_channel *c, const char *word)
{
    char answer[100];
    ssize_t r = rip_channel_send(c, word, strlen(word), rip_after(10));
    if (r == 0)
        r = rip_channel_receive(c, answer, sizeof answer, rip_after(10));
    if (r >= 0)
        printf("%.*s\n", (int)r, answer);
    return r;
}

static int ask_all(const char *name, char **words)
{
    rip_channel *c;
    ssize_t r = rip_channel_connect(&c, name, NULL, rip_after(10));
    if (r < 0)
        return say_why(name, r);
    for (; *words && r >= 0; words++)
        r = ask(c, *words);
    rip_channel_free(c);
    return say_why(name, r);
}

/* ---- parent and child ------------------------------------------------- */

struct ends {
    rip_channel *ours, *theirs;
};

static int child(void *arg)
{
    struct ends *e = arg;
    rip_channel_free(e->ours);
    return rip_channel_send(e->theirs, "hello from the child", 20,
                            rip_after(10));
}

static int pair(void)
{
    const struct rip_task_options process = { .kind = RIP_PROCESS };
    struct ends e;
    rip_task *t;
    char text[100];
    if (rip_channel_pair(&e.ours, &e.theirs, NULL) < 0 ||
        rip_task_start(&t, child, &e, &process) < 0)
        return 1;
    rip_channel_free(e.theirs);
    ssize_t n;
    while ((n = rip_channel_receive(e.ours, text, sizeof text,
                                    rip_after(10))) >= 0)
        printf("%.*s\n", (int)n, text);
    printf("the end\n");
    rip_channel_free(e.ours);
    rip_task_free(t);
    return n == -EPIPE ? 0 : say_why("pair", n);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "pair") == 0)
        return pair();
    if (argc == 4 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2], strtol(argv[3], NULL, 10));
    if (argc > 3 && strcmp(argv[1], "ask") == 0)
        return ask_all(argv[2], argv + 3);
    fprintf(stderr, "usage: channel pair\n"
                    "       channel serve NAME CLIENTS\n"
                    "       channel ask NAME WORD...\n");
    return 2;
}
