#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""exports_test.py LIBRARY NM HEADER...: the shared library exports what its
headers declare, and nothing else."""

import re
import subprocess
import sys


def exported(library, nm):
    """The names, without those of version nodes."""
    done = subprocess.run([nm, "-D", "--defined-only", library],
                          capture_output=True, text=True, check=True)
    names = [line.split() for line in done.stdout.splitlines()]
    return {words[-1].partition("@")[0] for words in names if words[-2] != "A"}


def declared(headers):
    names = set()
    for header in headers:
        with open(header, encoding="utf-8") as f:
            text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.DOTALL)
        for declaration in re.findall(r"\bRIP_API\b[^;]*;", text):
            names.update(re.findall(r"\b(rip_\w+)\(", declaration)[:1])
    return names


def report(number, title, wrong):
    print(f"{'not ok' if wrong else 'ok'} {number} - {title}")
    for name in sorted(wrong):
        print(f"# {name}")
    return not wrong


def main():
    library, nm, *headers = sys.argv[1:]
    got, want = exported(library, nm), declared(headers)
    print("1..3")
    results = [
        report(1, "exports what is declared", want - got),
        report(2, "exports nothing else", got - want),
        report(3, "finds declarations at all", set() if want else {"none"}),
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
