/* SPDX-License-Identifier: MIT */
/*
 * What the scenes need of the inside of the library, of which a shared library
 * exports nothing: found by the symbols that are in its file until it is
 * stripped.
 */
#include "driver.h"
#include "library.h"
#include "os/os.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char drive_swept[256];

static const unsigned char *file; /* its file, to be read */
static char *base;                /* where it is loaded */

static void open_library(void)
{
    Dl_info info;
    struct stat st;
    int fd;
    if (dladdr((void *)(uintptr_t)rip_lock_acquire, &info) == 0)
        return;
    base = info.dli_fbase;
    fd = open(info.dli_fname, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return;
    snprintf(drive_swept, sizeof drive_swept, "%s", info.dli_fname);
    file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
}

static const Elf64_Shdr *section(unsigned i)
{
    const Elf64_Ehdr *e = (const void *)file;
    return (const void *)(file + e->e_shoff + (size_t)i * e->e_shentsize);
}

static const Elf64_Shdr *symbols(void)
{
    const Elf64_Ehdr *e = (const void *)file;
    for (unsigned i = 0; i < e->e_shnum; i++)
        if (section(i)->sh_type == SHT_SYMTAB)
            return section(i);
    return NULL;
}

static void *find(const char *name)
{
    const Elf64_Shdr *table = symbols();
    const Elf64_Sym *s, *end;
    const char *names;
    if (table == NULL)
        return NULL;
    names = (const void *)(file + section(table->sh_link)->sh_offset);
    s = (const void *)(file + table->sh_offset);
    end = s + table->sh_size / sizeof *s;
    for (; s < end; s++)
        if (strcmp(names + s->st_name, name) == 0)
            return base + s->st_value;
    return NULL;
}

/* ---- the same names, which go there ----------------------------------- */

int64_t *kill_look_again;

static struct {
    int (*join_slowly)(const void *, struct rip__me **);
    void (*sweep)(struct rip__domain *);
    void (*leave_all)(void);
    struct rip__domain *(*domain_of)(const void *);
    int (*life_distance)(void);
} inside;

int rip__join_slowly(const void *object, struct rip__me **ret)
{
    return inside.join_slowly(object, ret);
}

void rip__sweep(struct rip__domain *d)
{
    inside.sweep(d);
}

void rip__leave_all(void)
{
    inside.leave_all();
}

struct rip__domain *rip__domain_of(const void *object)
{
    return inside.domain_of(object);
}

int rip__os_life_distance(void)
{
    return inside.life_distance();
}

_Noreturn static void skip(const char *why)
{
    printf("1..0 # SKIP %s\n", why);
    exit(0);
}

static void *need(const char *name)
{
    void *found = file != NULL ? find(name) : NULL;
    if (found == NULL)
        skip("the shared library is stripped: the scenes cannot look inside");
    return found;
}

static void need_ptrace(void)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0);
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
        skip("ptrace(2) is refused");
}

/* Functions that are bound at their first call are so now: by a program that
 * is executed once more. */
static void bind_now(char **argv)
{
    if (getenv("LD_BIND_NOW") != NULL)
        return;
    setenv("LD_BIND_NOW", "1", 1);
    execv("/proc/self/exe", argv);
    perror("kill-step: exec");
    exit(2);
}

void drive_prepare(char **argv)
{
    bind_now(argv);
    need_ptrace();
    open_library();
    kill_look_again = need("rip__look_again_ns");
    *(void **)&inside.join_slowly = need("rip__join_slowly");
    *(void **)&inside.sweep = need("rip__sweep");
    *(void **)&inside.leave_all = need("rip__leave_all");
    *(void **)&inside.domain_of = need("rip__domain_of");
    *(void **)&inside.life_distance = need("rip__os_life_distance");
}
