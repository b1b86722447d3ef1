/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

/*
 * Whom the program runs as. Names are looked up here, in this process, where
 * the user database may be asked for them (which can read files and talk to
 * services): the child only gets numbers.
 */

/* The highest number means "leave it as it is" to the kernel. */
static bool parse_id(const char *s, unsigned *ret)
{
    char *end;
    if (*s < '0' || *s > '9')
        return false;
    unsigned long id = strtoul(s, &end, 10);
    if (*end != 0 || id >= UINT32_MAX)
        return false;
    *ret = (unsigned)id;
    return true;
}

/* What getpwnam_r(3) and its kin have to say goes into a buffer that may be
 * too small. `lookup` gives their result: 0 also when there is none. */
struct lookup {
    const char *name; /* NULL: by number */
    unsigned id;
    struct passwd user, *found_user;
    struct group group, *found_group;
};

static int look_up_user(struct lookup *l, char *buf, size_t cap)
{
    return l->name ? getpwnam_r(l->name, &l->user, buf, cap, &l->found_user)
                   : getpwuid_r(l->id, &l->user, buf, cap, &l->found_user);
}

static int look_up_group(struct lookup *l, char *buf, size_t cap)
{
    return getgrnam_r(l->name, &l->group, buf, cap, &l->found_group);
}

/* 0 or a negative errno; the strings of the entry are in `room`. */
static int look_up(struct lookup *l,
                   int (*ask)(struct lookup *, char *, size_t),
                   struct rip__buffer *room)
{
    int r = ERANGE;
    for (size_t cap = 1024; r == ERANGE && cap <= 1 << 24; cap *= 4) {
        if (rip__buffer_reserve(room, cap) < 0)
            return -ENOMEM;
        r = ask(l, room->data, cap);
    }
    /* POSIX lets them say so as well. */
    return r == ENOENT || r == ESRCH ? 0 : -r;
}

/* ---- supplementary groups --------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;
    return (x > y) - (x < y);
}

/* As the kernel has them: ascending. Each once; and the room behind. */
static int adopt_groups(struct rip__plan *p, size_t n)
{
    struct rip__os_identity *id = &p->identity;
    size_t kept = 0;
    qsort(p->groups, n, sizeof *p->groups, by_number);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || p->groups[i] != p->groups[kept - 1])
            p->groups[kept++] = p->groups[i];
    id->has_groups = true;
    id->groups = p->groups;
    id->n_groups = kept;
    id->room = p->groups + n;
    return 0;
}

/* Room for n, twice, and one more. */
static int reserve_groups(struct rip__plan *p, size_t n)
{
    rip__free(p->groups);
    p->groups = rip__alloc_array(2 * n + 1, sizeof *p->groups);
    return p->groups ? 0 : rip__fail(p->options, "memory", "groups", -ENOMEM);
}

static int groups_of_user(struct rip__plan *p, const char *name, gid_t gid)
{
    int n = 32, found;
    do {
        int r = reserve_groups(p, (size_t)n);
        if (r < 0)
            return r;
        found = n;
        if (getgrouplist(name, gid, p->groups, &found) >= 0)
            return adopt_groups(p, (size_t)found);
        n = found > n ? found : 2 * n;
    } while (n <= 1 << 20);
    return rip__fail(p->options, "user", name, -EOVERFLOW);
}

/* A name or number of a group: 0 or a negative errno. */
static int group_number(const char *name, gid_t *ret)
{
    struct rip__buffer room = { 0 };
    struct lookup l = { .name = name };
    if (parse_id(name, ret))
        return 0;
    int r = look_up(&l, look_up_group, &room);
    if (r == 0 && !l.found_group)
        r = -ENOENT;
    if (r == 0)
        *ret = l.group.gr_gid;
    rip__buffer_done(&room);
    return r;
}

static int groups_as_listed(struct rip__plan *p)
{
    const char *const *list = p->options->groups;
    size_t n = 0;
    while (list[n])
        n++;
    int r = reserve_groups(p, n);
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = group_number(list[i], &p->groups[i]);
        if (r < 0)
            return rip__fail(p->options, "group", list[i], r);
    }
    return r < 0 ? r : adopt_groups(p, n);
}

/* ---- the user --------------------------------------------------------- */

/* What the database has for the user where the options say nothing. Who is
 * not in it is nobody's member; but a group has to be named then, for to keep
 * ours would be to keep its rights. */
static int adopt_user(struct rip__plan *p, const struct lookup *l)
{
    const struct rip_command_options *o = p->options;
    struct rip__os_identity *id = &p->identity;
    id->has_uid = true;
    id->uid = l->found_user ? l->user.pw_uid : l->id;
    if (!l->found_user && !id->has_gid)
        return rip__refuse(o, "user that is not in the user database, "
                              "without group");
    if (!id->has_gid)
        id->gid = l->user.pw_gid;
    id->has_gid = true;
    if (o->groups)
        return 0;
    if (l->found_user)
        return groups_of_user(p, l->user.pw_name, id->gid);
    int r = reserve_groups(p, 0);
    return r < 0 ? r : adopt_groups(p, 0);
}

static int resolve_user(struct rip__plan *p)
{
    const char *user = p->options->user;
    struct rip__buffer room = { 0 };
    struct lookup l = { .name = user };
    if (parse_id(user, &l.id))
        l.name = NULL;
    /* Where all is said by numbers the database has nothing to add. */
    bool ask = l.name || !p->identity.has_gid || !p->options->groups;
    int r = ask ? look_up(&l, look_up_user, &room) : 0;
    if (r == 0 && !l.found_user && l.name)
        r = -ENOENT;
    r = r < 0 ? rip__fail(p->options, "user", user, r) : adopt_user(p, &l);
    rip__buffer_done(&room);
    return r;
}

static int resolve(struct rip__plan *p)
{
    const struct rip_command_options *o = p->options;
    struct rip__os_identity *id = &p->identity;
    int r = 0;
    if (o->group) {
        r = group_number(o->group, &id->gid);
        if (r < 0)
            return rip__fail(o, "group", o->group, r);
        id->has_gid = true;
    }
    if (o->groups)
        r = groups_as_listed(p);
    if (r == 0 && o->user)
        r = resolve_user(p);
    if (id->has_uid || id->has_gid || id->has_groups)
        p->spawn.identity = id;
    return r;
}

/* libc's look-ups set errno, and may be cancelled. Neither is to be seen. */
int rip__identity_resolve(struct rip__plan *p)
{
    int saved = errno, cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    int r = resolve(p);
    pthread_setcancelstate(cancel, NULL);
    errno = saved;
    return r;
}
