/* SPDX-License-Identifier: MIT */

/*
 * Linked to the shared library, as a user's program is: that it starts shows
 * that what the headers declare is exported. Without the harness, which needs
 * what is hidden there.
 */
#include <stdio.h>
#include <string.h>

#include <ripstop/ripstop.h>

static int failures;

static void check(int number, const char *name, bool good)
{
    printf("%s %d - %s\n", good ? "ok" : "not ok", number, name);
    failures += !good;
}

int main(void)
{
    const char *const argv[] = { "/bin/echo", "hello", NULL };
    struct rip_output out;
    char version[32];
    int r = rip_run(argv, NULL, &out, rip_after(10));

    printf("1..2\n");
    check(1, "runs a command",
          r == 0 && rip_exit_ok(&out.exit) && strcmp(out.out, "hello\n") == 0);
    if (r == 0)
        rip_output_done(&out);
    snprintf(version, sizeof version, "%d.%d.%d", RIP_VERSION_MAJOR,
             RIP_VERSION_MINOR, RIP_VERSION_PATCH);
    check(2, "is the version of its headers",
          strcmp(rip_version(), version) == 0);
    return failures > 0;
}
