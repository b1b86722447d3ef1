/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "help.h"
#include "inspect.h"
#include "run.h"
#include "text.h"

/* Were one of these closed, the next file that we open would take its place,
 * and be read as the inputs or written over by messages. What takes it here
 * gives an error when used: it can not be read, or can not be written. */
static void occupy_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

static int complain_command(const char *typed)
{
    static const char *const commands[] = { "run", "inspect", "--help",
                                            "--version", NULL };
    const char *guess = nearest(typed, commands);

    if (guess)
        fprintf(stderr, "ripstop: unknown command %s; did you mean %s?\n",
                shown(typed), guess);
    else
        fprintf(stderr, "ripstop: unknown command %s; see ripstop --help\n",
                shown(typed));
    return 2;
}

int main(int argc, char **argv)
{
    occupy_standard_streams();
    if (argc < 2) {
        fputs("ripstop: no command given; see ripstop --help\n", stderr);
        return 2;
    }
    if (!strcmp(argv[1], "run"))
        return run_main(argc - 1, argv + 1);
    if (!strcmp(argv[1], "inspect"))
        return inspect_main(argc - 1, argv + 1);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return help_ripstop();
    if (!strcmp(argv[1], "--version"))
        return help_version();
    return complain_command(argv[1]);
}
