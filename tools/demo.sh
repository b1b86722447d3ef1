# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# ./dev demo: real files, compressed and checked in parallel by real tools. One
# job is killed on purpose; the others must not notice.

dev_demo() {
  [ $# -eq 0 ] || die "demo takes no $1"
  compile_release
  ripstop=$PWD/build/cli/ripstop
  jobs=$(getconf _NPROCESSORS_ONLN)
  mkdir "$scratch/demo" && cd "$scratch/demo" || exit 1
  choose_files
  write_job
  introduce

  say "\$ ripstop run -j$jobs sh job {} :::: files"
  ripstop_pass
  check_results

  say '' "The same with xargs -P$jobs -n1 (one run each; ./dev bench measures):"
  xargs_pass
  compare
}

# The 400 largest files from 8 to 192 KiB: enough work in each, and seconds in
# all. A name with a line break would be two names in the list.
choose_files() {
  find /usr/include /usr/share -type f -size +8k -size -192k -readable \
    ! -name '*.gz' ! -name '*[[:cntrl:]]*' -printf '%s %p\n' 2>/dev/null |
    sort -rn | head -n 400 >sized
  cut -d' ' -f2- sized >files
  count=$(wc -l <files)
  [ "$count" -ge 20 ] || die "found only $count files in /usr/include and" \
    '/usr/share that are large enough, and this wants 20 or more.'
  megabytes=$(awk '{ sum += $1 } END { printf "%.1f", sum / 1e6 }' sized)
  victim=$(sed -n "$((count / 3))p" files)

  # Where the results go, and one reading of all, so that no run has to wait
  # for the disk where the next one does not.
  sed 's,^,out,; s,/[^/]*$,,' files | sort -u | xargs -d '\n' mkdir -p
  xargs -d '\n' cat <files >/dev/null
}

write_job() {
  cat >job <<'END'
[ "$1" != "$VICTIM" ] || kill -KILL $$
gzip -c "$1" >"out$1.gz" && gzip -dc "out$1.gz" | cmp -s - "$1"
END
}

introduce() {
  say '' "There are $count files here, $megabytes MB, from /usr/include and /usr/share." \
    'Each is a job: compress it, unpack the result, compare that with the file.' \
    'One job kills itself with SIGKILL, as the kernel does when memory runs out:' \
    "  $victim" ''
}

ripstop_pass() {
  start=$(date +%s%N)
  VICTIM=$victim "$ripstop" run -j "$jobs" sh job {} :::: files
  status=$?
  ripstop_ms=$((($(date +%s%N) - start) / 1000000))
}

# What came out is judged by itself, not by what anybody says about it.
check_results() {
  [ ! -e "out$victim.gz" ] || die "the job that was to be killed was not"
  find out -name '*.gz' -print0 | xargs -0 gzip -t ||
    die 'a compressed file is damaged: see above'
  intact=$(count_results)
  [ "$intact" -eq $((count - 1)) ] ||
    die "$((count - 1 - intact)) files are missing, besides that of the killed job"
  [ "$status" -eq 125 ] || die "ripstop run ended with $status, not with 125"
  say '' "One was killed. The other $intact are there, and gzip -t finds them intact."
}

# xargs gives up when a job is killed, so it is measured without that.
xargs_pass() {
  find out -name '*.gz' -delete
  VICTIM=$victim xargs -d '\n' -P "$jobs" -n1 sh job <files 2>/dev/null
  xargs_done=$(count_results)
  find out -name '*.gz' -delete
  grep -Fxv -e "$victim" files >rest
  start=$(date +%s%N)
  VICTIM='' xargs -d '\n' -P "$jobs" -n1 sh job <rest ||
    die "xargs failed with $? where no job was killed"
  xargs_ms=$((($(date +%s%N) - start) / 1000000))
}

compare() {
  awk -v ours="$ripstop_ms" -v theirs="$xargs_ms" -v mb="$megabytes" \
    -v intact="$intact" -v done="$xargs_done" 'BEGIN {
    timed = "  %-12s %-18s %4d files, %6.2f s, %5.1f MB/s\n"
    printf timed, "ripstop run", "one job killed:", intact, ours / 1e3,
      mb * 1e3 / ours
    printf timed, "xargs", "no job killed:", intact, theirs / 1e3,
      mb * 1e3 / theirs
    printf "  %-12s %-18s %4d files, then it gave up\n", "xargs",
      "one job killed:", done
  }'
}

count_results() {
  find out -name '*.gz' | wc -l
}
