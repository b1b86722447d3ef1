# SPDX-License-Identifier: MIT
# Reads meson-logs/testlog.json, which has a line for each test program with
# the TAP that it printed. Shows each test that failed with what it said, and
# ends with "N passed, N failed, N skipped", where single tests count.
#
# With -v list=1 the programs were run with --list, and it shows "suite program
# test" for each test, and "suite program" for a program that cannot tell.

# The string that follows `"key": "` in the line; "" if there is none. Inside
# of a string each quote has a backslash, so the first without is its end.
function field(key,   text) {
  if (!match($0, "\"" key "\": \""))
    return ""
  text = substr($0, RSTART + RLENGTH)
  gsub(/\\\\/, "\001", text)
  gsub(/\\"/, "\002", text)
  sub(/".*/, "", text)
  gsub(/\\n/, "\n", text)
  gsub(/\\t/, "\t", text)
  gsub(/\002/, "\"", text)
  gsub(/\001/, "\\", text)
  return text
}

# Counts what is in TAP, and shows what failed: a line "not ok", and the
# comments after it.
function count_lines(   i, show) {
  tests = bad = show = 0
  for (i = 1; i <= lines; i++) {
    if (line[i] ~ /^(not )?ok/) {
      tests++
      show = line[i] ~ /^not/
      if (show)
        printf "\n%s: ", program
      if (show)
        bad++
      else if (line[i] ~ /# SKIP/)
        skipped++
      else
        passed++
    }
    if (show && line[i] != "")
      print line[i]
  }
  failed += bad
}

# The name is "project:suite / program".
{
  program = suite = field("name")
  sub(/.* \/ /, "", program)
  sub(/^[^:]*:/, "", suite)
  sub(/ .*/, "", suite)
  lines = split(field("stdout"), line, "\n")
}

list {
  if (lines == 0 || line[1] ~ /^1\.\./)
    print suite, program
  else
    for (i = 1; i <= lines; i++)
      if (line[i] != "")
        print suite, program, line[i]
  next
}

{
  count_lines()
  result = field("result")
  if (result == "SKIP" && lines == 0 && !/"returncode": 77/)
    result = "no output"

  # It failed in another way: it crashed, took too long, is no TAP program.
  if (result !~ /^(OK|SKIP)$/ && bad == 0) {
    failed++
    printf "\n%s: %s, after %d tests\n%s", program, result, tests,
      field("stdout")
  } else if (tests == 0 && result == "OK")
    passed++
  else if (tests == 0)
    skipped++
  if (result !~ /^(OK|SKIP)$/) {
    said = field("stderr")
    sub(/\n*\(test program exited with status code 1\)\n*$/, "", said)
    printf "%s", said
  }
}

END {
  if (!list)
    printf "%s%d passed, %d failed%s\n", failed ? "\n" : "", passed, failed,
      skipped ? ", " skipped " skipped" : ""
}
