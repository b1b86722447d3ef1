# What is refused before anything runs, and how it is said.

== the help text goes to stdout
$ ripstop run --help | head -n 1; ripstop run -h | tail -n 1
usage: ripstop run [OPTION]... COMMAND [ARG]... [::: INPUT...]
by the same signal.
$ ripstop --help | head -n 1; ripstop --version
usage: ripstop COMMAND ...
~ ripstop \d+\.\d+\.\d+

== commands that do not exist
$ ripstop
2> ripstop: no command given; see ripstop --help
[2]
$ ripstop rn
2> ripstop: unknown command rn; did you mean run?
[2]
$ ripstop frobnicate
2> ripstop: unknown command frobnicate; see ripstop --help
[2]

== unknown options
$ ripstop run --keeporder echo ::: a
2> ripstop run: unknown option --keeporder; did you mean --keep-order?
[2]
$ ripstop run --frobnicate=3 echo ::: a
2> ripstop run: unknown option --frobnicate; see ripstop run --help
[2]
$ ripstop run -kx echo ::: a
2> ripstop run: unknown option -x; see ripstop run --help
[2]
$ ripstop run --tag=yes echo ::: a
2> ripstop run: option --tag=yes: it takes no value
[2]

== options without their value
$ ripstop run --timeout
2> ripstop run: option --timeout needs a value
[2]
$ ripstop run -j
2> ripstop run: option -j needs a value
[2]

== numbers of jobs
$ for n in x 0 -1 1x 65537 99999999999999999999 ''; do ripstop run -j "$n" true ::: a; echo $?; done
2
2
2
2
2
2
2
2> ripstop run: -j x: not a number of jobs; give 1 or more (up to 65536)
2> ripstop run: -j 0: not a number of jobs; give 1 or more (up to 65536)
2> ripstop run: -j -1: not a number of jobs; give 1 or more (up to 65536)
2> ripstop run: -j 1x: not a number of jobs; give 1 or more (up to 65536)
2> ripstop run: -j 65537: not a number of jobs; give 1 or more (up to 65536)
2> ripstop run: -j 99999999999999999999: not a number of jobs; give 1 or more (up to 65536)
2> ripstop run: -j : not a number of jobs; give 1 or more (up to 65536)
$ for n in -j2 '-j 2' --jobs=2 '--jobs 2'; do ripstop run $n echo ::: "$n"; done
-j2
-j 2
--jobs=2
--jobs 2

== a ::: that lacks a blank
$ for word in :::a a::: ::::list; do ripstop run echo $word b; echo $?; done
2
2
2
2> ripstop run: there is no :::, but ":::a" looks like one; if it is meant so, add ':::: -' to read inputs from standard input
2> ripstop run: there is no :::, but "a:::" looks like one; if it is meant so, add ':::: -' to read inputs from standard input
2> ripstop run: there is no :::, but "::::list" looks like one; if it is meant so, add ':::: -' to read inputs from standard input
$ echo b | ripstop run echo :::a :::: -; echo b | ripstop run echo :: a::b
:::a b
:: a::b b
$ ripstop run echo ::: :::a
:::a

== a :: where the inputs would have to be typed
@needs script
$ script -qec 'ripstop run echo :: a b' /dev/null </dev/null | tr -d '\r'
ripstop run: there is no :::, but "::" looks like one; if it is meant so, add ':::: -' to read inputs from standard input

== times
$ for t in x 0 -1 nan inf 0x10 1e3 1.2.3 5y; do ripstop run --timeout "$t" true ::: a; echo $?; done 2>&1 | uniq -c | sed 's/^ *//'
1 ripstop run: --timeout x: not a time; give seconds, or a number with ms, s, m, h or d
1 2
1 ripstop run: --timeout 0: not a time; give seconds, or a number with ms, s, m, h or d
1 2
1 ripstop run: --timeout -1: not a time; give seconds, or a number with ms, s, m, h or d
1 2
1 ripstop run: --timeout nan: not a time; give seconds, or a number with ms, s, m, h or d
1 2
1 ripstop run: --timeout inf: not a time; give seconds, or a number with ms, s, m, h or d
1 2
1 ripstop run: --timeout 0x10: not a time; give seconds, or a number with ms, s, m, h or d
1 2
1 ripstop run: --timeout 1e3: not a time; give seconds, or a number with ms, s, m, h or d
1 2
1 ripstop run: --timeout 1.2.3: not a time; give seconds, or a number with ms, s, m, h or d
1 2
1 ripstop run: --timeout 5y: not a time; give seconds, or a number with ms, s, m, h or d
1 2
$ for t in 10 10s 0.5m 2h 1.5d 20000ms; do ripstop run --timeout "$t" true ::: a || echo "$t"; done

== retries
$ ripstop run --retries -1 true ::: a
2> ripstop run: --retries -1: not a number of retries; give 0 or more (up to 1000000)
[2]

== when to halt
$ ripstop run --halt now true ::: a
2> ripstop run: --halt now: give never, or soon or now with fail, success or done and a number, as now,fail=1
[2]
$ ripstop run --halt soon,fail=0 true ::: a
2> ripstop run: --halt soon,fail=0: give never, or soon or now with fail, success or done and a number, as now,fail=1
[2]
$ ripstop run --halt soon,fail=10% true ::: a
2> ripstop run: --halt soon,fail=10%: percentages are not supported; give a number of jobs
[2]

== a mark that is empty
$ ripstop run -I '' echo ::: a
2> ripstop run: -I: the mark is empty; give the text that stands for the input
[2]

== no command
$ ripstop run
2> ripstop run: no command given; see ripstop run --help
[2]
$ ripstop run -j2 ::: a b
2> ripstop run: no command given; see ripstop run --help
[2]

== more than one source
$ ripstop run echo ::: a b ::: c d
2> ripstop run: :::: only one ::: or :::: can be given, inputs from several are not combined
[2]
$ ripstop run echo ::: a :::: b
2> ripstop run: ::::: only one ::: or :::: can be given, inputs from several are not combined
[2]
$ ripstop run echo :::+ a
2> ripstop run: :::+: only one ::: or :::: can be given, inputs from several are not combined
[2]

== all files are looked at before anything runs
$ echo a >list
$ ripstop run echo :::: list nosuch
2> ripstop run: cannot read nosuch: no such file or directory
[2]
$ ripstop run echo :::: list .
2> ripstop run: cannot read .: is a directory
[2]
$ ripstop run echo ::::
2> ripstop run: no file given after ::::
[2]
$ ripstop run echo </
2> ripstop run: cannot read standard input: is a directory
[2]
$ rm list

== placeholders that do not exist
$ ripstop run echo {x} ::: a
2> ripstop run: unknown placeholder {x}; there are {} {.} {/} {//} {/.} {#}, and -I MARK leaves braces alone
[2]
$ ripstop run awk '{print}' ::: a
2> ripstop run: unknown placeholder {print}; there are {} {.} {/} {//} {/.} {#}, and -I MARK leaves braces alone
[2]

== names are shown without control characters
$ ripstop run echo :::: "$(printf 'no\n\033[31msuch\377\302\205')"
2> ripstop run: cannot read no\n\x1b[31msuch\xff\xc2\x85: no such file or directory
[2]

== a placeholder where its value would be code
$ ripstop run --shell 'echo $(({} + 1))' ::: 1
2> ripstop run: a placeholder other than {#} can not stand inside ((...)), where it would be evaluated
[2]
$ ripstop run --shell 'cat <<END
> {}
> END' ::: 1
2> ripstop run: a placeholder can not stand after the beginning of a here-document; assign it to a variable before
[2]
