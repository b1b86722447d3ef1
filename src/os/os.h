/* SPDX-License-Identifier: MIT */
#ifndef RIP_OS_OS_H
#define RIP_OS_OS_H

/*
 * The kernel contract: all that the rest of the library asks of the system.
 * It decides nothing: no retries beyond EINTR, no defaults, no policy. Each
 * system has its own files (linux_*.c), chosen by the build.
 *
 * For every function here:
 *   - failure is a negative errno value; `errno` is left alone;
 *   - EINTR is handled inside, against the deadline where there is one, and
 *     never seen by the caller;
 *   - a descriptor that it makes is close-on-exec from birth;
 *   - it is thread-safe and no cancellation point.
 */

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <ripstop/base.h>

/*
 * The seam. Every system call and every allocation of the library goes
 * through this table, also those of a child between clone and exec, so that
 * a test can count them and let the Nth fail. `syscall` gives a negative
 * errno on failure; for clone and clone3 it takes a function for the child,
 * and its argument, after the kernel's own arguments (see linux_clone.c).
 * Changed by tests alone, before there are threads.
 */
struct rip__seam {
    long (*syscall)(long nr, const long args[6]);
    void *(*resize)(void *p, size_t size); /* as realloc(3) */
    void (*release)(void *p);              /* as free(3) */
};
extern struct rip__seam rip__seam;

/* The same table with the real functions, for a test to call on to. */
extern const struct rip__seam rip__seam_real;

/*
 * What a process runs from its fork on until it comes to the function that it
 * is for: such code stands together in the library, since each stretch of code
 * that a child comes to first costs it a page fault, a hundredth of its life.
 */
#define RIP__CHILD_PATH __attribute__((hot))

/* ---- descriptors ------------------------------------------------------ */

/* Closes `fd`; a negative one is no descriptor and passed over. Whatever the
 * kernel answers the descriptor is gone, so there is nothing to report. */
void rip__os_close(int fd);

/* A pipe: ret[0] reads, ret[1] writes. Neither is 0, 1 or 2, also where those
 * are closed: a standard stream is nothing to come to by accident. */
int rip__os_pipe(int ret[2]);

/* Another descriptor for the same open file, not 0, 1 or 2. */
int rip__os_copy(int fd);

/* Opens a file, with O_CLOEXEC added. The same goes for its number. */
int rip__os_open(const char *path, int flags, mode_t mode);
int rip__os_open_at(int dir, const char *path, int flags, mode_t mode);

/* Whether our user may execute the file, or search the directory. */
bool rip__os_may_execute(const char *path);

/* Precondition: it is of our making, with no flag of O_APPEND's kind that is
 * to be kept. */
int rip__os_set_nonblock(int fd);

/* 0 if it is open, else -EBADF. */
int rip__os_check(int fd);

/* Makes a user the owner of an open file. */
int rip__os_give(int fd, uid_t uid);

/* Reads or writes once; may do less than asked. 0 from read: end of file.
 * A write to a closed pipe gives -EPIPE and raises no SIGPIPE, neither in
 * this thread nor in another. */
ssize_t rip__os_read(int fd, void *buf, size_t cap);
ssize_t rip__os_write(int fd, const void *buf, size_t len);

/* The same for pipes, and at once, whatever the flags of the open file are,
 * which other processes may have too: -EAGAIN. -EOPNOTSUPP: the kernel cannot
 * do so (Linux before 6.4, a FIFO, a filter). */
ssize_t rip__os_read_now(int fd, void *buf, size_t cap);
ssize_t rip__os_write_now(int fd, const void *buf, size_t len);

/* Opens a FIFO in non-blocking mode. -ENXIO: to write, where nobody has it to
 * read. And the way out then: an open file of our own of the same pipe. */
int rip__os_pipe_open(const char *path, bool reads, bool writes);
int rip__os_pipe_open_again(int fd, bool reads, bool writes);

/* What a pipe is open for. -EINVAL: it is none. */
struct rip__os_pipe {
    bool reads, writes;
    bool nonblock; /* it is open so, whoever else has it */
};
int rip__os_pipe_look(int fd, struct rip__os_pipe *ret);

/* Makes it hold so many bytes, or a few more. -EPERM: more than a user may
 * have; -EBUSY: more than that is in it. */
int rip__os_pipe_resize(int fd, size_t size);

int rip__os_close_on_exec(int fd);

/* A named pipe; -EEXIST. And takes it away; -EINVAL: the name is something
 * else's. */
int rip__os_fifo_make(const char *path, mode_t mode);
int rip__os_fifo_remove(const char *path);

/* Whether a FIFO that we have open to read has been open to write since: 0, 1
 * or an error. Takes nothing from it. */
int rip__os_fifo_has_writer(int fd);

/* A descriptor that becomes readable when somebody has opened the file of that
 * path, or if that is NULL the open one. Who waits in open(2) for another has
 * not yet. */
int rip__os_opens_watch(const char *path, int file);
void rip__os_opens_seen(int fd);

/* Lets a pipe hold more than the 64 KiB it is born with; or not, where the user
 * has too many such pipes. */
void rip__os_pipe_widen(int fd);

/* /dev/null, to write to; -ENODEV where something else has that name. */
int rip__os_open_null(void);

/* From a pipe to there, what it holds of `cap` bytes: no copy is made. Does not
 * wait, whatever the pipe would do: -EAGAIN. */
ssize_t rip__os_splice(int pipe, int null, size_t cap);

/* poll(2) until the deadline: how many are ready, 0 when it has passed. */
int rip__os_poll(struct pollfd *fds, size_t n, rip_time deadline);

/* The whole of a small file (procfs, cgroupfs) as a string: its length, or
 * -EMSGSIZE when it does not fit in cap - 1 bytes. */
ssize_t rip__os_slurp(const char *path, char *buf, size_t cap);

/* ---- terminals -------------------------------------------------------- */

/* A new pseudo-terminal: ret[0] is our end, where its keyboard and its screen
 * are, ret[1] is that of a program. Neither is 0, 1 or 2, nor becomes a
 * controlling terminal. A read of ret[0] gives -EIO when all has been read
 * and nobody has the other end open. */
int rip__os_terminal(int ret[2]);

/* Says how large it is: to our end. */
int rip__os_terminal_resize(int fd, unsigned short rows,
                            unsigned short columns);

/* Whether nobody has the other end open. Written to then, our end keeps what
 * it gets until it is full. */
bool rip__os_terminal_is_deserted(int fd);

/* The keys that mean end-of-file where `last` was the last one typed (-1:
 * none was), and how many these are: within a line it takes the key twice, as
 * the first one only sends off what there is of the line. 0: there is no such
 * key. */
int rip__os_terminal_eof(int fd, int last, char ret[2]);

/* ---- spawn ------------------------------------------------------------ */

/* Descriptor `source` of ours becomes descriptor 0, 1 or 2 of the child. */
struct rip__os_redirect {
    enum {
        RIP__INHERIT, /* as it is here, or closed if it is closed here */
        RIP__COPY,    /* a copy of `source` */
        RIP__OURS,    /* the same, of what was opened for this and has not been
                         used yet: a pipe, a file or a terminal that may as
                         well be opened anew, with `flags` of open(2) */
        RIP__NULL     /* /dev/null */
    } kind;
    int source, flags;
};

/* Descriptor `source` of ours is also `target`, 3 or more, of the child. */
struct rip__os_fd {
    int source, target;
};

/* The numbers of setrlimit(2); no limit: UINT64_MAX. */
struct rip__os_limit {
    int resource;
    uint64_t soft, hard;
};

/* Who the child is to be. What it does not have stays as it is here. */
struct rip__os_identity {
    bool has_groups, has_gid, has_uid;
    gid_t gid;
    uid_t uid;
    const gid_t *groups; /* ascending, each once */
    size_t n_groups;
    gid_t *room; /* for n_groups + 1: there it is read back */
};

/* All that the child does before exec, in the order of these fields. NULL and
 * 0 ask for nothing. */
struct rip__os_spawn {
    const int *cgroup; /* an open directory: the control group to be in */
    bool keep_ignored; /* else every signal begins with its default action */
    uint64_t ignored;  /* signals to ignore: bit n - 1 is signal n */
    enum {
        RIP__GROUP_OURS,
        RIP__GROUP_OWN,
        RIP__GROUP_SESSION,
        RIP__GROUP_JOIN
    } group;
    pid_t join_group;
    struct rip__os_redirect redirect[3];
    const struct rip__os_fd *fds; /* by ascending target, each once */
    size_t n_fds;
    int *fds_room;       /* for n_fds: where the sources are meanwhile */
    const int *terminal; /* which of 0 to 2 becomes the controlling one */
    bool foreground;     /* the group becomes the terminal's */
    const int *lifeline; /* the reading end of a pipe: SIGKILL when the last
                            writing end is closed */
    const mode_t *umask;
    int nice;
    const void *cpus; /* a bit for each */
    size_t cpus_size; /* in bytes, a multiple of 8 */
    const struct rip__os_limit *limits;
    size_t n_limits;
    const struct rip__os_identity *identity;
    const char *cwd; /* every other descriptor is closed before */
    bool no_new_privs;
    uint64_t blocked;         /* signals, as `ignored` */
    const int *program;       /* an open file, instead of the paths */
    const char *const *paths; /* tried in this order, as execvp(3) does */
    const char *const *argv;
    const char *const *envp;
};

/* The steps of a spawn, for telling which failed. */
enum rip__os_step {
    RIP__STEP_NONE,
    RIP__STEP_CLONE,
    RIP__STEP_CGROUP,
    RIP__STEP_SETPGID,
    RIP__STEP_SETSID,
    RIP__STEP_REDIRECT, /* `index`: which of 0 to 2, or 3 + which of fds */
    RIP__STEP_TERMINAL, /* `index`: which of 0 to 2 */
    RIP__STEP_FOREGROUND,
    RIP__STEP_LIFELINE,
    RIP__STEP_NICE,
    RIP__STEP_AFFINITY,
    RIP__STEP_RLIMIT, /* `index`: which */
    RIP__STEP_SETGROUPS,
    RIP__STEP_SETGID,
    RIP__STEP_SETUID,
    RIP__STEP_CLOSE,
    RIP__STEP_CHDIR,
    RIP__STEP_NO_NEW_PRIVS,
    RIP__STEP_EXEC,        /* `index`: which path */
    RIP__STEP_INTERPRETER, /* the same: it is there, its interpreter is not */
};

struct rip__os_spawned {
    pid_t pid;
    int pidfd;
    enum rip__os_step step; /* on failure */
    int index;
};

/*
 * Starts a program. Precondition: every source is open. (What is not may be
 * the number of the new process's pidfd when the child looks at it.)
 *
 * On success the program has been loaded, pid and pidfd
 * name it, and it is an ordinary child of this process. On failure there is
 * no child left and none was ever visible to another wait() of this process;
 * step and index say what failed.
 *
 * The caller's signal mask is the same after as before, and no disposition,
 * descriptor or memory of this process is changed by the child.
 */
int rip__os_spawn(struct rip__os_spawned *ret, const struct rip__os_spawn *s);

/* The last signal that the kernel knows. */
#define RIP__OS_SIGNALS 64

/* ---- children --------------------------------------------------------- */

/* How a child ended, as the kernel tells it. */
struct rip__os_status {
    bool known;      /* false: another took the status, nothing is left */
    int wait_status; /* as of waitpid(2) */
    bool has_usage;  /* the fields below are known */
    int64_t user_ns, system_ns;
    int64_t max_rss_bytes;
};

/* Tells how a child has ended, and takes its pid out of use unless `keep` is
 * set. 1: done; 0: it still runs, or another is just taking it away, or a
 * tracer has it. Where somebody else has reaped it already the status comes
 * from the pidfd if the kernel keeps it there, and else is not known. */
int rip__os_reap(int pidfd, bool keep, struct rip__os_status *ret);

/* Whether the process behind a pidfd has ended, reaped or not. */
bool rip__os_has_ended(int pidfd);

/* Signals the process behind the pidfd, and never another. -ESRCH when it
 * has been reaped. */
int rip__os_pidfd_signal(int pidfd, int sig);

/* The same for a child of ours, by its number where a filter refuses
 * pidfd_send_signal(2). Precondition: we have not reaped it. */
int rip__os_child_signal(int pidfd, pid_t pid, int sig);

/* Signals the process group whose leader is behind the pidfd. Before Linux 6.9
 * that is by its number. Precondition: the leader is our child and we have not
 * reaped it, so that the number is not somebody else's. */
int rip__os_group_signal(int pidfd, pid_t group, int sig);

/* The process group of a process; -ESRCH if there is none of that pid. */
pid_t rip__os_group_of(pid_t pid);

/* The processes of this moment, as /proc shows them: 0 and *ret to be freed,
 * or an error. What is gone again, or not ours to see, is not in it. */
struct rip__os_processes;
int rip__os_processes_read(struct rip__os_processes **ret);
void rip__os_processes_free(struct rip__os_processes *all);

/* The environment variable that marks a tree: ids, parted by colons. */
#define RIP__OS_MARK "RIPSTOP_TREE"

/* Where a tree begins. Precondition: pid and group are 0, or of a child of
 * ours that is not reaped. */
struct rip__os_root {
    pid_t pid;        /* its descendants belong to the tree */
    pid_t group;      /* the members of this process group, and theirs */
    const char *mark; /* those who began with this id in RIP__OS_MARK; NULL:
                         none is looked for */
};

struct rip__os_member {
    pid_t pid, group;
    int pidfd;
};

/* The tree of `root`: calls `found` for each live process of it without root
 * itself, with a pidfd that then belongs to the callee. 0; or 1: all of it
 * was seen, but somebody was just becoming another program, and has no
 * environment to be read in that moment; or the first error, having gone on
 * with the others. */
int rip__os_tree(struct rip__os_processes *all, const struct rip__os_root *root,
                 void (*found)(void *arg, const struct rip__os_member *m),
                 void *arg);

/* A control group (version 2) that we have made: `dir` is the group itself.
 * Both descriptors are -1 when there is none. */
struct rip__os_cgroup {
    int parent, dir;
    char name[80];
};

/* Makes one below the group whose directory is `path`. */
int rip__os_cgroup_new(struct rip__os_cgroup *ret, const char *path,
                       const char *name);

/* Takes it away, unless it still has members. */
void rip__os_cgroup_done(struct rip__os_cgroup *g);

/* SIGKILL for all of its members, and those they are just starting. -ENOENT
 * before Linux 5.14. */
int rip__os_cgroup_kill(const struct rip__os_cgroup *g);

/* Its live members without `but`; as rip__os_tree. */
int rip__os_cgroup_members(const struct rip__os_cgroup *g, pid_t but,
                           void (*found)(void *arg,
                                         const struct rip__os_member *m),
                           void *arg);

/* The most memory, in bytes, that all in it ever held together; 0: not known
 * (no memory controller there, Linux before 5.19). */
int64_t rip__os_cgroup_peak(const struct rip__os_cgroup *g);

/* Whether the kernel has killed somebody in it for want of memory. */
bool rip__os_cgroup_oom_killed(const struct rip__os_cgroup *g);

/* ---- futexes ---------------------------------------------------------- */

/* A word to sleep on while it is `seen`. */
struct rip__os_futex {
    const uint32_t *word;
    uint32_t seen;
    bool shared; /* with other processes, or changed by the kernel */
};

enum { RIP__OS_FUTEXES = 128 };

/*
 * Sleeps until somebody wakes one of the first n words (1 to 128), or one is
 * not what was seen: 0, also for no reason at all. -ETIMEDOUT: `until` has
 * passed. Before Linux 5.16 it is the first word alone that counts.
 */
int rip__os_futex_wait(const struct rip__os_futex *f, size_t n, rip_time until);

/* Whether more words than the first count, as far as this process has found
 * out. */
bool rip__os_futex_waits_for_many(void);

/* Wakes up to n sleepers: how many there were. Async-signal-safe. */
unsigned rip__os_futex_wake(const uint32_t *word, bool shared, unsigned n);

/* A barrier in every CPU that runs a thread of a process which asked for it,
 * so that such threads need none of their own. False: it can not be had. */
bool rip__os_barrier_ask(void);
void rip__os_barrier(void);

/* ---- life and death of threads ---------------------------------------- */

/* What the kernel sets in a life word when its thread dies, and keeps there
 * so that it wakes a sleeper then. */
#define RIP__OS_DIED    0x40000000u /* FUTEX_OWNER_DIED */
#define RIP__OS_SLEEPER 0x80000000u /* FUTEX_WAITERS */

/*
 * A node in the robust list that libc keeps for the calling thread. The word
 * that the kernel changes at the thread's death is `rip__os_life_distance()`
 * bytes before the node; the 8 bytes before the node are written by libc and
 * read by nobody.
 */
struct rip__os_life {
    void *next;
};

/* 12 to 120; or -ENOTSUP: this thread's list, or the kernel, is not of the
 * known form, or the kernel was tried and does not keep its word. -EAGAIN,
 * -ENOMEM: it could not be tried, for want of a process; it may be later. */
int rip__os_life_distance(void);

/* Puts the node into the caller's list, and takes it out of there. Between the
 * two, node and word stay mapped. Precondition: the distance is known. */
void rip__os_life_begin(struct rip__os_life *node);
void rip__os_life_end(struct rip__os_life *node);

/* Who a thread is, in a way that no other will ever be. What the system does
 * not tell is 0. */
struct rip__os_thread {
    pid_t pid, tid;
    uint64_t start;         /* of the thread: when, as of whose clock */
    uint64_t process_start; /* of its process */
    uint64_t pidfs;         /* its process's number in pidfs (Linux 6.9) */
};

/* The calling thread. */
void rip__os_thread_self(struct rip__os_thread *ret);
pid_t rip__os_tid(void);

/* What the system calls it: at most 15 bytes and a NUL. */
void rip__os_thread_name(char ret[16]);

/* Whether it is certain that the thread, or all of its process, is dead: a
 * zombie is, a stopped one is not. What cannot be found out is not certain. */
bool rip__os_thread_is_gone(const struct rip__os_thread *t);
bool rip__os_process_is_gone(const struct rip__os_thread *t);

/* Whether there is no thread of that number. */
bool rip__os_tid_is_gone(pid_t tid);

/* Which pid namespace we are in; 0: not known. */
uint64_t rip__os_pid_namespace(void);

/* ---- starting tasks --------------------------------------------------- */

/* Calls that stand in the seam beside the system calls: what libc has to do
 * itself, since it keeps books of it. */
enum {
    RIP__CALL_FORK = 1000000, /* fork(3): no arguments */
    RIP__CALL_THREAD /* pthread_create(3): its four arguments; -error */
};

/* As fork(3), with its handlers. */
pid_t rip__os_fork(void);

/* As _exit(2). Not a call of libc, which every child would have to look up
 * anew, as its parent never makes it. */
_Noreturn void rip__os_exit(int status);

/* Starts a thread, to be joined or detached. `stack` of 0: the usual one. */
int rip__os_thread_new(pthread_t *ret, size_t stack, void *(*fn)(void *),
                       void *arg);
size_t rip__os_stack_least(void);

/* Starts a thread that is nobody's: detached, with all signals blocked and a
 * small stack. */
int rip__os_thread_aside(void *(*fn)(void *), void *arg);

/* Waits until it is gone: 0 or -ETIMEDOUT. By one caller at a time. */
int rip__os_thread_join(pthread_t thread, rip_time deadline);

/* A stack to run on, with nothing below it. */
struct rip__os_stack {
    void *at; /* NULL: none */
    size_t size;
};
int rip__os_stack_new(struct rip__os_stack *ret, size_t size);
void rip__os_stack_done(const struct rip__os_stack *s);

/* Goes on in fn(arg), which does not return, on another stack. */
_Noreturn void rip__os_go_on(const struct rip__os_stack *s,
                             void (*fn)(void *arg), void *arg);

/* What the system calls the calling thread: the first 15 bytes. */
void rip__os_name_thread(const char *name);

/* For the calling thread alone, as the fields of struct rip__os_spawn. */
int rip__os_nice(int by);
int rip__os_affinity(const void *cpus, size_t size);

/* What the calling thread has used so far. */
struct rip__os_usage {
    int64_t user_ns, system_ns;
};
void rip__os_thread_usage(struct rip__os_usage *ret);

/*
 * A new end of this process's lifeline, for a child: the kernel kills who has
 * armed it when this process is gone. The end is its own open file, which only
 * one child may arm; it outlives exec there. The lifeline itself is made at
 * first use, and a child of fork(3) lets go of it by itself.
 */
int rip__os_lifeline(void);
void rip__os_lifeline_arm(int end);

/* Lets go of it, when no child has one: for tests. */
void rip__os_lifeline_done(void);

/* A child of ours, whose number it may no longer be. */
struct rip__os_child {
    pid_t pid;
    uint64_t from, until; /* when it began, in ticks since boot */
};
uint64_t rip__os_ticks(void);

/* A descriptor for it. -ECHILD: it has been reaped, and its number is
 * another's; -ESRCH: or nobody's. */
int rip__os_child_open(const struct rip__os_child *c);

/* The same for one that has just been started, and cannot be another's. */
int rip__os_child_open_new(pid_t pid);

/* Where no descriptor is to be had, by its number: as rip__os_reap, with
 * -ECHILD where somebody else has reaped it; and a signal, or -ESRCH. */
int rip__os_child_reap(pid_t pid, struct rip__os_status *ret);
bool rip__os_child_has_ended(pid_t pid); /* or somebody has reaped it */
int rip__os_child_kill(pid_t pid, int sig);

/* A counter to wait on, and what makes it readable for good. Writing is
 * async-signal-safe. */
int rip__os_eventfd(void);
void rip__os_eventfd_set(int fd);

/* Writes to a descriptor of another process as rip__os_eventfd_set does, if we
 * may look at that process: 0 or an error. */
int rip__os_eventfd_set_of(int pidfd, int fd);

/* ---- a process that starts others for us ------------------------------ */

/* The number of what a descriptor stands for; 0: it can not be told. And
 * whether it still stands for that, as far as can be told. */
uint64_t rip__os_inode(int fd);
bool rip__os_is_still(int fd, uint64_t inode);

/* Closes `fd` in each child of fork(3) from now on; -1: none. Precondition: a
 * lifeline has been made. */
void rip__os_not_for_children(int fd);

/* The signals that the calling thread blocks, as struct rip__os_spawn has
 * them; and sets them, giving those before. */
uint64_t rip__os_signals_blocked(void);
uint64_t rip__os_signals_set(uint64_t blocked);

/* A descriptor that is readable while SIGCHLD, which is blocked, is pending;
 * and the action for it becomes the default. */
struct rip__os_action {
    uint64_t words[5];
};
int rip__os_children_watch(struct rip__os_action *before);
void rip__os_children_unwatch(int fd, const struct rip__os_action *before);
void rip__os_children_seen(int fd);

/* Reaps a child that has ended: 1, or 0: none has. */
int rip__os_children_reap(pid_t *pid, struct rip__os_status *ret);

/* Waits for the end of a child of ours that takes no time, and reaps it, if
 * nobody else has. */
void rip__os_child_await(const struct rip__os_child *c);

/* An executable part of what this program has loaded, and of which image. */
struct rip__os_code {
    uintptr_t at, size;
    uint64_t image;
};

/* All of it: at most `cap`, and how many there are. */
size_t rip__os_code_list(struct rip__os_code *ret, size_t cap);

/* The one that an address lies in. */
bool rip__os_code_of(uintptr_t at, struct rip__os_code *ret);

/* ---- memory ----------------------------------------------------------- */

/* Private zeroed memory, a whole number of pages, that a fork's child gets
 * zeroed again: NULL when there is none, or the system cannot wipe. */
void *rip__os_wiped_map(size_t size);

/* Maps pages of a shared mapping once more, elsewhere, with `extra` bytes of
 * private memory behind them. NULL when that fails. */
void *rip__os_map_again(void *shared, size_t size, size_t extra);
void rip__os_unmap(void *p, size_t size);

/* Puts private zeroed memory in the place of pages that are mapped. */
void rip__os_map_anew(void *p, size_t size);

/* Makes sure of the memory behind a part of a memfd, so that to use it raises
 * no SIGBUS: 0, -ENOSPC, -ENOMEM. */
int rip__os_back(int fd, size_t offset, size_t size);

size_t rip__os_page(void);

/* Memory to be sent, in a descriptor, empty; it is filled by rip__os_write.
 * Then it is sealed, after which nobody can change it. -EFBIG as below. */
int rip__os_parcel_new(size_t size);
int rip__os_parcel_seal(int fd);

/* Whether a descriptor is such sealed memory, of that size: 0 or -EBADMSG. */
int rip__os_parcel_check(int fd, size_t size);

/* New shared memory of `size` bytes, all of them 0 and none of them there yet;
 * its size can not be changed any more, and no other user can open it. The
 * name, "ripstop:" and then `name`, is what /proc shows. -EFBIG: more than
 * RLIMIT_FSIZE. */
int rip__os_memory_new(const char *name, size_t size);

struct rip__os_memory {
    size_t size;
    uint64_t device, inode;
    uid_t owner;
    bool is_fixed; /* it can neither shrink nor grow */
};
int rip__os_memory_look(int fd, struct rip__os_memory *ret);

/* Maps it for reading and writing: where the kernel likes it when `at` is
 * NULL, else there, in place of what is there. It is left out of core dumps,
 * for which the kernel would make every byte of it be there. */
int rip__os_memory_map(void **ret, int fd, size_t size, void *at);

/* The same at `at`, if nothing is there: else -EEXIST. */
int rip__os_memory_map_free(int fd, size_t size, void *at);

/* Lets a part of a mapping be in core dumps. */
void rip__os_memory_dump(void *at, size_t len);

/* Makes sure that all of a mapped part is there, as rip__os_back does, but
 * without a descriptor, and so that it is mapped already: 0 or -ENOMEM;
 * -EOPNOTSUPP before Linux 5.14. */
int rip__os_memory_back(void *at, size_t len);

/* Gives back a part of a mapping, in whole pages: when it is backed again it
 * is all 0. */
int rip__os_memory_drop(void *at, size_t len);

/* As pread(2) and pwrite(2). */
ssize_t rip__os_read_at(int fd, void *buf, size_t cap, size_t offset);
ssize_t rip__os_write_at(int fd, const void *buf, size_t len, size_t offset);

/* Addresses that nothing else comes to lie at: at `at`, if it is not NULL, in
 * place of what is there. */
int rip__os_reserve(void **ret, size_t size, void *at);
bool rip__os_address_space_is_limited(void);

/* Calls `found` for each memory of rip__os_memory_new that a process has open,
 * with its name and with a new descriptor of it, which then is the callee's,
 * until a call does not give 0; which is given back. -EACCES: the process may
 * not be looked at. -ENOENT: there is none of that pid. */
int rip__os_memory_each(pid_t pid, bool writable,
                        int (*found)(void *arg, const char *name, int fd),
                        void *arg);

/* ---- messages --------------------------------------------------------- */

/* Two ends for messages, which stay whole: neither is 0, 1 or 2. */
int rip__os_socket_pair(int ret[2]);

/* Sends a message of several parts, and copies of descriptors with it; raises
 * no SIGPIPE. -EPIPE: nobody has the other end. */
enum { RIP__OS_PASSED = 253 }; /* at most */
int rip__os_send(int fd, struct iovec *parts, size_t n_parts, const int *fds,
                 size_t n_fds);

/* The same, or -EAGAIN. */
int rip__os_send_now(int fd, struct iovec *parts, size_t n_parts,
                     const int *fds, size_t n_fds);

/* Waits for one: its length, and its descriptors, as far as there was room for
 * them. 0: nobody has the other end. */
ssize_t rip__os_receive(int fd, void *buf, size_t cap, int *fds, size_t *n_fds);

/* Looks at the next one, which stays where it is, with descriptors of our own
 * for what came with it: its whole length, whatever room there was. -EAGAIN:
 * there is none; 0: and none will come. `short_of_fds`: there was no
 * descriptor to be had for some; those that were had are in `fds`, which has
 * room for RIP__OS_PASSED. */
ssize_t rip__os_peek(int fd, struct iovec *parts, size_t n_parts, int *fds,
                     size_t *n_fds, bool *short_of_fds);

/* Takes the next one away, unseen: 0, -EAGAIN. */
int rip__os_drop(int fd);

/* Takes a name, of at most 106 bytes, in the namespace of abstract sockets, to
 * be connected to: -EADDRINUSE. It does not wait. Connecting does neither:
 * -ECONNREFUSED, nobody has the name; -EAGAIN, too many wait to be accepted.
 * Those of rip__os_name_take are others, even where they are the same. */
int rip__os_listen(const char *name);
int rip__os_accept(int fd);
int rip__os_connect(const char *name);

/* Ends a connection for whoever has a descriptor of it, at both ends. Who waits
 * in it is woken. Of one who listens: it accepts no more. */
void rip__os_hang_up(int fd);

/* Whether this is a socket as those above, and none that listens. */
bool rip__os_is_channel(int fd);

/* How many bytes may be on their way, what the kernel adds to each message
 * counted in. `wish` of 0 leaves it as it is; the system may have less. */
int rip__os_send_room(int fd, size_t wish, size_t *ret);

/* Who made the other end: of a pair, who made that; else who connected, or who
 * listened. And a pidfd of that; before Linux 6.5 it is had by the number,
 * which can be another's by then. */
struct rip__os_peer {
    pid_t pid; /* 0: in a pid namespace that we do not see */
    uid_t uid;
    gid_t gid;
};
int rip__os_peer(int fd, struct rip__os_peer *ret);
int rip__os_peer_open(int fd);

/* ---- names that processes have ---------------------------------------- */

/* Takes a name, of at most 106 bytes, in the namespace of abstract sockets: a
 * descriptor, or -EADDRINUSE. It is free again when the last copy of that is
 * closed, so at the latest when the last process that has one ends. */
int rip__os_name_take(const char *name);

/* Asks who took it. The result, a descriptor, hangs up (POLLHUP) when the name
 * is let go. -ECONNREFUSED: nobody has it. */
int rip__os_name_ask(const char *name, struct rip__os_peer *ret);

/* Calls `found` for each name that is taken and begins with `prefix`, with
 * what follows that, until a call does not give 0; which is given back. */
int rip__os_name_each(const char *prefix,
                      int (*found)(void *arg, const char *rest), void *arg);

/* Calls `found` for each process of this user, or all when this is root, until
 * a call does not give 0; which is given back. */
int rip__os_pid_each(int (*found)(void *arg, pid_t pid), void *arg);

uid_t rip__os_user(void);

/* Whether a thread is stopped, by a signal or a tracer. */
bool rip__os_is_stopped(pid_t pid, pid_t tid);

/* ---- the process ------------------------------------------------------ */

/* CLOCK_MONOTONIC in nanoseconds. */
rip_time rip__os_clock(void);

/* The same, some milliseconds late, and in a third of the time. */
rip_time rip__os_clock_coarse(void);

/* The most memory this process ever held, in bytes. */
int64_t rip__os_peak_memory(void);

/* The path of the program that it runs; "(deleted)" follows where there is no
 * such file any more. Its length, or an error. */
ssize_t rip__os_program(char *buf, size_t cap);

/* The CPUs in the affinity mask; at least 1. */
unsigned rip__os_affinity_count(void);

#endif
