# What ripstop inspect shows. segment_holder has a segment while it runs the
# command that follows, see tests/segment/segment_holder.c.

== a segment with one member
$ n=t-$$; segment_holder $n plain ripstop inspect $n
~ segment t-\d+: 1 of 100 members, 4.0 KiB of 1.0 MiB allocated
members:
~   main \(pid \d+, segment_holder\), for \d+\.\d s
~ object 0x[0-9a-f]+: "lock a"
~ object 0x[0-9a-f]+: "lock b"

== members that wait for each other are shown first
$ n=t-$$; segment_holder $n circle ripstop inspect $n
~ segment t-\d+: 3 of 100 members, .*
deadlock: these wait for each other, and none of them can go on:
~   one \(pid \d+, segment_holder\) waits for "lock b" of two \(pid \d+, segment_holder\)
~   two \(pid \d+, segment_holder\) waits for "lock a" of one \(pid \d+, segment_holder\)
members:
~   main \(.*
~   one \(.*\), for .* s
    holds "lock a"
~     waits for "lock b", .* s now; held by two \(pid \d+, segment_holder\)
~   two \(.*\), for .* s
    holds "lock b"
~     waits for "lock a", .* s now; held by one \(pid \d+, segment_holder\)
...

== the dead are shown with what they held
$ n=t-$$; segment_holder $n dead ripstop inspect $n
~ segment .*
members:
~   main .*
dead:
~   victim \(pid \d+\).*
    held "lock a"
...

== what is read, joined and taken, and damage
$ n=t-$$; segment_holder $n users ripstop inspect $n
~ segment .*
damage was found 1 time
members:
~   main \(.*
    reads "table"
    is a party of "start"
    has 2 permits of "slots"
~   writer \(.*
    holds "table"
~     waits for "table", .* s; read by main \(pid \d+, segment_holder\)
...

== names do not speak to the terminal
$ n=t-$$; segment_holder $n evil ripstop inspect $n
~ segment .*
members:
~   \\x1b\[31m"\\n\\xff \(pid \d+, segment_holder\), for .*
...

== all segments of a process
$ n=t-$$; segment_holder $n plain sh -c 'ripstop inspect --pid $PPID'
~ segment t-\d+: 1 of 100 members, .*
...
$ ripstop inspect --pid $$
~ process \d+ has no segment

== as JSON
@needs python3
@deadline 60
$ n=t-$$; segment_holder $n circle ripstop inspect --json $n >out
$ cat >show.py <<'END'
> import json
> s, = json.load(open("out"))
> for m in s["members"]:
>     print(m["name"], m["state"], m["circle"],
>           [s["objects"][i]["name"] for i in m["holds"]])
> print([o["name"] for o in s["objects"] if o["waiting"]])
> END
$ python3 show.py
main alive 0 []
one alive 1 ['lock a']
two alive 1 ['lock b']
['lock a', 'lock b']
$ n=t-$$; segment_holder $n evil ripstop inspect --json $n | python3 -c 'import json, sys; print(ascii(json.load(sys.stdin)[0]["members"][0]["name"]))'
'\x1b[31m"\n\xff'
$ cat >show.py <<'END'
> import json, sys
> s, = json.load(sys.stdin)
> m = s["members"][0]
> def names(key): return [s["objects"][i]["name"] for i in m[key]]
> print(names("holds"), names("reads"), names("party_of"))
> print([(s["objects"][p["object"]]["name"], p["count"]) for p in m["permits"]])
> for o in s["objects"]:
>     print(o["name"], o["readers"], o["parties"], o["permits"])
> END
$ n=t-$$; segment_holder $n users ripstop inspect --json $n | python3 show.py
[] ['table'] ['start']
[('slots', 2)]
lock a 0 0 0
lock b 0 0 0
table 1 0 0
start 0 1 0
slots 0 0 2
$ ripstop inspect --json --pid $$
[]
$ rm out show.py

== what is not there
$ ripstop inspect no-such-segment
2> ripstop inspect: no-such-segment: no process of this user has a segment of that name
[1]
$ ripstop inspect a/b
2> ripstop inspect: a/b: a name has letters, digits, dots, underscores and hyphens
[1]
$ ripstop inspect --pid 999999999
2> ripstop inspect: --pid 999999999: there is no such process
[1]

== wrong usage
$ ripstop inspect
2> ripstop inspect: no segment given; give its name, or --pid PID for all that a process has
[2]
$ ripstop inspect a b
2> ripstop inspect: more than one name given: b
[2]
$ ripstop inspect --pid 1 a
2> ripstop inspect: give a name or --pid, not both
[2]
$ ripstop inspect --pid
2> ripstop inspect: option --pid needs a value
[2]
$ ripstop inspect --pid 0
2> ripstop inspect: --pid 0: not the number of a process
[2]
$ ripstop inspect --pid 1x
2> ripstop inspect: --pid 1x: not the number of a process
[2]
$ ripstop inspect --nonsense
2> ripstop inspect: unknown option --nonsense; see ripstop inspect --help
[2]
$ ripstop inspect --help
usage: ripstop inspect [--json] NAME
...
$ ripstop inpect
2> ripstop: unknown command inpect; did you mean inspect?
[2]

== output that cannot be written
$ n=t-$$; segment_holder $n plain ripstop inspect $n >/dev/full
2> ripstop inspect: cannot write to standard output: no space left on device
[1]
