/* SPDX-License-Identifier: MIT */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"

static void open_both(int fd[2])
{
    CHECK_OK(rip__os_terminal(fd));
    CHECK_OK(rip__os_set_nonblock(fd[1]));
}

static void close_both(const int fd[2])
{
    rip__os_close(fd[0]);
    rip__os_close(fd[1]);
}

static void type(const int fd[2], const char *text)
{
    CHECK_INT(rip__os_write(fd[0], text, strlen(text)), ==, strlen(text));
}

/* What the program reads next. */
static void expect(const int fd[2], const char *text)
{
    char buf[64];
    struct pollfd p = { .fd = fd[1], .events = POLLIN };
    CHECK_OK(rip__os_poll(&p, 1, RIP_FOREVER));
    ssize_t n = CHECK_OK(rip__os_read(fd[1], buf, sizeof buf));
    CHECK_MEM(buf, (size_t)n, text, strlen(text));
}

static void change(const int fd[2], int key, cc_t to, tcflag_t off)
{
    struct termios t;
    CHECK_INT(tcgetattr(fd[1], &t), ==, 0);
    if (key >= 0)
        t.c_cc[key] = to;
    t.c_lflag &= ~off;
    CHECK_INT(tcsetattr(fd[1], TCSANOW, &t), ==, 0);
}

TEST(both_ends_are_one_terminal)
{
    int fd[2];
    open_both(fd);
    CHECK(isatty(fd[1]));
    CHECK_INT(fcntl(fd[0], F_GETFD), ==, FD_CLOEXEC);
    CHECK_INT(fcntl(fd[1], F_GETFD), ==, FD_CLOEXEC);
    type(fd, "in\n");
    expect(fd, "in\n");
    CHECK_INT(rip__os_write(fd[1], "out", 3), ==, 3);
    char buf[16];
    size_t n = 0;
    while (n < 7)
        n += (size_t)CHECK_OK(rip__os_read(fd[0], buf + n, sizeof buf - n));
    CHECK_MEM(buf, n, "in\r\nout", 7);
    CHECK(!rip__os_terminal_is_deserted(fd[0]));
    rip__os_close(fd[1]);
    CHECK(rip__os_terminal_is_deserted(fd[0]));
    CHECK_ERR(rip__os_read(fd[0], buf, sizeof buf), -EIO);
    rip__os_close(fd[0]);
}

TEST(it_is_not_taken_for_our_own)
{
    int fd[2]; /* this process leads a session that has no terminal */
    CHECK_INT(getsid(0), ==, getpid());
    open_both(fd);
    CHECK_INT(open("/dev/tty", O_RDWR | O_CLOEXEC), ==, -1);
    close_both(fd);
}

TEST(the_size)
{
    int fd[2];
    struct winsize size;
    open_both(fd);
    CHECK_OK(rip__os_terminal_resize(fd[0], 33, 44));
    CHECK_INT(ioctl(fd[1], TIOCGWINSZ, &size), ==, 0);
    CHECK_INT(size.ws_row, ==, 33);
    CHECK_INT(size.ws_col, ==, 44);
    close_both(fd);
}

static long (*real_syscall)(long nr, const long args[6]);

static long without_gptpeer(long nr, const long args[6])
{
    if (nr == SYS_ioctl && args[1] == TIOCGPTPEER)
        return -ENOTTY;
    return real_syscall(nr, args);
}

/* As in emulators. */
TEST(the_other_end_by_its_name)
{
    int fd[2];
    real_syscall = rip__seam.syscall;
    rip__seam.syscall = without_gptpeer;
    open_both(fd);
    rip__seam.syscall = real_syscall;
    CHECK_INT(fcntl(fd[1], F_GETFD), ==, FD_CLOEXEC);
    CHECK_INT(open("/dev/tty", O_RDWR | O_CLOEXEC), ==, -1);
    type(fd, "in\n");
    expect(fd, "in\n");
    close_both(fd);
}

/* ---- the end of input ------------------------------------------------- */

/* After `text` the keys end the input once: what is there of the line comes,
 * then an end, and no second one. */
static void check_end(const int fd[2], const char *text, const char *line,
                      int keys)
{
    char key[2];
    int last = *text ? (unsigned char)text[strlen(text) - 1] : -1;
    harness_note("after \"%s\"", text);
    type(fd, text);
    CHECK_INT(rip__os_terminal_eof(fd[0], last, key), ==, keys);
    CHECK_INT(rip__os_write(fd[0], key, (size_t)keys), ==, keys);
    if (*line)
        expect(fd, line);
    expect(fd, "");
    CHECK_ERR(rip__os_read(fd[1], key, 1), -EAGAIN);
}

TEST(the_end_of_input_is_typed_once_or_twice)
{
    int fd[2];
    open_both(fd);
    change(fd, VEOL, 'E', ISIG);
    change(fd, VEOL2, 'F', 0);
    check_end(fd, "", "", 1);
    check_end(fd, "line\n", "line\n", 1);
    check_end(fd, "line\r", "line\n", 1);
    check_end(fd, "half", "half", 2);
    check_end(fd, "half\004", "half", 1);
    check_end(fd, "halfE", "halfE", 1);
    check_end(fd, "halfF", "halfF", 1);
    check_end(fd, "half\025", "", 1); /* all of it erased */
    check_end(fd, "half\177", "hal", 2);
    check_end(fd, "\xff", "\xff", 2);
    change(fd, VEOF, 0xff, 0);
    check_end(fd, "half", "half", 2);
    close_both(fd);
}

TEST(keys_that_send_signals_begin_a_new_line)
{
    static const char *const lines[] = { "half\003", "half\034", "half\032" };
    int fd[2];
    open_both(fd);
    for (int i = 0; i < 3; i++)
        check_end(fd, lines[i], "", 1);
    close_both(fd);
}

TEST(a_terminal_without_lines_or_without_that_key)
{
    int fd[2];
    char key[2] = { 0 };
    open_both(fd);
    change(fd, VEOF, 'x', ICANON);
    CHECK_INT(rip__os_terminal_eof(fd[0], 'a', key), ==, 1);
    CHECK_INT(key[0], ==, 'x');
    change(fd, VEOF, _POSIX_VDISABLE, 0);
    CHECK_INT(rip__os_terminal_eof(fd[0], 'a', key), ==, 0);
    close_both(fd);
}

/* ---- faults ----------------------------------------------------------- */

static void open_and_use(void *arg)
{
    int fd[2];
    char buf[8];
    (void)arg;
    int r = rip__os_terminal(fd);
    if (r < 0)
        return;
    /* However the other end was found, it is the other end. */
    CHECK_INT(write(fd[0], "x\n", 2), ==, 2);
    CHECK_INT(read(fd[1], buf, sizeof buf), ==, 2);
    close_both(fd);
}

TEST_WITH(opening_survives_every_fault, .deadline = 60)
{
    CHECK_INT(fault_sweep(open_and_use, NULL, NULL), >, 5);
}
