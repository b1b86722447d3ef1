/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    enum { MOST = 64 };
    const struct topic topics[] = { spawn_topic, capture_topic,
                                    communicate_topic, pipeline_topic,
                                    lines_topic };
    struct bench_figure figures[MOST];
    struct bench b = { .print_facts = print_versions, .figures = figures };
    set_environment();
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
        size_t n = (size_t)topics[i].count;
        assert(b.count + topics[i].count <= MOST);
        memcpy(figures + b.count, topics[i].figures, n * sizeof *figures);
        b.count += topics[i].count;
    }
    return bench_main(&b, argc, argv);
}
