# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# ./dev test [--sanitize] [--list] [name...]

test_folder=build-test
test_options=--buildtype=debugoptimized

dev_test() {
  action=run_tests
  while [ $# -gt 0 ]; do
    case $1 in
    --sanitize) sanitize ;;
    --list) action=list_tests ;;
    -*) die "test does not know $1" 'It takes --sanitize and --list.' ;;
    *) break ;;
    esac
    shift
  done
  need spin:spin
  build_tests
  "$action" "$@"
}

sanitize() {
  test_folder=build-sanitize
  test_options='-Db_sanitize=address,undefined -Db_lundef=false'
  export ASAN_OPTIONS=detect_leaks=1
  export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
}

build_tests() {
  # shellcheck disable=SC2086 # a list
  configure "$test_folder" $test_options
  compile "$test_folder"
}

# "suite program test" for each test.
list_tests() {
  meson test -C "$test_folder" --no-rebuild --logbase list --test-args=--list \
    >"$scratch/log" 2>&1 </dev/null
  awk -v list=1 -f tools/testlog.awk "$test_folder/meson-logs/list.json"
}

run_tests() {
  all_passed=0
  all_failed=0
  all_skipped=0
  if [ $# -eq 0 ]; then
    run_and_add
  else
    list_tests >"$scratch/all"
    for name; do
      run_named "$name"
    done
  fi
  say_counts "$all_passed" "$all_failed" "$all_skipped"
  [ "$all_failed" -eq 0 ] && [ "$all_passed" -gt 0 ]
}

# The suites that are transcripts.
transcribed='^cli \|^examples '

# The programs with NAME in their name. If there is none, the tests with it.
run_named() {
  programs=$(cut -d' ' -f2 "$scratch/all" | sort -u | grep -F -e "$1")
  if [ -n "$programs" ]; then
    # shellcheck disable=SC2086 # a list
    run_and_add $programs
    return
  fi
  NAME=$1 awk 'index($0, ENVIRON["NAME"])' "$scratch/all" >"$scratch/chosen"
  [ -s "$scratch/chosen" ] ||
    die "there is no test with $1 in its name" 'See ./dev test --list.'
  run_chosen -v "$transcribed" "--test-args='*$1*'"
  run_chosen -e "$transcribed" "--test-args=--only '*$1*'"
}

# run_chosen -v|-e SUITES ARGUMENT: the programs of the chosen tests that are
# not, or are, in these suites.
run_chosen() {
  programs=$(grep "$1" "$2" "$scratch/chosen" | cut -d' ' -f2 | sort -u)
  # shellcheck disable=SC2086 # a list
  [ -z "$programs" ] || run_and_add $programs "$3"
}

# meson_test [ARGUMENT...]: runs tests, shows what failed, and sets passed,
# failed and skipped.
meson_test() {
  testlog=$test_folder/meson-logs/testlog.json
  rm -f "$testlog"
  {
    PYTHONUNBUFFERED=1 meson test -C "$test_folder" --no-rebuild "$@" 2>&1
    echo $? >"$scratch/status"
  } </dev/null | tee "$scratch/log" | sed -u -n '/^ *[0-9]*\/[0-9]* /p'

  [ ! -e "$testlog" ] || awk -f tools/testlog.awk "$testlog" >"$scratch/results"
  if ! read_counts "$scratch/results" ||
    { [ "$(cat "$scratch/status")" -ne 0 ] && [ "$failed" -eq 0 ]; }; then
    cat "$scratch/log"
    die 'meson test failed'
  fi
  sed '$d' "$scratch/results"
}

run_and_add() {
  meson_test "$@"
  all_passed=$((all_passed + passed))
  all_failed=$((all_failed + failed))
  all_skipped=$((all_skipped + skipped))
}
