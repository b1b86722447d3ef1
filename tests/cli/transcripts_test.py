#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests run-transcripts: transcripts that are wrong must fail, and say why."""

import os
import re
import subprocess
import sys
import tempfile

RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "run-transcripts")

# What is tried, a transcript, and what the report must have in it.
BAD = [
    ("stdout that differs",
     "$ echo one\ntwo\n", r"stdout differs\n# +want: two\n# +got: +one"),
    ("stdout that was not expected",
     "$ echo one\n", r"want: nothing\n# +got: +one"),
    ("stdout that is missing",
     "$ true\none\n", r"want: one\n# +got: +nothing"),
    ("lines too many", "$ echo a; echo b\na\n", r"stdout differs"),
    ("lines too few", "$ echo a\na\nb\n", r"stdout differs"),
    ("a pattern that does not match",
     "$ echo abc\n~ ab\n", r"stdout differs"),
    ("a glob that does not match",
     "$ echo abc\n* ?c\n", r"stdout differs"),
    ("a line after dots that does not come",
     "$ seq 5000\n1\n...\n6000\n", r"\(4900 more lines\)"),
    ("a missing newline", "$ printf a\na\n", r"got: +a \(no newline\)"),
    ("stderr that differs",
     "$ echo x >&2\n2> y\n", r"stderr differs\n# +want: y\n# +got: +x"),
    ("stderr that was not expected",
     "$ echo x >&2\n", r"stderr differs"),
    ("another exit status", "$ exit 3\n[4]\n", r"exit status is 3, not 4"),
    ("a failure nobody expected", "$ exit 3\n", r"exit status is 3, not 0"),
    ("a failure of the last command",
     "$ true\n$ false\n", r"\.t:3: \$ false\n# exit status is 1"),
    ("a file left", "$ mkdir a; touch a/b\n", r"file left: a/\n.*a/b"),
    ("a declared file that is not there",
     "@left out\n$ true\n", r"file not left: out"),
    ("a process left behind",
     "$ sleep 1000 >/dev/null & true\n",
     r"process left behind: \d+ sleep 1000"),
    ("a deadline that passes",
     "@deadline 0.3\n$ echo so far; sleep 1000\n",
     r"the deadline has passed\n(.*\n)*# running: .*\n(.*\n)*.* so far"),
    ("a shell that is killed",
     "$ kill -9 $$\n", r"the shell was killed by signal 9"),
]

# Transcripts that cannot be read.
UNREADABLE = [
    ("an unknown option", "@nonsense\n$ true\n", r":2: no such option"),
    ("a case without a command", "", r":1: a case without a command"),
    ("text before the command", "text\n$ true\n", r":2: this stands before"),
]


def run(text, *options):
    with tempfile.NamedTemporaryFile("w", suffix=".t") as f:
        f.write("== case\n" + text)
        f.flush()
        return subprocess.run([sys.executable, RUNNER, *options, f.name],
                              capture_output=True, text=True, check=False)


def fails(text, pattern):
    done = run(text)
    return done.returncode == 1 and "not ok 1 - case\n" in done.stdout and \
        re.search(pattern, done.stdout) is not None


def is_refused(text, pattern):
    done = run(text)
    return done.returncode == 1 and done.stdout == "" and \
        re.search(pattern, done.stderr) is not None


def gives(want, text, *options):
    done = run(text, *options)
    return (done.returncode, done.stdout) == want


def kills_what_is_left():
    done = run("$ sleep 1000 >/dev/null & true\n")
    pid = re.search(r"left behind: (\d+) ", done.stdout)
    return pid is not None and not os.path.exists(f"/proc/{pid[1]}")


def main():
    results = [(f"fails: {title}", fails(text, pattern))
               for title, text, pattern in BAD]
    results += [(f"is refused: {title}", is_refused(text, pattern))
                for title, text, pattern in UNREADABLE]
    results += [
        ("kills what is left behind", kills_what_is_left()),
        ("skips what needs a program that is not here",
         gives((0, "1..1\nok 1 - case # SKIP no no-such-program\n"),
               "@needs no-such-program\n$ false\n")),
        ("runs by title",
         gives((0, "1..1\nok 1 - two\n"),
               "$ false\n== two\n$ true\n", "--only", "t*")),
        ("lists titles",
         gives((0, "case\ntwo\n"), "$ false\n== two\n$ true\n", "--list")),
        ("refuses unknown titles",
         gives((2, ""), "$ true\n", "--only", "nonsense")),
    ]
    print(f"1..{len(results)}")
    for number, (title, good) in enumerate(results, 1):
        print(f"{'ok' if good else 'not ok'} {number} - {title}")
    return 0 if all(good for _, good in results) else 1


if __name__ == "__main__":
    sys.exit(main())
