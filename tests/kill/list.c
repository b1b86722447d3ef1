/* SPDX-License-Identifier: MIT */
/* Which units there are. */
#include "complain.h"
#include "driver.h"
#include "sweep.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { UNITS_MAX = 16384 };

static bool fits(const char *pattern, const char *name)
{
    return pattern == NULL || fnmatch(pattern, name, 0) == 0;
}

/* Whether a list of words has that one; NULL has all. */
static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    if (list == NULL)
        return true;
    for (const char *p = list; (p = strstr(p, word)) != NULL; p += len)
        if ((p == list || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
            return true;
    return false;
}

static bool op_fits(const struct plan *p, const struct unit *u)
{
    char name[128];
    complain_op(name, sizeof name, u);
    return fits(p->op, name);
}

static bool is_wanted(const struct plan *p, const struct unit *u)
{
    if ((u->mode == MODE_STOPPED || u->mode == MODE_SLAIN) &&
        u->object->while_stopped == NULL)
        return false;
    if (MODE_IS_THREAD(u->mode) && (drive_steps || u->object->sibling == NULL))
        return false;
    if (u->mode == MODE_EXITS && u->op->may_leave)
        return false;
    if (u->op->is_broken &&
        (!p->controls || !has_word(u->op->broken_in, mode_name[u->mode])))
        return false;
    return fits(p->object, u->object->name) && op_fits(p, u) &&
           fits(p->state, u->state->name) && fits(p->mode, mode_name[u->mode]);
}

struct list {
    const struct plan *plan;
    struct tally *units;
    unsigned n;
};

static void add(struct list *l, const struct unit *u)
{
    struct tally *t = &l->units[l->n];
    if (!is_wanted(l->plan, u) || l->n == UNITS_MAX)
        return;
    t->unit = *u;
    t->unit.shallow = MODE_IS_PAIR(u->mode)
                          ? (uint32_t)(l->plan->pair_shallow / l->plan->longer)
                          : l->plan->shallow;
    t->unit.every = (uint32_t)(l->plan->every * l->plan->longer);
    t->at = t->at2 = 1;
    if (l->plan->one) {
        t->at = l->plan->at;
        t->at2 = l->plan->at2;
    }
    if (u->op->is_broken || t->unit.shallow == 0)
        t->unit.shallow = 1;
    l->n++;
}

static void add_singles(struct list *l, struct unit *u)
{
    u->other = NULL;
    for (int mode = 0; mode < MODE_PAIR; mode++) {
        u->mode = (enum kill_mode)mode;
        add(l, u);
    }
}

static void add_pairs(struct list *l, struct unit *u)
{
    const struct kill_operation *op = u->object->operations;
    for (; op->name != NULL; op++) {
        if (op->alone || !has_word(u->op->against, op->name) ||
            op->is_broken != u->op->is_broken)
            continue;
        u->other = op;
        for (int mode = MODE_PAIR; mode < MODES; mode++) {
            u->mode = (enum kill_mode)mode;
            add(l, u);
        }
    }
}

/* To step through a long program takes time. */
static uint32_t seeds(const struct list *l, const struct kill_operation *op)
{
    double n = op->seeds * l->plan->longer;
    return (uint32_t)(drive_steps ? n / 4 : n);
}

static void add_operation(struct list *l, const struct kill_object *object,
                          const struct kill_operation *op)
{
    struct unit u = { .object = object, .op = op };
    for (int i = 0; i < KILL_STATES && op->states[i] != NULL; i++) {
        u.state = op->states[i];
        u.seed = op->seeds != 0;
        do {
            add_singles(l, &u);
            if (!drive_steps)
                add_pairs(l, &u);
        } while (u.seed != 0 && u.seed++ < seeds(l, op));
    }
}

unsigned sweep_list(const struct plan *p, struct tally **ret)
{
    struct list l = { .plan = p };
    l.units = mmap(NULL, UNITS_MAX * sizeof *l.units, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (l.units == MAP_FAILED) {
        perror("kill: mmap");
        exit(2);
    }
    for (int i = 0; kill_objects[i] != NULL; i++) {
        const struct kill_object *o = kill_objects[i];
        for (int k = 0; o->operations[k].name != NULL; k++)
            add_operation(&l, o, &o->operations[k]);
    }
    *ret = l.units;
    return l.n;
}
