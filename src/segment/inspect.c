/* SPDX-License-Identifier: MIT */
#include <ripstop/segment.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "os/os.h"
#include "segment/layout.h"

/*
 * A report is made from a copy of the segment's tables that is read by
 * pread(2): so it can be of a segment that is not mapped here, costs its
 * members nothing, and holds still while it is looked at. It may say what was
 * never true at once, and whatever a neighbour has scribbled; all of it is
 * checked as it is used.
 */

struct words { /* of a member */
    char name[RIP__NAME], program[32];
    int holds[RIP__HELD];
    int marks[RIP__MARKS]; /* what it reads first, what it is a party of last */
    struct rip_segment_permits permits[RIP__RECORDS];
};

struct report {
    struct rip_segment_report out; /* first */
    char name[RIP__NAME_LENGTH];
    struct rip_segment_member *members;
    struct rip_segment_object *objects;
    struct words *words;
    struct rip__name *names;
};

/* What it is made from. */
struct copy {
    int fd;
    struct rip__header header;
    struct rip__layout layout;
    bool same_pids; /* its pids are ours */
    uint32_t n_slots, n_names;
    unsigned char *slots;
    uint64_t *keys; /* of all objects that are to be told of, ascending */
    size_t n_keys;
    uint32_t *order;  /* the slots to be told of, the first to join first */
    uint32_t *places; /* where in that a slot stands */
    size_t n_members;
};

static void copy_done(struct copy *c)
{
    rip__free(c->slots);
    rip__free(c->keys);
    rip__free(c->order);
    rip__free(c->places);
}

static const struct rip__slot *slot_of(const struct copy *c, uint32_t i)
{
    return (const void *)(c->slots + (size_t)i * c->layout.page);
}

/* The same as rip__life, in the copy. */
static bool is_marked_dead(const struct copy *c, uint32_t i)
{
    const struct rip__slot *slot = slot_of(c, i);
    size_t at = slot->life_at, page = c->layout.page;
    uint32_t life;
    if (at % 4 != 0 || at < page - RIP__LIFE_ROOM || at > page - 4)
        at = page - 4;
    memcpy(&life, (const unsigned char *)slot + at, sizeof life);
    return life & RIP__OS_DIED;
}

/* ---- reading ---------------------------------------------------------- */

static int read_all(const struct copy *c, void *buf, size_t len, size_t at)
{
    unsigned char *p = buf;
    while (len > 0) {
        ssize_t n = rip__os_read_at(c->fd, p, len, at);
        if (n <= 0)
            return n < 0 ? (int)n : -EBADMSG;
        p += n;
        at += (size_t)n;
        len -= (size_t)n;
    }
    return 0;
}

/* So many objects a slot can name. */
enum { KEYS = 1 + RIP__HELD + RIP__MARKS + RIP__RECORDS };

static int read_tables(struct copy *c, struct report *r)
{
    const struct rip__layout *l = &c->layout;
    const struct rip__roll *roll = &c->header.roll;
    c->n_slots = roll->slots_used < l->n_slots ? roll->slots_used : l->n_slots;
    c->n_names =
        c->header.names_used < RIP__NAMES ? c->header.names_used : RIP__NAMES;
    c->same_pids = roll->pid_namespace == rip__os_pid_namespace();
    c->slots = rip__alloc_array(c->n_slots, l->page);
    c->order = rip__alloc_array(c->n_slots, sizeof *c->order);
    c->places = rip__alloc_array(c->n_slots, sizeof *c->places);
    c->keys = rip__alloc_array(c->n_slots * (size_t)KEYS + c->n_names,
                               sizeof *c->keys);
    r->names = rip__alloc_array(c->n_names, sizeof *r->names);
    if (!c->slots || !c->order || !c->places || !c->keys || !r->names)
        return -ENOMEM;
    int e = read_all(c, c->slots, c->n_slots * l->page, 0);
    if (e == 0)
        e = read_all(c, r->names, c->n_names * sizeof *r->names, l->names_at);
    return e;
}

/* ---- what is told of -------------------------------------------------- */

static void add_key(struct copy *c, uint64_t key)
{
    if (key >= c->layout.page && key < c->layout.size)
        c->keys[c->n_keys++] = key;
}

static int compare_keys(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The object of a record: {key:48, incarnation:16}. */
static uint64_t record_key(const struct rip__record *r)
{
    return r->key & (((uint64_t)1 << 48) - 1);
}

static void add_marked(struct copy *c, const struct rip__slot *slot)
{
    for (unsigned k = 0; k < RIP__MARKS && k < slot->n_marks; k++) {
        enum rip__mark_kind kind;
        uint64_t key;
        unsigned incarnation;
        if (rip__mark_read(slot->marks[k], &kind, &key, &incarnation))
            add_key(c, key);
    }
}

static void collect_objects(struct copy *c, const struct report *r)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_members; i++) {
        const struct rip__slot *slot = slot_of(c, c->order[i]);
        add_key(c, slot->wait);
        for (unsigned k = 0; k < RIP__HELD; k++)
            add_key(c, slot->held[k]);
        add_marked(c, slot);
        for (unsigned k = 0; k < RIP__RECORDS; k++)
            if (slot->records[k].state >> 38) /* it counts, or is about to */
                add_key(c, record_key(&slot->records[k]));
    }
    for (uint32_t i = 0; i < c->n_names; i++)
        add_key(c, r->names[i].key);
    if (c->n_keys > 0)
        qsort(c->keys, c->n_keys, sizeof *c->keys, compare_keys);
    for (size_t i = 0; i < c->n_keys; i++)
        if (n == 0 || c->keys[n - 1] != c->keys[i])
            c->keys[n++] = c->keys[i];
    c->n_keys = n;
}

static int object_of(const struct copy *c, uint64_t key)
{
    const uint64_t *found = NULL;
    if (c->n_keys > 0)
        found = bsearch(&key, c->keys, c->n_keys, sizeof key, compare_keys);
    return found ? (int)(found - c->keys) : -1;
}

/* Sorted by insertion: slots are mostly in the order of joining already. */
static void collect_members(struct copy *c)
{
    for (uint32_t i = 1; i < c->n_slots; i++) {
        const struct rip__slot *slot = slot_of(c, i);
        if (rip__generation(slot->claim) == 0 ||
            rip__phase(slot->claim) == RIP__CLAIMED)
            continue;
        size_t at = c->n_members++;
        for (; at > 0 && slot_of(c, c->order[at - 1])->joined > slot->joined;
             at--)
            c->order[at] = c->order[at - 1];
        c->order[at] = i;
    }
    for (size_t i = 0; i < c->n_members; i++)
        c->places[c->order[i]] = (uint32_t)i;
}

/* ---- members ---------------------------------------------------------- */

static enum rip_member_state state_of(const struct copy *c, uint32_t i)
{
    const struct rip__slot *slot = slot_of(c, i);
    const struct rip__os_thread t = {
        .pid = (pid_t)slot->pid,
        .tid = (pid_t)slot->tid,
        .start = slot->start,
        .process_start = slot->pstart,
        .pidfs = slot->pidfs,
    };
    if (slot->left)
        return RIP_MEMBER_LEFT;
    if (rip__phase(slot->claim) != RIP__LIVE || is_marked_dead(c, i))
        return RIP_MEMBER_DEAD;
    if (!c->same_pids)
        return RIP_MEMBER_ALIVE;
    if (rip__os_thread_is_gone(&t))
        return RIP_MEMBER_DEAD;
    return rip__os_is_stopped(t.pid, t.tid) ? RIP_MEMBER_STOPPED
                                            : RIP_MEMBER_ALIVE;
}

static bool is_living(const struct rip_segment_member *m)
{
    return m->state == RIP_MEMBER_ALIVE || m->state == RIP_MEMBER_STOPPED;
}

static void name_program(const struct rip_segment_member *m, char *text,
                         size_t cap)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)m->pid);
    if (rip__os_slurp(path, text, cap) < 0)
        *text = 0;
    text[strcspn(text, "\n")] = 0;
}

static bool has(const int *objects, size_t n, int object)
{
    while (n > 0 && objects[n - 1] != object)
        n--;
    return n > 0;
}

/* Whether a mark of a party is about the object that stands there now. */
static bool is_present(const struct copy *c, uint64_t key, unsigned incarnation)
{
    struct rip__fellowship f;
    return read_all(c, &f, sizeof f, key) == 0 &&
           (f.incarnation & RIP__INCARNATIONS) == incarnation;
}

/* Who reads twice has two marks. */
static void tell_marks(struct rip_segment_member *m, struct words *w,
                       const struct copy *c, const struct rip__slot *slot)
{
    int *parties = w->marks + RIP__MARKS;
    for (unsigned k = 0; k < RIP__MARKS && k < slot->n_marks; k++) {
        enum rip__mark_kind kind;
        uint64_t key;
        unsigned incarnation;
        if (!rip__mark_read(slot->marks[k], &kind, &key, &incarnation))
            continue;
        int object = object_of(c, key);
        if (object < 0)
            continue;
        if (kind == RIP__READS && !has(w->marks, m->n_reads, object))
            w->marks[m->n_reads++] = object;
        if ((kind == RIP__PARTY || kind == RIP__PLEDGED) &&
            !has(parties, m->n_party_of, object) &&
            is_present(c, key, incarnation)) {
            *--parties = object;
            m->n_party_of++;
        }
    }
    m->reads = w->marks;
    m->party_of = parties;
}

static void tell_permits(struct rip_segment_member *m, struct words *w,
                         const struct copy *c, uint32_t i)
{
    for (uint32_t k = 0; k < RIP__RECORDS; k++) {
        const struct rip__record *r = &slot_of(c, i)->records[k];
        struct rip__count now;
        int object = r->state >> 38 ? object_of(c, record_key(r)) : -1;
        if (object < 0 || read_all(c, &now, sizeof now, record_key(r)) < 0 ||
            (now.incarnation & 0xffff) != r->key >> 48)
            continue;
        unsigned count = rip__count_recorded(r->state, now.word, i, k);
        if (count > 0)
            w->permits[m->n_permits++] =
                (struct rip_segment_permits){ object, count };
    }
    m->permits = w->permits;
}

static void tell_member(struct rip_segment_member *m, struct words *w,
                        const struct copy *c, uint32_t i)
{
    const struct rip__slot *slot = slot_of(c, i);
    *m = (struct rip_segment_member){
        .name = w->name,
        .program = w->program,
        .pid = (pid_t)slot->pid,
        .tid = (pid_t)slot->tid,
        .state = state_of(c, i),
        .joined = slot->joined,
        .died = rip__death_of(slot->claim, slot->died),
        .waits_for = -1,
        .holds = w->holds,
    };
    memcpy(w->name, slot->name, sizeof w->name - 1);
    if (is_living(m) && c->same_pids)
        name_program(m, w->program, sizeof w->program);
    if (is_living(m) && slot->wait != 0) {
        m->waits_for = object_of(c, slot->wait);
        m->waits_since = slot->wait_since;
    }
    for (unsigned k = 0; k < RIP__HELD; k++) {
        int object = object_of(c, slot->held[k]);
        if (object >= 0)
            w->holds[m->n_holds++] = object;
    }
    tell_marks(m, w, c, slot);
    tell_permits(m, w, c, i);
}

/* ---- objects ---------------------------------------------------------- */

/* Its word names the holder, if it is a lock: of those who say that they hold
 * it, the one that it names does. */
static int holder_of(const struct copy *c, const struct report *r, int object)
{
    uint64_t word;
    if (read_all(c, &word, sizeof word, c->keys[object]) < 0)
        return -1;
    uint32_t slot = rip__slot_of(word);
    if (slot == 0 || slot >= c->n_slots)
        return -1;
    uint32_t i = c->places[slot];
    uint64_t claim = slot_of(c, slot)->claim;
    uint64_t who = rip__identity(rip__generation(claim), slot);
    bool holds = rip__who(word) == who && i < c->n_members &&
                 c->order[i] == slot &&
                 has(r->members[i].holds, r->members[i].n_holds, object);
    return holds ? (int)i : -1;
}

static const char *name_of(const struct copy *c, struct report *r, uint64_t key)
{
    for (uint32_t i = 0; i < c->n_names; i++)
        if (r->names[i].key == key) {
            r->names[i].name[RIP__NAME_LENGTH - 1] = 0;
            return r->names[i].name;
        }
    return key == offsetof(struct rip__header, heap.lock) ? "(allocator)" : "";
}

static void count_uses(const struct report *r,
                       const struct rip_segment_member *m)
{
    if (m->waits_for >= 0)
        r->objects[m->waits_for].waiting++;
    for (size_t i = 0; i < m->n_permits; i++)
        r->objects[m->permits[i].object].permits += m->permits[i].count;
    if (!is_living(m))
        return;
    for (size_t i = 0; i < m->n_reads; i++)
        r->objects[m->reads[i]].readers++;
    for (size_t i = 0; i < m->n_party_of; i++)
        r->objects[m->party_of[i]].parties++;
}

static void tell_objects(const struct copy *c, struct report *r)
{
    for (size_t i = 0; i < c->n_keys; i++)
        r->objects[i] = (struct rip_segment_object){
            .offset = c->keys[i],
            .name = name_of(c, r, c->keys[i]),
            .holder = holder_of(c, r, (int)i),
        };
    for (size_t i = 0; i < c->n_members; i++)
        count_uses(r, &r->members[i]);
}

/* ---- circles ---------------------------------------------------------- */

/* Whom a member waits for; -1: nobody, or one who is dead, which is no reason
 * to wait any longer. A writer has the lock while it waits for readers. */
static int next_of(const struct report *r, int member)
{
    int object = r->members[member].waits_for;
    int next = object < 0 ? -1 : r->objects[object].holder;
    bool waits = next >= 0 && next != member && is_living(&r->members[next]);
    return waits ? next : -1;
}

/* Each member waits for one other at most, so whoever is followed for as many
 * steps as there are members is in a circle by then, or at an end. */
static void find_circles(struct report *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int at = (int)i;
        for (size_t steps = 0; steps < n && at >= 0; steps++)
            at = r->members[at].cycle ? -1 : next_of(r, at);
        if (at < 0 || r->members[at].cycle)
            continue;
        r->out.cycles++;
        for (; r->members[at].cycle == 0; at = next_of(r, at))
            r->members[at].cycle = r->out.cycles;
    }
}

/* ---- the whole -------------------------------------------------------- */

static unsigned count_living(const struct report *r, size_t n)
{
    unsigned living = 0;
    for (size_t i = 0; i < n; i++)
        living += is_living(&r->members[i]);
    return living;
}

static int tell(struct copy *c, struct report *r)
{
    int e = read_tables(c, r);
    if (e < 0)
        return e;
    collect_members(c);
    collect_objects(c, r);
    r->members = rip__alloc_array(c->n_members, sizeof *r->members);
    r->words = rip__alloc_array(c->n_members, sizeof *r->words);
    r->objects = rip__alloc_array(c->n_keys, sizeof *r->objects);
    if (!r->members || !r->words || !r->objects)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_members; i++)
        tell_member(&r->members[i], &r->words[i], c, c->order[i]);
    tell_objects(c, r);
    find_circles(r, c->n_members);
    memcpy(r->name, c->header.name, sizeof r->name - 1);
    r->out.name = r->name;
    r->out.stats = (struct rip_segment_stats){
        .size = c->layout.n_units * RIP__UNIT_SIZE,
        .used = c->header.heap.used,
        .members = count_living(r, c->n_members),
        .members_max = c->layout.n_slots - 1,
        .damaged = c->header.roll.damaged,
    };
    r->out.members = r->members;
    r->out.n_members = c->n_members;
    r->out.objects = r->objects;
    r->out.n_objects = c->n_keys;
    return 0;
}

static int inspect(struct rip_segment_report **ret, struct copy *c)
{
    struct report *r = rip__alloc(sizeof *r);
    int e = r ? tell(c, r) : -ENOMEM;
    copy_done(c);
    if (e < 0) {
        rip_segment_report_free(r ? &r->out : NULL);
        return e;
    }
    *ret = &r->out;
    return 0;
}

int rip_segment_inspect(struct rip_segment_report **ret, rip_segment *s)
{
    struct copy c = { 0 };
    s = rip__segment_or_own(s);
    if (!s)
        return -ENOMEM;
    c.fd = s->fd;
    int r = rip__segment_look(c.fd, &c.header, &c.layout);
    return r < 0 ? r : inspect(ret, &c);
}

int rip_segment_inspect_name(struct rip_segment_report **ret, const char *name)
{
    struct copy c = { 0 };
    if (!name || !rip__is_name(name))
        return -EINVAL;
    int r = rip__segment_find(name, &c.fd, &c.header, &c.layout);
    if (r < 0)
        return r;
    r = inspect(ret, &c);
    rip__os_close(c.fd);
    return r;
}

struct choice {
    unsigned left; /* how many to pass over */
    int fd;
};

static int choose(void *arg, const char *name, int fd)
{
    struct choice *choice = arg;
    (void)name;
    if (choice->left-- == 0) {
        choice->fd = fd;
        return 1;
    }
    rip__os_close(fd);
    return 0;
}

int rip_segment_inspect_pid(struct rip_segment_report **ret, pid_t pid,
                            unsigned index)
{
    struct choice choice = { index, -1 };
    struct copy c = { 0 };
    int r = pid > 0 ? rip__os_memory_each(pid, false, choose, &choice) : -ESRCH;
    if (r <= 0)
        return r == 0 ? -ENOENT : r == -ENOENT ? -ESRCH : r;
    c.fd = choice.fd;
    r = rip__segment_look(c.fd, &c.header, &c.layout);
    if (r == 0)
        r = inspect(ret, &c);
    rip__os_close(c.fd);
    return r;
}

struct rip_segment_report *rip_segment_report_free(
    struct rip_segment_report *report)
{
    struct report *r = (struct report *)(void *)report;
    if (r) {
        rip__free(r->members);
        rip__free(r->objects);
        rip__free(r->words);
        rip__free(r->names);
        rip__free(r);
    }
    return NULL;
}

void rip_segment_stats(rip_segment *s, struct rip_segment_stats *ret)
{
    unsigned members = 0;
    *ret = (struct rip_segment_stats){ 0 };
    s = rip__segment_or_own(s);
    if (!s)
        return;
    const struct rip__domain *d = s->domain;
    for (uint32_t i = 1; i < rip__slots_used(d); i++) {
        uint64_t claim = rip__load(&rip__slot(d, i)->claim);
        members += rip__phase(claim) == RIP__LIVE &&
                   !rip__is_dead(d, rip__identity(rip__generation(claim), i));
    }
    *ret = (struct rip_segment_stats){
        .size = s->layout.n_units * RIP__UNIT_SIZE,
        .used = rip__load_relaxed(&s->header->heap.used),
        .members = members,
        .members_max = s->layout.n_slots - 1,
        .damaged = rip__load_relaxed(&s->header->roll.damaged),
    };
}
