/* SPDX-License-Identifier: MIT */
#include <ripstop/channel.h>

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "message/channel.h"
#include "message/ends.h"
#include "message/talk.h"
#include "sync/world.h"

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
    memcpy(a.sun_path + 1, name, strlen(name));
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
