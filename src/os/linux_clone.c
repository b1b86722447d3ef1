/* SPDX-License-Identifier: MIT */
#include "os/linux.h"
#include "os/linux_clone.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

/*
 * clone3 has no wrapper in libc. A child that shares our memory and has a
 * stack of its own must not return through a C function's frame, which lies
 * on the parent's stack; so the system call and the child's first call stand
 * in one piece of assembly, and the child ends in `fn`.
 *
 * Elsewhere than on x86-64 the kernel is said not to have clone3, and
 * clone(2), which libc wraps, serves: it does the same but for groups and
 * for sharing the descriptors.
 */
#if defined(__x86_64__)
long rip__clone3(struct clone_args *args, size_t size, rip__child_fn *fn,
                 void *arg)
{
    long r = SYS_clone3;
    register rip__child_fn *child_fn __asm__("r12") = fn;
    register void *child_arg __asm__("r13") = arg;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t" /* the last frame of a backtrace */
                     "mov %%r13, %%rdi\n\t"
                     "call *%%r12\n\t"
                     "hlt\n"
                     "1:"
                     : "+a"(r)
                     : "D"(args), "S"(size), "r"(child_fn), "r"(child_arg)
                     : "rcx", "r11", "memory");
    return r;
}
#else
long rip__clone3(struct clone_args *args, size_t size, rip__child_fn *fn,
                 void *arg)
{
    (void)args, (void)size, (void)fn, (void)arg;
    return -ENOSYS;
}
#endif

long rip__clone(unsigned long flags, void *stack_top, int *pidfd,
                rip__child_fn *fn, void *arg)
{
    int saved = errno;
    long r = clone(fn, stack_top, (int)flags, arg, pidfd);
    if (r == -1) {
        r = -errno;
        errno = saved;
    }
    return r;
}

void rip__forget_stack(void *stack, size_t size)
{
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(stack, size);
#else
    (void)stack, (void)size;
#endif
}
