/* SPDX-License-Identifier: MIT */
#include "args.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ripstop/base.h>

#include "text.h"

#define JOBS_MAX 65536u

/* Options without a letter. */
enum {
    OPT_TAG = 256,
    OPT_DRY_RUN,
    OPT_TIMEOUT,
    OPT_RETRIES,
    OPT_HALT,
    OPT_SHELL,
    OPT_NO_PROGRESS
};

static const struct option long_options[] = {
    { "jobs", required_argument, NULL, 'j' },
    { "keep-order", no_argument, NULL, 'k' },
    { "null", no_argument, NULL, '0' },
    { "tag", no_argument, NULL, OPT_TAG },
    { "dry-run", no_argument, NULL, OPT_DRY_RUN },
    { "timeout", required_argument, NULL, OPT_TIMEOUT },
    { "retries", required_argument, NULL, OPT_RETRIES },
    { "halt", required_argument, NULL, OPT_HALT },
    { "shell", no_argument, NULL, OPT_SHELL },
    { "no-progress", no_argument, NULL, OPT_NO_PROGRESS },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

/* A decimal number that is all of `text`, at most `max`. */
static bool parse_count(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;
    unsigned long long n;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno || *end || n > max)
        return false;
    *ret = n;
    return true;
}

static bool parse_jobs(struct run_options *o, const char *text)
{
    uint64_t n;

    if (!parse_count(text, JOBS_MAX, &n) || n == 0) {
        complain("-j %s: not a number of jobs; give 1 or more (up to %u)",
                 shown(text), JOBS_MAX);
        return false;
    }
    o->jobs = (unsigned)n;
    return true;
}

static bool parse_retries(struct run_options *o, const char *text)
{
    if (parse_count(text, 1000000, &o->retries))
        return true;
    complain("--retries %s: not a number of retries; give 0 or more (up to "
             "1000000)",
             shown(text));
    return false;
}

/* How many seconds a unit has; 0: there is no such unit. */
static double unit_seconds(const char *unit)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {
        { "", 1 },   { "ms", 0.001 }, { "s", 1 },
        { "m", 60 }, { "h", 3600 },   { "d", 86400 },
    };

    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(unit, units[i].name))
            return units[i].seconds;
    return 0;
}

static bool parse_timeout(struct run_options *o, const char *text)
{
    /* strtod would take "nan", "inf" and "0x10" as well. */
    size_t digits = strspn(text, "0123456789.");
    char *end;
    double n = strtod(text, &end);

    n *= unit_seconds(end);
    if (end != text + digits || digits == 0 || !(n > 0) || isinf(n)) {
        complain("--timeout %s: not a time; give seconds, or a number with "
                 "ms, s, m, h or d",
                 shown(text));
        return false;
    }
    o->timeout = n;
    return true;
}

static bool skip(const char **text, const char *prefix)
{
    size_t n = strlen(prefix);

    if (strncmp(*text, prefix, n) != 0)
        return false;
    *text += n;
    return true;
}

/* "never", or WHEN,WHAT=COUNT as GNU parallel has it. */
static bool parse_halt_text(struct halt *ret, const char *text)
{
    if (!strcmp(text, "never")) {
        ret->when = HALT_NEVER;
        return true;
    }
    if (skip(&text, "soon,"))
        ret->when = HALT_SOON;
    else if (skip(&text, "now,"))
        ret->when = HALT_NOW;
    else
        return false;
    if (skip(&text, "fail="))
        ret->what = HALT_FAIL;
    else if (skip(&text, "success="))
        ret->what = HALT_SUCCESS;
    else if (skip(&text, "done="))
        ret->what = HALT_DONE;
    else
        return false;
    return parse_count(text, UINT64_MAX, &ret->count) && ret->count > 0;
}

static bool parse_halt(struct run_options *o, const char *text)
{
    size_t n = strlen(text);

    if (parse_halt_text(&o->halt, text))
        return true;
    if (n > 0 && text[n - 1] == '%')
        complain("--halt %s: percentages are not supported; give a number of "
                 "jobs",
                 shown(text));
    else
        complain("--halt %s: give never, or soon or now with fail, success or "
                 "done and a number, as now,fail=1",
                 shown(text));
    return false;
}

static bool parse_marker(struct run_options *o, const char *text)
{
    o->marker = text;
    if (*text)
        return true;
    complain("-I: the mark is empty; give the text that stands for the input");
    return false;
}

static bool parse_option(struct run_options *o, int option, const char *value)
{
    switch (option) {
    case 'j':
        return parse_jobs(o, value);
    case 'k':
        o->keep_order = true;
        return true;
    case '0':
        o->delimiter = '\0';
        return true;
    case 'I':
        return parse_marker(o, value);
    case OPT_TAG:
        o->tag = true;
        return true;
    case OPT_DRY_RUN:
        o->dry_run = true;
        return true;
    case OPT_TIMEOUT:
        return parse_timeout(o, value);
    case OPT_RETRIES:
        return parse_retries(o, value);
    case OPT_HALT:
        return parse_halt(o, value);
    case OPT_SHELL:
        o->shell = true;
        return true;
    default: /* OPT_NO_PROGRESS, the last one left */
        o->no_progress = true;
        return true;
    }
}

static void complain_unknown(const char *typed)
{
    const char *names[sizeof long_options / sizeof *long_options];
    const char *guess;
    char name[64];
    size_t i, len = strcspn(typed, "=");

    for (i = 0; long_options[i].name; i++)
        names[i] = long_options[i].name;
    names[i] = NULL;
    if (len >= sizeof name)
        len = sizeof name - 1;
    memcpy(name, typed, len);
    name[len] = '\0';
    guess = nearest(name, names);
    if (guess)
        complain("unknown option --%s; did you mean --%s?", shown(name), guess);
    else
        complain("unknown option --%s; see ripstop run --help", shown(name));
}

/* Says what getopt_long did not like: `word` is the last that it took. */
static void complain_option(const char *word)
{
    bool is_long = !strncmp(word, "--", 2);
    char letter[2] = { (char)optopt, '\0' };

    if (is_long && optopt == 0)
        complain_unknown(word + 2);
    else if (is_long)
        complain("option %s: it takes no value", shown(word));
    else
        complain("unknown option -%s; see ripstop run --help", shown(letter));
}

static bool is_separator(const char *word)
{
    return !strcmp(word, ":::") || !strcmp(word, "::::") ||
           !strcmp(word, ":::+") || !strcmp(word, "::::+");
}

/* Without any ::: the inputs come from standard input, and who has mistyped it
 * would wait there in vain, or see nothing run. A word that has it at an end
 * is most likely one that lacks a blank; :: may be meant, but hardly where
 * somebody would have to type the inputs. */
static bool looks_mistyped(const char *word)
{
    size_t n = strlen(word);

    if (!strcmp(word, "::"))
        return isatty(STDIN_FILENO);
    return n > 3 && (!strncmp(word, ":::", 3) || !strcmp(word + n - 3, ":::"));
}

static bool has_typo(size_t count, const char *const *words)
{
    for (size_t i = 0; i < count; i++) {
        if (!looks_mistyped(words[i]))
            continue;
        complain("there is no :::, but \"%s\" looks like one; if it is meant "
                 "so, add ':::: -' to read inputs from standard input",
                 shown(words[i]));
        return true;
    }
    return false;
}

/* Splits what follows the options into the command and its inputs. */
static bool parse_words(struct run_options *o, size_t count,
                        const char *const *words)
{
    size_t n = 0;

    while (n < count && !is_separator(words[n]))
        n++;
    o->command = words;
    o->command_len = n;
    o->source = SOURCE_STDIN;
    if (n == 0) {
        complain("no command given; see ripstop run --help");
        return false;
    }
    if (n == count)
        return !has_typo(count, words);
    o->source = !strcmp(words[n], ":::") ? SOURCE_WORDS : SOURCE_FILES;
    o->inputs = words + n + 1;
    o->input_count = count - n - 1;
    for (size_t i = n; i < count; i++) {
        if (is_separator(words[i]) &&
            (i > n || words[i][strlen(words[i]) - 1] == '+')) {
            complain("%s: only one ::: or :::: can be given, inputs from "
                     "several are not combined",
                     words[i]);
            return false;
        }
    }
    if (o->source == SOURCE_FILES && o->input_count == 0) {
        complain("no file given after ::::");
        return false;
    }
    return true;
}

enum args_result args_parse(struct run_options *ret, int argc, char **argv)
{
    struct run_options o = { .delimiter = '\n' };
    int option;

    /* "+": options end at the first word that is none, since what follows
     * belongs to the command; ":": tells a missing value apart. */
    while ((option = getopt_long(argc, argv, "+:hj:k0I:", long_options,
                                 NULL)) != -1) {
        if (option == 'h')
            return ARGS_HELP;
        if (option == ':')
            complain("option %s needs a value", shown(argv[optind - 1]));
        else if (option == '?')
            complain_option(argv[optind - 1]);
        else if (parse_option(&o, option, optarg))
            continue;
        return ARGS_WRONG;
    }
    if (!parse_words(&o, (size_t)(argc - optind),
                     (const char *const *)(argv + optind)))
        return ARGS_WRONG;
    if (o.jobs == 0)
        o.jobs = rip_cpu_count();
    *ret = o;
    return ARGS_RUN;
}
