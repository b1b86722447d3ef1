/* SPDX-License-Identifier: MIT */
#include "complain.h"
#include "sweep.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "kill-sweep [option...] [OBJECT [OPERATION [STATE [MODE [POINT]]]]]\n"
    "\n"
    "Kills a process at each point of each operation, and looks whether the\n"
    "others go on. The words are patterns, as of glob(7); see README.md.\n"
    "\n"
    "  --shallow=N      one in N points\n"
    "  --pair-shallow=N one in N points of B, in pairs\n"
    "  --bad=N          stop a sweep after so many bad points (3)\n"
    "  --deadline=S     who takes so many seconds hangs (10)\n"
    "  --jobs=N         so many at once (one a CPU)\n"
    "  --first          end with the first bad point\n"
    "  --list           only say what there is\n"
    "  --tap            a line of TAP for each operation\n";

static bool only_list, tap;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* ---- arguments -------------------------------------------------------- */

_Noreturn static void wrong(const char *what)
{
    fprintf(stderr, "kill-sweep: %s\n\n%s", what, usage);
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
    case 't':
        tap = true;
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

/* ---- the report ------------------------------------------------------- */

struct line {
    unsigned long single, single_bad, pair, pair_bad;
    unsigned caught, controls; /* units of controls that were found bad */
    int64_t slowest;
    unsigned not_reused;
};

static void count(struct line *l, const struct tally *t)
{
    bool pair = MODE_IS_PAIR(t->unit.mode);
    *(pair ? &l->pair : &l->single) += t->points;
    if (t->unit.op->is_broken) {
        l->controls++;
        l->caught += t->bad > 0;
    } else {
        *(pair ? &l->pair_bad : &l->single_bad) += t->bad;
    }
    if (t->slowest > l->slowest)
        l->slowest = t->slowest;
    l->not_reused += t->not_reused;
}

static bool is_bad(const struct line *l)
{
    return l->single_bad + l->pair_bad > 0 || l->caught < l->controls;
}

static void print_line(const char *object, const char *op, const struct line *l)
{
    char control[64] = "";
    static unsigned nr;
    if (tap)
        printf("%sok %u - ", is_bad(l) ? "not " : "", ++nr);
    if (l->controls > 0)
        snprintf(control, sizeof control, "   control: %u of %u caught",
                 l->caught, l->controls);
    printf("%-12s %-16s %9lu %5lu %9lu %5lu %8.1f%s\n", object, op, l->single,
           l->single_bad, l->pair, l->pair_bad, (double)l->slowest / 1e6,
           control);
}

static void add_up(struct line *sum, const struct line *l)
{
    sum->single += l->single;
    sum->single_bad += l->single_bad;
    sum->pair += l->pair;
    sum->pair_bad += l->pair_bad;
    sum->controls += l->controls;
    sum->caught += l->caught;
    sum->not_reused += l->not_reused;
    if (l->slowest > sum->slowest)
        sum->slowest = l->slowest;
}

/* Units of one operation stand together. */
static unsigned count_lines(const struct tally *units, unsigned n)
{
    unsigned lines = 0;
    for (unsigned i = 0; i < n; i++)
        lines += i == 0 || units[i].unit.op != units[i - 1].unit.op;
    return lines;
}

static bool report(const struct tally *units, unsigned n, int64_t ms)
{
    struct line sum = { 0 };
    if (tap)
        printf("1..%u\n# ", count_lines(units, n));
    printf("%-12s %-16s %9s %5s %9s %5s %8s\n", "object", "operation", "points",
           "bad", "pairs", "bad", "slowest");
    for (unsigned i = 0; i < n;) {
        const struct unit *u = &units[i].unit;
        struct line l = { 0 };
        for (; i < n && units[i].unit.op == u->op; i++)
            count(&l, &units[i]);
        print_line(u->object->name, u->op->name, &l);
        add_up(&sum, &l);
    }
    printf("%s%lu points, %lu bad; %lu pairs, %lu bad; %.1f s; the slowest "
           "recovery took %.1f ms\n",
           tap ? "# " : "", sum.single, sum.single_bad, sum.pair, sum.pair_bad,
           (double)ms / 1e3, (double)sum.slowest / 1e6);
    if (sum.not_reused > 0)
        printf("%sSKIPPED: in %u points no process could be given the dead "
               "one's pid (that takes root)\n",
               tap ? "# " : "", sum.not_reused);
    return !is_bad(&sum);
}

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
        .max_bad = 3,
        .jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
        .deadline = 10 * scale(),
        .controls = true,
        .longer = longer(),
    };
    struct tally *units;
    unsigned n;
    int64_t began = now_ms();
    parse(&p, argc, argv);
    n = sweep_list(&p, &units);
    if (only_list)
        return list(units, n);
    if (n == 0)
        wrong("nothing has these names");
    sweep_run(&p, units, n);
    return report(units, n, now_ms() - began) ? 0 : 1;
}
