/* SPDX-License-Identifier: MIT */
#include "cast.h"
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct page {
    struct kill_seat seat[KILL_SEATS];
    _Atomic uint32_t events, dead;
    bool calm;
};
static struct page *page;

/* When nobody dies, every wake has to come from where it should. */
#define LOOK_VICTIM (50 * 1000000LL)
#define LOOK_WORKER (2 * 1000000LL)
#define LOOK_NEVER  (3600 * 1000000000LL)
static int64_t patience;
static unsigned char reaped[KILL_SEATS];

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* So that no event is missed between the look and the sleep. */
static void on_child(int sig)
{
    (void)sig;
    atomic_fetch_add(kill_events, 1);
}

void cast_begin(double deadline)
{
    struct sigaction sa = { .sa_handler = on_child };
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        perror("kill: mmap");
        exit(2);
    }
    kill_events = &page->events;
    kill_dead = &page->dead;
    patience = (int64_t)(deadline * 1e9);
    for (unsigned i = 0; i < KILL_SEATS; i++)
        page->seat[i].who = i;
    sigaction(SIGCHLD, &sa, NULL);
}

void cast_calm(bool calm)
{
    page->calm = calm;
}

struct kill_seat *cast_seat(unsigned who)
{
    return &page->seat[who];
}

void cast_arm(unsigned who, enum kill_act act, uint32_t at)
{
    struct kill_seat *s = &page->seat[who];
    s->counts = s->waits_first = false;
    s->count = 0;
    s->limit = 200000;
    s->act = act;
    s->at = at;
    atomic_store(&s->paused, 0);
    atomic_store(&s->go, 0);
}

/* A new process begins with an empty seat, but for what it is armed with. */
static void seat_anew(struct kill_seat *s)
{
    s->pid = s->tid = 0;
    s->way = KILL_PROCESS;
    s->complaint[0] = '\0';
    atomic_store(&s->ended, 0);
    atomic_store(&s->in_wait, 0);
    atomic_store(&s->lost, 0);
    atomic_store(&s->failed, 0);
    atomic_store(&s->order, 0);
    atomic_store(&s->done, 0);
    reaped[s->who] = 0;
}

/* ---- what the processes do -------------------------------------------- */

/* Victims are to be woken; that one looks again by himself too early would
 * make their points another number each time. */
static void look_again_after(int64_t ns)
{
    if (kill_look_again != NULL)
        *kill_look_again = page->calm ? LOOK_NEVER : ns;
}

static void be(struct kill_seat *s)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_DFL);
    kill_seat = s;
}

static void with_points(struct kill_seat *s, kill_fn *run, void *object)
{
    drive_begin(s);
    run(object);
    drive_end(s);
}

/* Its end would wake others, who are to be woken by what it has done. */
_Noreturn static void stay(struct kill_seat *s)
{
    atomic_store(&s->done, 1);
    kill_event();
    for (;;)
        pause();
}

_Noreturn static void do_operation(struct kill_seat *s,
                                   const struct kill_operation *op,
                                   void *object)
{
    look_again_after(LOOK_VICTIM);
    if (op->before != NULL)
        op->before(object);
    if (s->waits_first) {
        kill_pause(s);
        atomic_store(&s->go, 0);
    }
    with_points(s, op->run, object);
    if (op->after != NULL)
        op->after(object);
    if (page->calm)
        stay(s);
    _exit(0);
}

void cast_fork(unsigned who, const struct kill_operation *op, void *object)
{
    struct kill_seat *s = &page->seat[who];
    pid_t pid;
    seat_anew(s);
    pid = fork();
    if (pid == 0) {
        be(s);
        do_operation(s, op, object);
    }
    s->pid = pid;
}

/* ---- one thread of two ------------------------------------------------ */

/* Of this process. */
static const struct kill_operation *own_operation;
static pthread_t doomed;

/* It does not come back to the call that it has interrupted, which is one of
 * the kernel. */
static void on_end(int sig)
{
    (void)sig;
    kill_end_thread(); /* NOLINT(bugprone-signal-handler,cert-sig30-c) */
}

static void *be_doomed(void *arg)
{
    struct kill_seat *s = arg;
    s->tid = (pid_t)KILL_SYS(SYS_gettid);
    do_operation(s, own_operation, s->object);
}

static void *be_sibling(void *arg)
{
    struct kill_seat *s = arg;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pthread_join(doomed, NULL);
    atomic_store(&s->ended, 1);
    kill_pause(s);
    look_again_after(LOOK_WORKER);
    s->fn(s->object);
    stay(s);
}

static void start_thread(pthread_t *t, void *(*fn)(void *), struct kill_seat *s)
{
    if (pthread_create(t, NULL, fn, s) != 0)
        kill_fail("no thread");
}

_Noreturn static void be_two(struct kill_seat *s)
{
    pthread_t sibling;
    be(s);
    signal(SIGUSR1, on_end);
    doomed = pthread_self();
    if (s->way == KILL_LEADER) {
        start_thread(&sibling, be_sibling, s);
        be_doomed(s);
    } else {
        start_thread(&doomed, be_doomed, s);
        be_sibling(s);
    }
    abort();
}

void cast_fork_thread(unsigned who, const struct kill_operation *op,
                      void *object, enum kill_way way, kill_fn *sibling)
{
    struct kill_seat *s = &page->seat[who];
    pid_t pid;
    seat_anew(s);
    s->way = way;
    s->fn = sibling;
    s->object = object;
    own_operation = op;
    pid = fork();
    if (pid == 0)
        be_two(s);
    s->pid = pid;
}

/* ---- workers ---------------------------------------------------------- */

_Noreturn static void be_worker(struct kill_seat *s)
{
    be(s);
    for (;;) {
        uint32_t wish = atomic_load(&s->order);
        while (wish == atomic_load(&s->done)) {
            KILL_SYS(SYS_futex, &s->order, FUTEX_WAIT, wish);
            wish = atomic_load(&s->order);
        }
        look_again_after(LOOK_WORKER);
        if (s->counts)
            with_points(s, s->fn, s->object);
        else
            s->fn(s->object);
        atomic_store(&s->done, wish);
        kill_event();
    }
}

static bool is_worker(const struct kill_seat *s)
{
    return s->pid != 0 && atomic_load(&s->order) != 0;
}

static void order(unsigned who, kill_fn *fn, void *object, bool counts)
{
    struct kill_seat *s = &page->seat[who];
    if (s->pid == 0) {
        pid_t pid;
        seat_anew(s);
        pid = fork();
        if (pid == 0)
            be_worker(s);
        s->pid = pid; /* it is shared: not in the child */
    }
    s->fn = fn;
    s->object = object;
    s->counts = counts;
    atomic_fetch_add(&s->order, 1);
    KILL_SYS(SYS_futex, &s->order, FUTEX_WAKE, 1);
}

void cast_order(unsigned who, kill_fn *fn, void *object)
{
    order(who, fn, object, false);
}

void cast_order_run(unsigned who, const struct kill_operation *op, void *object)
{
    order(who, op->run, object, true);
}

/* ---- what is seen of them --------------------------------------------- */

char cast_state_of(pid_t pid)
{
    char path[32], text[256], *name_end;
    int fd;
    ssize_t n;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return '?';
    n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    name_end = strrchr(text, ')');
    if (name_end == NULL || name_end[1] != ' ')
        return '?';
    return name_end[2];
}

static enum kill_seen of_status(const siginfo_t *info, struct kill_seat *s)
{
    switch (info->si_code) {
    case CLD_EXITED:
        return info->si_status == 0 ? SEEN_DONE : SEEN_FAILED;
    case CLD_STOPPED:
        return SEEN_STOPPED;
    case CLD_TRAPPED:
        return drive_stopped(s, info->si_status);
    case CLD_KILLED:
        if (info->si_status == SIGKILL)
            return SEEN_DEAD;
        /* fallthrough */
    default:
        if (s->complaint[0] == '\0')
            snprintf(s->complaint, sizeof s->complaint, "it crashed: %s",
                     strsignal(info->si_status));
        return SEEN_FAILED;
    }
}

static enum kill_seen look_at_process(struct kill_seat *s, unsigned mask)
{
    siginfo_t info = { .si_pid = 0 };
    int how = WEXITED | WNOHANG | WNOWAIT;
    if (mask & SEEN_STOPPED)
        how |= WSTOPPED;
    if (waitid(P_PID, (id_t)s->pid, &info, how) == 0 && info.si_pid != 0)
        return of_status(&info, s);
    return 0;
}

static bool is_done(struct kill_seat *s)
{
    uint32_t done = atomic_load(&s->done);
    return is_worker(s) ? atomic_load(&s->order) == done : done != 0;
}

static enum kill_seen look(struct kill_seat *s, unsigned mask)
{
    if (atomic_load(&s->failed))
        return SEEN_FAILED;
    if (atomic_load(&s->lost))
        return SEEN_LOST;
    if ((mask & SEEN_DEAD) && atomic_load(&s->ended))
        return SEEN_DEAD;
    if ((mask & SEEN_DONE) && is_done(s))
        return SEEN_DONE;
    if ((mask & SEEN_PAUSED) && atomic_load(&s->paused))
        return SEEN_PAUSED;
    if ((mask & SEEN_ASLEEP) && drive_is_asleep(s))
        return SEEN_ASLEEP;
    return look_at_process(s, mask);
}

/* What was told is seen at once; that one who is to sleep does sleep is nothing
 * that tells: then we let it run, and look again. */
static void await_event(struct kill_seat *s, unsigned mask, uint32_t seen)
{
    struct timespec nap = { .tv_nsec = 100000000L };
    if ((mask & SEEN_ASLEEP) && drive_may_sleep(s))
        sched_yield();
    else
        KILL_SYS(SYS_futex, kill_events, FUTEX_WAIT, seen, &nap);
}

enum kill_seen cast_await(unsigned who, unsigned mask)
{
    struct kill_seat *s = &page->seat[who];
    int64_t deadline = now() + patience;
    for (;;) {
        uint32_t seen = atomic_load(kill_events);
        enum kill_seen what = look(s, mask);
        if (what != 0)
            return what;
        if (now() > deadline)
            return SEEN_LATE;
        await_event(s, mask, seen);
    }
}

/* ---- their end -------------------------------------------------------- */

void cast_kill(unsigned who)
{
    kill(page->seat[who].pid, SIGKILL);
}

void cast_kill_thread(unsigned who)
{
    const struct kill_seat *s = &page->seat[who];
    KILL_SYS(SYS_tgkill, s->pid, s->tid, SIGUSR1);
}

void cast_reap(unsigned who)
{
    struct kill_seat *s = &page->seat[who];
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    reaped[who] = 1;
}

void cast_continue(unsigned who)
{
    struct kill_seat *s = &page->seat[who];
    atomic_store(&s->paused, 0);
    atomic_store(&s->go, 1);
    KILL_SYS(SYS_futex, &s->go, FUTEX_WAKE, 1);
    drive_continue(s);
    kill(s->pid, SIGCONT);
}

bool cast_stand_in(pid_t pid)
{
    struct clone_args args = {
        .exit_signal = SIGCHLD,
        .set_tid = (uintptr_t)&pid,
        .set_tid_size = 1,
    };
    long r = KILL_SYS(SYS_clone3, &args, sizeof args);
    if (r == 0) {
        KILL_SYS(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            KILL_SYS(SYS_pause);
    }
    if (r > 0) {
        page->seat[SEAT_STANDIN].pid = (pid_t)r;
        reaped[SEAT_STANDIN] = 0;
    }
    return r > 0;
}

static void end(unsigned who)
{
    if (page->seat[who].pid > 0 && !reaped[who]) {
        cast_kill(who);
        cast_reap(who);
    }
    page->seat[who].pid = 0;
}

void cast_end_stayers(void)
{
    for (unsigned i = 0; i < KILL_SEATS; i++)
        if (!is_worker(&page->seat[i]) && atomic_load(&page->seat[i].done))
            end(i);
}

void cast_end(void)
{
    for (unsigned i = 0; i < KILL_SEATS; i++)
        if (!is_worker(&page->seat[i]))
            end(i);
    atomic_store(kill_dead, 0);
}

void cast_end_all(void)
{
    for (unsigned i = 0; i < KILL_SEATS; i++)
        end(i);
}
