# What the jobs write, and when it is printed.
# A "#" at the end of a script hides the input that is added to it.

== each job's output comes in one piece, when it has ended
# The first job begins to write before the second, and ends after the end of
# that has been noticed.
$ mkfifo p
$ ripstop run -j2 'echo {} 1
> if [ {} = b ]; then echo $$ >p; fi
> if [ {} = a ]; then read b <p; while [ -d /proc/$b ]; do child pause 1; done; fi
> echo {} 2' ::: a b
b 1
b 2
a 1
a 2
$ rm p

== -k prints in the order of the inputs
# The first job ends last.
$ mkfifo p
$ ripstop run -k -j2 '[ {} = 1 ] && read x <p; echo {}; [ {} = 4 ] && echo >p; true' ::: 1 2 3 4
1
2
3
4
$ rm p
$ seq 3000 >want; ripstop run -k -j8 echo <want | cmp - want; rm want

== stdout and stderr stay apart
$ ripstop run -k 'echo out {}; echo err {} >&2' ::: a b
out a
out b
2> err a
2> err b
$ ripstop run -k 'echo out {}; echo err {} >&2' ::: a b 2>&1
out a
err a
out b
err b

== --tag
$ ripstop run -k --tag 'printf "1\n\n3"; echo err >&2 #' ::: a 'b c'
~ a\t1
~ a\t
~ a\t3
~ b c\t1
~ b c\t
~ b c\t3
2> ~ a\terr
2> ~ b c\terr
$ printf 'a\nb\0' | ripstop run -0 --tag 'echo x #'
~ a\\nb\tx
$ ripstop run --tag 'true #' ::: quiet
$ seq 100000 >want; ripstop run --tag cat ::: want | sed 's/^want\t//' | cmp - want; rm want

== output is exact: NUL, no last newline, nothing
$ ripstop run -k 'printf "a\0b"; printf "%s" {}' ::: x '' y | od -c | sed 's/ *$//'
0000000   a  \0   b   x   a  \0   b   a  \0   b   y
0000013

== much output at once is kept on disk, and memory stays small
@deadline 60
$ (grep -q __asan_init "$(command -v ripstop)" || ulimit -v 100000; ripstop run -j4 'child flood both 60000000 # {}' ::: a b c d 2>err >out); wc -c <out; wc -c <err
240000000
240000000
$ cmp out err && sort -u out
xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
$ rm out err

== much output through a pipe, in order
@deadline 60
$ ripstop run -k -j3 'head -c 30000000 /dev/zero | tr "\0" {}; echo' ::: 1 2 3 | tr -s 123
1
2
3

== no place to keep output on disk
$ TMPDIR=$PWD/nope ripstop run 'head -c 30000000 /dev/zero; sleep 1000 #' ::: a b | wc -c
0
2> * ripstop run: cannot keep output in "*/nope": no such file or directory; set TMPDIR to a directory with more room
2> ~ ripstop run: the output of jobs? \d(, \d)? is lost
$ (ulimit -f 1000; ripstop run 'head -c 30000000 /dev/zero; sleep 1000 #' ::: a b | wc -c)
0
2> * ripstop run: cannot keep output in "*": file too large; set TMPDIR to a directory with more room
2> ~ ripstop run: the output of jobs? \d(, \d)? is lost
$ TMPDIR=$PWD/nope ripstop run -k -j1 'echo {}; [ {} = a ] || head -c 30000000 /dev/zero' ::: a b c
a
2> * ripstop run: cannot keep output in "*/nope": no such file or directory; set TMPDIR to a directory with more room
2> ripstop run: the output of job 2 is lost
[1]

== stdout that can not be written
$ ripstop run echo ::: a >/dev/full
2> ripstop run: cannot print output: no space left on device
[1]
$ ripstop run --dry-run echo ::: a >/dev/full
2> ripstop run: cannot write to standard output: no space left on device
[1]

== nobody reads the output: it ends as any filter does
@needs bash
$ bash -c 'yes | ripstop run echo | head -n 3; echo "${PIPESTATUS[@]}"'
y
y
y
141 141 0
$ bash -c 'ripstop run -j2 "[ {} = a ] && yes | head -n 100000 || sleep 1000" ::: a b c | head -n 1; echo "${PIPESTATUS[@]}"'
y
141 0

== a reader that reads nothing holds up neither printing nor timeouts
# The reader begins to read when the second job has been ended, although the
# output of the first does not fit into the pipe.
$ mkfifo p
$ ripstop run -j1 --timeout 0.2 '
> trap "echo >p; exit" TERM
> [ {} = short ] && exec printf "ten bytes\n"
> head -c 200000 /dev/zero; sleep 1000 & wait' ::: short a b 2>err | (exec 3<>p; read x <&3; read x <&3; wc -c); cat err
400010
ripstop run: 2 of 3 jobs failed: 2 timed out
...
$ rm p err

== no more jobs start while much output waits to be printed
# The reader sees how many have started when ripstop has no job and sleeps.
$ mkfifo p; : >log
$ seq 40 | ripstop run -j1 'echo {} >>log; [ {} != 5 ] || echo $PPID >p; head -c 1000000 /dev/zero' | (read pid <p; until [ -z "$(cat /proc/$pid/task/$pid/children)" ] && grep -q '^State:.S' /proc/$pid/status; do child pause 5; done; n=$(wc -l <log); [ $n -lt 10 ] || echo $n; wc -c)
40000000
$ rm p log
