/* SPDX-License-Identifier: MIT */
#include <ripstop/fifo.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ripstop/task.h>

#include "fault.h"
#include "harness.h"
#include "message/ends.h"
#include "message/pipe.h"
#include "sync/world.h"

/* A test with a FIFO, in the directory that each test has for itself. */
#define FIFO(id)                            \
    static void with_fifo_##id(void);       \
    TEST(id)                                \
    {                                       \
        CHECK_OK(rip_fifo_make("f", 0600)); \
        with_fifo_##id();                   \
        CHECK_OK(rip_fifo_remove("f"));     \
    }                                       \
    static void with_fifo_##id(void)

static rip_pipe *open_end(enum rip_fifo_end end)
{
    rip_pipe *p;
    CHECK_OK(rip_fifo_open(&p, "f", end, rip_after(10)));
    return p;
}

/* From now on nobody looks for an hour: who goes on has been told. */
static void never_look(void)
{
    rip__fifo_look_ns = INT64_C(3600) * 1000000000;
}

static int read_byte(rip_pipe *p)
{
    char c;
    ssize_t n = rip_pipe_read(p, &c, 1, rip_after(10));
    return n == 1 ? c : (int)n;
}

/* ---- players ---------------------------------------------------------- */

static int write_x(void *arg)
{
    rip_pipe *p;
    (void)arg;
    if (rip_fifo_open(&p, "f", RIP_FIFO_WRITE, rip_after(20)) < 0)
        return 1;
    ssize_t n = rip_pipe_write(p, "x", 1, rip_after(10));
    rip_pipe_free(p);
    return n == 1 ? 0 : 2;
}

static int expect_x_and_end(void *arg)
{
    rip_pipe *p;
    (void)arg;
    if (rip_fifo_open(&p, "f", RIP_FIFO_READ, rip_after(20)) < 0)
        return 1;
    bool fine = read_byte(p) == 'x' && read_byte(p) == 0;
    rip_pipe_free(p);
    return fine ? 0 : 2;
}

/* These two as programs do that know nothing of us. */
static int foreign_write_x(void *arg)
{
    (void)arg;
    int fd = open("f", O_WRONLY | O_CLOEXEC);
    ssize_t n = write(fd, "x", 1);
    close(fd);
    return n == 1 ? 0 : 1;
}

static int foreign_read_x(void *arg)
{
    char c = 0;
    (void)arg;
    int fd = open("f", O_RDONLY | O_CLOEXEC);
    bool fine = read(fd, &c, 1) == 1 && c == 'x' && read(fd, &c, 1) == 0;
    close(fd);
    return fine ? 0 : 1;
}

/* ---- the two ends ----------------------------------------------------- */

FIFO(a_reader_that_waits_is_told_of_a_writer)
{
    struct player a;
    never_look();
    player_start(&a, PROCESSES, expect_x_and_end, NULL);
    until_sleeping(a.pid, SYS_ppoll);
    CHECK_INT(write_x(NULL), ==, 0);
    CHECK_INT(player_end(&a), ==, 0);
}

FIFO(a_writer_that_waits_is_told_of_a_reader)
{
    struct player a;
    never_look();
    player_start(&a, PROCESSES, write_x, NULL);
    until_sleeping(a.pid, SYS_ppoll);
    CHECK_INT(expect_x_and_end(NULL), ==, 0);
    CHECK_INT(player_end(&a), ==, 0);
}

FIFO(a_foreign_writer_is_let_in)
{
    struct player a;
    never_look();
    player_start(&a, PROCESSES, foreign_write_x, NULL);
    until_sleeping(a.pid, SYS_openat);
    CHECK_INT(expect_x_and_end(NULL), ==, 0);
    CHECK_INT(player_end(&a), ==, 0);
}

FIFO(a_reader_that_waits_is_told_of_a_foreign_writer)
{
    struct player a;
    never_look();
    player_start(&a, PROCESSES, expect_x_and_end, NULL);
    until_sleeping(a.pid, SYS_ppoll);
    CHECK_INT(foreign_write_x(NULL), ==, 0);
    CHECK_INT(player_end(&a), ==, 0);
}

FIFO(a_foreign_reader_that_waits_is_found)
{
    struct player a;
    player_start(&a, PROCESSES, foreign_read_x, NULL);
    until_sleeping(a.pid, SYS_openat);
    CHECK_INT(write_x(NULL), ==, 0);
    CHECK_INT(player_end(&a), ==, 0);
}

/* The one that nobody tells of: it waits in open(2) as the writer sleeps. */
FIFO(a_foreign_reader_that_comes_is_found)
{
    struct player a;
    player_start(&a, PROCESSES, write_x, NULL);
    until_sleeping(a.pid, SYS_ppoll);
    CHECK_INT(foreign_read_x(NULL), ==, 0);
    CHECK_INT(player_end(&a), ==, 0);
}

FIFO(without_inotify_they_find_each_other)
{
    struct player a;
    fault_always(SYS_inotify_init1, EMFILE);
    player_start(&a, PROCESSES, expect_x_and_end, NULL);
    until_sleeping(a.pid, SYS_ppoll);
    CHECK_INT(write_x(NULL), ==, 0);
    CHECK_INT(player_end(&a), ==, 0);
    player_start(&a, PROCESSES, write_x, NULL);
    until_sleeping(a.pid, SYS_ppoll);
    CHECK_INT(expect_x_and_end(NULL), ==, 0);
    CHECK_INT(player_end(&a), ==, 0);
}

/* Without a descriptor there is no other to be found, and nothing is left. */
FIFO(no_descriptor_is_an_error)
{
    rip_pipe *p = NULL;
    limit_fds(0);
    CHECK_ERR(rip_fifo_open(&p, "f", RIP_FIFO_READ, RIP_FOREVER), -EMFILE);
    CHECK_ERR(rip_fifo_open(&p, "f", RIP_FIFO_WRITE, RIP_FOREVER), -EMFILE);
    limit_fds_no_more();
    limit_fds(1);
    CHECK_ERR(rip_fifo_open(&p, "f", RIP_FIFO_READ, RIP_FOREVER), -EMFILE);
    limit_fds_no_more();
    CHECK(!p);
}

FIFO(its_descriptor_is_close_on_exec_and_does_not_block)
{
    rip_pipe *p = open_end(RIP_FIFO_SERVE);
    CHECK(rip_pipe_fd(p) > 2 && is_cloexec(rip_pipe_fd(p)));
    CHECK(is_nonblock(rip_pipe_fd(p)));
    rip_pipe_free(p);
}

/* ---- deadlines -------------------------------------------------------- */

FIFO(a_deadline_is_kept)
{
    rip_pipe *p = NULL;
    rip_time deadline = rip_after_ms(30);
    CHECK_ERR(rip_fifo_open(&p, "f", RIP_FIFO_READ, deadline), -ETIMEDOUT);
    CHECK(rip_time_now() >= deadline);
    deadline = rip_after_ms(30);
    CHECK_ERR(rip_fifo_open(&p, "f", RIP_FIFO_WRITE, deadline), -ETIMEDOUT);
    CHECK(rip_time_now() >= deadline);
    CHECK_ERR(rip_fifo_open(&p, "f", RIP_FIFO_READ, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_fifo_open(&p, "f", RIP_FIFO_WRITE, RIP_NOW), -ETIMEDOUT);
    CHECK(!p);
}

FIFO(what_is_there_is_had_at_once)
{
    rip_pipe *reader, *writer, *server = open_end(RIP_FIFO_SERVE);
    CHECK_OK(rip_fifo_open(&writer, "f", RIP_FIFO_WRITE, RIP_NOW));
    CHECK_OK(rip_fifo_open(&reader, "f", RIP_FIFO_READ, RIP_NOW));
    rip_pipe_free(server);
    CHECK_INT(rip_pipe_write(writer, "x", 1, RIP_NOW), ==, 1);
    CHECK_INT(read_byte(reader), ==, 'x');
    CHECK_ERR(rip_pipe_read(reader, &(char){ 0 }, 1, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_pipe_write(reader, "x", 1, RIP_NOW), -EINVAL);
    CHECK_ERR(rip_pipe_read(writer, &(char){ 0 }, 1, RIP_NOW), -EINVAL);
    rip_pipe_free(writer);
    CHECK_INT(read_byte(reader), ==, 0);
    rip_pipe_free(reader);
}

static int open_and_be_stopped(void *arg)
{
    rip_pipe *p;
    enum rip_fifo_end end = *(enum rip_fifo_end *)arg;
    return rip_fifo_open(&p, "f", end, RIP_FOREVER) == -ECANCELED ? 0 : 1;
}

FIFO(a_stop_ends_a_wait)
{
    enum rip_fifo_end ends[] = { RIP_FIFO_READ, RIP_FIFO_WRITE };
    for (int i = 0; i < 2; i++) {
        rip_task *t;
        struct rip_exit end;
        CHECK_OK(rip_task_start(&t, open_and_be_stopped, &ends[i], NULL));
        rip_task_stop(t);
        CHECK_OK(rip_task_join(t, &end, rip_after(10)));
        CHECK_INT(end.code, ==, 0);
        rip_task_free(t);
    }
}

/* ---- comings and goings ----------------------------------------------- */

static atomic_int *ready;

/* Opens it, may write, and is gone before the reader is let run. */
static void write_and_go(const char *text)
{
    int fd = open("f", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    ssize_t len = (ssize_t)strlen(text);
    CHECK(fd >= 0);
    CHECK_INT(write(fd, text, (size_t)len), ==, len);
    close(fd);
}

static int reader_that_was_stopped(void *arg)
{
    const char *text = arg;
    rip_pipe *p;
    if (rip_fifo_open(&p, "f", RIP_FIFO_READ, rip_after(20)) < 0)
        return 1;
    while (*text)
        if (read_byte(p) != *text++)
            return 2;
    return read_byte(p) == 0 ? 0 : 3;
}

FIFO(a_writer_that_has_gone_again_is_not_missed)
{
    char texts[][2] = { "x", "" };
    never_look();
    for (int i = 0; i < 2; i++) {
        struct player a;
        player_start(&a, PROCESSES, reader_that_was_stopped, texts[i]);
        until_sleeping(a.pid, SYS_ppoll);
        CHECK_INT(kill(a.pid, SIGSTOP), ==, 0);
        write_and_go(texts[i]);
        CHECK_INT(kill(a.pid, SIGCONT), ==, 0);
        CHECK_INT(player_end(&a), ==, 0);
    }
}

FIFO(who_serves_sees_no_end)
{
    rip_pipe *p = open_end(RIP_FIFO_SERVE);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(write_x(NULL), ==, 0);
        CHECK_INT(read_byte(p), ==, 'x');
        CHECK_ERR(rip_pipe_read(p, &(char){ 0 }, 1, RIP_NOW), -ETIMEDOUT);
    }
    CHECK_ERR(rip_pipe_write(p, "x", 1, RIP_NOW), -EINVAL);
    rip_pipe_free(p);
}

FIFO(after_the_end_the_next_writer_is_read)
{
    struct player a;
    player_start(&a, PROCESSES, write_x, NULL);
    rip_pipe *p = open_end(RIP_FIFO_READ);
    CHECK_INT(read_byte(p), ==, 'x');
    CHECK_INT(read_byte(p), ==, 0);
    CHECK_INT(player_end(&a), ==, 0);
    CHECK_INT(write_x(NULL), ==, 0);
    CHECK_INT(read_byte(p), ==, 'x');
    CHECK_INT(read_byte(p), ==, 0);
    rip_pipe_free(p);
}

/* ---- deaths ----------------------------------------------------------- */

static int write_and_stay(void *arg)
{
    rip_pipe *p = open_end(RIP_FIFO_WRITE);
    CHECK_INT(rip_pipe_write(p, "x", 1, rip_after(10)), ==, 1);
    until_at_least(arg, 1);
    return 0;
}

FIFO(a_killed_writer_is_the_end_of_the_stream)
{
    struct player a;
    ready = board(sizeof *ready);
    player_start(&a, PROCESSES, write_and_stay, ready);
    rip_pipe *p = open_end(RIP_FIFO_READ);
    CHECK_INT(read_byte(p), ==, 'x');
    player_kill(&a);
    CHECK_INT(read_byte(p), ==, 0);
    rip_pipe_free(p);
}

static int read_and_stay(void *arg)
{
    (void)arg;
    return read_byte(open_end(RIP_FIFO_READ));
}

FIFO(of_a_killed_reader_the_writer_is_told)
{
    struct player a;
    player_start(&a, PROCESSES, read_and_stay, NULL);
    rip_pipe *p = open_end(RIP_FIFO_WRITE);
    player_kill(&a);
    CHECK_ERR(rip_pipe_write(p, "x", 1, RIP_FOREVER), -EPIPE);
    rip_pipe_free(p);
}

FIFO(who_is_killed_in_its_wait_leaves_nothing)
{
    int (*const wait[])(void *) = { write_x, expect_x_and_end };
    rip_pipe *p;
    for (int i = 0; i < 2; i++) {
        struct player a;
        player_start(&a, PROCESSES, wait[i], NULL);
        until_sleeping(a.pid, SYS_ppoll);
        player_kill(&a);
    }
    CHECK_ERR(rip_fifo_open(&p, "f", RIP_FIFO_READ, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_fifo_open(&p, "f", RIP_FIFO_WRITE, RIP_NOW), -ETIMEDOUT);
}

static int make_and_stay(void *arg)
{
    CHECK_OK(rip_fifo_make("made", 0600));
    atomic_store((atomic_int *)arg, 1);
    return pause();
}

TEST(what_a_killed_maker_leaves_is_of_use)
{
    struct player a;
    rip_pipe *p;
    ready = board(sizeof *ready);
    player_start(&a, PROCESSES, make_and_stay, ready);
    until_at_least(ready, 1);
    player_kill(&a);
    CHECK_ERR(rip_fifo_make("made", 0600), -EEXIST);
    CHECK_OK(rip_fifo_open(&p, "made", RIP_FIFO_SERVE, RIP_NOW));
    rip_pipe_free(p);
    CHECK_OK(rip_fifo_remove("made"));
}

/* ---- names ------------------------------------------------------------ */

TEST(only_a_fifo_is_opened_and_removed)
{
    rip_pipe *p = NULL;
    char longest[5000];
    int fd = open("file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(fd);
    for (size_t i = 0; i < sizeof longest; i++)
        longest[i] = i + 1 < sizeof longest ? 'x' : 0;
    for (int end = RIP_FIFO_READ; end <= RIP_FIFO_WRITE; end++) {
        CHECK_ERR(rip_fifo_open(&p, "file", end, RIP_NOW), -EINVAL);
        CHECK_ERR(rip_fifo_open(&p, "nope", end, RIP_FOREVER), -ENOENT);
        CHECK_ERR(rip_fifo_open(&p, "", end, RIP_FOREVER), -ENOENT);
        CHECK_ERR(rip_fifo_open(&p, "/dev/null", end, RIP_NOW), -EINVAL);
        CHECK_ERR(rip_fifo_open(&p, longest, end, RIP_NOW), -ENAMETOOLONG);
    }
    CHECK_ERR(rip_fifo_open(&p, "file", 3, RIP_NOW), -EINVAL);
    CHECK(!p);
    CHECK_ERR(rip_fifo_make("file", 0600), -EEXIST);
    CHECK_ERR(rip_fifo_make("no/where", 0600), -ENOENT);
    CHECK_ERR(rip_fifo_make(longest, 0600), -ENAMETOOLONG);
    CHECK_ERR(rip_fifo_remove("file"), -EINVAL);
    CHECK_ERR(rip_fifo_remove("nope"), -ENOENT);
    CHECK_INT(unlink("file"), ==, 0);
}

TEST(its_mode_is_what_was_asked_for)
{
    struct stat st;
    CHECK_OK(rip_fifo_make("f", 0640));
    CHECK_INT(lstat("f", &st), ==, 0);
    CHECK_INT(st.st_mode, ==, S_IFIFO | 0640);
    CHECK_OK(rip_fifo_remove("f"));
}

static int wait_for_reader(void *arg)
{
    rip_pipe *p;
    (void)arg;
    return rip_fifo_open(&p, "f", RIP_FIFO_WRITE, RIP_FOREVER) == -ENOENT ? 0
                                                                          : 1;
}

TEST(who_waits_to_write_is_told_when_it_is_removed)
{
    struct player a;
    CHECK_OK(rip_fifo_make("f", 0600));
    player_start(&a, PROCESSES, wait_for_reader, NULL);
    until_sleeping(a.pid, SYS_ppoll);
    CHECK_OK(rip_fifo_remove("f"));
    CHECK_INT(player_end(&a), ==, 0);
}

/* ---- faults ----------------------------------------------------------- */

static bool is_clean(ssize_t r)
{
    return r >= 0 || r == -EMFILE || r == -ENFILE || r == -ENOMEM ||
           r == -EPIPE || r == -EACCES || r == -ETIMEDOUT || r == -ENOSPC ||
           r == -EEXIST || r == -EIO;
}

static void use(void *ctx)
{
    rip_pipe *reader = NULL, *writer = NULL, *late = NULL;
    (void)ctx;
    CHECK(is_clean(rip_fifo_make("g", 0600)));
    CHECK(mkfifo("g", 0600) == 0 || errno == EEXIST);
    CHECK(is_clean(rip_fifo_open(&late, "g", RIP_FIFO_READ, rip_after_ms(2))));
    CHECK(is_clean(rip_fifo_open(&late, "g", RIP_FIFO_WRITE, rip_after_ms(2))));
    CHECK(!late);
    CHECK(is_clean(rip_fifo_open(&reader, "g", RIP_FIFO_SERVE, rip_after(5))));
    CHECK(is_clean(
        rip_fifo_open(&writer, "g", RIP_FIFO_WRITE, rip_after_ms(20))));
    if (reader && writer && rip_pipe_write(writer, "x", 1, rip_after(5)) == 1)
        CHECK(is_clean(rip_pipe_read(reader, &(char){ 0 }, 1, rip_after(5))));
    rip_pipe_free(reader);
    rip_pipe_free(writer);
    CHECK(rip_fifo_remove("g") == 0 || unlink("g") == 0);
}

TEST_WITH(every_fault_is_survived, .deadline = 60)
{
    CHECK_INT(fault_sweep(use, NULL, NULL), >, 20);
}
