/* SPDX-License-Identifier: MIT */
#ifndef RIP_BENCH_H
#define RIP_BENCH_H

/*
 * What all benchmarks share: taking turns, statistics, printing.
 *
 * A benchmark is a table of figures. A figure has two sides, ours and a
 * baseline, that do the same work in different ways. Each side lives in a
 * process of its own, so that what one does to its memory, descriptors or
 * children never reaches the other; and they take turns, A B A B ..., so that
 * whatever else happens on the machine meanwhile happens to both. What counts
 * is the ratio of the two turns of each pair.
 *
 * README.md says how to read what comes out, and how to add to it.
 */

#include <stddef.h>
#include <stdint.h>

struct bench_side {
    /* Called once, in the side's process: makes ready. 0, or bench_fail when
     * this can not be measured here. May be NULL. */
    int (*prepare)(const void *arg);

    /* Takes one sample: the nanoseconds, or bytes, that something took; or
     * bench_fail, for what it takes to fail says nothing. */
    int64_t (*run)(const void *arg);

    const void *arg;
};

/* What samples are printed in; they are taken in nanoseconds, in bytes, or in
 * what is named here. */
enum bench_unit {
    BENCH_NS,
    BENCH_US,
    BENCH_MS,
    BENCH_MIB,
    BENCH_NS_OF_1000, /* nanoseconds that a thousand took: printed for one */
    BENCH_PER_SECOND
};

struct bench_figure {
    const char *name; /* by which it is chosen */
    const char *what; /* a line for the list of figures */
    enum bench_unit unit;
    int pairs;   /* of turns */
    int samples; /* of a turn, whose median stands for it; 1 to 64 */

    /* What the ratio, or ours where there is no baseline, should not exceed;
     * 0: nothing was promised. */
    double goal;

    struct bench_side ours;
    struct bench_side baseline; /* run NULL: there is none */
};

struct bench {
    void (*print_facts)(void); /* what was compared with; may be NULL */
    const struct bench_figure *figures;
    int count;
};

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t bench_now(void);

/* Keeps, as printf(3) would print it, what went wrong; gives -1. */
int bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The path of `name`, which is relative to the folder that this program lies
 * in. */
void bench_path(char *path, size_t cap, const char *name);

/* Figures that are in a file of their own. */
struct bench_topic {
    const struct bench_figure *figures;
    int count;
};

/* As bench_main, with the figures of so many topics. */
int bench_topics(void (*facts)(void), const struct bench_topic *topics, int n,
                 int argc, char **argv);

/* The whole of main: measures the figures that the arguments choose. Returns
 * the exit status: 0 when each goal was reached, 1 when one was missed, 2 when
 * something could not be done. */
int bench_main(const struct bench *b, int argc, char **argv);

#endif
