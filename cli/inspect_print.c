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

static void print_list(const struct rip_segment_report *r, const char *verb,
                       const int *objects, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        printf("%s", i == 0 ? verb : ", ");
        print_object(&r->objects[objects[i]]);
    }
    if (n > 0)
        putchar('\n');
}

static void print_permits(const struct rip_segment_report *r,
                          const struct rip_segment_member *m, const char *verb)
{
    for (size_t i = 0; i < m->n_permits; i++) {
        const struct rip_segment_permits *p = &m->permits[i];
        printf("    %s %u permit%s of ", verb, p->count,
               p->count == 1 ? "" : "s");
        print_object(&r->objects[p->object]);
        putchar('\n');
    }
}

/* ---- members ---------------------------------------------------------- */

static bool is_living(const struct rip_segment_member *m)
{
    return m->state == RIP_MEMBER_ALIVE || m->state == RIP_MEMBER_STOPPED;
}

static bool has(const int *objects, size_t n, int object)
{
    while (n > 0 && objects[n - 1] != object)
        n--;
    return n > 0;
}

static bool reads(const struct rip_segment_member *m, int object)
{
    return has(m->reads, m->n_reads, object);
}

static bool is_party(const struct rip_segment_member *m, int object)
{
    return has(m->party_of, m->n_party_of, object);
}

static bool has_permits(const struct rip_segment_member *m, int object)
{
    size_t n = m->n_permits;
    while (n > 0 && m->permits[n - 1].object != object)
        n--;
    return n > 0;
}

/* Who else has a part in what a member waits for. */
static void print_users(const struct rip_segment_report *r,
                        const struct rip_segment_member *m, const char *verb,
                        bool (*uses)(const struct rip_segment_member *m,
                                     int object))
{
    for (size_t i = 0; i < r->n_members; i++) {
        const struct rip_segment_member *other = &r->members[i];
        if (other == m || !is_living(other) || !uses(other, m->waits_for))
            continue;
        fputs(verb, stdout);
        print_member(other);
        verb = ", ";
    }
}

static void print_wait(const struct rip_segment_report *r,
                       const struct rip_segment_member *m)
{
    const struct rip_segment_object *o = &r->objects[m->waits_for];
    printf("    waits for ");
    print_object(o);
    printf(", ");
    print_age(m->waits_since);
    if (o->holder >= 0 && &r->members[o->holder] != m) {
        printf(" now; held by ");
        print_member(&r->members[o->holder]);
    }
    print_users(r, m, "; read by ", reads);
    print_users(r, m, "; other parties: ", is_party);
    print_users(r, m, "; permits: ", has_permits);
    putchar('\n');
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
        print_list(r, "    holds ", m->holds, m->n_holds);
        print_list(r, "    reads ", m->reads, m->n_reads);
        print_list(r, "    is a party of ", m->party_of, m->n_party_of);
        print_permits(r, m, "has");
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
        print_list(r, "    held ", m->holds, m->n_holds);
        print_list(r, "    read ", m->reads, m->n_reads);
        print_list(r, "    was a party of ", m->party_of, m->n_party_of);
        print_permits(r, m, "had");
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
        printf("damage was found %" PRIu64 " time%s\n", r->stats.damaged,
               r->stats.damaged == 1 ? "" : "s");
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
