# The example of a crash report. A sanitizer takes the signal for itself, so it
# is not run with one; tests/cli/README.md tells how to read this.

== crash: a task that crashes says where, and the rest goes on
$ example_crash
cat.png: well
~ task "broken\.png" \(process \d+\): killed by SIGSEGV at address 0x0 after \d+\.\d+ s
~   user \d+\.\d+ s, system \d+\.\d+ s, peak memory \d+\.\d+ [KM]iB
~   0  measure\+0x[0-9a-f]+ +\(example_crash\)
...
dog.png: well
