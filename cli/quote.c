/* SPDX-License-Identifier: MIT */
#include "quote.h"

#include <string.h>

static bool is_plain(const char *word)
{
    return *word && word[strspn(word, "abcdefghijklmnopqrstuvwxyz"
                                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789_@%+=:,./-")] == '\0';
}

/* As the first word these would not be the name of a program: reserved words,
 * and what a shell takes for an assignment. */
static bool is_special_first(const char *word)
{
    static const char *const reserved[] = {
        "case",   "coproc", "do",   "done",     "elif",  "else",
        "esac",   "fi",     "for",  "function", "if",    "in",
        "select", "then",   "time", "until",    "while",
    };

    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (!strcmp(word, reserved[i]))
            return true;
    return strchr(word, '=') != NULL;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* How many bytes at `s` can stand in single quotes as they are. */
static size_t quotable(const char *s, bool terminal)
{
    size_t n = 0;

    while (s[n] && s[n] != '\'' && !(terminal && is_control(s[n])))
        n++;
    return n;
}

static void quote_word(FILE *to, const char *s, bool terminal)
{
    if (!*s)
        fputs("''", to);
    while (*s) {
        size_t n = quotable(s, terminal);

        if (n > 0) {
            putc_unlocked('\'', to);
            fwrite(s, 1, n, to);
            putc_unlocked('\'', to);
        } else if (*s == '\'') {
            fputs("\\'", to);
            n = 1;
        } else {
            fprintf(to, "$'\\%03o'", (unsigned)*s);
            n = 1;
        }
        s += n;
    }
}

void quote_command(FILE *to, char *const *argv, bool terminal)
{
    for (size_t i = 0; argv[i]; i++) {
        if (i > 0)
            putc_unlocked(' ', to);
        if (is_plain(argv[i]) && !(i == 0 && is_special_first(argv[i])))
            fputs(argv[i], to);
        else
            quote_word(to, argv[i], terminal);
    }
    putc_unlocked('\n', to);
}
