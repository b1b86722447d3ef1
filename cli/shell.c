/* SPDX-License-Identifier: MIT */
/*
 * Scripts for sh(1). "gzip <{} >{.}.gz" becomes the argv
 *
 *     /bin/sh -c 'gzip <"${1}" >"${2}".gz' sh INPUT STEM
 *
 * A parameter's value is not parsed again by the shell, whatever is in it.
 * So a wrong guess here could split a value at its blanks, but never run it.
 * To keep it in one piece the quoting around each placeholder is followed:
 *
 *     unquoted     {}     "${1}"
 *     "..."        {}     ${1}
 *     '...'        {}     '"${1}"'
 *
 * Two places are refused: the text of a here-document, where quotes mean
 * themselves, and $((...)), where some shells evaluate the value of a value.
 */
#include "template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "text.h"

/* What the shell is inside of, innermost last: each is named by what opened
 * it. The bottom is the script itself. */
enum context {
    IN_COMMANDS,  /* $( and the bottom */
    IN_PARENS,    /* ( in commands or arithmetic, of which it takes the kind */
    IN_BACKQUOTE, /* ` */
    IN_DOUBLE,    /* " */
    IN_SINGLE,    /* ' */
    IN_BRACES,    /* ${, quoted as what it stands in */
    IN_ARITHMETIC /* $(( or (( */
};

enum heredoc {
    HEREDOC_NONE,
    HEREDOC_BEGINS, /* << was seen: its text begins with the next line */
    HEREDOC_TEXT    /* where it ends is not followed */
};

struct shell {
    unsigned char *stack;
    size_t depth;
    enum heredoc heredoc;
    bool comment;
    bool escaped;  /* a backslash was the last character */
    char last;     /* the character before */
    unsigned less; /* how many "<" came just before */
};

static void push(struct shell *sh, enum context c)
{
    sh->stack = must_resize(sh->stack, sh->depth + 1);
    sh->stack[sh->depth++] = (unsigned char)c;
}

static void pop(struct shell *sh)
{
    if (sh->depth > 1)
        sh->depth--;
}

static enum context top(const struct shell *sh)
{
    return (enum context)sh->stack[sh->depth - 1];
}

/* The context that decides how text is quoted: parentheses and braces are as
 * what they stand in. */
static enum context quoting(const struct shell *sh)
{
    size_t i = sh->depth - 1;

    while (sh->stack[i] == IN_PARENS || sh->stack[i] == IN_BRACES)
        i--;
    return (enum context)sh->stack[i];
}

static bool in_commands(const struct shell *sh)
{
    enum context c = quoting(sh);

    return top(sh) != IN_BRACES && (c == IN_COMMANDS || c == IN_BACKQUOTE);
}

static bool is_quoted(const struct shell *sh)
{
    enum context c = quoting(sh);

    return c == IN_DOUBLE || c == IN_ARITHMETIC;
}

static bool begins_word(char last)
{
    return last == '\0' || strchr(" \t\n;&|()`", last) != NULL;
}

/* Inside of a backquote, however deep, a backquote ends it. */
static void backquote(struct shell *sh)
{
    for (size_t i = sh->depth - 1; i > 0; i--) {
        if (sh->stack[i] == IN_BACKQUOTE) {
            sh->depth = i;
            return;
        }
    }
    push(sh, IN_BACKQUOTE);
}

/* "((" is arithmetic in many shells. */
static void open_paren(struct shell *sh)
{
    if (top(sh) == IN_PARENS && sh->last == '(')
        sh->stack[sh->depth - 1] = IN_ARITHMETIC;
    else
        push(sh, IN_PARENS);
}

/* The first of the "))" that ends arithmetic leaves a $( for the second one;
 * and one that stands alone shows that it was $( ( all along. Others than
 * these belong to the patterns of a case. */
static void close_paren(struct shell *sh)
{
    if (top(sh) == IN_ARITHMETIC)
        sh->stack[sh->depth - 1] = IN_COMMANDS;
    else if (top(sh) == IN_PARENS || top(sh) == IN_COMMANDS)
        pop(sh);
}

/* After "$": how many characters of `s` were used. */
static size_t dollar(struct shell *sh, const char *s)
{
    if (s[0] == '{') {
        push(sh, IN_BRACES);
        return 1;
    }
    if (s[0] != '(')
        return 0;
    if (s[1] != '(') {
        push(sh, IN_COMMANDS);
        return 1;
    }
    push(sh, IN_ARITHMETIC);
    return 2;
}

/* A character without special meaning to quotes, which may begin or end
 * something else. */
static void plain(struct shell *sh, char c)
{
    if (c == '(' && top(sh) != IN_DOUBLE && top(sh) != IN_BRACES)
        open_paren(sh);
    else if (c == ')')
        close_paren(sh);
    else if (c == '}' && top(sh) == IN_BRACES)
        pop(sh);
    else if (!in_commands(sh))
        return;
    else if (c == '#' && begins_word(sh->last))
        sh->comment = true;
}

/* Two "<" begin a here-document; three are something else. */
static void count_less(struct shell *sh, char c)
{
    if (c == '<' && !sh->comment && in_commands(sh)) {
        sh->less++;
        return;
    }
    if (sh->less == 2 && sh->heredoc == HEREDOC_NONE)
        sh->heredoc = HEREDOC_BEGINS;
    sh->less = 0;
}

/* Takes one character, or a few: how many. */
static size_t step(struct shell *sh, const char *s)
{
    count_less(sh, *s);
    if (*s == '\n') {
        sh->comment = false;
        if (sh->heredoc == HEREDOC_BEGINS)
            sh->heredoc = HEREDOC_TEXT;
    } else if (sh->comment) {
        return 1;
    } else if (top(sh) == IN_SINGLE) {
        if (*s == '\'')
            pop(sh);
    } else if (*s == '\\') {
        sh->escaped = s[1] == '\0';
        return s[1] ? 2 : 1;
    } else if (*s == '$') {
        return 1 + dollar(sh, s + 1);
    } else if (*s == '`') {
        backquote(sh);
    } else if (*s == '"') {
        if (top(sh) == IN_DOUBLE)
            pop(sh);
        else
            push(sh, IN_DOUBLE);
    } else if (*s == '\'' && !is_quoted(sh)) {
        push(sh, IN_SINGLE);
    } else {
        plain(sh, *s);
    }
    return 1;
}

static void follow(struct shell *sh, const char *s)
{
    if (sh->escaped) {
        sh->escaped = false;
        s++;
    }
    while (*s) {
        size_t n = step(sh, s);

        /* What a backslash has taken begins no comment. */
        sh->last = s[*s == '\\' ? 0 : n - 1];
        s += n;
    }
}

/* ---- compiling -------------------------------------------------------- */

struct script {
    struct shell shell;
    struct word text;
    unsigned parameter[PIECE_KINDS]; /* its number; 0: not used yet */
    enum piece_kind used[PIECE_KINDS];
    unsigned used_count;
};

static unsigned parameter_of(struct script *s, enum piece_kind kind)
{
    if (s->parameter[kind] == 0) {
        s->used[s->used_count++] = kind;
        s->parameter[kind] = s->used_count;
    }
    return s->parameter[kind];
}

static bool placeholder_allowed(const struct shell *sh, enum piece_kind kind)
{
    if (sh->heredoc == HEREDOC_TEXT) {
        complain("a placeholder can not stand after the beginning of a "
                 "here-document; assign it to a variable before");
        return false;
    }
    if (quoting(sh) == IN_ARITHMETIC && kind != PIECE_NUMBER) {
        complain("a placeholder other than {#} can not stand inside ((...)), "
                 "where it would be evaluated");
        return false;
    }
    return true;
}

static bool add_placeholder(struct script *s, enum piece_kind kind)
{
    struct shell *sh = &s->shell;
    const char *form = "\"${%u}\"";
    char text[16];
    int n;

    count_less(sh, '"');
    if (!placeholder_allowed(sh, kind))
        return false;
    if (top(sh) == IN_SINGLE)
        form = "'\"${%u}\"'";
    else if (is_quoted(sh))
        form = "${%u}";
    /* A backslash before a placeholder must not take effect on what the
     * placeholder becomes. In quotes it means itself, else nothing. */
    if (sh->escaped && is_quoted(sh))
        word_add_text(&s->text, "\\", 1);
    else if (sh->escaped)
        s->text.pieces[0].len--;
    sh->escaped = false;
    sh->last = '"';
    n = snprintf(text, sizeof text, form, parameter_of(s, kind));
    word_add_text(&s->text, text, (size_t)n);
    return true;
}

static bool add_word(struct script *s, const struct word *w)
{
    for (size_t i = 0; i < w->count; i++) {
        const struct piece *p = &w->pieces[i];

        if (p->kind != PIECE_TEXT) {
            if (!add_placeholder(s, p->kind))
                return false;
        } else if (p->len > 0) {
            follow(&s->shell, p->text);
            word_add_text(&s->text, p->text, p->len);
        }
    }
    return true;
}

static void word_free(struct word *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->pieces[i].text);
    free(w->pieces);
    *w = (struct word){ 0 };
}

/* Replaces the words of the template by the argv of the shell. */
static void install(struct template *t, struct script *s)
{
    static const char *const start[] = { "/bin/sh", "-c" };

    for (size_t i = 0; i < t->count; i++)
        word_free(&t->words[i]);
    t->count = 0;
    for (size_t i = 0; i < 2; i++)
        word_add_text(template_add_word(t), start[i], strlen(start[i]));
    *template_add_word(t) = s->text;
    s->text = (struct word){ 0 };
    word_add_text(template_add_word(t), "sh", 2);
    for (unsigned i = 0; i < s->used_count; i++)
        word_add_piece(template_add_word(t), s->used[i]);
}

bool shell_compile(struct template *t)
{
    struct script s = { 0 };
    bool ok = true;

    push(&s.shell, IN_COMMANDS);
    word_add_text(&s.text, "", 0);
    for (size_t i = 0; ok && i < t->count; i++) {
        if (i > 0) {
            follow(&s.shell, " ");
            word_add_text(&s.text, " ", 1);
        }
        ok = add_word(&s, &t->words[i]);
    }
    if (ok)
        install(t, &s);
    free(s.shell.stack);
    word_free(&s.text);
    return ok;
}

bool text_is_script(const char *text)
{
    return strpbrk(text, " \t\n|&;<>()$`\\\"'") != NULL;
}

bool shell_is_syntax(const struct word *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->pieces[i].kind == PIECE_TEXT &&
            text_is_script(w->pieces[i].text))
            return true;
    return false;
}
