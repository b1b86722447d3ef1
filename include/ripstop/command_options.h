/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_COMMAND_OPTIONS_H
#define RIPSTOP_COMMAND_OPTIONS_H

/*
 * <ripstop/command_options.h>: how a program is started. Part of
 * <ripstop/command.h>, which includes it.
 *
 * Every field may be left out; zero is the default:
 *
 *     struct rip_command_options o = {
 *         .cwd = "/srv/work",
 *         .env = (const char *const[]){ "LC_ALL=C", "TMPDIR", NULL },
 *         .out = { .kind = RIP_STDIO_FILE, .path = "/srv/log/build" },
 *         .err = { .kind = RIP_STDIO_STDOUT },
 *         .user = "nobody",
 *         .umask = &(mode_t){ 077 },
 *         .limits = (const struct rip_limit[]){
 *             { RLIMIT_CPU, 60, 60 }, { RLIMIT_NOFILE, 256, 256 } },
 *         .n_limits = 2,
 *         .die_with_parent = true,
 *     };
 *
 * All of them are on the one fast way to start a program: none costs a
 * fork(2). They are looked at before anything is made: what is wrong, or
 * contradicts another, is -EINVAL, and `failure` names the option or the two.
 *
 * Nothing here is copied but `input`'s address: what the options point to has
 * to stay until the call that takes them returns, and `input` until the
 * command has ended.
 *
 * Where there is a list and its length, it is the length that counts: a list
 * whose length was forgotten is an empty one, without an error.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h> /* mode_t, pid_t */

#include <ripstop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where one of the standard streams of the program comes from or goes to. */
enum rip_stdio_kind {
    RIP_STDIO_DEFAULT, /* rip_command_start: as RIP_STDIO_INHERIT, and so for
                          rip_run with neither `ret` nor `on_output`. rip_run
                          else: in is RIP_STDIO_NULL, out and err are
                          RIP_STDIO_PIPE. With `input` in is RIP_STDIO_PIPE,
                          for both */
    RIP_STDIO_INHERIT, /* the stream of this process */
    RIP_STDIO_PIPE,    /* a pipe, whose other end the command holds */
    RIP_STDIO_NULL,    /* /dev/null */
    RIP_STDIO_FILE,    /* the file `path`, opened by this process, as its own
                          user; for out and err it is made, or emptied, with
                          mode 0666 less our umask */
    RIP_STDIO_APPEND,  /* the file `path`, written at its end; not for in */
    RIP_STDIO_FD,      /* a copy of our descriptor `fd`, which stays ours */
    RIP_STDIO_STDOUT,  /* err alone: wherever out goes, as 2>&1 */
    RIP_STDIO_PTY      /* a new terminal, whose other end the command holds;
                          for out, and with it for in and err. See `rows` */
};

/* `path` is relative to the working directory of this process, not to `cwd`.
 * It is opened before the program starts: that of a FIFO waits for somebody to
 * open the other end, however long that takes and whatever the deadline is. A
 * `path` or `fd` that the kind does not use must be zero. */
struct rip_stdio {
    enum rip_stdio_kind kind;
    const char *path;
    int fd;
};

enum rip_env_mode {
    RIP_ENV_EXTEND, /* the environment of this process, changed by `env`, and
                       RIPSTOP_TREE ("Trees" above) */
    RIP_ENV_REPLACE /* `env` alone */
};

/* What to do when more than `max_output` comes. */
enum rip_overflow {
    RIP_OVERFLOW_TRUNCATE, /* keep the first bytes, read and drop the rest */
    RIP_OVERFLOW_FAIL,     /* -EMSGSIZE; rip_run stops the command as well */
    RIP_OVERFLOW_HEAD_TAIL /* keep the first half and the last half; of an odd
                              number the first has one more */
};

/* The actions that the program begins with for signals that this process
 * ignores. (Handlers never survive the start of a program.) */
enum rip_signals {
    RIP_SIGNALS_RESET,       /* the default action */
    RIP_SIGNALS_KEEP_IGNORED /* it ignores them too, as nohup(1) wants */
};

/* The process group that the program begins in. */
enum rip_process_group {
    RIP_GROUP_DEFAULT, /* one of its own, unless stdin is inherited */
    RIP_GROUP_OWN,     /* one of its own */
    RIP_GROUP_OURS,    /* the one of this process */
    RIP_GROUP_SESSION, /* a session of its own, without a terminal */
    RIP_GROUP_JOIN     /* the one that `join_group` names */
};

/* Descriptor `ours` of this process is also descriptor `theirs`, 3 or more,
 * of the program. `ours` stays ours. */
struct rip_fd {
    int ours;
    int theirs;
};

/* A limit, as of setrlimit(2): `resource` is RLIMIT_CPU and so on, from
 * <sys/resource.h>. UINT64_MAX: no limit. */
struct rip_limit {
    int resource;
    uint64_t soft, hard;
};

/* A piece of output, as `on_output` gets it. */
struct rip_piece {
    int which;        /* 1: stdout, 2: stderr */
    const char *data; /* ends with a NUL that `len` does not count */
    size_t len;
    bool newline; /* by_lines: a "\n" followed, which is cut off. Else the line
                     goes on in the next piece, or the output ended so */
    rip_time at;  /* when it was read */
};

/* Below 0 ends the call that reads, and is its result. */
typedef int rip_output_fn(void *arg, const struct rip_piece *piece);

/*
 * Where and why a call failed that starts a program:
 *
 *     step      subject        code
 *     "chdir"   "/nope"        -ENOENT
 *     "exec"    "no-such"      -ENOENT
 *     "open"    "/root/log"    -EACCES
 *     "pty"     "/dev/ptmx"    -ENOENT
 *     "option"  "err.path"     -EINVAL
 *
 * Steps are, in the order in which they are taken: option, memory, user and
 * group (looking them up), pty, pipe, open, lifeline (die_with_parent), cgroup,
 * clone, setpgid, setsid, redirect, terminal, foreground, nice, affinity,
 * rlimit, setgroups, setgid, setuid, close, chdir, no_new_privs, exec,
 * interpreter (the program is there, but not the interpreter that it names).
 * The last one is run: it was started, but rip_run or rip_pipeline_run failed
 * nevertheless (-EMSGSIZE, say); its subject is argv[0], of the first stage.
 * `step` is a constant string; `subject` may be empty, and its end is cut
 * where it is too long.
 */
struct rip_failure {
    const char *step;
    char subject[256];
    int code;
};

/*
 * Says a failure in words: `exec "no-such": no such file or directory`. A
 * zeroed one is "nothing failed". A control character in the subject is
 * written as \n or \x1b. Writes at most
 * `cap` bytes with the closing NUL and returns the length of the whole text,
 * as snprintf(3) does. 512 bytes hold most of them, 1280 all.
 *
 * Thread-safe.
 */
RIP_API int rip_failure_format(const struct rip_failure *f, char *buf,
                               size_t cap);

struct rip_command_options {
    /* ---- the program ---- */

    /* The file to run, looked for as argv[0] otherwise is; then argv[0] is
     * only what the program is told to be called. NULL: argv[0]. */
    const char *program;

    /* The program's file as an open descriptor, which may be O_PATH; it is
     * not passed on. Not with `program`. A script can not be run so, since
     * its interpreter would have to open it by name (-ENOENT). NULL: argv[0]
     * and `program` count. */
    const int *program_fd;

    /* The working directory of the program. NULL: ours. A program given by a
     * relative path with a slash is looked up from there. */
    const char *cwd;

    /* "NAME=value" sets, "NAME" unsets; ends with NULL; the last one that
     * names a variable counts. NULL: nothing to change. */
    const char *const *env;
    enum rip_env_mode env_mode;

    /* ---- descriptors ---- */

    struct rip_stdio in, out, err;

    /* Further ones. Any number; no `theirs` may come twice. */
    const struct rip_fd *fds;
    size_t n_fds;

    /*
     * The size of the terminal that RIP_STDIO_PTY makes; 0: 24 rows, 80
     * columns. There is one for all the streams that ask for it; a program
     * that is to find what it finds when a person starts it gets it for all
     * three. It is the controlling terminal of a session that begins with the
     * program. We are the person there:
     *
     * - What the program writes to the terminal is read as stdout, also what
     *   it writes to stderr. A line feed comes as "\r\n".
     * - What is written to the command is typed: at first the terminal shows
     *   it too (echo), hands it on by lines, and drops what a line has beyond
     *   4095 bytes. "\003" is Ctrl-C, and so on. A program may change all of
     *   that, as stty(1) does; one that begins with `stty raw -echo` gets
     *   bytes as they are.
     * - The output ends when nobody has the terminal open any more.
     * - rip_command_free hangs up: the session gets SIGHUP. (A shell on a
     *   terminal ignores SIGTERM, so that rip_command_stop has to wait for
     *   `grace` and kill it.)
     *
     * The type of the terminal is TERM in the environment, ours unless `env`
     * says another. rip_command_resize changes the size.
     */
    unsigned short rows, columns;

    /* ---- the session ---- */

    enum rip_process_group process_group;
    pid_t join_group; /* with RIP_GROUP_JOIN */

    /* Descriptor 0 of the program, a terminal, becomes the controlling
     * terminal of its session. With RIP_GROUP_SESSION alone; RIP_STDIO_PTY
     * does it by itself. */
    bool controlling_terminal;

    /* The program's group becomes the foreground group of the controlling
     * terminal, as a shell does it for a job. To take the terminal back
     * afterwards (tcsetpgrp) is the caller's part. Not with a session. */
    bool foreground;

    /* ---- who it is and what it may ---- */

    /*
     * The user and the group that the program runs as, and its supplementary
     * groups: names or decimal numbers; NULL: ours. With `user` alone the
     * group and the supplementary groups are those that the user database has
     * for it; a number that it does not know has none of the latter, and needs
     * `group` as well. `groups` ends with NULL; an empty list is none.
     * Privileges are dropped in the right order, and what has come of it is
     * compared with what was asked for. To ask for what we are already needs
     * no privileges. The database is asked in this process (getpwnam_r(3)),
     * which can take as long as its services take; not where all three are
     * given, and are numbers.
     *
     * It changes nothing else: HOME, USER and LOGNAME stay ours unless `env`
     * sets them, and so does the working directory. `cwd` and the program are
     * reached as that user, while files for in, out and err are opened before,
     * as ours.
     */
    const char *user;
    const char *group;
    const char *const *groups;

    const mode_t *umask; /* NULL: ours */

    const struct rip_limit *limits;
    size_t n_limits;

    int nice; /* added to ours; below 0 needs privileges */

    /* The CPUs that it may run on, by number. None: as we may. */
    const unsigned *cpus;
    size_t n_cpus;

    /* It, and what it starts, can gain no privileges by exec (setuid programs,
     * file capabilities): PR_SET_NO_NEW_PRIVS. */
    bool no_new_privs;

    enum rip_signals signals;

    /* Signals that are blocked, and ones that are ignored, when the program
     * begins: numbers, ended by 0. NULL: none. */
    const int *blocked;
    const int *ignored;

    /* ---- its end ---- */

    /*
     * SIGKILL for the program and its group when this process has gone,
     * however it went; other threads of it may end before. The program gets
     * one descriptor more for that, the lifeline, with a number of 100 or
     * above, if it may have that many. What closes it or leaves the group is
     * not reached, nor what is left of the group when the command has been
     * freed; and a copy of this process made by a plain fork(2), as long as it
     * runs no other program, counts as this process.
     */
    bool die_with_parent;

    /* The directory of a control group (version 2) that we may write to, and
     * that has no processes itself or no controllers for its children: the
     * command gets a new one below it, which nothing that it starts can leave
     * without privileges, so that all of it is reached by a stop
     * (RIP_TREE_CGROUP), and struct rip_exit tells what memory it took. The new
     * one is removed when the command is freed, unless something still runs in
     * it. NULL: none. */
    const char *cgroup;

    /* Seconds between a polite request to end and SIGKILL, and the time that
     * a capturing call waits for the end of the output once the command
     * itself has ended. 0: 1 second; negative: none. */
    double grace;

    /* ---- input and output of rip_run and rip_command_communicate ---- */

    /* Fed to stdin, after which stdin is closed; by rip_command_start alone it
     * is not, but by the rip_command_communicate that follows. Not with an
     * `in` other than RIP_STDIO_DEFAULT, RIP_STDIO_PIPE or RIP_STDIO_PTY. */
    const void *input;
    size_t input_len;

    /* The most bytes kept of each captured stream, or given to on_output; 0:
     * no limit. */
    size_t max_output;
    enum rip_overflow overflow;

    /*
     * Called by rip_run and rip_command_communicate with the output while it
     * comes, in the order in which it is read; nothing of it is kept then:
     * what is in rip_output is empty. With `by_lines` it gets a line at a
     * time; one of more than 1 MiB comes in pieces of that size. Else it gets
     * pieces as they are read. That needs less than 4 MiB of memory, however
     * much comes.
     *
     *     static int show(void *arg, const struct rip_piece *p)
     *     {
     *         (void)arg;
     *         printf("%s: %s\n", p->which == 1 ? "out" : "err", p->data);
     *         return 0;
     *     }
     *
     * With `max_output` it gets the first so many bytes of each stream, the
     * line feeds counted, and then RIP_OVERFLOW_TRUNCATE drops the rest, or
     * RIP_OVERFLOW_FAIL fails. RIP_OVERFLOW_HEAD_TAIL is a contradiction.
     *
     * It is called by the thread that reads, and has to return. It may call
     * nothing on that command but rip_command_signal, rip_command_signal_one
     * and rip_command_pid. After each call the clock is looked at: a slow one
     * keeps the deadline waiting for itself alone.
     */
    rip_output_fn *on_output;
    void *on_output_arg;
    bool by_lines;

    /* ---- */

    /* Filled in when the call that takes these options fails, whatever it is
     * that fails; untouched when it does not. */
    struct rip_failure *failure;

    uint64_t reserved[4];
};

#ifdef __cplusplus
}
#endif

#endif
