# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# ./dev lint: every reader of the code that Debian has. A finding fails; what
# is switched off stands with its reason in .clang-tidy, in
# tools/cppcheck.suppressions, or beside the line in question.

dev_lint() {
  [ $# -eq 0 ] || die "lint takes no $1"
  need c++:g++ clang:clang clang-tidy:clang-tidy clang-format:clang-format \
    cppcheck:cppcheck shellcheck:shellcheck mandoc:mandoc libuv.pc:libuv1-dev \
    gio-2.0.pc:libglib2.0-dev
  processors=$(getconf _NPROCESSORS_ONLN)
  passed=0
  failed=0

  check 'clang-format' lint_format
  check 'gcc -Wall -Wextra -fanalyzer' lint_gcc
  check 'clang -Wall -Wextra' lint_clang
  check 'clang-tidy' lint_tidy
  check 'cppcheck' lint_cppcheck
  check 'shellcheck' lint_scripts
  check 'mandoc' lint_manuals
  say "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}

# check NAME FUNCTION: all are run, whatever those before have found.
check() {
  began=$(date +%s)
  if ("$2") >"$scratch/findings" 2>&1 </dev/null; then
    passed=$((passed + 1))
    verdict=ok
  else
    failed=$((failed + 1))
    cat "$scratch/findings"
    verdict=FAILED
  fi
  printf '%-6s  %s (%s s)\n' "$verdict" "$1" $(($(date +%s) - began))
}

c_files() {
  find include src cli tests bench examples -name '*.[ch]' "$@"
}

# Comments clang-format leaves as they are, so their width is looked at here.
lint_format() {
  c_files -exec clang-format --dry-run -Werror {} + &&
    c_files -exec awk \
      'length > 80 { print FILENAME ":" FNR ": longer than 80"; bad = 1 }
       END { exit bad }' {} +
}

# The analyzer is a part of the compiler, so both come in one go. It loses sight
# of memory that an array in a structure points to; leaks are looked for at run
# time, after each test, and by the analyzer of clang.
lint_gcc() {
  compile_all build-lint/gcc gcc \
    "-Dc_args=-fanalyzer -Wno-analyzer-malloc-leak"
}

lint_clang() {
  compile_all build-lint/clang clang
}

# compile_all FOLDER COMPILER [OPTION]: with all that can be built, and on
# after an error, so that all the findings are seen.
compile_all() {
  CC=$2
  export CC
  configure "$1" --werror -Dbench=true ${3:+"$3"}
  ninja -C "$1" --quiet -k 0
}

# How each file is compiled it learns from clang's build. One file a process:
# the analyzer of va_list mixes files up. Lines that only count the warnings in
# the headers of the system are dropped; any other is a finding. What header.c
# includes is a macro, and could not be in parentheses.
lint_tidy() {
  c_files -name '*.c' ! -path tests/public/header.c -print0 | xargs -0 -P "$processors" -n 1 \
    clang-tidy --quiet -p build-lint/clang 2>&1 |
    { ! grep -v '^[0-9]* warnings* generated\.$'; }
}

lint_cppcheck() {
  mkdir -p build-lint/cppcheck
  cppcheck --quiet --error-exitcode=1 -j "$processors" \
    --enable=warning,performance,portability,style --inline-suppr \
    --suppressions-list=tools/cppcheck.suppressions \
    --cppcheck-build-dir=build-lint/cppcheck \
    --project=build-lint/clang/compile_commands.json
}

# The parts of ./dev are read with it, through what it sources.
lint_scripts() {
  shellcheck --external-sources --check-sourced dev .ci/run &&
    find tests examples -name '*.sh' -exec shellcheck {} +
}

# Which other manuals there are is a matter of the machine, not of ours.
lint_manuals() {
  find man -name '*.[1-8]' -exec mandoc -T lint -W style {} + |
    { ! grep -v -e 'referenced manual not found' -e 'outdated mandoc\.db'; }
}
