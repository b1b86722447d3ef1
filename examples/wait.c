/* SPDX-License-Identifier: MIT */
/*
 * A program that runs beside this one. In Python:
 *
 *     p = subprocess.Popen(sys.argv[2:])
 *     try:
 *         code = p.wait(timeout=float(sys.argv[1]))
 *     except subprocess.TimeoutExpired:
 *         p.terminate()
 *         code = p.wait()
 *     print("exited with", code)
 *
 * But rip_command_stop ends what the program has started as well, and kills
 * what does not end when asked to.
 */
#include <ripstop/ripstop.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    rip_command *c;
    struct rip_exit end;
    char text[256];

    if (argc < 3)
        return 2;
    int r = rip_command_start(&c, (const char *const *)argv + 2, NULL);
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", argv[2], rip_strerror(r));
        return 1;
    }
    /* Here this program does something else. */
    r = rip_command_wait(c, &end, rip_after(strtod(argv[1], NULL)));
    if (r < 0) /* -ETIMEDOUT */
        r = rip_command_stop(c, &end, RIP_FOREVER);
    if (r == 0) {
        rip_exit_format(&end, text, sizeof text);
        printf("%s\n", text);
    }
    rip_command_free(c);
    return r < 0;
}
