/* SPDX-License-Identifier: MIT */
#include "parent.h"
#include "python.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ripstop/command.h>

/* That of the system: another one that comes first in PATH may be a script
 * that looks for it. */
static const char python[] = "/usr/bin/python3";

void python_version(char *buf, size_t cap)
{
    const char *const argv[] = { python, "--version", NULL };
    struct rip_output o;
    buf[0] = '\0';
    if (rip_run(argv, NULL, &o, rip_after(10)) < 0)
        return;
    snprintf(buf, cap, "%.*s", (int)strcspn(o.out, "\n"), o.out);
    rip_output_done(&o);
}

/* The interpreter is started once, and lives as long as this process. */
static rip_command *interpreter;

int prepare_python(const void *args)
{
    char script[PATH_MAX];
    const char *argv[8] = { python, "-I", script };
    int n = 3;
    if (access(python, X_OK) < 0)
        return bench_fail("no %s here (Debian package python3)", python);
    stay_on_one_cpu();
    bench_path(script, sizeof script, "peer_python.py");
    for (const char *const *arg = args; *arg; arg++)
        argv[n++] = *arg;
    int r = rip_command_start(&interpreter, argv,
                              &(struct rip_command_options){
                                  .in = { .kind = RIP_STDIO_PIPE },
                                  .out = { .kind = RIP_STDIO_PIPE },
                              });
    return r < 0 ? bench_fail("%s: %s", python, rip_strerror(r)) : 0;
}

int64_t run_python(const void *args)
{
    (void)args;
    int64_t took;
    ssize_t r = rip_command_write(interpreter, "", 1, RIP_FOREVER);
    if (r > 0)
        r = rip_command_read(interpreter, 1, &took, sizeof took, RIP_FOREVER);
    return r == sizeof took ? took : bench_fail("%s failed", python);
}
