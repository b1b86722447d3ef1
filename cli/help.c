/* SPDX-License-Identifier: MIT */
#include "help.h"

#include <errno.h>
#include <stdio.h>

#include <ripstop/base.h>

#include "text.h"

static const char ripstop_text[] =
    "usage: ripstop COMMAND ...\n"
    "\n"
    "Commands:\n"
    "  run      run a command over many inputs at once\n"
    "  inspect  show who uses a shared segment, holds what, and waits\n"
    "\n"
    "ripstop COMMAND --help tells more about one; ripstop --version the "
    "version.\n";

static const char run_text[] =
    "usage: ripstop run [OPTION]... COMMAND [ARG]... [::: INPUT...]\n"
    "       ripstop run [OPTION]... COMMAND [ARG]... :::: FILE...\n"
    "\n"
    "Runs COMMAND once for each INPUT, several at a time. Inputs are the "
    "words\n"
    "after :::, or the lines of the FILEs after :::: (- is standard input), "
    "or\n"
    "the lines of standard input. What a job writes is printed when it has\n"
    "ended, in one piece.\n"
    "\n"
    "In COMMAND and ARG these stand for the input; without any of them it is\n"
    "added as the last argument:\n"
    "  {}    the input                   src/main.c\n"
    "  {.}   without its last extension  src/main\n"
    "  {/}   without its directory       main.c\n"
    "  {//}  its directory               src\n"
    "  {/.}  without both                main\n"
    "  {#}   the number of the job       1\n"
    "\n"
    "The command is run directly, without a shell, unless --shell is given or\n"
    "it is one single word with a blank or one of | & ; < > ( ) $ ` \\ \" ' in "
    "it.\n"
    "Inputs are never parsed by that shell: no name can do harm there.\n"
    "\n"
    "Options:\n"
    "  -j, --jobs N        so many at a time (default: the CPUs we may use)\n"
    "  -k, --keep-order    print in the order of the inputs\n"
    "      --tag           put the input and a tab before each line printed\n"
    "      --dry-run       print the commands, run nothing\n"
    "      --timeout TIME  end a job after TIME seconds, or 500ms, 5m, 2h, 1d\n"
    "      --retries N     run a job that failed up to N times more\n"
    "      --halt WHEN     end early: now,fail=1 stops everything at the "
    "first\n"
    "                      failure; soon,fail=1 lets running jobs end. Also\n"
    "                      with success= and done=\n"
    "      --shell         run the command by /bin/sh\n"
    "  -0, --null          inputs end with NUL instead of newline\n"
    "  -I MARK             MARK stands for the input, braces for themselves\n"
    "      --no-progress   no progress bar (there is one on a terminal only)\n"
    "  -h, --help          this text\n"
    "\n"
    "Examples:\n"
    "  ripstop run gzip -9 ::: *.log\n"
    "  find . -name '*.wav' -print0 | ripstop run -0 flac -s {} -o {.}.flac\n"
    "  ripstop run 'sort {} | uniq -c >{.}.counts' ::: *.txt\n"
    "  ripstop run -k --tag --timeout 10 host :::: names.txt\n"
    "  ripstop run sh -c <commands.txt       (each line is a command)\n"
    "\n"
    "Exit status: 0 all jobs succeeded, or --halt success= was reached; 123\n"
    "some failed; 124 --halt fail= was reached; 125 some were killed by a\n"
    "signal; 126 the command can not be run; 127 there is no such command; 1\n"
    "reading inputs or printing failed; 2 wrong usage. Interrupted, it ends\n"
    "by the same signal.\n";

static const char inspect_text[] =
    "usage: ripstop inspect [--json] NAME\n"
    "       ripstop inspect [--json] --pid PID\n"
    "\n"
    "Shows what there is in the segment of that name, or in all segments that "
    "a\n"
    "process has: who uses it, who holds or waits for what and since when, who "
    "has\n"
    "died and what it held then, and who waits for each other in a circle. It "
    "takes\n"
    "no lock and disturbs nobody.\n"
    "\n"
    "Options:\n"
    "      --pid PID  the segments of a process, with or without a name\n"
    "      --json     as JSON, an array of segments\n"
    "  -h, --help     this text\n"
    "\n"
    "Exit status: 0 shown; 1 it could not be; 2 wrong usage.\n";

static int print(const char *text)
{
    errno = 0;
    if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
        return 0;
    complain("cannot write to standard output: %s", rip_strerror(-errno));
    return 1;
}

int help_ripstop(void)
{
    return print(ripstop_text);
}

int help_run(void)
{
    return print(run_text);
}

int help_inspect(void)
{
    return print(inspect_text);
}

int help_version(void)
{
    char text[64];

    snprintf(text, sizeof text, "ripstop %s\n", rip_version());
    return print(text);
}
