/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "python.h"

#include <dlfcn.h>
#include <limits.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ripstop/queue.h>

/*
 * Messages of 64 bytes from so many processes to so many others, which are all
 * there before the time is taken. What is printed is what one message takes,
 * from the word to begin until the last one has been received.
 */
enum { SIZE = 64, CAPACITY = 1024, LARGE = 1 << 20 };

struct carrier {
    int (*make)(size_t capacity, size_t size); /* before the fork; 0 or -1 */
    int (*send)(const void *message, size_t len);
    int (*receive)(void *buffer, size_t cap);
};

struct traffic {
    const struct carrier *carrier;
    int producers, consumers;
    int messages; /* a sample */
    size_t size;
};

/* ---- carriers --------------------------------------------------------- */

static rip_queue *queue;

static int make_queue(size_t capacity, size_t size)
{
    const struct rip_queue_options o = { .capacity = capacity,
                                         .message_size = size };
    int r = rip_queue_new(&queue, &o);
    return r == 0 ? 0 : bench_fail("rip_queue_new: %s", rip_strerror(r));
}

static int put(const void *message, size_t len)
{
    return rip_queue_put(queue, message, len, RIP_FOREVER);
}

static int get(void *buffer, size_t cap)
{
    return rip_queue_get(queue, buffer, cap, RIP_FOREVER) < 0 ? -1 : 0;
}

/* In place: what is in it is not even looked at. */
static int take(void *buffer, size_t cap)
{
    struct rip_message m;
    (void)buffer;
    (void)cap;
    int r = rip_queue_take(queue, &m, RIP_FOREVER);
    if (r == 0)
        rip_queue_done(queue, &m);
    return r;
}

static int end[2];

static int make_pipe(size_t capacity, size_t size)
{
    (void)capacity;
    (void)size;
    return pipe(end) == 0 ? 0 : bench_fail("pipe: %m");
}

static int make_socket(size_t capacity, size_t size)
{
    (void)capacity;
    (void)size;
    return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, end) == 0
               ? 0
               : bench_fail("socketpair: %m");
}

static int write_end(const void *message, size_t len)
{
    return write(end[1], message, len) == (ssize_t)len ? 0 : -1;
}

static int read_end(void *buffer, size_t cap)
{
    return read(end[0], buffer, cap) == (ssize_t)cap ? 0 : -1;
}

static mqd_t posix;

static int make_posix(size_t capacity, size_t size)
{
    char name[40];
    struct mq_attr attr = { .mq_maxmsg = 10, .mq_msgsize = (long)size };
    (void)capacity; /* 10 are the most that are usually allowed */
    snprintf(name, sizeof name, "/ripstop-bench-%d", (int)getpid());
    posix = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
    mq_unlink(name);
    return posix >= 0 ? 0 : bench_fail("mq_open: %m");
}

static int send_posix(const void *message, size_t len)
{
    return mq_send(posix, message, len, 0);
}

static int receive_posix(void *buffer, size_t cap)
{
    return mq_receive(posix, buffer, cap, NULL) == (ssize_t)cap ? 0 : -1;
}

/* One producer and one consumer that guard nothing, and never sleep. */
static struct ring {
    _Alignas(64) atomic_ulong tail;
    _Alignas(64) atomic_ulong head;
    _Alignas(64) unsigned char data[CAPACITY][SIZE];
} * ring;
static unsigned long ours, theirs;

static int make_ring(size_t capacity, size_t size)
{
    (void)capacity;
    (void)size;
    ring = mmap(NULL, sizeof *ring, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return ring != MAP_FAILED ? 0 : bench_fail("mmap: %m");
}

static int send_ring(const void *message, size_t len)
{
    while (ours - theirs == CAPACITY)
        theirs = atomic_load_explicit(&ring->head, memory_order_acquire);
    memcpy(ring->data[ours % CAPACITY], message, len);
    atomic_store_explicit(&ring->tail, ++ours, memory_order_release);
    return 0;
}

static int receive_ring(void *buffer, size_t cap)
{
    while (ours == theirs)
        theirs = atomic_load_explicit(&ring->tail, memory_order_acquire);
    memcpy(buffer, ring->data[ours % CAPACITY], cap);
    atomic_store_explicit(&ring->head, ++ours, memory_order_release);
    return 0;
}

static struct carrier loaded;

static int make_boost(size_t capacity, size_t size)
{
    char path[PATH_MAX];
    bench_path(path, sizeof path, "peer_boost.so");
    if (access(path, F_OK) < 0)
        return bench_fail("built without boost (Debian package libboost-dev)");
    void *library = dlopen(path, RTLD_NOW);
    if (!library)
        return bench_fail("%s", dlerror());
    *(void **)&loaded.make = dlsym(library, "peer_make");
    *(void **)&loaded.send = dlsym(library, "peer_send");
    *(void **)&loaded.receive = dlsym(library, "peer_receive");
    return loaded.make(capacity, size);
}

static int send_boost(const void *message, size_t len)
{
    return loaded.send(message, len);
}

static int receive_boost(void *buffer, size_t cap)
{
    return loaded.receive(buffer, cap);
}

static const struct carrier by_queue = { make_queue, put, get },
                            in_place = { make_queue, put, take },
                            by_pipe = { make_pipe, write_end, read_end },
                            by_socket = { make_socket, write_end, read_end },
                            by_posix = { make_posix, send_posix,
                                         receive_posix },
                            by_ring = { make_ring, send_ring, receive_ring },
                            by_boost = { make_boost, send_boost,
                                         receive_boost };

/* ---- traffic ---------------------------------------------------------- */

/* Of producers, and of consumers: one who is through early may do the turn of
 * another, but nobody takes what is of the next round. */
static int go[2], fetch[2], over[2];

static void tell(int fd)
{
    if (write(fd, "", 1) != 1)
        _exit(1);
}

static void hear(int fd)
{
    char c;
    if (read(fd, &c, 1) != 1)
        _exit(1);
}

static void work(const struct traffic *t, bool produces)
{
    unsigned char *message = calloc(1, t->size);
    int n = t->messages / (produces ? t->producers : t->consumers);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        hear(produces ? go[0] : fetch[0]);
        for (int i = 0; i < n; i++)
            if ((produces ? t->carrier->send(message, t->size)
                          : t->carrier->receive(message, t->size)) < 0)
                _exit(1);
        if (!produces)
            tell(over[1]);
    }
}

static int prepare(const void *arg)
{
    const struct traffic *t = arg;
    if (t->carrier->make(t->size > SIZE ? 16 : CAPACITY, t->size) < 0)
        return -1;
    if (pipe(go) < 0 || pipe(fetch) < 0 || pipe(over) < 0)
        return bench_fail("pipe: %m");
    for (int i = 0; i < t->producers + t->consumers; i++)
        if (fork() == 0)
            work(t, i < t->producers);
    return 0;
}

static int64_t run(const void *arg)
{
    const struct traffic *t = arg;
    int64_t start = bench_now();
    for (int i = 0; i < t->consumers; i++)
        tell(fetch[1]);
    for (int i = 0; i < t->producers; i++)
        tell(go[1]);
    for (int i = 0; i < t->consumers; i++)
        hear(over[0]);
    return (bench_now() - start) * 1000 / t->messages;
}

/* ---- one answer at a time --------------------------------------------- */

static rip_queue *back;
static uint32_t *word; /* whose turn it is */
enum { ROUNDS = 2000 };

static void futex(int op, uint32_t value)
{
    syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

/* Both sleep each time: the other one is given no time to spin. */
static void pass(uint32_t me)
{
    __atomic_store_n(word, 1 - me, __ATOMIC_SEQ_CST);
    futex(FUTEX_WAKE, 1);
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) != me)
        futex(FUTEX_WAIT, 1 - me);
}

static void answer_by_futex(void)
{
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) != 1)
        futex(FUTEX_WAIT, 0);
    for (;;)
        pass(1);
}

static void answer_by_queue(void)
{
    char c[SIZE];
    while (rip_queue_get(queue, c, SIZE, RIP_FOREVER) == SIZE &&
           rip_queue_put(back, c, SIZE, RIP_FOREVER) == 0)
        ;
    _exit(1);
}

static int prepare_answers(const void *arg)
{
    const bool *by_futex = arg;
    word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                -1, 0);
    if (word == MAP_FAILED || make_queue(CAPACITY, SIZE) < 0)
        return bench_fail("no memory");
    back = queue;
    if (make_queue(CAPACITY, SIZE) < 0)
        return -1;
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (*by_futex)
            answer_by_futex();
        else
            answer_by_queue();
    }
    return 0;
}

static int64_t run_answers(const void *arg)
{
    const bool *by_futex = arg;
    char c[SIZE] = { 0 };
    int64_t start = bench_now();
    for (int i = 0; i < ROUNDS; i++) {
        if (*by_futex)
            pass(0);
        else if (rip_queue_put(queue, c, SIZE, RIP_FOREVER) < 0 ||
                 rip_queue_get(back, c, SIZE, RIP_FOREVER) < 0)
            return bench_fail("the queue failed");
    }
    return (bench_now() - start) / ROUNDS;
}

static const bool with_queue = false, with_futex = true;

/* ---- copies ----------------------------------------------------------- */

/* A message of a megabyte is copied into the queue and out of it. */
static int prepare_copies(const void *arg)
{
    (void)arg;
    return 0;
}

static int64_t run_copies(const void *arg)
{
    static unsigned char from[LARGE], to[LARGE], kept[16][LARGE];
    enum { COPIES = 100 };
    (void)arg;
    from[0] = 1;
    int64_t start = bench_now();
    for (int i = 0; i < COPIES; i++) {
        memcpy(kept[i % 16], from, LARGE);
        memcpy(to, kept[i % 16], LARGE);
        __asm__ volatile("" ::"r"(to) : "memory");
    }
    return (bench_now() - start) / COPIES * 1000;
}

/* ---- figures ---------------------------------------------------------- */

/* clang-format off */
#define FLOW(carrier, p, c, n) \
    { prepare, run, &(const struct traffic){ &(carrier), p, c, n, SIZE } }
#define BULK(carrier) \
    { prepare, run, &(const struct traffic){ &(carrier), 1, 1, 200, LARGE } }
/* clang-format on */

static const char *const python_queue[] = { "queue", NULL };

/* Name, what, unit, pairs, samples, goal, ours, baseline. */
static const struct bench_figure figures[] = {
    { "ring", "against a ring that guards nothing", BENCH_NS_OF_1000, 30, 3,
      1 / 0.3, FLOW(by_queue, 1, 1, 400000), FLOW(by_ring, 1, 1, 400000) },
    { "boost", "against boost::interprocess::message_queue", BENCH_NS_OF_1000,
      30, 3, 0.25, FLOW(by_queue, 1, 1, 400000), FLOW(by_boost, 1, 1, 100000) },
    { "boost-2-2", "the same, 2 producers and 2 consumers", BENCH_NS_OF_1000,
      30, 3, 0.5, FLOW(by_queue, 2, 2, 400000), FLOW(by_boost, 2, 2, 100000) },
    { "crowd", "16 and 16 against 2 and 2", BENCH_NS_OF_1000, 30, 3, 2,
      FLOW(by_queue, 16, 16, 400000), FLOW(by_queue, 2, 2, 400000) },
    { "pipe", "against a pipe", BENCH_NS_OF_1000, 30, 3, 0.1,
      FLOW(by_queue, 1, 1, 400000), FLOW(by_pipe, 1, 1, 50000) },
    { "socket", "against a Unix socket that keeps messages apart",
      BENCH_NS_OF_1000, 30, 3, 0.1, FLOW(by_queue, 1, 1, 400000),
      FLOW(by_socket, 1, 1, 50000) },
    { "posix", "against a POSIX message queue", BENCH_NS_OF_1000, 30, 3, 0.1,
      FLOW(by_queue, 1, 1, 400000), FLOW(by_posix, 1, 1, 50000) },
    { "python",
      "against multiprocessing.Queue",
      BENCH_NS_OF_1000,
      20,
      1,
      0.005,
      FLOW(by_queue, 1, 1, 400000),
      { prepare_python, run_python, python_queue } },
    { "answer",
      "there and back, against a futex",
      BENCH_NS,
      30,
      3,
      1.1,
      { prepare_answers, run_answers, &with_queue },
      { prepare_answers, run_answers, &with_futex } },
    { "large",
      "a megabyte through get, against two copies",
      BENCH_NS_OF_1000,
      20,
      3,
      1.25,
      BULK(by_queue),
      { prepare_copies, run_copies, NULL } },
    { "in-place", "a megabyte through take, against get", BENCH_NS_OF_1000, 20,
      3, 0, BULK(in_place), BULK(by_queue) },
};

static void print_versions(void)
{
    char python[64];
    python_version(python, sizeof python);
    printf("# compared with %s\n", python);
}

int main(int argc, char **argv)
{
    const struct bench_topic topic = { figures,
                                       sizeof figures / sizeof *figures };
    return bench_topics(print_versions, &topic, 1, argc, argv);
}
