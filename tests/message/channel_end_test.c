/* SPDX-License-Identifier: MIT */
#include <ripstop/channel.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ripstop/task.h>

#include "harness.h"
#include "message/channel.h"
#include "message/ends.h"
#include "message/talk.h"
#include "sync/world.h"

/* ---- deaths ----------------------------------------------------------- */

static struct ends shared;
static atomic_int *ready;

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
