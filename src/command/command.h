/* SPDX-License-Identifier: MIT */
#ifndef RIP_COMMAND_COMMAND_H
#define RIP_COMMAND_COMMAND_H

#include <errno.h>
#include <pthread.h>
#include <stdio.h> /* FILE */

#include <ripstop/command.h>

#include "base/base.h"
#include "os/os.h"

/* One of the streams that we read: the bytes from `start` on in `buffer` have
 * been read from the pipe and taken by nobody yet. */
struct rip__stream {
    int fd; /* -1: no pipe, or its end has been read */
    bool captured;
    bool terminal; /* it is no pipe but the screen of a terminal */
    struct rip__buffer buffer;
    size_t start;
    size_t searched; /* so many of those bytes are known to be no newline */

    /* These are keep.c's. */
    size_t turn;  /* where the tail begins, which is a ring; 0 between calls */
    size_t told;  /* bytes that on_output has had */
    rip_time at;  /* when the last of them were read; 0: not known */
    size_t seen;  /* bytes, until it is clear that they are many */
    bool widened; /* the pipe, as far as may be */
};

/* One of the streams as stdio sees it. */
struct rip__file {
    FILE *file; /* NULL: not asked for */
    rip_command *command;
    int which;
};

/* Room for the id that marks a tree. */
#define RIP__MARK_SIZE 64

/*
 * A command is RUNNING, then ENDED (its process is a zombie: pid and group
 * are still its own), then REAPED (both may be somebody else's). `ended` and
 * `reaped` go from false to true once, under `lock`; `end` is complete when
 * `ended` is set. While somebody stops the command nobody else reaps it,
 * since the stop has still to kill what is left of the group.
 */
struct rip_command {
    pid_t pid;
    int pidfd;
    pid_t owner; /* the process that started it: not a fork of that */
    const rip_command *leader; /* of the process group that gets its signals:
                                  itself, or an earlier stage of its pipeline;
                                  NULL: there is none */
    char mark[RIP__MARK_SIZE]; /* of its tree; "": it has none */
    rip_time started;
    int64_t inherited_peak; /* our peak memory when it was loaded */
    int lifeline[2]; /* open as long as it may live; -1: it does not mind */
    struct rip__os_cgroup cgroup; /* its own, or none */

    /* Our end of its terminal, -1: it has none. `in` and `out` have copies:
     * so they can be watched and closed as pipes are, while this one keeps the
     * terminal from being hung up. */
    int terminal;

    /* These belong to the caller of read, write and communicate. */
    bool has_input;
    int in;         /* -1: none, or closed */
    bool keyboard;  /* it is no pipe but the keyboard of a terminal */
    int last_typed; /* there; -1: nothing yet */
    struct rip__stream out[2];
    struct rip__file files[3];
    rip_time file_deadline;    /* of what their owner flushes */
    bool collecting;           /* what is flushed goes to `unsent` */
    struct rip__buffer unsent; /* goes to stdin before all else, */
    size_t unsent_done;        /* of which so much has gone */
    const void *input;
    size_t input_len, input_done;
    size_t max_output;
    enum rip_overflow overflow;
    bool truncated;
    bool pipe_held;
    rip_output_fn *on_output;
    void *on_output_arg;
    bool by_lines;
    int refused;    /* what on_output gave, below 0 */
    rip_time until; /* no call of on_output after the first begins later */
    bool deaf;      /* what comes is of no use any more, and dropped */
    char *scratch;  /* where it is read to, */
    int null;       /* or /dev/null. 0: not looked for; below: there is none */
    rip_time grace; /* nanoseconds */

    pthread_mutex_t lock; /* guards what follows */
    bool ended, reaped;
    unsigned stopping; /* how many are in rip_command_stop */
    bool timed_out, stopped;
    bool killed; /* there is no more that we can do to end it */
    enum rip_tree tree;
    struct rip_exit end;
    struct rip__os_member *held; /* of the tree, when it was signalled */
    size_t n_held;

    rip_command *next; /* of those that could not be reaped when freed */
};

/* How a command is started, beside its options. */
enum {
    RIP__CAPTURE = 8 /* what DEFAULT means is what rip_run says */
};
/* The RIP_STDIO_FD of stream `i` is an end of a pipe that is not used yet. */
#define RIP__PIPED(i) (1u << (i))

/* The options as they apply, each decision made. */
struct rip__plan {
    const struct rip_command_options *options; /* never NULL */
    unsigned manner;
    struct rip_stdio stdio[3]; /* none is DEFAULT */
    struct rip__os_spawn spawn;
    int ours[3];     /* our ends of pipes, or -1 */
    int theirs[3];   /* what the child gets and we close, or -1 */
    int terminal;    /* our end of one, of which `ours` has copies; or -1 */
    int lifeline[2]; /* the child's end and ours, or -1 */
    struct rip__os_cgroup cgroup;
    const char *program; /* what is told of when it can not be run */
    const char **env;
    const char **paths;
    char mark[RIP__MARK_SIZE];

    /* What `spawn` points to. */
    struct rip__os_fd *fds;
    int *fds_room;
    struct rip__os_limit *limits;
    uint64_t *cpus;
    gid_t *groups; /* with as much room behind, and one more */
    struct rip__os_identity identity;
};

/* ---- options.c: what is asked for, and whether it can be ---- */

/* Fills in all but the descriptors. On failure there is nothing to undo. */
int rip__plan_resolve(struct rip__plan *ret, const char *const *argv,
                      const struct rip_command_options *options,
                      unsigned manner);
void rip__plan_done(struct rip__plan *p);

/* Says that an option, or two that contradict, can not be. */
int rip__refuse(const struct rip_command_options *o, const char *option);

/* ---- attributes.c: descriptors, group, limits, signals ---- */

int rip__attributes_resolve(struct rip__plan *p);
void rip__attributes_done(struct rip__plan *p);

/* ---- identity.c: users and groups ---- */

int rip__identity_resolve(struct rip__plan *p);

/* ---- environment.c ---- */

/* An id that no two commands of this boot have alike. */
void rip__make_mark(char mark[RIP__MARK_SIZE]);

/* The child's environment, with the mark of its tree; and the paths that the
 * program may have. Each is one allocation. */
int rip__environment(const char ***ret, char mark[RIP__MARK_SIZE],
                     const struct rip_command_options *o);
int rip__search_paths(const char ***ret, const char *name,
                      const char *const *env);

/* ---- redirect.c: the descriptors of a plan ---- */

int rip__redirect_open(struct rip__plan *p);

/* Opens the file of `s`, to be stream `i`: its descriptor. */
int rip__redirect_file(const struct rip_command_options *o,
                       const struct rip_stdio *s, int i);
void rip__redirect_close(int fds[3]);

/* As rip__os_terminal_resize; 0: the usual 24 rows or 80 columns. */
int rip__terminal_resize(int fd, unsigned short rows, unsigned short columns);

/* ---- failure.c ---- */

/* Fills in options->failure, if there is one, and gives `code`. */
int rip__fail(const struct rip_command_options *o, const char *step,
              const char *subject, int code);

/* For a redirection, as rip__os_spawn numbers them: "err", or "fd 7", which
 * the program was to have. */
int rip__fail_fd(const struct rip__plan *p, int index, int code);

/* For what came of rip__os_spawn. */
int rip__fail_spawn(const struct rip__plan *p, const struct rip__os_spawned *s,
                    int code);

/* ---- command.c ---- */

/* rip_command_start, in a manner. */
int rip__command_start(rip_command **ret, const char *const *argv,
                       const struct rip_command_options *options,
                       unsigned manner);

/* Waits until it has ended, without reaping it, and heeds no request to stop:
 * 0, -ETIMEDOUT, or a failure of poll(2). */
int rip__command_await(rip_command *c, rip_time deadline);

/* rip_command_wait, but heeds no request to stop. */
int rip__command_reap(rip_command *c, struct rip_exit *ret, rip_time deadline);

/* Of one that has ended: takes down how and when, without reaping it. */
void rip__command_note_end(rip_command *c);

/* ---- stream.c ---- */

/* Reads once from the pipe into the stream's buffer: as rip_command_read,
 * but -EAGAIN when there is nothing. Closes the pipe at its end. */
ssize_t rip__stream_fill(struct rip__stream *s);

/* The same, to any place. */
ssize_t rip__stream_read_once(struct rip__stream *s, void *buf, size_t cap);

/* The same with what goes nowhere: `null` is /dev/null. */
ssize_t rip__stream_splice_once(struct rip__stream *s, int null, size_t cap);

ssize_t rip__stream_read(struct rip__stream *s, void *buf, size_t cap,
                         rip_time deadline);
void rip__stream_done(struct rip__stream *s);

/* Waits until a descriptor is ready: above 0, -ETIMEDOUT, or -ECANCELED. Once
 * the deadline has passed nobody who always has more to read, or always makes
 * room, keeps us. */
int rip__wait_for(int fd, short events, rip_time deadline);

/* ---- input.c ---- */

/* Writes once to stdin, when all of `unsent` is written: how much of `data`,
 * -EAGAIN when there is no room, -EPIPE when nobody reads it. */
ssize_t rip__input_write(rip_command *c, const void *data, size_t len);

/* Writes what the stream of stdin holds, as far as it goes until the
 * deadline, or a request to stop. */
void rip__input_flush(rip_command *c, rip_time deadline);

/* No more will be written. Says end-of-file, and closes stdin: 0. -EAGAIN: a
 * terminal has no room for the key just now. */
int rip__input_end(rip_command *c);

/* Closes it, and says nothing. */
void rip__input_close(rip_command *c);

/* ---- file.c ---- */

/* Brings what the stream of stdin holds to `unsent`: 0, or -ENOMEM with
 * nothing changed. */
int rip__file_collect(rip_command *c);

void rip__file_flush(rip_command *c, rip_time deadline);

/* Frees the streams, and closes their pipes. Never blocks. */
void rip__files_done(rip_command *c);

/* ---- keep.c: what becomes of what is read ---- */

/* on_output gave an error, which is in `refused`: no errno, as that may be
 * any. */
#define RIP__REFUSED (-4096)

/* Once before the pump runs: what had been read ahead is held to max_output,
 * or told. 0, -EMSGSIZE, RIP__REFUSED, or -ETIMEDOUT: not all was told before
 * `until`, so nothing more may be read. */
int rip__keep_begin(rip_command *c);

/* Reads once, and keeps or tells what has come: how much, 0 at the end,
 * -EAGAIN when there is nothing, or an error, those of begin included. */
ssize_t rip__keep_read(rip_command *c, struct rip__stream *s);

/* Once after the pump has run. */
void rip__keep_end(rip_command *c);

/* Nothing more will come: tells the end of a line that has none. */
int rip__keep_finish(rip_command *c);

/* Fills in all but the exit. With `give` the buffers themselves are given
 * away, else copies. 0 or -ENOMEM, with nothing lost. */
int rip__keep_results(rip_command *c, bool give, struct rip_output *ret);

/* ---- capture.c ---- */

/* Commands that are run together, one or the stages of a pipeline: the last
 * holds all of our ends of their pipes, and what is said of them. */
struct rip__job {
    rip_command *const *commands;
    size_t n;           /* not 0 */
    struct pollfd *fds; /* room for n + 3 */
    bool ending;        /* no request to stop is heeded any more */
};

/* Whether a call that gave this was cut short: what has come goes on. */
static inline bool rip__was_cut(int code)
{
    return code == -ETIMEDOUT || code == -ECANCELED;
}

/* Whether something that cannot but wait is not to be begun. */
bool rip__job_is_cancelled(rip_time deadline);

/* What rip_run does once the commands have been started; frees them. */
int rip__job_run(struct rip__job *job, struct rip_output *ret,
                 struct rip_exit *exits, rip_time deadline);

/* ---- pipeline.c ---- */

/* How each has ended, into `exits` unless that is NULL, and how the whole. */
void rip__job_end(const struct rip__job *job, struct rip_exit *exits,
                  struct rip_exit *ret);

/* ---- stop.c: an end in three acts, for stop and for run ---- */

/* rip_command_stop; `timed_out`: it is stopped at its deadline. */
int rip__stop(rip_command *c, struct rip_exit *ret, rip_time deadline,
              bool timed_out);

/* Asks the trees to end, unless there is no grace. From here on nobody but
 * rip__stop_end reaps the commands. */
void rip__stop_ask(rip_command *const *list, size_t n, bool timed_out);

/* Waits until all of the trees that was found has ended. */
void rip__stop_await(rip_command *const *list, size_t n, rip_time deadline);

/* Kills what is left, and waits for that at most a second. */
void rip__stop_kill(rip_command *const *list, size_t n);

/* As rip_command_wait, for not longer than its status takes to be known. */
int rip__stop_end(rip_command *c, struct rip_exit *ret);

#endif
