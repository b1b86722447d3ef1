/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <link.h>

/*
 * What a program has loaded. That an image is the same as before is told by
 * where it lies, its name, its program headers and its notes (the build id is
 * one): where a library was unloaded, another may have come to its place.
 */
static uint64_t add(uint64_t sum, const void *data, size_t len)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < len; i++) /* FNV-1a */
        sum = (sum ^ p[i]) * UINT64_C(1099511628211);
    return sum;
}

static const void *start_of(const struct dl_phdr_info *image,
                            const ElfW(Phdr) * part)
{
    return (const void *)(uintptr_t)(image->dlpi_addr + part->p_vaddr);
}

/* Not every note is loaded. */
static bool is_loaded(const struct dl_phdr_info *image, const ElfW(Phdr) * note)
{
    for (int i = 0; i < image->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &image->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && (p->p_flags & PF_R) &&
            note->p_vaddr >= p->p_vaddr &&
            note->p_vaddr - p->p_vaddr <= p->p_filesz &&
            note->p_filesz <= p->p_filesz - (note->p_vaddr - p->p_vaddr))
            return true;
    }
    return false;
}

static uint64_t sum_of(const struct dl_phdr_info *image)
{
    uint64_t sum = UINT64_C(14695981039346656037);
    if (image->dlpi_name)
        for (const char *c = image->dlpi_name; *c; c++)
            sum = add(sum, c, 1);
    sum = add(sum, image->dlpi_phdr,
              image->dlpi_phnum * sizeof *image->dlpi_phdr);
    for (int i = 0; i < image->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &image->dlpi_phdr[i];
        if (p->p_type == PT_NOTE && is_loaded(image, p))
            sum = add(sum, start_of(image, p), p->p_filesz);
    }
    return sum;
}

static bool is_code(const struct dl_phdr_info *image, int i,
                    struct rip__os_code *ret)
{
    const ElfW(Phdr) *p = &image->dlpi_phdr[i];
    if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
        return false;
    *ret = (struct rip__os_code){ .at = (uintptr_t)start_of(image, p),
                                  .size = p->p_memsz };
    return true;
}

/* ---- all of it -------------------------------------------------------- */

struct listing {
    struct rip__os_code *ret;
    size_t cap, n;
};

static int list(struct dl_phdr_info *image, size_t size, void *arg)
{
    struct listing *l = arg;
    struct rip__os_code code;
    (void)size;
    for (int i = 0; i < image->dlpi_phnum; i++) {
        if (!is_code(image, i, &code))
            continue;
        if (l->n < l->cap) {
            code.image = sum_of(image);
            l->ret[l->n] = code;
        }
        l->n++;
    }
    return 0;
}

size_t rip__os_code_list(struct rip__os_code *ret, size_t cap)
{
    struct listing l = { ret, cap, 0 };
    dl_iterate_phdr(list, &l);
    return l.n;
}

/* ---- that of one function --------------------------------------------- */

struct search {
    uintptr_t at;
    struct rip__os_code *ret;
};

static int look(struct dl_phdr_info *image, size_t size, void *arg)
{
    struct search *s = arg;
    struct rip__os_code code;
    (void)size;
    for (int i = 0; i < image->dlpi_phnum; i++) {
        if (!is_code(image, i, &code) || s->at - code.at >= code.size)
            continue;
        code.image = sum_of(image);
        *s->ret = code;
        return 1;
    }
    return 0;
}

bool rip__os_code_of(uintptr_t at, struct rip__os_code *ret)
{
    struct search s = { at, ret };
    return dl_iterate_phdr(look, &s) == 1;
}
