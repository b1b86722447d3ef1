/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_COMMAND_H
#define RIPSTOP_COMMAND_H

/*
 * <ripstop/command.h>: programs run as child processes.
 *
 * In one call, with the output kept:
 *
 *     const char *const argv[] = { "git", "rev-parse", "HEAD", NULL };
 *     struct rip_output out;
 *     int r = rip_run(argv, NULL, &out, rip_after(5));
 *     if (r == 0 && rip_exit_ok(&out.exit))
 *         printf("at %s", out.out);
 *     if (r == 0)
 *         rip_output_done(&out);
 *
 * Or step by step: rip_command_start, then read, write, wait, stop in any
 * order, then rip_command_free.
 *
 * A program is started without fork(2): the time that takes depends neither
 * on how much memory this process holds nor on how many files it has open (but
 * where a descriptor of 256 or above is handed on by its number, or for
 * die_with_parent), and no pthread_atfork handler runs. The program begins with
 * no signal blocked and every signal at its default action, and has the file
 * descriptors 0, 1 and 2 alone, unless options give it others. Every descriptor
 * that the library itself makes is close-on-exec from birth.
 *
 * Trees
 *
 * Signals and stops reach everything that a command has started: its process
 * group, if it has one of its own; its descendants, as long as their parents
 * live; and, however far they have gone (setsid, double fork), those that have
 * in their environment what the command began with: the variable RIPSTOP_TREE,
 * an id that no other command has. A program that both daemonises and wipes its
 * environment escapes, unless the command has a control group of its own
 * (`cgroup`). With RIP_ENV_REPLACE, or where `env` names RIPSTOP_TREE, there is
 * no such variable.
 *
 * Caveats
 *
 * - The kernel suspends the calling thread, and no other, until the program
 *   has been loaded: from a slow network file system that takes as long as
 *   the file system takes. rip_command_start has no deadline.
 * - A program that starts helpers in the background can end while these hold
 *   its output open. Capturing calls do not wait for them beyond `grace`, and
 *   set `pipe_held`.
 * - Nobody else should wait for the children of this library. Where somebody
 *   does (waitpid(-1) in another thread, SIGCHLD ignored) the status is still
 *   right on Linux 6.15 and later, and RIP_UNKNOWN before.
 * - The environment is read without a lock, as libc itself does: no other
 *   thread may change it (setenv) while a program is started.
 * - A program that another thread has just written may still be open for
 *   writing in the child of a third (ETXTBSY). So it is tried again for about
 *   0.1 seconds before that is told.
 * - After fork(2) a command belongs to the parent alone: in the child all
 *   that is allowed is rip_command_free, which there touches no process.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>     /* FILE */
#include <sys/types.h> /* pid_t, ssize_t */

#include <ripstop/base.h>
#include <ripstop/command_options.h>
#include <ripstop/exit.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rip_command rip_command;

/*
 * Starts a program. `argv` ends with NULL; argv[0] is its path, or, without a
 * slash, a name that is looked for in PATH: the one the program itself will
 * have, so after `env`. Only absolute directories of PATH are searched; an
 * empty or relative element is passed over, so that what runs never depends
 * on the directory one happens to be in. argv and the options (but not
 * `input`) may be freed after the call. The argv of main needs a cast in C:
 *
 *     r = rip_command_start(&c, (const char *const *)argv + 1, NULL);
 *
 * Without options the program has our stdin, stdout and stderr; what is to be
 * read or written here has to be asked for as RIP_STDIO_PIPE.
 *
 * The program gets a process group of its own unless its stdin is inherited,
 * when it stays in ours, so that terminal programs work and Ctrl-C reaches
 * them.
 *
 * When it returns 0 the program has been loaded and runs: what fails before
 * that, the loading included, is an error of this call, `options->failure`
 * says which step failed on what, and no process is left behind.
 *
 *     -EINVAL   argv is empty, an option is wrong or contradicts another
 *     -ENOENT   no such program, directory or file: see `failure`
 *     -EACCES   it may not be executed, or no permission on the way there
 *     -ENOEXEC  not a program (a script without #! is not guessed at)
 *     -ETXTBSY  somebody has it open for writing, and kept it so for 0.1 s
 *     -E2BIG    arguments and environment are too long; one argument may have
 *               128 KiB
 *     -EAGAIN, -EMFILE, -ENFILE, -ENOMEM
 *               not now: a limit of this process, its user or the system
 *
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_command_start(
    rip_command **ret, const char *const *argv,
    const struct rip_command_options *options);

/*
 * The process id. It is the command's own until the command has been waited
 * for (rip_command_wait, run, communicate, stop), then it may come to belong
 * to somebody else: a signal goes through rip_command_signal.
 *
 * Thread-safe.
 */
RIP_API pid_t rip_command_pid(const rip_command *c);

/*
 * A descriptor that becomes readable when the command has ended, and stays
 * so: for poll(2) and event loops; rip_command_wait then tells how. It is the
 * command's: do not read it, close it or pass it on, and take it out of the
 * loop before rip_command_free. It tells that the command has ended, not that
 * all of its output has been read: the rest is still in its pipes, and helpers
 * that it has left behind may go on to write there.
 *
 * examples/poll.c and examples/libuv.c are whole programs.
 *
 * Thread-safe.
 */
RIP_API int rip_command_fd(const rip_command *c);

/*
 * Our end of a pipe, for poll(2) and event loops: `which` is 0 for what we
 * write to, 1 and 2 for what we read from. It is the command's, in
 * non-blocking mode: use it for waiting, and for the rest rip_command_read and
 * rip_command_write with RIP_NOW, which give -ETIMEDOUT when it is the loop's
 * turn again. Read or write whatever the loop tells of it, an error too: the
 * result says what it was. Where the loop tells of changes alone (EPOLLET) go
 * on until -ETIMEDOUT; so, too, after a call that may have read ahead, which
 * is every other one that reads.
 *
 * -1 when there is no such pipe or it is closed. A read that gives 0 has
 * closed it, and so does rip_command_close_input: stop watching it there and
 * then, as the next file that is opened may get the same number. All that is
 * still open is closed by rip_command_free.
 *
 * What rip_command_line, or stdio upon rip_command_stream, has read ahead is no
 * longer in the pipe, and does not make it readable: take lines until there is
 * none, with RIP_NOW, before waiting.
 *
 * One caller at a time a stream.
 */
RIP_API int rip_command_pipe(const rip_command *c, int which);

/*
 * Waits until the command has ended. Neither reads its output nor closes its
 * input: a command that is blocked on a full pipe is waited for in vain; read
 * it, or use rip_command_communicate. Again is fine, and tells the same.
 *
 *     -ETIMEDOUT  it still runs
 *     -ECANCELED  it still runs, and the calling task is to stop
 *
 * `ret` may be NULL. Blocks until the deadline at the longest.
 *
 * Thread-safe: any number of threads may wait for one command.
 */
RIP_API int rip_command_wait(rip_command *c, struct rip_exit *ret,
                             rip_time deadline);

/*
 * Writes to the command's stdin. Gives `len`, or less when the deadline
 * passed, or the calling task was asked to stop, after a part was written.
 *
 *     -ETIMEDOUT  the deadline passed before a byte was written
 *     -ECANCELED  the calling task is to stop, and not a byte was written
 *     -EPIPE      the command has closed its stdin or ended, or
 *                 rip_command_close_input was called (no SIGPIPE is raised)
 *     -EINVAL     stdin is no pipe (nor a terminal of ours)
 *
 * One caller at a time; reading in another thread meanwhile is fine.
 */
RIP_API RIP_CHECK_RESULT ssize_t rip_command_write(rip_command *c,
                                                   const void *data, size_t len,
                                                   rip_time deadline);

/*
 * Closes the command's stdin, so that it reads end-of-file. Again is fine, and
 * so is a command that has no pipe there.
 *
 * A terminal of ours (RIP_STDIO_PTY) stays open for output: end-of-file is
 * typed there, as Ctrl-D, twice if the last line has not been ended. Where the
 * program has left so much unread that there is no room for that, it waits for
 * room for 1 second, and then leaves stdin open: this can be called again.
 *
 * Where rip_command_stream(c, 0) holds what it has not flushed it blocks until
 * the command has read that, closed its stdin or ended; or the calling task is
 * asked to stop, when what is left of it is dropped.
 *
 * One caller at a time with rip_command_write.
 */
RIP_API void rip_command_close_input(rip_command *c);

/*
 * Reads what the command wrote to stdout (`which` 1) or stderr (2): at least
 * one byte, as much as there is, at most `cap`. 0 is the end of the stream.
 *
 *     -ETIMEDOUT  nothing came until the deadline; with RIP_NOW, nothing is
 *                 there at the moment
 *     -ECANCELED  nothing came, and the calling task is to stop
 *     -EINVAL     that stream is no pipe, or `cap` is 0
 *
 * One caller at a time a stream.
 */
RIP_API RIP_CHECK_RESULT ssize_t rip_command_read(rip_command *c, int which,
                                                  void *buf, size_t cap,
                                                  rip_time deadline);

/*
 * Reads one line of stdout, as getline(3): *line is a buffer of *cap bytes
 * from malloc, or NULL, that grows as needed and is the caller's to free.
 * Gives the length of the line with its newline, which the last line may lack;
 * 0 is the end of the stream. A NUL follows the line.
 *
 *     char *line = NULL;
 *     size_t cap = 0;
 *     while ((n = rip_command_line(c, &line, &cap, rip_after(10))) > 0)
 *         fputs(line, stdout);
 *     free(line);
 *
 *     -ETIMEDOUT  no whole line came until the deadline; what came of it is
 *                 kept for the next call, of whichever function that reads
 *     -ECANCELED  the same, when the calling task is to stop
 *     -EINVAL     stdout is no pipe
 *     -ENOMEM     nothing is lost
 *
 * One caller at a time.
 */
RIP_API RIP_CHECK_RESULT ssize_t rip_command_line(rip_command *c, char **line,
                                                  size_t *cap,
                                                  rip_time deadline);

/*
 * A stdio stream upon a pipe of the command: `which` is 0 to write to its
 * stdin, 1 or 2 to read from its stdout or stderr. It is a view of the same
 * bytes that read, write, line and communicate see, without a deadline: these
 * go on where the last call left off, apart from what stdio itself has read
 * ahead or not yet flushed. (Use setvbuf(3) to have it do neither;
 * communicate takes what is not flushed, and feeds it first.) Writing raises
 * no SIGPIPE, it fails with EPIPE. There is no descriptor that fileno(3) could
 * give: see rip_command_pipe.
 *
 *     FILE *in = rip_command_stream(c, 0);
 *     fprintf(in, "%s\n", name);
 *     rip_command_close_input(c);
 *
 * It belongs to the command, and asking again gives the same. Nobody needs to
 * close it: rip_command_free does, without waiting; what its pipe does not
 * take at once is lost then, so close the input first. After
 * rip_command_close_input, which flushes it, writing fails with EPIPE.
 * fclose(3) on it closes its pipe too, and it is gone.
 *
 * NULL when there is no such pipe, or no memory.
 *
 * In a task that is to stop, what would wait fails with ECANCELED.
 *
 * Like all streams for writing it is flushed by exit(3) and fflush(NULL), which
 * then wait for the command to read. In a child of fork(2) nothing is written.
 *
 * One caller at a time a stream; with stdin's also for write, communicate and
 * close_input.
 */
RIP_API FILE *rip_command_stream(rip_command *c, int which);

/*
 * Tells a command that runs on a terminal of ours (RIP_STDIO_PTY) that the
 * terminal has another size now; it gets SIGWINCH. 0: as in the options.
 *
 *     -EINVAL  it has no such terminal
 *
 * Thread-safe.
 */
RIP_API int rip_command_resize(rip_command *c, unsigned short rows,
                               unsigned short columns);

/*
 * Sends a signal to the command and to everything that it has started: its
 * process group, and what has left the group, as daemons do ("Trees" above).
 * With SIGKILL it looks again until nobody new is there.
 *
 *     -ESRCH   it has ended and been waited for, and nothing of it is left
 *     -EINVAL  no such signal
 *     -EPERM   it, or a part of it, runs as somebody else
 *     -EMFILE, -ENFILE, -ENOMEM, -ENOSYS
 *              the group has got the signal, but what had left it could not
 *              be looked for
 *
 * Thread-safe.
 */
RIP_API int rip_command_signal(rip_command *c, int sig);

/*
 * The same for many commands at once: the processes of the system are looked
 * through once instead of once a command. -ESRCH when none of them is there,
 * else 0 or the first error of another kind; all are tried in any case.
 *
 * Thread-safe.
 */
RIP_API int rip_command_signal_all(rip_command *const *commands, size_t n,
                                   int sig);

/*
 * Sends a signal to the command's own process alone; errors as above. A
 * reused process id is never hit.
 *
 * Thread-safe.
 */
RIP_API int rip_command_signal_one(rip_command *c, int sig);

/*
 * Ends the command with everything that it has started: SIGTERM, `grace`
 * seconds, then SIGKILL to what is left; SIGKILL at the deadline at the
 * latest. What it leaves running in its group after ending by itself is
 * killed too. Then as rip_command_wait, with `stopped` set in `ret` unless it
 * had ended before. `ret` may be NULL.
 *
 *     -ETIMEDOUT  killed, but the kernel had not let go of it by the deadline
 *                 (it hangs in a device or file system)
 *
 * Blocks until the deadline or the end of grace, whichever comes first, and
 * for at most 1 second more, which is how long a killed process is waited for;
 * in a task that is to stop, too.
 *
 * Thread-safe.
 */
RIP_API int rip_command_stop(rip_command *c, struct rip_exit *ret,
                             rip_time deadline);

/*
 * Frees a command, and closes its pipes. If it still runs it is ended first,
 * as by rip_command_stop; a terminal of ours (RIP_STDIO_PTY) is hung up before,
 * which sends SIGHUP to its session. Returns NULL; NULL is fine.
 *
 * Blocks for grace + 1 second at the longest. The last call on `c`.
 */
RIP_API rip_command *rip_command_free(rip_command *c);

/*
 * What a command wrote, and how it ended. `out` and `err` are malloc'ed,
 * never NULL, and end with a NUL that the length does not count (what comes
 * before may hold NULs of its own). A stream that was not captured is empty.
 */
struct rip_output {
    char *out;
    size_t out_len;
    char *err;
    size_t err_len;
    bool truncated; /* more came than `max_output` let us keep, or than
                       on_output took until the deadline and grace were over */
    bool pipe_held; /* the command had ended, but somebody else still held its
                       stdout or stderr: there may have been more to come */
    struct rip_exit exit;
};

/*
 * Feeds `input` to the command's stdin and reads its stdout and stderr, all
 * at once, until it has ended; then as rip_command_wait. With `input` NULL it
 * feeds the `input` of the options, and stdin is closed after it in any case.
 * `input` is not looked at after the call.
 * Of the streams it has to do with those that are pipes, and leaves others
 * alone.
 *
 *     -ETIMEDOUT  the deadline passed. Nothing is stopped: `ret` has what
 *                 came so far (and must be freed with rip_output_done), with
 *                 exit.how RIP_RUNNING if the command still runs. Call it
 *                 again with the same input to go on: no byte is lost
 *     -ECANCELED  the same, when the calling task is to stop
 *     -EMSGSIZE   more than `max_output` came (RIP_OVERFLOW_FAIL); `ret` is
 *                 as above
 *     -EINVAL     there is input, but stdin is no pipe; or it is shorter than
 *                 what has been fed already
 *
 * What `on_output` gives below 0 is the result, too, with `ret` as above; to
 * call again is to go on behind the piece that it was given.
 *
 * `ret` holds all that came since the start and was not taken by read, line or
 * stdio; nothing where `on_output` takes it. It is untouched on every other
 * failure, so if it is `{ 0 }` at first rip_output_done is right in every case.
 * To have it filled at a deadline is to have all of it copied: with NULL
 * nothing is.
 *
 * Blocks until the deadline; without one, until the command has ended and
 * `grace` seconds more if others hold its output.
 *
 * One caller at a time, and no reads or writes meanwhile.
 */
RIP_API int rip_command_communicate(rip_command *c, const void *input,
                                    size_t len, struct rip_output *ret,
                                    rip_time deadline);

/*
 * Runs a program from start to end: rip_command_start, feed, capture, wait,
 * free. Gives 0 when it was started and has ended, however it ended: look at
 * ret->exit. At the deadline the program is stopped with everything that it
 * has started, exit.timed_out is set, and what came until then is in `ret`:
 * that is no error. A deadline of 0 is RIP_NOW, which stops it at once; for
 * none at all there is RIP_FOREVER.
 *
 *     -EMSGSIZE   as for communicate, `ret` included; the program was stopped.
 *                 The same for what `on_output` gives below 0
 *     -ETIMEDOUT  it was killed at its deadline, but the kernel has not let go
 *                 of it (it hangs in a device or file system, or a debugger
 *                 holds it); `ret` has what came, with exit.how RIP_RUNNING
 *     -ECANCELED  the calling task was asked to stop, and so the program was
 *                 stopped as at a deadline: exit.stopped is set, and `ret` has
 *                 what came. If it was asked to before, nothing was started,
 *                 and `ret` is { 0 }
 *
 * and the errors of rip_command_start; on all but these three `ret` is
 * untouched.
 *
 * `ret` may be NULL: then, if there is no `on_output` either, in, out and err
 * are inherited by default, and 0 does not tell how the program ended. To have
 * both, our own streams and its end, give a `ret` and ask for the streams:
 *
 *     const struct rip_stdio ours = { .kind = RIP_STDIO_INHERIT };
 *     struct rip_command_options o = { .in = ours, .out = ours, .err = ours };
 *
 * Blocks until deadline + grace, and 1 second more where the kernel does not
 * let go of a killed process.
 *
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_run(const char *const *argv,
                                     const struct rip_command_options *options,
                                     struct rip_output *ret, rip_time deadline);

/*
 * Frees what an rip_output holds, and clears it. Again is fine.
 *
 * One caller at a time.
 */
RIP_API void rip_output_done(struct rip_output *o);

/*
 * Runs a shell command, as system(3) does, with our stdin, stdout and stderr,
 * and waits for it. At the deadline the command is stopped with everything
 * that it has started, and `timed_out` is set. The shell is /bin/sh; what it
 * says of a command that is not there is exit status 127. `ret` may be NULL.
 *
 * Unlike system(3) it changes nothing in this process: no signal is ignored
 * meanwhile, and none blocked, but in this thread while it starts. The command
 * stays in our process group, so Ctrl-C at the terminal reaches both: who wants
 * to survive it ignores or handles SIGINT himself, which the command does not
 * inherit.
 *
 *     -EINVAL     shell_command is NULL
 *     -ENOENT     there is no /bin/sh
 *     -ETIMEDOUT  as of rip_run, with ret->how RIP_RUNNING
 *     -ECANCELED  as of rip_run
 *
 * and the other errors of rip_command_start. Else it gives 0, however the
 * command has ended. Blocks as rip_run.
 *
 * A shell reads its command as a program, so text from elsewhere does not
 * belong into it: rip_run passes arguments as they are.
 *
 * Thread-safe.
 */
RIP_API int rip_system(const char *shell_command, struct rip_exit *ret,
                       rip_time deadline);

/*
 * Starts a shell command with pipes, as popen(3) does: mode "r" to read its
 * stdout (its stdin is /dev/null), "w" to write to its stdin, "r+" for both.
 * What is not a pipe is inherited. Then use rip_command_line, read, write,
 * rip_command_stream; and in the end, as pclose(3) does,
 *
 *     rip_command_close_input(c);
 *     r = rip_command_wait(c, &e, rip_after(60));
 *     rip_command_free(c);
 *
 * since rip_command_free alone would not wait, but end the command. No other
 * command, and no other child, gets our ends of the pipes.
 *
 * A "d" at the end of the mode ("rd", "wd", "r+d") asks for the program to be
 * started directly where a shell would do no more than that, which saves the
 * time that a shell takes. So it is for words of ASCII letters, digits and
 * _./+-=%,:@ with blanks between them, of which the first is a program: without
 * any of =%,:@ and no keyword or builtin of the usual shells. Quotes,
 * variables, patterns and all else are for the shell, and so is a program that
 * can not be started; and all where PATH has other than absolute directories,
 * where functions or options for bash are in the environment, and in a setuid
 * program. The same comes of it, then, in either way; but a signal that ended
 * the program is told as one, where a shell may exit with 128 and its number,
 * and the environment is ours, without what shells change there (PWD, SHLVL).
 *
 * Errors as of rip_command_start; -EINVAL for another mode, or NULL.
 *
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_popen(rip_command **ret,
                                       const char *shell_command,
                                       const char *mode);

/*
 * Runs a pipeline, a | b | c, from start to end:
 *
 *     const char *const list[] = { "du", "-a", NULL };
 *     const char *const sort[] = { "sort", "-n", NULL };
 *     const char *const tail[] = { "tail", "-n3", NULL };
 *     const char *const *const stages[] = { list, sort, tail };
 *     r = rip_pipeline_run(stages, 3, NULL, &out, NULL, rip_after(60));
 *
 * The options are those of each stage, but that `in` and `input` are those of
 * the first and `out` is that of the last; each is by default as for rip_run.
 * `err` is shared: all stages write to one pipe, whose content is ret->err, or
 * to one open file; with RIP_STDIO_STDOUT each to where its own stdout goes,
 * the next stage that is. The limits of output are those of the whole.
 *
 * The stages are one process group, which the first leads; or, where the first
 * has our stdin and process_group is the default, they are in ours. They have
 * one deadline, at which all of them are stopped, with everything that they
 * have started. All of them are waited for, also those that end after the last.
 *
 * How each ended is in `exits`, n of them, if that is not NULL: whenever `ret`
 * is filled. ret->exit tells of the whole: it is that of the last stage that
 * failed, or else of the last stage, with `timed_out`, `stopped` and `tree`
 * taken from all. A stage before the last that SIGPIPE killed has not failed,
 * since a later one did not read to its end: `yes | head` is a success.
 *
 *     -EINVAL   n is 0, a stage is NULL or empty, or an option makes no sense
 *               for several programs: a process_group other than own,
 *               RIP_STDIO_PTY, program, program_fd
 *
 * and all that rip_run gives. A stage that can not be started is named in
 * `failure`, and those before it are killed. `ret` may be NULL: then out and
 * err are inherited by default. Blocks as rip_run does, and, for a stage that
 * can not be started, 1 second at most where the kernel does not let go of
 * those before it.
 *
 * Thread-safe.
 */
RIP_API RIP_CHECK_RESULT int rip_pipeline_run(
    const char *const *const *stages, size_t n,
    const struct rip_command_options *options, struct rip_output *ret,
    struct rip_exit *exits, rip_time deadline);

#ifdef __cplusplus
}
#endif

#endif
