/* SPDX-License-Identifier: MIT */
#include "segment/member.h"

#include <errno.h>
#include <pthread.h>

#include "base/base.h"
#include "segment/layout.h"

/*
 * Which domain an address is in, and the caller's membership of it.
 *
 * All that a fork must not carry over is in one page which the kernel wipes in
 * the child: the number that validates every thread's cache, and the mutexes of
 * this file and of segment.c. A mutex of zeroes is a free one, with every libc
 * we know. So a child that was forked while another thread held it finds it
 * free; what the mutex guards is changed by single stores, and is whole at any
 * moment.
 */
struct page {
    /* Objects stand at the begin of pages more often than elsewhere, and a CPU
     * takes what stands at the same place of two pages for the same. */
    uint64_t unused[7];
    uint64_t process;
    pthread_mutex_t mutex, of_segments;
};

static const uint64_t nobody;
const uint64_t *rip__process = &nobody;
__thread struct rip__near rip__near;

/* Memberships of this thread, and in which lineage of forks it got them. */
static __thread struct {
    uint64_t lineage;
    struct rip__me *first;
} mine;

enum { DOMAINS = 64 };

static struct page *page;
/*
 * The segments. Who looks takes no lock, and the domain of a segment that
 * another thread is just closing may be gone; so what is needed to find an
 * address stands here, in memory that is never freed. `version` is odd while
 * the entry is being changed: then, or if it is another afterwards, it is of no
 * segment that the one who looks may be using.
 */
static struct entry {
    uint64_t version;
    uintptr_t base;
    size_t size;
    struct rip__domain *domain; /* NULL: a gap */
} table[DOMAINS];

static struct rip__domain *own; /* NULL: not made yet */
static uint64_t changes;        /* the last value that `process` had */
static uint64_t lineage;        /* how many forks lie behind us, and 1 */
static uint64_t at_end;         /* 1 + a key of pthreads'; 0: none yet */

static void thread_ends(void *unused)
{
    (void)unused;
    rip__leave_all();
}

/* Every cache is void from now on. */
static void change(void)
{
    __atomic_store_n(&page->process, ++changes, __ATOMIC_RELEASE);
}

static int make_key(void)
{
    pthread_key_t key;
    uint64_t none = 0;
    if (pthread_key_create(&key, thread_ends) != 0)
        return -EAGAIN;
    if (!rip__cas(&at_end, &none, (uint64_t)key + 1))
        pthread_key_delete(key);
    return 0;
}

static int make_page(void)
{
    struct page *none = NULL, *p = rip__os_wiped_map(rip__os_page());
    if (!p)
        return -ENOMEM;
    if (!__atomic_compare_exchange_n(&page, &none, p, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_ACQUIRE))
        rip__os_unmap(p, rip__os_page());
    return 0;
}

/* The key and the page, once in the life of a program and of all its forks. Of
 * what several make at once one is taken: a mutex that another thread holds
 * while this one forks would never be free in the child. */
static int ensure_page(void)
{
    int r = 0;
    if (__atomic_load_n(&rip__process, __ATOMIC_ACQUIRE) != &nobody)
        return 0;
    if (!rip__load(&at_end))
        r = make_key();
    if (r == 0 && !rip__load(&page))
        r = make_page();
    if (r == 0)
        __atomic_store_n(&rip__process, &page->process, __ATOMIC_RELEASE);
    return r;
}

pthread_mutex_t *rip__mutex_of_segments(void)
{
    static pthread_mutex_t none; /* where nothing else works either */
    return ensure_page() < 0 ? &none : &page->of_segments;
}

/* ---- the program's own domain ----------------------------------------- */

enum { OWN_STRIDE = 4096, OWN_SLOTS = RIP__SLOTS_MAX, OWN_SLOTS_LEAST = 256 };

static struct rip__domain *make_own(void)
{
    static struct rip__domain d = { .stride = OWN_STRIDE, .fd = -1, .refs = 1 };
    for (uint32_t n = OWN_SLOTS; !d.base && n >= OWN_SLOTS_LEAST; n /= 2) {
        d.n_slots = n;
        d.size = (size_t)n * OWN_STRIDE;
        d.base = rip__os_wiped_map(d.size);
    }
    if (!d.base)
        return NULL;
    rip__roll(&d)->slots_used = 1;
    return &d;
}

/* In a fork's child all of it is zero: nobody is a member. */
static void begin_lineage(void)
{
    lineage++;
    if (own)
        rip__roll(own)->slots_used = 1;
    for (int i = 0; i < DOMAINS; i++)
        if (table[i].domain)
            table[i].domain->leaving = 0;
    change();
}

static int begin(void)
{
    int r = ensure_page();
    if (r < 0)
        return r;
    if (rip__load(&page->process) != 0)
        return 0;
    pthread_mutex_lock(&page->mutex);
    if (page->process == 0)
        begin_lineage();
    pthread_mutex_unlock(&page->mutex);
    return 0;
}

static struct rip__domain *own_domain(void)
{
    if (begin() < 0)
        return NULL;
    if (!rip__load(&own)) {
        pthread_mutex_lock(&page->mutex);
        if (!own)
            rip__store(&own, make_own());
        pthread_mutex_unlock(&page->mutex);
    }
    return rip__load(&own);
}

uint64_t rip__first_generation(const struct rip__domain *d)
{
    /* An identity of the program's own domain that was copied by a fork, in
     * a lock, must not come to mean a member of the child. */
    return d->shared ? 0 : (lineage & 0xffff) << 24;
}

/* ---- segments --------------------------------------------------------- */

/* With the mutex held. Each store is seen after the one before. */
static void set_entry(struct entry *e, struct rip__domain *d)
{
    uint64_t version = rip__load_relaxed(&e->version) | 1;
    rip__store(&e->version, version);
    rip__store(&e->base, d ? (uintptr_t)d->base : 0);
    rip__store(&e->size, d ? d->size : 0);
    rip__store(&e->domain, d);
    rip__store(&e->version, version + 1);
}

/* An entry as it was at one moment; a gap when there was none. */
static struct entry read_entry(const struct entry *e)
{
    struct entry ret = { .version = rip__load(&e->version) };
    ret.base = rip__load(&e->base);
    ret.size = rip__load(&e->size);
    ret.domain = rip__load(&e->domain);
    if (ret.version % 2 != 0 || rip__load(&e->version) != ret.version)
        ret = (struct entry){ 0 };
    return ret;
}

int rip__domain_add(const struct rip__domain *from, struct rip__domain **ret)
{
    int r = begin();
    if (r < 0)
        return r;
    struct rip__domain *d = rip__alloc(sizeof *d);
    if (!d)
        return -ENOMEM;
    *d = *from;
    d->refs = 1;
    pthread_mutex_lock(&page->mutex);
    int i = 0;
    while (i < DOMAINS && rip__load_relaxed(&table[i].domain))
        i++;
    if (i < DOMAINS) {
        set_entry(&table[i], d);
        change();
    }
    pthread_mutex_unlock(&page->mutex);
    if (i == DOMAINS) {
        rip__free(d);
        return -EMFILE;
    }
    *ret = d;
    return 0;
}

/* With the mutex held. What is left there of our maker's threads is nobody's.
 */
static void bury_others(struct rip__domain *d)
{
    for (struct rip__me *me = d->members; me; me = me->fellow)
        if (me->lineage == lineage)
            rip__member_bury(me);
        else
            rip__member_part(me);
    d->members = NULL;
}

/* They are sweeping, and need nothing of ours for that. */
static void await_leaving(struct rip__domain *d)
{
    uint32_t n;
    while ((n = rip__load(&d->leaving)) != 0) {
        const struct rip__os_futex f = { &d->leaving, n, false };
        (void)rip__os_futex_wait(&f, 1, RIP_FOREVER);
    }
}

void rip__domain_remove(struct rip__domain *d)
{
    if (begin() < 0)
        return;
    rip__leave(d);
    pthread_mutex_lock(&page->mutex);
    for (int i = 0; i < DOMAINS; i++)
        if (rip__load_relaxed(&table[i].domain) == d)
            set_entry(&table[i], NULL);
    d->removed = 1;
    bool others = d->members != NULL;
    bury_others(d);
    change();
    pthread_mutex_unlock(&page->mutex);
    if (others)
        rip__sweep(d);
    await_leaving(d);
    rip__domain_unref(d);
}

void rip__domain_forget(const unsigned char *base, size_t size)
{
    if (begin() < 0)
        return;
    pthread_mutex_lock(&page->mutex);
    for (int i = 0; i < DOMAINS; i++) {
        struct entry e = read_entry(&table[i]);
        if (e.domain && (uintptr_t)base < e.base + e.size &&
            e.base < (uintptr_t)base + size)
            set_entry(&table[i], NULL);
    }
    change();
    pthread_mutex_unlock(&page->mutex);
}

void rip__domain_unref(struct rip__domain *d)
{
    if (d->shared && __atomic_sub_fetch(&d->refs, 1, __ATOMIC_ACQ_REL) == 0)
        rip__free(d);
}

int rip__back(const struct rip__domain *d, size_t offset, size_t len)
{
    struct rip__os_memory m;
    int r = rip__os_memory_back(d->base + offset, len);
    if (r != -EOPNOTSUPP)
        return r;
    r = rip__os_memory_look(d->fd, &m);
    if (r < 0 || m.device != d->device || m.inode != d->inode)
        return -ENOMEM;
    return rip__os_back(d->fd, offset, len) < 0 ? -ENOMEM : 0;
}

static struct rip__domain *segment_of(const void *object)
{
    for (int i = 0; i < DOMAINS; i++) {
        const struct entry *at = &table[i];
        if ((uintptr_t)object - rip__load_relaxed(&at->base) >=
            rip__load_relaxed(&at->size))
            continue;
        struct entry e = read_entry(at);
        if ((uintptr_t)object - e.base < e.size)
            return e.domain;
    }
    return NULL;
}

bool rip__is_shared(const void *object)
{
    return segment_of(object) != NULL;
}

struct rip__domain *rip__domain_of(const void *object)
{
    struct rip__domain *d = segment_of(object);
    return d ? d : own_domain();
}

void *rip__object(const struct rip__domain *d, uint64_t key, size_t size)
{
    if (!d->shared)
        return (void *)(uintptr_t)key; /* nobody else wrote it */
    if (key < d->stride * d->n_slots || key >= d->size ||
        size > d->size - key || key % 8 != 0)
        return NULL;
    return d->base + key;
}

/* ---- memberships of this thread --------------------------------------- */

/* Others find it when they remove the domain. */
static void list_member(struct rip__me *me)
{
    struct rip__domain *d = me->domain;
    me->lineage = lineage;
    if (!d->shared)
        return;
    pthread_mutex_lock(&page->mutex);
    me->fellow = d->members;
    rip__store(&d->members, me);
    pthread_mutex_unlock(&page->mutex);
}

/* With the mutex held. */
static void unlist_member(const struct rip__me *me)
{
    struct rip__me **at = &me->domain->members;
    while (*at && *at != me)
        at = &(*at)->fellow;
    if (*at)
        rip__store(at, me->fellow);
}

static void forget_member(struct rip__me *me)
{
    pthread_mutex_lock(&page->mutex);
    unlist_member(me);
    pthread_mutex_unlock(&page->mutex);
    rip__member_forget(me);
}

/* After a fork the list is a copy of what the parent's thread had. */
static struct rip__me **own_list(void)
{
    if (mine.lineage != lineage) {
        while (mine.first) {
            struct rip__me *me = mine.first;
            mine.first = me->next;
            forget_member(me);
        }
        mine.lineage = lineage;
        rip__near = (struct rip__near){ 0 };
    }
    return &mine.first;
}

static struct rip__me *find_mine(const struct rip__domain *d)
{
    struct rip__me *me = *own_list();
    while (me && me->domain != d)
        me = me->next;
    return me;
}

/* The addresses around `object` that are in no segment. */
static void gap_around(uintptr_t object, uintptr_t *lo, uintptr_t *end)
{
    *lo = 0;
    *end = UINTPTR_MAX;
    for (int i = 0; i < DOMAINS; i++) {
        struct entry e = read_entry(&table[i]);
        if (e.domain && e.base > object && e.base < *end)
            *end = e.base;
        if (e.domain && e.base <= object && e.base + e.size > *lo)
            *lo = e.base + e.size;
    }
}

/* `process` was read before the table: if it has changed since, the cache is
 * void from the beginning. A signal handler may look at it at any moment: it
 * is empty while it is written. */
static void remember(const void *object, struct rip__me *me, uint64_t process)
{
    uintptr_t lo = (uintptr_t)me->domain->base, end = lo + me->domain->size;
    if (!me->domain->shared)
        gap_around((uintptr_t)object, &lo, &end);
    rip__near.len = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    rip__near.lo = lo;
    rip__near.process = process;
    rip__near.me = me;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    rip__near.len = end - lo;
}

/* True: the domain is there as long as its `leaving` counts us. */
static bool begin_to_leave(const struct rip__me *me)
{
    struct rip__domain *d = me->domain;
    if (!d->shared)
        return true;
    pthread_mutex_lock(&page->mutex);
    unlist_member(me);
    bool there = !d->removed;
    if (there)
        __atomic_add_fetch(&d->leaving, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&page->mutex);
    return there;
}

static void has_left(struct rip__domain *d)
{
    if (__atomic_sub_fetch(&d->leaving, 1, __ATOMIC_ACQ_REL) == 0)
        rip__os_futex_wake(&d->leaving, false, RIP__ALL);
}

/* Memberships of what another thread has removed. */
static void leave_removed(void)
{
    struct rip__me *me = *own_list();
    while (me) {
        struct rip__me *next = me->next;
        if (rip__load(&me->buried))
            rip__leave(me->domain);
        me = next;
    }
}

int rip__join_slowly(const void *object, struct rip__me **ret)
{
    int r = begin();
    if (r < 0)
        return r;
    leave_removed();
    uint64_t process = rip__load(&page->process);
    struct rip__domain *d = rip__domain_of(object);
    if (!d)
        return -ENOMEM;
    struct rip__me *me = find_mine(d);
    if (!me) {
        r = rip__member_new(d, &me);
        if (r < 0)
            return r;
        me->next = mine.first;
        mine.first = me;
        list_member(me);
        pthread_setspecific((pthread_key_t)(at_end - 1), &mine);
    }
    remember(object, me, process);
    *ret = me;
    return 0;
}

struct rip__me *rip__member(const void *object)
{
    if (rip__load_relaxed(rip__process) == 0 || mine.lineage != lineage)
        return NULL;
    const struct rip__domain *d = segment_of(object);
    struct rip__me *me = mine.first;
    while (me && me->domain != (d ? d : own))
        me = me->next;
    return me;
}

void rip__leave(const struct rip__domain *d)
{
    struct rip__me **at = own_list();
    while (*at && (*at)->domain != d)
        at = &(*at)->next;
    struct rip__me *me = *at;
    if (!me)
        return;
    *at = me->next;
    rip__near = (struct rip__near){ 0 };
    bool there = begin_to_leave(me);
    struct rip__domain *left = me->domain;
    __atomic_add_fetch(&left->refs, 1, __ATOMIC_RELAXED);
    rip__member_end(me, there);
    if (there && left->shared)
        has_left(left);
    rip__domain_unref(left);
}

void rip__leave_all(void)
{
    if (begin() < 0)
        return;
    while (*own_list())
        rip__leave(mine.first->domain);
}
