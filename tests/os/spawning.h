/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_OS_SPAWNING_H
#define RIP_TESTS_OS_SPAWNING_H

/* What the tests of rip__os_spawn share. What runs is a shell line, that tells
 * by its status or output what it found. */

#include "os/os.h"

struct spawning {
    struct rip__os_spawn s;
    const char *argv[4];
};

void prepare(struct spawning *p, const char *script);

int status_of(const struct rip__os_spawned *c);

/* The exit status of a script. */
int run(struct spawning *p);

int run_script(const char *script);

/* What a script prints on descriptor `target`, with the redirections of `p`
 * as they are. */
const char *output_of(struct spawning *p, int target);

const char *script_output(const char *script);

/* A start that has to fail so, and to leave no child. */
void check_failing(struct spawning *p, enum rip__os_step step, int index,
                   int code);

/* ---- the worlds in which all must hold -------------------------------- */

/* What a test that stands in front of the system calls goes on to. */
extern long (*next_call)(long nr, const long args[6]);

void enter_native(void);
void lose_clone3(void);
void lose_close_range(void);
void lose_both(void);

/* An emulator: no clone3, and vfork is fork; older ones have no CLONE_PIDFD
 * either. */
void enter_emulator(void);
void enter_old_emulator(void);

#define IN_EVERY_WORLD(what)         \
    TEST(what)                       \
    {                                \
        enter_native();              \
        check_##what();              \
    }                                \
    TEST(what##_without_clone3)      \
    {                                \
        lose_clone3();               \
        check_##what();              \
    }                                \
    TEST(what##_without_close_range) \
    {                                \
        lose_close_range();          \
        check_##what();              \
    }                                \
    TEST(what##_without_both)        \
    {                                \
        lose_both();                 \
        check_##what();              \
    }                                \
    TEST(what##_where_vfork_is_fork) \
    {                                \
        enter_emulator();            \
        check_##what();              \
    }                                \
    TEST(what##_in_an_old_emulator)  \
    {                                \
        enter_old_emulator();        \
        check_##what();              \
    }

#endif
