/* SPDX-License-Identifier: MIT */
#include "fault.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/exit.h>

#include "fault_table.h"
#include "internal.h"
#include "os/os.h"

#define DEADLINE   10.0
#define MAX_CALLS  65536
#define MOST       48
#define MAX_FORCED 8

/* One call, one error, one way. */
struct point {
    unsigned long call; /* from 1; 0: none */
    const struct fault_call *kind;
    int error;
    unsigned how; /* FAULT_ONCE or FAULT_ON, and the others */
};

struct forced {
    long nr;
    int error;
    _Atomic bool used_up;
    bool once;
};

/* Shared with every process that the scenario makes: with those that share
 * our memory it would be anyway, others are as good as those. */
static struct {
    struct point point;
    _Atomic unsigned long calls;
    _Atomic bool struck;
    struct forced forced[MAX_FORCED];
    size_t n_forced;
    bool recording;
    struct seen {
        long nr, arg;
    } seen[MAX_CALLS];
} * fault;

static struct rip__seam inner; /* what we stand in front of */

/* ---- in the seam ------------------------------------------------------ */

/* Some of this runs between vfork and exec, on a stack of a few KiB: no libc
 * functions here. */

static bool strikes(unsigned long call, long nr, long arg)
{
    const struct point *p = &fault->point;

    if (p->call == 0 || call < p->call || fault_lookup(nr, arg) != p->kind)
        return false;
    return !atomic_exchange(&fault->struck, true) || (p->how & FAULT_ON);
}

/* Counts the call: whether the fault strikes it. */
static bool count(long nr, long arg)
{
    unsigned long call = ++fault->calls;

    if (fault->recording && call <= MAX_CALLS)
        fault->seen[call - 1] = (struct seen){ nr, arg };
    return strikes(call, nr, arg);
}

static int forced_error(long nr)
{
    for (size_t i = 0; i < fault->n_forced; i++) {
        struct forced *f = &fault->forced[i];

        if (f->nr == nr && !(f->once && atomic_exchange(&f->used_up, true)))
            return f->error;
    }
    return 0;
}

/* Asks for one byte where more were asked for. */
static long call_short(long nr, const long args[6])
{
    long less[6] = { args[0], args[1], args[2], args[3], args[4], args[5] };
    struct iovec one;

    if (nr == SYS_read || nr == SYS_pread64 || nr == SYS_write ||
        nr == SYS_pwrite64) {
        less[2] = args[2] > 1 ? 1 : args[2];
    } else {
        one = *(const struct iovec *)args[1];
        one.iov_len = one.iov_len > 1 ? 1 : one.iov_len;
        less[1] = (long)&one;
        less[2] = 1;
    }
    return inner.syscall(nr, less);
}

static long fault_syscall(long nr, const long args[6])
{
    int error;

    if (count(nr, args[1])) {
        if (fault->point.how & FAULT_SHORT)
            return call_short(nr, args);
        if (fault->point.how & FAULT_AFTER)
            inner.syscall(nr, args);
        return -fault->point.error;
    }
    error = forced_error(nr);
    return error > 0 ? -error : inner.syscall(nr, args);
}

static void *fault_resize(void *p, size_t size)
{
    if (count(FAULT_MEMORY, 0) || forced_error(FAULT_MEMORY) > 0)
        return NULL;
    return inner.resize(p, size);
}

static void install(void)
{
    if (fault != NULL)
        return;
    fault = mmap(NULL, sizeof *fault, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(fault != MAP_FAILED);
    inner = rip__seam;
    rip__seam.syscall = fault_syscall;
    rip__seam.resize = fault_resize;
}

static void force(long nr, int error, bool once)
{
    install();
    CHECK_INT(fault->n_forced, <, MAX_FORCED);
    fault->forced[fault->n_forced++] =
        (struct forced){ .nr = nr, .error = error, .once = once };
}

void fault_always(long nr, int error)
{
    force(nr, error, false);
}

void fault_once(long nr, int error)
{
    force(nr, error, true);
}

/* ---- the sweep -------------------------------------------------------- */

struct sweep {
    void (*scenario)(void *ctx);
    void *ctx;
    const struct fault_options *options;
    unsigned long most, points, struck;
};

static const char *error_name(const struct point *p)
{
    return p->how & FAULT_SHORT ? "SHORT" : harness_errno_name(p->error);
}

static void note_point(const struct point *p)
{
    const char *error = error_name(p);
    const char *mode = p->how & FAULT_ON ? "on" : "once";

    harness_note("fault: call %lu (%s) gives %s, %s\n"
                 "alone: RIPSTOP_FAULT=%lu:%s:%s %s %s",
                 p->call, p->kind->name, error, mode, p->call, error, mode,
                 program_invocation_name, harness_test_name());
}

/* _exit(2) leaves a coverage tool without its counts. */
#ifdef HARNESS_COVERAGE
void __gcov_dump(void);
#define write_coverage() __gcov_dump()
#else
#define write_coverage() (void)0
#endif

static _Noreturn void run_in_child(const struct sweep *s)
{
    struct harness_state *before = harness_state_take();

    s->scenario(s->ctx);
    fault->point.call = 0;
    if (harness_state_check(before) > 0)
        harness_end(HARNESS_FAILED);
    write_coverage();
    _exit(0);
}

static void check_end(int status)
{
    const char *name = rip_signal_name(WTERMSIG(status));

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    if (WIFEXITED(status))
        harness_say("the scenario exited with %d\n", WEXITSTATUS(status));
    else
        harness_say("the scenario was killed by %s\n", name ? name : "?");
    harness_end(HARNESS_FAILED);
}

static void run(struct sweep *s, const struct point *p)
{
    double deadline = s->options->deadline;
    size_t n_forced = fault->n_forced; /* not those of the scenario itself */
    int status;
    pid_t pid;

    fault->calls = 0;
    fault->struck = false;
    fault->point = *p;
    harness_extend(deadline > 0 ? deadline : DEADLINE);
    pid = fork();
    CHECK_INT(pid, >=, 0);
    if (pid == 0)
        run_in_child(s);
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    fault->n_forced = n_forced;
    check_end(status);
    if (harness_orphans(0) > 0)
        harness_end(HARNESS_FAILED);
}

static void run_point(struct sweep *s, const struct point *p)
{
    note_point(p);
    run(s, p);
    s->points++;
    s->struck += fault->struck;
}

static bool is_excepted(const struct sweep *s, long nr)
{
    const long *e = s->options->except;

    for (; e != NULL && *e != FAULT_LAST; e++)
        if (*e == nr)
            return true;
    return false;
}

/* All that can go wrong with one call. */
static void sweep_call(struct sweep *s, unsigned long call,
                       const struct fault_call *kind)
{
    for (const struct fault_error *e = kind->errors; e->how != 0; e++) {
        struct point p = { call, kind, e->error, e->how & ~FAULT_ON };

        if (e->how & FAULT_ONCE)
            run_point(s, &p);
        if (e->how & FAULT_ON) {
            p.how = e->how & ~FAULT_ONCE;
            run_point(s, &p);
        }
    }
}

static const struct fault_call *kind_of(unsigned long call)
{
    const struct seen *seen = &fault->seen[call - 1];
    const struct fault_call *kind = fault_lookup(seen->nr, seen->arg);

    if (kind == NULL)
        FAIL("system call %ld is not in tests/harness/fault_table.c", seen->nr);
    return kind;
}

/*
 * Whether the i-th of n calls of one kind is to fail, when about `most` are:
 * the first ones, the last ones, and some between. Where calls are many they
 * come from a loop, a listing of /proc perhaps, and what is special about one
 * of them is so at an end.
 */
static bool is_chosen(unsigned long i, unsigned long n, unsigned long most)
{
    unsigned long third = most / 3 + 1;

    return n <= most || i < third || n - i <= third || i * third % n < third;
}

/* The calls of the first run that are of one kind. */
static void sweep_kind(struct sweep *s, const struct fault_call *kind,
                       unsigned long n_calls)
{
    unsigned long n = 0, i = 0;

    for (unsigned long call = 1; call <= n_calls; call++)
        n += kind_of(call) == kind;
    for (unsigned long call = 1; call <= n_calls; call++)
        if (kind_of(call) == kind && is_chosen(i++, n, s->most))
            sweep_call(s, call, kind);
}

/* The calls of a run in which nothing fails: how many. */
static unsigned long record(struct sweep *s)
{
    unsigned long n;

    fault->recording = true;
    harness_note("fault: none, the first run");
    run(s, &(struct point){ .call = 0 });
    fault->recording = false;
    n = fault->calls;
    CHECK_INT(n, <=, MAX_CALLS);
    return n;
}

static bool parse_point(const char *text, struct point *p)
{
    char error[32], mode[8];

    if (sscanf(text, "%lu:%31[A-Z0-9]:%7s", &p->call, error, mode) != 3)
        return false;
    p->how = strcmp(mode, "on") == 0 ? FAULT_ON : FAULT_ONCE;
    p->error = harness_errno_value(error);
    if (strcmp(error, "SHORT") == 0)
        p->how |= FAULT_SHORT;
    return p->error != 0 || (p->how & FAULT_SHORT);
}

/* The one that RIPSTOP_FAULT names. Whether it is done before the error is
 * given, only the table knows. */
static void sweep_one(struct sweep *s, unsigned long n, const char *text)
{
    struct point p = { 0 };

    if (!parse_point(text, &p) || p.call == 0 || p.call > n)
        FAIL("RIPSTOP_FAULT=%s: no such fault; there are %lu calls", text, n);
    p.kind = kind_of(p.call);
    for (const struct fault_error *e = p.kind->errors; e->how != 0; e++)
        if (e->error == p.error)
            p.how |= e->how & (FAULT_AFTER | FAULT_SHORT);
    run_point(s, &p);
}

/* Kind by kind, in the order in which they came first. */
static void sweep_all(struct sweep *s, unsigned long n)
{
    for (unsigned long call = 1; call <= n; call++) {
        const struct fault_call *kind = kind_of(call);
        unsigned long first = 1;

        while (kind_of(first) != kind)
            first++;
        if (first == call && !is_excepted(s, kind->nr))
            sweep_kind(s, kind, n);
    }
}

static unsigned long most_of_a_kind(const struct fault_options *options)
{
    if (getenv("RIPSTOP_FAULT_ALL") != NULL)
        return MAX_CALLS;
    return options->most > 0 ? options->most : MOST;
}

unsigned long fault_sweep(void (*scenario)(void *ctx), void *ctx,
                          const struct fault_options *options)
{
    static const struct fault_options defaults;
    struct sweep s = { .scenario = scenario,
                       .ctx = ctx,
                       .options = options != NULL ? options : &defaults };
    const char *one = getenv("RIPSTOP_FAULT");
    unsigned long n;

    s.most = most_of_a_kind(s.options);
    install();
    /* What a run leaves behind comes to us, and can be told from that. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    fflush(NULL);
    n = record(&s);
    if (one != NULL)
        sweep_one(&s, n, one);
    else
        sweep_all(&s, n);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    fault->point.call = 0;
    harness_note("%s", "");
    printf("fault: %lu calls, %lu faults, %lu not reached\n", n, s.points,
           s.points - s.struck);
    return s.struck;
}
