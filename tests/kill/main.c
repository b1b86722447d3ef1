/* SPDX-License-Identifier: MIT */
#include "complain.h"
#include "driver.h"
#include "report.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    " [option...] [OBJECT [OPERATION [STATE [MODE [POINT]]]]]\n"
    "\n"
    "Kills a process at each point of each operation, and looks whether the\n"
    "others go on. The words are patterns, as of glob(7); see README.md.\n"
    "\n"
    "  --shallow=N      one in N points\n"
    "  --pair-shallow=N one in N points of B, in pairs\n"
    "  --every=N        kill-step: after each instruction, where there are no\n"
    "                   more than N (1000)\n"
    "  --bad=N          stop a sweep after so many bad points (3)\n"
    "  --deadline=S     who takes so many seconds hangs (10)\n"
    "  --jobs=N         so many at once (one a CPU)\n"
    "  --first          end with the first bad point\n"
    "  --list           only say what there is\n"
    "  --tap            a line of TAP for each operation\n";

static bool only_list;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* ---- arguments -------------------------------------------------------- */

_Noreturn static void wrong(const char *what)
{
    fprintf(stderr, "%s: %s\n\n%s%s", drive_name, what, drive_name, usage);
    exit(2);
}

static void set_words(struct plan *p, char **word, int n)
{
    if (n > 5)
        wrong("too many words");
    p->object = n > 0 ? word[0] : NULL;
    p->op = n > 1 ? word[1] : NULL;
    p->state = n > 2 ? word[2] : NULL;
    p->mode = n > 3 ? word[3] : NULL;
    if (n == 5) {
        char *end;
        p->at = (uint32_t)strtoul(word[4], &end, 10);
        p->at2 = *end == ',' ? (uint32_t)strtoul(end + 1, NULL, 10) : 1;
        p->one = true;
    }
}

static double scale(void)
{
    const char *slow = getenv("RIPSTOP_TEST_SLOW");
    double by = slow != NULL ? strtod(slow, NULL) : 1;
    return by > 1 ? by : 1;
}

static double longer(void)
{
    const char *factor = getenv("RIPSTOP_TEST_LONG");
    double by = factor != NULL ? strtod(factor, NULL) : 1;
    return by > 1 ? by : 1;
}

static uint32_t number(const char *text)
{
    unsigned long n = strtoul(text, NULL, 10);
    if (n == 0 || n > UINT32_MAX)
        wrong("an option wants a number");
    return (uint32_t)n;
}

static void set_option(struct plan *p, int which)
{
    switch (which) {
    case 's':
        p->shallow = number(optarg);
        break;
    case 'p':
        p->pair_shallow = number(optarg);
        break;
    case 'b':
        p->max_bad = number(optarg);
        break;
    case 'd':
        p->deadline = strtod(optarg, NULL) * scale();
        break;
    case 'j':
        p->jobs = number(optarg) > 64 ? 64 : number(optarg);
        break;
    case 'f':
        p->first = true;
        break;
    case 'l':
        only_list = true;
        break;
    case 'e':
        p->every = number(optarg);
        break;
    case 't':
        report_tap = true;
        break;
    default:
        wrong("no such option");
    }
}

static void parse(struct plan *p, int argc, char **argv)
{
    static const struct option options[] = {
        { "shallow", required_argument, NULL, 's' },
        { "pair-shallow", required_argument, NULL, 'p' },
        { "every", required_argument, NULL, 'e' },
        { "bad", required_argument, NULL, 'b' },
        { "deadline", required_argument, NULL, 'd' },
        { "jobs", required_argument, NULL, 'j' },
        { "first", no_argument, NULL, 'f' },
        { "list", no_argument, NULL, 'l' },
        { "tap", no_argument, NULL, 't' },
        { NULL, 0, NULL, 0 },
    };
    int which;
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1)
        set_option(p, which);
    set_words(p, argv + optind, argc - optind);
}

/* ---- what to do ------------------------------------------------------- */

static int list(const struct tally *units, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char name[160];
        complain_name(name, sizeof name, &units[i].unit, 1, 1);
        *strrchr(name, ' ') = '\0';
        printf("%s\n", name);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct plan p = {
        .shallow = 1,
        .pair_shallow = 1,
        .every = 1000,
        .max_bad = 3,
        .jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
        .deadline = 10 * scale(),
        .controls = true,
        .longer = longer(),
    };
    struct tally *units;
    unsigned n;
    int64_t began = now_ms();
    drive_prepare(argv);
    parse(&p, argc, argv);
    n = sweep_list(&p, &units);
    if (only_list)
        return list(units, n);
    if (n == 0)
        wrong("nothing has these names");
    sweep_run(&p, units, n);
    return report(units, n, now_ms() - began) ? 0 : 1;
}
