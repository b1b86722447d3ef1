# SPDX-License-Identifier: MIT
"""What CPython takes for the same. For each byte on stdin it does it once, and
writes the nanoseconds that it took, as an int64, to stdout.

    peer_python.py spawn PROGRAM     Popen and wait
    peer_python.py capture WORD...   run, with the output captured
    peer_python.py process           multiprocessing.Process, start and join
    peer_python.py thread            threading.Thread, start and join
    peer_python.py queue             1000 messages through multiprocessing.Queue
"""
import multiprocessing
import os
import struct
import subprocess
import sys
import threading
import time


def spawn(argv):
    start = time.monotonic_ns()
    status = subprocess.Popen(argv).wait()
    end = time.monotonic_ns()
    assert status == 0, status
    return end - start


def capture(argv):
    start = time.monotonic_ns()
    done = subprocess.run(argv, capture_output=True)
    end = time.monotonic_ns()
    assert done.returncode == 0, done
    assert done.stdout == b"x\n" and done.stderr == b"", done
    return end - start


def nothing():
    pass


def task(kind):
    start = time.monotonic_ns()
    one = kind(target=nothing)
    one.start()
    one.join()
    end = time.monotonic_ns()
    assert getattr(one, "exitcode", 0) == 0, one
    return end - start


def process(argv):
    return task(multiprocessing.get_context("fork").Process)


def thread(argv):
    return task(threading.Thread)


def drain(queue, done):
    while True:
        for _ in range(1000):
            queue.get()
        done.put(None)


def queue(argv, ends=[]):
    """The other process is there from the second time on."""
    fork = multiprocessing.get_context("fork")
    if not ends:
        ends += [fork.Queue(1024), fork.SimpleQueue()]
        fork.Process(target=drain, args=ends, daemon=True).start()
    message = b"x" * 64
    start = time.monotonic_ns()
    for _ in range(1000):
        ends[0].put(message)
    ends[1].get()
    return time.monotonic_ns() - start


take = {"spawn": spawn, "capture": capture, "process": process,
        "thread": thread, "queue": queue}[sys.argv[1]]
while os.read(0, 1):
    os.write(1, struct.pack("=q", take(sys.argv[2:])))
