/* SPDX-License-Identifier: MIT */
#include "inspect.h"

#include <inttypes.h>
#include <stdio.h>

/* Bytes that are no ASCII are told by their number, so that it is JSON
 * whatever somebody has chosen for a name. */
static void print_string(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < ' ' || c > '~')
            printf("\\u%04x", c);
        else if (c == '"' || c == '\\')
            printf("\\%c", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_text(const char *key, const char *s)
{
    printf("\"%s\": ", key);
    print_string(s);
}

static double seconds_since(rip_time t)
{
    return ((double)rip_time_now() - (double)t) / 1e9;
}

static void print_list(const char *key, const int *objects, size_t n)
{
    printf(", \"%s\": [", key);
    for (size_t i = 0; i < n; i++)
        printf("%s%d", i ? ", " : "", objects[i]);
    putchar(']');
}

static void print_member(const struct rip_segment_member *m)
{
    static const char *const states[] = { "alive", "stopped", "dead", "left" };
    putchar('{');
    print_text("name", m->name);
    printf(", ");
    print_text("program", m->program);
    printf(", \"pid\": %d, \"tid\": %d, \"state\": \"%s\"", (int)m->pid,
           (int)m->tid, states[m->state]);
    printf(", \"joined_seconds_ago\": %.3f", seconds_since(m->joined));
    if (m->died)
        printf(", \"died_seconds_ago\": %.3f", seconds_since(m->died));
    if (m->waits_for >= 0)
        printf(", \"waits_for\": %d, \"waits_seconds\": %.3f", m->waits_for,
               seconds_since(m->waits_since));
    print_list("holds", m->holds, m->n_holds);
    print_list("reads", m->reads, m->n_reads);
    print_list("party_of", m->party_of, m->n_party_of);
    printf(", \"permits\": [");
    for (size_t i = 0; i < m->n_permits; i++)
        printf("%s{\"object\": %d, \"count\": %u}", i ? ", " : "",
               m->permits[i].object, m->permits[i].count);
    printf("], \"circle\": %u}", m->cycle);
}

static void print_object(const struct rip_segment_object *o)
{
    printf("{\"offset\": %" PRIu64 ", ", o->offset);
    print_text("name", o->name);
    if (o->holder >= 0)
        printf(", \"holder\": %d", o->holder);
    printf(", \"waiting\": %u, \"readers\": %u, \"parties\": %u, \"permits\": "
           "%u}",
           o->waiting, o->readers, o->parties, o->permits);
}

void inspect_print_json(const struct rip_segment_report *r)
{
    const struct rip_segment_stats *s = &r->stats;
    putchar('{');
    print_text("name", r->name);
    printf(", \"size\": %zu, \"used\": %zu, \"living\": %u, \"living_max\": "
           "%u, \"damaged\": %" PRIu64 ", \"circles\": %u",
           s->size, s->used, s->members, s->members_max, s->damaged, r->cycles);
    printf(", \"members\": [");
    for (size_t i = 0; i < r->n_members; i++) {
        printf("%s", i ? ", " : "");
        print_member(&r->members[i]);
    }
    printf("], \"objects\": [");
    for (size_t i = 0; i < r->n_objects; i++) {
        printf("%s", i ? ", " : "");
        print_object(&r->objects[i]);
    }
    printf("]}");
}
