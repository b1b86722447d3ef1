/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

void (*memory_emergency)(void);

static void *must(void *p)
{
    if (p)
        return p;
    if (memory_emergency)
        memory_emergency();
    complain("out of memory");
    _exit(1);
}

void *must_alloc(size_t size)
{
    return must(calloc(1, size));
}

void *must_resize(void *p, size_t size)
{
    return must(realloc(p, size));
}

char *must_copy(const char *text, size_t len)
{
    char *p = must(malloc(len + 1));

    memcpy(p, text, len);
    p[len] = '\0';
    return p;
}
