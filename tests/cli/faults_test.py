#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lets each system call of `ripstop run` fail, one a run, from outside: with
strace, since the command has calls of its own beside the library's.

Whatever fails, it must end, not crash, and not claim success with a part of
its output missing. Usage: faults_test.py RIPSTOP"""

import collections
import os
import re
import shutil
import subprocess
import sys

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
}
# A leak sanitizer cannot work while strace traces.
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
EXPECTED = b"1\n2\n3\n"
# Memory is left out: glibc itself crashes when its first brk or mmap fails.
# At start the loader and libc use some of these calls too, and say so with
# 127; a failed write to stdout or stderr can not be told of.
STATUSES = {0, 1, 2, 123, 125, 126, 127}


def run(ripstop, *strace):
    command = ["strace", "-o", "trace", "-qq", *strace, ripstop,
               "run", "-j1", "-k", "echo", ":::", "1", "2", "3"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=20,
                          env=ENVIRONMENT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def count_calls(ripstop):
    run(ripstop)
    with open("trace", encoding="utf-8", errors="replace") as trace:
        names = (re.match(r"\w+", line) for line in trace)
        return collections.Counter(m.group() for m in names if m)


def check(done):
    """What is wrong with the end of a run, or None."""
    if done.returncode not in STATUSES:
        return f"status {done.returncode}"
    if done.returncode == 0 and done.stdout != EXPECTED:
        return f"success, but it printed {done.stdout!r}"
    if done.returncode in (1, 123) and not done.stderr:
        return "a failure without a word"
    return None


def main():
    ripstop = sys.argv[1]
    if not shutil.which("strace"):
        print("1..0 # SKIP strace is not installed")
        return
    if run(ripstop).stdout != EXPECTED:
        print("1..0 # SKIP strace does not work here")
        return
    calls = count_calls(ripstop)
    tests = [(call, error) for call in ERRORS for error in ERRORS[call]
             if calls[call]]
    print(f"1..{len(tests)}")
    for number, (call, error) in enumerate(tests, 1):
        bad = []
        for n in range(1, calls[call] + 1):
            fault = f"inject={call}:error={error}:when={n}"
            try:
                wrong = check(run(ripstop, "-e", fault))
            except subprocess.TimeoutExpired:
                wrong = "it hangs"
            if wrong:
                bad.append(f"# {fault}: {wrong}")
        print("not ok" if bad else "ok", number, f"- {call} gives {error}")
        print(*bad, sep="\n", end="\n" if bad else "")


if __name__ == "__main__":
    main()
