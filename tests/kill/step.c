/* SPDX-License-Identifier: MIT */
/*
 * The director as a tracer: a point is an instruction of the victim, in code
 * that nobody has changed. Once the victim is stepped through all that it
 * does, and it is noted what each step has changed; then it runs again for
 * each point, at full speed, up to a breakpoint there. Both are on one CPU, as
 * a step takes several times as long across two.
 */
#include "cast.h"
#include "driver.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

const char drive_name[] = "kill-step";
const bool drive_steps = true;

long kill_syscall(long nr, const long a[6])
{
    return syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- the marks in the victim's code ----------------------------------- */

/* Where it stops before and after its operation. */
void step_first(void);
void step_last(void);
extern const char step_begun[], step_ended[];
__asm__(".text\n"
        "step_first:\n int3\n"
        "step_begun:\n ret\n"
        "step_last:\n int3\n"
        "step_ended:\n ret\n");

static bool is_traced(const struct kill_seat *s)
{
    return s->who == SEAT_VICTIM;
}

void drive_begin(struct kill_seat *s)
{
    s->counts = true;
    if (!is_traced(s))
        return;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        kill_fail("ptrace is refused");
    step_first();
}

void drive_end(struct kill_seat *s)
{
    if (is_traced(s))
        step_last();
    s->counts = false;
}

/* ---- what it does: noted once ----------------------------------------- */

/* Point i + 1 is before instruction i, or while it sleeps in it. */
struct instruction {
    uintptr_t at;
    bool asleep;
    bool matters; /* something is another than it was at the point before */
};

enum { TRACE_MAX = 200000 };
static struct {
    struct instruction *i;
    uint32_t n;
    bool is_on; /* it is being written */
} trace;

/* What a death leaves: the memory, and what the kernel then does to it. */
static struct {
    unsigned char *memory[KILL_RANGES];
    uintptr_t list[16];
    uintptr_t head;
} before;

static void *map(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("kill: mmap");
        _exit(2);
    }
    return p;
}

static bool has_changed(void *copy, const void *now, size_t len)
{
    if (memcmp(copy, now, len) == 0)
        return false;
    memcpy(copy, now, len);
    return true;
}

static bool has_memory_changed(void)
{
    bool changed = false;
    for (unsigned i = 0; i < kill_n_shared; i++) {
        const void *lo = (const void *)kill_shared[i].lo;
        size_t len = kill_shared[i].len;
        if (before.memory[i] == NULL)
            before.memory[i] = map(len);
        changed |= has_changed(before.memory[i], lo, len);
    }
    return changed;
}

static uintptr_t peek(pid_t pid, uintptr_t at)
{
    uintptr_t word = 0;
    struct iovec to = { &word, sizeof word },
                 from = { (void *)at, sizeof word };
    return process_vm_readv(pid, &to, 1, &from, 1, 0) == sizeof word ? word : 0;
}

/* The robust list, as the kernel would walk it: private memory, but which
 * decides on who is seen to be dead. */
static bool has_list_changed(pid_t pid)
{
    uintptr_t list[16] = { 0 }, next = before.head;
    list[0] = peek(pid, before.head + 2 * sizeof next); /* pending */
    for (unsigned i = 1; i < 16 && next != 0; i++) {
        list[i] = next = peek(pid, next);
        if (next == before.head)
            break;
    }
    return has_changed(before.list, list, sizeof list);
}

static void look_at_it_anew(pid_t pid)
{
    size_t len;
    before.head = 0;
    syscall(SYS_get_robust_list, pid, &before.head, &len);
    has_memory_changed();
    has_list_changed(pid);
}

static bool has_anything_changed(pid_t pid)
{
    bool list = has_list_changed(pid);
    return has_memory_changed() || list;
}

static void note(uintptr_t at, bool asleep, bool matters)
{
    trace.i[trace.n++] = (struct instruction){ at, asleep, matters };
}

/* ---- to a point ------------------------------------------------------- */

static enum { STARTS, RUNS, STEPS, FREE } phase;

/* How it gets to its point: so many times to this address, at full speed, and
 * from there so many steps. */
static struct {
    uintptr_t to;
    uint32_t times, begins; /* begins: which point that is */
    bool sleeps;            /* before that */
} way;
static bool is_slow; /* it is to step all the way */

/* The code is the same in each process. */
static bool is_call(uintptr_t at)
{
    return memcmp((const void *)at, "\x0f\x05", 2) == 0;
}

/* An instruction that is repeated stops a breakpoint but once. */
static bool is_again(uint32_t i)
{
    return i > 0 && (trace.i[i].asleep || trace.i[i - 1].at == trace.i[i].at);
}

static void find_way(uint32_t point)
{
    uint32_t i = point - 1;
    while (is_again(i))
        i--;
    way.begins = i + 1;
    way.to = trace.i[i].at;
    way.times = 0;
    way.sleeps = false;
    for (uint32_t k = 1; k <= i; k++) {
        way.times += trace.i[k].at == way.to && !is_again(k);
        way.sleeps |= trace.i[k].asleep;
    }
}

static bool set_breakpoint(pid_t pid, uintptr_t at)
{
    size_t reg = offsetof(struct user, u_debugreg);
    if (ptrace(PTRACE_POKEUSER, pid, reg, at) != 0)
        return false;
    return ptrace(PTRACE_POKEUSER, pid, reg + 7 * sizeof(long), at != 0) == 0;
}

/* It stays traced, and stops once more where its operation ends. */
static void set_free(struct kill_seat *s)
{
    phase = FREE;
    ptrace(PTRACE_CONT, s->pid, NULL, NULL);
}

/* It is at its point. */
static unsigned act(struct kill_seat *s)
{
    phase = FREE;
    switch (s->act) {
    case KILL_DIE:
        atomic_fetch_add(kill_dead, 1);
        cast_kill(s->who);
        return 0;
    case KILL_STOP:
        return SEEN_STOPPED;
    case KILL_PAUSE:
        return SEEN_PAUSED;
    default:
        set_free(s);
        return 0;
    }
}

/* ---- from stop to stop ------------------------------------------------ */

static bool comes_at_once; /* the next stop: there is no system call before */

static bool can_sleep_in(const struct user_regs_struct *r)
{
    const long a[6] = { (long)r->rdi, (long)r->rsi };
    return is_call(r->rip) && kill_can_block((long)r->rax, a);
}

/* One instruction. One that may sleep is two points. */
static void step(struct kill_seat *s, const struct user_regs_struct *r)
{
    comes_at_once = !is_call(r->rip);
    if (can_sleep_in(r)) {
        s->count++;
        if (trace.is_on)
            note(r->rip, true, true);
    }
    ptrace(PTRACE_SINGLESTEP, s->pid, NULL, NULL);
}

static void note_stop(struct kill_seat *s, const struct user_regs_struct *r)
{
    uint32_t n = trace.n;
    bool called = n > 0 && is_call(trace.i[n - 1].at);
    bool changed = has_anything_changed(s->pid);
    note(r->rip, false, changed || called || n == 0);
}

/* It has come to the point s->count. */
static unsigned stop_at_point(struct kill_seat *s,
                              const struct user_regs_struct *r)
{
    if (trace.n > TRACE_MAX)
        return SEEN_LOST;
    if (trace.is_on)
        note_stop(s, r);
    else if (is_slow)
        has_anything_changed(s->pid); /* it takes its time, as it did then */
    if (s->at != 0 && s->count >= s->at)
        return act(s);
    if (r->rip == (uintptr_t)step_ended)
        set_free(s);
    else
        step(s, r);
    return 0;
}

static unsigned start(struct kill_seat *s, const struct user_regs_struct *r)
{
    ptrace(PTRACE_SETOPTIONS, s->pid, NULL, PTRACE_O_EXITKILL);
    s->count = 1;
    if (trace.is_on) {
        look_at_it_anew(s->pid);
    } else if (s->at == 0) {
        set_free(s);
        return 0;
    } else if (!is_slow) {
        find_way(s->at);
        if (way.times > 0 && set_breakpoint(s->pid, way.to)) {
            phase = RUNS;
            ptrace(PTRACE_CONT, s->pid, NULL, NULL);
            return 0;
        }
    }
    phase = STEPS;
    return stop_at_point(s, r);
}

static unsigned reach(struct kill_seat *s, const struct user_regs_struct *r)
{
    if (r->rip == way.to && --way.times == 0) {
        set_breakpoint(s->pid, 0);
        phase = STEPS;
        s->count = way.begins;
        return stop_at_point(s, r);
    }
    if (r->rip == (uintptr_t)step_ended)
        set_free(s);
    else
        ptrace(PTRACE_CONT, s->pid, NULL, NULL);
    return 0;
}

static unsigned trapped(struct kill_seat *s)
{
    struct user_regs_struct r;
    ptrace(PTRACE_GETREGS, s->pid, NULL, &r);
    switch (phase) {
    case STARTS:
        return start(s, &r);
    case RUNS:
        return reach(s, &r);
    case STEPS:
        s->count++;
        return stop_at_point(s, &r);
    case FREE:
        break;
    }
    set_free(s);
    return 0;
}

/* A signal of ours, or a crash. It is stopped where it slept by SIGSTOP, which
 * can come after the step that this has ended. */
static unsigned signalled(struct kill_seat *s, int sig)
{
    if (sig == SIGSTOP && s->at != 0)
        return act(s);
    if (sig == SIGCONT || sig == SIGSTOP) {
        ptrace(phase == STEPS ? PTRACE_SINGLESTEP : PTRACE_CONT, s->pid, NULL,
               NULL);
        return 0;
    }
    snprintf(s->complaint, sizeof s->complaint, "it crashed: %s",
             strsignal(sig));
    return SEEN_FAILED;
}

/* Whether it has stopped again. */
static bool await_stop(pid_t pid, int *sig)
{
    siginfo_t info = { .si_pid = 0 };
    if (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WEXITED | WNOWAIT) != 0 ||
        info.si_code != CLD_TRAPPED)
        return false;
    *sig = info.si_status;
    return true;
}

/* Each stop sends SIGCHLD, which nobody needs here. */
unsigned drive_stopped(struct kill_seat *s, int sig)
{
    unsigned seen = 0;
    sigset_t child, was;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &was);
    do {
        waitpid(s->pid, NULL, __WALL | WNOHANG); /* it is taken note of */
        comes_at_once = false;
        seen = sig == SIGTRAP ? trapped(s) : signalled(s, sig);
    } while (seen == 0 && comes_at_once && await_stop(s->pid, &sig));
    sigprocmask(SIG_SETMASK, &was, NULL);
    return seen;
}

void drive_continue(struct kill_seat *s)
{
    if (is_traced(s) && phase == FREE)
        set_free(s);
}

/* ---- who sleeps ------------------------------------------------------- */

/* A victim on its way is not looked for all the time: that it stops is told,
 * and whether it sleeps before is known. */
bool drive_may_sleep(struct kill_seat *s)
{
    return !is_traced(s) || phase != RUNS || way.sleeps;
}

/* In which system call it is, and its first two arguments. */
static bool read_call(pid_t pid, long *nr, long a[6])
{
    char path[40];
    FILE *f;
    int n;
    snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
    f = fopen(path, "re");
    if (f == NULL)
        return false;
    n = fscanf(f, "%ld %lx %lx", nr, (unsigned long *)&a[0],
               (unsigned long *)&a[1]);
    fclose(f);
    return n == 3;
}

/* A worker without an order sleeps in its seat. */
bool drive_is_asleep(struct kill_seat *s)
{
    long nr, a[6] = { 0 };
    return cast_state_of(s->pid) == 'S' && read_call(s->pid, &nr, a) &&
           kill_can_block(nr, a) && (uintptr_t)a[0] - (uintptr_t)s >= sizeof *s;
}

/* ---- the points of a unit --------------------------------------------- */

static uint32_t count_states(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < trace.n; i++)
        n += trace.i[i].matters;
    return n;
}

void drive_learn(struct tally *t)
{
    if (trace.i == NULL)
        trace.i = map((TRACE_MAX + 2) * sizeof *trace.i);
    trace.n = 0;
    trace.is_on = true;
    phase = STARTS;
    play(&t->unit, 0, 0);
    trace.is_on = false;
    t->instructions = trace.n;
    t->states = count_states();
}

uint32_t drive_next(const struct unit *u, uint32_t at)
{
    while (at <= trace.n && trace.n > u->every && !trace.i[at - 1].matters)
        at++;
    return at <= trace.n ? at : 0;
}

/* At full speed it may take another way, where that depends on the time. */
enum verdict drive_play(const struct unit *u, uint32_t at, uint32_t at2)
{
    enum verdict v = OVER;
    int ways = at != 0 ? 2 : 1;
    for (int slow = 0; slow < ways && v == OVER; slow++) {
        phase = STARTS;
        is_slow = slow;
        v = play(u, at, at2);
    }
    return v;
}
