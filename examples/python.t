# The examples that stand for a few lines of Python; tests/cli/README.md tells
# how to read this.

== system: the command shares our streams
$ echo text | example_system 'cat; exit 3'
text
exited with 3

== system: a command that was killed
$ example_system 'kill -9 $$'
* killed by *SIGKILL*

== popen: lines, of which the last is not whole
$ example_popen 'printf "pear\napple\n" | sort; printf end'
| apple
| pear
| end (no newline)

== run: success
$ example_run echo hello
6 bytes: hello

== run: a program that fails
$ example_run sh -c 'echo sorry >&2; exit 3'
2> sh exited with 3: sorry
[1]

== run: no such program
$ example_run no-such-program
2> exec "no-such-program": no such file or directory
[1]

== wait: a program that ends in time
$ example_wait 10 sh -c 'exit 5'
exited with 5

== wait: one that does not, with what it started
$ example_wait 0.1 sh -c 'sleep 60 & wait'
* killed by *SIGTERM*

== wait: no such program
$ example_wait 10 no-such-program
2> no-such-program: no such file or directory
[1]

== communicate: both outputs
$ example_communicate 'hello
> ' sh -c 'tr a-z A-Z; echo done >&2; exit 4'
out: HELLO
err: done
[4]

== communicate: more than a pipe holds, both ways
$ example_communicate "$(seq 20000)" tee /dev/stderr | tail -c 11
19999
20000 (no newline)
