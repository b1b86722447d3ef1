// SPDX-License-Identifier: MIT
// boost::interprocess::message_queue, as messages_bench.c loads it.
#include <boost/interprocess/ipc/message_queue.hpp>
#include <cstdio>
#include <unistd.h>

using boost::interprocess::message_queue;

static message_queue *queue;

extern "C" int peer_make(size_t capacity, size_t size);
extern "C" int peer_send(const void *message, size_t len);
extern "C" int peer_receive(void *buffer, size_t cap);

/* Its name is gone at once; who is forked has it still. */
int peer_make(size_t capacity, size_t size)
{
    char name[40];
    snprintf(name, sizeof name, "ripstop-bench-%d", (int)getpid());
    queue = new message_queue(boost::interprocess::create_only, name, capacity,
                              size);
    message_queue::remove(name);
    return 0;
}

int peer_send(const void *message, size_t len)
{
    queue->send(message, len, 0);
    return 0;
}

int peer_receive(void *buffer, size_t cap)
{
    message_queue::size_type got;
    unsigned priority;
    queue->receive(buffer, cap, got, priority);
    return 0;
}
