/* SPDX-License-Identifier: MIT */
#include "run.h"

#include "args.h"
#include "dry_run.h"
#include "help.h"
#include "input.h"
#include "sched.h"
#include "template.h"

#define EXIT_USAGE 2

int run_main(int argc, char **argv)
{
    struct run_options o;
    struct template *t;
    struct input *in = NULL;
    int status = EXIT_USAGE;

    switch (args_parse(&o, argc, argv)) {
    case ARGS_HELP:
        return help_run();
    case ARGS_WRONG:
        return EXIT_USAGE;
    case ARGS_RUN:
        break;
    }
    t = template_parse(&o);
    if (t)
        in = input_open(&o);
    if (in)
        status = o.dry_run ? dry_run(in, t) : sched_run(&o, in, t);
    input_free(in);
    template_free(t);
    return status;
}
