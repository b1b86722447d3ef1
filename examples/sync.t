# The examples of shared objects; tests/cli/README.md tells how to read this.

== lock: threads
$ example_lock threads
400000

== lock: processes
$ example_lock processes
400000

== lock: the caller says which
$ example_lock
2> say: threads, or: processes
[1]

== rlock: threads
$ example_rlock threads
account 0: 30000
account 1: -10000
account 2: -10000
account 3: -10000

== rlock: processes
$ example_rlock processes
account 0: 30000
account 1: -10000
account 2: -10000
account 3: -10000

== condition: threads
$ example_condition threads
4002000

== condition: processes
$ example_condition processes
4002000

== event: threads
$ example_event threads
not yet
worker 1 has seen 42
worker 2 has seen 42
worker 3 has seen 42

== event: processes
$ example_event processes
not yet
worker 1 has seen 42
worker 2 has seen 42
worker 3 has seen 42

== semaphore: threads
$ example_semaphore threads
all are done, and never were more than two inside
released too many times

== semaphore: processes
$ example_semaphore processes
all are done, and never were more than two inside
released too many times

== barrier: threads
$ example_barrier threads
1 3 6 10 15 21 28 36

== barrier: processes
$ example_barrier processes
1 3 6 10 15 21 28 36

== killed: the others go on
$ example_killed
the last holder was killed: repaired
ours 40, theirs 60

# The name carries the number of the shell, since it is the same for all
# programs of a user.

== mailbox: between two programs, the receiver first
$ example_receive box.$$ >got &
> until ripstop inspect box.$$ 2>&1 | grep -q 'waits for'; do :; done
> example_send box.$$ 'how are you?'; wait; cat got
received
how are you?
$ rm got

== mailbox: the sender first
$ example_send box.$$ fine >sent & example_receive box.$$; wait; cat sent
fine
received
$ rm sent

== mailbox: one of two receivers is killed
$ touch one; example_receive box.$$ >one & one=$!
> example_receive box.$$ >two &
> until [ "$(ripstop inspect box.$$ 2>&1 | grep -c 'waits for')" = 2 ]; do :; done
> kill -9 $one; example_send box.$$ again; wait; cat one two
received
again
$ rm one two
