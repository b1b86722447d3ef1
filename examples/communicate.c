/* SPDX-License-Identifier: MIT */
/*
 * Feeding a program and reading both of its outputs, of any size, at once. In
 * Python:
 *
 *     p = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, text=True,
 *                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
 *     out, err = p.communicate(sys.argv[1], timeout=10)
 *     print(f"out: {out}err: {err}", end="")
 *     sys.exit(p.returncode)
 */
#include <ripstop/ripstop.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct rip_command_options options = {
        .in = { .kind = RIP_STDIO_PIPE },
        .out = { .kind = RIP_STDIO_PIPE },
        .err = { .kind = RIP_STDIO_PIPE },
    };
    struct rip_output o = { 0 };
    rip_command *c;

    if (argc < 3)
        return 2;
    int r = rip_command_start(&c, (const char *const *)argv + 2, &options);
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", argv[2], rip_strerror(r));
        return 1;
    }
    r = rip_command_communicate(c, argv[1], strlen(argv[1]), &o, rip_after(10));
    if (r < 0) /* -ETIMEDOUT: o has what came until then */
        fprintf(stderr, "communicate: %s\n", rip_strerror(r));
    else
        printf("out: %serr: %s", o.out, o.err);
    int code = r < 0 ? 1 : o.exit.code;
    rip_output_done(&o);
    rip_command_free(c);
    return code;
}
