# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# ./dev prove [times]: the tests over and over, one half of the times alone and
# one with every processor busy, so that what happens rarely gets its chance.
# Tests of that make more rounds than usual (RIPSTOP_TEST_LONG).
# Adds what was done to docs/proofs.md.
#
# ./dev prove matrix: the kill sweep, and beside it what the same kills do to
# the objects of libc and of Python, as a table: in docs/crash-safety.md.
#
# ./dev prove mutants: bugs planted in a copy of the library, and what finds each
# of them: there too.

dev_prove() {
  if [ "${1:-}" = matrix ]; then
    prove_matrix
    return
  fi
  if [ "${1:-}" = mutants ]; then
    need python3:python3
    python3 tests/kill/mutants.py --table=docs/crash-safety.md
    return
  fi
  times=${1:-100}
  case $times in
  *[!0-9]* | 0* | 1) die "prove wants a number of times from 2, not $times" ;;
  esac
  alone=$((times - times / 2))
  loaded=$((times / 2))
  . tools/test.sh
  export RIPSTOP_TEST_LONG="${RIPSTOP_TEST_LONG:-4}"
  build_tests
  mkdir -p build-test/proof
  rm -f build-test/proof/*

  prove_runs "$alone" alone
  start_load
  prove_runs "$loaded" loaded
  stop_load
  record_proof
  say "$all_passed passed, $all_failed failed"
  [ "$all_failed" -eq 0 ] ||
    die 'the output of the runs that failed is in build-test/proof/'
}

prove_matrix() {
  need python3:python3
  . tools/test.sh
  build_tests
  python3 tests/kill/matrix.py "$test_folder" docs/crash-safety.md
}

all_passed=0
all_failed=0

# prove_runs TIMES HOW
prove_runs() {
  run=1
  while [ "$run" -le "$1" ]; do
    output=build-test/proof/$2-$run
    meson_test >"$output"
    [ "$failed" -gt 0 ] || rm "$output"
    all_passed=$((all_passed + passed))
    all_failed=$((all_failed + failed))
    say "$2, run $run of $1: $passed passed, $failed failed"
    run=$((run + 1))
  done
}

# Two loops a processor, which give way to nobody else's work, and which end
# with the file, and so with us, however we end.
start_load() {
  : >"$scratch/load"
  # shellcheck disable=SC2016 # expanded by the sh that runs it
  loop='while [ -e "$0" ] && kill -0 "$1" 2>/dev/null; do
    n=0; while [ $n -lt 50000 ]; do n=$((n + 1)); done; done'
  loops=$((2 * $(getconf _NPROCESSORS_ONLN)))
  while [ "$loops" -gt 0 ]; do
    nice sh -c "$loop" "$scratch/load" $$ &
    loops=$((loops - 1))
  done
}

stop_load() {
  rm "$scratch/load"
  wait
}

record_proof() {
  mkdir -p docs
  [ -e docs/proofs.md ] || cat >docs/proofs.md <<'END'
# Long proofs

What `./dev prove` did, where, and what came out. "Loaded" means: with two busy
loops for each processor beside the tests.

| date | commit | runs of all tests | single tests | machine |
|---|---|---|---|---|
END
  commit=$(git rev-parse --short HEAD 2>/dev/null)
  [ -z "$(git status --porcelain -uno 2>/dev/null)" ] ||
    commit="$commit, changed"
  processors=$(getconf _NPROCESSORS_ONLN)
  compiler_name=$("${CC:-cc}" --version | head -n 1)
  {
    printf '| %s | %s ' "$(date +%F)" "$commit"
    printf '| %d alone, %d loaded ' "$alone" "$loaded"
    printf '| %d passed, %d failed ' "$all_passed" "$all_failed"
    printf '| %s, %d CPUs, %s |\n' "$(uname -srm)" "$processors" \
      "$compiler_name"
  } >>docs/proofs.md
}
