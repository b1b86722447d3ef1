/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h> /* geteuid */

/* What links to memory of ours look like. */
static const char memory_link[] = "/memfd:ripstop:";

/* ---- abstract sockets ------------------------------------------------- */

/* So many may ask for a name at once; the kernel makes it at most somaxconn. */
#define BACKLOG 4096

static int new_socket(void)
{
    return rip__raise_above_2((int)RIP__SYS(
        SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int rip__os_name_take(const char *name)
{
    struct sockaddr_un address;
    socklen_t len = rip__abstract(&address, name);
    int fd = new_socket();
    if (fd < 0)
        return fd;
    long r = RIP__SYS(SYS_bind, fd, &address, len);
    if (r == 0) /* so that whoever asks can learn who we are */
        r = RIP__SYS(SYS_listen, fd, BACKLOG);
    if (r < 0)
        rip__os_close(fd);
    return r < 0 ? (int)r : fd;
}

int rip__os_name_ask(const char *name, struct rip__os_peer *ret)
{
    struct sockaddr_un address;
    socklen_t len = rip__abstract(&address, name);
    struct ucred who = { 0 };
    socklen_t size = sizeof who;
    int fd = new_socket();
    if (fd < 0)
        return fd;
    long r;
    do
        r = RIP__SYS(SYS_connect, fd, &address, len);
    while (r == -EINTR);
    if (r == 0)
        r = RIP__SYS(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
    if (r < 0) {
        rip__os_close(fd);
        return (int)r;
    }
    *ret = (struct rip__os_peer){ who.pid, who.uid, who.gid };
    return fd;
}

/* "Num: RefCount Protocol Flags Type St Inode @name": whether a line of
 * /proc/net/unix tells of such a name. */
static const char *name_after(const char *line, const char *prefix)
{
    const char *name = strstr(line, " @");
    size_t len = strlen(prefix);
    return name && strncmp(name + 2, prefix, len) == 0 ? name + 2 + len : NULL;
}

struct names {
    const char *prefix;
    int (*found)(void *arg, const char *rest);
    void *arg;
};

/* Uses the whole lines of a buffer, and keeps what is left of it. */
static int use_lines(const struct names *names, char *buf, size_t *len)
{
    size_t at = 0;
    int r = 0;
    const char *end;
    while (r == 0 && (end = memchr(buf + at, '\n', *len - at))) {
        buf[end - buf] = 0;
        const char *rest = name_after(buf + at, names->prefix);
        if (rest)
            r = names->found(names->arg, rest);
        at = (size_t)(end - buf) + 1;
    }
    *len -= at;
    memmove(buf, buf + at, *len);
    return r;
}

int rip__os_name_each(const char *prefix,
                      int (*found)(void *arg, const char *rest), void *arg)
{
    const struct names names = { prefix, found, arg };
    char buf[8192];
    size_t len = 0;
    ssize_t n;
    int r = 0, fd = rip__os_open("/proc/thread-self/net/unix", O_RDONLY, 0);
    if (fd < 0)
        return fd;
    while ((n = rip__os_read(fd, buf + len, sizeof buf - len)) > 0) {
        len += (size_t)n;
        r = use_lines(&names, buf, &len);
        if (r != 0)
            break;
        if (len == sizeof buf) /* no line of ours is so long */
            len = 0;
    }
    rip__os_close(fd);
    return n < 0 ? (int)n : r;
}

/* ---- what processes have ---------------------------------------------- */

/* Calls `found` for each entry of a directory that is a number. */
static int each_number(int dir, int (*found)(void *arg, long number), void *arg)
{
    _Alignas(struct rip__dirent) char list[4096];
    long n;
    while ((n = RIP__SYS(SYS_getdents64, dir, list, sizeof list)) > 0) {
        for (long at = 0; at < n;) {
            const struct rip__dirent *d = (const void *)(list + at);
            bool is_number = d->name[0] >= '0' && d->name[0] <= '9';
            int r = is_number ? found(arg, strtol(d->name, NULL, 10)) : 0;
            if (r != 0)
                return r;
            at += d->size;
        }
    }
    return (int)n;
}

struct memories {
    int dir;
    bool writable;
    int (*found)(void *arg, const char *name, int fd);
    void *arg;
};

static int look_at_fd(void *arg, long number)
{
    const struct memories *m = arg;
    char name[16], target[256];
    const size_t len = sizeof memory_link - 1;
    snprintf(name, sizeof name, "%ld", number);
    long n = RIP__SYS(SYS_readlinkat, m->dir, name, target, sizeof target - 1);
    if (n <= (long)len || memcmp(target, memory_link, len) != 0)
        return 0;
    target[n] = 0;
    char *end = strstr(target, " (deleted)");
    if (end)
        *end = 0;
    int fd = rip__os_open_at(m->dir, name, m->writable ? O_RDWR : O_RDONLY, 0);
    if (fd < 0) /* it is gone again; or there is no room, which counts */
        return fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ? fd : 0;
    return m->found(m->arg, target + len, fd);
}

int rip__os_memory_each(pid_t pid, bool writable,
                        int (*found)(void *arg, const char *name, int fd),
                        void *arg)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    struct memories m = { .writable = writable, .found = found, .arg = arg };
    m.dir = rip__os_open(path, O_RDONLY | O_DIRECTORY, 0);
    if (m.dir < 0)
        return m.dir;
    int r = each_number(m.dir, look_at_fd, &m);
    rip__os_close(m.dir);
    return r == -ENOENT || r == -ESRCH ? 0 : r; /* it has just ended */
}

struct pids {
    int dir;
    uid_t user;
    int (*found)(void *arg, pid_t pid);
    void *arg;
};

static int look_at_pid(void *arg, long number)
{
    const struct pids *p = arg;
    char name[16];
    struct statx st;
    snprintf(name, sizeof name, "%ld", number);
    bool ours = RIP__SYS(SYS_statx, p->dir, name, 0, STATX_UID, &st) == 0 &&
                (p->user == 0 || st.stx_uid == p->user);
    return ours ? p->found(p->arg, (pid_t)number) : 0;
}

int rip__os_pid_each(int (*found)(void *arg, pid_t pid), void *arg)
{
    struct pids p = { .user = rip__os_user(), .found = found, .arg = arg };
    p.dir = rip__os_open("/proc", O_RDONLY | O_DIRECTORY, 0);
    if (p.dir < 0)
        return p.dir;
    int r = each_number(p.dir, look_at_pid, &p);
    rip__os_close(p.dir);
    return r;
}

uid_t rip__os_user(void)
{
    return geteuid();
}

bool rip__os_is_stopped(pid_t pid, pid_t tid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    if (rip__os_slurp(path, text, sizeof text) < 0)
        return false;
    const char *s = strrchr(text, ')');
    return s && strlen(s) > 2 && (s[2] == 'T' || s[2] == 't');
}
