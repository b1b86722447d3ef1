/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t harness_slurp(const char *path, char *buf, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;

    if (fd < 0)
        return -1;
    while (len + 1 < cap && (n = read(fd, buf + len, cap - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    buf[len] = '\0';
    return n < 0 ? -1 : (ssize_t)len;
}

uint64_t harness_proc_mask(const char *path, const char *field)
{
    char file[96], text[4096];
    const char *line;
    size_t len = strlen(field);

    snprintf(file, sizeof file, "/proc/%s/status", path);
    if (harness_slurp(file, text, sizeof text) < 0)
        return 0;
    for (line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, field, len) == 0 && line[len] == ':')
            return strtoull(line + len + 1, NULL, 16);
    }
    return 0;
}

#define PF_EXITING 0x4u
#define KILL_BIT   (UINT64_C(1) << (SIGKILL - 1))

/* comm may hold anything, also parentheses: the last one ends it. */
static bool parse_stat(const char *text, struct harness_proc *p,
                       unsigned *flags)
{
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    int n;

    if (open == NULL || close == NULL)
        return false;
    n = (int)(close - open - 1);
    snprintf(p->comm, sizeof p->comm, "%.*s", n < 16 ? n : 16, open + 1);
    return sscanf(close + 1, " %c %d %*d %*d %*d %*d %u", &p->state, &p->parent,
                  flags) == 3;
}

bool harness_proc_read(pid_t pid, struct harness_proc *ret)
{
    char path[64], text[1024];
    unsigned flags;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (harness_slurp(path, text, sizeof text) <= 0 ||
        !parse_stat(text, ret, &flags))
        return false;
    ret->pid = pid;
    ret->exiting = strchr("ZX", ret->state) != NULL || (flags & PF_EXITING);
    return true;
}

bool harness_proc_dying(const struct harness_proc *p)
{
    char pid[16];

    snprintf(pid, sizeof pid, "%d", p->pid);
    return p->exiting || (harness_proc_mask(pid, "ShdPnd") & KILL_BIT) ||
           (harness_proc_mask(pid, "SigPnd") & KILL_BIT);
}

void harness_proc_each(pid_t parent,
                       void (*fn)(const struct harness_proc *p, void *ctx),
                       void *ctx)
{
    DIR *dir = opendir("/proc");
    struct dirent *e;
    struct harness_proc p;

    if (dir == NULL)
        return;
    while ((e = readdir(dir)) != NULL)
        if (isdigit((unsigned char)e->d_name[0]) &&
            harness_proc_read(atoi(e->d_name), &p) &&
            (parent == 0 || p.parent == parent))
            fn(&p, ctx);
    closedir(dir);
}

void harness_proc_command(const struct harness_proc *p, char *buf, size_t cap)
{
    char path[64];
    ssize_t len;

    snprintf(path, sizeof path, "/proc/%d/cmdline", p->pid);
    len = harness_slurp(path, buf, cap);
    if (len <= 0) {
        snprintf(buf, cap, "[%s]", p->comm);
        return;
    }
    for (ssize_t i = 0; i < len - 1; i++)
        if (iscntrl((unsigned char)buf[i]))
            buf[i] = ' ';
}

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    if (kind == FTW_DNR && chmod(path, 0700) < 0)
        return 0;
    remove(path);
    return 0;
}

void harness_remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
