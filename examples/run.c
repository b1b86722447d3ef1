/* SPDX-License-Identifier: MIT */
/*
 * A program from start to end, with what it wrote; failing is an error. In
 * Python:
 *
 *     try:
 *         r = subprocess.run(sys.argv[1:], capture_output=True, text=True,
 *                            timeout=10, check=True)
 *         print(f"{len(r.stdout)} bytes: {r.stdout}", end="")
 *     except (OSError, subprocess.SubprocessError) as e:
 *         sys.exit(str(e))
 */
#include <ripstop/ripstop.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct rip_failure why = { 0 };
    struct rip_command_options options = { .failure = &why };
    struct rip_output o;
    char text[1280];

    if (argc < 2)
        return 2;
    const char *const *command = (const char *const *)argv + 1;
    if (rip_run(command, &options, &o, rip_after(10)) < 0) {
        rip_failure_format(&why, text, sizeof text);
        fprintf(stderr, "%s\n", text);
        return 1;
    }
    bool ok = rip_exit_ok(&o.exit); /* check=True */
    if (ok) {
        printf("%zu bytes: %s", o.out_len, o.out);
    } else {
        rip_exit_format(&o.exit, text, sizeof text);
        fprintf(stderr, "%s %s: %s", argv[1], text, o.err);
    }
    rip_output_done(&o);
    return !ok;
}
