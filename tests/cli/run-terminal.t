# The progress bar: on a terminal, and only there. (Carriage returns are shown
# as new lines.)

== the bar is drawn on a terminal, and taken off for output and at the end
@needs script
$ TERM=xterm script -qec "ripstop run -j2 'child pause 700 ; echo {}' ::: a b c" /dev/null | tr '\r' '\n'
=
~ \[\.{30}\] 0/3  0:0\d elapsed\\x1b\[K
...
~ \\x1b\[K[ab]
...
~ \[#{20}\.{10}\] 2/3  \d\.\d/s  0:0\d elapsed  0:0\d left\\x1b\[K
...
\x1b[Kc
=

== failed jobs are counted in it
@needs script
$ TERM=xterm script -qec "ripstop run -j1 'child pause 700 ; exit {}' ::: 1 0" /dev/null | tr '\r' '\n'
...
~ \[#{15}\.{15}\] 1/2  1 failed  \d\.\d/s  0:0\d elapsed  0:0\d left\\x1b\[K
...
\x1b[Kripstop run: 1 of 2 jobs failed: 1 exited with 1
...

== on a narrow terminal it is cut
@needs script stty
$ TERM=xterm script -qec "stty cols 20; ripstop run 'child pause 700 #' ::: a" /dev/null | tr '\r' '\n'
=
~ 0/1  0:0\d elapsed\\x1b\[K
...
\x1b[K (no newline)

== how many there will be is judged by the size of a file
@needs script
$ seq 1000 1999 >list
$ TERM=xterm script -qec "ripstop run -j1 --halt soon,done=1 'child pause 700 #' :::: list" /dev/null | tr '\r' '\n'
...
~ \[\.{30}\] 0/1000  0:0\d elapsed\\x1b\[K
...
$ rm list

== of a pipe it is not known
@needs script
$ TERM=xterm script -qec "(echo a; child pause 700; echo b) | ripstop run -j1 'true #'" /dev/null | tr '\r' '\n'
=
~ 1  \d\.\d/s  0:0\d elapsed\\x1b\[K
...
\x1b[K (no newline)

== none where it does not belong
@needs script
$ TERM=xterm script -qec "ripstop run --no-progress 'child pause 700 #' ::: a" /dev/null
$ TERM=dumb script -qec "ripstop run 'child pause 700 #' ::: a" /dev/null
$ TERM=xterm script -qec "ripstop run 'child pause 700 #' ::: a 2>/dev/null" /dev/null
$ TERM=xterm script -qec "ripstop run 'child pause 200 #' ::: a" /dev/null
$ TERM=xterm ripstop run 'child pause 700 #' ::: a

== inputs are asked for on a terminal
@needs script
$ printf 'a\nb\n\004' | TERM=xterm script -qec "ripstop run -k echo got" /dev/null | tr -d '\r'
...
ripstop run: reading inputs from the terminal, one a line; Ctrl-D ends them
...
got a
got b
