# The examples of pipes, FIFOs and channels; tests/cli/README.md tells how to
# read this.

== pipe: lines from a child
$ example_pipe
parent got: one
parent got: two
child exited with 0

== pipe: of a killed child what it has written comes, and then the end
$ example_pipe killed
parent got: one
* child killed by SIGKILL*

== fifo: two programs meet
$ example_fifo meet & until test -p meet; do child pause 1; done; example_fifo meet hello; wait
received: hello

== fifo: one of them is cat
$ mkfifo old
$ cat old & example_fifo old hello; wait
hello
$ rm old

== fifo: what is there is not ours to use
$ echo text >file
$ example_fifo file
2> file: already exists
[1]
$ example_fifo file hello
2> file: not a FIFO
[1]
$ rm file
$ example_fifo no-such hello
2> no-such: no such file or directory
[1]

== channel: a parent and its child
$ example_channel pair
hello from the child
the end

== channel: a server and its clients
$ example_channel serve capitals 2 & example_channel ask capitals one two; example_channel ask capitals three; wait
ONE
TWO
THREE

== channel: a killed server leaves no name behind
$ example_channel serve capitals 2 & s=$!; example_channel ask capitals one; kill -9 $s; wait $s 2>/dev/null; example_channel serve capitals 1 & example_channel ask capitals two; wait
ONE
TWO
