/* SPDX-License-Identifier: MIT */
#include "inspect.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

/* ---- pieces ----------------------------------------------------------- */

static void print_size(size_t n)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
    double x = (double)n / 1024;
    size_t i = 0;
    while (x >= 1000 && i < 3) {
        x /= 1024;
        i++;
    }
    printf(n < 1024 ? "%.0f %s" : "%.1f %s", n < 1024 ? (double)n : x,
           n < 1024 ? "bytes" : units[i]);
}

static void print_age(rip_time since)
{
    double s = ((double)rip_time_now() - (double)since) / 1e9;
    if (s < 0)
        s = 0;
    if (s < 100)
        printf("%.1f s", s);
    else if (s < 6000)
        printf("%.0f min", s / 60);
    else
        printf("%.0f h", s / 3600);
}

static void print_member(const struct rip_segment_member *m)
{
    if (*m->name)
        printf("%s (", shown(m->name));
    if (m->tid != m->pid)
        printf("thread %d of ", (int)m->tid);
    printf("pid %d", (int)m->pid);
    if (*m->program && strcmp(m->program, m->name) != 0)
        printf("%s %s", *m->name ? "," : "", shown(m->program));
    if (*m->name)
        putchar(')');
}

static void print_object(const struct rip_segment_object *o)
{
    if (*o->name)
        printf("\"%s\"", shown(o->name));
    else
        printf("0x%" PRIx64, o->offset);
}

static void print_held(const struct rip_segment_report *r,
                       const struct rip_segment_member *m, const char *verb)
{
    for (size_t i = 0; i < m->n_holds; i++) {
        printf("%s", i == 0 ? verb : ", ");
        print_object(&r->objects[m->holds[i]]);
    }
    if (m->n_holds > 0)
        putchar('\n');
}

/* ---- members ---------------------------------------------------------- */

static void print_wait(const struct rip_segment_report *r,
                       const struct rip_segment_member *m)
{
    const struct rip_segment_object *o = &r->objects[m->waits_for];
    printf("    waits for ");
    print_object(o);
    printf(", ");
    print_age(m->waits_since);
    if (o->holder >= 0) {
        printf(" now; held by ");
        print_member(&r->members[o->holder]);
    }
    putchar('\n');
}

static bool is_living(const struct rip_segment_member *m)
{
    return m->state == RIP_MEMBER_ALIVE || m->state == RIP_MEMBER_STOPPED;
}

static void print_living(const struct rip_segment_report *r)
{
    for (size_t i = 0; i < r->n_members; i++) {
        const struct rip_segment_member *m = &r->members[i];
        if (!is_living(m))
            continue;
        printf("  ");
        print_member(m);
        printf(", for ");
        print_age(m->joined);
        puts(m->state == RIP_MEMBER_STOPPED ? ", stopped" : "");
        print_held(r, m, "    holds ");
        if (m->waits_for >= 0)
            print_wait(r, m);
    }
}

static void print_dead(const struct rip_segment_report *r)
{
    bool any = false;
    for (size_t i = 0; i < r->n_members; i++) {
        const struct rip_segment_member *m = &r->members[i];
        if (m->state != RIP_MEMBER_DEAD)
            continue;
        if (!any)
            puts("dead:");
        any = true;
        printf("  ");
        print_member(m);
        if (m->died) {
            printf(", ");
            print_age(m->died);
            printf(" ago");
        }
        putchar('\n');
        print_held(r, m, "    held ");
    }
}

/* ---- circles ---------------------------------------------------------- */

static const struct rip_segment_member *first_in(
    const struct rip_segment_report *r, unsigned cycle)
{
    for (size_t i = 0; i < r->n_members; i++)
        if (r->members[i].cycle == cycle)
            return &r->members[i];
    return NULL;
}

/* Once round; not further than there are members, whatever is there. */
static void print_circle(const struct rip_segment_report *r, unsigned cycle)
{
    const struct rip_segment_member *first = first_in(r, cycle), *m = first;
    if (!first)
        return;
    printf("deadlock: these wait for each other, and none of them can go on:");
    for (size_t i = 0; i < r->n_members; i++) {
        const struct rip_segment_object *o = &r->objects[m->waits_for];
        printf("\n  ");
        print_member(m);
        printf(" waits for ");
        print_object(o);
        m = &r->members[o->holder];
        printf(" of ");
        print_member(m);
        if (m == first)
            break;
    }
    putchar('\n');
}

void inspect_print(const struct rip_segment_report *r)
{
    printf("segment %s: %u of %u members, ", shown(r->name), r->stats.members,
           r->stats.members_max);
    print_size(r->stats.used);
    printf(" of ");
    print_size(r->stats.size);
    puts(" allocated");
    if (r->stats.damaged)
        printf("damage was found %" PRIu64 " times\n", r->stats.damaged);
    for (unsigned i = 1; i <= r->cycles; i++)
        print_circle(r, i);
    if (r->stats.members > 0)
        puts("members:");
    print_living(r);
    print_dead(r);
    for (size_t i = 0; i < r->n_objects; i++)
        if (*r->objects[i].name)
            printf("object 0x%" PRIx64 ": \"%s\"\n", r->objects[i].offset,
                   shown(r->objects[i].name));
}
