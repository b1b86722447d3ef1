/* SPDX-License-Identifier: MIT */
/*
 * A shell command, and how it ended. In Python:
 *
 *     status = os.system(sys.argv[1])
 *     print("exited with", os.waitstatus_to_exitcode(status))
 */
#include <ripstop/ripstop.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct rip_exit end;
    char text[256];

    if (argc != 2)
        return 2;
    int r = rip_system(argv[1], &end, RIP_FOREVER);
    if (r < 0) {
        fprintf(stderr, "system: %s\n", rip_strerror(r));
        return 1;
    }
    rip_exit_format(&end, text, sizeof text);
    printf("%s\n", text);
    return 0;
}
