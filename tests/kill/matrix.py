#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The kill sweep, and what the same kills do to libc's and Python's objects,
as one table: matrix.py FOLDER [FILE]. FOLDER is where they are built; in FILE,
what stands between the two lines that MARKS are is replaced by it."""

import datetime
import os
import pathlib
import platform
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
MARKS = "<!-- matrix: begin -->", "<!-- matrix: end -->"
COLUMNS = ["object", "operation", "points", "bad", "pairs", "bad"]
ROW = re.compile(r"(\S+) +(\S+) +(\d+) +(\d+) +(\d+) +(\d+) +[\d.]+$")


def lines_of(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                          check=False)
    return done.returncode, done.stdout.splitlines()


def sweep(program):
    """The rows, but for those of the controls, and the sum."""
    code, lines = lines_of(program, "--pair-shallow=61")
    rows = [m.groups() for m in map(ROW.match, lines) if m]
    sums = [line for line in lines if re.match(r"\d+ points,", line)]
    if not sums:
        sys.exit(f"the kill sweep ended with {code}")
    return code, [r for r in rows if not r[0].startswith("toy")], sums[0]


def peer(*command):
    """Its name, and by object and operation what is bad there."""
    code, lines = lines_of(*command)
    if code != 0 or not lines:
        sys.exit(f"{command[-1]} ended with {code}")
    cells = {}
    for line in lines[1:]:
        obj, name, what, kills, hung, wrong = line.split("\t")
        text = f"{what}: {int(hung) + int(wrong)} of {kills}"
        if int(wrong):
            text += f" ({wrong} wrong)"
        cells.setdefault((obj, name), []).append(text)
    return lines[0], cells


def table(rows, peers):
    """Those of a peer that stand beside no row of ours come last."""
    yield COLUMNS + [name for name, _ in peers]
    yield ["---"] * (len(COLUMNS) + len(peers))
    keys = [r[:2] for r in rows]
    others = dict.fromkeys(k for _, cells in peers for k in cells
                           if k not in keys)
    for row in rows + [key + ("",) * 4 for key in others]:
        yield list(row) + ["; ".join(cells.get(row[:2], []))
                           for _, cells in peers]


def machine():
    return (f"{platform.system()} {platform.release()} {platform.machine()}, "
            f"{os.cpu_count()} CPUs")


def put_into(path, text):
    before, begin, rest = path.read_text().partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        sys.exit(f"{path} has no place for it")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def main():
    folder = pathlib.Path(sys.argv[1]) / "tests/kill"
    code, rows, total = sweep(folder / "kill-sweep")
    peers = [peer(folder / "kill-libc"),
             peer(sys.executable,
                  HERE / "peers/multiprocessing_objects.py")]
    text = f"{datetime.date.today()}, {machine()}:\n\n    {total}\n\n"
    text = text.replace("bad; ", "bad;\n    ", 1)
    text += "\n".join(f"| {' | '.join(r)} |" for r in table(rows, peers))
    print(text)
    if len(sys.argv) > 2:
        put_into(pathlib.Path(sys.argv[2]), text)
    return code


if __name__ == "__main__":
    sys.exit(main())
