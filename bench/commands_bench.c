/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>

static void print_versions(void)
{
    char python[64];
    python_version(python, sizeof python);
    printf("# compared with %s%s\n", PEERS, python);
}

/* What a program does before main depends on it: in how many folders it is
 * looked for, how many files of its locale it reads. */
static void set_environment(void)
{
    setenv("PATH",
           "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("LC_ALL", "C", 1);
}

int main(int argc, char **argv)
{
    const struct bench_topic topics[] = { spawn_topic, capture_topic,
                                          communicate_topic, pipeline_topic,
                                          lines_topic };
    set_environment();
    return bench_topics(print_versions, topics, 5, argc, argv);
}
