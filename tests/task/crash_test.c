/* SPDX-License-Identifier: MIT */
#include "task/crash.h"

#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "task/symbols.h"

/* A function that stays one, with its name, whatever the optimizer thinks. */
#if defined(__clang__)
#define PLAIN __attribute__((noinline, optnone))
#else
#define PLAIN __attribute__((noipa))
#endif

/* After a call: so that it is no jump. */
#define RETURN __asm__ volatile("")

static const int watched[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL,
                               SIGTRAP, SIGSYS, SIGABRT };
enum { WATCHED = sizeof watched / sizeof *watched };

static struct rip__crash *record; /* shared with the children */
static struct rip__crash crash;   /* what was read of it */
static struct rip_exit end;
static struct rip_frame frames[RIP__FRAMES];

/* ---- running ---------------------------------------------------------- */

static void set_up(void)
{
    size_t size = sizeof *record;
    record = mmap(NULL, size, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(record != MAP_FAILED);
    rip__crash_prepare();
}

/* Some are handled by a sanitizer, and are not ours then. */
static void need_default(int sig)
{
    struct sigaction a;
    CHECK_OK(sigaction(sig, NULL, &a));
    if (a.sa_handler != SIG_DFL)
        SKIP("this build handles signal %d itself", sig);
}

static pid_t start(void (*fn)(void))
{
    if (!record)
        set_up();
    memset(record, 0, sizeof *record);
    pid_t pid = fork();
    CHECK_OK(pid);
    if (pid == 0) {
        sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
        rip__crash_watch(record);
        fn();
        _exit(0);
    }
    return pid;
}

static void find_names(void)
{
    memset(frames, 0, sizeof frames);
    for (size_t i = 0; i < crash.n_frames; i++)
        frames[i].address = (uintptr_t)crash.frames[i];
    rip__symbols_find(frames, crash.n_frames);
}

/* Whether it left something. */
static bool wait_for(pid_t pid)
{
    int status;
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    end = (struct rip_exit){ .how = RIP_EXITED };
    if (WIFSIGNALED(status))
        end = (struct rip_exit){ .how = RIP_SIGNALED,
                                 .signal = WTERMSIG(status),
                                 .core_dumped = WCOREDUMP(status) };
    else
        end.code = WEXITSTATUS(status);
    bool left = rip__crash_read(&crash, record, &end);
    find_names();
    return left;
}

static void crash_by(void (*fn)(void), int sig)
{
    CHECK(wait_for(start(fn)));
    CHECK_INT(end.how, ==, RIP_SIGNALED);
    CHECK_INT(end.signal, ==, sig);
    CHECK_INT(crash.signal, ==, sig);
}

/* Which frame is of that function, or of a part of it that the compiler has put
 * elsewhere ("name.cold"); -1: none. */
static int frame_of(const char *function)
{
    for (size_t i = 0; i < crash.n_frames; i++) {
        const char *name = frames[i].function;
        size_t len = strcspn(name, ".");
        if (len == strlen(function) && memcmp(name, function, len) == 0)
            return (int)i;
    }
    return -1;
}

/* ---- faults ----------------------------------------------------------- */

static void *volatile bad = (void *)0x10;

PLAIN static void touch(void)
{
    *(volatile char *)bad = 1;
    RETURN;
}

PLAIN static void call_touch(void)
{
    touch();
    RETURN;
}

TEST(bad_pointer)
{
    need_default(SIGSEGV);
    crash_by(call_touch, SIGSEGV);
    CHECK_INT(crash.address, ==, 0x10);
    CHECK(rip__crash_has_address(&crash));
    CHECK(!rip__crash_is_stack_overflow(&crash));
    CHECK_INT(crash.code, ==, SEGV_MAPERR);
    CHECK_STR(frames[0].function, "touch");
    CHECK_STR(frames[1].function, "call_touch");
    CHECK_INT(frame_of("test_bad_pointer"), >, 1);
    CHECK_STR(frames[0].file, "crash_test");
}

static void touch_what_no_memory_has(void)
{
    bad = (void *)((uintptr_t)1 << (sizeof bad * 8 - 2));
    touch();
}

/* x86 does not tell which address it was; others do. */
TEST(address_that_no_memory_has)
{
    need_default(SIGSEGV);
    crash_by(touch_what_no_memory_has, SIGSEGV);
    CHECK(crash.address == 0 || rip__crash_has_address(&crash));
    CHECK(crash.address != 0 || !rip__crash_has_address(&crash));
    CHECK_STR(frames[0].function, "touch");
}

static void (*volatile no_function)(void);

PLAIN static void call_nothing(void)
{
    no_function();
    RETURN;
}

TEST(call_of_null)
{
    need_default(SIGSEGV);
    crash_by(call_nothing, SIGSEGV);
    CHECK_INT(crash.address, ==, 0);
    CHECK_INT(crash.frames[0], ==, 0);
    CHECK_STR(frames[1].function, "call_nothing");
    CHECK_INT(frame_of("test_call_of_null"), >, 1);
}

static volatile int zero;

__attribute__((no_sanitize("undefined"))) PLAIN static void divide(void)
{
    zero = 100 / zero;
}

TEST(division_by_zero)
{
    need_default(SIGFPE);
#if !defined(__x86_64__) && !defined(__i386__)
    SKIP("a division by zero is no fault on this machine");
#endif
    crash_by(divide, SIGFPE);
    CHECK_STR(frames[0].function, "divide");
    CHECK_INT(crash.address, ==, crash.frames[0]);
}

PLAIN static void touch_behind_the_end(void)
{
    FILE *f = tmpfile();
    char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(f), 0);
    bad = p + 5;
    (void)*(volatile char *)bad;
    RETURN;
}

TEST(file_that_is_too_short)
{
    need_default(SIGBUS);
    crash_by(touch_behind_the_end, SIGBUS);
    CHECK_STR(frames[0].function, "touch_behind_the_end");
    CHECK_INT(crash.address & 4095, ==, 5);
    CHECK(rip__crash_has_address(&crash));
}

#if defined(__x86_64__) || defined(__i386__)
PLAIN static void execute_nonsense(void)
{
    __asm__ volatile("ud2");
}

/* When that has trapped the program is behind it already. */
PLAIN static void meet_breakpoint(void)
{
    __asm__ volatile("int3");
}

TEST(instructions_that_trap)
{
    need_default(SIGILL);
    crash_by(execute_nonsense, SIGILL);
    CHECK_STR(frames[0].function, "execute_nonsense");
    crash_by(meet_breakpoint, SIGTRAP);
    CHECK_STR(frames[0].function, "meet_breakpoint");
    CHECK(!rip__crash_has_address(&crash));
}
#endif

PLAIN static void call_what_is_forbidden(void)
{
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof f / sizeof *f, f };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        raise(SIGSYS);
    (void)getppid();
}

TEST(forbidden_system_call)
{
    crash_by(call_what_is_forbidden, SIGSYS);
    CHECK_INT(frame_of("call_what_is_forbidden"), >=, 0);
    CHECK(!rip__crash_has_address(&crash));
}

/* ---- stacks ----------------------------------------------------------- */

static volatile int bottom;

PLAIN static int descend(int n)
{
    volatile char room[200];
    room[0] = (char)n;
    return n == bottom ? 0 : descend(n + 1) + room[0];
}

static void overflow(void)
{
    bottom = -1;
    (void)descend(1);
}

static void check_overflow(void)
{
    CHECK(rip__crash_is_stack_overflow(&crash));
    CHECK_INT(crash.n_frames, ==, RIP__FRAMES);
    CHECK_STR(frames[0].function, "descend");
    CHECK_STR(frames[RIP__FRAMES - 1].function, "descend");
}

TEST(overflow_of_the_main_stack)
{
    need_default(SIGSEGV);
    crash_by(overflow, SIGSEGV);
    check_overflow();
}

static void *overflow_here(void *arg)
{
    rip__crash_watch(record);
    overflow();
    return arg;
}

static void overflow_small(void)
{
    pthread_attr_t attr;
    pthread_t t;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    pthread_create(&t, &attr, overflow_here, NULL);
    pthread_join(t, NULL);
}

TEST(overflow_of_a_small_stack)
{
    need_default(SIGSEGV);
    crash_by(overflow_small, SIGSEGV);
    check_overflow();
}

static stack_t own = { .ss_size = 32768 };

static void die_on_own_stack(void)
{
    stack_t now;
    own.ss_sp = mmap(NULL, own.ss_size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaltstack(&own, NULL);
    rip__crash_watch(record);
    sigaltstack(NULL, &now);
    if (now.ss_sp != own.ss_sp || now.ss_size != own.ss_size)
        _exit(1);
    overflow();
}

TEST(alternate_stack_of_the_program_stays)
{
    need_default(SIGSEGV);
    crash_by(die_on_own_stack, SIGSEGV);
    check_overflow();
}

static void *touch_in_thread(void *arg)
{
    touch();
    return arg;
}

static void crash_in_thread(void)
{
    pthread_t t;
    pthread_create(&t, NULL, touch_in_thread, NULL);
    pthread_join(t, NULL);
}

TEST(crash_in_another_thread)
{
    need_default(SIGSEGV);
    crash_by(crash_in_thread, SIGSEGV);
    CHECK_STR(frames[0].function, "touch");
    CHECK_STR(frames[1].function, "touch_in_thread");
}

/* ---- signals that are sent -------------------------------------------- */

static int sent;

PLAIN static void send_to_self(void)
{
    raise(sent);
    RETURN;
}

TEST(every_signal)
{
    for (size_t i = 0; i < WATCHED; i++) {
        struct sigaction a;
        CHECK_OK(sigaction(watched[i], NULL, &a));
        sent = watched[i];
        harness_note("signal %d", sent);
        if (a.sa_handler != SIG_DFL)
            continue;
        pid_t pid = start(send_to_self);
        CHECK(wait_for(pid));
        CHECK_INT(end.how, ==, RIP_SIGNALED);
        CHECK_INT(end.signal, ==, sent);
        CHECK_INT(crash.code, ==, SI_TKILL);
        CHECK_INT(crash.sender, ==, pid);
        CHECK(!rip__crash_has_address(&crash));
        CHECK(!rip__crash_is_stack_overflow(&crash));
        CHECK_INT(frame_of("send_to_self"), >, 0);
    }
}

static int ready[2];

PLAIN static void wait_for_ever(void)
{
    (void)!write(ready[1], "", 1);
    for (;;)
        pause();
}

TEST(signal_from_outside)
{
    char c;
    int sig = SIGILL;
    CHECK_OK(pipe(ready));
    pid_t pid = start(wait_for_ever);
    CHECK_INT(read(ready[0], &c, 1), ==, 1);
    CHECK_OK(kill(pid, sig));
    CHECK(wait_for(pid));
    CHECK_INT(end.signal, ==, sig);
    CHECK_INT(crash.code, ==, SI_USER);
    CHECK_INT(crash.sender, ==, getpid());
    CHECK_INT(crash.address, ==, 0);
    CHECK_INT(frame_of("wait_for_ever"), >, 0);
    close(ready[0]);
    close(ready[1]);
}

PLAIN static void call_abort(void)
{
    abort();
}

TEST(abort_is_noted)
{
    crash_by(call_abort, SIGABRT);
    CHECK_STR(frames[frame_of("call_abort") - 1].function, "abort");
}

#if !defined(__SANITIZE_ADDRESS__)
PLAIN static void corrupt_the_heap(void)
{
    char *volatile p = malloc(20);
    char *volatile q = malloc(2000);
    volatile size_t beyond = 64;
    CHECK(p != NULL && q != NULL);
    q[0] = 0;
    memset(p, 0x41, beyond);
    free(q);
    free(p);
    abort();
}

/* libc says so on stderr, and holds locks of malloc when it aborts. */
TEST(corrupt_heap)
{
    crash_by(corrupt_the_heap, SIGABRT);
    CHECK_INT(frame_of("corrupt_the_heap"), >, 0);
}
#endif

/* ---- whose crash it is ------------------------------------------------ */

static void exit_42(int sig)
{
    (void)sig;
    _exit(42);
}

static void watch_with_own_handlers(void)
{
    rip__crash_watch(record);
    raise(SIGTRAP); /* is ignored */
    raise(SIGILL);
}

TEST(own_handlers_stay)
{
    signal(SIGILL, exit_42);
    signal(SIGTRAP, SIG_IGN);
    CHECK(!wait_for(start(watch_with_own_handlers)));
    CHECK_INT(end.how, ==, RIP_EXITED);
    CHECK_INT(end.code, ==, 42);
    CHECK_INT(record->signal, ==, 0);
    signal(SIGILL, SIG_DFL);
    signal(SIGTRAP, SIG_DFL);
}

/* How the one that was forked ended. */
static void exit_as(pid_t pid)
{
    int status;
    waitpid(pid, &status, 0);
    _exit(WIFSIGNALED(status) ? WTERMSIG(status) : 100);
}

static void crash_in_a_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        abort();
    exit_as(pid);
}

static void crash_in_a_vfork(void)
{
    pid_t pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */
    if (pid == 0) {
        (void)syscall(SYS_kill, syscall(SYS_getpid), SIGILL);
        _exit(99);
    }
    exit_as(pid);
}

TEST(crash_of_a_child_is_its_own)
{
    CHECK(!wait_for(start(crash_in_a_fork)));
    CHECK_INT(end.code, ==, SIGABRT);
    CHECK_INT(record->signal, ==, 0);
    CHECK(!wait_for(start(crash_in_a_vfork)));
    CHECK_INT(end.code, ==, SIGILL);
    CHECK_INT(record->signal, ==, 0);
}

static void become_another(void)
{
    const char *path = harness_program("child");
    execl(path, path, "signal", "11", (char *)NULL);
}

TEST(exec_ends_the_watch)
{
    CHECK(!wait_for(start(become_another)));
    CHECK_INT(end.signal, ==, 11);
    CHECK_INT(record->signal, ==, 0);
}

TEST(nothing_is_handled_in_the_parent)
{
    struct sigaction before[NSIG], after;
    stack_t stack[2];
    for (int s = 1; s < NSIG; s++)
        sigaction(s, NULL, &before[s]);
    sigaltstack(NULL, &stack[0]);
    crash_by(call_abort, SIGABRT);
    for (int s = 1; s < NSIG; s++) {
        if (sigaction(s, NULL, &after) < 0)
            continue;
        CHECK(after.sa_handler == before[s].sa_handler);
        CHECK_INT(after.sa_flags, ==, before[s].sa_flags);
    }
    sigaltstack(NULL, &stack[1]);
    CHECK_INT(stack[0].ss_flags, ==, stack[1].ss_flags);
}

/* ---- an unwinder in trouble ------------------------------------------- */

/* In place of libc's, for those that look for callers. */
int backtrace(void **ret, int cap);

static void (*instead)(void);

int backtrace(void **ret, int cap)
{
    if (instead)
        instead();
    int (*real)(void **, int);
    *(void **)&real = dlsym(RTLD_NEXT, "backtrace");
    return real(ret, cap);
}

/* Nothing but the fault itself is to end it. */
static void touch_as_unwinder(void)
{
    alarm(0);
    raise(SIGTRAP);
    touch();
}

static void hang_as_unwinder(void)
{
    for (;;)
        pause();
}

TEST(unwinder_that_crashes_itself)
{
    need_default(SIGSEGV);
    set_up();
    instead = touch_as_unwinder;
    crash_by(call_abort, SIGABRT);
    CHECK_INT(crash.n_frames, ==, 1);
    crash_by(touch, SIGSEGV);
    CHECK_INT(crash.n_frames, ==, 1);
    CHECK_STR(frames[0].function, "touch");
}

TEST(unwinder_that_hangs)
{
    set_up();
    instead = hang_as_unwinder;
    crash_by(call_abort, SIGABRT);
    CHECK_INT(crash.n_frames, ==, 1);
}

static void *take_signals(void *arg)
{
    for (;;)
        pause();
    return arg;
}

/* So the alarm comes to another thread first. */
static void crash_with_alarm_blocked(void)
{
    pthread_t t;
    sigset_t set;
    pthread_create(&t, NULL, take_signals, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    abort();
}

static void *abort_in_thread(void *arg)
{
    abort();
    return arg;
}

static void crash_beside_main(void)
{
    pthread_t t;
    pthread_create(&t, NULL, abort_in_thread, NULL);
    for (;;)
        pause();
}

TEST(unwinder_that_hangs_among_threads)
{
    set_up();
    instead = hang_as_unwinder;
    crash_by(crash_with_alarm_blocked, SIGABRT);
    crash_by(crash_beside_main, SIGABRT);
    CHECK_INT(crash.n_frames, ==, 1);
}

/* Two at once: the second has come to its handler, and sleeps there, when the
 * first goes on to look for its callers. */
static int go[2];
static volatile pid_t second;

static bool sleeps(pid_t tid)
{
    char path[64], line[200] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", (int)tid);
    FILE *f = fopen(path, "r");
    if (!f || !fgets(line, sizeof line, f))
        line[0] = 0;
    if (f)
        fclose(f);
    return strtol(line, NULL, 10) == SYS_ppoll;
}

static void let_the_second_crash(void)
{
    (void)!write(go[1], "", 1);
    while (second == 0 || !sleeps(second))
        sched_yield();
}

static void *crash_second(void *arg)
{
    char c;
    (void)!read(go[0], &c, 1);
    second = (pid_t)syscall(SYS_gettid);
    raise(SIGILL);
    return arg;
}

PLAIN static void crash_twice(void)
{
    pthread_t t;
    pthread_create(&t, NULL, crash_second, NULL);
    call_abort();
}

TEST(first_of_two_crashes_is_noted)
{
    set_up();
    CHECK_OK(pipe(go));
    instead = let_the_second_crash;
    crash_by(crash_twice, SIGABRT);
    CHECK_INT(frame_of("crash_twice"), >, 0);
    close(go[0]);
    close(go[1]);
}

/* ---- cores ------------------------------------------------------------ */

static void watch_no_more(void)
{
    for (size_t i = 0; i < WATCHED; i++)
        signal(watched[i], SIG_DFL);
    touch();
}

TEST(core_is_dumped_as_ever)
{
    need_default(SIGSEGV);
    CHECK(!wait_for(start(watch_no_more)));
    bool dumps = end.core_dumped;
    crash_by(touch, SIGSEGV);
    CHECK(end.core_dumped == dumps);
    unlink("core");
}

/* ---- what may be missing, and what may be read ------------------------ */

/* libc's abort would see to the death by itself. */
static void crash_and_join(void *ctx)
{
    (void)ctx;
    rip__crash_prepare();
    sent = SIGTRAP;
    wait_for(start(send_to_self));
    CHECK_INT(end.how, ==, RIP_SIGNALED);
    CHECK_INT(end.signal, ==, SIGTRAP);
}

TEST_WITH(death_survives_every_fault, .deadline = 60)
{
    record = mmap(NULL, sizeof *record, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(record != MAP_FAILED);
    CHECK_INT(fault_sweep(crash_and_join, NULL, NULL), >, 0);
}

TEST(scribbled_records)
{
    struct rip__crash left, got;
    struct rip_exit e = { .how = RIP_SIGNALED, .signal = SIGSEGV };
    memset(&left, 0xff, sizeof left);
    CHECK(!rip__crash_read(&got, &left, &e));
    CHECK_INT(got.n_frames, ==, 0);
    left.signal = SIGSEGV;
    CHECK(rip__crash_read(&got, &left, &e));
    CHECK_INT(got.n_frames, ==, RIP__FRAMES);
    (void)rip__crash_is_stack_overflow(&got);
    e.signal = SIGABRT; /* another end than that which was noted */
    CHECK(!rip__crash_read(&got, &left, &e));
    e = (struct rip_exit){ .how = RIP_EXITED };
    left.signal = 0;
    CHECK(!rip__crash_read(&got, &left, &e));
}

/* Around the stack pointer, wherever in memory that is. */
TEST(near_the_stack_pointer)
{
    struct rip__crash c = { .signal = SIGSEGV, .code = SEGV_MAPERR };
    c.stack = 1000;
    CHECK(rip__crash_is_stack_overflow(&c));
    c.address = UINT64_MAX - 1000;
    CHECK(rip__crash_is_stack_overflow(&c));
    c.stack = (uint64_t)1 << 40;
    c.address = 16;
    CHECK(!rip__crash_is_stack_overflow(&c));
    c.address = c.stack - 8;
    CHECK(rip__crash_is_stack_overflow(&c));
    c.code = SI_USER;
    CHECK(!rip__crash_is_stack_overflow(&c));
    c.code = SEGV_MAPERR;
    c.signal = SIGBUS;
    CHECK(!rip__crash_is_stack_overflow(&c));
}
