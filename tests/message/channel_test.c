/* SPDX-License-Identifier: MIT */
#include <ripstop/channel.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ripstop/wait.h>

#include "fault.h"
#include "harness.h"
#include "message/channel.h"
#include "message/ends.h"
#include "message/talk.h"

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

TEST(a_message_may_be_of_any_length)
{
    static const size_t sizes[] = {
        RIP__INLINE_MAX - 1,         RIP__INLINE_MAX,
        RIP__INLINE_MAX + 1,         (size_t)3 * RIP__INLINE_MAX,
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

/* As of a user without privileges, who has as many on their way as he may have
 * open. */
TEST(too_many_descriptors_on_their_way_are_an_error)
{
    struct ends e = new_pair();
    int reader[2];
    fault_once(SYS_sendmsg, ETOOMANYREFS);
    CHECK_ERR(rip_channel_send_fds(e.a, "x", 1, &(int){ 0 }, 1, RIP_FOREVER),
              -ETOOMANYREFS);
    send_pipes(e.a, reader, 2, 5);
    check_pipes(e.b, reader, 2, 5);
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
