/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_HARNESS_H
#define RIP_TESTS_HARNESS_H

/*
 * The test harness. A test program is any number of
 *
 *     TEST(pipe_reads_what_was_written)
 *     {
 *         int fd[2];
 *         CHECK_OK(rip__os_pipe(fd));
 *         CHECK_INT(rip__os_write(fd[1], "hi", 2), ==, 2);
 *         ...
 *     }
 *
 * and has no main of its own: the harness brings one that runs each test in a
 * process of its own, with a deadline, in an empty directory (which is also
 * its TMPDIR), in a session of its own, with the descriptors 0 (/dev/null), 1
 * and 2 alone, no signal blocked and every signal at its default action.
 *
 * When a test returns, everything must be as it was before: descriptors and
 * their flags, children, threads, names in /dev/shm, files in the directory,
 * signal mask, pending signals, dispositions, working directory, and the
 * library's allocations. What is not, is named and fails the test; so does a
 * process that the test has left behind.
 *
 * See tests/README.md for how to run one test, under a debugger too.
 */

#include <stddef.h>
#include <stdint.h>

struct harness_test {
    const char *name;
    void (*run)(void);
    double deadline; /* seconds; 0: the usual ones */
    struct harness_test *next;
};

void harness_add(struct harness_test *test);

/* The functions have external names, so that a test's name is unique in its
 * program. */
#define TEST_WITH(id, ...)                                             \
    void test_##id(void);                                              \
    static struct harness_test harness_test_##id = { .name = #id,      \
                                                     .run = test_##id, \
                                                     __VA_ARGS__ };    \
    __attribute__((constructor)) static void harness_add_##id(void)    \
    {                                                                  \
        harness_add(&harness_test_##id);                               \
    }                                                                  \
    void test_##id(void)

#define TEST(id) TEST_WITH(id, .deadline = 0)

/* ---- checks ----------------------------------------------------------- */

/*
 * The first check that fails prints the expression and the values, and ends
 * the test: also from another thread, and from a child that it has forked.
 */

#define CHECK(expr)                                         \
    do {                                                    \
        if (!(expr))                                        \
            harness_fail(HARNESS_HERE, "CHECK(%s)", #expr); \
    } while (0)

/* CHECK_INT(n, <=, 4): integers of every kind. */
#define CHECK_INT(a, op, b)                                                    \
    do {                                                                       \
        intmax_t harness_a = (intmax_t)(a), harness_b = (intmax_t)(b);         \
        if (!(harness_a op harness_b))                                         \
            harness_fail_int(HARNESS_HERE, #a, #op, #b, harness_a, harness_b); \
    } while (0)

/* Equal strings; either may be NULL. */
#define CHECK_STR(got, want) \
    harness_check_str(HARNESS_HERE, #got, #want, (got), (want))

/* A string that matches a pattern as of glob(7): CHECK_GLOB(text, "*fd 5*") */
#define CHECK_GLOB(got, pattern) \
    harness_check_glob(HARNESS_HERE, #got, (got), (pattern))

#define CHECK_MEM(got, got_len, want, want_len) \
    harness_check_mem(HARNESS_HERE, #got, (got), (got_len), (want), (want_len))

/* A result that is no error, and which it gives: n = CHECK_OK(read(...)) */
#define CHECK_OK(expr) harness_check_ok(HARNESS_HERE, #expr, (expr))

/* A certain error: CHECK_ERR(rip__os_open("/nope", O_RDONLY, 0), -ENOENT) */
#define CHECK_ERR(expr, want) \
    harness_check_err(HARNESS_HERE, #expr, (expr), (want))

/* Fails the test with words of one's own, as of printf(3). */
#define FAIL(...) harness_fail(HARNESS_HERE, __VA_ARGS__)

/* Ends the test as one that cannot be run here, and says why. */
#define SKIP(...) harness_skip(__VA_ARGS__)

/* ---- services for tests ----------------------------------------------- */

/* `seconds`, or more where everything is slow (RIPSTOP_TEST_SLOW, or a
 * build with a sanitizer). The deadlines of tests are scaled by themselves. */
double harness_scale(double seconds);

/* How many rounds a test of rare events makes: `n`, or where there is time for
 * it more of them (RIPSTOP_TEST_LONG=20: twenty times as many), with as much
 * more time for the test. Once a test. */
int harness_rounds(int n);

/* Gives the test `seconds` (scaled) from now: for a test of many rounds, each
 * of which has its own deadline. */
void harness_extend(double seconds);

/* What is being tried at the moment: shown if the test does not pass, also
 * when it crashes or hangs. Replaces the note before; "" takes it away. */
void harness_note(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* The path of a helper program that was built beside this one: "child".
 * Static memory, which the next call with another name overwrites. */
const char *harness_program(const char *name);

/* Says that the test owns an allocation of the library now, since that has
 * handed it over: it is the test's to free(3). Returns `p`. */
void *harness_take(void *p);

/* "ENOENT" for ENOENT and for -ENOENT; "0"; a number when it has no name. */
const char *harness_errno_name(int code);

/* The other way round: ENOENT for "ENOENT", 0 when there is no such name. */
int harness_errno_value(const char *name);

/* ---- what the macros above call --------------------------------------- */

#define HARNESS_HERE __FILE__, __LINE__

_Noreturn void harness_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void harness_fail_int(const char *file, int line, const char *a,
                                const char *op, const char *b, intmax_t av,
                                intmax_t bv);
_Noreturn void harness_skip(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
void harness_check_str(const char *file, int line, const char *got_text,
                       const char *want_text, const char *got,
                       const char *want);
void harness_check_glob(const char *file, int line, const char *text,
                        const char *got, const char *pattern);
void harness_check_mem(const char *file, int line, const char *text,
                       const void *got, size_t got_len, const void *want,
                       size_t want_len);
intmax_t harness_check_ok(const char *file, int line, const char *text,
                          intmax_t got);
void harness_check_err(const char *file, int line, const char *text,
                       intmax_t got, intmax_t want);

#endif
