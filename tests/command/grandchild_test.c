/* SPDX-License-Identifier: MIT */
#include <ripstop/command.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "run.h"

/*
 * What a shell leaves running while it holds the output. It is the most
 * frequent bug of the field: the deadline passes, the shell is killed, and the
 * call goes on waiting for a grandchild's end of the pipe. Nearly every form
 * below hangs CPython's subprocess.run(timeout=) (#76116, #82388; open as
 * #75628) and Go's os/exec without WaitDelay (go #23019) for as long as the
 * grandchild lives; which of them do depends on whether the shell is bash or
 * dash (tuios #141), since these replace themselves by the last command in
 * different cases. Where nothing holds the output a kill of the child alone
 * leaves the rest running (bpo-5115).
 */

/* How the shell itself goes on. Each has said "on" before. */
enum fate {
    STAYS, /* until it is stopped, and asking is enough */
    DEAF,  /* the same, and SIGTERM does nothing to it */
    HELD,  /* it ends at once; somebody has its output */
    LEFT,  /* it ends at once; somebody is there, without its output */
};

/* N is a number of seconds that no other process sleeps for. */
static const struct form {
    const char *script;
    enum fate fate;
} forms[] = {
    { "sleep N; true", STAYS },
    { "(sleep N)", STAYS },
    { "(sleep N); true", STAYS },
    { "sleep N | cat", STAYS },
    { "cat /dev/zero | sleep N", STAYS },
    { "x=$(sleep N); echo $x", STAYS },
    { "setsid sleep N; true", STAYS },
    { "setsid sh -c 'sleep N; true'; true", STAYS },
    { "nohup sleep N; true", STAYS },
    { "(sleep N &); sleep N; true", STAYS },
    { "(setsid sleep N >/dev/null 2>&1 &); sleep N; true", STAYS },
    { "trap '' TERM; sleep N; true", DEAF },
    { "trap '' TERM; (setsid sleep N &); sleep N | cat", DEAF },
    { "sleep N &", HELD },
    { "(sleep N &)", HELD },
    { "sleep N | cat &", HELD },
    { "nohup sleep N &", HELD },
    { "setsid -f sleep N", HELD },
    { "(setsid sh -c 'sleep N; true' &)", HELD },
    { "sleep N >/dev/null &", HELD }, /* stderr is enough */
    { "sleep N >/dev/null 2>&1 &", LEFT },
    { "setsid -f sleep N >/dev/null 2>&1", LEFT },
};

#define N_FORMS (sizeof forms / sizeof *forms)

/* One form, run in one way. All of a test wait at the same time. */
struct cell {
    const struct form *form;
    char word[32], script[512];
    const char *argv[4];
    double grace;
    rip_time deadline;
    pthread_t thread;
};

/* The form's script, with N replaced. */
static void write_script(struct cell *c)
{
    char *to = stpcpy(c->script, "echo on; ");
    for (const char *s = c->form->script; *s; s++) {
        if (*s == 'N')
            to = stpcpy(to, c->word);
        else
            *to++ = *s;
    }
    *to = 0;
}

static void prepare(struct cell *c, const char *shell, const struct form *f)
{
    static atomic_int serial;
    c->form = f;
    snprintf(c->word, sizeof c->word, "20.%07d%03d", (int)getpid(), ++serial);
    write_script(c);
    c->argv[0] = shell;
    c->argv[1] = "-c";
    c->argv[2] = c->script;
    c->argv[3] = NULL;
}

/* No later than that, but for what a busy machine adds. */
static void check_back_by(rip_time deadline, double grace)
{
    rip_time late = rip_time_now() - deadline;
    CHECK_INT(late, <, (rip_time)((grace + harness_scale(2)) * 1e9));
}

/* In form `c` the call has ended by itself: whoever is left was left alone,
 * and is taken away now. */
static void check_left_alone(const struct cell *c)
{
    int pids[8], n = find_alive(c->word, pids, 8);
    CHECK_INT(n, >, 0);
    for (int i = 0; i < n; i++)
        kill(pids[i], SIGKILL);
    for (int i = 0; i < n; i++)
        await_death(pids[i]);
}

static bool ends_early(const struct cell *c)
{
    return c->form->fate == LEFT || (c->form->fate == HELD && c->grace < 1);
}

/* Time for a shell to start, with all the others beside it; or so much that it
 * plays no part. */
static rip_time deadline_of(const struct cell *c)
{
    return rip_after(ends_early(c) ? harness_scale(30) : 1.5);
}

/* ---- rip_run ---------------------------------------------------------- */

static void check_run(const struct cell *c, const struct rip_output *o)
{
    enum fate fate = c->form->fate;
    bool stays = fate == STAYS || fate == DEAF;
    CHECK_STR(o->out, "on\n");
    CHECK_INT(o->exit.timed_out, ==, stays);
    CHECK_INT(o->pipe_held, ==, fate == HELD);
    if (!stays)
        CHECK(rip_exit_ok(&o->exit));
    if (fate == DEAF)
        CHECK_INT(o->exit.signal, ==, SIGKILL);
    if (ends_early(c)) {
        CHECK_INT(rip_time_now(), <, c->deadline);
        check_left_alone(c);
    }
    CHECK_INT(find_alive(c->word, NULL, 0), ==, 0);
}

static void *run_cell(void *arg)
{
    struct cell *c = arg;
    struct rip_output o;
    struct rip_command_options options = { .grace = c->grace };
    c->deadline = deadline_of(c);
    CHECK_OK(rip_run(c->argv, &options, &o, c->deadline));
    check_back_by(c->deadline, c->grace);
    harness_note("%s: %s", c->argv[0], c->script);
    check_run(c, &o);
    rip_output_done(&o);
    return NULL;
}

/* ---- rip_command_communicate ------------------------------------------ */

/* It stops nothing; that is left to free, or to whoever signals the tree. */
static void *talk_to_cell(void *arg)
{
    struct cell *cell = arg;
    struct rip_output o;
    struct rip_command_options options = {
        .in = { .kind = RIP_STDIO_NULL },
        .out = { .kind = RIP_STDIO_PIPE },
        .err = { .kind = RIP_STDIO_PIPE },
        .grace = cell->grace,
    };
    enum fate fate = cell->form->fate;
    bool stays = fate == STAYS || fate == DEAF;
    rip_command *c = start(cell->argv, &options);
    cell->deadline = deadline_of(cell);
    int r = rip_command_communicate(c, NULL, 0, &o, cell->deadline);
    check_back_by(cell->deadline, 0);
    harness_note("%s: %s", cell->argv[0], cell->script);
    CHECK_INT(r, ==, stays ? -ETIMEDOUT : 0);
    CHECK_STR(o.out, "on\n");
    CHECK_INT(o.pipe_held, ==, fate == HELD);
    CHECK_INT(o.exit.how, ==, stays ? RIP_RUNNING : RIP_EXITED);
    rip_output_done(&o);
    CHECK_INT(find_alive(cell->word, NULL, 0), >, 0);
    if (!stays)
        CHECK_OK(rip_command_signal(c, SIGKILL));
    rip_command_free(c);
    if (!stays) /* nobody waits for what is signalled */
        while (find_alive(cell->word, NULL, 0) > 0)
            usleep(1000);
    CHECK_INT(find_alive(cell->word, NULL, 0), ==, 0);
    return NULL;
}

/* ---- all at once ------------------------------------------------------ */

static void need_shell(const char *shell)
{
    struct rip_output o;
    int r = rip_run(ARGV(shell, "-c", "exit 0"), NULL, &o, RIP_FOREVER);
    if (r < 0)
        SKIP("there is no %s here", shell);
    rip_output_done(&o);
}

static struct cell cells[2 * N_FORMS];
static size_t n_cells;

static void add_cells(const char *shell, double grace, bool held_only)
{
    for (size_t i = 0; i < N_FORMS; i++) {
        if (held_only && forms[i].fate != HELD)
            continue;
        /* What lets go by itself may take a while to come to that. */
        cells[n_cells].grace = forms[i].fate == LEFT ? 10 : grace;
        prepare(&cells[n_cells++], shell, &forms[i]);
    }
}

static void run_cells(void *(*how)(void *))
{
    for (size_t i = 0; i < n_cells; i++)
        pthread_create(&cells[i].thread, NULL, how, &cells[i]);
    for (size_t i = 0; i < n_cells; i++)
        pthread_join(cells[i].thread, NULL);
}

static void run_all(const char *shell, void *(*how)(void *))
{
    need_shell(shell);
    add_cells(shell, 0.2, false);
    add_cells(shell, 30, true); /* the deadline comes first */
    run_cells(how);
}

TEST(run_under_bash)
{
    run_all("bash", run_cell);
}

TEST(run_under_dash)
{
    run_all("dash", run_cell);
}

TEST(communicate_under_bash)
{
    run_all("bash", talk_to_cell);
}

TEST(communicate_under_dash)
{
    run_all("dash", talk_to_cell);
}
