/* SPDX-License-Identifier: MIT */
#ifndef RIP_TESTS_MESSAGE_TALK_H
#define RIP_TESTS_MESSAGE_TALK_H

/* What the tests of channels share. All of it has to work, unless it says
 * otherwise. */

#include <stddef.h>

#include <ripstop/channel.h>

struct ends {
    rip_channel *a, *b;
};

struct ends new_pair(void);
void free_ends(struct ends *e);

rip_listener *listen_as(const char *name);
rip_channel *connect_to(const char *name);
rip_channel *accept_from(rip_listener *l);

/* Texts, for short. */
void say(rip_channel *c, const char *text);
const char *hear(rip_channel *c); /* static memory */

/* There is nothing more to come, and nobody who receives. */
void check_end(rip_channel *c);

/* Sends until there is no room: how many there was room for. */
int fill(rip_channel *c);

/* A message of pattern(), which is looked at in each way. */
void send_pattern(rip_channel *c, size_t size);
void check_pattern(rip_channel *c, size_t size);

/* Sends the writing ends of n pipes, of which reader[i] is the other; and
 * receives them, in this order, and closes both. */
void send_pipes(rip_channel *c, int *reader, size_t n, size_t len);
void check_pipes(rip_channel *c, const int *reader, size_t n, size_t len);

#endif
