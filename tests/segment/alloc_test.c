/* SPDX-License-Identifier: MIT */
#include <ripstop/segment.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "harness.h"
#include "segment/layout.h"

#define MIB ((size_t)1 << 20)

static rip_segment *new_segment(size_t size, unsigned members)
{
    const struct rip_segment_options o = { .size = size, .members = members };
    rip_segment *s;
    CHECK_OK(rip_segment_new(&s, &o));
    return s;
}

static struct rip_segment_stats stats_of(rip_segment *s)
{
    struct rip_segment_stats stats;
    rip_segment_stats(s, &stats);
    return stats;
}

static bool is_zero(const unsigned char *p, size_t len)
{
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static void await(pid_t pid, int signal)
{
    int status;
    CHECK_INT(waitpid(pid, &status, 0), ==, pid);
    CHECK_INT(signal ? WTERMSIG(status) : WEXITSTATUS(status), ==, signal);
}

TEST(blocks_of_all_sizes_are_zeroed_aligned_and_apart)
{
    static const size_t sizes[] = { 0,    1,    16,   17,    48,     63,
                                    64,   65,   384,  1000,  1344,   2048,
                                    2049, 4096, 4097, 65536, 131072, 1000000 };
    enum { N = sizeof sizes / sizeof *sizes };
    rip_segment *s = new_segment(16 * MIB, 0);
    for (int round = 0; round < 3; round++) {
        unsigned char *p[4][N];
        for (int k = 0; k < 4; k++)
            for (int i = 0; i < N; i++) {
                p[k][i] = rip_shared_alloc(s, sizes[i]);
                CHECK(p[k][i] != NULL);
                CHECK_INT((uintptr_t)p[k][i] % (sizes[i] < 64 ? 16 : 64), ==,
                          0);
                CHECK(is_zero(p[k][i], sizes[i]));
                memset(p[k][i], 1 + k * N + i, sizes[i]);
            }
        for (int k = 0; k < 4; k++)
            for (int i = 0; i < N; i++) {
                for (size_t at = 0; at < sizes[i]; at++)
                    if (p[k][i][at] != 1 + k * N + i)
                        FAIL("block %d of %zu bytes was written over", k,
                             sizes[i]);
                rip_shared_free(s, p[k][i]);
            }
    }
    CHECK_INT(stats_of(s).damaged, ==, 0);
    rip_segment_close(s);
}

/* All that is freed is there again, for blocks of another size too. */
TEST(a_full_segment_can_be_emptied_and_filled_again)
{
    static const size_t sizes[] = { 16, 2048, 5000, 64, 200000, 700, 4096 };
    rip_segment *s = new_segment(MIB, 0);
    static void *p[70000];
    size_t first = 0;
    for (int round = 0; round < 14; round++) {
        size_t size = sizes[round % 7], n = 0;
        while ((p[n] = rip_shared_alloc(s, size)) != NULL)
            n++;
        CHECK_INT(n * (size < 64 ? 64 : size), >=, MIB / 4);
        if (round == 0)
            first = n;
        if (round == 7)
            CHECK_INT(n, ==, first);
        for (size_t i = 0; i < n; i++)
            rip_shared_free(s, p[round % 2 ? i : n - 1 - i]);
    }
    void *all = rip_shared_alloc(s, MIB);
    CHECK(all != NULL);
    CHECK(rip_shared_alloc(s, 1) == NULL);
    rip_shared_free(s, all);
    CHECK(rip_shared_alloc(s, MIB + 1) == NULL);
    CHECK(rip_shared_alloc(s, SIZE_MAX) == NULL);
    CHECK_INT(stats_of(s).damaged, ==, 0);
    rip_segment_close(s);
}

TEST(what_is_freed_is_used_before_what_is_new)
{
    rip_segment *s = new_segment(4 * MIB, 0);
    static const size_t sizes[] = { 50, 2048, 5000, 200000 };
    for (int i = 0; i < 4; i++) {
        void *p = rip_shared_alloc(s, sizes[i]);
        void *next = rip_shared_alloc(s, sizes[i]);
        rip_shared_free(s, p);
        CHECK(rip_shared_alloc(s, sizes[i]) == p);
        CHECK(next != NULL);
    }
    rip_segment_close(s);
}

/* Whatever the order in which blocks are freed, their units are free, but for
 * one of each size. */
TEST(what_was_used_for_small_blocks_is_free_for_others)
{
    enum { N = 4000 };
    static void *p[N];
    rip_segment *s = new_segment(4 * MIB, 0);
    for (int order = 0; order < 3; order++) {
        for (int i = 0; i < N; i++)
            p[i] = rip_shared_alloc(s, 512);
        CHECK_INT(stats_of(s).used, >=, N * 512);
        for (int i = 0; i < N; i++)
            rip_shared_free(s, p[order == 0   ? i
                                 : order == 1 ? N - 1 - i
                                              : i * 7 % N]);
        CHECK_INT(stats_of(s).used, <=, 4096);
    }
    rip_segment_close(s);
}

static long resident_kib(void *at, size_t size)
{
    static unsigned char there[65536];
    long n = 0;
    CHECK_INT(mincore(at, size, there), ==, 0);
    for (size_t i = 0; i < size / 4096; i++)
        n += there[i] & 1;
    return n * 4;
}

TEST(memory_is_there_when_it_is_allocated_and_goes_when_it_is_freed)
{
    rip_segment *s = new_segment(64 * MIB, 0);
    CHECK_INT(resident_kib(s->base, s->layout.size), <, 64);
    char *p = rip_shared_alloc(s, 32 * MIB);
    CHECK_INT(resident_kib(p, 32 * MIB), ==, 32 * 1024);
    rip_shared_free(s, p);
    CHECK_INT(resident_kib(s->base, s->layout.size), <, 1024);
    CHECK_INT(stats_of(s).used, ==, 0);
    rip_segment_close(s);
}

TEST(what_is_freed_twice_or_is_no_block_is_counted_as_damage)
{
    rip_segment *s = new_segment(MIB, 0);
    char *small = rip_shared_alloc(s, 100), *run = rip_shared_alloc(s, 9000);
    char *other = rip_shared_alloc(s, 100);
    rip_shared_free(s, small + 1);
    rip_shared_free(s, small + 64);
    rip_shared_free(s, run + 64);
    rip_shared_free(s, run + 4096);
    rip_shared_free(s, s->base);
    rip_shared_free(s, s->base + s->layout.size - 1);
    CHECK_INT(stats_of(s).damaged, ==, 6);
    rip_shared_free(s, small);
    rip_shared_free(s, small);
    rip_shared_free(s, run);
    rip_shared_free(s, run);
    CHECK_INT(stats_of(s).damaged, ==, 8);
    rip_shared_free(s, other);
    rip_shared_free(s, NULL);
    CHECK_INT(stats_of(s).damaged, ==, 8);
    rip_segment_close(s);
}

TEST(a_pointer_from_elsewhere_ends_the_program)
{
    rip_segment *s = new_segment(MIB, 0);
    int fd[2];
    char text[200] = "";
    CHECK_INT(pipe(fd), ==, 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        dup2(fd[1], 2);
        rip_shared_free(s, text);
        _exit(0);
    }
    close(fd[1]);
    await(pid, SIGABRT);
    CHECK_INT(read(fd[0], text, sizeof text - 1), >, 0);
    CHECK_STR(text, "ripstop: rip_shared_free: this is not in the segment\n");
    close(fd[0]);
    rip_segment_close(s);
}

TEST(the_programs_own_segment_is_shared_with_forks)
{
    int *p = rip_shared_alloc(NULL, sizeof *p);
    CHECK(p != NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int *q = rip_shared_alloc(NULL, sizeof *q);
        *p = q != NULL && q != p ? 42 : 1;
        rip_shared_free(NULL, q);
        _exit(0);
    }
    await(pid, 0);
    CHECK_INT(*p, ==, 42);
    rip_shared_free(NULL, p);
}

TEST(options_that_are_wrong_are_refused)
{
    rip_segment *s;
    struct rip_segment_options o = { .members = 8192 };
    CHECK_ERR(rip_segment_new(&s, &o), -EINVAL);
    o = (struct rip_segment_options){ .size = SIZE_MAX };
    CHECK_ERR(rip_segment_new(&s, &o), -EINVAL);
    o = (struct rip_segment_options){ .how = RIP_SEGMENT_JOIN };
    CHECK_ERR(rip_segment_new(&s, &o), -EINVAL);
    o = (struct rip_segment_options){ .reserved = { 0, 0, 0, 1 } };
    CHECK_ERR(rip_segment_new(&s, &o), -EINVAL);
}

/* A file that is too large raises SIGXFSZ, not only an error. */
TEST(a_limit_of_the_file_size_is_kept)
{
    rip_segment *s;
    const struct rip_segment_options o = { .size = 64 * MIB };
    struct rlimit limit = { 64 * MIB, RLIM_INFINITY };
    setrlimit(RLIMIT_FSIZE, &limit);
    CHECK_ERR(rip_segment_new(&s, &o), -EFBIG);
    CHECK_OK(rip_segment_new(&s, NULL));
    CHECK_INT(stats_of(s).size, <, 64 * MIB);
    rip_segment_close(s);
}

TEST(a_limit_of_the_address_space_makes_the_default_smaller)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SKIP("sanitizers need the address space");
#endif
    rip_segment *s, *big;
    const struct rip_segment_options o = { .size = 1024 * MIB };
    struct rlimit limit = { 512 * MIB, RLIM_INFINITY };
    setrlimit(RLIMIT_AS, &limit);
    CHECK_ERR(rip_segment_new(&big, &o), -ENOMEM);
    CHECK_OK(rip_segment_new(&s, NULL));
    CHECK_INT(stats_of(s).size, >=, 16 * MIB);
    CHECK(rip_shared_alloc(s, MIB) != NULL);
    rip_segment_close(s);
}

TEST(without_memory_it_gives_null_and_takes_nothing)
{
    rip_segment *s = new_segment(16 * MIB, 0);
    void *p = rip_shared_alloc(s, 100);
    size_t used = stats_of(s).used;
    fault_always(SYS_madvise, EINVAL); /* as before Linux 5.14 */
    fault_always(SYS_fallocate, ENOSPC);
    CHECK(rip_shared_alloc(s, 100) != NULL);
    CHECK(rip_shared_alloc(s, 16) == NULL);
    CHECK(rip_shared_alloc(s, 5000) == NULL);
    CHECK(rip_shared_alloc(s, MIB) == NULL);
    CHECK_INT(stats_of(s).used, ==, used);
    rip_shared_free(s, p);
    rip_segment_close(s);
}

/* Without MADV_POPULATE_WRITE it goes by the descriptor, which may not be ours
 * any more. */
TEST(a_descriptor_that_was_taken_away_is_not_used)
{
    rip_segment *s = new_segment(16 * MIB, 0);
    CHECK(rip_shared_alloc(s, 100) != NULL);
    int other = memfd_create("other", MFD_CLOEXEC), keep = dup(s->fd);
    fault_always(SYS_madvise, EINVAL);
    CHECK(rip_shared_alloc(s, 3000) != NULL);
    dup2(other, s->fd);
    CHECK(rip_shared_alloc(s, 5000) == NULL);
    CHECK_INT(lseek(other, 0, SEEK_END), ==, 0);
    dup2(keep, s->fd);
    close(keep);
    close(other);
    rip_segment_close(s);
}

static void make_and_use(void *ctx)
{
    const struct rip_segment_options o = { .size = MIB };
    rip_segment *s = NULL;
    void *p, *q;
    (void)ctx;
    int r = rip_segment_new(&s, &o);
    CHECK(r == 0 || r == -ENOMEM || r == -EMFILE || r == -ENFILE ||
          r == -ENOSYS || r == -ENOSPC || r == -EPERM || r == -EACCES);
    if (r < 0)
        return;
    p = rip_shared_alloc(s, 100);
    q = rip_shared_alloc(s, 300000);
    if (q)
        CHECK(is_zero(q, 300000));
    rip_shared_free(s, q);
    q = rip_shared_alloc(s, 300000);
    if (q)
        CHECK(is_zero(q, 300000));
    r = rip_segment_get(&q, s, "some", 100);
    CHECK(r == 1 || r == -ENOMEM);
    rip_shared_free(s, p);
    rip_segment_close(s);
}

TEST_WITH(making_and_using_survives_every_fault, .deadline = 60)
{
    CHECK_INT(fault_sweep(make_and_use, NULL, NULL), >, 20);
}

/* ---- deaths ----------------------------------------------------------- */

struct board {
    uint32_t rounds;
    void *kept[64];
};

/* Allocates and frees at random, and says what it has before it has it not. */
static void churn(rip_segment *s, struct board *b, unsigned seed)
{
    for (;;) {
        unsigned i = (unsigned)rand_r(&seed) % 64;
        size_t size = (size_t)1 << rand_r(&seed) % 18;
        void *p = b->kept[i];
        b->kept[i] = NULL;
        rip_shared_free(s, p);
        p = rip_shared_alloc(s, size);
        if (p)
            memset(p, 0xee, size);
        b->kept[i] = p;
        b->rounds++;
    }
}

/* Everything that was kept is freed by us; what is then not free was with
 * those that were killed, in the instant between two stores: one block each.
 * A hundred deaths and it is still a working heap. */
TEST_WITH(killed_anywhere_in_it_nothing_is_spoilt, .deadline = 60)
{
    rip_segment *s = new_segment(16 * MIB, 0);
    struct board *b = rip_shared_alloc(s, sizeof *b);
    int n = harness_rounds(100);
    for (int i = 0; i < n; i++) {
        uint32_t before = b->rounds;
        pid_t pid = fork();
        if (pid == 0)
            churn(s, b, (unsigned)i);
        while (__atomic_load_n(&b->rounds, __ATOMIC_RELAXED) <
               before + 5 + (unsigned)(i * 7 % 50))
            ;
        kill(pid, SIGKILL);
        await(pid, SIGKILL);
        for (int k = 0; k < 8; k++) {
            unsigned char *p = rip_shared_alloc(s, 3000);
            CHECK(p != NULL);
            CHECK(is_zero(p, 3000));
            rip_shared_free(s, p);
        }
    }
    CHECK_INT(stats_of(s).damaged, ==, 0);
    for (int i = 0; i < 64; i++)
        rip_shared_free(s, b->kept[i]);
    CHECK_INT(stats_of(s).damaged, ==, 0);
    rip_segment_close(s);
}

/* A run that was claimed by one who died while clearing it. */
TEST(what_the_dead_had_claimed_is_free)
{
    rip_segment *s = new_segment(MIB, 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct rip__work w;
        CHECK_OK(rip__heap_enter(&w, s));
        CHECK_INT(rip__heap_claim(&w, 200), >=, 0);
        rip__heap_leave(&w);
        raise(SIGKILL);
    }
    await(pid, SIGKILL);
    void *p = rip_shared_alloc(s, MIB);
    CHECK(p != NULL);
    rip_shared_free(s, p);
    rip_segment_close(s);
}

/* In the middle, and with the map not yet as the words are. */
TEST(one_who_died_with_the_heap_is_followed)
{
    rip_segment *s = new_segment(MIB, 0);
    char *keep = rip_shared_alloc(s, 100000);
    memset(keep, 7, 100000);
    pid_t pid = fork();
    if (pid == 0) {
        struct rip__work w;
        CHECK_OK(rip__heap_enter(&w, s));
        memset(w.map, 0, w.top);
        raise(SIGKILL);
    }
    await(pid, SIGKILL);
    char *p = rip_shared_alloc(s, 500000);
    CHECK(p != NULL);
    CHECK(p >= keep + 100000 || p + 500000 <= keep);
    CHECK_INT(keep[99999], ==, 7);
    rip_shared_free(s, p);
    rip_shared_free(s, keep);
    CHECK_INT(stats_of(s).damaged, ==, 0);
    rip_segment_close(s);
}

static void free_after_a_death(bool polled)
{
    rip_segment *s = new_segment(MIB, 0);
    char *small = rip_shared_alloc(s, 100), *run = rip_shared_alloc(s, 300000);
    CHECK(small && run);
    CHECK_INT(rip__slot(s->domain, 1)->polled, ==, polled);
    size_t used = stats_of(s).used;
    pid_t pid = fork();
    if (pid == 0) {
        struct rip__work w;
        CHECK_OK(rip__heap_enter(&w, s));
        raise(SIGKILL);
    }
    await(pid, SIGKILL);
    rip_shared_free(s, small);
    rip_shared_free(s, run);
    CHECK_INT(stats_of(s).used, <, used - 299999);
    CHECK_INT(stats_of(s).damaged, ==, 0);
    rip_segment_close(s);
}

TEST(who_only_frees_follows_the_dead_as_well)
{
    free_after_a_death(false);
}

static long (*real)(long nr, const long args[6]);

static long without_robust_lists(long nr, const long args[6])
{
    return nr == SYS_get_robust_list ? -ENOSYS : real(nr, args);
}

/* Whose death no word in memory tells. */
TEST(and_where_the_kernel_has_to_be_asked)
{
    real = rip__seam.syscall;
    rip__seam.syscall = without_robust_lists;
    free_after_a_death(true);
    rip__seam.syscall = real;
}

static bool name_it_and_die(struct rip__work *w, void *block, void *arg)
{
    struct rip_segment *s = w->s;
    struct rip__name *e = (void *)(s->base + s->layout.names_at);
    (void)arg;
    strcpy(e->name, "it");
    e->size = 100;
    e->key = (uint64_t)((unsigned char *)block - s->base);
    s->header->names_used = 1;
    raise(SIGKILL);
    return true;
}

TEST(a_name_whose_object_was_never_finished_is_forgotten)
{
    static const size_t sizes[] = { 100, 10000 };
    void *p;
    for (int i = 0; i < 2; i++) {
        rip_segment *s = new_segment(MIB, 0);
        pid_t pid = fork();
        if (pid == 0) {
            struct rip__work w;
            CHECK_OK(rip__heap_enter(&w, s));
            rip__block_new(&w, sizes[i], name_it_and_die, NULL);
        }
        await(pid, SIGKILL);
        CHECK_INT(rip_segment_get(&p, s, "it", 100), ==, 1);
        CHECK_INT(rip_segment_get(&p, s, "it", 100), ==, 0);
        rip_segment_close(s);
    }
}

TEST_WITH(several_allocate_at_once, .deadline = 60)
{
    enum { PROCESSES = 4 };
    rip_segment *s = new_segment(64 * MIB, 0);
    pid_t pid[PROCESSES];
    for (int k = 0; k < PROCESSES; k++) {
        pid[k] = fork();
        if (pid[k] != 0)
            continue;
        unsigned char *p[50] = { NULL };
        unsigned seed = (unsigned)k;
        for (int i = 0; i < 20000; i++) {
            int at = rand_r(&seed) % 50;
            size_t size = (size_t)rand_r(&seed) % 6000;
            if (p[at] && p[at][0] != k + 1)
                _exit(1);
            rip_shared_free(s, p[at]);
            p[at] = rip_shared_alloc(s, size);
            if (!p[at] || !is_zero(p[at], size))
                _exit(2);
            p[at][0] = (unsigned char)(k + 1);
        }
        for (int i = 0; i < 50; i++)
            rip_shared_free(s, p[i]);
        _exit(0);
    }
    for (int k = 0; k < PROCESSES; k++)
        await(pid[k], 0);
    CHECK_INT(stats_of(s).damaged, ==, 0);
    CHECK_INT(stats_of(s).used, <=, 14 * 4096);
    rip_segment_close(s);
}

/* Whatever a neighbour writes, we neither crash nor hang, and what is given
 * lies in the segment. */
TEST_WITH(scribbles_lead_nowhere, .deadline = 60)
{
    int n = harness_rounds(300);
    for (int i = 0; i < n; i++) {
        rip_segment *s = new_segment(MIB, 16);
        unsigned seed = (unsigned)i;
        void *p[40];
        for (int k = 0; k < 40; k++)
            p[k] = rip_shared_alloc(s, (size_t)k * 150);
        void *named;
        CHECK_INT(rip_segment_get(&named, s, "it", 100), ==, 1);
        const size_t from[] = { 192, s->layout.names_at, s->layout.units_at,
                                s->layout.map_at };
        for (int k = 0; k < 200; k++) {
            size_t at = from[rand_r(&seed) % 4] + (size_t)rand_r(&seed) % 3000;
            if (at >= 192 && at < 200)
                continue; /* the lock's word: a living holder is waited for */
            s->base[at] = (unsigned char)rand_r(&seed);
        }
        s->header->heap.disordered = (unsigned)i % 2;
        for (int k = 0; k < 40; k++) {
            rip_shared_free(s, p[k]);
            char *q = rip_shared_alloc(s, (size_t)k * 150);
            size_t at = q ? (size_t)((unsigned char *)q - s->base) : 0;
            CHECK(!q || (at >= s->layout.data_at &&
                         at + (size_t)k * 150 <= s->layout.size));
        }
        struct rip_segment_report *r;
        if (rip_segment_inspect(&r, s) == 0)
            rip_segment_report_free(r);
        (void)!rip_segment_get(&named, s, "it", 100);
        rip_segment_close(s);
    }
}

TEST(a_full_slot_table_gives_null)
{
    rip_segment *s = new_segment(MIB, 2);
    pid_t pid[2];
    int fd[2], sum = 0;
    CHECK(rip_shared_alloc(s, 10) != NULL);
    CHECK_INT(pipe(fd), ==, 0);
    for (int k = 0; k < 2; k++) {
        pid[k] = fork();
        if (pid[k] == 0) {
            char result = rip_shared_alloc(s, 10) ? '+' : '-';
            CHECK_INT(write(fd[1], &result, 1), ==, 1);
            pause();
        }
        char result;
        CHECK_INT(read(fd[0], &result, 1), ==, 1);
        sum += result;
    }
    CHECK_INT(sum, ==, '+' + '-');
    CHECK_INT(stats_of(s).members, ==, 2);
    CHECK_INT(stats_of(s).members_max, ==, 2);
    for (int k = 0; k < 2; k++) {
        kill(pid[k], SIGKILL);
        await(pid[k], SIGKILL);
    }
    /* The places of the dead are to be had. */
    pid[0] = fork();
    if (pid[0] == 0)
        _exit(rip_shared_alloc(s, 10) ? 0 : 1);
    await(pid[0], 0);
    close(fd[0]);
    close(fd[1]);
    rip_segment_close(s);
}
