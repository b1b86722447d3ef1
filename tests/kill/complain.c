/* SPDX-License-Identifier: MIT */
#include "complain.h"
#include "driver.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool complain_silently;

void complain_op(char *buf, size_t cap, const struct unit *u)
{
    char seed[16] = "";
    if (u->seed != 0)
        snprintf(seed, sizeof seed, ".%u", (unsigned)u->seed);
    snprintf(buf, cap, "%s%s%s%s", u->op->name, seed,
             u->other != NULL ? "," : "",
             u->other != NULL ? u->other->name : "");
}

void complain_name(char *buf, size_t cap, const struct unit *u, uint32_t at,
                   uint32_t at2)
{
    char op[80], other[16] = "";
    complain_op(op, sizeof op, u);
    if (MODE_IS_PAIR(u->mode))
        snprintf(other, sizeof other, ",%u", (unsigned)at2);
    snprintf(buf, cap, "%s %s %s %s %u%s", u->object->name, op, u->state->name,
             mode_name[u->mode], (unsigned)at, other);
}

static void say_who(unsigned who)
{
    if (who == SEAT_VICTIM)
        fprintf(stderr, "  the victim");
    else if (who == SEAT_OTHER)
        fprintf(stderr, "  the other one");
    else if (who < SEAT_SURVIVOR)
        fprintf(stderr, "  helper %u", who - SEAT_HELPER + 1);
    else
        fprintf(stderr, "  survivor %u", who - SEAT_SURVIVOR + 1);
}

static const char *what(const struct kill_seat *s, enum kill_seen seen)
{
    switch (seen) {
    case SEEN_DONE:
        return "came back too early";
    case SEEN_DEAD:
        return "was killed, and should not be";
    case SEEN_LATE:
        return "hangs";
    case SEEN_LOST:
        return "makes no progress in very many accesses";
    case SEEN_FAILED:
        return s->complaint[0] != '\0' ? s->complaint : "ended with an error";
    default:
        return "does not get on";
    }
}

static void show_file(pid_t pid, const char *name)
{
    char path[64], text[1024];
    int fd;
    ssize_t n;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n > 0)
        fprintf(stderr, "    %s: %.*s\n", name, (int)n, text);
}

static void show_stack(unsigned who)
{
    const struct kill_seat *s = cast_seat(who);
    char command[160];
    if (s->pid <= 0)
        return;
    say_who(who);
    fprintf(stderr, " is process %d, after %u points\n", (int)s->pid,
            (unsigned)s->count);
    show_file(s->pid, "syscall");
    snprintf(command, sizeof command,
             "gdb -q -batch -ex bt -p %d 2>/dev/null </dev/null |"
             " sed -n '/^#/s/^/    /p' >&2",
             (int)s->pid);
    fflush(stderr);
    if (system(command) != 0)
        fprintf(stderr, "    (no gdb)\n");
}

void complain(const struct unit *u, uint32_t at, uint32_t at2, unsigned who,
              enum kill_seen seen)
{
    char name[160];
    if (complain_silently)
        return;
    complain_name(name, sizeof name, u, at, at2);
    fprintf(stderr, "bad: %s %s\n", drive_name, name);
    say_who(who);
    fprintf(stderr, ": %s\n", what(cast_seat(who), seen));
    if (seen == SEEN_LATE || seen == SEEN_LOST)
        for (unsigned i = 0; i < KILL_SEATS; i++)
            show_stack(i);
}
