/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <assert.h>
#include <fnmatch.h>
#include <gnu/libc-version.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ripstop/ripstop.h>

enum { MAX_SAMPLES = 64, MAX_FIGURES = 64 };

/* Of a figure, and of the program: its exit status is the worst of them. */
enum outcome { REACHED = 0, MISSED = 1, FAILED = 2 };

int64_t bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void bench_path(char *path, size_t cap, const char *name)
{
    ssize_t n = readlink("/proc/self/exe", path, cap - 1);
    path[n > 0 ? n : 0] = '\0';
    char *file = strrchr(path, '/');
    file = file ? file + 1 : path;
    snprintf(file, (size_t)(path + cap - file), "%s", name);
}

/* ---- statistics ------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the values; a quantile that falls between two is in between. */
static double quantile(double *values, int n, double q)
{
    qsort(values, (size_t)n, sizeof *values, compare);
    double at = q * (n - 1);
    int below = (int)at;
    if (below + 1 >= n)
        return values[n - 1];
    return values[below] + (at - below) * (values[below + 1] - values[below]);
}

/* ---- a side and its process ------------------------------------------- */

struct process {
    pid_t pid;
    int fd; /* a byte asks for a turn, a report answers; -1: no such side */
};

struct report {
    double value;
    char trouble[200]; /* what went wrong; empty: nothing did */
};

/* Of the side that this process is. */
static struct report failure;

int bench_fail(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(failure.trouble, sizeof failure.trouble, format, ap);
    va_end(ap);
    return -1;
}

static struct report take_turn(const struct bench_side *side, int samples)
{
    double values[MAX_SAMPLES] = { 0 };
    for (int i = 0; i < samples; i++) {
        int64_t v = side->run(side->arg);
        if (v < 0)
            return failure;
        values[i] = (double)v;
    }
    return (struct report){ .value = quantile(values, samples, 0.5) };
}

/* The first report says whether it is ready, each further one is a turn. */
static void serve(const struct bench_side *side, int samples, int fd)
{
    struct report r = { 0 };
    if (side->prepare && side->prepare(side->arg) < 0)
        r = failure;
    char go;
    while (send(fd, &r, sizeof r, MSG_NOSIGNAL) >= 0 &&
           recv(fd, &go, 1, 0) == 1)
        r = take_turn(side, samples);
}

static struct process start_process(const struct bench_side *side, int samples)
{
    struct process p = { -1, -1 };
    if (!side->run)
        return p;
    int fds[2];
    fflush(stdout);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0)
        p.pid = fork();
    if (p.pid < 0) {
        perror("bench: cannot start a process to measure in");
        exit(FAILED);
    }
    if (p.pid == 0) {
        close(fds[0]);
        serve(side, samples, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    p.fd = fds[0];
    return p;
}

static void end_process(const struct process *p)
{
    if (p->fd < 0)
        return;
    close(p->fd);
    waitpid(p->pid, NULL, 0);
}

static struct report answer(const struct process *p)
{
    struct report r = { 0 };
    if (p->fd >= 0 && recv(p->fd, &r, sizeof r, 0) != (ssize_t)sizeof r)
        return (struct report){ .trouble = "its process died" };
    return r;
}

static struct report ask(const struct process *p)
{
    if (p->fd >= 0)
        (void)send(p->fd, "", 1, MSG_NOSIGNAL);
    return answer(p);
}

/* ---- a figure --------------------------------------------------------- */

struct result {
    int n;
    double *ours, *baseline, *ratio;
    bool skipped;
    char trouble[256]; /* why it was skipped or failed; empty: it did not */
};

static void allocate(struct result *r, int pairs)
{
    size_t n = (size_t)pairs;
    r->ours = calloc(3 * n, sizeof *r->ours);
    if (!r->ours) {
        perror("bench: cannot keep the samples");
        exit(FAILED);
    }
    r->baseline = r->ours + n;
    r->ratio = r->ours + 2 * n;
}

static bool good(struct result *r, const struct report *ours,
                 const struct report *baseline)
{
    if (ours->trouble[0])
        snprintf(r->trouble, sizeof r->trouble, "ours: %s", ours->trouble);
    else if (baseline->trouble[0])
        snprintf(r->trouble, sizeof r->trouble, "%s", baseline->trouble);
    return !r->trouble[0];
}

/* The first pair is not kept: it finds caches cold and pages untouched. */
static void take_turns(struct result *r, int pairs, const struct process *ours,
                       const struct process *baseline)
{
    for (int i = -1; i < pairs; i++) {
        struct report a = ask(ours), b = ask(baseline);
        if (!good(r, &a, &b))
            return;
        if (i < 0)
            continue;
        r->ours[i] = a.value;
        r->baseline[i] = b.value;
        r->ratio[i] = a.value / b.value;
        r->n++;
    }
}

static void measure(struct result *r, const struct bench_figure *f, int pairs)
{
    struct process ours = start_process(&f->ours, f->samples);
    struct process baseline = start_process(&f->baseline, f->samples);
    struct report a = answer(&ours), b = answer(&baseline);
    if (good(r, &a, &b))
        take_turns(r, pairs, &ours, &baseline);
    else
        r->skipped = true;

    /* The later one first: it has a copy of our end of the earlier one, which
     * would not see end-of-file. */
    end_process(&baseline);
    end_process(&ours);
}

/* ---- printing --------------------------------------------------------- */

#ifdef __OPTIMIZE__
#define OPTIMISED ""
#else
#define OPTIMISED " (NOT OPTIMISED: the figures say little)"
#endif

static void print_cpu_model(void)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        colon[strcspn(colon, "\n")] = '\0';
        printf(",%s", colon + 1);
        break;
    }
    if (f)
        fclose(f);
}

static void print_facts(const struct bench *b)
{
    struct utsname u;
    double load = 0;
    double memory =
        (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    uname(&u);
    getloadavg(&load, 1);
    printf("# ripstop %s, compiler %s%s\n", rip_version(), __VERSION__,
           OPTIMISED);
    printf("# %s %s %s, glibc %s\n", u.sysname, u.release, u.machine,
           gnu_get_libc_version());
    printf("# %u of %ld CPUs", rip_cpu_count(), sysconf(_SC_NPROCESSORS_ONLN));
    print_cpu_model();
    printf("; memory %.1f GiB; load %.2f\n", memory / (1 << 30), load);
    if (b->print_facts)
        b->print_facts();
    printf("%-20s %12s %12s %7s  %-14s %s\n", "name", "ours", "baseline",
           "ratio", "p10..p90", "goal");
}

static const struct {
    const char *name;
    double size;
} units[] = {
    [BENCH_NS] = { "ns", 1 },           [BENCH_US] = { "us", 1e3 },
    [BENCH_MS] = { "ms", 1e6 },         [BENCH_MIB] = { "MiB", 1 << 20 },
    [BENCH_NS_OF_1000] = { "ns", 1e3 }, [BENCH_PER_SECOND] = { "/s", 1 },
};

static void print_value(double value, enum bench_unit unit)
{
    value /= units[unit].size;
    int decimals = value < 10 ? 2 : value < 1000 ? 1 : 0;
    int room = 11 - (int)strlen(units[unit].name);
    printf(" %*.*f %s", room, decimals, value, units[unit].name);
}

static enum outcome print_goal(const struct bench_figure *f, double reached)
{
    if (f->goal <= 0) {
        printf(" -\n");
        return REACHED;
    }
    bool missed = reached > f->goal;
    printf(" <= %.3g%s%s %s\n", f->goal, f->baseline.run ? "" : " ",
           f->baseline.run ? "" : units[f->unit].name,
           missed ? "missed" : "ok");
    return missed ? MISSED : REACHED;
}

static enum outcome print_result(const struct bench_figure *f, struct result *r)
{
    printf("%-20s", f->name);
    if (r->trouble[0]) {
        printf(" %s: %s\n", r->skipped ? "skipped" : "FAILED", r->trouble);
        return r->skipped ? REACHED : FAILED;
    }
    double ours = quantile(r->ours, r->n, 0.5);
    print_value(ours, f->unit);
    if (!f->baseline.run) {
        printf(" %12s %7s  %-14s", "-", "-", "-");
        return print_goal(f, ours / units[f->unit].size);
    }
    char spread[32];
    double ratio = quantile(r->ratio, r->n, 0.5);
    int decimals = ratio < 0.1 ? 4 : 2;
    snprintf(spread, sizeof spread, "%.*f..%.*f", decimals,
             quantile(r->ratio, r->n, 0.1), decimals,
             quantile(r->ratio, r->n, 0.9));
    print_value(quantile(r->baseline, r->n, 0.5), f->unit);
    printf(" %7.*f  %-14s", decimals, ratio, spread);
    return print_goal(f, ratio);
}

/* ---- the command line ------------------------------------------------- */

static enum outcome run_figure(const struct bench_figure *f, int pairs)
{
    struct result r = { 0 };
    pairs = pairs ? pairs : f->pairs;
    allocate(&r, pairs);
    measure(&r, f, pairs);
    enum outcome o = print_result(f, &r);
    fflush(stdout);
    free(r.ours);
    return o;
}

static bool chosen(const char *name, char **patterns)
{
    for (char **p = patterns; *p; p++) {
        if (fnmatch(*p, name, 0) == 0)
            return true;
    }
    return !patterns[0];
}

static bool names_one(const struct bench *b, const char *pattern)
{
    for (int i = 0; i < b->count; i++) {
        if (fnmatch(pattern, b->figures[i].name, 0) == 0)
            return true;
    }
    fprintf(stderr, "bench: no figure is called \"%s\"; -l lists them\n",
            pattern);
    return false;
}

static void list(const struct bench *b)
{
    for (int i = 0; i < b->count; i++)
        printf("%-20s %s\n", b->figures[i].name, b->figures[i].what);
}

static int usage(const char *program)
{
    fprintf(stderr,
            "usage: %s [-l] [-n PAIRS] [FIGURE...]\n"
            "  -l        list the figures\n"
            "  -n PAIRS  take so many pairs of turns for each\n"
            "  FIGURE    name or shell pattern; all without one\n",
            program);
    return FAILED;
}

/* 0 when it is no number of them. */
static int pair_count(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);
    return *end == '\0' && n > 0 && n <= 1000000 ? (int)n : 0;
}

int bench_main(const struct bench *b, int argc, char **argv)
{
    int pairs = 0, option;
    while ((option = getopt(argc, argv, "ln:")) != -1) {
        if (option == 'l') {
            list(b);
            return 0;
        }
        pairs = option == 'n' ? pair_count(optarg) : 0;
        if (pairs <= 0)
            return usage(argv[0]);
    }
    for (int i = optind; i < argc; i++) {
        if (!names_one(b, argv[i]))
            return FAILED;
    }
    enum outcome worst = REACHED;
    print_facts(b);
    for (int i = 0; i < b->count; i++) {
        if (!chosen(b->figures[i].name, argv + optind))
            continue;
        enum outcome o = run_figure(&b->figures[i], pairs);
        worst = o > worst ? o : worst;
    }
    return (int)worst;
}

int bench_topics(void (*facts)(void), const struct bench_topic *topics, int n,
                 int argc, char **argv)
{
    struct bench_figure figures[MAX_FIGURES];
    struct bench b = { .print_facts = facts, .figures = figures };
    for (int i = 0; i < n; i++) {
        size_t count = (size_t)topics[i].count;
        assert(b.count + topics[i].count <= MAX_FIGURES);
        memcpy(figures + b.count, topics[i].figures, count * sizeof *figures);
        b.count += topics[i].count;
    }
    return bench_main(&b, argc, argv);
}
