/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "os/os.h"
#include "run.h"

/* rip_popen with the request to do without a shell. */

static rip_command *popen_ok(const char *shell_command, const char *mode)
{
    rip_command *c;
    CHECK_OK(rip_popen(&c, shell_command, mode));
    return c;
}

/* The program that was executed last: the child shares our memory until then.
 * Where it shares none (valgrind) nothing is seen. */
static long (*next_call)(long nr, const long args[6]);
static char executed[4200];

static long watch_exec(long nr, const long args[6])
{
    if (nr == SYS_execve)
        snprintf(executed, sizeof executed, "%s", (const char *)args[0]);
    return next_call(nr, args);
}

/* What a command writes and how it ends, "abc\nexited with 0". The caller
 * frees it. */
static char *outcome(const char *command, const char *mode)
{
    char end[RIP_EXIT_TEXT], *all;
    next_call = rip__seam.syscall;
    rip__seam.syscall = watch_exec;
    rip_command *c = popen_ok(command, mode);
    rip__seam.syscall = next_call;
    const char *text = rest_of(c);
    struct rip_exit e = end_of(c);
    rip_command_free(c);
    rip_exit_format(&e, end, sizeof end);
    CHECK(asprintf(&all, "%s%s", text, end) > 0);
    return all;
}

/* With the request it does the same; and whether a shell did it. */
static bool takes_shell(const char *command)
{
    char *usual = outcome(command, "r");
    CHECK_STR(executed, "/bin/sh");
    char *direct = outcome(command, "rd");
    bool shell = strcmp(executed, "/bin/sh") == 0;
    printf("# %s\n", command);
    CHECK_STR(direct, usual);
    free(usual);
    free(direct);
    return shell;
}

/* A program that no shell has as a builtin, by a name in PATH. */
static void find_child(void)
{
    char path[4096 + 16];
    const char *child = harness_program("child");
    snprintf(path, sizeof path, "%.*s:/usr/bin:/bin",
             (int)(strrchr(child, '/') - child), child);
    setenv("PATH", path, 1);
}

/* What shells say of it is not to be read here. */
static void silence(void)
{
    int fd = open("/dev/null", O_WRONLY);
    CHECK_INT(dup2(fd, 2), ==, 2);
    close(fd);
}

static void speak(int err)
{
    dup2(err, 2);
    close(err);
}

TEST(plain_words_need_no_shell)
{
    find_child();
    CHECK(!takes_shell("child"));
    CHECK(!takes_shell("child args a b"));
    CHECK(!takes_shell(" \tchild  args\t a=b  --x=1,2:3 %F +e @h user@host "));
    CHECK(!takes_shell("/bin/echo a"));
    CHECK(!takes_shell("child exit 3"));
    CHECK_STR(executed + strlen(executed) - 6, "/child");
}

/* Where a shell may say 143. */
TEST(a_signal_is_the_programs_own)
{
    find_child();
    char *end = outcome("child signal 15", "rd");
    CHECK_STR(end, "killed by SIGTERM");
    free(end);
}

TEST(without_the_request_there_is_a_shell)
{
    free(outcome("cat", "r"));
    CHECK_STR(executed, "/bin/sh");
}

TEST(other_words_need_one)
{
    static const char *const commands[] = {
        "",          " ",          "a=b",        "a=b child args", "echo -n a",
        "printf x",  "true",       "false",      "exit 3",         "kill -l 15",
        "test a",    "[ a ]",      ": a",        ". ./no",         "if",
        "while",     "fi",         "{ child; }", "! child",        "type child",
        "ulimit -n", "eval child", "pwd -P",     "exec child",     "-child",
        "%1",        "./none",     "no-such",    "child args '",   "/",
        "child \n",
    };
    int err = fcntl(2, F_DUPFD_CLOEXEC, 3);
    find_child();
    silence();
    for (size_t i = 0; i < COUNT(commands); i++)
        CHECK(takes_shell(commands[i]));
    speak(err);
}

TEST(what_is_too_long_for_a_shell_is_too_long)
{
    rip_command *c = NULL;
    size_t size = 1 << 17;
    char *command = make_data(size + 1);
    memset(command, ' ', size);
    memcpy(command, "cat", 3);
    CHECK_ERR(rip_popen(&c, command, "r"), -E2BIG);
    CHECK_ERR(rip_popen(&c, command, "rd"), -E2BIG);
    command[size - 1] = 0;
    CHECK(!takes_shell(command));
    free(command);
}

/* Every byte, within, before and behind a word. */
TEST_WITH(each_byte_means_what_it_means_to_a_shell, .deadline = 120)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789_./+-=%,:@ \t";
    static const char *const places[] = { "a%cb", "%cb", "a %c" };
    int err = fcntl(2, F_DUPFD_CLOEXEC, 3);
    find_child();
    silence();
    for (int byte = 1; byte < 256; byte++) {
        for (size_t i = 0; i < COUNT(places); i++) {
            char word[10], command[40];
            snprintf(word, sizeof word, places[i], byte);
            snprintf(command, sizeof command, "child args %s", word);
            CHECK_INT(takes_shell(command), ==, !strchr(safe, byte));
        }
    }
    speak(err);
    unlink("b"); /* a>b */
}

/* A directory of the test as the only one of PATH, beside those of `more`. */
static void set_path(const char *name, const char *more)
{
    char path[8192], here[4096];
    CHECK(getcwd(here, sizeof here) != NULL);
    snprintf(path, sizeof path, "%s/%s%s", here, name, more);
    setenv("PATH", path, 1);
}

static char *bash_words(void)
{
    rip_command *c = popen_ok("bash -c 'compgen -k; compgen -b'", "r");
    char *words = strdup(rest_of(c));
    CHECK_INT(end_of(c).code, ==, 0);
    rip_command_free(c);
    return words;
}

/* bash knows more names than the shell that is there may know. */
TEST(builtins_of_other_shells_need_one)
{
    if (access("/bin/bash", X_OK) < 0)
        SKIP("no bash");
    char *words = bash_words(), *rest;
    int n = 0, err = fcntl(2, F_DUPFD_CLOEXEC, 3);
    silence();
    mkdir("bin", 0755);
    set_path("bin", "");
    for (char *w = strtok_r(words, "\n", &rest); w;
         w = strtok_r(NULL, "\n", &rest)) {
        char file[300];
        if (strcmp(w, ".") == 0)
            continue;
        snprintf(file, sizeof file, "bin/%s", w);
        write_file(file, "#!/bin/sh\n", 0755);
        free(outcome(w, "rd"));
        CHECK_STR(executed, "/bin/sh");
        unlink(file);
        n++;
    }
    CHECK_INT(n, >, 60);
    speak(err);
    free(words);
    rmdir("bin");
}

/* What comes first in PATH is it, as for the shell, and not what exec would
 * come to. */
TEST(what_can_not_be_started_is_for_the_shell)
{
    static const char *const texts[] = { "echo script\n", "",
                                         "#!/no/interpreter\n", "\177ELF" };
    int err = fcntl(2, F_DUPFD_CLOEXEC, 3);
    silence();
    mkdir("first", 0755);
    mkdir("second", 0755);
    write_file("second/p", "#!/bin/sh\necho second\n", 0755);
    set_path("second", "");
    CHECK(!takes_shell("p"));
    char second[4096];
    snprintf(second, sizeof second, ":%s", getenv("PATH"));
    set_path("first", second);
    CHECK(!takes_shell("p"));
    for (size_t i = 0; i < COUNT(texts); i++) {
        write_file("first/p", texts[i], 0755);
        CHECK(takes_shell("p"));
        CHECK(takes_shell("first/p"));
    }
    chmod("first/p", 0600);
    CHECK(!takes_shell("p"));
    speak(err);
    unlink("first/p");
    unlink("second/p");
    rmdir("first");
    rmdir("second");
}

TEST(a_path_with_other_directories_needs_a_shell)
{
    static const char *const paths[] = { "",         ":/bin",
                                         "/bin:",    "/bin::/usr/bin",
                                         "bin:/bin", "/bin:.",
                                         "/bin%func" };
    for (size_t i = 0; i < COUNT(paths); i++) {
        setenv("PATH", paths[i], 1);
        free(outcome("/bin/cat", "rd"));
        CHECK_STR(executed, "/bin/sh");
    }
    unsetenv("PATH");
    free(outcome("/bin/cat", "rd"));
    CHECK_STR(executed, "/bin/sh");
    char *twice[] = { (char[]){ "PATH=/bin" }, (char[]){ "PATH=/bin" }, NULL };
    char **usual = environ;
    environ = twice;
    free(outcome("/bin/cat", "rd"));
    environ = usual;
    CHECK_STR(executed, "/bin/sh");
    setenv("PATH", "/usr/bin:/bin", 1);
    CHECK(!takes_shell("cat"));
}

TEST(what_a_shell_is_told_by_us_needs_one)
{
    static const char *const names[] = { "BASH_FUNC_cat%%", "SHELLOPTS" };
    for (size_t i = 0; i < COUNT(names); i++) {
        setenv(names[i], "", 1);
        CHECK(takes_shell("cat"));
        unsetenv(names[i]);
    }
    if (geteuid() == 0) {
        CHECK_INT(setegid(65534), ==, 0);
        CHECK(takes_shell("cat"));
        CHECK_INT(setegid(0), ==, 0);
        CHECK_INT(seteuid(65534), ==, 0);
        CHECK(takes_shell("/bin/cat"));
        CHECK_INT(seteuid(0), ==, 0);
    }
    CHECK(!takes_shell("cat"));
}

TEST(directly_in_every_direction)
{
    rip_command *c = popen_ok("cat", "r+d");
    CHECK_INT(rip_command_write(c, "both\n", 5, RIP_FOREVER), ==, 5);
    rip_command_close_input(c);
    CHECK_STR(rest_of(c), "both\n");
    CHECK(rip_exit_ok(&(struct rip_exit){ .how = end_of(c).how }));
    rip_command_free(c);
    c = popen_ok("cp /dev/stdin copy", "wd");
    CHECK_INT(rip_command_write(c, "in\n", 3, RIP_FOREVER), ==, 3);
    CHECK_INT(rip_command_read(c, 1, &(char){ 0 }, 1, RIP_NOW), ==, -EINVAL);
    rip_command_close_input(c);
    CHECK_INT(end_of(c).code, ==, 0);
    rip_command_free(c);
    CHECK_STR(read_file("copy"), "in\n");
    unlink("copy");
    c = popen_ok("readlink /proc/self/fd/0", "rd");
    CHECK_STR(rest_of(c), "/dev/null\n");
    rip_command_free(c);
}

/* ---- faults ----------------------------------------------------------- */

static void popen_directly(void *arg)
{
    rip_command *c = NULL;
    struct rip_exit e;
    (void)arg;
    if (rip_popen(&c, "child exit 3", "wd") < 0) {
        CHECK(c == NULL);
        return;
    }
    if (rip_command_wait(c, &e, RIP_FOREVER) == 0)
        CHECK(e.how == RIP_UNKNOWN || e.code == 3);
    rip_command_free(c);
}

TEST_WITH(popen_without_a_shell_survives_every_fault, .deadline = 240)
{
    find_child();
    CHECK_INT(fault_sweep(popen_directly, NULL, NULL), >, 40);
}
