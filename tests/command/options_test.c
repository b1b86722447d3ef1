/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "run.h"

/* What a shell line prints that is started with `o`. */
static const char *says(const char *script, struct rip_command_options o)
{
    static char text[8192];
    struct rip_output out;
    struct rip_failure f = { 0 };
    char words[1400];
    o.failure = &f;
    int r = rip_run(SH(script), &o, &out, RIP_FOREVER);
    if (r < 0) {
        rip_failure_format(&f, words, sizeof words);
        FAIL("%s: %s", script, words);
    }
    CHECK_STR(out.err, "");
    CHECK_INT(out.out_len, <, sizeof text);
    memcpy(text, out.out, out.out_len + 1);
    rip_output_done(&out);
    return text;
}

#define SAYS(script, ...) \
    says((script), (struct rip_command_options){ __VA_ARGS__ })

#define REFUSED(step, subject, code, ...)                                    \
    refuse(SH("exit"), &(struct rip_command_options){ __VA_ARGS__ }, (code), \
           (step), (subject))

#define REFUSED_OPTION(subject, ...) \
    REFUSED("option", (subject), -EINVAL, __VA_ARGS__)

static void need_root(void)
{
    if (geteuid() != 0)
        SKIP("needs root");
}

/* ---- the program ------------------------------------------------------ */

TEST(the_program_may_have_another_name_than_argv_0)
{
    struct rip_output out;
    run(&out, ARGV("fancy", "-c", "echo $0"),
        &(struct rip_command_options){ .program = "sh" });
    CHECK_STR(out.out, "fancy\n");
    rip_output_done(&out);
    run(&out, ARGV("", "-c", "echo [$0]"),
        &(struct rip_command_options){ .program = "/bin/sh" });
    CHECK_STR(out.out, "[]\n");
    rip_output_done(&out);
    REFUSED("exec", "no-such-program", -ENOENT, .program = "no-such-program");
}

static void check_program_fd(void)
{
    int fd = open("/bin/sh", O_PATH | O_CLOEXEC);
    struct rip_output out;
    run(&out, ARGV("dash", "-c", "echo $0 $1; ls /proc/self/fd", "-", "x y"),
        &(struct rip_command_options){ .program_fd = &fd });
    CHECK_STR(out.out, "- x y\n0\n1\n2\n3\n");
    rip_output_done(&out);
    close(fd);
}

TEST(the_program_may_be_an_open_file)
{
    check_program_fd();
}

TEST(the_program_may_be_an_open_file_without_clone3)
{
    fault_always(SYS_clone3, ENOSYS);
    fault_always(SYS_close_range, ENOSYS);
    check_program_fd();
}

TEST(an_open_script_can_not_be_run)
{
    write_file("script", "#!/bin/sh\n", 0755);
    int fd = open("script", O_RDONLY | O_CLOEXEC), no = -1;
    REFUSED("exec", "program_fd", -ENOENT, .program_fd = &fd);
    REFUSED_OPTION("program and program_fd", .program = "sh",
                   .program_fd = &fd);
    close(fd);
    REFUSED("exec", "program_fd", -EBADF, .program_fd = &fd);
    REFUSED_OPTION("program_fd", .program_fd = &no);
    unlink("script");
}

/* ---- further descriptors ---------------------------------------------- */

/* A file that holds its own name. */
static int open_named(const char *name)
{
    write_file(name, name, 0644);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    unlink(name);
    return fd;
}

static void check_further_descriptors(void)
{
    int a = open_named("a"), b = open_named("b"), c = open_named("c");
    const struct rip_fd fds[] = { { c, 200 }, { b, a }, { a, b }, { c, 9 } };
    const struct rip_command_options o = { .fds = fds, .n_fds = 4 };
    struct rip_output out;
    run(&out, ARGV(harness_program("child"), "fds"), &o);
    char want[100];
    snprintf(want, sizeof want,
             "0 *\n1 *\n2 *\n%d */b *\n%d */a *\n9 */c *\n"
             "200 */c *\n",
             a, b);
    CHECK_GLOB(out.out, want);
    rip_output_done(&out);
    close(a);
    close(b);
    close(c);
}

#define IN_EVERY_WORLD(what)                   \
    TEST(what)                                 \
    {                                          \
        check_##what();                        \
    }                                          \
    TEST(what##_without_clone3)                \
    {                                          \
        fault_always(SYS_clone3, ENOSYS);      \
        check_##what();                        \
    }                                          \
    TEST(what##_without_close_range)           \
    {                                          \
        fault_always(SYS_close_range, ENOSYS); \
        check_##what();                        \
    }

IN_EVERY_WORLD(further_descriptors)

/* Each is given to its neighbour: every target is another's source. */
static void check_a_hundred_descriptors_change_places(void)
{
    enum { N = 100 };
    struct rip_fd fds[N];
    int named[N];
    char script[4000] = "cat", name[8], want[400] = "";
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "%03d", i);
        named[i] = open_named(name);
    }
    for (int i = 0; i < N; i++) {
        fds[i] = (struct rip_fd){ named[i], named[(i + 1) % N] };
        snprintf(script + strlen(script), 32, " /proc/self/fd/%d", named[i]);
        snprintf(want + strlen(want), 8, "%03d", (i + N - 1) % N);
    }
    CHECK_STR(SAYS(script, .fds = fds, .n_fds = N), want);
    for (int i = 0; i < N; i++)
        close(named[i]);
}
IN_EVERY_WORLD(a_hundred_descriptors_change_places)

TEST(a_descriptor_goes_to_the_highest_number_there_may_be)
{
    struct rlimit limit = { 64, 64 };
    setrlimit(RLIMIT_NOFILE, &limit);
    int a = open_named("a");
    CHECK_STR(SAYS("cat /proc/self/fd/63",
                   .fds = (const struct rip_fd[]){ { a, 63 } }, .n_fds = 1),
              "a");
    REFUSED("redirect", "fd 64", -EBADF,
            .fds = (const struct rip_fd[]){ { a, 64 } }, .n_fds = 1);
    close(a);
    REFUSED("redirect", "fd 7", -EBADF,
            .fds = (const struct rip_fd[]){ { 1, 3 }, { 0, 9 }, { a, 7 } },
            .n_fds = 3);
}

TEST(impossible_descriptors_are_refused)
{
    REFUSED_OPTION("n_fds without fds", .n_fds = 1);
    REFUSED_OPTION("fds.ours", .fds = (const struct rip_fd[]){ { -1, 3 } },
                   .n_fds = 1);
    REFUSED_OPTION("fds.theirs", .fds = (const struct rip_fd[]){ { 1, 2 } },
                   .n_fds = 1);
    REFUSED_OPTION("fds.theirs twice",
                   .fds = (const struct rip_fd[]){ { 1, 5 }, { 0, 5 } },
                   .n_fds = 2);
}

/* ---- the session ------------------------------------------------------ */

/* pid, group and session of a child. */
static void read_ids(rip_command *c, int ids[3])
{
    CHECK_INT(sscanf(await_line(c), "pid %d parent %*d group %d session %d",
                     &ids[0], &ids[1], &ids[2]),
              ==, 3);
}

static rip_command *start_in_group(struct rip_command_options o, int ids[3])
{
    o.out.kind = RIP_STDIO_PIPE;
    rip_command *c =
        start(ARGV(harness_program("child"), "ids", ",", "wait"), &o);
    read_ids(c, ids);
    return c;
}

#define START_IN_GROUP(ids, ...) \
    start_in_group((struct rip_command_options){ __VA_ARGS__ }, (ids))

TEST(groups_are_as_asked_for)
{
    int ours[3], own[3], joined[3], session[3];
    rip_command *a = START_IN_GROUP(ours, .in = { .kind = RIP_STDIO_NULL },
                                    .process_group = RIP_GROUP_OURS);
    CHECK_INT(ours[1], ==, getpgid(0));
    rip_command *b = START_IN_GROUP(own, .process_group = RIP_GROUP_OWN);
    CHECK_INT(own[1], ==, own[0]);
    CHECK_INT(own[2], ==, getsid(0));
    rip_command *c = START_IN_GROUP(joined, .process_group = RIP_GROUP_JOIN,
                                    .join_group = own[0]);
    CHECK_INT(joined[1], ==, own[0]);
    rip_command *d =
        START_IN_GROUP(session, .process_group = RIP_GROUP_SESSION);
    CHECK_INT(session[1], ==, session[0]);
    CHECK_INT(session[2], ==, session[0]);
    /* A signal goes to the tree of each, and no further. */
    CHECK_OK(rip_command_signal(c, SIGTERM));
    CHECK_INT(end_of(c).signal, ==, SIGTERM);
    CHECK_ERR(rip_command_wait(b, NULL, RIP_NOW), -ETIMEDOUT);
    CHECK_OK(rip_command_signal(b, SIGTERM));
    CHECK_OK(rip_command_signal(d, SIGTERM));
    CHECK_INT(end_of(b).signal, ==, SIGTERM);
    CHECK_INT(end_of(d).signal, ==, SIGTERM);
    rip_command_free(a);
    rip_command_free(b);
    rip_command_free(c);
    rip_command_free(d);
}

TEST(impossible_groups_are_refused)
{
    REFUSED_OPTION("process_group", .process_group = (enum rip_process_group)9);
    REFUSED_OPTION("join_group", .process_group = RIP_GROUP_JOIN);
    REFUSED_OPTION("join_group", .join_group = 7);
    REFUSED_OPTION("controlling_terminal without a session",
                   .controlling_terminal = true);
    REFUSED_OPTION("foreground and process_group", .foreground = true,
                   .process_group = RIP_GROUP_SESSION);
    REFUSED("setpgid", "sh", -EPERM, .process_group = RIP_GROUP_JOIN,
            .join_group = 1);
    REFUSED("terminal", "in", -ENOTTY, .in = { .kind = RIP_STDIO_NULL },
            .process_group = RIP_GROUP_SESSION, .controlling_terminal = true);
    REFUSED("foreground", "/dev/tty", -ENXIO, .foreground = true);
}

static int open_terminal(char *name, size_t cap)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK_INT(fd, >=, 0);
    CHECK_INT(grantpt(fd), ==, 0);
    CHECK_INT(unlockpt(fd), ==, 0);
    CHECK_INT(ptsname_r(fd, name, cap), ==, 0);
    return fd;
}

/* Session and foreground group of the terminal, of a process, as in
 * /proc/PID/stat. */
#define GROUPS "read -r _ _ _ _ g s _ t _ </proc/$$/stat; "

TEST(a_terminal_becomes_the_controlling_one)
{
    char name[64];
    int terminal = open_terminal(name, sizeof name);
    CHECK_STR(SAYS(GROUPS "test $g = $$ && test $s = $$ && test $t = $$; "
                          "echo $?; echo x >/dev/tty",
                   .in = { .kind = RIP_STDIO_FILE, .path = name },
                   .process_group = RIP_GROUP_SESSION,
                   .controlling_terminal = true),
              "0\n");
    close(terminal);
}

/* The test is the leader of a session; to open a terminal makes it its own. */
TEST(a_group_comes_to_the_foreground)
{
    char name[64];
    int terminal = open_terminal(name, sizeof name);
    int tty = open(name, O_RDWR | O_CLOEXEC);
    CHECK_INT(tcgetpgrp(tty), ==, getpgid(0));
    CHECK_STR(SAYS(GROUPS "test $g = $$ && test $t = $$; echo $?",
                   .process_group = RIP_GROUP_OWN, .foreground = true),
              "0\n");
    CHECK_STR(SAYS(GROUPS "test $g = $$ && test $t != $$; echo $?",
                   .process_group = RIP_GROUP_OWN),
              "0\n");
    signal(SIGHUP, SIG_IGN);
    close(tty);
    close(terminal);
    signal(SIGHUP, SIG_DFL);
}

/* ---- limits ----------------------------------------------------------- */

TEST(nice_is_added_to_ours)
{
    int ours = getpriority(PRIO_PROCESS, 0);
    char want[16];
    snprintf(want, sizeof want, "%d\n", ours + 3 < 19 ? ours + 3 : 19);
    CHECK_STR(SAYS("nice", .nice = 3), want);
    CHECK_INT(getpriority(PRIO_PROCESS, 0), ==, ours);
}

TEST(umask_and_limits_are_set)
{
    const struct rip_limit limits[] = { { RLIMIT_NOFILE, 50, 60 },
                                        { RLIMIT_CPU, 100, 100 },
                                        { RLIMIT_CORE, 0, 0 } };
    CHECK_STR(SAYS("umask; ulimit -Sn; ulimit -Hn; ulimit -St",
                   .umask = &(mode_t){ 0027 }, .limits = limits, .n_limits = 3),
              "0027\n50\n60\n100\n");
    mode_t before = umask(0);
    umask(before);
    CHECK_INT(before, !=, 0027);
}

TEST(impossible_limits_are_refused)
{
    const struct rip_limit crossed = { RLIMIT_CPU, 2, 1 };
    const struct rip_limit unknown = { 99, 1, 1 };
    REFUSED_OPTION("limits.soft and limits.hard", .limits = &crossed,
                   .n_limits = 1);
    REFUSED_OPTION("limits.resource", .limits = &unknown, .n_limits = 1);
    REFUSED_OPTION("n_limits without limits", .n_limits = 1);
    REFUSED_OPTION("nice", .nice = -100);
    REFUSED_OPTION("n_cpus without cpus", .n_cpus = 1);
    REFUSED_OPTION("cpus", .cpus = &(unsigned){ 1u << 20 }, .n_cpus = 1);
    REFUSED("affinity", "sh", -EINVAL, .cpus = &(unsigned){ 60000 },
            .n_cpus = 1);
}

TEST(cpus_are_chosen)
{
    CHECK_STR(SAYS("grep -o 'Cpus_allowed_list.*' /proc/self/status",
                   .cpus = (const unsigned[]){ 0 }, .n_cpus = 1),
              "Cpus_allowed_list:\t0\n");
}

TEST(no_new_privileges_stay_away)
{
    CHECK_STR(SAYS("grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t0\n");
    CHECK_STR(SAYS("grep NoNewPrivs /proc/self/status", .no_new_privs = true),
              "NoNewPrivs:\t1\n");
    CHECK_INT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), ==, 0);
}

static void check_signals_are_blocked_and_ignored(void)
{
    CHECK_STR(SAYS("exec grep -E 'Sig(Blk|Ign)' /proc/self/status",
                   .blocked = (const int[]){ SIGUSR1, 64, 0 },
                   .ignored = (const int[]){ SIGHUP, SIGPIPE, 0 }),
              "SigBlk:\t8000000000000200\nSigIgn:\t0000000000001001\n");
    CHECK_STR(SAYS("exec grep SigIgn /proc/self/status",
                   .signals = RIP_SIGNALS_KEEP_IGNORED,
                   .ignored = (const int[]){ SIGHUP, 0 }),
              "SigIgn:\t0000000000000001\n");
}
IN_EVERY_WORLD(signals_are_blocked_and_ignored)

TEST(impossible_signals_are_refused)
{
    REFUSED_OPTION("blocked", .blocked = (const int[]){ 65, 0 });
    REFUSED_OPTION("ignored", .ignored = (const int[]){ -1, 0 });
    REFUSED_OPTION("signals", .signals = (enum rip_signals)7);
}

/* ---- users ------------------------------------------------------------ */

#define WHO "id -u; id -g; id -G; umask"

static void check_a_user_is_who_the_database_says(void)
{
    need_root();
    CHECK_STR(SAYS("id -un; id -gn; id -Gn; grep -E '^[UG]id' "
                   "/proc/self/status",
                   .user = "nobody", .cwd = "/"),
              "nobody\nnogroup\nnogroup\n"
              "Uid:\t65534\t65534\t65534\t65534\n"
              "Gid:\t65534\t65534\t65534\t65534\n");
    CHECK_STR(SAYS("id -u; id -g; id -G", .user = "65534", .cwd = "/"),
              "65534\n65534\n65534\n");
    CHECK_STR(SAYS("id -u; id -g; id -G", .user = "nobody", .group = "daemon",
                   .groups = ARGV("7", "bin", "7"), .cwd = "/"),
              "65534\n1\n1 2 7\n");
    CHECK_STR(SAYS("id -u; id -g; id -G", .user = "77777", .group = "88888"),
              "77777\n88888\n88888\n");
    CHECK_STR(
        SAYS("id -u; id -g; id -G", .groups = (const char *const[]){ NULL }),
        "0\n0\n0\n");
    CHECK_INT(getuid(), ==, 0);
}
IN_EVERY_WORLD(a_user_is_who_the_database_says)

/* Nor is its file that user's, who might make none here, nor of its umask. */
TEST(a_user_changes_neither_home_nor_whose_the_files_are)
{
    struct stat s;
    need_root();
    umask(022);
    setenv("HOME", "/our/home", 1);
    run_ok(SH("echo $HOME"),
           &(struct rip_command_options){
               .user = "nobody",
               .umask = &(mode_t){ 077 },
               .out = { .kind = RIP_STDIO_FILE, .path = "f" } });
    CHECK_STR(read_file("f"), "/our/home\n");
    CHECK_INT(stat("f", &s), ==, 0);
    CHECK_INT(s.st_uid, ==, 0);
    CHECK_INT(s.st_mode & 0777, ==, 0644);
    unlink("f");
}

TEST(unknown_users_are_refused)
{
    REFUSED("user", "no-such-user", -ENOENT, .user = "no-such-user");
    REFUSED("user", "", -ENOENT, .user = "");
    REFUSED("user", "-1", -ENOENT, .user = "-1");
    REFUSED("user", "4294967295", -ENOENT, .user = "4294967295");
    REFUSED("group", "no-such-group", -ENOENT, .group = "no-such-group");
    REFUSED("group", "9x", -ENOENT, .groups = ARGV("1", "9x"));
    REFUSED_OPTION("user that is not in the user database, without group",
                   .user = "77777");
}

/* The user database, as the library asks for it. */
static bool database_is_gone;

int getpwuid_r(uid_t uid, struct passwd *user, char *buf, size_t cap,
               struct passwd **found)
{
    static int (*libc)(uid_t, struct passwd *, char *, size_t,
                       struct passwd **);
    *(void **)&libc = dlsym(RTLD_NEXT, "getpwuid_r");
    return database_is_gone ? EIO : libc(uid, user, buf, cap, found);
}

TEST(numbers_need_no_user_database)
{
    need_root();
    database_is_gone = true;
    CHECK_STR(SAYS("id -u; id -g; id -G", .user = "65534", .group = "1",
                   .groups = ARGV("7", "2"), .cwd = "/"),
              "65534\n1\n1 2 7\n");
    REFUSED("user", "65534", -EIO, .user = "65534", .group = "1");
    REFUSED("user", "65534", -EIO, .user = "65534", .groups = ARGV("7"));
}

static void become_nobody(void)
{
    const gid_t nogroup = 65534;
    CHECK_INT(setgroups(1, &nogroup), ==, 0);
    CHECK_INT(setresgid(65534, 65534, 65534), ==, 0);
    CHECK_INT(setresuid(65534, 65534, 65534), ==, 0);
}

TEST(without_privileges_one_is_only_oneself)
{
    need_root();
    pid_t pid = fork();
    if (pid == 0) {
        become_nobody();
        CHECK_STR(SAYS("id -u", .user = "nobody"), "65534\n");
        REFUSED("setgroups", "root", -EPERM, .user = "root");
        REFUSED("setgid", "root", -EPERM, .group = "root");
        REFUSED("setuid", "root", -EPERM, .user = "root", .group = "nogroup",
                .groups = ARGV("nogroup"));
        REFUSED("nice", "sh", -EACCES, .nice = -5);
        REFUSED("rlimit", "RLIMIT_CORE", -EPERM, .n_limits = 2,
                .limits = (const struct rip_limit[]){
                    { RLIMIT_CORE, 0, 0 },
                    { RLIMIT_CORE, UINT64_MAX, UINT64_MAX } });
        _exit(0);
    }
    int status;
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_INT(status, ==, 0);
}

static void *start_cancelled(void *arg)
{
    struct rip_command_options o = { .user = "nobody", .cwd = "/" };
    int before;
    pthread_cancel(pthread_self());
    run_ok(ARGV("true"), &o);
    *(bool *)arg = true;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    CHECK_INT(before, ==, PTHREAD_CANCEL_ENABLE);
    return NULL;
}

/* Though the user database is asked, where libc lets itself be cancelled. */
TEST(to_start_is_no_cancellation_point)
{
    bool done = false;
    pthread_t thread;
    need_root();
    CHECK_INT(pthread_create(&thread, NULL, start_cancelled, &done), ==, 0);
    pthread_join(thread, NULL);
    CHECK(done);
}

/* The directory is entered with the rights of who is to work in it. */
TEST(a_directory_is_entered_as_the_user)
{
    need_root();
    CHECK_INT(mkdir("private", 0700), ==, 0);
    REFUSED("chdir", "private", -EACCES, .user = "nobody", .cwd = "private");
    rmdir("private");
}

static void *run_as_nobody(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        run_ok(ARGV("/bin/true"),
               &(struct rip_command_options){ .user = "nobody", .cwd = "/" });
    return NULL;
}

/* The memory that we share with the child until exec is ours, too: whoever
 * could dump core, or be looked into by a debugger, still can. */
TEST_WITH(a_change_of_user_leaves_us_dumpable, .deadline = 30)
{
    need_root();
    pthread_t threads[4];
    CHECK_INT(prctl(PR_GET_DUMPABLE), ==, 1);
    run_as_nobody(NULL);
    CHECK_INT(prctl(PR_GET_DUMPABLE), ==, 1);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, run_as_nobody, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(prctl(PR_GET_DUMPABLE), ==, 1);
    prctl(PR_SET_DUMPABLE, 0);
    run_as_nobody(NULL);
    CHECK_INT(prctl(PR_GET_DUMPABLE), ==, 0);
    prctl(PR_SET_DUMPABLE, 1);
}
