/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>

#include <gio/gio.h>

/* Both as they are without options, but for stdin, which is inherited as it is
 * for all others here. */
spawn_fn spawn_glib;
spawn_fn spawn_gsubprocess;

/* Its codes are no errno values. */
static int failed(GError *error)
{
    g_printerr("GLib: %s\n", error->message);
    g_error_free(error);
    return -EIO;
}

struct end {
    GMainLoop *loop;
    int result;
};

static void ended(GPid pid, int status, void *arg)
{
    struct end *end = arg;
    end->result = status != 0;
    g_spawn_close_pid(pid);
    g_main_loop_quit(end->loop);
}

int spawn_glib(char *program)
{
    static GMainLoop *loop;
    char *argv[] = { program, NULL };
    GError *error = NULL;
    GPid pid;
    if (!g_spawn_async(NULL, argv, NULL,
                       G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CHILD_INHERITS_STDIN,
                       NULL, NULL, &pid, &error))
        return failed(error);
    if (!loop)
        loop = g_main_loop_new(NULL, FALSE);
    struct end end = { loop, 1 };
    g_child_watch_add(pid, ended, &end);
    g_main_loop_run(loop);
    return end.result;
}

int spawn_gsubprocess(char *program)
{
    const char *const argv[] = { program, NULL };
    GError *error = NULL;
    GSubprocess *process =
        g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDIN_INHERIT, &error);
    if (!process)
        return failed(error);
    int ok = g_subprocess_wait(process, NULL, &error);
    int result = ok ? !g_subprocess_get_successful(process) : failed(error);
    g_object_unref(process);
    return result;
}
