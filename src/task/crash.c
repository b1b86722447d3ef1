/* SPDX-License-Identifier: MIT */
#include "task/crash.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#ifdef RIP__HAVE_BACKTRACE
#include <execinfo.h>
#endif

#include "base/atomic.h"
#include "base/base.h"
#include "os/os.h"
#include "os/signal.h"

/*
 * A thread that crashes comes to the handler, on the alternate stack if it is
 * the one that runs the task. It notes first what needs no reading of memory,
 * so that this is there whatever comes; then it looks for the callers. That is
 * done by an unwinder which was not written for the dying: it may fault itself
 * where the stack is corrupt, which brings the same thread to the handler once
 * more; or wait for a lock that it holds itself, which the alarm ends. Either
 * goes back to before the unwinder. A handler of ours never runs after that of
 * the first crash: of two threads that crash at once the second one waits for
 * the end.
 */

enum { STACK = 64 * 1024, SECONDS = 2 };

/* An overflow strikes below the stack pointer, but for a large frame. */
enum { NEAR = 64 * 1024 };

/* A bit for each signal, from 1 on. Not a table: to begin to watch is a part of
 * the start of a process, and each page that it touches first costs a fault. */
#define BIT(sig) (UINT64_C(1) << ((sig)-1))
#define WATCHED                                                              \
    (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGTRAP) | \
     BIT(SIGSYS) | BIT(SIGABRT))

/* A child's is its own copy. `size` is the same whoever has made it. */
static struct rip__os_stack stack;

static struct {
    struct rip__crash *to;
    pid_t pid; /* 0: nobody watches */
} watch;

static struct {
    uint32_t thread; /* 0; or who was the first to crash */
    volatile sig_atomic_t may_jump;
    sigjmp_buf jump;
} dying;

/* ---- the callers ------------------------------------------------------ */

#ifdef RIP__HAVE_BACKTRACE

static void load_unwinder(void)
{
    void *one;
    (void)backtrace(&one, 1);
}

/* Those who called what is at `pc`: before that come the handler itself and
 * what the kernel has put between. */
static size_t find_callers(uint64_t *ret, size_t cap, uintptr_t pc)
{
    void *all[RIP__FRAMES + 8];
    int n = backtrace(all, RIP__LENGTH(all)), i = 0;
    size_t found = 0;
    while (i < n && (uintptr_t)all[i] != pc)
        i++;
    for (i++; i < n && found < cap; i++)
        ret[found++] = (uintptr_t)all[i];
    return found;
}

#else

static void load_unwinder(void)
{
}

static size_t find_callers(uint64_t *ret, size_t cap, uintptr_t pc)
{
    (void)ret, (void)cap, (void)pc;
    return 0;
}

#endif

static void note_callers(struct rip__crash *to, uintptr_t pc)
{
    uint32_t n = to->n_frames;
    n += (uint32_t)find_callers(to->frames + n, RIP__FRAMES - n, pc);
    rip__store(&to->n_frames, n);
}

/* There was a call to what is no code, as a rule to NULL; from there no
 * unwinder finds back. So the registers are made those from before the call:
 * within it, since the next instruction may be another function's. */
static void note_callers_of_nothing(struct rip__crash *to, void *context)
{
    struct rip__os_place at = rip__os_place_of_caller(context);
    if (at.pc == 0)
        return;
    to->frames[1] = at.pc;
    rip__store(&to->n_frames, 2);
    at.pc--;
    rip__os_place_set(context, at);
    note_callers(to, at.pc);
}

/* ---- the handler ------------------------------------------------------ */

static int first_of(uint64_t signals)
{
    return __builtin_ctzll(signals) + 1;
}

/* Where a system call filter traps what the handler itself calls, SIGSYS would
 * come for ever: it is handled once. The others stay handled, or a second
 * thread would end the process while the first is still noting. */
static bool is_handled_once(int sig)
{
    return sig == SIGSYS;
}

static bool is_fault(int sig)
{
    return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL;
}

static bool is_sent(const siginfo_t *info)
{
    return info->si_code == SI_USER || info->si_code == SI_TKILL ||
           info->si_code == SI_QUEUE;
}

static void note_place(struct rip__crash *to, int sig, const siginfo_t *info,
                       const struct rip__os_place *at)
{
    to->code = info->si_code;
    if (is_sent(info))
        to->sender = (uint32_t)info->si_pid;
    else if (is_fault(sig) && info->si_code > 0)
        to->address = (uintptr_t)info->si_addr;
    to->stack = at->sp;
    to->frames[0] = at->pc;
    to->n_frames = at->pc != 0 || to->code > 0;
    rip__store(&to->signal, (uint32_t)sig);
}

static void note(int sig, const siginfo_t *info, void *context)
{
    const struct rip__os_place at = rip__os_place_get(context);
    if (sigsetjmp(dying.jump, 1) == 0) {
        dying.may_jump = 1;
        rip__os_alarm(SECONDS);
        note_place(watch.to, sig, info, &at);
        if (sig == SIGSEGV && watch.to->address == at.pc)
            note_callers_of_nothing(watch.to, context);
        else
            note_callers(watch.to, at.pc);
    }
    dying.may_jump = 0;
    rip__os_alarm(0);
    rip__os_place_set(context, at);
}

/* It goes to any thread that does not block it. */
static void on_alarm(int sig, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    if (dying.thread != (uint32_t)rip__os_tid())
        rip__os_signal_thread((pid_t)dying.thread, sig);
    else if (dying.may_jump)
        siglongjmp(dying.jump, 1);
}

static void on_crash(int sig, siginfo_t *info, void *context);

/* No handler but ours may run from here on: it could jump away. */
static void keep_to_ours(void)
{
    for (uint64_t left = WATCHED; left != 0; left &= left - 1) {
        int sig = first_of(left);
        rip__os_signal_handle(sig, on_crash, is_handled_once(sig));
    }
    rip__os_signal_handle(SIGALRM, on_alarm, false);
    rip__os_signal_allow(WATCHED | BIT(SIGALRM));
}

static void on_crash(int sig, siginfo_t *info, void *context)
{
    uint32_t self = (uint32_t)rip__os_tid(), first = 0;
    if (getpid() == watch.pid) {
        if (rip__cas32(&dying.thread, &first, self)) {
            keep_to_ours();
            note(sig, info, context);
        } else if (first != self) {
            for (;;)
                rip__os_sleep();
        } else if (dying.may_jump) {
            siglongjmp(dying.jump, 1);
        }
    }
    rip__os_signal_default(sig, info);
}

/* ---- setting up ------------------------------------------------------- */

/* Two threads may both make a stack; one of them lets go of it. To wait for the
 * other could be for ever, in a child that was forked meanwhile. */
void rip__crash_prepare(void)
{
    struct rip__os_stack made;
    void *none = NULL;
    if (__atomic_load_n(&stack.at, __ATOMIC_ACQUIRE))
        return;
    load_unwinder();
    if (rip__os_stack_new(&made, STACK) < 0)
        return;
    __atomic_store_n(&stack.size, made.size, __ATOMIC_RELAXED);
    if (!__atomic_compare_exchange_n(&stack.at, &none, made.at, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
        rip__os_stack_done(&made);
}

RIP__CHILD_PATH void rip__crash_watch(struct rip__crash *ret)
{
    watch.to = ret;
    watch.pid = getpid();
    /* cppcheck-suppress duplicateConditionalAssign ; a fork amid a crash is
     * rare, and a write makes a copy of the page */
    if (dying.thread != 0)
        dying.thread = 0;
    if (stack.at)
        rip__os_signal_stack(&stack);
    for (uint64_t left = WATCHED; left != 0; left &= left - 1) {
        int sig = first_of(left);
        rip__os_signal_take(sig, on_crash, is_handled_once(sig));
    }
}

/* ---- reading ---------------------------------------------------------- */

bool rip__crash_read(struct rip__crash *ret, const struct rip__crash *left,
                     const struct rip_exit *end)
{
    memcpy(ret, left, sizeof *ret);
    bool crashed = end->how == RIP_SIGNALED && ret->signal != 0 &&
                   ret->signal == (uint32_t)end->signal;
    if (!crashed)
        memset(ret, 0, sizeof *ret);
    if (ret->n_frames > RIP__FRAMES)
        ret->n_frames = RIP__FRAMES;
    return crashed;
}

/* x86 does not tell the address where that is one that no memory has: then
 * the kernel's code is SI_KERNEL. */
bool rip__crash_has_address(const struct rip__crash *c)
{
    return is_fault((int)c->signal) && c->code > 0 && c->code != SI_KERNEL;
}

bool rip__crash_is_stack_overflow(const struct rip__crash *c)
{
    return c->signal == SIGSEGV && rip__crash_has_address(c) &&
           c->address - c->stack + NEAR < 2 * (uint64_t)NEAR;
}
