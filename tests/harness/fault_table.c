/* SPDX-License-Identifier: MIT */
#include "fault_table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include "fault.h"
#include "os/os.h"

/*
 * To add a system call is to add a line. One without errors never fails, or
 * only for wrong arguments. EINTR strikes once only, since a caller may try
 * again for ever; so does what is transient by nature. ENOSYS and EPERM are
 * those of old kernels and of system call filters.
 *
 * That a process cannot be signalled (EPERM) is not here: it would be left
 * behind by right. Tests of that use fault_once().
 */
/* clang-format off */
#define E(error)     { error, FAULT_ONCE | FAULT_ON }
#define ONCE(error)  { error, FAULT_ONCE }
#define AFTER(error) { error, FAULT_ONCE | FAULT_AFTER }
#define SHORT        { 0, FAULT_ONCE | FAULT_ON | FAULT_SHORT }

#define CALL(name, ...) CALL_ARG(name, FAULT_ANY, __VA_ARGS__)
#define CALL_ARG(name, value, ...) \
    { SYS_##name, value, #name, { __VA_ARGS__ } }

static const struct fault_call table[] = {
    { FAULT_MEMORY, FAULT_ANY, "allocation", { E(ENOMEM) } },

    /* descriptors */
    CALL(openat, E(EMFILE), E(ENFILE), E(ENOMEM), E(EACCES), ONCE(EINTR)),
    CALL(pipe2, E(EMFILE), E(ENFILE)),
    CALL(eventfd2, E(EMFILE), E(ENFILE), E(ENOMEM)),
    CALL(epoll_create1, E(EMFILE), E(ENFILE), E(ENOMEM)),
    CALL(epoll_ctl, E(ENOMEM), E(ENOSPC)),
    CALL(epoll_pwait, ONCE(EINTR)),
    CALL(timerfd_create, E(EMFILE), E(ENFILE), E(ENOMEM)),
    CALL(timerfd_settime),
    CALL(memfd_create, E(EMFILE), E(ENFILE), E(ENOMEM), E(ENOSYS)),
    CALL(ftruncate, ONCE(EINTR), E(ENOSPC)),
    CALL(fallocate, ONCE(EINTR), E(ENOSPC), E(EOPNOTSUPP)),
    CALL(close, AFTER(EINTR), AFTER(EIO)),
    CALL(close_range, E(ENOSYS), E(EPERM), E(EMFILE), E(ENOMEM)),
    CALL(dup3, ONCE(EINTR), ONCE(EBUSY)),
    CALL_ARG(fcntl, F_DUPFD_CLOEXEC, E(EMFILE)),
    CALL_ARG(fcntl, F_DUPFD, E(EMFILE)),
    CALL_ARG(fcntl, F_SETPIPE_SZ, E(EPERM), E(ENOMEM)),
    CALL(fcntl),
    CALL(ioctl, E(ENOTTY)),
    CALL(fchown, E(EPERM)),
    CALL(fchmod, E(EPERM)),
    CALL(fstat, E(ENOMEM)),
    CALL(fstatfs),
    CALL(newfstatat, E(EACCES), E(ENOMEM)),
    CALL(statx, E(EACCES), E(ENOMEM), E(ENOSYS)),
    CALL(readlinkat, E(EACCES), E(ENOMEM)),
    CALL(faccessat, E(ENOENT), E(EACCES)),
    CALL(mkdirat, E(EACCES), E(ENOMEM), E(ENOSPC)),
    CALL(mknodat, E(EACCES), E(ENOSPC)),
    CALL(unlinkat),
    CALL(getdents64, E(ENOMEM)),
    CALL(lseek),
    CALL(chdir, E(ENOENT), E(EACCES), E(ENOMEM)),

    /* data */
    CALL(read, ONCE(EINTR), E(EIO), SHORT),
    CALL(pread64, ONCE(EINTR), E(EIO), SHORT),
    CALL(preadv2, ONCE(EINTR), ONCE(EAGAIN), E(EIO), E(EOPNOTSUPP), E(ENOSYS),
         SHORT),
    CALL(tee, ONCE(EINTR), E(ENOMEM)),
    CALL(inotify_init1, E(EMFILE), E(ENFILE), E(ENOMEM)),
    CALL(inotify_add_watch, E(EACCES), E(ENOMEM), E(ENOSPC)),
    CALL(pwrite64, ONCE(EINTR), E(ENOSPC), SHORT),
    CALL(readv, ONCE(EINTR), E(EIO), SHORT),
    CALL(write, ONCE(EINTR), ONCE(EAGAIN), E(EPIPE), SHORT),
    CALL(writev, ONCE(EINTR), ONCE(EAGAIN), E(EPIPE), SHORT),
    CALL(pwritev2, ONCE(EINTR), ONCE(EAGAIN), E(EPIPE), E(EOPNOTSUPP),
         E(ENOSYS), SHORT),
    CALL(splice, ONCE(EINTR), E(EINVAL), E(ENOMEM), E(ENOSYS)),
    CALL(ppoll, ONCE(EINTR), ONCE(ENOMEM)), /* a few need no memory */
    CALL(socket, E(EMFILE), E(ENFILE), E(ENOMEM), E(EACCES)),
    CALL(socketpair, E(EMFILE), E(ENFILE), E(ENOMEM)),
    CALL(bind, E(EADDRINUSE), E(ENOMEM)),
    CALL(listen),
    CALL(connect, E(ECONNREFUSED), ONCE(EINTR), ONCE(EAGAIN)),
    CALL(accept4, E(EMFILE), E(ENFILE), ONCE(EINTR), ONCE(ECONNABORTED)),
    CALL(getsockopt),
    CALL(setsockopt, E(ENOMEM)),
    CALL(sendmsg, ONCE(EINTR), ONCE(EAGAIN), E(EPIPE), E(ENOBUFS)),
    CALL(recvmsg, ONCE(EINTR), ONCE(EAGAIN), E(ENOMEM)),
    CALL(shutdown),

    /* processes */
    { RIP__CALL_FORK, FAULT_ANY, "fork", { E(EAGAIN), E(ENOMEM) } },
    { RIP__CALL_THREAD, FAULT_ANY, "pthread_create", { E(EAGAIN), E(ENOMEM) } },
    CALL(pidfd_getfd, E(EPERM), E(EMFILE), E(ENOSYS)),
    CALL(clone3, E(EAGAIN), E(ENOMEM), E(ENOSYS), E(EPERM)),
    CALL(clone, E(EAGAIN), E(ENOMEM), ONCE(EINVAL)),
    CALL(execve, E(ENOENT), E(EACCES), E(ENOMEM), E(E2BIG), E(ETXTBSY)),
    CALL(execveat, E(ENOENT), E(EACCES), E(ENOMEM), E(E2BIG), E(ENOSYS)),
    CALL(unshare, E(EPERM), E(ENOMEM)),
    CALL(setpgid, E(EPERM)),
    CALL(setsid),
    CALL(prctl, E(EINVAL)),
    CALL(waitid, ONCE(EINTR)),
    CALL(wait4, ONCE(EINTR)),
    CALL(pidfd_open, E(EINVAL), E(EMFILE), E(ENFILE), E(ENOMEM), E(ENOSYS)),
    CALL(pidfd_send_signal),
    CALL(kill),
    CALL(tgkill),
    CALL(prlimit64, E(EPERM)),
    CALL(getpriority),
    CALL(setpriority, E(EACCES)),
    CALL(getrusage),
    CALL(sched_getaffinity, E(EINVAL)),
    CALL(sched_setaffinity, E(EINVAL), E(EPERM)),
    CALL(sched_yield),
    CALL(exit),
    CALL(exit_group),
    CALL(getpid),
    CALL(getppid),
    CALL(gettid),
    CALL(getpgid),
    CALL(getsid),
    CALL(getuid),
    CALL(geteuid),
    CALL(umask),
    CALL(setgroups, E(EPERM), E(ENOMEM)),
    CALL(getgroups, E(EINVAL)),
    CALL(setresgid, E(EPERM)),
    CALL(getresgid),
    CALL(setresuid, E(EPERM), E(EAGAIN)),
    CALL(getresuid),

    /* signals */
    CALL(rt_sigprocmask),
    CALL(rt_sigaction),
    CALL(rt_sigpending),
    CALL(rt_sigtimedwait, ONCE(EINTR)),
    CALL(rt_tgsigqueueinfo, E(EPERM), E(ENOSYS)),
    CALL(sigaltstack, E(ENOMEM)),
    CALL(setitimer),
    CALL(signalfd4, E(EMFILE), E(ENFILE), E(ENOMEM)),

    /* memory and time */
    CALL(mmap, E(ENOMEM)),
    CALL(mprotect, E(ENOMEM)),
    CALL(mremap, E(ENOMEM)),
    CALL(munmap),
    CALL(madvise, E(EINVAL)),
    CALL(clock_gettime),
    CALL(clock_nanosleep, ONCE(EINTR)),
    CALL(getrandom, ONCE(EINTR), E(ENOSYS)),
    CALL_ARG(futex, FUTEX_WAKE),
    CALL_ARG(futex, FUTEX_WAKE_PRIVATE),
    CALL(futex, ONCE(EINTR), ONCE(EAGAIN)),
#ifdef SYS_futex_waitv
    CALL(futex_waitv, ONCE(EINTR), ONCE(EAGAIN), E(ENOSYS)),
#endif
    CALL(get_robust_list),
    CALL(set_robust_list),
    CALL(membarrier, E(ENOSYS)),
};
/* clang-format on */

const struct fault_call *fault_lookup(long nr, long arg)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].nr == nr &&
            (table[i].arg == FAULT_ANY || table[i].arg == arg))
            return &table[i];
    return 0;
}
