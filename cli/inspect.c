/* SPDX-License-Identifier: MIT */
#include "inspect.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "help.h"
#include "text.h"

enum { EXIT_TROUBLE = 1, EXIT_USAGE = 2 };
enum { OPT_PID = 256, OPT_JSON };

static const struct option long_options[] = {
    { "pid", required_argument, NULL, OPT_PID },
    { "json", no_argument, NULL, OPT_JSON },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

struct asked {
    const char *name; /* NULL: all that `pid` has */
    pid_t pid;
    bool json, help;
};

static bool parse_pid(const char *text, pid_t *ret)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (isdigit((unsigned char)text[0]) && !*end && !errno && n > 0 &&
        n <= 0x7fffffff) {
        *ret = (pid_t)n;
        return true;
    }
    complain("--pid %s: not the number of a process", shown(text));
    return false;
}

static bool parse_words(struct asked *a, int count, char **words)
{
    if (count > 1) {
        complain("more than one name given: %s", shown(words[1]));
        return false;
    }
    a->name = count > 0 ? words[0] : NULL;
    if (a->name && a->pid > 0) {
        complain("give a name or --pid, not both");
        return false;
    }
    if (!a->name && a->pid == 0) {
        complain("no segment given; give its name, or --pid PID for all that "
                 "a process has");
        return false;
    }
    return true;
}

static bool parse(struct asked *a, int argc, char **argv)
{
    int option;
    *a = (struct asked){ .pid = 0 };
    while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
        if (option == 'h') {
            a->help = true;
            return true;
        }
        if (option == OPT_JSON) {
            a->json = true;
        } else if (option == OPT_PID) {
            if (!parse_pid(optarg, &a->pid))
                return false;
        } else {
            complain(option == ':'
                         ? "option %s needs a value"
                         : "unknown option %s; see ripstop inspect --help",
                     shown(argv[optind - 1]));
            return false;
        }
    }
    return parse_words(a, argc - optind, argv + optind);
}

static int complain_name(const char *name, int error)
{
    const char *hint = "";
    if (error == -ENOENT)
        hint = ": no process of this user has a segment of that name";
    else if (error == -EXDEV)
        hint = ": its members are in another pid namespace";
    else if (error == -EPROTO)
        hint = ": it was made by another version of ripstop";
    else if (error == -EPERM)
        hint = ": another user has taken that name";
    else if (error == -EINVAL)
        hint = ": a name has letters, digits, dots, underscores and hyphens";
    if (*hint)
        complain("%s%s", shown(name), hint);
    else
        complain("%s: %s", shown(name), rip_strerror(error));
    return EXIT_TROUBLE;
}

static void print_one(const struct asked *a, const struct rip_segment_report *r,
                      unsigned index)
{
    if (!a->json) {
        if (index > 0)
            putchar('\n');
        inspect_print(r);
        return;
    }
    if (index > 0)
        fputs(",\n", stdout);
    inspect_print_json(r);
}

static int inspect_name(const struct asked *a)
{
    struct rip_segment_report *r;
    int e = rip_segment_inspect_name(&r, a->name);
    if (e < 0)
        return complain_name(a->name, e);
    if (a->json)
        putchar('[');
    print_one(a, r, 0);
    if (a->json)
        fputs("]\n", stdout);
    rip_segment_report_free(r);
    return 0;
}

static int complain_pid(pid_t pid, int error)
{
    if (error == -ESRCH)
        complain("--pid %d: there is no such process", (int)pid);
    else if (error == -EACCES)
        complain("--pid %d: this process is not ours to look at; try as root",
                 (int)pid);
    else
        complain("--pid %d: %s", (int)pid, rip_strerror(error));
    return EXIT_TROUBLE;
}

static int inspect_pid(const struct asked *a)
{
    struct rip_segment_report *r;
    unsigned n = 0, shown_ones = 0;
    int e, status = 0;
    if (a->json)
        putchar('[');
    for (; (e = rip_segment_inspect_pid(&r, a->pid, n)) != -ENOENT; n++) {
        if (e == 0) {
            print_one(a, r, shown_ones++);
            rip_segment_report_free(r);
            continue;
        }
        status = complain_pid(a->pid, e);
        if (e != -EBADMSG && e != -EPROTO && e != -EXDEV)
            break;
    }
    if (a->json)
        fputs("]\n", stdout);
    else if (n == 0 && e == -ENOENT)
        printf("process %d has no segment\n", (int)a->pid);
    return status;
}

int inspect_main(int argc, char **argv)
{
    struct asked a;
    text_set_command("inspect");
    if (!parse(&a, argc, argv))
        return EXIT_USAGE;
    if (a.help)
        return help_inspect();
    int status = a.name ? inspect_name(&a) : inspect_pid(&a);
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        complain("cannot write to standard output: %s", rip_strerror(-errno));
        return EXIT_TROUBLE;
    }
    return status;
}
