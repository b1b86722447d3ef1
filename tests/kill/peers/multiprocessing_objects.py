#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a kill does to multiprocessing's objects: a process is killed at a
random moment while it does one operation over and over (or sleeps in it), and
two others have a second for three laps. A line for each operation, with tabs
between:

    object, operation, what Python calls it, kills, hung, wrong"""

import ctypes
import multiprocessing
import os
import platform
import random
import select
import signal
import sys
import threading
import time

KILLS, JOBS, LAPS, DEADLINE = 100, 24, 3, 1.0
FINE, HUNG, WRONG, BROKEN = range(4)
mp = multiprocessing.get_context("fork")


def child(function, *args):
    """Forks a process that does this, and ends with 0 if it comes back."""
    pid = os.fork()
    if pid == 0:
        code = WRONG
        try:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            function(*args)
            code = FINE
        finally:
            os._exit(code)
    return pid


# ---- what is killed: make() gives the objects, run() is done by the victim
# again and again, check() by the survivors 0 and 1

class Cycle:
    """acquire and release."""
    sleeps = False

    def __init__(self, make):
        self.lock = make()

    def run(self):
        self.lock.acquire()
        self.lock.release()

    def check(self, _):
        for _ in range(LAPS):
            self.run()


class Condition:
    """One gives while somebody waits, the other takes."""

    def __init__(self, run):
        self.cond = mp.Condition()
        self.items = mp.RawValue("i", 0)
        self.waiting = mp.RawValue("i", 0)
        self.left = mp.RawValue("i", LAPS)
        self.sleeps = run == "wait"
        self.operation = run

    def run(self):
        with self.cond:
            getattr(self.cond, self.operation)()

    def take(self):
        with self.cond:
            self.waiting.value += 1
            while self.items.value == 0:
                self.cond.wait()
            self.waiting.value -= 1
            self.items.value -= 1
            self.left.value -= 1

    def give(self):
        with self.cond:
            if self.waiting.value > self.items.value:
                self.items.value += 1
                self.cond.notify_all()
        os.sched_yield()

    def check(self, who):
        if who == 0:
            while self.left.value > 0:
                self.give()
        else:
            for _ in range(LAPS):
                self.take()


class Event:
    def __init__(self, run):
        self.event = mp.Event()
        self.sleeps = run == "wait"
        self.operation = run

    def run(self):
        getattr(self.event, self.operation)()

    def check(self, _):
        for _ in range(LAPS):
            self.event.set()
            self.event.wait()


class Barrier:
    """The first survivor finds it broken, or breaks it, and begins anew."""
    sleeps = True

    def __init__(self):
        self.barrier = mp.Barrier(2)
        self.mended = mp.RawValue("i", 0)

    def run(self):
        self.barrier.wait()

    def mend(self):
        try:
            self.barrier.wait(0.1)
        except threading.BrokenBarrierError:
            pass
        self.barrier.reset()
        self.mended.value = 1

    def check(self, who):
        if who == 0:
            self.mend()
        while not self.mended.value:
            os.sched_yield()
        for _ in range(LAPS):
            self.barrier.wait()


class Queue:
    """What was in it comes out again, but for one that the victim had."""
    sleeps = False

    def __init__(self, run):
        self.queue = mp.Queue()
        self.operation = run
        self.got = mp.RawValue("i", 0)
        self.full = 1000 if run == "get" else 0
        os.waitpid(child(self.put, range(self.full)), 0)

    def put(self, items):
        for item in items:
            self.queue.put(item)
        self.queue.close()
        self.queue.join_thread()

    def run(self):
        if self.operation == "put":
            self.queue.put(0)
        else:
            self.queue.get()
            self.got.value += 1

    def check(self, who):
        if who == 0:
            self.put(["ours"] * LAPS)
            return
        ours = theirs = 0
        while ours < LAPS:
            if self.queue.get() == "ours":
                ours += 1
            else:
                theirs += 1
        if self.got.value + theirs < self.full - 1:
            raise RuntimeError("lost")


OPERATIONS = [
    ("lock", "cycle", "Lock", lambda: Cycle(mp.Lock)),
    ("rlock", "cycle", "RLock", lambda: Cycle(mp.RLock)),
    ("cond", "put", "Condition.notify", lambda: Condition("notify")),
    ("cond", "put-all", "Condition.notify_all",
     lambda: Condition("notify_all")),
    ("cond", "take", "asleep in Condition.wait", lambda: Condition("wait")),
    ("event", "set", "Event.set", lambda: Event("set")),
    ("event", "wait", "asleep in Event.wait", lambda: Event("wait")),
    ("permits", "cycle", "Semaphore", lambda: Cycle(lambda: mp.Semaphore(1))),
    ("barrier", "wait", "asleep in Barrier.wait", Barrier),
    ("queue", "put", "Queue.put", lambda: Queue("put")),
    ("queue", "get", "Queue.get", lambda: Queue("get")),
]


# ---- one kill

def victim(subject, ready):
    os.write(ready, b"x")
    while True:
        subject.run()


def await_sleep(pid):
    while True:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            if f.read().rpartition(")")[2].split()[0] == "S":
                return
        os.sched_yield()


def kill_one(subject, moment):
    """The survivors begin when it is dead."""
    begin, ready = os.pipe()
    pid = child(victim, subject, ready)
    os.read(begin, 1)
    if subject.sleeps:
        await_sleep(pid)
    time.sleep(moment)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def await_all(pids):
    fds = {os.pidfd_open(p): p for p in pids}
    deadline, worst = time.monotonic() + DEADLINE, FINE
    while fds:
        left = deadline - time.monotonic()
        ended = select.select(list(fds), [], [], max(left, 0))[0]
        if not ended:
            break
        for fd in ended:
            if os.waitpid(fds.pop(fd), 0)[1] != 0:
                worst = WRONG
    for fd, pid in fds.items():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return HUNG if fds and worst == FINE else worst


def trial(make, seed):
    """Ends this process with what came of it."""
    code = BROKEN
    try:
        subject = make()
        kill_one(subject, random.Random(seed).uniform(0, 0.003))
        code = await_all([child(subject.check, who) for who in range(2)])
    finally:
        os._exit(code)


# ---- all of them

def main():
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what the wrong ones say
    todo = [(i, seed) for i in range(len(OPERATIONS)) for seed in range(KILLS)]
    tally = [[0] * 3 for _ in OPERATIONS]
    running = {}
    while todo or running:
        while todo and len(running) < JOBS:
            i, seed = todo.pop()
            pid = os.fork()
            if pid == 0:
                trial(OPERATIONS[i][3], seed)
            running[pid] = i
        pid, status = os.wait()
        code = os.waitstatus_to_exitcode(status)
        i = running.pop(pid)
        if not FINE <= code < BROKEN:
            sys.exit(f"{OPERATIONS[i][2]} could not be tried")
        tally[i][code] += 1
    print(f"Python {platform.python_version()}")
    for (obj, name, peer, _), of in zip(OPERATIONS, tally):
        print(obj, name, peer, sum(of), of[HUNG], of[WRONG], sep="\t")


if __name__ == "__main__":
    main()
