# What the examples write; tests/cli/README.md tells how to read this.

== first: one command, its output and its end
$ example_first
~ \d{4}-\d\d-\d\d
date exited with 0

# Directories count too, and how much they add is the file system's affair.

== pipeline: the biggest in a tree of files
$ mkdir -p tree/sub
$ head -c 900000 /dev/zero >tree/sub/big
$ head -c 70000 /dev/zero >tree/middle
$ head -c 100 /dev/zero >tree/small
$ example_pipeline tree
900000	tree/sub/big
~ \d{6}	tree/sub
~ \d{6}	tree
$ rm -r tree

== pipeline: a stage that fails is named, though the last one is well
$ LC_ALL=C example_pipeline no-such
2> ~ du: .*no-such.*
2> du exited with 1
[1]

== pipeline: a program that is not there
$ PATH=/nowhere $(command -v example_pipeline) .
2> exec "du": no such file or directory
[1]

# The first command ends only when the second has seen, in the file, what it
# wrote; and the second goes on only when it has seen there that the first has
# ended.

== poll: what several commands write is shown as it comes
$ mkfifo go
$ echo 'echo one; read x <go; exit 3' >first
$ cat >second <<'END'
> until grep -q one out; do child pause 1; done
> echo >go
> until grep -q 'exited with 3' out; do child pause 1; done
> seq 3
> END
$ example_poll 'sh first' 'sh second' >out
$ cat out
==> sh first <==
one
==> sh first <== exited with 3
==> sh second <==
1
2
3
==> sh second <== exited with 0
$ rm go first second out

== poll: a helper that holds the output is not waited for
$ mkfifo go
$ example_poll 'cat go & echo done'
==> cat go & echo done <==
done
==> cat go & echo done <== exited with 0
$ echo >go
$ rm go

== poll: more output than a pipe holds
$ example_poll 'seq 100000' | tail -n 2
100000
==> seq 100000 <== exited with 0

== libuv: what several commands write is shown as it comes
@needs example_libuv
$ mkfifo go
$ echo 'echo one; read x <go; exit 3' >first
$ cat >second <<'END'
> until grep -q one out; do child pause 1; done
> echo >go
> until grep -q 'exited with 3' out; do child pause 1; done
> seq 3
> END
$ example_libuv 'sh first' 'sh second' >out
$ cat out
==> sh first <==
one
==> sh first <== exited with 3
==> sh second <==
1
2
3
==> sh second <== exited with 0
$ rm go first second out

== libuv: a helper that holds the output is not waited for
@needs example_libuv
$ mkfifo go
$ example_libuv 'cat go & echo done'
==> cat go & echo done <==
done
==> cat go & echo done <== exited with 0
$ echo >go
$ rm go

== libuv: more output than a pipe holds
@needs example_libuv
$ example_libuv 'seq 100000' | tail -n 2
100000
==> seq 100000 <== exited with 0

== libuv: the output ends before the command
@needs example_libuv
$ mkfifo go
$ echo 'echo one; exec >&-; read x <go' >first
$ echo 'echo >go' >second
$ example_libuv 'sh first' 'sh second' | grep -v second
==> sh first <==
one
==> sh first <== exited with 0
$ rm go first second
