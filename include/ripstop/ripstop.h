/* SPDX-License-Identifier: MIT */
#ifndef RIPSTOP_RIPSTOP_H
#define RIPSTOP_RIPSTOP_H

/* All of ripstop, in reading order. */

#include <ripstop/base.h>
#include <ripstop/exit.h>
#include <ripstop/command.h>
#include <ripstop/segment.h>
#include <ripstop/lock.h>
#include <ripstop/rlock.h>
#include <ripstop/rwlock.h>
#include <ripstop/cond.h>
#include <ripstop/once.h>
#include <ripstop/event.h>
#include <ripstop/sem.h>
#include <ripstop/barrier.h>
#include <ripstop/latch.h>
#include <ripstop/queue.h>
#include <ripstop/pipe.h>
#include <ripstop/fifo.h>
#include <ripstop/channel.h>
#include <ripstop/task.h>
#include <ripstop/group.h>
#include <ripstop/wait.h>

#endif
