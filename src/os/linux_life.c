/* SPDX-License-Identifier: MIT */
#include "os/linux.h"
#include "os/linux_clone.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

/*
 * The robust list of a thread belongs to its libc: we hang a node of our own
 * into it and leave its head alone, since to register another head would take
 * the robustness from every robust mutex of the thread.
 *
 * The form in which glibc and musl keep it on 64-bit systems: an entry is the
 * address of a `next` pointer, whose bit 0 marks a mutex with priority
 * inheritance; the word before `next` is the entry that comes before; the last
 * `next` points to the head. Both libcs, when they put an entry before another
 * or take it away, write the `prev` of its neighbour, and follow only those of
 * the entry that they take. So our own `prev` is never followed.
 */

/* The kernel looks at 2048 entries, but a thread may lock more mutexes: its own
 * node has to be found behind these too. */
enum { ENTRIES_MAX = 1 << 20, DISTANCE_MIN = 12, DISTANCE_MAX = 120 };

static struct robust_list *entry(struct robust_list *raw)
{
    return (struct robust_list *)((uintptr_t)raw & ~(uintptr_t)1);
}

static void set_previous(struct robust_list_head *head, struct robust_list *of,
                         struct robust_list *to)
{
    if (of != &head->list)
        ((struct robust_list **)of)[-1] = to;
}

static struct robust_list_head *registered(void)
{
    struct robust_list_head *head = NULL;
    size_t size = 0;
    long r = RIP__SYS(SYS_get_robust_list, 0, &head, &size);
    return r == 0 && size == sizeof *head ? head : NULL;
}

/* musl registers its list when the thread first locks a robust mutex. */
static void make_registered(void)
{
    pthread_mutexattr_t kind;
    pthread_mutex_t mutex;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    if (pthread_mutex_init(&mutex, &kind) == 0) {
        if (pthread_mutex_lock(&mutex) == 0)
            pthread_mutex_unlock(&mutex);
        pthread_mutex_destroy(&mutex);
    }
    pthread_mutexattr_destroy(&kind);
}

static struct robust_list_head *own_list(void)
{
    struct robust_list_head *head = registered();
    if (!head || !head->list.next) {
        make_registered();
        head = registered();
    }
    return head && head->list.next ? head : NULL;
}

/* ---- does the kernel keep its word? ----------------------------------- */

struct trial {
    struct robust_list_head head;
    struct {
        unsigned char room[DISTANCE_MAX];
        struct robust_list node;
    } __attribute__((aligned(16))) life;
    uint32_t *word;
};

static int die_with_a_list(void *arg)
{
    struct trial *t = arg;
    long tid = RIP__SYS(SYS_gettid);
    __atomic_store_n(t->word, (uint32_t)tid, __ATOMIC_RELEASE);
    RIP__SYS(SYS_set_robust_list, &t->head, sizeof t->head);
    RIP__SYS(SYS_kill, tid, SIGKILL);
    RIP__SYS(SYS_exit, 0);
    return 0;
}

/* As a command is started: the child has our memory, no signal of its end
 * reaches us, and no other wait() of this process sees it. */
static int run_trial(struct trial *t)
{
    _Alignas(16) unsigned char stack[8192];
    int pidfd = -1;
    uint64_t all = ~(uint64_t)0, mask = 0;
    RIP__SYS(SYS_rt_sigprocmask, SIG_BLOCK, &all, &mask, sizeof mask);
    long pid = RIP__SYS(SYS_clone, CLONE_VM | CLONE_VFORK | CLONE_PIDFD,
                        stack + sizeof stack, &pidfd, die_with_a_list, t);
    while (pid > 0 && RIP__SYS(SYS_wait4, pid, NULL, __WALL, NULL) == -EINTR)
        ;
    RIP__SYS(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
    rip__forget_stack(stack, sizeof stack);
    rip__os_close(pidfd);
    return pid < 0 ? (int)pid : 0;
}

/* 1, 0, or the error why that could not be tried. */
static int kernel_keeps_its_word(long offset)
{
    struct trial t = { .head.futex_offset = offset };
    t.head.list.next = &t.life.node;
    t.life.node.next = &t.head.list;
    t.word = (uint32_t *)(void *)((unsigned char *)&t.life.node + offset);
    int r = run_trial(&t);
    if (r < 0)
        return r;
    return (__atomic_load_n(t.word, __ATOMIC_ACQUIRE) & FUTEX_OWNER_DIED) != 0;
}

/* ---- the distance ----------------------------------------------------- */

/* -EAGAIN, -ENOMEM: it could not be tried. */
static int find_distance(void)
{
    const struct robust_list_head *head = own_list();
    if (sizeof(void *) != 8 || !head)
        return -ENOTSUP;
    long distance = -head->futex_offset;
    bool known = distance >= DISTANCE_MIN && distance <= DISTANCE_MAX &&
                 distance % 4 == 0;
    int r = known ? kernel_keeps_its_word(-distance) : 0;
    if (r == -EAGAIN || r == -ENOMEM)
        return r;
    return r == 1 ? (int)distance : -ENOTSUP;
}

int rip__os_life_distance(void)
{
    static int known; /* 0: not tried yet. Two who try find the same. */
    int distance = __atomic_load_n(&known, __ATOMIC_ACQUIRE);
    if (distance == 0) {
        distance = find_distance();
        if (distance > 0 || distance == -ENOTSUP)
            __atomic_store_n(&known, distance, __ATOMIC_RELEASE);
    }
    /* This thread's list: musl makes it at need. */
    return distance > 0 && !own_list() ? -ENOTSUP : distance;
}

/* ---- the node --------------------------------------------------------- */

/* The thread may die between any two of these stores: the list is whole
 * before and after the one that links the node. */
void rip__os_life_begin(struct rip__os_life *node)
{
    struct robust_list_head *head = own_list();
    struct robust_list *self = (struct robust_list *)(void *)node;
    if (!head)
        return;
    self->next = head->list.next;
    set_previous(head, entry(self->next), self);
    __atomic_store_n(&head->list.next, self, __ATOMIC_RELEASE);
}

void rip__os_life_end(struct rip__os_life *node)
{
    struct robust_list_head *head = own_list();
    struct robust_list *self = (struct robust_list *)(void *)node;
    struct robust_list *at = head ? &head->list : NULL;
    for (int i = 0; at && i < ENTRIES_MAX; i++) {
        struct robust_list *next = entry(at->next);
        if (next == self) {
            __atomic_store_n(&at->next, self->next, __ATOMIC_RELEASE);
            set_previous(head, entry(self->next), at);
            return;
        }
        at = next == &head->list ? NULL : next;
    }
}
