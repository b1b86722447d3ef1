/* SPDX-License-Identifier: MIT */
#ifndef CLI_LOOP_H
#define CLI_LOOP_H

/* What we wait for: descriptors in an epoll(7) set, each with a note saying
 * what it is. */

#include <stdint.h>

#include <ripstop/base.h>

struct job;

enum watch_kind {
    WATCH_END,    /* a job's process has ended */
    WATCH_OUTPUT, /* there is output of a job */
    WATCH_INPUT,  /* there may be another input */
    WATCH_SIGNAL, /* a signal came */
    WATCH_PRINT   /* there is room for what we print */
};

struct watch {
    enum watch_kind kind;
    struct job *job; /* of the first two */
    int stream;      /* of output: 0 is stdout, 1 stderr */
};

struct loop {
    int fd;
};

/* 0 or a negative errno value. */
int loop_init(struct loop *l);

/* Waits for `events` of `fd` (EPOLLIN ...), which are told with `w`. Where
 * `fd` has been closed the kernel has forgotten it. */
int loop_watch(struct loop *l, int fd, uint32_t events, struct watch *w);

/* The same for one time only; again after it has been told. */
int loop_watch_once(struct loop *l, int fd, uint32_t events, struct watch *w);

#define LOOP_BATCH 64

/* Waits until the deadline: how many of `ret` are filled. */
int loop_wait(struct loop *l, struct watch *ret[LOOP_BATCH], rip_time deadline);

#endif
