/* SPDX-License-Identifier: MIT */
#include "command/command.h"

#include <errno.h>

static const char shell[] = "/bin/sh";

/* After "--" a command that begins with "-" is no option of the shell. */
#define SHELL_ARGV(command) \
    ((const char *const[]){ "sh", "-c", "--", command, NULL })

int rip_popen(rip_command **ret, const char *shell_command, const char *mode)
{
    struct rip_command_options o = { .program = shell,
                                     .in.kind = RIP_STDIO_NULL };
    if (!shell_command || !mode)
        return -EINVAL;
    bool both = strcmp(mode, "r+") == 0, write = strcmp(mode, "w") == 0;
    if (!both && !write && strcmp(mode, "r") != 0)
        return -EINVAL;
    if (both || write)
        o.in.kind = RIP_STDIO_PIPE;
    if (!write)
        o.out.kind = RIP_STDIO_PIPE;
    return rip_command_start(ret, SHELL_ARGV(shell_command), &o);
}

int rip_system(const char *shell_command, struct rip_exit *ret,
               rip_time deadline)
{
    const struct rip_command_options o = { .program = shell };
    struct rip_exit e = { .how = RIP_RUNNING };
    rip_command *c;
    if (!shell_command)
        return -EINVAL;
    int r = rip_command_start(&c, SHELL_ARGV(shell_command), &o);
    if (r < 0)
        return r;
    r = rip_command_wait(c, &e, deadline);
    if (r == -ETIMEDOUT)
        r = rip__stop(c, &e, RIP_FOREVER, true);
    if (ret && (r == 0 || r == -ETIMEDOUT))
        *ret = e;
    rip_command_free(c);
    return r;
}
