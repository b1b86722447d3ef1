/* SPDX-License-Identifier: MIT */
#include <ripstop/ripstop.h>
#include <stdio.h>

int main(void)
{
    const char *const argv[] = { "date", "-u", "+%F", NULL };
    struct rip_failure why = { 0 };
    struct rip_command_options options = { .failure = &why };
    struct rip_output out;
    char text[512];

    if (rip_run(argv, &options, &out, rip_after(5)) < 0) {
        rip_failure_format(&why, text, sizeof text);
        fprintf(stderr, "%s\n", text); /* exec "date": no such file ... */
        return 1;
    }
    rip_exit_format(&out.exit, text, sizeof text);
    printf("%sdate %s\n", out.out, text);
    rip_output_done(&out);
    return 0;
}
