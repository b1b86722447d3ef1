/* SPDX-License-Identifier: MIT */
#include "sync.h"

int main(int argc, char **argv)
{
    const struct bench_topic topics[] = { alone_topic, crowd_topic, relay_topic,
                                          death_topic };
    return bench_topics(NULL, topics, 4, argc, argv);
}
