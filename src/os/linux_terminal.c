/* SPDX-License-Identifier: MIT */
#include "os/linux.h"

#include <asm/termbits.h> /* the kernel's struct termios; libc's is longer */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* By its name, on kernels and emulators that lack TIOCGPTPEER. Otherwise the
 * name is not to be trusted: /dev/pts can be of another container. */
static int open_by_number(int ours)
{
    unsigned number;
    char path[32];
    long r = RIP__SYS(SYS_ioctl, ours, TIOCGPTN, &number);
    if (r < 0)
        return (int)r;
    snprintf(path, sizeof path, "/dev/pts/%u", number);
    return rip__os_open(path, O_RDWR | O_NOCTTY, 0);
}

static int open_other_end(int ours)
{
    const int unlocked = 0;
    long r = RIP__SYS(SYS_ioctl, ours, TIOCSPTLCK, &unlocked);
    if (r < 0)
        return (int)r;
    r = RIP__SYS(SYS_ioctl, ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (r == -ENOTTY || r == -EINVAL)
        return open_by_number(ours);
    return rip__raise_above_2((int)r);
}

int rip__os_terminal(int ret[2])
{
    int ours = rip__os_open("/dev/ptmx", O_RDWR | O_NOCTTY, 0);
    if (ours < 0)
        return ours;
    int theirs = open_other_end(ours);
    if (theirs < 0) {
        rip__os_close(ours);
        return theirs;
    }
    ret[0] = ours;
    ret[1] = theirs;
    return 0;
}

int rip__os_terminal_resize(int fd, unsigned short rows, unsigned short columns)
{
    const struct winsize size = { .ws_row = rows, .ws_col = columns };
    return (int)RIP__SYS(SYS_ioctl, fd, TIOCSWINSZ, &size);
}

bool rip__os_terminal_is_deserted(int fd)
{
    struct pollfd p = { .fd = fd };
    return rip__os_poll(&p, 1, RIP_NOW) > 0;
}

/* Whether nothing of a line is there after this key: it has ended the line, or
 * thrown it away. */
static bool begins_line(const struct termios *t, int key)
{
    static const int keys[] = { VEOF, VEOL, VEOL2, VKILL, VINTR, VQUIT, VSUSP };
    if (key < 0 || key == '\n' || (key == '\r' && t->c_iflag & ICRNL))
        return true;
    for (size_t i = 0; key != 0 && i < sizeof keys / sizeof *keys; i++)
        if (key == t->c_cc[keys[i]])
            return true;
    return false;
}

int rip__os_terminal_eof(int fd, int last, char ret[2])
{
    struct termios t;
    if (RIP__SYS(SYS_ioctl, fd, TCGETS, &t) < 0) /* then what is usual */
        t = (struct termios){ .c_lflag = ICANON, .c_cc[VEOF] = 'D' & 0x1f };
    ret[0] = ret[1] = (char)t.c_cc[VEOF];
    if (ret[0] == 0)
        return 0; /* switched off */
    return t.c_lflag & ICANON && !begins_line(&t, last) ? 2 : 1;
}
