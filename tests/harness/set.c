/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A harness without memory has nothing to say about the test. */
static _Noreturn void out_of_memory(void)
{
    fputs("harness: out of memory\n", stderr);
    abort();
}

static void make_room(struct harness_set *set)
{
    size_t cap = set->cap > 0 ? 2 * set->cap : 16;
    char **item = realloc(set->item, cap * sizeof *item);

    if (item == NULL)
        out_of_memory();
    set->item = item;
    set->cap = cap;
}

void harness_set_add(struct harness_set *set, const char *format, ...)
{
    char text[1024], **item;
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (set->n == set->cap)
        make_room(set);
    item = &set->item[set->n++];
    *item = strdup(text);
    if (*item == NULL)
        out_of_memory();
}

void harness_set_done(struct harness_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        free(set->item[i]);
    free(set->item);
    *set = (struct harness_set){ 0 };
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct harness_set *set)
{
    if (set->n > 1)
        qsort(set->item, set->n, sizeof *set->item, by_text);
}

size_t harness_set_minus(struct harness_set *b, struct harness_set *a,
                         const char *label)
{
    size_t i = 0, found = 0;

    sort(a);
    sort(b);
    for (size_t j = 0; j < b->n; j++) {
        while (i < a->n && strcmp(a->item[i], b->item[j]) < 0)
            i++;
        if (i < a->n && strcmp(a->item[i], b->item[j]) == 0) {
            i++;
            continue;
        }
        found++;
        if (label != NULL)
            harness_say("%s%s\n", label, b->item[j]);
    }
    return found;
}
