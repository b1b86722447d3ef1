/* SPDX-License-Identifier: MIT */
#ifndef CLI_TEMPLATE_H
#define CLI_TEMPLATE_H

/* The command with its placeholders, from which each job's argv is made. */

#include <stdbool.h>
#include <stddef.h>

#include "args.h"
#include "input.h"

enum piece_kind {
    PIECE_TEXT,
    PIECE_INPUT,     /* {}   the input */
    PIECE_STEM,      /* {.}  without its last extension */
    PIECE_BASE,      /* {/}  without its directory */
    PIECE_DIR,       /* {//} its directory */
    PIECE_BASE_STEM, /* {/.} without directory and last extension */
    PIECE_NUMBER,    /* {#}  the job's number */
    PIECE_KINDS
};

/* A part of a word: literal text, or a placeholder. */
struct piece {
    enum piece_kind kind;
    char *text; /* PIECE_TEXT: malloc'ed; ends with a NUL */
    size_t len;
};

struct word {
    struct piece *pieces;
    size_t count;
};

struct template
{
    struct word *words;
    size_t count;
};

/* NULL: the command is wrong, and a message has been written. */
struct template *template_parse(const struct run_options *o);

struct template *template_free(struct template *t);

/* Whether all jobs run the same program. */
bool template_program_is_fixed(const struct template *t);

/* The argv of the job for `item`: to be freed in one piece, before `t`. */
char **template_expand(const struct template *t, const struct item *item);

/* Building blocks, for shell.c. */
struct word *template_add_word(struct template *t);
void word_add_text(struct word *w, const char *text, size_t len);
void word_add_piece(struct word *w, enum piece_kind kind);

/*
 * Turns the words of a template, joined by blanks, into a script for sh(1).
 * The values do not become part of the script: each placeholder becomes a
 * positional parameter of it, so that no value is ever parsed as code. false:
 * a placeholder stands where that can not be, and a message has been written.
 */
bool shell_compile(struct template *t);

/* Whether a text, and whether the text of a word, has characters that mean
 * something to the shell wherever they stand. */
bool text_is_script(const char *text);
bool shell_is_syntax(const struct word *w);

#endif
