# How the command of a job is made.

== placeholders
$ ripstop run -k child args {} {.} {/} {//} {/.} {#} 'x{}y{}z' ::: src/main.c d.d/file
10:src/main.c
8:src/main
6:main.c
3:src
4:main
1:1
23:xsrc/main.cysrc/main.cz
8:d.d/file
8:d.d/file
4:file
3:d.d
4:file
1:2
19:xd.d/fileyd.d/filez

== placeholders of odd paths, as GNU parallel has them
$ ripstop run -k child echo '[{}]' '[{.}]' '[{/}]' '[{//}]' '[{/.}]' ::: .bashrc a/b/ / /a a//b '' x. dir/.hid a/b.tar.gz .. //a
[.bashrc] [] [.bashrc] [.] []
[a/b/] [a/b/] [] [a] []
[/] [/] [] [/] []
[/a] [/a] [a] [/] [a]
[a//b] [a//b] [b] [a] [b]
[] [] [] [.] []
[x.] [x] [x.] [.] [x]
[dir/.hid] [dir/] [.hid] [dir] []
[a/b.tar.gz] [a/b.tar] [b.tar.gz] [a] [b.tar]
[..] [.] [..] [.] [.]
[//a] [//a] [a] [/] [a]

== without a placeholder the input comes last
$ ripstop run child args a 'b c' '' ::: x
1:a
3:b c
0:
1:x

== braces that are no placeholder
$ ripstop run child args '{ x }' '{a,b}' '{{.Name}}' '{{}}' '${}' '{$x}' '{' '}' '{}' ::: v
5:{ x }
5:{a,b}
9:{{.Name}}
4:{{}}
3:${}
4:{$x}
1:{
1:}
1:v

== a mark of one's own
$ ripstop run -I % child args % '{}' {x} 100%% ::: v
1:v
2:{}
3:{x}
5:100vv

== options end at the command
$ ripstop run child args -j4 --tag ::: x
3:-j4
5:--tag
1:x
$ ripstop run -- child args -k ::: x
2:-k
1:x

== no shell, unless it is asked for
$ ripstop run -k child args '$HOME' '*' ';' ::: '$(id)'
5:$HOME
1:*
1:;
5:$(id)

== one word with shell syntax in it is a script
$ ripstop run -k 'echo {} | tr a-z A-Z' ::: abc 'x y' '$(id)' '; id'
ABC
X Y
$(ID)
; ID
$ ripstop run 'child args "a  b"' ::: x
4:a  b
1:x

== --shell joins the words
$ ripstop run --shell x=1';' child args '"$x"' ::: v
1:1
1:v

== the script of several lines
$ ripstop run 'x={}
> child args "$x"
> # a comment that isn'"'"'t code: {}
> child args {#}
> ' ::: 'a b'
3:a b
1:1
$ ripstop run 'child args a
> ' ::: b
1:a
1:b

== the parameters of the script
$ ripstop run --dry-run 'cp {} {.}.bak; touch {}' ::: a.c
/bin/sh -c 'cp "${1}" "${2}".bak; touch "${1}"' sh a.c a

== --dry-run prints what can be pasted
$ ripstop run --dry-run child args {} ::: plain 'a b' "it's" '' '$x' -n a=b 'é' '~' '#'
child args plain
child args 'a b'
child args 'it'\''s'
child args ''
child args '$x'
child args -n
child args a=b
child args 'é'
child args '~'
child args '#'
$ ripstop run --dry-run {} x ::: a=b if if/x
'a=b' x
'if' x
if/x x
$ printf 'a\nb\0c\033[1m' | ripstop run -0 --dry-run child args | sh
3:a
b
5:c\x1b[1m

== --dry-run escapes control characters on a terminal
@needs script
$ printf 'c\033[1m' >list
$ script -qec 'ripstop run --dry-run echo :::: list' /dev/null </dev/null | tr -d '\r'
echo 'c'$'\033''[1m'
$ rm list

== --dry-run of a million lines is quick and small
$ seq 1000000 >list
$ (grep -q __asan_init "$(command -v ripstop)" || ulimit -v 32768; ripstop run --dry-run gzip {} {.}.gz :::: list) | tail -n 1
gzip 1000000 1000000.gz
$ rm list

== a program that does not exist is told once
$ ripstop run -j2 no-such-program ::: 1 2 3 4 5
2> ripstop run: exec "no-such-program": no such file or directory
[127]
$ seq 1000 | ripstop run ./no-such-program
2> ripstop run: exec "./no-such-program": no such file or directory
[127]

== a program that can not be run
$ touch plain; ripstop run ./plain ::: 1 2 3
2> ripstop run: exec "./plain": permission denied
[126]
$ chmod +x plain; echo hello >plain; ripstop run ./plain ::: 1
2> ripstop run: exec "./plain": not a program that can be run
[126]
$ echo '#!/no/such/shell' >plain; ripstop run ./plain ::: 1
2> ripstop run: exec "./plain": its interpreter "/no/such/shell" is missing
[126]
$ printf '#! /bin/sh\r\n' >plain; ripstop run {} ::: ./plain
2> ripstop run: 1 of 1 job failed: 1 could not be started
2> ripstop run: job 1 could not be started (exec "./plain": its interpreter "/bin/sh\r" is missing): ./plain
[123]
$ rm plain
$ ripstop run ./ ::: 1
2> ripstop run: exec "./": is a directory
[126]
$ ripstop run 'true; false' x ::: 1
2> ripstop run: exec "true; false": no such file or directory; a script with words after it needs --shell
[127]

== a program named by the input fails alone
$ ripstop run -k -j1 {} hello ::: echo no-such-program echo
hello
hello
2> ripstop run: 1 of 3 jobs failed: 1 could not be started
2> ripstop run: job 2 could not be started (exec "no-such-program": no such file or directory): no-such-program
[123]

== what a job finds
# 100 is the pipe that ends it when ripstop itself is killed.
$ ripstop run 'child fds , signals # {}' ::: x
0 /dev/null
~ 1 pipe:\[\d+\]
~ 2 pipe:\[\d+\]
~ 100 pipe:\[\d+\]
~ SigBlk:\s+0000000000000000
~ SigIgn:\s+0000000000000000
$ nohup ripstop run 'child signals # {}' ::: x 2>/dev/null
~ SigBlk:\s+0000000000000000
~ SigIgn:\s+0000000000000001
$ ripstop run 'read pid comm state parent group session rest </proc/$$/stat; [ $group = $$ ] # {}' ::: x
