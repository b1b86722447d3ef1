/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <uv.h>

spawn_fn spawn_libuv;

static void ended(uv_process_t *process, int64_t status, int signal)
{
    *(int *)process->data = status != 0 || signal != 0;
    uv_close((uv_handle_t *)process, NULL);
}

int spawn_libuv(char *program)
{
    int result = 1;
    char *argv[] = { program, NULL };
    uv_stdio_container_t stdio[3];
    for (int i = 0; i < 3; i++) {
        stdio[i].flags = UV_INHERIT_FD;
        stdio[i].data.fd = i;
    }
    uv_process_options_t options = {
        .exit_cb = ended,
        .file = program,
        .args = argv,
        .stdio_count = 3,
        .stdio = stdio,
    };
    uv_process_t process = { .data = &result };
    int r = uv_spawn(uv_default_loop(), &process, &options);
    if (r < 0)
        uv_close((uv_handle_t *)&process, NULL);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    return r < 0 ? r : result;
}
