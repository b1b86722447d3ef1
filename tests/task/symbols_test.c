/* SPDX-License-Identifier: MIT */
#include "task/symbols.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"

#if defined(__clang__)
#define PLAIN __attribute__((noinline, optnone))
#else
#define PLAIN __attribute__((noipa))
#endif

PLAIN static int known_function(int n)
{
    return n + 1;
}

static uintptr_t address(int (*fn)(int))
{
    return (uintptr_t)fn;
}

static struct rip_frame find(uintptr_t at)
{
    struct rip_frame f = { .address = at };
    rip__symbols_find(&f, 1);
    return f;
}

/* ---- what is loaded --------------------------------------------------- */

TEST(static_function)
{
    struct rip_frame f = find(address(known_function) + 1);
    CHECK_STR(f.function, "known_function");
    CHECK_INT(f.offset, ==, 1);
    CHECK_STR(f.file, "symbols_test");
    CHECK_INT(f.address, ==, address(known_function) + 1);
}

#define LONG_NAME \
    a_name_that_goes_on_and_on_until_there_is_no_room_for_it_in_a_frame_of_ours

PLAIN static int LONG_NAME(int n)
{
    return n + 2;
}

TEST(name_that_is_too_long)
{
    struct rip_frame f = find(address(LONG_NAME));
    CHECK_INT(strlen(f.function), ==, sizeof f.function - 1);
    CHECK_GLOB(f.function, "a_name_that_goes_on_*_in_a_f");
}

TEST(function_of_a_library)
{
    struct rip_frame f = find((uintptr_t)drand48);
    CHECK_STR(f.function, "drand48");
    CHECK_INT(f.offset, ==, 0);
    CHECK_GLOB(f.file, "libc*.so*");
}

/* All but the first return behind a call, which may be the end of a function:
 * what follows that is another. */
TEST(return_addresses)
{
    uintptr_t at = address(known_function);
    struct rip_frame f[3] = { { .address = at },
                              { .address = at },
                              { .address = at + 1 } };
    rip__symbols_find(f, 3);
    CHECK_STR(f[0].function, "known_function");
    CHECK(strcmp(f[1].function, "known_function") != 0);
    CHECK_STR(f[2].function, "known_function");
    CHECK_INT(f[2].offset, ==, 1);
}

TEST(addresses_of_nothing)
{
    int on_stack = 0;
    const uintptr_t all[] = { 0, 1, UINTPTR_MAX, (uintptr_t)&on_stack };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct rip_frame f = find(all[i]);
        CHECK_STR(f.function, "");
        CHECK_STR(f.file, "");
        CHECK_INT(f.offset, ==, 0);
    }
}

static void find_some(void *ctx)
{
    struct rip_frame f[2] = { { .address = address(known_function) },
                              { .address = (uintptr_t)drand48 + 1 } };
    (void)ctx;
    rip__symbols_find(f, 2);
    CHECK(!f[0].function[0] || strcmp(f[0].function, "known_function") == 0);
    CHECK_STR(f[1].function, "drand48"); /* the loader knows it too */
}

TEST(names_survive_every_fault)
{
    CHECK_INT(fault_sweep(find_some, NULL, NULL), >, 0);
}

/* ---- files ------------------------------------------------------------ */

static unsigned char *image; /* this program's file */
static size_t size;

static void read_image(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    CHECK_OK(fd);
    CHECK_OK(fstat(fd, &st));
    size = (size_t)st.st_size;
    image = malloc(size);
    CHECK(image != NULL);
    for (size_t done = 0; done < size;)
        done += (size_t)CHECK_OK(read(fd, image + done, size - done));
    close(fd);
}

static void write_at(int fd, const void *data, size_t len, size_t offset)
{
    while (len > 0) {
        size_t n = (size_t)CHECK_OK(pwrite(fd, data, len, (off_t)offset));
        data = (const char *)data + n;
        offset += n;
        len -= n;
    }
}

/* As its symbol table calls known_function. */
static uint64_t known;

static int first_base(struct dl_phdr_info *info, size_t n, void *arg)
{
    (void)n;
    *(uintptr_t *)arg = info->dlpi_addr;
    return 1;
}

static int set_up(void)
{
    uintptr_t base = 0;
    int fd = memfd_create("image", MFD_CLOEXEC);
    CHECK_OK(fd);
    read_image("/proc/self/exe");
    write_at(fd, image, size, 0);
    dl_iterate_phdr(first_base, &base);
    known = address(known_function) - base;
    return fd;
}

/* Whatever the file is, what comes back is in order. */
static bool finds_it(int fd)
{
    struct rip__symbol s[3] = { { .at = known },
                                { .at = 1 },
                                { .at = UINT64_MAX } };
    rip__symbols_read(fd, s, 3);
    for (int i = 0; i < 3; i++)
        CHECK(memchr(s[i].function, 0, sizeof s[i].function) != NULL);
    return strcmp(s[0].function, "known_function") == 0 && s[0].begin == known;
}

TEST(file_as_it_is)
{
    int fd = set_up();
    CHECK(finds_it(fd));
    close(fd);
    free(image);
}

TEST(file_that_was_cut)
{
    int fd = set_up(), found = 0;
    for (size_t i = 0; i < 1000; i++) {
        CHECK_OK(ftruncate(fd, (off_t)(size - i * (size / 1000))));
        found += finds_it(fd);
    }
    CHECK_INT(found, <, 1000);
    close(fd);
    free(image);
}

/* As strip(1) leaves it: known_function is not exported. */
TEST(file_without_a_symbol_table)
{
    int fd = set_up();
    const ElfW(Ehdr) *h = (const void *)image;
    for (size_t i = 0; i < h->e_shnum; i++) {
        size_t at = h->e_shoff + i * sizeof(ElfW(Shdr));
        ElfW(Shdr) s;
        memcpy(&s, image + at, sizeof s);
        if (s.sh_type != SHT_SYMTAB)
            continue;
        s.sh_type = SHT_NULL;
        write_at(fd, &s, sizeof s, at);
    }
    CHECK(!finds_it(fd));
    close(fd);
    free(image);
}

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint64_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Mostly where the structure is: in the header of the file and of the sections,
 * the rest in symbols. */
static size_t any_place(void)
{
    const ElfW(Ehdr) *h = (const void *)image;
    size_t sections = h->e_shnum * sizeof(ElfW(Shdr));
    switch (any() % 4) {
    case 0:
        return any() % sizeof *h;
    case 1:
    case 2:
        return h->e_shoff + any() % sections;
    default:
        return any() % size;
    }
}

static unsigned char any_byte(void)
{
    static const unsigned char odd[] = { 0, 1, 0x7f, 0x80, 0xff };
    return any() % 2 ? odd[any() % sizeof odd] : (unsigned char)any();
}

TEST_WITH(file_that_is_damaged, .deadline = 60)
{
    int fd = set_up(), found = 0, rounds = harness_rounds(3000);
    for (int i = 0; i < rounds; i++) {
        size_t place[8], n = 1 + any() % 8;
        harness_note("round %d", i);
        for (size_t k = 0; k < n; k++) {
            unsigned char c = any_byte();
            place[k] = any_place();
            write_at(fd, &c, 1, place[k]);
        }
        found += finds_it(fd);
        for (size_t k = 0; k < n; k++)
            write_at(fd, &image[place[k]], 1, place[k]);
    }
    CHECK(finds_it(fd));
    CHECK_INT(found, <, rounds);
    CHECK_INT(found, >, 0);
    close(fd);
    free(image);
}

TEST(file_of_something_else)
{
    int fd = memfd_create("garbage", MFD_CLOEXEC);
    CHECK_OK(fd);
    CHECK(!finds_it(fd));
    for (size_t i = 0; i < 1000; i++) {
        uint64_t word = any();
        write_at(fd, &word, sizeof word, i * sizeof word);
    }
    CHECK(!finds_it(fd));
    write_at(fd, "\177ELF\2\1", 6, 0);
    CHECK(!finds_it(fd));
    close(fd);
    CHECK(!finds_it(fd)); /* no file at all */
}

/* ---- files that were replaced ----------------------------------------- */

static int find_library(struct dl_phdr_info *info, size_t n, void *arg)
{
    (void)n;
    if (!strstr(info->dlpi_name, "/libc.") &&
        !strstr(info->dlpi_name, "/libc-"))
        return 0;
    snprintf(arg, 4096, "%s", info->dlpi_name);
    return 1;
}

static void write_library(void)
{
    int fd = open("library.so", O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0700);
    CHECK_OK(fd);
    write_at(fd, image, size, 0);
    close(fd);
    free(image);
}

/* A library beside libc, so that it can be loaded by any program. */
static const char *beside_libc(char *path, const char *name)
{
    CHECK_INT(dl_iterate_phdr(find_library, path), ==, 1);
    snprintf(strrchr(path, '/'), 100, "/%s", name);
    return path;
}

TEST(file_that_was_replaced)
{
    char path[4096];
    if (access(beside_libc(path, "libm.so.6"), R_OK) < 0)
        SKIP("there is no libm.so.6 beside libc");
    read_image(path);
    write_library();
    void *library = dlopen("./library.so", RTLD_NOW);
    CHECK(library != NULL);
    uintptr_t at = (uintptr_t)dlsym(library, "lgamma_r");
    struct rip_frame before = find(at);
    CHECK_GLOB(before.function, "*lgamma*");
    CHECK_STR(before.file, "library.so");

    unlink("library.so");
    struct rip_frame f = find(at);
    CHECK_GLOB(f.function, "*lgamma*");
    CHECK_INT(f.offset, ==, 0);

    read_image("/proc/self/exe");
    write_library();
    f = find(at);
    CHECK_GLOB(f.function, "*lgamma*");

    unlink("library.so");
    CHECK_OK(mkfifo("library.so", 0700));
    f = find(at);
    CHECK_GLOB(f.function, "*lgamma*");
    unlink("library.so");
    dlclose(library);
}
