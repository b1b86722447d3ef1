# Where inputs come from, and that they arrive as they are.

== words after :::
$ ripstop run -k child args ::: a '' 'b c' -n "it's" '"' '\' '$HOME' '*' -- é
1:a
0:
3:b c
2:-n
4:it's
1:"
1:\
5:$HOME
1:*
2:--
2:é

== no inputs at all
$ ripstop run false :::
$ ripstop run false </dev/null
$ ripstop run --dry-run false </dev/null

== lines of stdin, the last one without newline too
$ printf 'a\n\n b \n-x\nlast' | ripstop run -k child args
1:a
0:
3: b 
2:-x
4:last

== lines of files, and stdin among them
$ printf '1\n2' >one; printf '3\n' >two; : >empty
$ echo in | ripstop run -k echo {#} {} :::: one empty - two
1 1
2 2
3 in
4 3
$ rm one two empty

== a named pipe that is written later
$ mkfifo p
$ (exec 3>p; echo a >&3; echo b >&3) & ripstop run -k echo :::: p; wait
a
b
$ rm p

== inputs that end with NUL may hold newlines
$ printf 'a\nb\0\0c' | ripstop run -0 -k child args
3:a
b
0:
1:c

== a NUL in a line is told, not cut
$ printf 'good\nb\0d\nnever\n' >list
$ ripstop run -j1 echo :::: list
good
2> ripstop run: input 2 (in list) holds a NUL byte; give -0 if NUL ends each input
[1]
$ ripstop run --dry-run echo <list
echo good
2> ripstop run: input 2 (in standard input) holds a NUL byte; give -0 if NUL ends each input
[1]
$ rm list

== an argument that is too long fails its job alone
$ (echo short; head -c 10485760 /dev/zero | tr '\0' a; echo; echo end) | ripstop run -k echo
short
end
2> ripstop run: 1 of 3 jobs failed: 1 could not be started
2> ripstop run: job 2 could not be started (an argument of 10485760 bytes is too long, 131071 is most): aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...
[123]

== the longest argument that there can be
$ head -c 131071 /dev/zero | tr '\0' a | ripstop run child args | cut -c1-10
131071:aaa

== an input without an end is given up
$ tr '\0' a </dev/zero | ripstop run echo
2> ripstop run: cannot read standard input: an input is longer than 64 MiB
[1]

== jobs start before the input ends
# The input ends only when the second job has run.
$ mkfifo p
$ (echo 1; echo 2; read line <p) | ripstop run -j1 sh -c '[ $0 = 1 ] || echo >p; echo job $0'
job 1
job 2
$ rm p

== waiting for inputs holds up nothing else
# The next input comes only when the first job has been ended.
$ mkfifo p q; echo a >list
$ (echo a; read x <p; echo b) | ripstop run -k -j2 --timeout 0.2 '[ {} = b ] && echo b && exit; trap "echo >p; exit" TERM; sleep 1000 & wait' 2>/dev/null
b
[123]
$ (read x <p; echo b >q) & ripstop run -k -j2 --timeout 0.2 '[ {} = b ] && echo b && exit; trap "echo >p; exit" TERM; sleep 1000 & wait' :::: list q 2>/dev/null; echo $?; wait
b
123
$ rm p q list

== an endless input
$ yes | ripstop run -j1 --halt soon,done=20 echo | uniq -c | sed 's/^ *//'
20 y
2> ripstop run: ended early by --halt, 0 running jobs were stopped

== no more is read from a pipe than a little ahead
$ seq 1000000 | (ripstop run --halt now,fail=1 false 2>/dev/null; read cut; read line; [ "$line" -lt 100000 ] && echo yes)
yes

== closed standard streams
$ ripstop run echo <&-
2> ripstop run: cannot read standard input: bad file descriptor
[1]
$ ripstop run echo ::: a >&-
2> ripstop run: cannot print output: bad file descriptor
[1]
$ ripstop run -k echo ::: a b 2>&-
a
b
