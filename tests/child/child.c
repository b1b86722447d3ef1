/* SPDX-License-Identifier: MIT */

/*
 * A program for tests of commands to start. It does what its arguments say,
 * one thing after the other, with "," between them:
 *
 *     child print ready , ignore 15 , wait
 *
 * See tests/README.md for the whole list.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char **words; /* those of the action at hand */
static int n_words;

static _Noreturn void die(const char *what)
{
    dprintf(2, "child: %s: %s\n", what, strerror(errno));
    _exit(125);
}

static const char *word(int i)
{
    if (i >= n_words) {
        dprintf(2, "child: %s: too few words\n", words[0]);
        _exit(125);
    }
    return words[i];
}

static long number(int i)
{
    return strtol(word(i), NULL, 0);
}

/* All of it, whatever the pipe takes at a time. */
static void put(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno != EINTR)
            die("write");
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
}

static void nap(long ms)
{
    struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

/* ---- output and input ------------------------------------------------- */

static void do_print(void)
{
    dprintf(1, "%s\n", word(1));
}

static void do_error(void)
{
    dprintf(2, "%s\n", word(1));
}

static void do_echo(void)
{
    for (int i = 1; i < n_words; i++)
        dprintf(1, "%s%s", i > 1 ? " " : "", words[i]);
    dprintf(1, "\n");
}

static void do_args(void)
{
    for (int i = 1; i < n_words; i++)
        dprintf(1, "%zu:%s\n", strlen(words[i]), words[i]);
}

static void do_cat(void)
{
    char buf[65536];
    ssize_t n;

    while ((n = read(0, buf, sizeof buf)) != 0) {
        if (n < 0 && errno != EINTR)
            die("read");
        if (n > 0)
            put(1, buf, (size_t)n);
    }
}

static void do_flood(void)
{
    char buf[65536];
    const char *where = word(1);
    long left = number(2);

    memset(buf, 'x', sizeof buf);
    for (int line = 63; line < (int)sizeof buf; line += 64)
        buf[line] = '\n';
    while (left != 0) {
        size_t n =
            left < 0 || left > (long)sizeof buf ? sizeof buf : (size_t)left;

        if (strcmp(where, "err") != 0)
            put(1, buf, n);
        if (strcmp(where, "out") != 0)
            put(2, buf, n);
        left -= left > 0 ? (long)n : 0;
    }
}

static void do_part(void)
{
    put(1, word(1), strlen(word(1)));
}

static void do_long(void)
{
    char buf[65536];
    long left = number(1);

    memset(buf, 'x', sizeof buf);
    while (left != 0) {
        size_t n =
            left < 0 || left > (long)sizeof buf ? sizeof buf : (size_t)left;

        put(1, buf, n);
        left -= left > 0 ? (long)n : 0;
    }
    put(1, "\n", 1);
}

static void do_count(void)
{
    for (long i = 1; i <= number(1); i++)
        printf("%ld\n", i);
    fflush(stdout);
}

/* Byte by byte, so that the next one can read what follows. */
static void do_await(void)
{
    char c;

    while (read(0, &c, 1) == 1 && c != '\n')
        ;
}

static void do_slow(void)
{
    for (long i = 1; i <= number(1); i++) {
        dprintf(1, "%ld\n", i);
        nap(number(2));
    }
}

static void do_close(void)
{
    close((int)number(1));
}

/* ---- how it ends, and when -------------------------------------------- */

static void do_exit(void)
{
    _exit((int)number(1));
}

static void do_signal(void)
{
    signal((int)number(1), SIG_DFL);
    kill(getpid(), (int)number(1));
    die("it survived the signal");
}

static void do_wait(void)
{
    for (;;)
        pause();
}

static void do_pause(void)
{
    nap(number(1));
}

static void do_ignore(void)
{
    signal((int)number(1), SIG_IGN);
}

static int exit_code;

static void on_signal(int sig)
{
    (void)sig;
    _exit(exit_code);
}

static void do_catch(void)
{
    exit_code = (int)number(2);
    signal((int)number(1), on_signal);
}

static void do_burn(void)
{
    clock_t end = clock() + number(1) * (CLOCKS_PER_SEC / 1000);

    while (clock() < end)
        ;
}

static void do_memory(void)
{
    static char *p; /* kept until the end */
    size_t size = (size_t)number(1) << 20;

    p = malloc(size);
    if (p == NULL)
        die("malloc");
    for (size_t i = 0; i < size; i += 4096)
        ((volatile char *)p)[i] = 1;
}

/* ---- processes -------------------------------------------------------- */

/* The new process does the rest; this one is done. */
static void do_fork(void)
{
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    if (pid > 0)
        _exit(0);
}

/* The new process does the rest; this one waits for it. */
static void do_parent(void)
{
    pid_t pid = fork();
    int status;

    if (pid < 0)
        die("fork");
    if (pid > 0) {
        while (waitpid(pid, &status, 0) != pid)
            ;
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 126);
    }
}

static void do_setsid(void)
{
    if (setsid() < 0)
        die("setsid");
}

static void do_setpgid(void)
{
    if (setpgid(0, 0) < 0)
        die("setpgid");
}

static void do_exec(void)
{
    execvp(word(1), words + 1);
    die(word(1));
}

/* ---- what it was given ------------------------------------------------ */

static int by_number(const struct dirent **a, const struct dirent **b)
{
    return atoi((*a)->d_name) - atoi((*b)->d_name);
}

/* The one by which the directory itself is read is gone when its turn comes. A
 * file to write to is opened when all is known, or it would be in the list. */
static void do_fds(void)
{
    struct dirent **list;
    char text[65536] = "";
    size_t used = 0;
    int n = scandir("/proc/self/fd", &list, NULL, by_number);

    if (n < 0)
        die("/proc/self/fd");
    for (int i = 0; i < n && used < sizeof text - 5000; i++) {
        char path[300], target[4096];
        ssize_t len;

        snprintf(path, sizeof path, "/proc/self/fd/%s", list[i]->d_name);
        len = readlink(path, target, sizeof target - 1);
        if (len > 0 && list[i]->d_name[0] != '.')
            used +=
                (size_t)snprintf(text + used, sizeof text - used, "%s %.*s\n",
                                 list[i]->d_name, (int)len, target);
    }
    put(n_words > 1 ? open(word(1), O_WRONLY | O_CREAT | O_TRUNC, 0600) : 1,
        text, used);
}

static void do_signals(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];

    if (f == NULL)
        die("/proc/self/status");
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "SigBlk", 6) == 0 || strncmp(line, "SigIgn", 6) == 0)
            put(1, line, strlen(line));
    fclose(f);
}

static void do_cwd(void)
{
    char path[4096];

    dprintf(1, "%s\n", getcwd(path, sizeof path) != NULL ? path : "?");
}

static void do_env(void)
{
    for (char **e = environ; *e != NULL; e++)
        dprintf(1, "%s\n", *e);
}

static void do_ids(void)
{
    dprintf(1, "pid %d parent %d group %d session %d\n", getpid(), getppid(),
            getpgid(0), getsid(0));
}

/* ---- */

static const struct action {
    const char *name;
    void (*run)(void);
    int takes_all; /* also "," */
} actions[] = {
    { "args", do_args, 1 },       { "await", do_await, 0 },
    { "burn", do_burn, 0 },       { "cat", do_cat, 0 },
    { "catch", do_catch, 0 },     { "close", do_close, 0 },
    { "count", do_count, 0 },     { "cwd", do_cwd, 0 },
    { "echo", do_echo, 1 },       { "env", do_env, 0 },
    { "error", do_error, 0 },     { "exec", do_exec, 1 },
    { "exit", do_exit, 0 },       { "fds", do_fds, 0 },
    { "flood", do_flood, 0 },     { "fork", do_fork, 0 },
    { "ids", do_ids, 0 },         { "ignore", do_ignore, 0 },
    { "long", do_long, 0 },       { "memory", do_memory, 0 },
    { "parent", do_parent, 0 },   { "part", do_part, 0 },
    { "pause", do_pause, 0 },     { "print", do_print, 0 },
    { "setpgid", do_setpgid, 0 }, { "setsid", do_setsid, 0 },
    { "signal", do_signal, 0 },   { "signals", do_signals, 0 },
    { "slow", do_slow, 0 },       { "wait", do_wait, 0 },
};

static const struct action *find(const char *name)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    dprintf(2, "child: %s: no such action\n", name);
    _exit(125);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i += n_words + 1) {
        const struct action *a = find(argv[i]);

        words = argv + i;
        for (n_words = 1; i + n_words < argc; n_words++)
            if (!a->takes_all && strcmp(words[n_words], ",") == 0)
                break;
        a->run();
    }
    return 0;
}
