/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

/*
 * Our own symbol table, read from the file: dladdr(3) does not know static
 * functions, which most functions are, and takes the loader's lock, which the
 * thread that is to dump its stack may hold.
 */
static const ElfW(Sym) * symbols;
static size_t n_symbols;
static const char *strings;
static uintptr_t base; /* what the addresses in the file are relative to */
static uintptr_t end;

static int find_base(struct dl_phdr_info *info, size_t size, void *ctx)
{
    (void)size;
    (void)ctx;
    base = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t e = base + ph->p_vaddr + ph->p_memsz;

        if (ph->p_type == PT_LOAD && e > end)
            end = e;
    }
    return 1; /* the first one is the program itself */
}

static void use_file(const char *file)
{
    const ElfW(Ehdr) *eh = (const void *)file;
    const ElfW(Shdr) *sh = (const void *)(file + eh->e_shoff);

    for (size_t i = 0; i < eh->e_shnum; i++)
        if (sh[i].sh_type == SHT_SYMTAB) {
            symbols = (const void *)(file + sh[i].sh_offset);
            n_symbols = sh[i].sh_size / sizeof *symbols;
            strings = file + sh[sh[i].sh_link].sh_offset;
        }
}

void harness_symbols_load(void)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *file;

    dl_iterate_phdr(find_base, NULL);
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (file != MAP_FAILED && memcmp(file, ELFMAG, SELFMAG) == 0)
        use_file(file);
}

static void foreign_symbol(const void *address, char *buf, size_t cap)
{
    Dl_info info;
    const char *file;

    if (dladdr(address, &info) == 0) {
        snprintf(buf, cap, "%p", address);
        return;
    }
    file = strrchr(info.dli_fname, '/');
    file = file != NULL ? file + 1 : info.dli_fname;
    if (info.dli_sname != NULL)
        snprintf(buf, cap, "%s+0x%tx", info.dli_sname,
                 (const char *)address - (const char *)info.dli_saddr);
    else
        snprintf(buf, cap, "%s+0x%tx", file,
                 (const char *)address - (const char *)info.dli_fbase);
}

void harness_symbol(const void *address, char *buf, size_t cap)
{
    uintptr_t at = (uintptr_t)address;

    if (at < base || at >= end) {
        foreign_symbol(address, buf, cap);
        return;
    }
    for (size_t i = 0; i < n_symbols; i++) {
        const ElfW(Sym) *s = &symbols[i];

        if ((s->st_info & 0xf) == STT_FUNC && at - base >= s->st_value &&
            at - base < s->st_value + s->st_size) {
            snprintf(buf, cap, "%s+0x%lx", strings + s->st_name,
                     (unsigned long)(at - base - s->st_value));
            return;
        }
    }
    snprintf(buf, cap, "0x%lx", (unsigned long)(at - base));
}

struct walk {
    void **frame;
    size_t n, cap;
};

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *ctx)
{
    struct walk *w = ctx;
    int exact;
    uintptr_t ip = _Unwind_GetIPInfo(context, &exact);

    if (ip == 0 || w->n == w->cap)
        return _URC_END_OF_STACK;
    /* A return address may lie behind the function's end, if it calls one
     * that does not return. */
    w->frame[w->n++] = (void *)(exact ? ip : ip - 1);
    return _URC_NO_REASON;
}

/* Not backtrace(3): that one loads a library at its first call. */
size_t harness_backtrace(void **ret, size_t cap)
{
    struct walk w = { ret, 0, cap };

    _Unwind_Backtrace(step, &w);
    return w.n;
}

/* Says everything in one piece: several threads do so at a time. */
static void on_dump_signal(int sig, siginfo_t *info, void *context)
{
    void *frame[48];
    size_t n = harness_backtrace(frame, 48);
    char text[4000], name[160];
    int len = snprintf(text, sizeof text, "  stack of thread %ld:\n",
                       syscall(SYS_gettid));

    (void)sig;
    (void)info;
    (void)context;
    for (size_t i = 1; i < n && len < (int)sizeof text; i++) {
        harness_symbol(frame[i], name, sizeof name);
        len += snprintf(text + len, sizeof text - (size_t)len, "    #%zu %s\n",
                        i - 1, name);
    }
    harness_say("%s", text);
    harness_report->dumped++;
}

/* An alternate stack, for the main thread alone, so that a test which hangs
 * at the end of its stack can say so. */
void harness_stack_handler(void)
{
    static char stack[64 * 1024];
    struct sigaction action = { .sa_sigaction = on_dump_signal,
                                .sa_flags =
                                    SA_SIGINFO | SA_RESTART | SA_ONSTACK };
    stack_t old;

    if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE))
        sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof stack },
                    NULL);
    sigaction(HARNESS_DUMP_SIGNAL, &action, NULL);
}
