/* SPDX-License-Identifier: MIT */
#include <ripstop/ripstop.h>
#include <stdio.h>

/* pipeline DIRECTORY: the biggest that is in it, as `du -a DIRECTORY | sort -n
 * | tail -n3` has it. If that fails, each stage that did is named. */

static const char *const programs[] = { "du", "sort", "tail" };

static void tell_ends(const struct rip_exit ends[3])
{
    char text[RIP_EXIT_TEXT];

    for (int i = 0; i < 3; i++) {
        rip_exit_format(&ends[i], text, sizeof text);
        if (!rip_exit_ok(&ends[i]))
            fprintf(stderr, "%s %s\n", programs[i], text);
    }
}

int main(int argc, char **argv)
{
    const char *const list[] = {
        "du", "-a", "-b", "--", argc > 1 ? argv[1] : ".", NULL
    };
    const char *const sort[] = { "sort", "-n", NULL };
    const char *const tail[] = { "tail", "-n3", NULL };
    const char *const *const stages[] = { list, sort, tail };
    struct rip_failure why = { 0 };
    struct rip_command_options options = { .failure = &why };
    struct rip_exit ends[3];
    struct rip_output out;
    char text[512];
    int failed;

    if (rip_pipeline_run(stages, 3, &options, &out, ends, rip_after(60)) < 0) {
        rip_failure_format(&why, text, sizeof text);
        fprintf(stderr, "%s\n", text);
        return 1;
    }
    fputs(out.out, stdout);
    fputs(out.err, stderr);
    failed = !rip_exit_ok(&out.exit);
    if (failed)
        tell_ends(ends);
    rip_output_done(&out);
    return failed;
}
