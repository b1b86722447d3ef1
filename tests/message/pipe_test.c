/* SPDX-License-Identifier: MIT */
#include <ripstop/pipe.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/command.h>
#include <ripstop/task.h>
#include <ripstop/wait.h>

#include "fault.h"
#include "harness.h"
#include "message/ends.h"
#include "sync/world.h"

enum { HOLDS = 65536 };

struct ends {
    rip_pipe *r, *w;
};

static struct ends new_pipe(void)
{
    struct ends e;
    CHECK_OK(rip_pipe_new(&e.r, &e.w, NULL));
    return e;
}

static void free_ends(struct ends *e)
{
    CHECK(!rip_pipe_free(e->r));
    CHECK(!rip_pipe_free(e->w));
}

/* A test on each kind of kernel. */
#define KERNELS(id, seconds)                                \
    static void on_##id(void);                              \
    TEST_WITH(id, .deadline = (seconds))                    \
    {                                                       \
        on_##id();                                          \
    }                                                       \
    TEST_WITH(id##_without_nosignal, .deadline = (seconds)) \
    {                                                       \
        lack(LACK_NOSIGNAL);                                \
        on_##id();                                          \
    }                                                       \
    TEST_WITH(id##_before_6_4, .deadline = (seconds))       \
    {                                                       \
        lack(LACK_NOSIGNAL | LACK_NOWAIT);                  \
        on_##id();                                          \
    }                                                       \
    TEST_WITH(id##_behind_a_filter, .deadline = (seconds))  \
    {                                                       \
        lack(LACK_FLAGS);                                   \
        on_##id();                                          \
    }                                                       \
    static void on_##id(void)

/* ---- what it is ------------------------------------------------------- */

KERNELS(bytes_come_in_order_and_then_the_end, 0)
{
    struct ends e = new_pipe();
    char text[100];
    CHECK_INT(rip_pipe_write(e.w, "one", 3, RIP_NOW), ==, 3);
    CHECK_INT(rip_pipe_write(e.w, "two", 3, RIP_NOW), ==, 3);
    CHECK_INT(rip_pipe_read(e.r, text, 4, RIP_NOW), ==, 4);
    CHECK_MEM(text, 4, "onet", 4);
    CHECK_INT(rip_pipe_read(e.r, text, sizeof text, RIP_NOW), ==, 2);
    CHECK_ERR(rip_pipe_read(e.r, text, sizeof text, RIP_NOW), -ETIMEDOUT);
    CHECK_INT(rip_pipe_write(e.w, "", 0, RIP_NOW), ==, 0);
    CHECK_INT(rip_pipe_write(e.w, "3", 1, RIP_NOW), ==, 1);
    e.w = rip_pipe_free(e.w);
    CHECK_INT(rip_pipe_read(e.r, text, sizeof text, RIP_FOREVER), ==, 1);
    CHECK_INT(rip_pipe_read(e.r, text, sizeof text, RIP_FOREVER), ==, 0);
    CHECK_INT(rip_pipe_read(e.r, text, sizeof text, RIP_NOW), ==, 0);
    free_ends(&e);
}

KERNELS(a_deadline_is_kept, 0)
{
    struct ends e = new_pipe();
    unsigned char *data = pattern(HOLDS + 1);
    char c;
    rip_time deadline = rip_after_ms(30);
    CHECK_ERR(rip_pipe_read(e.r, &c, 1, deadline), -ETIMEDOUT);
    CHECK(rip_time_now() >= deadline);
    CHECK_INT(rip_pipe_write(e.w, data, HOLDS + 1, RIP_NOW), ==, HOLDS);
    deadline = rip_after_ms(30);
    CHECK_ERR(rip_pipe_write(e.w, data, 1, deadline), -ETIMEDOUT);
    CHECK(rip_time_now() >= deadline);
    CHECK_INT(rip_pipe_read_all(e.r, data, HOLDS, RIP_NOW), ==, HOLDS);
    CHECK(is_pattern(data, HOLDS, 0));
    free(data);
    free_ends(&e);
}

/* Up to so many bytes there is no half. */
KERNELS(what_is_to_be_whole_is_all_or_nothing, 0)
{
    struct ends e = new_pipe();
    char data[RIP_PIPE_WHOLE + 1] = { 0 };
    while (rip_pipe_write(e.w, data, RIP_PIPE_WHOLE, RIP_NOW) > 0)
        ;
    CHECK_INT(rip_pipe_read_all(e.r, data, 4095, RIP_NOW), ==, 4095);
    CHECK_ERR(rip_pipe_write(e.w, data, RIP_PIPE_WHOLE, RIP_NOW), -ETIMEDOUT);
    CHECK_INT(rip_pipe_read_all(e.r, data, 1, RIP_NOW), ==, 1);
    CHECK_INT(rip_pipe_write(e.w, data, RIP_PIPE_WHOLE + 1, RIP_NOW), ==,
              RIP_PIPE_WHOLE);
    free_ends(&e);
}

KERNELS(nobody_reads_is_an_error_and_no_signal, 0)
{
    struct ends e = new_pipe();
    CHECK_INT(rip_pipe_write(e.w, "x", 1, RIP_NOW), ==, 1);
    e.r = rip_pipe_free(e.r);
    CHECK_ERR(rip_pipe_write(e.w, "x", 1, RIP_NOW), -EPIPE);
    CHECK_ERR(rip_pipe_write(e.w, "x", 1, RIP_FOREVER), -EPIPE);
    free_ends(&e);
}

TEST(the_wrong_end_and_wrong_arguments_are_refused)
{
    struct ends e = new_pipe();
    rip_pipe *none = NULL;
    char c = 0;
    struct rip_pipe_options o = { .reserved = { 0, 1 } };
    CHECK_ERR(rip_pipe_read(e.w, &c, 1, RIP_NOW), -EINVAL);
    CHECK_ERR(rip_pipe_read_all(e.w, &c, 1, RIP_NOW), -EINVAL);
    CHECK_ERR(rip_pipe_write(e.r, &c, 1, RIP_NOW), -EINVAL);
    CHECK_ERR(rip_pipe_read(e.r, &c, 0, RIP_NOW), -EINVAL);
    CHECK_ERR(rip_pipe_new(&none, &none, &o), -EINVAL);
    o = (struct rip_pipe_options){ .capacity = SIZE_MAX };
    CHECK_ERR(rip_pipe_new(&none, &none, &o), -EINVAL);
    CHECK(!none);
    CHECK(!rip_pipe_free(NULL));
    free_ends(&e);
}

TEST(it_holds_as_much_as_was_asked_for)
{
    struct ends e;
    const struct rip_pipe_options o = { .capacity = 300000 };
    unsigned char *data = pattern(1 << 20);
    CHECK_OK(rip_pipe_new(&e.r, &e.w, &o));
    CHECK_INT(rip_pipe_write(e.w, data, 1 << 20, RIP_NOW), >=, 300000);
    free(data);
    free_ends(&e);
}

/* ---- descriptors ------------------------------------------------------ */

/* What a program gets is as programs expect it. */
KERNELS(its_descriptors_are_close_on_exec_and_block, 0)
{
    struct ends e = new_pipe();
    char c;
    CHECK_INT(rip_pipe_write(e.w, "x", 1, RIP_NOW), ==, 1);
    CHECK_INT(rip_pipe_read(e.r, &c, 1, RIP_NOW), ==, 1);
    CHECK(rip_pipe_fd(e.r) > 2 && rip_pipe_fd(e.w) > 2);
    CHECK(is_cloexec(rip_pipe_fd(e.r)) && is_cloexec(rip_pipe_fd(e.w)));
    CHECK(!is_nonblock(rip_pipe_fd(e.r)) && !is_nonblock(rip_pipe_fd(e.w)));
    free_ends(&e);
}

TEST(a_command_writes_to_it)
{
    struct ends e = new_pipe();
    const char *const argv[] = { harness_program("child"), "print", "hello",
                                 NULL };
    const struct rip_command_options o = { .out = { .kind = RIP_STDIO_FD,
                                                    .fd = rip_pipe_fd(e.w) } };
    rip_command *c;
    char text[10] = "";
    CHECK_OK(rip_command_start(&c, argv, &o));
    e.w = rip_pipe_free(e.w);
    CHECK_INT(rip_pipe_read_all(e.r, text, 9, rip_after(10)), ==, 6);
    CHECK_STR(text, "hello\n");
    CHECK_OK(rip_command_wait(c, NULL, rip_after(10)));
    rip_command_free(c);
    free_ends(&e);
}

TEST(it_can_be_waited_for)
{
    struct ends e = new_pipe();
    const struct rip_wait items[] = {
        { .kind = RIP_WAIT_FD, .events = POLLIN, .u.fd = rip_pipe_fd(e.r) },
        { .kind = RIP_WAIT_FD, .events = POLLOUT, .u.fd = rip_pipe_fd(e.w) },
    };
    CHECK_INT(rip_wait_any(items, 2, RIP_NOW), ==, 1);
    CHECK_INT(rip_pipe_write(e.w, "x", 1, RIP_NOW), ==, 1);
    CHECK_INT(rip_wait_any(items, 2, RIP_NOW), ==, 0);
    free_ends(&e);
}

TEST(what_is_adopted_has_to_be_a_pipe)
{
    rip_pipe *p = NULL;
    int fd[2], file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char c;
    CHECK_ERR(rip_pipe_adopt(&p, 1000), -EBADF);
    CHECK_ERR(rip_pipe_adopt(&p, -1), -EBADF);
    CHECK_ERR(rip_pipe_adopt(&p, file), -EINVAL);
    CHECK(!p);
    close(file);
    CHECK_INT(pipe(fd), ==, 0);
    CHECK_INT(write(fd[1], "x", 1), ==, 1);
    CHECK_OK(rip_pipe_adopt(&p, fd[0]));
    CHECK(is_cloexec(fd[0]));
    CHECK_INT(rip_pipe_fd(p), ==, fd[0]);
    CHECK_INT(rip_pipe_read(p, &c, 1, RIP_NOW), ==, 1);
    CHECK_ERR(rip_pipe_write(p, "x", 1, RIP_NOW), -EINVAL);
    rip_pipe_free(p);
    CHECK_ERR(fcntl(fd[0], F_GETFD) < 0 ? -errno : 0, -EBADF);
    close(fd[1]);
}

TEST(no_descriptor_is_an_error_and_leaves_nothing)
{
    struct ends e = { NULL, NULL };
    for (int more = 0; more < 2; more++) {
        limit_fds(more);
        CHECK_ERR(rip_pipe_new(&e.r, &e.w, NULL), -EMFILE);
        limit_fds_no_more();
    }
    CHECK(!e.r && !e.w);
}

TEST(without_descriptors_of_an_old_kernel_nothing_is_lost)
{
    struct ends e = new_pipe();
    char c;
    lack(LACK_NOWAIT);
    CHECK_INT(rip_pipe_write(e.w, "x", 1, RIP_NOW), ==, 1);
    limit_fds(0);
    CHECK_ERR(rip_pipe_read(e.r, &c, 1, RIP_FOREVER), -EMFILE);
    limit_fds_no_more();
    CHECK_INT(rip_pipe_read(e.r, &c, 1, RIP_FOREVER), ==, 1);
    free_ends(&e);
}

TEST(without_proc_on_an_old_kernel_it_is_refused_rather_than_waited_for)
{
    struct ends e = new_pipe();
    char c = 0;
    lack(LACK_NOWAIT | LACK_PROC);
    CHECK_ERR(rip_pipe_read(e.r, &c, 1, rip_after(1)), -ENOTSUP);
    CHECK_ERR(rip_pipe_write(e.w, &c, 1, rip_after(1)), -ENOTSUP);
    free_ends(&e);
}

/* ---- others ----------------------------------------------------------- */

static int write_much(void *arg)
{
    struct ends *e = arg;
    unsigned char *data = pattern(1 << 20);
    e->r = rip_pipe_free(e->r);
    ssize_t n = rip_pipe_write(e->w, data, 1 << 20, RIP_FOREVER);
    return n == 1 << 20 ? 0 : 1;
}

/* All that is still to come, which is pattern(): how much. */
static size_t read_to_end(rip_pipe *p, size_t at)
{
    static unsigned char data[50000];
    ssize_t n;
    while ((n = rip_pipe_read(p, data, sizeof data, rip_after(10))) > 0) {
        CHECK(is_pattern(data, (size_t)n, at));
        at += (size_t)n;
    }
    CHECK_OK(n);
    return at;
}

KERNELS(much_goes_from_one_process_to_another, 0)
{
    struct ends e = new_pipe();
    struct player a;
    player_start(&a, PROCESSES, write_much, &e);
    e.w = rip_pipe_free(e.w);
    CHECK_INT(read_to_end(e.r, 0), ==, 1 << 20);
    CHECK_INT(player_end(&a), ==, 0);
    free_ends(&e);
}

KERNELS(of_a_killed_writer_all_that_was_written_comes_and_then_the_end, 0)
{
    struct ends e = new_pipe();
    struct player a;
    player_start(&a, PROCESSES, write_much, &e);
    e.w = rip_pipe_free(e.w);
    until_sleeping(a.pid, SYS_ppoll);
    player_kill(&a);
    CHECK_INT(read_to_end(e.r, 0), ==, HOLDS);
    free_ends(&e);
}

static int read_for_ever(void *arg)
{
    struct ends *e = arg;
    char c;
    e->w = rip_pipe_free(e->w);
    while (rip_pipe_read(e->r, &c, 1, RIP_FOREVER) > 0)
        if (c == '!')
            pause();
    return 0;
}

KERNELS(a_writer_is_told_of_a_killed_reader, 0)
{
    struct ends e = new_pipe();
    struct player reader, writer;
    player_start(&reader, PROCESSES, read_for_ever, &e);
    CHECK_INT(rip_pipe_write(e.w, "!", 1, RIP_NOW), ==, 1);
    player_start(&writer, PROCESSES, write_much, &e);
    e.r = rip_pipe_free(e.r);
    until_sleeping(reader.pid, SYS_pause);
    until_sleeping(writer.pid, SYS_ppoll);
    player_kill(&reader);
    CHECK_INT(player_end(&writer), ==, 1);
    CHECK_ERR(rip_pipe_write(e.w, "x", 1, RIP_FOREVER), -EPIPE);
    free_ends(&e);
}

/* A reader that dies in its wait holds nothing. */
KERNELS(a_killed_reader_costs_the_others_nothing, 0)
{
    struct ends e = new_pipe();
    struct player a;
    char c;
    player_start(&a, PROCESSES, read_for_ever, &e);
    until_sleeping(a.pid, SYS_ppoll);
    player_kill(&a);
    CHECK_INT(rip_pipe_write(e.w, "x", 1, RIP_NOW), ==, 1);
    CHECK_INT(rip_pipe_read(e.r, &c, 1, RIP_NOW), ==, 1);
    free_ends(&e);
}

enum { RECORDS = 200, WRITERS = 3 };
static struct ends shared;

static int write_records(void *arg)
{
    char record[RIP_PIPE_WHOLE];
    memset(record, *(char *)arg, sizeof record);
    for (int i = 0; i < RECORDS; i++)
        if (rip_pipe_write(shared.w, record, sizeof record, rip_after(20)) !=
            sizeof record)
            return 1;
    return 0;
}

static bool is_one_record(const char *record)
{
    return memcmp(record, record + 1, RIP_PIPE_WHOLE - 1) == 0;
}

BOTH(records_of_several_writers_stay_whole, 60)
{
    struct player a[WRITERS];
    char names[WRITERS] = "abc", record[RIP_PIPE_WHOLE];
    int seen[WRITERS] = { 0 };
    shared = new_pipe();
    for (int i = 0; i < WRITERS; i++)
        player_start(&a[i], kind, write_records, &names[i]);
    for (int i = 0; i < WRITERS * RECORDS; i++) {
        CHECK_INT(
            rip_pipe_read_all(shared.r, record, sizeof record, rip_after(20)),
            ==, sizeof record);
        CHECK(is_one_record(record));
        seen[record[0] - 'a']++;
    }
    for (int i = 0; i < WRITERS; i++) {
        CHECK_INT(player_end(&a[i]), ==, 0);
        CHECK_INT(seen[i], ==, RECORDS);
    }
    free_ends(&shared);
}

static int sum_bytes(void *arg)
{
    unsigned char c[7];
    atomic_int *sum = arg;
    ssize_t n;
    while ((n = rip_pipe_read(shared.r, c, sizeof c, RIP_FOREVER)) > 0)
        for (ssize_t i = 0; i < n; i++)
            atomic_fetch_add(sum, c[i]);
    return (int)n;
}

/* Also of one who sees data that another takes. */
TEST_WITH(several_readers_get_each_byte_once, .deadline = 60)
{
    struct player a[3];
    atomic_int sum = 0;
    int want = 0;
    shared = new_pipe();
    for (int i = 0; i < 3; i++)
        player_start(&a[i], THREADS, sum_bytes, &sum);
    for (int i = 0; i < 20000; i++) {
        unsigned char c = (unsigned char)i;
        CHECK_INT(rip_pipe_write(shared.w, &c, 1, rip_after(20)), ==, 1);
        want += c;
    }
    shared.w = rip_pipe_free(shared.w);
    for (int i = 0; i < 3; i++)
        CHECK_INT(player_end(&a[i]), ==, 0);
    CHECK_INT(atomic_load(&sum), ==, want);
    free_ends(&shared);
}

static int read_one(void *arg)
{
    char c;
    *(atomic_int *)arg = (int)syscall(SYS_gettid);
    return (int)rip_pipe_read(shared.r, &c, 1, RIP_FOREVER);
}

TEST(to_free_the_other_end_ends_a_wait)
{
    struct player a;
    atomic_int tid = 0;
    shared = new_pipe();
    player_start(&a, THREADS, read_one, &tid);
    until_at_least(&tid, 1);
    until_sleeping(tid, SYS_ppoll);
    shared.w = rip_pipe_free(shared.w);
    CHECK_INT(player_end(&a), ==, 0);
    free_ends(&shared);
}

/* ---- stops ------------------------------------------------------------ */

static int read_then_write(void *arg)
{
    static char data[2 * HOLDS];
    (void)arg;
    if (rip_pipe_read(shared.r, data, 1, RIP_FOREVER) != -ECANCELED)
        return 1;
    ssize_t n = rip_pipe_write(shared.w, data, sizeof data, RIP_FOREVER);
    if (n != HOLDS)
        return 2;
    n = rip_pipe_write(shared.w, data, 1, RIP_FOREVER);
    return n == -ECANCELED ? 0 : 3;
}

TEST(a_stop_ends_a_wait_and_nothing_else)
{
    rip_task *t;
    struct rip_exit end;
    shared = new_pipe();
    CHECK_OK(rip_task_start(&t, read_then_write, NULL, NULL));
    rip_task_stop(t);
    CHECK_OK(rip_task_join(t, &end, rip_after(10)));
    CHECK_INT(end.code, ==, 0);
    rip_task_free(t);
    free_ends(&shared);
}

/* ---- faults ----------------------------------------------------------- */

static bool is_clean(ssize_t r)
{
    return r >= 0 || r == -EMFILE || r == -ENFILE || r == -ENOMEM ||
           r == -EPIPE || r == -EIO || r == -EPERM || r == -ETIMEDOUT ||
           r == -EACCES;
}

static void use(void *ctx)
{
    struct ends e;
    const struct rip_pipe_options o = { .capacity = 100000 };
    char text[3];
    (void)ctx;
    int r = rip_pipe_new(&e.r, &e.w, &o);
    CHECK(is_clean(r));
    if (r < 0)
        return;
    CHECK(is_clean(rip_pipe_write(e.w, "abc", 3, rip_after(5))));
    CHECK(is_clean(rip_pipe_write(e.w, "abc", 3, rip_after(5))));
    e.w = rip_pipe_free(e.w);
    CHECK(is_clean(rip_pipe_read(e.r, text, 3, rip_after(5))));
    CHECK(is_clean(rip_pipe_read_all(e.r, text, 3, rip_after(5))));
    free_ends(&e);
}

TEST_WITH(every_fault_is_survived, .deadline = 60)
{
    CHECK_INT(fault_sweep(use, NULL, NULL), >, 20);
}

TEST_WITH(every_fault_is_survived_on_an_old_kernel, .deadline = 60)
{
    lack(LACK_NOSIGNAL | LACK_NOWAIT);
    CHECK_INT(fault_sweep(use, NULL, NULL), >, 20);
}
