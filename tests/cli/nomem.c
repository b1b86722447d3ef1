/* SPDX-License-Identifier: MIT */
/*
 * To be preloaded into a program: allocations that fail. RIPSTOP_NOMEM=7 lets
 * the seventh fail, 7+ all from there on; the file that RIPSTOP_NOMEM_COUNT
 * names gets how many there were. What the program starts is left alone.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static unsigned long count, first;
static bool further;

static bool fails(void)
{
    count++;
    if (first == 0 || count < first || (count > first && !further))
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    return fails() ? NULL : __libc_realloc(p, size);
}

__attribute__((constructor)) static void begin(void)
{
    const char *which = getenv("RIPSTOP_NOMEM");
    char *rest = NULL;
    unsetenv("LD_PRELOAD");
    count = 0;
    first = which ? strtoul(which, &rest, 10) : 0;
    further = rest && *rest == '+';
}

__attribute__((destructor)) static void end(void)
{
    const char *name = getenv("RIPSTOP_NOMEM_COUNT");
    unsigned long n = count;
    FILE *f = name ? fopen(name, "w") : NULL;
    if (f) {
        fprintf(f, "%lu\n", n);
        fclose(f);
    }
}
