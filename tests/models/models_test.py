#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Searches a model of a protocol exhaustively with spin.

    models_test.py MODEL.pml

The head of a model has a line for each search, "run holds: FLAGS" or "run
breaks: FLAGS". The latter are the model's own control: they leave out a step
that matters, and a search that finds nothing wrong then has failed. A line
"run long: FLAGS" is to hold too, and takes a minute and a gigabyte: it is left
out unless RIPSTOP_TEST_LONG is set.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile

SECONDS = 500 # on a machine that does much else; alone it takes seconds
MEGABYTES = 4000
DEPTH = 1000000

# What is found at once is not worth the time to compile it well.
OPTIMIZE = {'holds': '-O1', 'breaks': '-O0', 'long': '-O2'}


def call(command, folder):
    done = subprocess.run(command, cwd=folder, text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=SECONDS)
    return done.returncode, done.stdout


def search(model, verdict, flags, folder):
    """What pan printed; raises RuntimeError when it could not be made."""
    is_long = verdict == 'long'
    compiler = os.environ.get('CC', 'cc').split()
    for command in (['spin', *flags, '-a', model],
                    [*compiler, OPTIMIZE[verdict], '-w', '-DSAFETY',
                     '-DVECTORSZ=2048', f'-DMEMLIM={MEGABYTES}',
                     *(['-DCOLLAPSE'] if is_long else []),
                     '-o', 'pan', 'pan.c']):
        status, text = call(command, folder)
        if status != 0:
            raise RuntimeError(f'{command[0]} failed:\n{text}')
    hash_bits = 25 if is_long else 22
    return call(['./pan', f'-m{DEPTH}', f'-w{hash_bits}'], folder)[1]


def judge(text, should_hold):
    """(whether it is as it should be, why)"""
    errors = re.search(r'errors: (\d+)', text)
    states = re.search(r'(\d+(?:\.\d+e\+\d+)?) states, stored', text)
    if not errors or not states:
        return False, 'the search did not end'
    found = int(errors[1]) > 0
    first = re.search(r'^pan:1: (.*)', text, re.M)
    what = f'{states[1]} states' + (f', {first[1]}' if first else '')
    if found:
        wrong = 'assertion violated' in what or 'invalid end state' in what
        return wrong and not should_hold, what
    if re.search(r'max search depth too small|out of memory|not completed',
                 text):
        return False, 'truncated: ' + what
    return should_hold, what


def run(model, verdict, flags):
    with tempfile.TemporaryDirectory() as folder:
        try:
            return judge(search(model, verdict, flags, folder),
                         verdict != 'breaks')
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            return False, str(error)


def main():
    model = os.path.abspath(sys.argv[1])
    compiler = os.environ.get('CC', 'cc').split()[0]
    for tool in ('spin', compiler):
        if not shutil.which(tool):
            print(f'1..0 # SKIP {tool} is not installed: '
                  'the models of the protocols were not searched')
            return 0
    with open(model, encoding='utf-8') as file:
        runs = re.findall(r'run (holds|breaks|long):(.*)', file.read())
    print(f'1..{len(runs)}', flush=True)
    failed = not runs
    for number, (verdict, flags) in enumerate(runs, 1):
        if verdict == 'long' and not os.environ.get('RIPSTOP_TEST_LONG'):
            print(f'ok {number} - {verdict}{flags} # SKIP RIPSTOP_TEST_LONG')
            continue
        good, why = run(model, verdict, flags.split())
        failed |= not good
        print(f'{"ok" if good else "not ok"} {number} - {verdict}{flags}')
        print('\n'.join('# ' + line for line in why.splitlines()),
              flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main())
