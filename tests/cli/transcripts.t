# The format of transcripts itself, shown by commands that are everywhere.

== output, errors and status
$ echo hello; echo oops >&2; exit 3
hello
2> oops
[3]

== several commands share a directory, which must be left empty
$ echo some text >file
$ cat file
some text
$ rm file

== files that stay must be declared
@left kept folder/ folder/inside
$ mkdir folder; touch kept folder/inside

== a command of several lines
$ cat <<END
> first
>   second
> END
first
  second

== lines that vary
$ echo "pid $$"; echo 12.5 ms; echo one; echo two; echo three; echo end
~ pid \d+
* *.* ms
...
end

== lines that look like patterns
$ echo '~ x'; echo '= y'; echo; echo '...'
= ~ x
= = y
=
= ...

== an empty line inside the output needs no mark
$ printf 'a\n\nb\n'
a

b

== control characters and a missing newline are shown
$ printf 'a\033[1mb'
a\x1b[1mb (no newline)

== a title in brackets is no pattern [x]
$ true

== the surroundings are plain
$ echo $LC_ALL; test "$HOME" = "$PWD" && test "$TMPDIR" = "$PWD"; cat
C

== programs of the build come first in PATH
@needs child
$ child args a 'b c'
1:a
3:b c
