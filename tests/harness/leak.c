/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/exit.h>

#include "segment/layout.h"
#include "task/task.h"

/* Calls fn for each name in a directory but "." and "..", and the descriptor
 * by which it is being read. */
static void each_name(struct harness_set *set, const char *path,
                      void (*fn)(struct harness_set *set, const char *name))
{
    DIR *dir = opendir(path);
    struct dirent *e;
    char own[16];

    if (dir == NULL) {
        harness_set_add(set, "(%s cannot be listed: %s)", path,
                        harness_errno_name(errno));
        return;
    }
    snprintf(own, sizeof own, "%d", dirfd(dir));
    while ((e = readdir(dir)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strcmp(e->d_name, own) != 0)
            fn(set, e->d_name);
    closedir(dir);
}

/* The flags are listed, since O_NONBLOCK on a descriptor that is shared with
 * others is a side effect on them too. */
static void add_fd(struct harness_set *set, const char *name)
{
    char path[32], target[512];
    int fd = atoi(name);
    ssize_t len;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    len = readlink(path, target, sizeof target - 1);
    target[len < 0 ? 0 : len] = '\0';
    harness_set_add(set, "%d -> %s (flags 0%o%s)", fd, target,
                    (unsigned)fcntl(fd, F_GETFL),
                    fcntl(fd, F_GETFD) & FD_CLOEXEC ? ", close-on-exec" : "");
}

static void list_fds(struct harness_set *set)
{
    each_name(set, "/proc/self/fd", add_fd);
}

static void add_thread(struct harness_set *set, const char *name)
{
    char path[64], comm[32];

    snprintf(path, sizeof path, "/proc/self/task/%.16s/comm", name);
    if (harness_slurp(path, comm, sizeof comm) < 0)
        return;
    comm[strcspn(comm, "\n")] = '\0';
    if (strcmp(comm, "rip-wait") != 0) /* the library's own: it stays */
        harness_set_add(set, "%s (%s)", name, comm);
}

static void list_threads(struct harness_set *set)
{
    each_name(set, "/proc/self/task", add_thread);
}

static void add_child(const struct harness_proc *p, void *ctx)
{
    char command[512];

    harness_proc_command(p, command, sizeof command);
    harness_set_add(ctx, "%d %s%s", p->pid, command,
                    p->state == 'Z' ? " (a zombie, not waited for)" : "");
}

/* The kernel knows better than /proc whether there are any. */
static void list_children(struct harness_set *set)
{
    siginfo_t info;

    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 &&
        errno == ECHILD)
        return;
    harness_proc_each(getpid(), add_child, set);
}

static void add_shm(struct harness_set *set, const char *name)
{
    char path[300];
    struct stat st;

    snprintf(path, sizeof path, "/dev/shm/%s", name);
    if (lstat(path, &st) == 0 && st.st_uid == geteuid())
        harness_set_add(set, "%s", path);
}

static void list_shm(struct harness_set *set)
{
    if (access("/dev/shm", R_OK) == 0)
        each_name(set, "/dev/shm", add_shm);
}

static struct harness_set *file_set; /* nftw hands no pointer on */

static int add_file(const char *path, const struct stat *st, int kind,
                    struct FTW *ftw)
{
    (void)st;
    if (ftw->level > 0)
        harness_set_add(file_set, "%s%s", path + strlen(harness_directory) + 1,
                        kind == FTW_D ? "/" : "");
    return 0;
}

static void list_files(struct harness_set *set)
{
    file_set = set;
    nftw(harness_directory, add_file, 16, FTW_PHYS);
}

/* libc keeps two signals for itself, and installs their handlers when it
 * first needs them. */
static bool is_libc_signal(int sig)
{
    return sig >= 32 && sig < SIGRTMIN;
}

static void signal_text(int sig, char *buf, size_t cap)
{
    const char *name = rip_signal_name(sig);

    if (name != NULL)
        snprintf(buf, cap, "%s", name);
    else
        snprintf(buf, cap, "signal %d", sig);
}

static void list_members(struct harness_set *set, const sigset_t *signals)
{
    char name[32];

    for (int sig = 1; sig < NSIG; sig++)
        if (!is_libc_signal(sig) && sigismember(signals, sig) == 1) {
            signal_text(sig, name, sizeof name);
            harness_set_add(set, "%s", name);
        }
}

static void list_blocked(struct harness_set *set)
{
    sigset_t mask;

    sigprocmask(SIG_BLOCK, NULL, &mask);
    list_members(set, &mask);
}

static void list_pending(struct harness_set *set)
{
    sigset_t pending;

    sigpending(&pending);
    list_members(set, &pending);
}

static void list_actions(struct harness_set *set)
{
    struct sigaction action;
    char name[32], by[160];

    for (int sig = 1; sig < NSIG; sig++) {
        if (is_libc_signal(sig) || sigaction(sig, NULL, &action) < 0 ||
            action.sa_handler == SIG_DFL)
            continue;
        signal_text(sig, name, sizeof name);
        if (action.sa_handler == SIG_IGN) {
            harness_set_add(set, "%s ignored", name);
            continue;
        }
        harness_symbol((void *)action.sa_handler, by, sizeof by);
        harness_set_add(set, "%s handled by %s (flags 0x%x)", name, by,
                        (unsigned)action.sa_flags);
    }
}

static void list_directory(struct harness_set *set)
{
    char path[4096];

    harness_set_add(set, "%.900s", getcwd(path, sizeof path) ? path : "(gone)");
}

/*
 * All that must be the same after a test as before. `gone` is NULL where less
 * than before is fine. What `settles` may take a moment to become true: a
 * thread that has been joined is still listed for an instant, and names in
 * /dev/shm may be those of another program at work.
 */
static const struct kind {
    const char *more, *gone;
    void (*list)(struct harness_set *set);
    bool settles;
} kinds[] = {
    { "descriptor left open: ", "descriptor closed: ", list_fds, false },
    { "thread left running: ", NULL, list_threads, true },
    { "child left: ", NULL, list_children, false },
    { "name left in /dev/shm: ", NULL, list_shm, true },
    { "file left: ", NULL, list_files, false },
    { "signal left blocked: ", "signal left unblocked: ", list_blocked, false },
    { "signal left pending: ", "pending signal eaten: ", list_pending, false },
    { "disposition changed: now ", "disposition changed: was ", list_actions,
      false },
    { "working directory changed to ", "working directory changed from ",
      list_directory, false },
    { "allocation left: ", NULL, harness_seam_list, false },
};

#define N_KINDS (sizeof kinds / sizeof kinds[0])
#define NAPS    200 /* of a millisecond: how long things may take to settle */

struct harness_state {
    struct harness_set set[N_KINDS];
};

/* What the library keeps as long as the program lives: the template, the
 * program's own segment, and the memberships of this thread. */
static void put_away(void)
{
    rip__task_forget_buried();
    rip__template_done();
    rip__os_lifeline_done();
    rip__segment_close_own();
    rip__leave_all();
}

struct harness_state *harness_state_take(void)
{
    struct harness_state *s = calloc(1, sizeof *s);

    put_away();

    if (s == NULL)
        abort();
    for (size_t i = 0; i < N_KINDS; i++)
        kinds[i].list(&s->set[i]);
    return s;
}

void harness_state_free(struct harness_state *state)
{
    if (state == NULL)
        return;
    for (size_t i = 0; i < N_KINDS; i++)
        harness_set_done(&state->set[i]);
    free(state);
}

static size_t check_kind(const struct kind *k, struct harness_set *before)
{
    struct harness_set now = { 0 };
    size_t found;

    k->list(&now);
    for (int i = 0; k->settles && i < NAPS; i++) {
        if (harness_set_minus(&now, before, NULL) == 0)
            break;
        harness_nap();
        harness_set_done(&now);
        k->list(&now);
    }
    found = harness_set_minus(&now, before, k->more);
    if (k->gone != NULL)
        found += harness_set_minus(before, &now, k->gone);
    harness_set_done(&now);
    return found;
}

size_t harness_state_check(struct harness_state *before)
{
    size_t found = 0;

    put_away();
    for (size_t i = 0; i < N_KINDS; i++)
        found += check_kind(&kinds[i], &before->set[i]);
    return found;
}
