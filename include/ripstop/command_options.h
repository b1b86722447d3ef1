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
 *     };
 *
 * All of them are on the one fast way to start a program: none costs a
 * fork(2). They are looked at before anything is made: what is wrong, or
 * contradicts another, is -EINVAL, and `failure` names the option or the two.
 *
 * What the options point to has to stay until the call that takes them
 * returns, and `input` until the command has ended.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ripstop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where one of the standard streams of the program comes from or goes to. */
enum rip_stdio_kind {
    RIP_STDIO_DEFAULT, /* rip_command_start: as RIP_STDIO_INHERIT; rip_run: in
                          is RIP_STDIO_NULL, out and err are RIP_STDIO_PIPE.
                          With `input`, in is RIP_STDIO_PIPE */
    RIP_STDIO_INHERIT, /* the stream of this process */
    RIP_STDIO_PIPE,    /* a pipe, whose other end the command holds */
    RIP_STDIO_NULL,    /* /dev/null */
    RIP_STDIO_FILE,    /* the file `path`; for out and err it is made, or
                          emptied, with mode 0666 less the umask */
    RIP_STDIO_APPEND,  /* the file `path`, written at its end; not for in */
    RIP_STDIO_FD,      /* a copy of our descriptor `fd`, which stays ours */
    RIP_STDIO_STDOUT   /* err alone: wherever out goes, as 2>&1 */
};

/* `path` is relative to the working directory of this process, not to `cwd`.
 * A `path` or `fd` that the kind does not use must be zero. */
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
    RIP_OVERFLOW_HEAD_TAIL /* keep the first half and the last half */
};

/* The actions that the program begins with for signals that this process
 * ignores. (Handlers never survive the start of a program.) */
enum rip_signals {
    RIP_SIGNALS_RESET,       /* the default action */
    RIP_SIGNALS_KEEP_IGNORED /* it ignores them too, as nohup(1) wants */
};

/*
 * Where and why a start failed:
 *
 *     step      subject        code
 *     "chdir"   "/nope"        -ENOENT
 *     "exec"    "no-such"      -ENOENT
 *     "open"    "/root/log"    -EACCES
 *     "option"  "err.path"     -EINVAL
 *
 * Steps are: option, memory, pipe, open, clone, setpgid, redirect, close,
 * chdir, exec, interpreter (the program is there, but not the interpreter
 * that it names). `step` is a constant string; `subject` may be empty, and
 * its end is cut where it is too long.
 */
struct rip_failure {
    const char *step;
    char subject[256];
    int code;
};

/*
 * Says a failure in words: `exec "no-such": no such file or directory`. A
 * control character in the subject is written as \n or \x1b. Writes at most
 * `cap` bytes with the closing NUL and returns the length of the whole text,
 * as snprintf(3) does. 512 bytes hold most of them, 1280 all.
 *
 * Thread-safe.
 */
RIP_API int rip_failure_format(const struct rip_failure *f, char *buf,
                               size_t cap);

struct rip_command_options {
    /* The working directory of the program. NULL: ours. A program given by a
     * relative path with a slash is looked up from there. */
    const char *cwd;

    /* "NAME=value" sets, "NAME" unsets; ends with NULL; the last one that
     * names a variable counts. NULL: nothing to change. */
    const char *const *env;
    enum rip_env_mode env_mode;

    struct rip_stdio in, out, err;

    /* Fed to stdin by rip_run and rip_command_communicate, after which stdin
     * is closed. Not copied: it must stay until the command has ended. Not
     * with an `in` other than RIP_STDIO_DEFAULT or RIP_STDIO_PIPE. */
    const void *input;
    size_t input_len;

    /* The most bytes kept of each captured stream; 0: no limit. */
    size_t max_output;
    enum rip_overflow overflow;

    /* Seconds between a polite request to end and SIGKILL, and the time that
     * a capturing call waits for the end of the output once the command
     * itself has ended. 0: 1 second; negative: none. */
    double grace;

    enum rip_signals signals;

    /* Filled in when a start fails; untouched when it does not. */
    struct rip_failure *failure;

    uint64_t reserved[4];
};

#ifdef __cplusplus
}
#endif

#endif
