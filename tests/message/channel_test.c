/* SPDX-License-Identifier: MIT */
#include <ripstop/channel.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/task.h>
#include <ripstop/wait.h>

#include "fault.h"
#include "harness.h"
#include "message/channel.h"
#include "message/ends.h"
#include "sync/world.h"

struct ends {
    rip_channel *a, *b;
};

static struct ends new_pair(void)
{
    struct ends e;
    CHECK_OK(rip_channel_pair(&e.a, &e.b, NULL));
    return e;
}

static void free_ends(struct ends *e)
{
    CHECK(!rip_channel_free(e->a));
    CHECK(!rip_channel_free(e->b));
}

static rip_listener *listen_as(const char *name)
{
    rip_listener *l;
    CHECK_OK(rip_listener_new(&l, name, NULL));
    return l;
}

static rip_channel *connect_to(const char *name)
{
    rip_channel *c;
    CHECK_OK(rip_channel_connect(&c, name, NULL, rip_after(10)));
    return c;
}

static rip_channel *accept_from(rip_listener *l)
{
    rip_channel *c;
    CHECK_OK(rip_listener_accept(&c, l, rip_after(10)));
    return c;
}

/* Texts, for short. */
static void say(rip_channel *c, const char *text)
{
    CHECK_OK(rip_channel_send(c, text, strlen(text), rip_after(10)));
}

static const char *hear(rip_channel *c)
{
    static char text[100];
    ssize_t n = rip_channel_receive(c, text, sizeof text - 1, rip_after(10));
    CHECK_OK(n);
    text[n] = 0;
    return text;
}

static void check_end(rip_channel *c)
{
    char byte;
    CHECK_ERR(rip_channel_receive(c, &byte, 1, RIP_FOREVER), -EPIPE);
    CHECK_ERR(rip_channel_receive(c, &byte, 1, RIP_NOW), -EPIPE);
    CHECK_ERR(rip_channel_send(c, &byte, 1, RIP_FOREVER), -EPIPE);
}

/* ---- messages --------------------------------------------------------- */

TEST(messages_stay_whole_in_both_directions)
{
    struct ends e = new_pair();
    say(e.a, "first");
    say(e.a, "");
    say(e.b, "back");
    say(e.a, "third");
    CHECK_STR(hear(e.b), "first");
    CHECK_STR(hear(e.b), "");
    CHECK_STR(hear(e.b), "third");
    CHECK_STR(hear(e.a), "back");
    CHECK_ERR(rip_channel_receive(e.a, NULL, 0, RIP_NOW), -ETIMEDOUT);
    free_ends(&e);
}

TEST(an_empty_message_is_not_the_end)
{
    struct ends e = new_pair();
    say(e.a, "");
    e.a = rip_channel_free(e.a);
    CHECK_INT(rip_channel_receive(e.b, NULL, 0, RIP_FOREVER), ==, 0);
    check_end(e.b);
    free_ends(&e);
}

/* With messages unread the kernel tells of a reset before the others. */
TEST(what_was_sent_comes_before_the_end)
{
    struct ends e = new_pair();
    say(e.b, "never received");
    say(e.a, "one");
    say(e.a, "two");
    e.a = rip_channel_free(e.a);
    CHECK_STR(hear(e.b), "one");
    CHECK_STR(hear(e.b), "two");
    check_end(e.b);
    free_ends(&e);

    e = new_pair();
    say(e.b, "never received");
    e.a = rip_channel_free(e.a);
    CHECK_ERR(rip_channel_send(e.b, "x", 1, RIP_FOREVER), -EPIPE);
    check_end(e.b);
    free_ends(&e);
}

TEST(what_is_too_long_stays_there)
{
    struct ends e = new_pair();
    struct rip_channel_next next = { 7, 7 };
    char text[5];
    CHECK_ERR(rip_channel_next(e.b, &next, RIP_NOW), -ETIMEDOUT);
    CHECK_INT(next.len, ==, 7);
    say(e.a, "hello");
    CHECK_ERR(rip_channel_receive(e.b, text, 4, RIP_NOW), -EMSGSIZE);
    CHECK_ERR(rip_channel_receive(e.b, NULL, 0, RIP_FOREVER), -EMSGSIZE);
    CHECK_OK(rip_channel_next(e.b, &next, RIP_NOW));
    CHECK_INT(next.len, ==, 5);
    CHECK_INT(next.n_fds, ==, 0);
    CHECK_INT(rip_channel_receive(e.b, text, 5, RIP_NOW), ==, 5);
    CHECK_MEM(text, 5, "hello", 5);
    free_ends(&e);
}

/* How many there is room for. */
static int fill(rip_channel *c)
{
    int r, n = 0;
    while ((r = rip_channel_send(c, "x", 1, RIP_NOW)) == 0)
        n++;
    CHECK_ERR(r, -ETIMEDOUT);
    return n;
}

TEST(a_deadline_is_kept)
{
    struct ends e = new_pair();
    rip_time deadline = rip_after_ms(30);
    CHECK_ERR(rip_channel_receive(e.a, NULL, 0, deadline), -ETIMEDOUT);
    CHECK(rip_time_now() >= deadline);
    fill(e.a);
    deadline = rip_after_ms(30);
    CHECK_ERR(rip_channel_send(e.a, "x", 1, deadline), -ETIMEDOUT);
    CHECK(rip_time_now() >= deadline);
    say(e.b, "the other way is free");
    while (rip_channel_receive(e.b, &(char){ 0 }, 1, RIP_NOW) == 1)
        ;
    say(e.a, "x");
    free_ends(&e);
}

TEST(wrong_options_are_refused)
{
    struct ends e = { NULL, NULL };
    rip_listener *l = NULL;
    struct rip_channel_options o = { .reserved = { 0, 0, 0, 1 } };
    CHECK_ERR(rip_channel_pair(&e.a, &e.b, &o), -EINVAL);
    CHECK_ERR(rip_listener_new(&l, "x", &o), -EINVAL);
    CHECK_ERR(rip_channel_connect(&e.a, "x", &o, RIP_NOW), -EINVAL);
    o = (struct rip_channel_options){ .any_user = true };
    CHECK_ERR(rip_channel_pair(&e.a, &e.b, &o), -EINVAL);
    CHECK(!e.a && !e.b && !l);
    CHECK(!rip_channel_free(NULL));
    CHECK(!rip_listener_free(NULL));
}

TEST(no_descriptor_is_an_error_and_leaves_nothing)
{
    struct ends e = new_pair(), none = { NULL, NULL };
    rip_listener *l = NULL;
    limit_fds(0);
    CHECK_ERR(rip_listener_new(&l, "x", NULL), -EMFILE);
    CHECK_ERR(rip_channel_connect(&none.a, "x", NULL, RIP_FOREVER), -EMFILE);
    limit_fds_no_more();
    limit_fds(1);
    CHECK_ERR(rip_channel_pair(&none.a, &none.b, NULL), -EMFILE);
    limit_fds_no_more();
    CHECK(!none.a && !none.b && !l);
    free_ends(&e);
}

/* ---- long messages ---------------------------------------------------- */

static void send_pattern(rip_channel *c, size_t size)
{
    unsigned char *data = pattern(size);
    CHECK_OK(rip_channel_send(c, data, size, rip_after(20)));
    free(data);
}

static void check_pattern(rip_channel *c, size_t size)
{
    struct rip_channel_next next;
    unsigned char *data = malloc(size + 1);
    CHECK(data);
    CHECK_OK(rip_channel_next(c, &next, rip_after(20)));
    CHECK_INT(next.len, ==, size);
    CHECK_INT(next.n_fds, ==, 0);
    CHECK_ERR(rip_channel_receive(c, data, size - 1, RIP_NOW), -EMSGSIZE);
    CHECK_INT(rip_channel_receive(c, data, size, RIP_NOW), ==, size);
    CHECK(is_pattern(data, size, 0));
    free(data);
}

TEST(a_message_may_be_of_any_length)
{
    static const size_t sizes[] = {
        RIP__INLINE_MAX - 1,         RIP__INLINE_MAX,
        RIP__INLINE_MAX + 1,         3 * RIP__INLINE_MAX,
        (1 << 20) + RIP__INLINE_MAX, (3 << 20) + 5
    };
    struct ends e = new_pair();
    for (size_t i = 0; i < RIP__LENGTH(sizes); i++) {
        send_pattern(e.a, sizes[i]);
        say(e.a, "next");
        check_pattern(e.b, sizes[i]);
        CHECK_STR(hear(e.b), "next");
    }
    free_ends(&e);
}

TEST_WITH(sixty_four_megabytes_come_whole, .deadline = 60)
{
    struct ends e = new_pair();
    send_pattern(e.a, 64 << 20);
    check_pattern(e.b, 64 << 20);
    free_ends(&e);
}

/* Also the memory of what is on its way has an end. */
TEST(long_messages_wait_for_room_too)
{
    struct ends e = new_pair();
    unsigned char *data = pattern(1 << 20);
    int n = 0, r;
    while ((r = rip_channel_send(e.a, data, 1 << 20, RIP_NOW)) == 0)
        n++;
    CHECK_ERR(r, -ETIMEDOUT);
    CHECK(n >= 1 && n <= 16);
    CHECK_ERR(rip_channel_send(e.a, data, 1 << 20, rip_after_ms(1)),
              -ETIMEDOUT);
    free(data);
    while (n-- > 0)
        check_pattern(e.b, 1 << 20);
    send_pattern(e.a, 1 << 20);
    free_ends(&e);
}

/* Who waits for room has not taken memory for his message yet. */
TEST(a_long_message_takes_no_memory_before_there_is_room)
{
    struct ends e = new_pair();
    unsigned char *data = pattern(1 << 20);
    fill(e.a);
    fault_always(SYS_memfd_create, ENFILE);
    CHECK_ERR(rip_channel_send(e.a, data, 1 << 20, RIP_NOW), -ETIMEDOUT);
    CHECK_ERR(rip_channel_send(e.b, data, 1 << 20, RIP_NOW), -ENFILE);
    free(data);
    free_ends(&e);
}

TEST(a_small_capacity_does_not_limit_a_message)
{
    const struct rip_channel_options o = { .capacity = 1 };
    struct ends e;
    CHECK_OK(rip_channel_pair(&e.a, &e.b, &o));
    for (size_t size = 1; size < 50000; size = 3 * size + 1) {
        send_pattern(e.a, size);
        check_pattern(e.b, size);
    }
    free_ends(&e);
}

/* A kernel that is asked for more than it has. */
TEST(a_capacity_beyond_the_system_s_is_cut)
{
    const struct rip_channel_options o = { .capacity = SIZE_MAX / 2 + 2 };
    struct ends e, usual = new_pair();
    CHECK_OK(rip_channel_pair(&e.a, &e.b, &o));
    CHECK_INT(fill(e.a), >=, fill(usual.a));
    free_ends(&usual);
    free_ends(&e);
}

TEST(a_long_message_without_a_descriptor_stays_there)
{
    struct ends e = new_pair();
    unsigned char *data = pattern(100000);
    send_pattern(e.a, 100000);
    limit_fds(0);
    CHECK_ERR(rip_channel_receive(e.b, data, 100000, RIP_NOW), -EMFILE);
    CHECK_ERR(rip_channel_send(e.a, data, 100000, RIP_NOW), -EMFILE);
    limit_fds_no_more();
    check_pattern(e.b, 100000);
    CHECK_ERR(rip_channel_receive(e.b, data, 1, RIP_NOW), -ETIMEDOUT);
    free(data);
    free_ends(&e);
}

TEST(a_message_above_the_limit_of_files_is_an_error_and_no_signal)
{
    struct ends e = new_pair();
    unsigned char *data = pattern(200000);
    CHECK_INT(
        prlimit(0, RLIMIT_FSIZE, &(struct rlimit){ 100000, 100000 }, NULL), ==,
        0);
    CHECK_ERR(rip_channel_send(e.a, data, 200000, RIP_FOREVER), -EFBIG);
    send_pattern(e.a, 100000);
    check_pattern(e.b, 100000);
    free(data);
    free_ends(&e);
}

/* ---- descriptors ------------------------------------------------------ */

/* The writing ends of n pipes are sent, of which reader[i] is the other. */
static void send_pipes(rip_channel *c, int *reader, size_t n, size_t len)
{
    int writer[RIP_CHANNEL_FDS];
    unsigned char *data = pattern(len);
    for (size_t i = 0; i < n; i++) {
        int fd[2];
        CHECK_INT(pipe2(fd, O_CLOEXEC), ==, 0);
        reader[i] = fd[0];
        writer[i] = fd[1];
    }
    CHECK_OK(rip_channel_send_fds(c, data, len, writer, n, RIP_NOW));
    for (size_t i = 0; i < n; i++)
        close(writer[i]);
    free(data);
}

/* What is received are they, in this order. */
static void check_pipes(rip_channel *c, const int *reader, size_t n, size_t len)
{
    int fds[RIP_CHANNEL_FDS];
    size_t got = RIP_CHANNEL_FDS;
    unsigned char *data = malloc(len + 1);
    ssize_t r = rip_channel_receive_fds(c, data, len, fds, &got, RIP_NOW);
    CHECK_INT(r, ==, len);
    CHECK_INT(got, ==, n);
    CHECK(is_pattern(data, len, 0));
    free(data);
    for (size_t i = 0; i < n; i++) {
        unsigned char x = (unsigned char)i, y = 0;
        CHECK(is_cloexec(fds[i]));
        CHECK_INT(write(fds[i], &x, 1), ==, 1);
        CHECK_INT(read(reader[i], &y, 1), ==, 1);
        CHECK_INT(y, ==, x);
        close(fds[i]);
        CHECK_INT(read(reader[i], &y, 1), ==, 0);
        close(reader[i]);
    }
}

TEST(descriptors_come_with_a_message)
{
    static const struct {
        size_t n, len;
    } cases[] = { { 1, 5 },      { 3, 0 },
                  { 0, 3 },      { RIP_CHANNEL_FDS, 1 },
                  { 2, 100000 }, { RIP_CHANNEL_FDS, 100000 } };
    struct ends e = new_pair();
    int reader[RIP_CHANNEL_FDS];
    for (size_t i = 0; i < RIP__LENGTH(cases); i++) {
        send_pipes(e.a, reader, cases[i].n, cases[i].len);
        check_pipes(e.b, reader, cases[i].n, cases[i].len);
    }
    free_ends(&e);
}

TEST(descriptors_that_are_none_or_too_many_are_refused)
{
    struct ends e = new_pair();
    int fds[RIP_CHANNEL_FDS + 1] = { 0 };
    fds[2] = 1000;
    CHECK_ERR(rip_channel_send_fds(e.a, "x", 1, fds, 3, RIP_NOW), -EBADF);
    fds[2] = -1;
    CHECK_ERR(rip_channel_send_fds(e.a, "x", 1, fds, 3, RIP_NOW), -EBADF);
    CHECK_ERR(
        rip_channel_send_fds(e.a, "x", 1, fds, RIP_CHANNEL_FDS + 1, RIP_NOW),
        -EMSGSIZE);
    CHECK_ERR(rip_channel_receive(e.b, fds, 1, RIP_NOW), -ETIMEDOUT);
    free_ends(&e);
}

TEST(descriptors_without_room_for_them_stay_there)
{
    struct ends e = new_pair();
    struct rip_channel_next next;
    int reader[3], fds[3] = { -1, -1, -1 };
    size_t n = 2;
    char text[5];
    send_pipes(e.a, reader, 3, 5);
    CHECK_ERR(rip_channel_receive(e.b, text, 5, RIP_NOW), -EMSGSIZE);
    CHECK_ERR(rip_channel_receive_fds(e.b, text, 5, fds, &n, RIP_NOW),
              -EMSGSIZE);
    CHECK_INT(n, ==, 2);
    CHECK_INT(fds[0], ==, -1);
    CHECK_OK(rip_channel_next(e.b, &next, RIP_NOW));
    CHECK_INT(next.len, ==, 5);
    CHECK_INT(next.n_fds, ==, 3);
    check_pipes(e.b, reader, 3, 5);
    free_ends(&e);
}

TEST(at_the_limit_of_descriptors_nothing_is_lost)
{
    struct ends e = new_pair();
    int reader[3], fds[3];
    char *data = malloc(100000);
    for (size_t len = 5; len <= 100000; len += 99995) {
        send_pipes(e.a, reader, 3, len);
        for (int more = 0; more < 3; more++) {
            size_t n = 3;
            limit_fds(more);
            CHECK_ERR(
                rip_channel_receive_fds(e.b, data, len, fds, &n, RIP_FOREVER),
                -EMFILE);
            limit_fds_no_more();
        }
        check_pipes(e.b, reader, 3, len);
    }
    free(data);
    free_ends(&e);
}

TEST(a_channel_goes_through_a_channel)
{
    struct ends e = new_pair(), passed = new_pair();
    rip_channel *c;
    int fd = rip_channel_fd(passed.b);
    size_t n = 1;
    char byte;
    CHECK_OK(rip_channel_send_fds(e.a, "x", 1, &fd, 1, RIP_NOW));
    passed.b = rip_channel_free(passed.b);
    CHECK_INT(rip_channel_receive_fds(e.b, &byte, 1, &fd, &n, RIP_NOW), ==, 1);
    CHECK_OK(rip_channel_adopt(&c, fd));
    say(passed.a, "hello");
    CHECK_STR(hear(c), "hello");
    rip_channel_free(c);
    check_end(passed.a);
    free_ends(&passed);
    free_ends(&e);
}

TEST(what_is_adopted_has_to_be_a_channel)
{
    rip_channel *c = NULL;
    rip_listener *l = listen_as("x");
    int fd[2];
    CHECK_ERR(rip_channel_adopt(&c, -1), -EBADF);
    CHECK_ERR(rip_channel_adopt(&c, 1000), -EBADF);
    CHECK_ERR(rip_channel_adopt(&c, 0), -EINVAL);
    CHECK_ERR(rip_channel_adopt(&c, rip_listener_fd(l)), -EINVAL);
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), ==, 0);
    CHECK_ERR(rip_channel_adopt(&c, fd[0]), -EINVAL);
    CHECK(!c);
    close(fd[0]);
    close(fd[1]);
    CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), ==, 0);
    CHECK_OK(rip_channel_adopt(&c, fd[0]));
    CHECK(is_cloexec(fd[0]));
    rip_channel_free(c);
    close(fd[1]);
    rip_listener_free(l);
}

TEST(its_descriptors_are_close_on_exec_and_can_be_waited_for)
{
    struct ends e = new_pair();
    rip_listener *l = listen_as("x");
    rip_channel *c = connect_to("x"), *d = accept_from(l);
    const struct rip_wait items[] = {
        { .kind = RIP_WAIT_FD, .events = POLLIN, .u.fd = rip_channel_fd(e.b) },
        { .kind = RIP_WAIT_FD, .events = POLLIN, .u.fd = rip_listener_fd(l) },
    };
    CHECK(is_cloexec(rip_channel_fd(e.a)) && is_cloexec(rip_channel_fd(e.b)));
    CHECK(is_cloexec(rip_channel_fd(c)) && is_cloexec(rip_channel_fd(d)));
    CHECK(is_cloexec(rip_listener_fd(l)) && rip_listener_fd(l) > 2);
    CHECK(!is_nonblock(rip_channel_fd(c)) && !is_nonblock(rip_channel_fd(d)));
    rip_channel_free(c);
    rip_channel_free(d);
    CHECK_ERR(rip_wait_any(items, 2, RIP_NOW), -ETIMEDOUT);
    c = connect_to("x");
    CHECK_INT(rip_wait_any(items, 2, RIP_NOW), ==, 1);
    say(e.a, "x");
    CHECK_INT(rip_wait_any(items, 2, RIP_NOW), ==, 0);
    rip_channel_free(c);
    rip_listener_free(l);
    free_ends(&e);
}

/* ---- names ------------------------------------------------------------ */

TEST(a_name_is_of_letters_and_not_too_long)
{
    char longest[65];
    const char *const bad[] = {
        NULL, "", "a/b", "/tmp/x", "a b", "\n", longest
    };
    rip_listener *l = NULL;
    rip_channel *c = NULL;
    memset(longest, 'x', 64);
    longest[64] = 0;
    for (size_t i = 0; i < RIP__LENGTH(bad); i++) {
        CHECK_ERR(rip_listener_new(&l, bad[i], NULL), -EINVAL);
        CHECK_ERR(rip_channel_connect(&c, bad[i], NULL, RIP_FOREVER), -EINVAL);
    }
    CHECK(!l && !c);
    longest[63] = 0;
    l = listen_as(longest);
    rip_channel_free(connect_to(longest));
    rip_listener_free(l);
}

TEST(a_name_has_one_listener_and_is_free_after_it)
{
    rip_listener *l = listen_as("x"), *second = NULL;
    rip_channel *c = NULL;
    CHECK_ERR(rip_listener_new(&second, "x", NULL), -EADDRINUSE);
    CHECK(!second);
    rip_listener_free(l);
    CHECK_ERR(rip_channel_connect(&c, "x", NULL, RIP_NOW), -ECONNREFUSED);
    rip_listener_free(listen_as("x"));
    rip_time deadline = rip_after_ms(30);
    CHECK_ERR(rip_channel_connect(&c, "x", NULL, deadline), -ECONNREFUSED);
    CHECK(rip_time_now() >= deadline);
    CHECK(!c);
}

/* What is sent before the accept is received after it. */
TEST(who_connects_need_not_wait_for_the_accept)
{
    rip_listener *l = listen_as("x");
    rip_channel *none = NULL;
    rip_time deadline = rip_after_ms(30);
    CHECK_ERR(rip_listener_accept(&none, l, deadline), -ETIMEDOUT);
    CHECK(rip_time_now() >= deadline);
    CHECK_ERR(rip_listener_accept(&none, l, RIP_NOW), -ETIMEDOUT);
    CHECK(!none);
    rip_channel *c = connect_to("x"), *second = connect_to("x");
    say(second, "second");
    say(c, "first");
    rip_channel *d = accept_from(l), *e = accept_from(l);
    CHECK_STR(hear(d), "first");
    CHECK_STR(hear(e), "second");
    say(d, "back");
    CHECK_STR(hear(c), "back");
    rip_channel_free(c);
    check_end(d);
    rip_channel_free(d);
    rip_listener_free(l);
    rip_channel_free(e);
    check_end(second);
    rip_channel_free(second);
}

static int connect_and_greet(void *arg)
{
    rip_channel *c;
    (void)arg;
    if (rip_channel_connect(&c, "late", NULL, rip_after(20)) < 0)
        return 1;
    return rip_channel_send(c, "hello", 5, rip_after(10)) < 0 ? 2 : 0;
}

TEST(who_connects_waits_for_the_listener)
{
    struct player a;
    player_start(&a, PROCESSES, connect_and_greet, NULL);
    until_sleeping(a.pid, SYS_ppoll);
    rip_listener *l = listen_as("late");
    rip_channel *c = accept_from(l);
    CHECK_STR(hear(c), "hello");
    CHECK_INT(player_end(&a), ==, 0);
    rip_channel_free(c);
    rip_listener_free(l);
}

TEST(who_connects_waits_for_room)
{
    rip_listener *l = listen_as("x");
    rip_channel *c = NULL;
    fault_once(SYS_connect, EAGAIN);
    CHECK_ERR(rip_channel_connect(&c, "x", NULL, RIP_NOW), -ETIMEDOUT);
    fault_once(SYS_connect, EAGAIN);
    CHECK_OK(rip_channel_connect(&c, "x", NULL, rip_after(10)));
    rip_channel_free(c);
    rip_listener_free(l);
}

TEST(without_a_descriptor_who_has_connected_waits_on)
{
    rip_listener *l = listen_as("x");
    rip_channel *c = connect_to("x"), *d = NULL;
    limit_fds(0);
    CHECK_ERR(rip_listener_accept(&d, l, RIP_FOREVER), -EMFILE);
    limit_fds_no_more();
    d = accept_from(l);
    say(d, "hello");
    CHECK_STR(hear(c), "hello");
    rip_channel_free(c);
    rip_channel_free(d);
    rip_listener_free(l);
}

/* ---- the other side --------------------------------------------------- */

static int connect_and_stay(void *arg)
{
    rip_channel *c;
    (void)arg;
    return rip_channel_connect(&c, "who", NULL, rip_after(10)) < 0 ? 1
                                                                   : pause();
}

static void check_peer_of_child(void)
{
    struct player a;
    struct rip_channel_peer peer = { 0, 7, 7 };
    rip_listener *l = listen_as("who");
    player_start(&a, PROCESSES, connect_and_stay, NULL);
    rip_channel *c = accept_from(l);
    CHECK_OK(rip_channel_peer(c, &peer));
    CHECK_INT(peer.pid, ==, a.pid);
    CHECK_INT(peer.uid, ==, geteuid());
    CHECK_INT(peer.gid, ==, getegid());
    int fd = rip_channel_peer_fd(c);
    CHECK_OK(fd);
    CHECK(is_cloexec(fd));
    struct pollfd p = { .fd = fd, .events = POLLIN };
    CHECK_INT(poll(&p, 1, 0), ==, 0);
    player_kill(&a);
    CHECK_INT(poll(&p, 1, 0), ==, 1);
    close(fd);
    check_end(c);
    rip_channel_free(c);
    rip_listener_free(l);
}

TEST(who_the_other_side_is_can_be_asked)
{
    check_peer_of_child();
}

TEST(who_the_other_side_is_can_be_asked_before_6_5)
{
    lack(LACK_PEERPIDFD);
    check_peer_of_child();
}

TEST(the_listener_can_be_asked_for_too)
{
    struct rip_channel_peer peer;
    struct ends e = new_pair();
    rip_listener *l = listen_as("x");
    rip_channel *c = connect_to("x");
    CHECK_OK(rip_channel_peer(c, &peer));
    CHECK_INT(peer.pid, ==, getpid());
    CHECK_OK(rip_channel_peer(e.a, &peer));
    CHECK_INT(peer.pid, ==, getpid());
    rip_channel_free(c);
    rip_listener_free(l);
    free_ends(&e);
}

/* An abstract socket by its whole name, as a program has that is not ours. */
static int foreign_socket(int type, const char *name, bool listens)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    socklen_t len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    strcpy(a.sun_path + 1, name);
    const struct sockaddr *address = (const void *)&a;
    if (listens)
        CHECK(bind(fd, address, len) == 0 && listen(fd, 10) == 0);
    else
        CHECK(connect(fd, address, len) == 0);
    return fd;
}

static char whole_name[100];
static atomic_int *ready;

static void be_another_user(void)
{
    snprintf(whole_name, sizeof whole_name, "ripstop-channel/%u/x",
             (unsigned)geteuid());
    CHECK_INT(setuid(65534), ==, 0);
}

static int intrude(void *arg)
{
    (void)arg;
    be_another_user();
    int fd = foreign_socket(SOCK_SEQPACKET, whole_name, false);
    char byte;
    return read(fd, &byte, 1) == 0 ? 0 : 1;
}

TEST(another_user_is_turned_away)
{
    struct player a;
    rip_channel *none = NULL;
    if (geteuid() != 0)
        SKIP("only root can be another user");
    rip_listener *l = listen_as("x");
    player_start(&a, PROCESSES, intrude, NULL);
    struct pollfd p = { .fd = rip_listener_fd(l), .events = POLLIN };
    CHECK_INT(poll(&p, 1, -1), ==, 1);
    CHECK_ERR(rip_listener_accept(&none, l, RIP_NOW), -ETIMEDOUT);
    CHECK_INT(player_end(&a), ==, 0);
    rip_channel *c = connect_to("x"), *d = accept_from(l);
    rip_channel_free(c);
    rip_channel_free(d);
    rip_listener_free(l);
}

static int squat(void *arg)
{
    be_another_user();
    (void)foreign_socket(SOCK_SEQPACKET, whole_name, true);
    atomic_store((atomic_int *)arg, 1);
    return pause();
}

TEST(another_user_s_name_is_not_taken_for_ours)
{
    struct player a;
    rip_channel *c = NULL;
    if (geteuid() != 0)
        SKIP("only root can be another user");
    ready = board(sizeof *ready);
    player_start(&a, PROCESSES, squat, ready);
    until_at_least(ready, 1);
    CHECK_ERR(rip_channel_connect(&c, "x", NULL, RIP_FOREVER), -EPERM);
    CHECK(!c);
    player_kill(&a);
}

static const struct rip_channel_options all_users = { .any_user = true };

static int visit(void *arg)
{
    rip_channel *c;
    (void)arg;
    CHECK_INT(setuid(65534), ==, 0);
    if (rip_channel_connect(&c, "open", &all_users, rip_after(10)) < 0)
        return 1;
    return rip_channel_send(c, "hello", 5, rip_after(10)) < 0 ? 2 : 0;
}

TEST(on_request_another_user_is_let_in)
{
    struct player a;
    struct rip_channel_peer peer;
    rip_listener *l;
    rip_channel *c;
    if (geteuid() != 0)
        SKIP("only root can be another user");
    CHECK_OK(rip_listener_new(&l, "open", &all_users));
    CHECK_ERR(rip_channel_connect(&c, "open", NULL, RIP_NOW), -ECONNREFUSED);
    player_start(&a, PROCESSES, visit, NULL);
    CHECK_OK(rip_listener_accept(&c, l, rip_after(10)));
    CHECK_OK(rip_channel_peer(c, &peer));
    CHECK_INT(peer.uid, ==, 65534);
    CHECK_STR(hear(c), "hello");
    CHECK_INT(player_end(&a), ==, 0);
    rip_channel_free(c);
    rip_listener_free(l);
}

/* ---- what makes no sense ---------------------------------------------- */

/* A channel whose other side says whatever it likes. */
static rip_channel *with_stranger(int *stranger)
{
    rip_channel *c;
    int fd[2];
    CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), ==, 0);
    CHECK_OK(rip_channel_adopt(&c, fd[0]));
    *stranger = fd[1];
    return c;
}

static void send_raw(int fd, const struct rip__envelope *e, size_t head,
                     size_t body, const int *fds, size_t n)
{
    char data[64] = { 0 };
    struct iovec parts[] = { { (void *)(uintptr_t)e, head }, { data, body } };
    CHECK_OK(rip__os_send(fd, parts, 2, fds, n));
}

/* The next one is thrown away, and then there is one that is well. */
static void check_refused(rip_channel *c, int stranger)
{
    const struct rip__envelope well = { RIP__ENVELOPE_MAGIC, 0, 3 };
    char data[1000];
    int fds[10];
    size_t n = 10;
    send_raw(stranger, &well, sizeof well, 3, NULL, 0);
    CHECK_ERR(rip_channel_receive_fds(c, data, sizeof data, fds, &n, RIP_NOW),
              -EBADMSG);
    CHECK_INT(rip_channel_receive(c, data, 3, RIP_NOW), ==, 3);
}

TEST(what_is_no_message_is_thrown_away)
{
    static const struct {
        struct rip__envelope e;
        size_t head, body;
    } cases[] = {
        { { RIP__ENVELOPE_MAGIC, 0, 3 }, 1, 0 },
        { { RIP__ENVELOPE_MAGIC, 0, 3 }, sizeof(struct rip__envelope) - 1, 0 },
        { { RIP__ENVELOPE_MAGIC + 1, 0, 3 }, sizeof(struct rip__envelope), 3 },
        { { RIP__ENVELOPE_MAGIC, 0, 2 }, sizeof(struct rip__envelope), 3 },
        { { RIP__ENVELOPE_MAGIC, 0, 4 }, sizeof(struct rip__envelope), 3 },
        { { RIP__ENVELOPE_MAGIC, 1, 3 }, sizeof(struct rip__envelope), 3 },
        { { RIP__ENVELOPE_MAGIC, 0, UINT64_MAX },
          sizeof(struct rip__envelope),
          3 },
        { { RIP__ENVELOPE_MAGIC, UINT32_MAX, 3 },
          sizeof(struct rip__envelope),
          3 },
    };
    struct rip_channel_next next;
    int stranger;
    rip_channel *c = with_stranger(&stranger);
    for (size_t i = 0; i < RIP__LENGTH(cases); i++) {
        harness_note("case %zu", i);
        send_raw(stranger, &cases[i].e, cases[i].head, cases[i].body, NULL, 0);
        check_refused(c, stranger);
    }
    for (size_t i = 2; i < 4; i++) {
        send_raw(stranger, &cases[i].e, cases[i].head, 3, NULL, 0);
        CHECK_ERR(rip_channel_next(c, &next, RIP_NOW), -EBADMSG);
        CHECK_ERR(rip_channel_next(c, &next, RIP_NOW), -ETIMEDOUT);
    }
    close(stranger);
    rip_channel_free(c);
}

/* Memory that is not what it is said to be, as the rest of a message: 100
 * bytes, of which 3 come through the socket. */
static int memory(size_t size, unsigned seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    CHECK_INT(fcntl(fd, F_ADD_SEALS, seals), ==, 0);
    return fd;
}

TEST(memory_that_can_be_changed_or_is_none_is_refused)
{
    const unsigned all =
        F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    const struct rip__envelope e = { RIP__ENVELOPE_MAGIC, 0, 100 };
    int stranger, pipes[2];
    rip_channel *c = with_stranger(&stranger);
    CHECK_INT(pipe2(pipes, O_CLOEXEC), ==, 0);
    int fds[] = { memory(97, all & ~(unsigned)F_SEAL_SHRINK),
                  memory(97, all & ~(unsigned)F_SEAL_WRITE),
                  memory(97, 0),
                  memory(96, all),
                  memory(98, all),
                  pipes[0],
                  pipes[1],
                  memory(97, all) };
    for (size_t i = 0; i < RIP__LENGTH(fds) - 1; i++) {
        harness_note("case %zu", i);
        send_raw(stranger, &e, sizeof e, 3, &fds[i], 1);
        check_refused(c, stranger);
    }
    char data[100];
    send_raw(stranger, &e, sizeof e, 3, &fds[RIP__LENGTH(fds) - 1], 1);
    CHECK_INT(rip_channel_receive(c, data, sizeof data, RIP_NOW), ==, 100);
    for (size_t i = 0; i < RIP__LENGTH(fds); i++)
        close(fds[i]);
    close(stranger);
    rip_channel_free(c);
}

TEST(descriptors_that_were_not_announced_are_refused)
{
    const struct rip__envelope e = { RIP__ENVELOPE_MAGIC, 1, 3 };
    int stranger, fds[] = { 0, 0 };
    rip_channel *c = with_stranger(&stranger);
    send_raw(stranger, &e, sizeof e, 3, fds, 2);
    check_refused(c, stranger);
    close(stranger);
    rip_channel_free(c);
}

/* ---- deaths ----------------------------------------------------------- */

static struct ends shared;

static int send_and_stay(void *arg)
{
    (void)arg;
    shared.b = rip_channel_free(shared.b);
    say(shared.a, "one");
    send_pattern(shared.a, 100000);
    while (rip_channel_send(shared.a, "x", 1, RIP_FOREVER) == 0)
        ;
    return 0;
}

TEST(of_a_killed_sender_all_that_was_sent_comes_and_then_the_end)
{
    struct player a;
    shared = new_pair();
    player_start(&a, PROCESSES, send_and_stay, NULL);
    shared.a = rip_channel_free(shared.a);
    until_sleeping(a.pid, SYS_ppoll);
    player_kill(&a);
    CHECK_STR(hear(shared.b), "one");
    check_pattern(shared.b, 100000);
    char byte;
    ssize_t r;
    while ((r = rip_channel_receive(shared.b, &byte, 1, rip_after(10))) == 1)
        CHECK_INT(byte, ==, 'x');
    CHECK_ERR(r, -EPIPE);
    check_end(shared.b);
    free_ends(&shared);
}

static int receive_and_stay(void *arg)
{
    (void)arg;
    shared.a = rip_channel_free(shared.a);
    while (strcmp(hear(shared.b), "stay") != 0)
        ;
    return pause();
}

static int send_until_told(void *arg)
{
    int r;
    (void)arg;
    shared.b = rip_channel_free(shared.b);
    while ((r = rip_channel_send(shared.a, "x", 1, RIP_FOREVER)) == 0)
        ;
    return r == -EPIPE ? 0 : 1;
}

TEST(a_sender_that_waits_is_told_of_a_killed_receiver)
{
    struct player a, b;
    shared = new_pair();
    player_start(&a, PROCESSES, receive_and_stay, NULL);
    player_start(&b, PROCESSES, send_until_told, NULL);
    shared.b = rip_channel_free(shared.b);
    say(shared.a, "stay");
    until_sleeping(a.pid, SYS_pause);
    until_sleeping(b.pid, SYS_ppoll);
    player_kill(&a);
    CHECK_INT(player_end(&b), ==, 0);
    check_end(shared.a);
    free_ends(&shared);
}

/* Receives what there is, and dies of its nth system call. */
static int nth;
static bool after;

static int receive_and_die(void *arg)
{
    int fds[2];
    size_t n = 2;
    (void)arg;
    char *data = malloc(100000);
    die_at(nth, after);
    ssize_t r =
        rip_channel_receive_fds(shared.b, data, 100000, fds, &n, RIP_FOREVER);
    die_at(0, false);
    return r == 100000 && n == 2 && is_pattern(data, 100000, 0) ? 1 : 2;
}

/* Whether it came to its end. */
static bool end_or_death(struct player *a)
{
    int status;
    CHECK_INT(waitpid(a->pid, &status, 0), ==, a->pid);
    if (!WIFEXITED(status))
        CHECK_INT(WTERMSIG(status), ==, SIGKILL);
    else
        CHECK_INT(WEXITSTATUS(status), ==, 1);
    return WIFEXITED(status);
}

/* It is there as a whole, or has gone with the receiver; and who comes next
 * does not wait for the dead. */
static void check_after_receiver(int *reader, int *seen)
{
    struct rip_channel_next next;
    if (rip_channel_next(shared.b, &next, RIP_NOW) == 0) {
        check_pipes(shared.b, reader, 2, 100000);
        ++*seen;
    } else {
        for (int i = 0; i < 2; i++) {
            char byte;
            CHECK_INT(read(reader[i], &byte, 1), ==, 0);
            close(reader[i]);
        }
    }
    say(shared.a, "next");
    CHECK_STR(hear(shared.b), "next");
}

TEST_WITH(a_receiver_may_die_of_any_system_call, .deadline = 60)
{
    int seen = 0, deaths = 0;
    for (int i = 0; i < 2; i++) {
        bool ended = false;
        for (nth = 1; !ended; nth++) {
            struct player a;
            int reader[2];
            after = i == 1;
            shared = new_pair();
            send_pipes(shared.a, reader, 2, 100000);
            player_start(&a, PROCESSES, receive_and_die, NULL);
            ended = end_or_death(&a);
            deaths += !ended;
            check_after_receiver(reader, &seen);
            free_ends(&shared);
        }
    }
    CHECK_INT(seen, >=, 3);
    CHECK_INT(deaths, >, seen + 3);
}

static int send_and_die(void *arg)
{
    int zero[2] = { 0, 0 };
    (void)arg;
    shared.b = rip_channel_free(shared.b);
    unsigned char *data = pattern(100000);
    die_at(nth, after);
    int r = rip_channel_send_fds(shared.a, data, 100000, zero, 2, RIP_FOREVER);
    die_at(0, false);
    return r == 0 ? 1 : 2;
}

/* The message as a whole, or nothing, and then the end. */
static void check_after_sender(int *seen)
{
    unsigned char *data = malloc(100000);
    int fds[2];
    size_t n = 2;
    ssize_t r =
        rip_channel_receive_fds(shared.b, data, 100000, fds, &n, rip_after(10));
    if (r != -EPIPE) {
        CHECK_INT(r, ==, 100000);
        CHECK_INT(n, ==, 2);
        CHECK(is_pattern(data, 100000, 0));
        close(fds[0]);
        close(fds[1]);
        ++*seen;
    }
    check_end(shared.b);
    free(data);
}

TEST_WITH(a_sender_may_die_of_any_system_call, .deadline = 60)
{
    int seen = 0, deaths = 0;
    for (int i = 0; i < 2; i++) {
        bool ended = false;
        for (nth = 1; !ended; nth++) {
            struct player a;
            after = i == 1;
            shared = new_pair();
            player_start(&a, PROCESSES, send_and_die, NULL);
            shared.a = rip_channel_free(shared.a);
            ended = end_or_death(&a);
            deaths += !ended;
            check_after_sender(&seen);
            free_ends(&shared);
        }
    }
    CHECK_INT(seen, >=, 3);
    CHECK_INT(deaths, >, seen + 3);
}

static int listen_and_stay(void *arg)
{
    rip_listener *l = listen_as("x");
    (void)l;
    atomic_store((atomic_int *)arg, 1);
    return pause();
}

TEST(a_killed_listener_leaves_nothing)
{
    struct player a;
    rip_channel *c, *none = NULL;
    ready = board(sizeof *ready);
    player_start(&a, PROCESSES, listen_and_stay, ready);
    until_at_least(ready, 1);
    c = connect_to("x");
    say(c, "lost");
    player_kill(&a);
    check_end(c);
    rip_channel_free(c);
    CHECK_ERR(rip_channel_connect(&none, "x", NULL, RIP_NOW), -ECONNREFUSED);
    rip_listener_free(listen_as("x"));
}

static int connect_and_die(void *arg)
{
    (void)arg;
    say(connect_to("x"), "my last words");
    return kill(getpid(), SIGKILL);
}

TEST(of_a_client_that_was_killed_before_the_accept_the_messages_come)
{
    struct player a;
    rip_listener *l = listen_as("x");
    player_start(&a, PROCESSES, connect_and_die, NULL);
    CHECK_INT(waitpid(a.pid, NULL, 0), ==, a.pid);
    rip_channel *c = accept_from(l);
    CHECK_STR(hear(c), "my last words");
    check_end(c);
    rip_channel_free(c);
    rip_listener_free(l);
}

/* ---- several ---------------------------------------------------------- */

enum { MESSAGES = 3000, RECEIVERS = 3 };
static atomic_int *counts;

static int count_messages(void *arg)
{
    int n;
    (void)arg;
    ssize_t r;
    while ((r = rip_channel_receive(shared.b, &n, sizeof n, RIP_FOREVER)) ==
           sizeof n)
        atomic_fetch_add(&counts[n], 1);
    return r == -EPIPE ? 0 : 1;
}

BOTH(several_receive_each_message_once, 60)
{
    struct player a[RECEIVERS];
    counts = board(MESSAGES * sizeof *counts);
    shared = new_pair();
    for (int i = 0; i < RECEIVERS; i++)
        player_start(&a[i], kind, count_messages, NULL);
    for (int n = 0; n < MESSAGES; n++)
        CHECK_OK(rip_channel_send(shared.a, &n, sizeof n, rip_after(20)));
    rip_channel_close(shared.a);
    for (int i = 0; i < RECEIVERS; i++)
        CHECK_INT(player_end(&a[i]), ==, 0);
    for (int n = 0; n < MESSAGES; n++)
        CHECK_INT(atomic_load(&counts[n]), ==, 1);
    free_ends(&shared);
}

/* At whatever moment: it costs at most the one message that it has. */
TEST_WITH(a_receiver_that_is_killed_among_others_holds_up_nobody,
          .deadline = 60)
{
    enum { ROUNDS = 20, KILLED = 100 };
    for (int round = 0; round < ROUNDS; round++) {
        struct player a[2];
        int lost = 0;
        counts = board(MESSAGES * sizeof *counts);
        shared = new_pair();
        for (int i = 0; i < 2; i++)
            player_start(&a[i], PROCESSES, count_messages, NULL);
        for (int n = 0; n < KILLED; n++)
            CHECK_OK(rip_channel_send(shared.a, &n, sizeof n, rip_after(20)));
        player_kill(&a[0]);
        for (int n = KILLED; n < 2 * KILLED; n++)
            CHECK_OK(rip_channel_send(shared.a, &n, sizeof n, rip_after(20)));
        rip_channel_close(shared.a);
        CHECK_INT(player_end(&a[1]), ==, 0);
        for (int n = 0; n < 2 * KILLED; n++) {
            CHECK_INT(atomic_load(&counts[n]), <=, 1);
            lost += atomic_load(&counts[n]) == 0;
        }
        CHECK_INT(lost, <=, 1);
        munmap(counts, MESSAGES * sizeof *counts);
        free_ends(&shared);
    }
}

/* ---- closing ---------------------------------------------------------- */

struct waiter {
    atomic_int tid;
    int (*wait)(void);
};

static int wait_to_receive(void)
{
    return (int)rip_channel_receive(shared.a, NULL, 0, RIP_FOREVER);
}

static int wait_to_send(void)
{
    return rip_channel_send(shared.a, "x", 1, RIP_FOREVER);
}

static int wait_for_the_other(void)
{
    return (int)rip_channel_receive(shared.b, &(char[1]){ 0 }, 1, RIP_FOREVER);
}

static rip_listener *listener;

static int wait_to_accept(void)
{
    rip_channel *c;
    return rip_listener_accept(&c, listener, RIP_FOREVER);
}

static int wait_in(void *arg)
{
    struct waiter *w = arg;
    atomic_store(&w->tid, (int)syscall(SYS_gettid));
    return w->wait();
}

static void start_waiter(struct player *a, struct waiter *w)
{
    player_start(a, THREADS, wait_in, w);
    until_at_least(&w->tid, 1);
    until_sleeping(w->tid, SYS_ppoll);
}

TEST(a_close_ends_the_waits_of_other_threads)
{
    struct waiter w[3] = { { 0, wait_to_receive },
                           { 0, wait_to_send },
                           { 0, wait_to_receive } };
    struct player a[3];
    shared = new_pair();
    fill(shared.a);
    for (int i = 0; i < 3; i++)
        start_waiter(&a[i], &w[i]);
    rip_channel_close(shared.a);
    for (int i = 0; i < 3; i++)
        CHECK_INT(player_end(&a[i]), ==, -EPIPE);
    check_end(shared.a);
    free_ends(&shared);
}

TEST(a_close_is_the_end_for_the_other_side)
{
    struct waiter w = { 0, wait_for_the_other };
    struct player a;
    shared = new_pair();
    start_waiter(&a, &w);
    rip_channel_close(shared.a);
    CHECK_INT(player_end(&a), ==, -EPIPE);
    free_ends(&shared);

    shared = new_pair();
    say(shared.a, "last");
    say(shared.b, "words");
    rip_channel_close(shared.a);
    rip_channel_close(shared.a);
    CHECK_STR(hear(shared.b), "last");
    CHECK_STR(hear(shared.a), "words");
    check_end(shared.b);
    check_end(shared.a);
    free_ends(&shared);
}

TEST(a_close_of_a_listener_ends_the_waits)
{
    struct waiter w = { 0, wait_to_accept };
    struct player a;
    rip_channel *c = NULL;
    rip_listener *second = NULL;
    listener = listen_as("x");
    start_waiter(&a, &w);
    rip_listener_close(listener);
    CHECK_INT(player_end(&a), ==, -EPIPE);
    CHECK_ERR(rip_listener_accept(&c, listener, RIP_FOREVER), -EPIPE);
    CHECK_ERR(rip_channel_connect(&c, "x", NULL, RIP_NOW), -ECONNREFUSED);
    CHECK_ERR(rip_listener_new(&second, "x", NULL), -EADDRINUSE);
    rip_listener_free(listener);
}

static int be_stopped(void *arg)
{
    static int (*const wait[])(void) = { wait_to_receive, wait_to_send,
                                         wait_to_accept };
    rip_channel *c;
    (void)arg;
    for (size_t i = 0; i < RIP__LENGTH(wait); i++)
        if (wait[i]() != -ECANCELED)
            return (int)i + 1;
    if (rip_channel_connect(&c, "nobody", NULL, RIP_FOREVER) != -ECANCELED)
        return 4;
    return strcmp(hear(shared.b), "x") == 0 ? 0 : 5;
}

TEST(a_stop_ends_a_wait_and_nothing_else)
{
    rip_task *t;
    struct rip_exit end;
    shared = new_pair();
    listener = listen_as("x");
    fill(shared.a);
    CHECK_OK(rip_task_start(&t, be_stopped, NULL, NULL));
    rip_task_stop(t);
    CHECK_OK(rip_task_join(t, &end, rip_after(10)));
    CHECK_INT(end.code, ==, 0);
    rip_task_free(t);
    rip_listener_free(listener);
    free_ends(&shared);
}

/* ---- faults ----------------------------------------------------------- */

static bool is_clean(ssize_t r)
{
    static const int clean[] = { EMFILE,       ENFILE, ENOMEM,       EPIPE,
                                 ETIMEDOUT,    EACCES, ECONNREFUSED, EADDRINUSE,
                                 ETOOMANYREFS, EIO,    ENOSYS };
    for (size_t i = 0; i < RIP__LENGTH(clean); i++)
        if (r == -clean[i])
            return true;
    return r >= 0;
}

static void talk(rip_channel *a, rip_channel *b)
{
    static unsigned char data[100000];
    int zero = 0, fds[1];
    size_t n = 1;
    ssize_t r =
        rip_channel_send_fds(a, data, sizeof data, &zero, 1, rip_after(5));
    CHECK(is_clean(r));
    if (r < 0)
        return;
    r = rip_channel_receive_fds(b, data, sizeof data, fds, &n, rip_after(1));
    CHECK(is_clean(r));
    if (r >= 0) {
        CHECK_INT(r, ==, sizeof data);
        CHECK_INT(n, ==, 1);
        close(fds[0]);
    }
}

static void use(void *ctx)
{
    struct ends e = { NULL, NULL };
    rip_listener *l = NULL;
    (void)ctx;
    CHECK(is_clean(rip_channel_pair(&e.a, &e.b, NULL)));
    if (e.a)
        talk(e.a, e.b);
    free_ends(&e);
    e = (struct ends){ NULL, NULL };
    CHECK(is_clean(rip_listener_new(&l, "faulty", NULL)));
    if (l)
        CHECK(is_clean(
            rip_channel_connect(&e.a, "faulty", NULL, rip_after_ms(50))));
    if (e.a)
        CHECK(is_clean(rip_listener_accept(&e.b, l, rip_after(1))));
    if (e.b)
        CHECK(is_clean(rip_channel_send(e.b, "x", 1, RIP_NOW)));
    if (e.b) {
        int fd = rip_channel_peer_fd(e.b);
        CHECK(is_clean(fd) || fd == -EINVAL);
        rip__os_close(fd);
    }
    free_ends(&e);
    rip_listener_free(l);
}

TEST_WITH(every_fault_is_survived, .deadline = 120)
{
    CHECK_INT(fault_sweep(use, NULL, NULL), >, 40);
}
