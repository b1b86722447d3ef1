# The examples of tasks; tests/cli/README.md tells how to read this.

== fork: a child and its exit status
$ example_fork
the child exited with 3

== task: a thread
$ example_task threads
multiplier at work
multiplier: 4200

== task: a process
$ example_task processes
multiplier at work
multiplier: 4200

== class: a thread
$ example_task_class threads
10

== class: a process
$ example_task_class processes
10

== group: threads
$ example_group threads
1 failed: with 5

== group: processes
$ example_group processes
1 failed: with 5

== stop: a thread
$ example_stop threads
worker: asked to stop
it has ended with 0

== stop: a process
$ example_stop processes
worker: asked to stop
it has ended with 0

== queue: a worker is killed, and its job is done
$ example_queue processes
1 killed
0: 0
1: 1
2: 4
3: 9, at the second try
4: 16
5: 25
6: 36
7: 49

== queue: threads
$ example_queue threads
0 killed
0: 0
1: 1
2: 4
3: 9
4: 16
5: 25
6: 36
7: 49
