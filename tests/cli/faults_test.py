#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lets each system call and each allocation of `ripstop run` fail, one a run,
from outside, since the command has calls of its own beside the library's.

Whatever fails, it must end, not crash, leave no process behind, and not claim
success with a part of its output missing. Usage: faults_test.py RIPSTOP
[NOMEM], the latter being the library of nomem.c."""

import collections
import ctypes
import os
import re
import select
import shutil
import signal
import subprocess
import sys

# ---- system calls, by strace ------------------------------------------------

# brk is none of these: the kernel answers it with the old break when there is
# no memory, and glibc takes any other answer, so also an error that strace puts
# in its place, for a new break and writes there. Instead the allocations fail,
# below. Of mmap the first ones are the loader's, which does crash.
ERRORS = {
    "openat": ["EMFILE", "ENOMEM"],
    "pipe2": ["EMFILE"],
    "clone3": ["EAGAIN", "ENOSYS"],
    "epoll_create1": ["EMFILE"],
    "epoll_ctl": ["ENOMEM"],
    "epoll_wait": ["EINTR"],
    "signalfd4": ["EMFILE"],
    "read": ["EIO", "EINTR"],
    "write": ["EIO", "EINTR"],
    "fcntl": ["EMFILE"],
    "ppoll": ["EINTR", "ENOMEM"],
    "poll": ["EINTR"],
    "mmap": ["ENOMEM"],
}
OF_THE_LOADER = {"mmap"}
# A leak sanitizer cannot work while strace traces.
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
EXPECTED = b"1\n2\n3\n"
# At start the loader and libc use some of these calls too, and say so with
# 127; a failed write to stdout or stderr can not be told of.
STATUSES = {0, 1, 2, 123, 125, 126, 127}


def execute(command, environment):
    return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=20,
                          env=environment, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run_traced(ripstop, *strace):
    return execute(["strace", "-o", "trace", "-qq", *strace, ripstop,
                    "run", "-j1", "-k", "echo", ":::", "1", "2", "3"],
                   ENVIRONMENT)


def count_calls(ripstop):
    """How often each call is made, and how often by the loader, whose last
    one is that it lets go of its cache."""
    run_traced(ripstop)
    with open("trace", encoding="utf-8", errors="replace") as trace:
        matches = (re.match(r"\w+", line) for line in trace)
        names = [m.group() for m in matches if m]
    loaded = names.index("munmap") if "munmap" in names else len(names)
    return (collections.Counter(names), collections.Counter(names[:loaded]))


def check(done):
    """What is wrong with the end of a run, or None."""
    if done.returncode not in STATUSES:
        return f"status {done.returncode}"
    if done.returncode == 0 and done.stdout != EXPECTED:
        return f"success, but it printed {done.stdout!r}"
    if done.returncode in (1, 123) and not done.stderr:
        return "a failure without a word"
    return None


def find_bad(faults, run, judge):
    """A line for each of the faults whose run ends as it should not."""
    bad = []
    for fault in faults:
        try:
            wrong = judge(run(fault))
        except subprocess.TimeoutExpired:
            wrong = "it hangs"
        left = end_orphans()
        wrong = wrong or left
        if wrong:
            bad.append(f"# {fault}: {wrong}")
    return bad


def sweep_calls(ripstop):
    if not shutil.which("strace"):
        return [("strace is not installed", None)]
    if run_traced(ripstop).stdout != EXPECTED:
        return [("strace does not work here", None)]
    calls, of_the_loader = count_calls(ripstop)
    if has_sanitizer(ripstop):  # it maps much, and ends where it can not
        del calls["mmap"]

    def sweep(call, error):
        first = of_the_loader[call] + 1 if call in OF_THE_LOADER else 1
        faults = [f"inject={call}:error={error}:when={n}"
                  for n in range(first, calls[call] + 1)]
        return find_bad(faults, lambda f: run_traced(ripstop, "-e", f), check)

    return [(f"{call} gives {error}", lambda c=call, e=error: sweep(c, e))
            for call in ERRORS for error in ERRORS[call] if calls[call]]


# ---- allocations, by a preloaded library ------------------------------------

RUNS = {
    "jobs": ["-j1", "-k", "echo", ":::", "1", "2", "3"],
    "a script": ["-k", "--tag", "echo {} {.} {/} {//} {/.} {#}; exit 3",
                 ":::", "a/b.c", "d", "e"],
    "a mark": ["-I", "%", "sh", "-c", "echo %; echo % >&2", ":::", "a b"],
    "much output": ["-j2", "-k", "seq {}", ":::", "30000", "3", "3000"],
    "a timeout": ["--timeout", "0.01", "sleep 1000 & sleep 1000 #", ":::", "x"],
    "retries": ["--retries", "2", "--halt", "soon,fail=1", "false", ":::", "x"],
    "a dry run": ["--dry-run", "gzip", "-9", ":::", "it's", "a b"],
    "no program": ["./no-such", ":::", "x"],
}


def become_subreaper():
    """What a run leaves behind becomes our child."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def end_orphans():
    """Ends what a run has left behind: what was there, or None. What ends by
    itself, since it has been killed or would soon anyway, is no matter."""
    own = f"/proc/self/task/{os.getpid()}/children"
    with open(own, encoding="ascii") as f:
        pids = [int(pid) for pid in f.read().split()]
    left = []
    for pid in pids:
        ended = select.poll()
        pidfd = os.pidfd_open(pid)
        ended.register(pidfd, select.POLLIN)
        if not ended.poll(5000):
            with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                left.append(f.read().strip())
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(pidfd)
    return f"it leaves behind {' '.join(left)}" if left else None


def has_sanitizer(ripstop):
    with open(ripstop, "rb") as f:
        return b"__asan_init" in f.read()


def sweep_allocations(ripstop, nomem):
    if has_sanitizer(ripstop):
        return [("a sanitizer has an allocator of its own", None)]

    def run(words, **settings):
        return execute([ripstop, "run", *words],
                       dict(os.environ, LD_PRELOAD=nomem, **settings))

    def sweep(words):
        usual = run(words, RIPSTOP_NOMEM_COUNT="count")
        with open("count", encoding="ascii") as f:
            count = int(f.read())
        os.unlink("count")
        faults = [f"{n}{on}" for n in range(1, count + 1) for on in ("", "+")]

        def judge(done):
            if (done.returncode, done.stdout) == (usual.returncode,
                                                  usual.stdout):
                return None
            if done.returncode != 1:
                return f"status {done.returncode}"
            return None if done.stderr else "a failure without a word"

        return find_bad(faults, lambda f: run(words, RIPSTOP_NOMEM=f), judge)

    return [(f"no memory for {name}", lambda w=words: sweep(w))
            for name, words in RUNS.items()]


def main():
    ripstop, *nomem = sys.argv[1:]
    become_subreaper()
    tests = sweep_calls(ripstop)
    if nomem:
        tests += sweep_allocations(ripstop, nomem[0])
    print(f"1..{len(tests)}")
    for number, (name, sweep) in enumerate(tests, 1):
        if not sweep:
            print("ok", number, "# SKIP", name)
            continue
        bad = sweep()
        print("not ok" if bad else "ok", number, "-", name)
        print(*bad, sep="\n", end="\n" if bad else "", flush=True)


if __name__ == "__main__":
    main()
