/* SPDX-License-Identifier: MIT */

/*
 * Linked to the shared library, as a user's program is: that it starts shows
 * that what the headers declare is exported. Without the harness, which needs
 * what is hidden there.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/ripstop.h>

static int failures;

static void check(int number, const char *name, bool good)
{
    printf("%s %d - %s\n", good ? "ok" : "not ok", number, name);
    failures += !good;
}

/* A child dies with the lock. */
static bool survives_a_death(void)
{
    rip_lock *l = rip_shared_alloc(NULL, sizeof *l);
    if (!l)
        return false;
    pid_t pid = fork();
    if (pid == 0 && rip_lock_acquire(l, RIP_NOW) == 0)
        raise(SIGKILL);
    if (pid == 0)
        _exit(1);
    int status;
    bool killed = waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
    bool told = rip_lock_acquire(l, rip_after(10)) == RIP_RECOVERED;
    rip_lock_release(l);
    rip_shared_free(NULL, l);
    return killed && told;
}

int main(void)
{
    const char *const argv[] = { "/bin/echo", "hello", NULL };
    struct rip_output out;
    char version[32];
    int r = rip_run(argv, NULL, &out, rip_after(10));

    printf("1..3\n");
    check(1, "runs a command",
          r == 0 && rip_exit_ok(&out.exit) && strcmp(out.out, "hello\n") == 0);
    if (r == 0)
        rip_output_done(&out);
    snprintf(version, sizeof version, "%d.%d.%d", RIP_VERSION_MAJOR,
             RIP_VERSION_MINOR, RIP_VERSION_PATCH);
    check(2, "is the version of its headers",
          strcmp(rip_version(), version) == 0);
    check(3, "takes a lock over from the dead", survives_a_death());
    return failures > 0;
}
