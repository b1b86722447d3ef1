/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_COMMAND_RUN_H
#define RIP_TESTS_COMMAND_RUN_H

/* What the tests of commands share. */

#include <stdbool.h>

#include <ripstop/command.h>

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* A shell line. */
#define SH(script) ARGV("sh", "-c", script)

/* Shell words that wait until a process has ended; it may be a zombie then. */
#define UNTIL_GONE(pid)                                                  \
    "while grep -qs '^[^)]*) [^ZX]' /proc/" pid "/stat; do sleep 0.01; " \
    "done"

/* rip_run, which has to work. */
void run(struct rip_output *ret, const char *const *argv,
         const struct rip_command_options *o);

/* The same, with success and nothing on stderr. */
void run_ok(const char *const *argv, const struct rip_command_options *o);

/* rip_command_start, which has to fail, and to leave no child. */
void refuse(const char *const *argv, const struct rip_command_options *o,
            int code, const char *step, const char *subject);

/* rip_command_start, which has to work. */
rip_command *start(const char *const *argv,
                   const struct rip_command_options *o);

/* The same, for a script that says when it is ready, with a line that may hold
 * the n pids. */
rip_command *start_ready(const char *script, double grace, int *pids, int n);

/* Waits for the end. */
struct rip_exit end_of(rip_command *c);

/* Reads from stdout until there is a whole line, or more. */
const char *await_line(rip_command *c);

/* All that is still to come of stdout. Static memory. */
const char *rest_of(rip_command *c);

/* Whether a process is there and no zombie. */
bool is_alive(int pid);

/* Waits until it is not, as long as the test's deadline lets it. */
void await_death(int pid);

/* Looks for processes with `word` in their command line, which is so special
 * that only those of the test have it: how many live, their pids up to `cap`.
 * `pids` may be NULL. */
int find_alive(const char *word, int *pids, int cap);

/* Zeroed memory, that the test frees. */
char *make_data(size_t size);

void write_file(const char *name, const char *text, int mode);
const char *read_file(const char *name);

/* ---- pipelines ---- */

#define STAGES(...) ((const char *const *const[]){ __VA_ARGS__ })
#define COUNT(list) (sizeof(list) / sizeof *(list))

/* rip_pipeline_run, which has to work, without a deadline. `ends` is an array
 * with an element a stage. */
#define PIPE(o, ends, options, ...)                                        \
    CHECK_INT(rip_pipeline_run(STAGES(__VA_ARGS__),                        \
                               COUNT(STAGES(__VA_ARGS__)), (options), (o), \
                               (ends), RIP_FOREVER),                       \
              ==, 0)

#define FED(data, len) \
    (&(struct rip_command_options){ .input = (data), .input_len = (len) })

/* How each of n stages ended, as "0 3 PIPE". Static memory. */
const char *ends_text(const struct rip_exit *ends, size_t n);

#endif
