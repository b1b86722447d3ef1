/* SPDX-License-Identifier: MIT */
/*
 * In place of libtsan: what code that is compiled with -fsanitize=thread
 * calls, by gcc 12 and by clang 14. Each access becomes a point, and each
 * atomic one is then done, in the strongest order.
 */
#include "point.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

void __tsan_init(void)
{
}

void __tsan_func_entry(void *pc)
{
    (void)pc;
}

void __tsan_func_exit(void)
{
}

/* ---- plain ------------------------------------------------------------ */

#define HOOK(name)      \
    void name(void *p)  \
    {                   \
        kill_access(p); \
    }
#define HOOK_PC(name)            \
    void name(void *p, void *pc) \
    {                            \
        (void)pc;                \
        kill_access(p);          \
    }
#define HOOKS(n)                             \
    HOOK(__tsan_read##n)                     \
    HOOK(__tsan_write##n)                    \
    HOOK(__tsan_read_write##n)               \
    HOOK(__tsan_unaligned_read##n)           \
    HOOK(__tsan_unaligned_write##n)          \
    HOOK(__tsan_unaligned_read_write##n)     \
    HOOK(__tsan_volatile_read##n)            \
    HOOK(__tsan_volatile_write##n)           \
    HOOK(__tsan_unaligned_volatile_read##n)  \
    HOOK(__tsan_unaligned_volatile_write##n) \
    HOOK_PC(__tsan_read##n##_pc)             \
    HOOK_PC(__tsan_write##n##_pc)
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

HOOK(__tsan_vptr_read)

void __tsan_vptr_update(void **p, void *v)
{
    (void)v;
    kill_access(p);
}

#define HOOK_RANGE(name)         \
    void name(void *p, size_t n) \
    {                            \
        if (n > 0)               \
            kill_access(p);      \
    }
HOOK_RANGE(__tsan_read_range)
HOOK_RANGE(__tsan_write_range)

/* ---- atomic ----------------------------------------------------------- */

#define SEQ __ATOMIC_SEQ_CST

#define FETCH(bits, what)                                        \
    uint##bits##_t __tsan_atomic##bits##_fetch_##what(           \
        volatile uint##bits##_t *p, uint##bits##_t v, int order) \
    {                                                            \
        (void)order;                                             \
        kill_access(p);                                          \
        return __atomic_fetch_##what(p, v, SEQ);                 \
    }

#define COMPARE(bits, name)                                                  \
    int __tsan_atomic##bits##_compare_exchange_##name(                       \
        volatile uint##bits##_t *p, uint##bits##_t *seen, uint##bits##_t to, \
        int order, int failed)                                               \
    {                                                                        \
        (void)order;                                                         \
        (void)failed;                                                        \
        kill_access(p);                                                      \
        return __atomic_compare_exchange_n(p, seen, to, false, SEQ, SEQ);    \
    }

#define ATOMICS(bits)                                                          \
    uint##bits##_t __tsan_atomic##bits##_load(                                 \
        const volatile uint##bits##_t *p, int order)                           \
    {                                                                          \
        (void)order;                                                           \
        kill_access(p);                                                        \
        return __atomic_load_n(p, SEQ);                                        \
    }                                                                          \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *p,               \
                                     uint##bits##_t v, int order)              \
    {                                                                          \
        (void)order;                                                           \
        kill_access(p);                                                        \
        __atomic_store_n(p, v, SEQ);                                           \
    }                                                                          \
    uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t *p,  \
                                                  uint##bits##_t v, int order) \
    {                                                                          \
        (void)order;                                                           \
        kill_access(p);                                                        \
        return __atomic_exchange_n(p, v, SEQ);                                 \
    }                                                                          \
    FETCH(bits, add)                                                           \
    FETCH(bits, sub)                                                           \
    FETCH(bits, and)                                                           \
    FETCH(bits, or)                                                            \
    FETCH(bits, xor)                                                           \
    FETCH(bits, nand)                                                          \
    COMPARE(bits, strong)                                                      \
    COMPARE(bits, weak)                                                        \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                 \
        volatile uint##bits##_t *p, uint##bits##_t seen, uint##bits##_t to,    \
        int order, int failed)                                                 \
    {                                                                          \
        (void)order;                                                           \
        (void)failed;                                                          \
        kill_access(p);                                                        \
        __atomic_compare_exchange_n(p, &seen, to, false, SEQ, SEQ);            \
        return seen;                                                           \
    }
ATOMICS(8)
ATOMICS(16)
ATOMICS(32)
ATOMICS(64)

void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    __atomic_thread_fence(SEQ);
}

void __tsan_atomic_signal_fence(int order)
{
    (void)order;
    __atomic_signal_fence(SEQ);
}
