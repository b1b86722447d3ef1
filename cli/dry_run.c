/* SPDX-License-Identifier: MIT */
#include "dry_run.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <ripstop/base.h>

#include "quote.h"
#include "text.h"

static void wait_for_input(struct input *in)
{
    struct pollfd p = { .fd = input_fd(in), .events = POLLIN };

    fflush(stdout);
    poll(&p, 1, -1);
}

static void print(struct item *item, const struct template *t, bool terminal)
{
    char **argv = template_expand(t, item);

    quote_command(stdout, argv, terminal);
    free(argv);
    free(item->text);
}

int dry_run(struct input *in, const struct template *t)
{
    bool terminal = isatty(STDOUT_FILENO);
    enum input_result r;
    struct item item;

    while ((r = input_next(in, &item)) != INPUT_END && !ferror(stdout)) {
        if (r == INPUT_ITEM)
            print(&item, t, terminal);
        else if (r == INPUT_WAIT)
            wait_for_input(in);
        else
            break;
    }
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        complain("cannot write to standard output: %s", rip_strerror(-errno));
        return 1;
    }
    if (r == INPUT_FAILED)
        complain("%s", input_error(in));
    return r == INPUT_FAILED;
}
