# How jobs end, how the run ends, and what is said about it.
# A "#" at the end of a script hides the input that is added to it.

== all succeeded: nothing is said
$ ripstop run true ::: 1 2 3

== some failed
$ ripstop run -j1 'exit {}' ::: 0 1 2 1 0
2> ripstop run: 3 of 5 jobs failed: 2 exited with 1, 1 exited with 2
2> ripstop run: job 2 exited with 1: 1
2> ripstop run: job 3 exited with 2: 2
2> ripstop run: job 4 exited with 1: 1
[123]

== one job is killed, the others go on
$ ripstop run -k -j1 '[ {} != b ] || kill -KILL $$; echo {}' ::: a b c
a
c
2> ripstop run: 1 of 3 jobs failed: 1 killed by SIGKILL
2> ripstop run: job 2 killed by SIGKILL: b
[125]
$ ripstop run -j1 'ulimit -c 0; kill -{} $$' ::: TERM SEGV
2> ripstop run: 2 of 2 jobs failed: 1 killed by SIGSEGV, 1 killed by SIGTERM
2> ripstop run: job 1 killed by SIGTERM: TERM
2> ripstop run: job 2 killed by SIGSEGV: SEGV
[125]

== only the first failed jobs are named
$ seq 200 | ripstop run -j1 false
2> ripstop run: 200 of 200 jobs failed: 200 exited with 1
2> ripstop run: job 1 exited with 1: 1
2> ripstop run: job 2 exited with 1: 2
2> ...
2> ripstop run: job 10 exited with 1: 10
2> ripstop run: ... and 190 more
[123]

== inputs are named without control characters, and cut
$ printf 'a\nb\033[1m\377\0%0200d' 1 | ripstop run -0 -j1 false
2> ripstop run: 2 of 2 jobs failed: 2 exited with 1
2> ripstop run: job 1 exited with 1: a\nb\x1b[1m\xff
2> ripstop run: job 2 exited with 1: 000000000000000000000000000000000000000000000000000000000...
[123]

== a timeout ends the whole tree
# The runner of these tests fails a case that leaves a process behind.
$ ripstop run --timeout 0.2 'sleep 1000 & sleep 1000 | sleep 1000 #' ::: a
2> ripstop run: 1 of 1 job failed: 1 timed out
2> ripstop run: job 1 timed out (killed by SIGTERM): a
[123]

== a timeout ends daemons too
$ ripstop run --timeout 0.2 'setsid -f sleep 1000; sleep 1000 #' ::: a
2> ripstop run: 1 of 1 job failed: 1 timed out
2> ripstop run: job 1 timed out (killed by SIGTERM): a
[123]

== when ripstop itself is killed its jobs die with it
# The pipe is at its end when the last of them is gone.
@left pipe
$ mkfifo pipe
$ ripstop run 'sleep 1000 >pipe & sleep 1000 >pipe #' ::: a & exec 3<pipe; kill -KILL $!; cat <&3

== the daemons of a job that ends by itself are left alone
$ ripstop run 'setsid -f sh -c "echo \$\$ >daemon; exec sleep 1000" >/dev/null 2>&1' ::: a
> until test -s daemon; do sleep 0.01; done
> kill $(cat daemon) && rm daemon

== what came before the timeout is printed
$ ripstop run --timeout 200ms 'echo begun; sleep 1000 #' ::: a 2>/dev/null
begun
[123]

== a job that ignores SIGTERM is killed
$ ripstop run --timeout 0.2 child ignore 15 , wait '#' ::: a
2> ripstop run: 1 of 1 job failed: 1 timed out
2> ripstop run: job 1 timed out (killed by SIGKILL): a
[123]

== a job that cleans up at SIGTERM is waited for
$ ripstop run --timeout 0.2 'trap "echo cleaned up; exit 0" TERM; sleep 1000 & wait #' ::: a
cleaned up
2> ripstop run: 1 of 1 job failed: 1 timed out
2> ripstop run: job 1 timed out (exited with 0): a
[123]

== what a stopped job leaves behind is killed too
$ ripstop run --timeout 0.2 'child ignore 15 , wait & child wait #' ::: a
2> ripstop run: 1 of 1 job failed: 1 timed out
2> ripstop run: job 1 timed out (killed by SIGTERM): a
[123]
$ ripstop run --timeout 0.2 'child ignore 15 , wait >/dev/null 2>&1 & child wait #' ::: a
2> ripstop run: 1 of 1 job failed: 1 timed out
2> ripstop run: job 1 timed out (killed by SIGTERM): a
[123]

== a timeout does not wait for the other jobs
$ ripstop run -j2 --timeout 0.2 '[ {} = a ] && exec sleep 1000; exit 3' ::: a b c
2> ripstop run: 3 of 3 jobs failed: 2 exited with 3, 1 timed out
2> ...
[123]

== a job that leaves a process behind which holds its output
$ kill $(ripstop run 'child wait & echo $! #' ::: a)
2> ripstop run: 1 job left processes behind that hold the output open (job 1); what these write is not shown
$ kill $(ripstop run 'child wait >/dev/null 2>&1 & echo $! #' ::: a)

== a background process that ends in time is no trouble
$ ripstop run '(while [ -d /proc/$$ ]; do child pause 1; done; echo late) & echo early #' ::: a
early
late

== retries: a job that fails is run again, and the last attempt is shown
$ ripstop run -k --retries 2 'echo x >>n{}; echo attempt $(wc -l <n{}); [ {} != b ]' ::: a b c
attempt 1
attempt 3
attempt 1
2> ripstop run: 1 of 3 jobs failed: 1 exited with 1
2> ripstop run: job 2 exited with 1 (attempt 3): b
[123]
$ rm na nb nc
$ ripstop run --retries 5 'echo x >>n; echo attempt $(wc -l <n) >&2; [ $(wc -l <n) = 3 ] #' ::: a
2> attempt 3
$ rm n

== retries after a timeout
$ ripstop run --retries 1 --timeout 0.2 'echo x >>n; [ $(wc -l <n) = 2 ] || exec sleep 1000 #' ::: a
$ rm n

== halt: soon lets running jobs end
# The second job ends after the end of the first has been noticed.
$ mkfifo p
$ ripstop run -j2 --halt soon,fail=1 '
> if [ {} = 1 ]; then echo $$ >p; exit 1; fi
> read first <p; while [ -d /proc/$first ]; do child pause 1; done
> echo {}' ::: 1 2 3 4 5
2
2> ripstop run: ended early by --halt, 0 running jobs were stopped
2> ripstop run: 1 of 2 jobs failed: 1 exited with 1
2> ripstop run: job 1 exited with 1: 1
[124]
$ rm p

== halt: now stops them
$ mkfifo p
$ ripstop run -j2 --halt now,fail=1 '[ {} = 1 ] && read x <p && exit 1; echo >p; sleep 1000' ::: 1 2 3 4 5
2> ripstop run: ended early by --halt, 1 running job was stopped
2> ripstop run: 1 of 1 job failed: 1 exited with 1
2> ripstop run: job 1 exited with 1: 1
[124]
$ rm p

== halt at success, at any end, and never
$ ripstop run -j1 --halt now,success=2 '[ {} != 2 ] && echo {}' ::: 1 2 3 4
1
3
2> ripstop run: ended early by --halt, 0 running jobs were stopped
2> ripstop run: 1 of 3 jobs failed: 1 exited with 1
2> ripstop run: job 2 exited with 1: 2
$ ripstop run -j1 --halt soon,done=2 echo ::: 1 2 3 4
1
2
2> ripstop run: ended early by --halt, 0 running jobs were stopped
$ ripstop run -j1 --halt soon,done=2 false ::: 1 2 3 2>/dev/null
[123]
$ ripstop run -j1 --halt never 'echo {}; false' ::: 1 2 2>/dev/null
1
2
[123]

== a signal stops the jobs with all they have started, and ends us too
@needs bash
$ bash -c 'ripstop run -j2 "[ {} = b ] && kill -INT \$PPID; sleep 1000 & sleep 1000" ::: a b c; echo $?'
130
2> ripstop run: interrupted by SIGINT, 2 running jobs were stopped
$ for s in HUP TERM; do ripstop run -j1 "echo begun; kill -$s \$PPID; sleep 1000 #" ::: a b; echo $?; done
begun
129
begun
143
2> ripstop run: interrupted by SIGHUP, 1 running job was stopped
2> Hangup
2> ripstop run: interrupted by SIGTERM, 1 running job was stopped
2> Terminated

== a job that ignores SIGTERM is killed a second after SIGINT
$ ripstop run -j1 'trap "" TERM; kill -INT $PPID; child wait #' ::: a; echo $?
130
2> ripstop run: interrupted by SIGINT, 1 running job was stopped

== a reader that does not read does not keep an interrupted run
# It is interrupted when it has no job any more and sleeps, for the reader.
$ mkfifo p; exec 9<>p; ripstop run 'head -c 300000 /dev/zero; : >done' ::: a >&9 2>/dev/null &
> until [ -e done ] && [ -z "$(cat /proc/$!/task/$!/children)" ] && grep -q '^State:.S' /proc/$!/status; do child pause 5; done
> kill -TERM $!; wait $!; echo $?; rm p done
143
2> Terminated

== a second signal kills at once
# The job sends it itself as soon as it gets the SIGTERM that the first causes.
$ ripstop run -j1 'trap "kill -INT $PPID; child pause 700; echo not killed" TERM; kill -INT $PPID; child wait & wait #' ::: a; echo $?
130
2> ripstop run: interrupted by SIGINT, 1 running job was stopped

== SIGQUIT kills at once
$ ulimit -c 0; ripstop run -j1 'trap "" TERM; kill -QUIT $PPID; child pause 700; echo not killed #' ::: a; echo $?
131
2> ripstop run: interrupted by SIGQUIT, 1 running job was stopped
2> Quit

== ignored signals stay ignored
$ (trap '' INT HUP; ripstop run -j1 'kill -INT $PPID; kill -HUP $PPID; echo {}' ::: a b)
a
b

== an interrupted run prints what the finished jobs wrote
$ ripstop run -j1 'echo {}; [ {} = b ] && kill -TERM $PPID && sleep 1000' ::: a b c 2>/dev/null; echo $?
a
b
143

== it can be stopped and continued, with its jobs, whose timeout waits
# Who continues it waits until the job and ripstop itself are found stopped (a
# shell whose child is stopped before it runs its program is in state D).
# (In the group of its parent, which nobody could continue, nothing is stopped.)
$ mkfifo p q
$ cat >continue <<'END'
> read job parent <p
> for pid in $job $parent; do
>     until grep -q '^State:.[TD]' /proc/$pid/status; do child pause 5; done
> done
> child pause 1100
> kill -CONT $parent
> echo >q
> END
$ sh continue & child setpgid , exec ripstop run --timeout 1 'echo $$ $PPID >p; kill -TSTP $PPID; read line <q; echo done #' ::: a; wait
done
$ rm p q continue

== too few descriptors for so many jobs at a time
# No job ends before there are too many.
$ (ulimit -n 24; seq 20 | ripstop run -k -j 20 'until [ -s err ]; do child pause 5; done; echo {}' 2>err) | tail -n 1; cat err
20
~ ripstop run: no more than \d jobs can run at once: too many open files \(see ulimit -n\)
$ rm err

== an interrupted run does not wait for a reader that reads nothing
# The reader looks at the output only when ripstop has ended.
$ mkfifo p
$ (ripstop run -j1 '[ {} = a ] && exec head -c 200000 /dev/zero; kill -INT $PPID; exec child wait' ::: a b 2>/dev/null; echo $? >p) | (read status <p; echo $status)
130
$ rm p

== SIGCHLD ignored by who started it
$ trap '' CHLD; ripstop run 'exit {}' ::: 0 3
2> ripstop run: 1 of 2 jobs failed: 1 exited with 3
2> ripstop run: job 2 exited with 3: 3
[123]
