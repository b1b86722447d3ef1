/* SPDX-License-Identifier: MIT */
#ifndef RIP_BASE_ATOMIC_H
#define RIP_BASE_ATOMIC_H

/*
 * Atomic access to plain integers: the public structs hold such, since C99
 * and C++ have no common atomic type. An order weaker than acquire and
 * release is named where it is used, and only for what is looked at again.
 */

#include <stdbool.h>
#include <stdint.h>

#define rip__load(p)             __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define rip__load_relaxed(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define rip__store(p, v)         __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define rip__store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)

/* A store that no later load overtakes. */
#define rip__publish(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)

#define rip__swap(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define rip__or(p, v)   __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define rip__plus(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)

/* Replaces *seen by `to`, or tells in *seen what is there instead. */
static inline bool rip__cas(uint64_t *p, uint64_t *seen, uint64_t to)
{
    return __atomic_compare_exchange_n(p, seen, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_ACQUIRE);
}

static inline bool rip__cas32(uint32_t *p, uint32_t *seen, uint32_t to)
{
    return __atomic_compare_exchange_n(p, seen, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_ACQUIRE);
}

/* The half of a word on which the kernel lets us sleep. */
static inline uint32_t *rip__low(uint64_t *word)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (uint32_t *)(void *)word + 1;
#else
    return (uint32_t *)(void *)word;
#endif
}

static inline void rip__pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
