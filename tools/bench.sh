# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# ./dev bench [module [figure...]]: see bench/README.md.

dev_bench() {
  (need libuv.pc:libuv1-dev gio-2.0.pc:libglib2.0-dev /usr/bin/python3:python3 \
    parallel:parallel sponge:moreutils /usr/include/boost/version.hpp:libboost-dev) ||
    say 'Going on: what is compared with them is passed over.'
  configure build-bench --buildtype=release -Dtests=false -Dbench=true
  compile build-bench
  if [ $# -gt 0 ]; then
    module=$1
    shift
    program=build-bench/bench/${module}_bench
    [ -x "$program" ] || die "there is no benchmark $module" \
      "There are: $(cd bench && echo ./*_bench.c | sed 's,\./,,g; s/_bench\.c//g')"
    "$program" "$@"
    return
  fi
  worst=0
  for program in build-bench/bench/*_bench; do
    "$program" || worst=$?
  done
  return "$worst"
}
