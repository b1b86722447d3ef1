/* SPDX-License-Identifier: MIT */

/*
 * The objects under the thread sanitizer, which knows nothing of them but the
 * accesses that they make: the plain memory that they guard must be seen to
 * be handed over in order. In the program's own memory and in a segment.
 *
 * The harness stays out of it, since it looks at threads from outside. The
 * first report ends the program, and with that the count falls short.
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <unistd.h>

#include <ripstop/ripstop.h>
#include <ripstop/task.h>

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "halt_on_error=1:exitcode=66";
}

enum { THREADS = 4, ROUNDS = 2000, SLOTS = 8 };

/* What the threads of a scene share; zeroed before each. */
struct stage {
    rip_lock lock;
    rip_rlock rlock;
    rip_rwlock rwlock;
    rip_cond filled, emptied;
    rip_event event, never;
    rip_sem full, free, permits;
    rip_barrier barrier;
    rip_latch latch;
    rip_once_flag once;
    long count; /* plain, as what users guard is */
    long ring[SLOTS];
    unsigned in, out;
    long parts[THREADS];
};

static struct stage *stage;
static int idle[2]; /* a pipe */

static void demand(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "races: %s\n", what);
    exit(1);
}
#define DEMAND(c) demand((c) != 0, #c)

static void with_lock(long me)
{
    (void)me;
    for (int i = 0; i < ROUNDS; i++) {
        DEMAND(rip_lock_acquire(&stage->lock, RIP_FOREVER) == 0);
        stage->count++;
        rip_lock_release(&stage->lock);
    }
}

static void with_rlock(long me)
{
    (void)me;
    for (int i = 0; i < ROUNDS; i++) {
        DEMAND(rip_rlock_acquire(&stage->rlock, RIP_FOREVER) == 0);
        DEMAND(rip_rlock_acquire(&stage->rlock, RIP_FOREVER) == 0);
        stage->count++;
        rip_rlock_release(&stage->rlock);
        rip_rlock_release(&stage->rlock);
    }
}

static void with_rwlock(long me)
{
    long seen = 0;
    for (int i = 0; i < ROUNDS; i++) {
        bool writes = (i + me) % 4 == 0;
        if (writes) {
            DEMAND(rip_rwlock_write(&stage->rwlock, RIP_FOREVER) == 0);
            stage->count++;
        } else {
            DEMAND(rip_rwlock_read(&stage->rwlock, RIP_FOREVER) == 0);
            DEMAND(stage->count >= seen);
            seen = stage->count;
        }
        rip_rwlock_release(&stage->rwlock);
    }
    stage->parts[me] = seen;
}

static bool has_room(void *arg)
{
    (void)arg;
    return stage->in - stage->out < SLOTS;
}

static bool has_some(void *arg)
{
    (void)arg;
    return stage->in != stage->out;
}

static void put(long value)
{
    DEMAND(rip_lock_acquire(&stage->lock, RIP_FOREVER) == 0);
    DEMAND(rip_cond_wait_for(&stage->emptied, &stage->lock, has_room, NULL,
                             RIP_FOREVER) == 0);
    stage->ring[stage->in++ % SLOTS] = value;
    rip_cond_notify(&stage->filled, 1);
    rip_lock_release(&stage->lock);
}

static long get(void)
{
    DEMAND(rip_lock_acquire(&stage->lock, RIP_FOREVER) == 0);
    DEMAND(rip_cond_wait_for(&stage->filled, &stage->lock, has_some, NULL,
                             RIP_FOREVER) == 0);
    long value = stage->ring[stage->out++ % SLOTS];
    rip_cond_notify_all(&stage->emptied);
    rip_lock_release(&stage->lock);
    return value;
}

static void with_cond(long me)
{
    for (int i = 0; i < ROUNDS / 4; i++)
        if (me % 2 == 0)
            put(i);
        else
            stage->parts[me] += get();
}

/* One producer and one consumer, without a lock. */
static void with_sem(long me)
{
    for (int i = 0; me < 2 && i < ROUNDS; i++) {
        if (me == 0) {
            DEMAND(rip_sem_acquire(&stage->free, RIP_FOREVER) == 0);
            stage->ring[stage->in++ % SLOTS] = i;
            DEMAND(rip_sem_release(&stage->full, 1) == 0);
        } else {
            DEMAND(rip_sem_acquire(&stage->full, RIP_FOREVER) == 0);
            DEMAND(stage->ring[stage->out++ % SLOTS] == i);
            DEMAND(rip_sem_release(&stage->free, 1) == 0);
        }
    }
}

static void with_permit(long me)
{
    (void)me;
    for (int i = 0; i < ROUNDS; i++) {
        DEMAND(rip_sem_acquire(&stage->permits, RIP_FOREVER) == 0);
        stage->count++;
        DEMAND(rip_sem_release(&stage->permits, 1) == 0);
    }
}

static void with_event(long me)
{
    if (me == 0) {
        stage->count = 1;
        rip_event_set(&stage->event);
        return;
    }
    DEMAND(rip_event_wait(&stage->event, RIP_FOREVER) == 0);
    DEMAND(stage->count == 1);
}

/* Together with a descriptor of which nothing ever comes: the helper looks at
 * the words of all, who begin and give up at the same time. */
static void with_wait_any(long me)
{
    const struct rip_wait items[] = {
        { .kind = RIP_WAIT_FD, .events = POLLIN, .u.fd = idle[0] },
        { .kind = RIP_WAIT_EVENT, .u.event = &stage->event },
        { .kind = RIP_WAIT_EVENT, .u.event = &stage->never },
    };
    int r = -ETIMEDOUT;
    for (int i = 0; i < ROUNDS / 20 && r == -ETIMEDOUT; i++)
        r = rip_wait_any(items, 3, rip_time_now() + 200000 * (me + 1));
    if (me == 0) {
        DEMAND(r == -ETIMEDOUT);
        stage->count = 1;
        rip_event_set(&stage->event);
        return;
    }
    DEMAND(rip_wait_any(items, 3, RIP_FOREVER) == 1);
    DEMAND(stage->count == 1);
}

static void with_barrier(long me)
{
    for (int i = 0; i < ROUNDS / 10; i++) {
        stage->parts[me] = i;
        DEMAND(rip_barrier_wait(&stage->barrier, RIP_FOREVER) >= 0);
        for (int other = 0; other < THREADS; other++)
            DEMAND(stage->parts[other] == i);
        DEMAND(rip_barrier_wait(&stage->barrier, RIP_FOREVER) >= 0);
    }
}

static void with_latch(long me)
{
    if (me > 0) {
        /* cppcheck-suppress arrayIndexOutOfBoundsCond */
        stage->parts[me] = me;
        rip_latch_count_down(&stage->latch);
        return;
    }
    DEMAND(rip_latch_wait(&stage->latch, RIP_FOREVER) == 0);
    for (int other = 1; other < THREADS; other++)
        DEMAND(stage->parts[other] == other);
}

static int fill(void *arg)
{
    (void)arg;
    stage->count = 1;
    return 0;
}

static void with_once(long me)
{
    (void)me;
    DEMAND(rip_once(&stage->once, fill, NULL, RIP_FOREVER) >= 0);
    DEMAND(stage->count == 1);
}

/* Each starts tasks, and joins those of the others too. */
static rip_task *tasks[THREADS];

static int add(void *arg)
{
    *(long *)arg += 1;
    return 1;
}

static void with_tasks(long me)
{
    for (int i = 0; i < 50; i++) {
        stage->parts[me] = i;
        DEMAND(rip_task_start(&tasks[me], add, &stage->parts[me], NULL) == 0);
        DEMAND(rip_task_name(tasks[me]) != NULL);
        DEMAND(rip_barrier_wait(&stage->barrier, RIP_FOREVER) >= 0);
        for (long k = 0; k < THREADS; k++) {
            struct rip_exit e;
            if (k % 2)
                rip_task_stop(tasks[k]);
            DEMAND(rip_task_fd(tasks[(me + k) % THREADS]) >= 0);
            DEMAND(rip_task_join(tasks[k], &e, RIP_FOREVER) == 0);
            DEMAND(e.code == 1 && stage->parts[k] == i + 1);
        }
        DEMAND(rip_barrier_wait(&stage->barrier, RIP_FOREVER) >= 0);
        rip_task_free(tasks[me]);
    }
}

static const struct scene {
    const char *name;
    void (*play)(long me);
} scenes[] = {
    { "lock", with_lock },         { "rlock", with_rlock },
    { "rwlock", with_rwlock },     { "cond", with_cond },
    { "sem", with_sem },           { "permits", with_permit },
    { "event", with_event },       { "barrier", with_barrier },
    { "latch", with_latch },       { "once", with_once },
    { "wait_any", with_wait_any }, { "tasks", with_tasks },
};

static const struct scene *playing;

static void *run(void *me)
{
    playing->play((long)me);
    return NULL;
}

static void play(const struct scene *s)
{
    pthread_t threads[THREADS];
    *stage = (struct stage){ 0 };
    rip_sem_init(&stage->full, 0, 0);
    rip_sem_init(&stage->free, SLOTS, 0);
    rip_sem_init(&stage->permits, 1, 1);
    rip_barrier_init(&stage->barrier, THREADS);
    rip_latch_init(&stage->latch, THREADS - 1);
    playing = s;
    for (long i = 0; i < THREADS; i++)
        DEMAND(pthread_create(&threads[i], NULL, run, (void *)i) == 0);
    for (long i = 0; i < THREADS; i++)
        DEMAND(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char *argv[])
{
    (void)argc;
    /* The sanitizer wants memory to lie where it expects it. */
    int now = personality(0xffffffff);
    if (!(now & ADDR_NO_RANDOMIZE) &&
        personality((unsigned)now | ADDR_NO_RANDOMIZE) >= 0)
        execv("/proc/self/exe", argv);
    static struct stage own;
    struct stage *stages[] = { &own, rip_shared_alloc(NULL, sizeof own) };
    const char *places[] = { "own", "shared" };
    size_t n = sizeof scenes / sizeof *scenes;
    DEMAND(stages[1]);
    DEMAND(pipe(idle) == 0);
    printf("1..%zu\n", 2 * n);
    for (size_t i = 0; i < 2 * n; i++) {
        stage = stages[i % 2];
        play(&scenes[i / 2]);
        printf("ok %zu - %s_%s\n", i + 1, scenes[i / 2].name, places[i % 2]);
        fflush(stdout);
    }
    return 0;
}
