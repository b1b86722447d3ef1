/* SPDX-License-Identifier: MIT */
#include "os/signal.h"
#include "os/linux.h"

#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

RIP__CHILD_PATH void rip__os_signal_stack(const struct rip__os_stack *s)
{
    const stack_t ours = { .ss_sp = s->at, .ss_size = s->size };
    stack_t before;
    if (RIP__SYS(SYS_sigaltstack, &ours, &before) == 0 &&
        !(before.ss_flags & SS_DISABLE))
        (void)RIP__SYS(SYS_sigaltstack, &before, NULL);
}

static struct sigaction action_of(rip__os_handler *handler, bool once)
{
    return (struct sigaction){
        .sa_sigaction = handler,
        .sa_flags = SA_ONSTACK | SA_SIGINFO | SA_NODEFER |
                    (once ? (int)SA_RESETHAND : 0),
    };
}

/* By libc's function, which alone knows how a handler is to return. With valid
 * arguments it does not fail. */
void rip__os_signal_handle(int sig, rip__os_handler *handler, bool once)
{
    const struct sigaction a = action_of(handler, once);
    (void)sigaction(sig, &a, NULL);
}

RIP__CHILD_PATH void rip__os_signal_take(int sig, rip__os_handler *handler,
                                         bool once)
{
    const struct sigaction a = action_of(handler, once);
    struct sigaction before;
    if (sigaction(sig, &a, &before) == 0 &&
        ((before.sa_flags & SA_SIGINFO) || before.sa_handler != SIG_DFL))
        (void)sigaction(sig, &before, NULL);
}

void rip__os_signal_allow(uint64_t signals)
{
    const rip__kernel_sigset blocked = ~signals;
    (void)RIP__SYS(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, NULL,
                   sizeof blocked);
}

void rip__os_signal_default(int sig, siginfo_t *info)
{
    const struct sigaction a = { .sa_handler = SIG_DFL };
    pid_t pid = (pid_t)RIP__SYS(SYS_getpid), tid = rip__os_tid();
    rip__os_signal_allow(0);
    (void)sigaction(sig, &a, NULL);
    if (RIP__SYS(SYS_rt_tgsigqueueinfo, pid, tid, sig, info) < 0)
        (void)RIP__SYS(SYS_tgkill, pid, tid, sig);
}

void rip__os_signal_thread(pid_t tid, int sig)
{
    (void)RIP__SYS(SYS_tgkill, RIP__SYS(SYS_getpid), tid, sig);
}

void rip__os_alarm(unsigned seconds)
{
    const struct itimerval when = { .it_value.tv_sec = seconds };
    (void)RIP__SYS(SYS_setitimer, ITIMER_REAL, &when, NULL);
}

void rip__os_sleep(void)
{
    (void)RIP__SYS(SYS_ppoll, NULL, 0, NULL, NULL, 0);
}

/* ---- registers -------------------------------------------------------- */

#if defined(__x86_64__)
#define PC(u) (u)->uc_mcontext.gregs[REG_RIP]
#define SP(u) (u)->uc_mcontext.gregs[REG_RSP]
#elif defined(__i386__)
#define PC(u) (u)->uc_mcontext.gregs[REG_EIP]
#define SP(u) (u)->uc_mcontext.gregs[REG_ESP]
#elif defined(__aarch64__)
#define PC(u)   (u)->uc_mcontext.pc
#define SP(u)   (u)->uc_mcontext.sp
#define LINK(u) (u)->uc_mcontext.regs[30]
#elif defined(__riscv)
#define PC(u)   (u)->uc_mcontext.__gregs[REG_PC]
#define SP(u)   (u)->uc_mcontext.__gregs[REG_SP]
#define LINK(u) (u)->uc_mcontext.__gregs[REG_RA]
#endif

struct rip__os_place rip__os_place_get(const void *context)
{
#ifdef PC
    const ucontext_t *u = context;
    return (struct rip__os_place){ (uintptr_t)PC(u), (uintptr_t)SP(u) };
#else
    (void)context;
    return (struct rip__os_place){ 0, 0 };
#endif
}

void rip__os_place_set(void *context, struct rip__os_place place)
{
#ifdef PC
    ucontext_t *u = context;
    PC(u) = (__typeof__(PC(u)))place.pc;
    SP(u) = (__typeof__(SP(u)))place.sp;
#else
    (void)context, (void)place;
#endif
}

struct rip__os_place rip__os_place_of_caller(const void *context)
{
    struct rip__os_place place = rip__os_place_get(context);
#if defined(__x86_64__) || defined(__i386__)
    /* The call has pushed where it would return to. */
    place.pc = *(const uintptr_t *)place.sp;
    place.sp += sizeof place.pc;
#elif defined(LINK)
    place.pc = (uintptr_t)LINK((const ucontext_t *)context);
#else
    place.pc = 0;
#endif
    return place;
}
