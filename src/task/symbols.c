/* SPDX-License-Identifier: MIT */
#include "task/symbols.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <string.h>

#include "base/base.h"
#include "os/os.h"
#include "task/crash.h"

typedef ElfW(Ehdr) file_header;
typedef ElfW(Shdr) section_header;
typedef ElfW(Sym) symbol;

/* ---- a file ----------------------------------------------------------- */

/*
 * It is read, not mapped: a part that is not there is a short read then, and no
 * SIGBUS when somebody truncates the file meanwhile. So no offset in it has to
 * be believed or checked.
 */

enum {
    SECTIONS_MAX = SHN_LORESERVE, /* beyond that no program is linked */
    SYMBOLS_MAX = 1 << 24,
    CHUNK = 128
};

/* How much there is of it. */
static size_t read_some(int fd, void *buf, size_t len, uint64_t offset)
{
    size_t done = 0;
    ssize_t n = 1;
    while (n > 0 && done < len && offset <= SSIZE_MAX - len) {
        n = rip__os_read_at(fd, (char *)buf + done, len - done,
                            (size_t)offset + done);
        done += n > 0 ? (size_t)n : 0;
    }
    return done;
}

static bool read_at(int fd, void *buf, size_t len, uint64_t offset)
{
    return read_some(fd, buf, len, offset) == len;
}

/* Of a program for this machine: its words are read as ours. */
static bool read_header(int fd, file_header *ret)
{
    const unsigned char ours[] = {
        ELFMAG0,
        ELFMAG1,
        ELFMAG2,
        ELFMAG3,
        sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32,
        __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB,
    };
    return read_at(fd, ret, sizeof *ret, 0) &&
           memcmp(ret->e_ident, ours, sizeof ours) == 0 &&
           ret->e_shentsize == sizeof(section_header) &&
           ret->e_shnum < SECTIONS_MAX;
}

static bool read_section(int fd, const file_header *file, uint32_t i,
                         section_header *ret)
{
    uint64_t offset;
    return i < file->e_shnum &&
           !__builtin_add_overflow(file->e_shoff, i * sizeof *ret, &offset) &&
           read_at(fd, ret, sizeof *ret, offset);
}

/* The table of all symbols, or if that was stripped that of the exported. */
static bool find_symbols(int fd, const file_header *file, section_header *ret)
{
    section_header s;
    bool found = false;
    for (uint32_t i = 0; read_section(fd, file, i, &s); i++) {
        if ((s.sh_type != SHT_SYMTAB && s.sh_type != SHT_DYNSYM) ||
            s.sh_entsize != sizeof(symbol))
            continue;
        if (found && s.sh_type == SHT_DYNSYM)
            continue;
        *ret = s;
        found = true;
        if (s.sh_type == SHT_SYMTAB)
            break;
    }
    return found;
}

/* Of several names for a function the most public one is taken. 0: it is none
 * that has a place here. The type and the binding are coded alike in both
 * classes. */
static uint32_t rank_of(const symbol *s)
{
    uint32_t type = ELF64_ST_TYPE(s->st_info);
    if ((type != STT_FUNC && type != STT_GNU_IFUNC) ||
        s->st_shndx == SHN_UNDEF || s->st_shndx >= SHN_LORESERVE)
        return 0;
    switch (ELF64_ST_BIND(s->st_info)) {
    case STB_GLOBAL:
        return 3;
    case STB_WEAK:
        return 2;
    default:
        return 1;
    }
}

/* The last that begins before. */
static void compare(struct rip__symbol *w, const symbol *s, uint32_t rank)
{
    if (s->st_value > w->at || s->st_value < w->begin ||
        (s->st_value == w->begin && rank <= w->rank))
        return;
    w->begin = s->st_value;
    w->size = s->st_size;
    w->rank = rank;
    w->name = s->st_name;
    w->section = s->st_shndx;
}

static void compare_all(int fd, const section_header *table,
                        struct rip__symbol *wanted, size_t n)
{
    symbol some[CHUNK];
    uint64_t left = table->sh_size / sizeof *some, offset = table->sh_offset;
    left = left < SYMBOLS_MAX ? left : SYMBOLS_MAX;
    while (left > 0) {
        size_t now = left < CHUNK ? (size_t)left : CHUNK;
        if (!read_at(fd, some, now * sizeof *some, offset))
            return;
        for (size_t i = 0; i < now; i++) {
            uint32_t rank = rank_of(&some[i]);
            for (size_t k = 0; rank > 0 && k < n; k++)
                compare(&wanted[k], &some[i], rank);
        }
        left -= now;
        offset += now * sizeof *some;
    }
}

/* What is written in assembly has no size, as a rule: that goes to the end of
 * its section. */
static bool is_within(int fd, const file_header *file,
                      const struct rip__symbol *w)
{
    section_header s;
    if (w->size != 0)
        return w->at - w->begin < w->size;
    return read_section(fd, file, w->section, &s) &&
           w->at - s.sh_addr < s.sh_size;
}

/* As much of it as there is room for. The last byte stays 0. */
static void read_name(int fd, const section_header *names,
                      struct rip__symbol *w)
{
    uint64_t offset;
    if (w->name < names->sh_size &&
        !__builtin_add_overflow(names->sh_offset, w->name, &offset))
        (void)read_some(fd, w->function, sizeof w->function - 1, offset);
}

void rip__symbols_read(int fd, struct rip__symbol *wanted, size_t n)
{
    file_header file;
    section_header table, names;
    if (!read_header(fd, &file) || !find_symbols(fd, &file, &table) ||
        !read_section(fd, &file, table.sh_link, &names) ||
        names.sh_type != SHT_STRTAB)
        return;
    compare_all(fd, &table, wanted, n);
    for (size_t i = 0; i < n; i++) {
        if (wanted[i].rank > 0 && is_within(fd, &file, &wanted[i]))
            read_name(fd, &names, &wanted[i]);
    }
}

/* ---- what is loaded --------------------------------------------------- */

enum { HEAD = 1024 };

/* A program or library, as it was loaded, and which of the frames are in it. */
struct module {
    const struct rip_frame *frames;
    size_t n, wanted;
    bool has[RIP__FRAMES];
    uintptr_t base;
    size_t head_len;
    unsigned char head[HEAD]; /* how its file begins */
    char path[PATH_MAX];
};

/* Of a call, rather than where it returns to. */
static uintptr_t place_of(const struct rip_frame *frames, size_t i)
{
    return frames[i].address - (i > 0);
}

static bool covers(const struct dl_phdr_info *info, uintptr_t at)
{
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD &&
            at - info->dlpi_addr - p->p_vaddr < p->p_memsz)
            return true;
    }
    return false;
}

/* The first page is of the file too; the id of its build is in there. */
static void copy_head(struct module *m, const struct dl_phdr_info *info)
{
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || p->p_offset != 0 || !(p->p_flags & PF_R))
            continue;
        m->head_len = p->p_filesz < HEAD ? p->p_filesz : HEAD;
        const uintptr_t from = info->dlpi_addr + p->p_vaddr;
        memcpy(m->head, (const void *)from, m->head_len);
        return;
    }
}

/* What there is room for. */
static void copy(char *to, size_t cap, const char *from)
{
    struct rip__text t = { to, cap, 0 };
    rip__text_add(&t, from);
    (void)rip__text_end(&t);
}

/* Nothing is opened here: the loader's lock is held. */
static int look_at_module(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct module *m = arg;
    (void)size;
    if (!covers(info, place_of(m->frames, m->wanted)))
        return 0;
    for (size_t i = 0; i < m->n; i++)
        m->has[i] = covers(info, place_of(m->frames, i));
    m->base = info->dlpi_addr;
    m->head_len = 0;
    copy_head(m, info);
    copy(m->path, sizeof m->path, info->dlpi_name ? info->dlpi_name : "");
    return 1;
}

/* The file may have been replaced since it was loaded. */
static bool is_same(const struct module *m, int fd)
{
    unsigned char head[HEAD];
    return m->head_len > 0 && read_at(fd, head, m->head_len, 0) &&
           memcmp(head, m->head, m->head_len) == 0;
}

/* The program itself has no name there. */
static int open_module(const struct module *m)
{
    const char *path = m->path[0] ? m->path : "/proc/self/exe";
    int fd = rip__os_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd >= 0 && !is_same(m, fd)) {
        rip__os_close(fd);
        fd = -ESTALE;
    }
    return fd;
}

static void name_file(struct module *m, struct rip_frame *f)
{
    if (!m->path[0] && rip__os_program(m->path, sizeof m->path) < 0)
        m->path[0] = 0;
    const char *slash = strrchr(m->path, '/');
    copy(f->file, sizeof f->file, slash ? slash + 1 : m->path);
    f->offset = f->address - m->base;
}

/* ---- frames ----------------------------------------------------------- */

struct search {
    struct module module;
    struct rip__symbol symbols[RIP__FRAMES];
};

/* Names the functions of those frames that are in the module. */
static void name_functions(struct search *s, struct rip_frame *frames, int fd)
{
    const struct module *m = &s->module;
    size_t n = 0;
    memset(s->symbols, 0, sizeof s->symbols);
    for (size_t i = 0; i < m->n; i++)
        if (m->has[i])
            s->symbols[n++].at = place_of(frames, i) - m->base;
    rip__symbols_read(fd, s->symbols, n);
    n = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (!m->has[i])
            continue;
        const struct rip__symbol *found = &s->symbols[n++];
        if (!found->function[0])
            continue;
        memcpy(frames[i].function, found->function, sizeof found->function);
        frames[i].offset -= (uintptr_t)found->begin;
    }
}

/* What has no file, or none that can be read, still has in memory the names
 * that it exports. */
static void ask_loader(struct rip_frame *frames, size_t i)
{
    Dl_info info;
    struct rip_frame *f = &frames[i];
    if (f->function[0] ||
        dladdr((const void *)place_of(frames, i), &info) == 0 ||
        !info.dli_sname)
        return;
    copy(f->function, sizeof f->function, info.dli_sname);
    f->offset = f->address - (uintptr_t)info.dli_saddr;
}

static void name_module(struct search *s, struct rip_frame *frames)
{
    struct module *m = &s->module;
    int fd = open_module(m);
    for (size_t i = 0; i < m->n; i++)
        if (m->has[i])
            name_file(m, &frames[i]);
    if (fd >= 0)
        name_functions(s, frames, fd);
    rip__os_close(fd);
}

void rip__symbols_find(struct rip_frame *frames, size_t n)
{
    struct search *s = rip__alloc(sizeof *s);
    if (s) {
        s->module.frames = frames;
        s->module.n = n < RIP__FRAMES ? n : RIP__FRAMES;
    }
    for (size_t i = 0; s && i < s->module.n; i++) {
        s->module.wanted = i;
        if (!frames[i].file[0] &&
            dl_iterate_phdr(look_at_module, &s->module) == 1)
            name_module(s, frames);
    }
    rip__free(s);
    for (size_t i = 0; i < n; i++)
        ask_loader(frames, i);
}
