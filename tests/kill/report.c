/* SPDX-License-Identifier: MIT */
#include "report.h"
#include "driver.h"

#include <stdio.h>

bool report_tap;

struct line {
    unsigned long single, single_bad, pair, pair_bad;
    unsigned long instructions, states, missed;
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
    l->instructions += t->instructions;
    l->states += t->states;
    l->missed += t->missed;
    if (t->slowest > l->slowest)
        l->slowest = t->slowest;
    l->not_reused += t->not_reused;
}

static void add_up(struct line *sum, const struct line *l)
{
    sum->single += l->single;
    sum->single_bad += l->single_bad;
    sum->pair += l->pair;
    sum->pair_bad += l->pair_bad;
    sum->instructions += l->instructions;
    sum->states += l->states;
    sum->missed += l->missed;
    sum->controls += l->controls;
    sum->caught += l->caught;
    sum->not_reused += l->not_reused;
    if (l->slowest > sum->slowest)
        sum->slowest = l->slowest;
}

static bool is_bad(const struct line *l)
{
    return l->single_bad + l->pair_bad > 0 || l->caught < l->controls;
}

/* A few points are missed where it depends on the time which way a process
 * takes. Many are not missed for that. */
static bool is_blind(const struct line *l)
{
    bool blind = l->missed > 10 + l->single / 10;
    if (blind)
        fprintf(stderr, "bad: too many points were missed\n");
    return blind;
}

/* ---- the table -------------------------------------------------------- */

static void print_head(void)
{
    printf("%-12s %-16s", "object", "operation");
    if (drive_steps)
        printf(" %12s %7s %7s %5s %6s", "instructions", "states", "kills",
               "bad", "missed");
    else
        printf(" %9s %5s %9s %5s", "points", "bad", "pairs", "bad");
    printf(" %8s\n", "slowest");
}

static void print_numbers(const struct line *l)
{
    if (drive_steps)
        printf(" %12lu %7lu %7lu %5lu %6lu", l->instructions, l->states,
               l->single, l->single_bad, l->missed);
    else
        printf(" %9lu %5lu %9lu %5lu", l->single, l->single_bad, l->pair,
               l->pair_bad);
    printf(" %8.1f", (double)l->slowest / 1e6);
}

static void print_line(const char *object, const char *op, const struct line *l)
{
    static unsigned nr;
    if (report_tap)
        printf("%sok %u - ", is_bad(l) ? "not " : "", ++nr);
    printf("%-12s %-16s", object, op);
    print_numbers(l);
    if (l->controls > 0)
        printf("   control: %u of %u caught", l->caught, l->controls);
    putchar('\n');
}

static void print_sum(const struct line *sum, int64_t ms)
{
    const char *mark = report_tap ? "# " : "";
    if (drive_steps)
        printf("%s%s:\n%s%lu instructions stepped, %lu states; %lu kills, "
               "%lu bad; %lu missed",
               mark, drive_swept, mark, sum->instructions, sum->states,
               sum->single, sum->single_bad, sum->missed);
    else
        printf("%s%lu points, %lu bad; %lu pairs, %lu bad", mark, sum->single,
               sum->single_bad, sum->pair, sum->pair_bad);
    printf("; %.1f s; the slowest recovery took %.1f ms\n", (double)ms / 1e3,
           (double)sum->slowest / 1e6);
    if (sum->not_reused > 0)
        printf("%sSKIPPED: in %u points no process could be given the dead "
               "one's pid (that takes root)\n",
               mark, sum->not_reused);
}

/* Units of one operation stand together. */
static unsigned count_lines(const struct tally *units, unsigned n)
{
    unsigned lines = 0;
    for (unsigned i = 0; i < n; i++)
        lines += i == 0 || units[i].unit.op != units[i - 1].unit.op;
    return lines;
}

bool report(const struct tally *units, unsigned n, int64_t ms)
{
    struct line sum = { 0 };
    if (report_tap)
        printf("1..%u\n# ", count_lines(units, n));
    print_head();
    for (unsigned i = 0; i < n;) {
        const struct unit *u = &units[i].unit;
        struct line l = { 0 };
        for (; i < n && units[i].unit.op == u->op; i++)
            count(&l, &units[i]);
        print_line(u->object->name, u->op->name, &l);
        add_up(&sum, &l);
    }
    print_sum(&sum, ms);
    return !is_bad(&sum) && !is_blind(&sum);
}
