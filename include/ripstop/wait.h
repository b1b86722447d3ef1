/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_WAIT_H
#define RIPSTOP_WAIT_H

/*
 * <ripstop/wait.h>: the first of several things.
 *
 *     struct rip_wait items[] = {
 *         { .kind = RIP_WAIT_COMMAND, .u.command = build },
 *         { .kind = RIP_WAIT_COMMAND, .u.command = test },
 *         { .kind = RIP_WAIT_FD, .events = POLLIN, .u.fd = listener },
 *         { .kind = RIP_WAIT_TASK, .u.task = worker },
 *         { .kind = RIP_WAIT_EVENT, .u.event = &reload },
 *         { .kind = RIP_WAIT_QUEUE, .u.queue = requests },
 *     };
 *     int i = rip_wait_any(items, 6, rip_after(60));
 *     if (i == 2)
 *         accept_one(listener);
 *     else if (i == 3)
 *         rip_task_join(worker, &end, RIP_FOREVER);
 *     ...
 */

#include <poll.h> /* POLLIN, POLLOUT */
#include <stddef.h>

#include <ripstop/base.h>
#include <ripstop/command.h>
#include <ripstop/event.h>
#include <ripstop/queue.h>
#include <ripstop/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is waited for. Numbers that are not here are for what is still to
 * come. */
enum rip_wait_kind {
    RIP_WAIT_NONE = 0,    /* nothing: an item that is passed over */
    RIP_WAIT_TASK = 1,    /* until the task has ended */
    RIP_WAIT_COMMAND = 2, /* until the command has ended */
    RIP_WAIT_QUEUE = 3,   /* until a get would not block */
    RIP_WAIT_EVENT = 4,   /* until the event is set */
    RIP_WAIT_FD = 6       /* until one of `events` can be done with it */
};

struct rip_wait {
    enum rip_wait_kind kind;
    short events; /* of an fd: POLLIN, POLLOUT, or both, as of poll(2) */
    union {
        rip_task *task;
        rip_command *command;
        rip_queue *queue;
        rip_event *event;
        int fd;
    } u;
};

/*
 * Waits until one of the items is ready, and gives its index: the first of
 * them, if several are. It takes nothing: the same item is ready again at the
 * next call, until it is dealt with. What has been dealt with for good is
 * made a RIP_WAIT_NONE, so that the others keep their index:
 *
 *     rip_command_wait(items[i].u.command, &end, RIP_FOREVER);
 *     items[i].kind = RIP_WAIT_NONE;
 *
 * A task or command is ready from its end on, whoever has waited for it by
 * then. An event is ready while it is set, and if it was set while this waited,
 * though it was cleared again at once. A queue is ready when a get would not
 * block: there is a message, or the end, or an error; but another may be
 * faster, so get it with RIP_NOW. A descriptor is ready, too, when its other
 * end is gone or it has an error, as poll(2) has it; those of a command's
 * streams (rip_command_pipe), of pipes, channels and listeners (rip_pipe_fd,
 * rip_channel_fd, rip_listener_fd) are waited for so. The same thing may be in
 * several items.
 *
 *     -ETIMEDOUT  none was ready by the deadline
 *     -ECANCELED  none is ready, and the calling task is to stop
 *     -EINVAL     an item of an unknown kind, a task, command, queue or event
 *                 that is NULL, a negative or closed descriptor, one without
 *                 events; or with RIP_FOREVER nothing but RIP_WAIT_NONE, which
 *                 would wait for ever
 *     -EMFILE     there are more tasks, commands and descriptors than this
 *                 process may have open files (RLIMIT_NOFILE): poll(2) refuses
 *                 them; or a task has none yet (see rip_task_fd), and can get
 *                 none
 *     -ENFILE, -ECHILD
 *                 of a task, as of rip_task_fd
 *     -ENOMEM
 *
 * A caller that always begins with the first item may never come to the last
 * when the first is always ready: begin elsewhere in turn, or deal with all
 * that are ready (call it with RIP_NOW on the rest).
 *
 * Blocks until the deadline at the longest. What a call costs grows with the
 * number of items: for thousands of them over and over, an epoll(7) of one's
 * own on rip_command_fd is cheaper.
 *
 * Events and queues are words of memory, on which one can not sleep in poll(2).
 * Up to 127 of them alone are slept on as they are. Together with anything else
 * they are watched by a helper, the one thread that this library has for
 * itself: called rip-wait, with all signals blocked, started by the first wait
 * that needs it, and asleep in between. A process that was forked begins
 * without it. Where words can not be slept on so (no thread can be had, more
 * than 127 of them in all such waits, Linux before 5.16) they are looked at
 * every 20 milliseconds; and 200 milliseconds is the most that it takes to see
 * one whose setter was killed before it could wake anybody, or what came back
 * to a queue by a death.
 *
 * Thread-safe. No other thread may free what is waited for meanwhile.
 */
RIP_API RIP_CHECK_RESULT int rip_wait_any(const struct rip_wait *items,
                                          size_t n, rip_time deadline);

#ifdef __cplusplus
}
#endif

#endif
