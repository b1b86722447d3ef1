/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/*
 * Each bad test is run by a harness of its own, with libc's means alone, and
 * its report is read: it must fail, and say why.
 */
static struct {
    int status;
    char text[64 * 1024];
} ran;

static void run_bad(const char *name, const char *second)
{
    const char *program = harness_program("bad");
    const char *const argv[] = { program, name, second, NULL };
    posix_spawn_file_actions_t actions;
    int fd[2];
    pid_t pid;
    size_t len = 0;
    ssize_t n;

    CHECK(pipe2(fd, O_CLOEXEC) == 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd[1], 1);
    posix_spawn_file_actions_adddup2(&actions, fd[1], 2);
    CHECK_INT(posix_spawn(&pid, program, &actions, NULL,
                          (char *const *)(uintptr_t)argv, environ),
              ==, 0);
    posix_spawn_file_actions_destroy(&actions);
    close(fd[1]);
    while ((n = read(fd[0], ran.text + len, sizeof ran.text - 1 - len)) > 0)
        len += (size_t)n;
    ran.text[len] = '\0';
    close(fd[0]);
    CHECK_INT(waitpid(pid, &ran.status, 0), ==, pid);
    printf("%s", ran.text);
}

/* It must fail, and its report match the pattern. */
static void check_bad(const char *name, const char *pattern)
{
    run_bad(name, NULL);
    CHECK(WIFEXITED(ran.status));
    CHECK_INT(WEXITSTATUS(ran.status), ==, 1);
    CHECK_GLOB(ran.text, "1..1\nnot ok 1 - *");
    CHECK_GLOB(ran.text, pattern);
}

static void check_good(const char *name, const char *pattern)
{
    run_bad(name, NULL);
    CHECK(WIFEXITED(ran.status));
    CHECK_INT(WEXITSTATUS(ran.status), ==, 0);
    CHECK_GLOB(ran.text, pattern);
}

/* ---- tests that pass -------------------------------------------------- */

TEST(good_test_passes_in_silence)
{
    check_good("good", "1..1\nok 1 - good\n");
}

TEST(joined_thread_is_no_leak)
{
    check_good("joins_threads", "1..1\nok 1 - joins_threads\n");
}

TEST(orphan_killed_by_the_test_is_no_leak)
{
    check_good("leaves_dying_orphan", "1..1\nok 1 - *\n");
}

TEST(skip_shows_its_reason)
{
    check_good("skips", "1..1\nok 1 - skips # SKIP no moon here\n");
}

/* ---- leaks ------------------------------------------------------------ */

TEST(leaked_descriptor_is_named)
{
    check_bad("leaks_fd", "*# descriptor left open: 3 -> /dev/full *");
}

TEST(closed_descriptor_is_named)
{
    check_bad("closes_fd", "*# descriptor closed: 0 -> /dev/null *");
}

TEST(changed_descriptor_flags_are_named)
{
    check_bad("changes_fd_flags", "*# descriptor left open: 0 -> /dev/null *");
}

TEST(leaked_child_is_named)
{
    check_bad("leaks_child", "*# child left: [0-9]* */bad leaks_child\n*");
}

TEST(leaked_zombie_is_named)
{
    check_bad("leaks_zombie",
              "*# child left: [0-9]* *a zombie, not waited for*");
}

TEST(leaked_thread_is_named)
{
    check_bad("leaks_thread", "*# thread left running: [0-9]* (left-over)\n");
}

TEST(leaked_shared_memory_is_named)
{
    char name[64];

    snprintf(name, sizeof name, "/ripstop-harness-test-%d", getpid());
    CHECK(setenv("BAD_SHM", name, 1) == 0);
    run_bad("leaks_shm", NULL);
    shm_unlink(name); /* in case that it had no /dev/shm of its own */
    CHECK_INT(WEXITSTATUS(ran.status), ==, 1);
    CHECK_GLOB(ran.text, "*not ok 1 *# name left in /dev/shm: */ripstop-*");
}

TEST(leaked_file_is_named)
{
    check_bad("leaks_file", "*# file left: left-over\n");
}

TEST(leaked_allocation_is_named)
{
    check_bad("leaks_allocation",
              "*# allocation left: 77 bytes (allocation 1) by "
              "leaky_function+0x* < test_leaks_allocation+0x*");
    CHECK(strstr(ran.text, "allocation 2") == NULL);
    CHECK(strstr(ran.text, "600 bytes") == NULL);
    CHECK(strstr(ran.text, " 7 bytes") == NULL);
}

TEST(changed_mask_is_named)
{
    check_bad("leaks_mask", "*# signal left blocked: SIGUSR2\n");
}

TEST(changed_disposition_is_named)
{
    check_bad("leaks_disposition",
              "*# disposition changed: now SIGPIPE ignored\n");
}

TEST(changed_directory_is_named)
{
    check_bad("leaks_directory", "*# working directory changed to /\n*");
}

TEST(orphan_is_named_and_killed)
{
    pid_t pid;
    const char *at;

    check_bad("leaks_orphan", "*# process left behind: [0-9]* */bad *");
    at = strstr(ran.text, "left behind: ");
    CHECK(at != NULL);
    pid = atoi(at + strlen("left behind: "));
    CHECK_INT(pid, >, 1);
    CHECK(kill(pid, 0) == -1 && errno == ESRCH);
}

/* ---- hangs and crashes ------------------------------------------------ */

static void check_hang(const char *threads)
{
    check_bad("hangs", "*# the deadline has passed\n"
                       "*child of *bad hangs*"
                       "thread *wchan *system call *");
    CHECK_GLOB(ran.text, "* hangs_here*");
    CHECK_GLOB(ran.text, "* test_hangs*");
    CHECK_GLOB(ran.text, "* hangs_in_thread*");
    CHECK_GLOB(ran.text, "*thread * (deaf): wchan *");
    CHECK_GLOB(ran.text, threads);
}

TEST_WITH(hang_dumps_all_stacks, .deadline = 60)
{
    CHECK(setenv("RIPSTOP_TEST_GDB", "0", 1) == 0);
    check_hang("*stack of thread *: it blocks our signal\n*");
}

TEST_WITH(hang_dumps_all_stacks_by_gdb, .deadline = 60)
{
    if (system("gdb --version >/dev/null 2>&1") != 0)
        SKIP("no gdb");
    check_hang("*#* hangs_blocked (*");
}

TEST_WITH(hang_dumps_children_too, .deadline = 60)
{
    CHECK(setenv("RIPSTOP_TEST_GDB", "0", 1) == 0);
    check_bad("hangs_with_children", "*# while waiting for children\n"
                                     "*hangs_in_child*sleep 1000*");
}

TEST(crash_names_the_signal_and_shows_output)
{
    check_bad("crashes", "*# the test's process was killed by SIGSEGV\n"
                         "# ---- its output:\n# said before the crash\n");
}

TEST(exit_inside_a_test_fails)
{
    check_bad("exits", "*# the test's process exited with 0\n");
    check_bad("exits_at_once", "*# the test's process exited with 0\n");
}

TEST(interrupted_runner_kills_its_test)
{
    run_bad("interrupts_runner", NULL);
    CHECK_INT(WEXITSTATUS(ran.status), ==, 2);
    CHECK_STR(ran.text, "1..1\nBail out! interrupted by signal 15\n");
}

/* ---- checks ----------------------------------------------------------- */

TEST(failed_check_prints_values)
{
    check_bad("fails_int", "*/bad.c:[0-9]*: CHECK_INT(n + 1, <, n)\n"
                           "#     left:  42\n#     right: 41\n");
    check_bad("fails_str", "*got:  \"one\\\\ntwo\" (7 bytes)\n"
                           "*want: \"one\\\\nthree\" (9 bytes)\n"
                           "*differ from byte 5 on\n");
    check_bad("fails_null", "*got:  NULL\n*want: something\n");
    check_bad("fails_glob", "*CHECK_GLOB(\"chdir /nope\", \"exec \\*\")\n"
                            "*got: \"chdir /nope\" *");
    check_bad("fails_mem", "*got:  \"ab\\\\x00c\" (4 bytes)\n"
                           "*want: \"ab\\\\x00d\" (4 bytes)\n"
                           "*differ from byte 3 on\n");
    check_bad("fails_ok", "*CHECK_OK(-ENOENT)\n*got: -ENOENT (no such *)\n");
    check_bad("fails_err", "*CHECK_ERR(-EPIPE)\n*got:  -EPIPE (*)\n"
                           "*want: -EINVAL (*)\n");
}

TEST(failed_check_ends_the_test_from_anywhere)
{
    check_bad("fails_in_child", "*/bad.c:[0-9]*: from the child\n");
    check_bad("returns_in_child", "*: a forked child has returned *\n");
    check_bad("fails_in_thread", "*/bad.c:[0-9]*: from a thread\n");
    check_bad("fails_without_stderr", "*/bad.c:[0-9]*: said all the same\n");
}

TEST(passed_checks_give_their_values)
{
    CHECK(1);
    CHECK_INT(-1, <, 2u);
    CHECK_STR("a", "a");
    CHECK_STR(NULL, NULL);
    CHECK_MEM("", 0, NULL, 0);
    CHECK_GLOB("fd 5 of 7", "*fd 5*");
    CHECK_INT(CHECK_OK(7), ==, 7);
    CHECK_ERR(-EINTR, -EINTR);
}

TEST(errno_names)
{
    CHECK_STR(harness_errno_name(EPIPE), "EPIPE");
    CHECK_STR(harness_errno_name(-EHWPOISON), "-EHWPOISON");
    CHECK_STR(harness_errno_name(0), "0");
    CHECK_STR(harness_errno_name(-9999), "-9999");
    CHECK_INT(harness_errno_value("EMFILE"), ==, EMFILE);
    CHECK_INT(harness_errno_value("nonsense"), ==, 0);
}

/* ---- the command line ------------------------------------------------- */

TEST(runs_by_pattern)
{
    run_bad("go?d", "ski*");
    CHECK_INT(WEXITSTATUS(ran.status), ==, 0);
    CHECK_STR(ran.text, "1..2\nok 1 - good\n"
                        "ok 2 - skips # SKIP no moon here\n");
}

TEST(refuses_unknown_names)
{
    run_bad("no_such_test", NULL);
    CHECK_INT(WEXITSTATUS(ran.status), ==, 2);
    run_bad("--no-such-option", NULL);
    CHECK_INT(WEXITSTATUS(ran.status), ==, 2);
}

TEST(lists_names)
{
    run_bad("--list", "exits*");
    CHECK_INT(WEXITSTATUS(ran.status), ==, 0);
    CHECK_STR(ran.text, "exits\nexits_at_once\n");
}

TEST(runs_here)
{
    run_bad("--here", "good");
    CHECK_INT(WEXITSTATUS(ran.status), ==, 0);
    run_bad("--here", "leaks_fd");
    CHECK_INT(WEXITSTATUS(ran.status), ==, 1);
    CHECK_GLOB(ran.text, "descriptor left open: *leaks_fd: failed\n");
    run_bad("--here", "fails_int");
    CHECK(WIFSIGNALED(ran.status) && WTERMSIG(ran.status) == SIGABRT);
}

TEST(scale_is_at_least_one)
{
    unsetenv("RIPSTOP_TEST_SLOW");
    CHECK(harness_scale(2.0) >= 2.0);
    CHECK(setenv("RIPSTOP_TEST_SLOW", "3", 1) == 0);
    CHECK(harness_scale(2.0) == 6.0);
}

/* ---- faults ----------------------------------------------------------- */

TEST(sweep_tries_every_fault)
{
    check_good("sweeps", "*ok 1 - sweeps\n");
    check_good("sweeps_in_part", "*ok 1 - sweeps_in_part\n");
    check_good("sweeps_a_choice", "*ok 1 - sweeps_a_choice\n");
    check_good("sweeps_through_vfork", "*ok 1 - sweeps_through_vfork\n");
    check_good("forces_faults", "*ok 1 - forces_faults\n");
}

TEST(sweep_names_the_fault_that_leaks)
{
    check_bad("sweep_leaks",
              "*\n# fault: call 2 (allocation) gives ENOMEM, once\n"
              "# alone: RIPSTOP_FAULT=2:ENOMEM:once */bad sweep_leaks\n"
              "# descriptor left open: 3 -> /dev/zero *");
}

TEST(sweep_repeats_one_fault)
{
    CHECK(setenv("RIPSTOP_FAULT", "2:ENOMEM:on", 1) == 0);
    check_bad("sweep_leaks",
              "*\n# fault: call 2 (allocation) gives ENOMEM, on\n*");
    CHECK(setenv("RIPSTOP_FAULT", "3:SHORT:once", 1) == 0);
    check_good("sweep_leaks", "*ok 1 - sweep_leaks\n");
    CHECK(setenv("RIPSTOP_FAULT", "5:EIO:once", 1) == 0);
    check_good("sweep_leaks", "*ok 1 - sweep_leaks\n");
    CHECK(setenv("RIPSTOP_FAULT", "6:EIO:once", 1) == 0);
    check_bad("sweep_leaks", "*RIPSTOP_FAULT=6:EIO:once: no such fault*");
}

TEST_WITH(sweep_names_the_fault_that_hangs, .deadline = 60)
{
    CHECK(setenv("RIPSTOP_TEST_GDB", "0", 1) == 0);
    check_bad("sweep_hangs", "*\n# fault: call 2 (read) gives SHORT, once\n"
                             "*the deadline has passed\n*read_all+*");
}

TEST(sweep_names_the_fault_that_crashes)
{
    check_bad("sweep_crashes",
              "*\n# fault: call 1 (openat) gives ENFILE, once\n"
              "*# the scenario was killed by SIGSEGV\n");
}

TEST(sweep_names_the_fault_that_leaves_a_process)
{
    check_bad("sweep_orphans",
              "*\n# fault: call 1 (openat) gives EMFILE, once\n"
              "*# process left behind: *");
}

TEST(sweep_needs_to_know_each_call)
{
    check_bad("sweep_meets_unknown_call",
              "*: system call [0-9]* is not in */fault_table.c\n");
}
