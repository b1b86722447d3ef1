/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "run.h"

/* ---- what is started -------------------------------------------------- */

TEST(arguments_arrive_as_they_are)
{
    struct rip_output o;
    run(&o, ARGV("printf", "%s|", "", " ", "a'b\"c\\", "$(x) *", "-n", "\n"),
        NULL);
    CHECK_STR(o.out, "|"
                     " |"
                     "a'b\"c\\|"
                     "$(x) *|"
                     "-n|"
                     "\n|");
    rip_output_done(&o);
}

TEST(a_name_is_looked_for_in_the_childs_path)
{
    struct rip_output o;
    mkdir("bin", 0755);
    write_file("bin/tool", "#!/bin/sh\necho mine\n", 0755);
    char path[PATH_MAX + 16], cwd[PATH_MAX];
    snprintf(path, sizeof path, "PATH=/nope:%s/bin", getcwd(cwd, PATH_MAX));
    run(&o, ARGV("tool"), &(struct rip_command_options){ .env = ARGV(path) });
    CHECK_STR(o.out, "mine\n");
    rip_output_done(&o);
    unlink("bin/tool");
    rmdir("bin");
}

TEST(relative_directories_of_path_are_passed_over)
{
    write_file("tool", "#!/bin/sh\necho danger\n", 0755);
    const char *const paths[] = { "PATH=.",      "PATH=",       "PATH=:",
                                  "PATH=:/nope", "PATH=/nope:", "PATH=./:." };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        harness_note("%s", paths[i]);
        refuse(ARGV("tool"),
               &(struct rip_command_options){ .env = ARGV(paths[i]) }, -ENOENT,
               "exec", "tool");
    }
    unlink("tool");
}

TEST(without_path_there_is_a_default)
{
    run_ok(ARGV("true"), &(struct rip_command_options){ .env = ARGV("PATH") });
    run_ok(ARGV("true"), &(struct rip_command_options){
                             .env = ARGV("A=b"), .env_mode = RIP_ENV_REPLACE });
}

TEST(a_relative_path_is_looked_up_from_cwd)
{
    mkdir("d", 0755);
    write_file("d/tool", "#!/bin/sh\npwd\n", 0755);
    struct rip_output o;
    run(&o, ARGV("./tool"), &(struct rip_command_options){ .cwd = "d" });
    CHECK_GLOB(o.out, "*/d\n");
    rip_output_done(&o);
    refuse(ARGV("./tool"), NULL, -ENOENT, "exec", "./tool");
    unlink("d/tool");
    rmdir("d");
}

/* ---- environment ------------------------------------------------------ */

static const char *env_with(const char *const *env, enum rip_env_mode mode)
{
    static char text[1024];
    struct rip_output o;
    run(&o, ARGV("/usr/bin/env"),
        &(struct rip_command_options){ .env = env, .env_mode = mode });
    CHECK_INT(o.out_len, <, sizeof text);
    memcpy(text, o.out, o.out_len + 1);
    rip_output_done(&o);
    return text;
}

TEST(environment_is_extended_unset_and_replaced)
{
    clearenv();
    setenv("A", "1", 1);
    setenv("AB", "2", 1);
    setenv("C", "3", 1);
    CHECK_GLOB(env_with(NULL, RIP_ENV_EXTEND),
               "A=1\nAB=2\nC=3\nRIPSTOP_TREE=*\n");
    CHECK_GLOB(env_with(ARGV("A=x=y", "C", "D="), RIP_ENV_EXTEND),
               "AB=2\nA=x=y\nD=\nRIPSTOP_TREE=*\n");
    CHECK_GLOB(env_with(ARGV("E=1", "E=2", "F=1", "F"), RIP_ENV_EXTEND),
               "A=1\nAB=2\nC=3\nE=2\nRIPSTOP_TREE=*\n");
    CHECK_STR(env_with(ARGV("X=9"), RIP_ENV_REPLACE), "X=9\n");
    CHECK_STR(env_with(NULL, RIP_ENV_REPLACE), "");
}

/* ---- standard streams ------------------------------------------------- */

TEST(files_are_read_emptied_and_appended_to)
{
    write_file("in", "hello\n", 0644);
    write_file("out", "old old old\n", 0644);
    write_file("err", "old\n", 0644);
    run_ok(ARGV("sh", "-c", "cat; echo err >&2"),
           &(struct rip_command_options){
               .in = { .kind = RIP_STDIO_FILE, .path = "in" },
               .out = { .kind = RIP_STDIO_FILE, .path = "out" },
               .err = { .kind = RIP_STDIO_APPEND, .path = "err" },
           });
    CHECK_STR(read_file("out"), "hello\n");
    CHECK_STR(read_file("err"), "old\nerr\n");
    unlink("in");
    unlink("out");
    unlink("err");
}

TEST(paths_of_streams_are_relative_to_here_not_to_cwd)
{
    run_ok(ARGV("pwd"), &(struct rip_command_options){
                            .cwd = "/",
                            .out = { .kind = RIP_STDIO_FILE, .path = "out" },
                        });
    CHECK_STR(read_file("out"), "/\n");
    unlink("out");
}

TEST(stdout_and_stderr_share_one_position)
{
    run_ok(ARGV("sh", "-c", "echo a; echo b >&2; echo c"),
           &(struct rip_command_options){
               .out = { .kind = RIP_STDIO_FILE, .path = "f" },
               .err = { .kind = RIP_STDIO_STDOUT },
           });
    CHECK_STR(read_file("f"), "a\nb\nc\n");
    unlink("f");
}

TEST(a_descriptor_stays_ours)
{
    int fd = open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct rip_command_options o = { .out = { .kind = RIP_STDIO_FD,
                                              .fd = fd } };
    run_ok(ARGV("echo", "1"), &o);
    run_ok(ARGV("echo", "2"), &o);
    CHECK_STR(read_file("f"), "1\n2\n");
    close(fd);
    unlink("f");
}

TEST(descriptor_0_can_be_given)
{
    int fd = open("f", O_RDWR | O_CREAT, 0600), saved = dup(0);
    CHECK_INT(write(fd, "x", 1), ==, 1);
    lseek(fd, 0, SEEK_SET);
    dup2(fd, 0);
    struct rip_output o;
    run(&o, ARGV("cat"),
        &(struct rip_command_options){
            .in = { .kind = RIP_STDIO_FD, .fd = 0 } });
    CHECK_STR(o.out, "x");
    rip_output_done(&o);
    close(fd);
    dup2(saved, 0);
    close(saved);
    unlink("f");
}

static void check_closed_stdout(int first_closed)
{
    int saved[2] = { dup(0), dup(1) };
    struct rip_failure f = { 0 };
    struct rip_command_options o = { .in = { .kind = RIP_STDIO_PIPE },
                                     .err = { .kind = RIP_STDIO_STDOUT },
                                     .failure = &f };
    rip_command *c;
    for (int i = first_closed; i < 2; i++)
        close(i);
    int r = rip_command_start(&c, ARGV("cat"), &o);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    CHECK_ERR(r, -EBADF);
    CHECK_STR(f.step, "redirect");
    CHECK_STR(f.subject, "err");
}

/* Or stderr would become an end of the command's own stdin, or its pidfd,
 * whichever gets the number. */
TEST(stdout_that_is_closed_cannot_be_shared)
{
    check_closed_stdout(0);
    check_closed_stdout(1);
}

/* ---- what is refused -------------------------------------------------- */

TEST(failures_name_step_and_subject)
{
    mkdir("dir", 0755);
    write_file("plain", "echo hi\n", 0644);
    write_file("nothing", "echo hi\n", 0755);
    write_file("lost", "#!/no/such/sh\n", 0755);
    refuse(ARGV("no-such-program"), NULL, -ENOENT, "exec", "no-such-program");
    refuse(ARGV(""), NULL, -ENOENT, "exec", "");
    refuse(ARGV("/no/such"), NULL, -ENOENT, "exec", "/no/such");
    refuse(ARGV("./dir"), NULL, -EACCES, "exec", "./dir");
    refuse(ARGV("./plain"), NULL, -EACCES, "exec", "./plain");
    refuse(ARGV("./nothing"), NULL, -ENOEXEC, "exec", "./nothing");
    refuse(ARGV("./lost"), NULL, -ENOENT, "interpreter", "./lost");
    refuse(ARGV("./plain/x"), NULL, -ENOTDIR, "exec", "./plain/x");
    refuse(ARGV("true"), &(struct rip_command_options){ .cwd = "/nope" },
           -ENOENT, "chdir", "/nope");
    refuse(ARGV("true"), &(struct rip_command_options){ .cwd = "plain" },
           -ENOTDIR, "chdir", "plain");
    refuse(ARGV("true"),
           &(struct rip_command_options){
               .in = { .kind = RIP_STDIO_FILE, .path = "/nope" } },
           -ENOENT, "open", "/nope");
    refuse(ARGV("true"),
           &(struct rip_command_options){
               .out = { .kind = RIP_STDIO_APPEND, .path = "dir" } },
           -EISDIR, "open", "dir");
    refuse(ARGV("true"),
           &(struct rip_command_options){
               .err = { .kind = RIP_STDIO_FD, .fd = 999 } },
           -EBADF, "redirect", "err");
    rmdir("dir");
    unlink("plain");
    unlink("nothing");
    unlink("lost");
}

/* GLib's g_spawn and execvp(3) run what has no #! as a shell script. */
TEST(what_is_no_program)
{
    mkdir("dir", 0755);
    mkfifo("fifo", 0755);
    write_file("empty", "", 0755);
    write_file("broken", "\177ELF", 0755);
    write_file("nameless", "#!\n", 0755);
    write_file("loop", "#!./loop\n", 0755);
    write_file("by-dir", "#!./dir\n", 0755);
    CHECK_INT(symlink("nowhere", "dangling"), ==, 0);
    CHECK_INT(symlink("itself", "itself"), ==, 0);
    refuse(ARGV("./fifo"), NULL, -EACCES, "exec", "./fifo");
    refuse(ARGV("./empty"), NULL, -ENOEXEC, "exec", "./empty");
    refuse(ARGV("./broken"), NULL, -ENOEXEC, "exec", "./broken");
    refuse(ARGV("./nameless"), NULL, -ENOEXEC, "exec", "./nameless");
    refuse(ARGV("./loop"), NULL, -ELOOP, "exec", "./loop");
    refuse(ARGV("./by-dir"), NULL, -EACCES, "exec", "./by-dir");
    refuse(ARGV("./dangling"), NULL, -ENOENT, "exec", "./dangling");
    refuse(ARGV("./itself"), NULL, -ELOOP, "exec", "./itself");
    refuse(ARGV("/dev/null"), NULL, -EACCES, "exec", "/dev/null");
    rmdir("dir");
    const char *const files[] = { "fifo", "empty",  "broken",   "nameless",
                                  "loop", "by-dir", "dangling", "itself" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(files[i]);
}

/* The kernel's limit for one argument is 32 pages, with its NUL. */
TEST(the_longest_argument)
{
    size_t most = 32 * (size_t)sysconf(_SC_PAGESIZE) - 1;
    char *big = make_data(most + 2);
    memset(big, 'x', most);
    run_ok(ARGV("true", big), NULL);
    big[most] = 'x';
    refuse(ARGV("true", big), NULL, -E2BIG, "exec", "true");
    free(big);
}

TEST(arguments_that_are_too_long)
{
    size_t size = 3 << 20;
    char *big = make_data(size + 1);
    memset(big, 'x', size);
    big[size] = 0;
    refuse(ARGV("true", big), NULL, -E2BIG, "exec", "true");
    /* The subject is cut, not written over its end. */
    struct rip_failure f = { 0 };
    struct rip_command_options o = { .failure = &f };
    rip_command *c;
    CHECK(rip_command_start(&c, ARGV(big), &o) < 0);
    CHECK_INT(strlen(f.subject), ==, sizeof f.subject - 1);
    free(big);
}

struct contradiction {
    const char *option;
    struct rip_command_options o;
};

TEST(wrong_options_are_named)
{
    const struct contradiction all[] = {
        { "in.kind", { .in = { .kind = RIP_STDIO_APPEND, .path = "x" } } },
        { "in.kind", { .in = { .kind = RIP_STDIO_STDOUT } } },
        { "out.kind", { .out = { .kind = RIP_STDIO_STDOUT } } },
        { "err.kind", { .err = { .kind = (enum rip_stdio_kind)99 } } },
        { "out.path", { .out = { .kind = RIP_STDIO_FILE } } },
        { "out.path", { .out = { .kind = RIP_STDIO_PIPE, .path = "x" } } },
        { "err.fd", { .err = { .kind = RIP_STDIO_FD, .fd = -1 } } },
        { "err.fd", { .err = { .kind = RIP_STDIO_NULL, .fd = 4 } } },
        { "env", { .env = ARGV("=x") } },
        { "env", { .env = ARGV("A=b", "") } },
        { "env_mode", { .env_mode = (enum rip_env_mode)2 } },
        { "overflow", { .overflow = (enum rip_overflow)3, .max_output = 1 } },
        { "overflow without max_output", { .overflow = RIP_OVERFLOW_FAIL } },
        { "signals", { .signals = (enum rip_signals)7 } },
        { "grace", { .grace = (double)__builtin_nanf("") } },
        { "input_len without input", { .input_len = 1 } },
        { "input and in.kind",
          { .input = "x", .in = { .kind = RIP_STDIO_NULL } } },
        { "reserved", { .reserved = { 0, 0, 0, 1 } } },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        harness_note("%zu: %s", i, all[i].option);
        refuse(ARGV("true"), &all[i].o, -EINVAL, "option", all[i].option);
    }
    refuse(NULL, NULL, -EINVAL, "option", "argv");
    refuse(ARGV(NULL), NULL, -EINVAL, "option", "argv");
}

TEST(a_failed_start_touches_nothing)
{
    rip_command *c = (rip_command *)&c;
    CHECK_ERR(rip_command_start(&c, ARGV("/nope"), NULL), -ENOENT);
    CHECK(c == (rip_command *)&c);
}

/* ---- details that a program can see ------------------------------------ */

TEST(names_of_variables_count_to_their_end)
{
    struct rip_output o;
    setenv("RIP", "short", 1);
    run(&o, SH("echo $RIP $RIPPLE"),
        &(struct rip_command_options){ .env = ARGV("RIPPLE=long") });
    CHECK_STR(o.out, "short long\n");
    rip_output_done(&o);
    run(&o, ARGV("true"),
        &(struct rip_command_options){
            .env = ARGV("PATHS=/nope", "PATH=/usr/bin:/bin"),
            .env_mode = RIP_ENV_REPLACE });
    rip_output_done(&o);
    unsetenv("RIP");
}

/* As clearenv(3) leaves it. */
TEST(there_need_be_no_environment)
{
    char **saved = environ;
    struct rip_output o;
    environ = NULL;
    run(&o, ARGV("env"), NULL);
    environ = saved;
    CHECK_GLOB(o.out, "RIPSTOP_TREE=*\n");
    rip_output_done(&o);
}

TEST(run_gives_an_empty_stdin_that_is_no_pipe)
{
    struct rip_output o;
    run(&o, SH("readlink /proc/self/fd/0"), NULL);
    CHECK_STR(o.out, "/dev/null\n");
    rip_output_done(&o);
}

TEST(ignored_signals_are_kept_if_asked_for)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
    struct rip_output o;
    sigaction(SIGHUP, &ignore, &old);
    const char *const *argv = ARGV("grep", "SigIgn", "/proc/self/status");
    run(&o, argv, NULL);
    CHECK_STR(o.out, "SigIgn:\t0000000000000000\n");
    rip_output_done(&o);
    run(&o, argv,
        &(struct rip_command_options){ .signals = RIP_SIGNALS_KEEP_IGNORED });
    CHECK_STR(o.out, "SigIgn:\t0000000000000001\n");
    rip_output_done(&o);
    sigaction(SIGHUP, &old, NULL);
}

TEST(new_files_have_the_mode_that_the_umask_leaves)
{
    struct stat st;
    mode_t before = umask(0027);
    run_ok(ARGV("echo"), &(struct rip_command_options){
                             .out = { .kind = RIP_STDIO_FILE, .path = "f" } });
    umask(before);
    CHECK_INT(stat("f", &st), ==, 0);
    CHECK_INT(st.st_mode & 0777, ==, 0640);
    unlink("f");
}

/* We have none: a terminal that is opened would become ours. */
TEST(a_terminal_that_is_read_does_not_become_ours)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0 || grantpt(terminal) < 0 || unlockpt(terminal) < 0)
        SKIP("there are no pseudo-terminals");
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        run_ok(ARGV("true"), &(struct rip_command_options){
                                 .in = { .kind = RIP_STDIO_FILE,
                                         .path = ptsname(terminal) } });
        _exit(open("/dev/tty", O_RDWR | O_CLOEXEC) < 0 ? 0 : 1);
    }
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_INT(status, ==, 0);
    close(terminal);
}
