# The progress bar: on a terminal, and only there. (Carriage returns are shown
# as new lines.) It comes after half a second, so jobs last until it is seen in
# a copy of what goes to the terminal.

== the bar is drawn on a terminal, and taken off for output and at the end
@needs script
$ TERM=xterm script -qec "ripstop run -j2 'n=0/3; [ {} = c ] && n=2/3; until grep -qs \$n seen; do child pause 20; done; echo {}' ::: a b c" /dev/null | tee seen | tr '\r' '\n'; rm seen
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
$ TERM=xterm script -qec "ripstop run -j1 'n={}; until grep -qs \$((1 - n))/2 seen; do child pause 20; done; exit \$n' ::: 1 0" /dev/null | tee seen | tr '\r' '\n'; rm seen
...
~ \[#{15}\.{15}\] 1/2  1 failed  \d\.\d/s  0:0\d elapsed  0:0\d left\\x1b\[K
...
\x1b[Kripstop run: 1 of 2 jobs failed: 1 exited with 1
...

== on a narrow terminal it is cut
@needs script stty
$ TERM=xterm script -qec "stty cols 20; ripstop run 'until grep -qs 0/1 seen; do child pause 20; done #' ::: a" /dev/null | tee seen | tr '\r' '\n'; rm seen
=
~ 0/1  0:0\d elapsed\\x1b\[K
...
\x1b[K (no newline)

== how many there will be is judged by the size of a file
@needs script
$ seq 1000 1999 >list
$ TERM=xterm script -qec "ripstop run -j1 --halt soon,done=1 'until grep -qs 0/1000 seen; do child pause 20; done #' :::: list" /dev/null | tee seen | tr '\r' '\n'; rm seen
...
~ \[\.{30}\] 0/1000  0:0\d elapsed\\x1b\[K
...
$ rm list

== of a pipe it is not known
@needs script
$ TERM=xterm script -qec "(echo a; until grep -qs elapsed seen; do child pause 20; done; echo b) | ripstop run -j1 'true #'" /dev/null | tee seen | tr '\r' '\n'; rm seen
=
~ 1  \d\.\d/s  0:0\d elapsed\\x1b\[K
...
\x1b[K (no newline)

== none where it does not belong
@needs script
$ TERM=xterm script -qec "ripstop run --no-progress 'child pause 700 #' ::: a" /dev/null
$ TERM=dumb script -qec "ripstop run 'child pause 700 #' ::: a" /dev/null
$ TERM=xterm script -qec "ripstop run 'child pause 700 #' ::: a 2>/dev/null" /dev/null
$ TERM=xterm script -qec "ripstop run true ::: a" /dev/null
$ TERM=xterm ripstop run 'child pause 700 #' ::: a

== inputs are asked for on a terminal
@needs script
$ printf 'a\nb\n\004' | TERM=xterm script -qec "ripstop run -k echo got" /dev/null | tr -d '\r'
...
ripstop run: reading inputs from the terminal, one a line; Ctrl-D ends them
...
got a
got b
