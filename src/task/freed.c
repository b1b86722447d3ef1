/* SPDX-License-Identifier: MIT */
#include "task/task.h"

#include "base/base.h"
#include "segment/segment.h"

/*
 * Who uses a task that he has freed. In a build with NDEBUG nothing is looked
 * at; else a freed handle stays readable until as many others have been freed,
 * and using it ends the program with one line that says so.
 */
#ifdef NDEBUG

void rip__task_check(const rip_task *t, const char *call)
{
    (void)t, (void)call;
}

void rip__task_bury(rip_task *t)
{
    rip__free(t);
}

void rip__task_forget_buried(void)
{
}

#else

enum { BURIED = 0x64656164, GRAVES = 64 };

static rip_task *graves[GRAVES];
static uint32_t next;

/* A handle that was never marked is alive: it is zeroed when it is made. */
void rip__task_check(const rip_task *t, const char *call)
{
    char text[128];
    struct rip__text words = { text, sizeof text, 0 };
    if (!t || __atomic_load_n(&t->buried, __ATOMIC_RELAXED) != BURIED)
        return;
    rip__text_add(&words, call);
    rip__text_add(&words, ": the task has been freed");
    rip__text_end(&words);
    rip__misuse(text);
}

void rip__task_bury(rip_task *t)
{
    uint32_t at = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % GRAVES;
    __atomic_store_n(&t->buried, BURIED, __ATOMIC_RELAXED);
    rip__free(__atomic_exchange_n(&graves[at], t, __ATOMIC_ACQ_REL));
}

void rip__task_forget_buried(void)
{
    for (size_t i = 0; i < GRAVES; i++)
        rip__free(__atomic_exchange_n(&graves[i], NULL, __ATOMIC_ACQ_REL));
}

#endif
