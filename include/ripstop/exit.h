/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_EXIT_H
#define RIPSTOP_EXIT_H

/*
 * <ripstop/exit.h>: how a command or a task ended.
 *
 * One struct with a field for each fact, instead of a number that holds
 * several:
 *
 *     struct rip_exit end;
 *     if (rip_command_wait(c, &end, RIP_FOREVER) == 0 && !rip_exit_ok(&end)) {
 *         char text[RIP_EXIT_TEXT];
 *         rip_exit_format(&end, text, sizeof text);
 *         fprintf(stderr, "gzip: %s\n", text);   // gzip: killed by SIGKILL
 *     }
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ripstop/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum rip_end {
    RIP_RUNNING,  /* it has not ended */
    RIP_EXITED,   /* by itself: see `code` */
    RIP_SIGNALED, /* a signal ended it: see `signal` */
    RIP_UNKNOWN   /* it has ended, but somebody else in this process took its
                     status (waitpid(-1), SIGCHLD ignored) and this kernel
                     keeps no second copy of it (Linux before 6.15) */
};

/* By which means a tree of processes was reached, when it had to be. */
enum rip_tree {
    RIP_TREE_NONE,   /* it had not to be */
    RIP_TREE_GROUP,  /* the process group */
    RIP_TREE_SWEEP,  /* the processes of it, found one by one */
    RIP_TREE_CGROUP, /* the control group */
    RIP_TREE_PARTIAL /* not all of it: what had left the process group could not
                        be looked for, for want of memory, descriptors or a
                        system call; or could not be signalled */
};

/*
 * Memory. A command with a control group of its own (`cgroup` of its options)
 * is told of exactly, where the memory controller is at work in that group: it
 * is in cgroup.subtree_control of the directory that `cgroup` names. From
 * Linux 5.19 on max_rss_bytes is memory.peak then: the most that all of the
 * group held together, with what the kernel kept for it of files and for its
 * own needs. And oom_killed tells of every such kill in the group, be it for a
 * limit of that group or one above, or because the system had no memory left.
 * Without such a group it is always false.
 *
 * Of a process task, which is in our control group, the kernel tells no more
 * than how many were killed there for want of memory. So oom_killed means: it
 * was ended by a SIGKILL that we did not send, and since we started our first
 * process task somebody in this control group (where groups do not count, in
 * the system) was killed so, whom no other task's end has been put down to.
 * That may have been another process.
 */
struct rip_exit {
    enum rip_end how;
    int code;         /* RIP_EXITED: its exit status, 0 to 255 */
    int signal;       /* RIP_SIGNALED: the signal's number */
    bool core_dumped; /* it left a core file */
    bool timed_out;   /* we ended it, since its deadline had passed */
    bool stopped;     /* we ended it, since somebody asked for that */
    enum rip_tree tree;
    int64_t wall_ns;         /* from its start until its end was noticed */
    int64_t user_ns;         /* CPU time of it and of the children that it */
    int64_t system_ns;       /*   waited for, in user and in kernel mode */
    int64_t max_rss_bytes;   /* most memory that it, or one of those, held at a
                                time. 0: unknown, since it stayed below what
                                this process held when it started it. In a
                                control group of its own: see below */
    bool oom_killed;         /* until its end the kernel had killed it, or what
                                it had started, for want of memory: as far as
                                that is known, see below */
    uintptr_t fault_address; /* of a crashed process task: the address that it
                                stumbled on; 0: none, or not known */
    uint64_t reserved[4];
};

/*
 * Whether it ended well: by itself, with status 0.
 *
 * Thread-safe.
 */
RIP_API bool rip_exit_ok(const struct rip_exit *e);

/* Room for every text that rip_exit_format makes. */
#define RIP_EXIT_TEXT 128

/*
 * Says in words how it ended: "exited with 3", "killed by SIGSEGV (core
 * dumped)", "killed by SIGTERM (deadline passed)". Writes at most `cap` bytes
 * with the closing NUL, and returns the length of the whole text, as
 * snprintf(3) does.
 *
 * Thread-safe.
 */
RIP_API int rip_exit_format(const struct rip_exit *e, char *buf, size_t cap);

/*
 * The name of a signal, "SIGTERM"; NULL when there is no such signal or it
 * has no name (the real-time signals).
 *
 * Thread-safe.
 */
RIP_API const char *rip_signal_name(int signal);

#ifdef __cplusplus
}
#endif

#endif
