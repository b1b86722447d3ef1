/* SPDX-License-Identifier: MIT */
#include "explain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "template.h"
#include "text.h"

/* The longest word of a command that did not fit into the kernel's limits. */
static size_t longest_word(char *const *argv)
{
    size_t longest = 0;

    for (; *argv; argv++)
        if (strlen(*argv) > longest)
            longest = strlen(*argv);
    return longest;
}

static void explain_length(char *const *argv, char *to, size_t cap)
{
    size_t limit = 32 * (size_t)sysconf(_SC_PAGESIZE) - 1;
    size_t longest = longest_word(argv);

    if (longest > limit)
        snprintf(to, cap, "an argument of %zu bytes is too long, %zu is most",
                 longest, limit);
    else
        snprintf(to, cap, "arguments and environment are too long together");
}

static bool is_directory(const char *path)
{
    struct stat st;

    return strchr(path, '/') && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The interpreter that a script names behind "#!", as far as the kernel reads
 * it; false: it is no script. */
static bool find_interpreter(const char *path, char *ret, size_t cap)
{
    char line[256];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    const char *name;

    if (fd >= 0)
        close(fd);
    if (n < 2 || memcmp(line, "#!", 2) != 0)
        return false;
    line[n] = '\0';
    name = line + 2 + strspn(line + 2, " \t");
    snprintf(ret, cap, "%.*s", (int)strcspn(name, " \t\n"), name);
    return true;
}

void explain_start(char *const *argv, const struct rip_failure *failure,
                   int code, char *to, size_t cap)
{
    bool exec = !strcmp(failure->step, "exec");
    char interpreter[256];

    if (code == -E2BIG)
        explain_length(argv, to, cap);
    else if (exec && code == -EACCES && is_directory(argv[0]))
        snprintf(to, cap, "exec \"%s\": is a directory", shown(argv[0]));
    else if (exec && code == -ENOENT && text_is_script(argv[0]))
        snprintf(to, cap,
                 "exec \"%s\": no such file or directory; a script with words "
                 "after it needs --shell",
                 shown(argv[0]));
    else if (!strcmp(failure->step, "interpreter") &&
             find_interpreter(failure->subject, interpreter,
                              sizeof interpreter))
        snprintf(to, cap, "exec \"%s\": its interpreter \"%s\" is missing",
                 shown(failure->subject), shown(interpreter));
    else
        rip_failure_format(failure, to, cap);
}
