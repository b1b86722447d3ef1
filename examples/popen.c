/* SPDX-License-Identifier: MIT */
/*
 * The lines that a shell command writes. In Python:
 *
 *     for line in os.popen(sys.argv[1]).readlines():
 *         print("| " + line, end="")
 *
 * But each line is shown when it comes, within ten seconds or not at all.
 */
#include <ripstop/ripstop.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    rip_command *c;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    if (argc != 2)
        return 2;
    int r = rip_popen(&c, argv[1], "r");
    if (r < 0) {
        fprintf(stderr, "popen: %s\n", rip_strerror(r));
        return 1;
    }
    while ((n = rip_command_line(c, &line, &cap, rip_after(10))) > 0)
        printf("| %s", line);
    if (n < 0)
        fprintf(stderr, "line: %s\n", rip_strerror((int)n));
    free(line);
    rip_command_free(c);
    return n < 0;
}
