/* SPDX-License-Identifier: MIT */
#include "template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "text.h"

static const char *const placeholders[PIECE_KINDS] = {
    [PIECE_INPUT] = "{}", [PIECE_STEM] = "{.}",       [PIECE_BASE] = "{/}",
    [PIECE_DIR] = "{//}", [PIECE_BASE_STEM] = "{/.}", [PIECE_NUMBER] = "{#}",
};

/* ---- building --------------------------------------------------------- */

struct word *template_add_word(struct template *t)
{
    t->words = must_resize(t->words, (t->count + 1) * sizeof *t->words);
    t->words[t->count] = (struct word){ 0 };
    return &t->words[t->count++];
}

static struct piece *add_piece(struct word *w, enum piece_kind kind)
{
    w->pieces = must_resize(w->pieces, (w->count + 1) * sizeof *w->pieces);
    w->pieces[w->count] = (struct piece){ .kind = kind };
    return &w->pieces[w->count++];
}

void word_add_piece(struct word *w, enum piece_kind kind)
{
    add_piece(w, kind);
}

void word_add_text(struct word *w, const char *text, size_t len)
{
    struct piece *p = w->count > 0 ? &w->pieces[w->count - 1] : NULL;

    if (!p || p->kind != PIECE_TEXT)
        p = add_piece(w, PIECE_TEXT);
    p->text = must_resize(p->text, p->len + len + 1);
    memcpy(p->text + p->len, text, len);
    p->len += len;
    p->text[p->len] = '\0';
}

struct template *template_free(struct template *t)
{
    if (!t)
        return NULL;
    for (size_t i = 0; i < t->count; i++) {
        for (size_t j = 0; j < t->words[i].count; j++)
            free(t->words[i].pieces[j].text);
        free(t->words[i].pieces);
    }
    free(t->words);
    free(t);
    return NULL;
}

/* ---- parsing ---------------------------------------------------------- */

static enum piece_kind find_placeholder(const char *text, size_t len)
{
    for (int kind = PIECE_INPUT; kind < PIECE_KINDS; kind++)
        if (strlen(placeholders[kind]) == len &&
            !memcmp(placeholders[kind], text, len))
            return (enum piece_kind)kind;
    return PIECE_TEXT;
}

/* The length of "{name}" at `s`, for a name as a placeholder could have it;
 * 0: it is no such thing. */
static size_t braced_name(const char *s)
{
    size_t n = 1 + strspn(s + 1, "abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789_./#%+:-");

    return s[n] == '}' ? n + 1 : 0;
}

/* The length of what is to be left alone at the brace `s`: "{{...}}", which
 * other programs' templates use. */
static size_t double_braced(const char *s)
{
    const char *end;

    if (s[1] != '{')
        return 0;
    end = strstr(s + 2, "}}");
    return end ? (size_t)(end - s) + 2 : 2;
}

/* Takes the brace at `s`: how many bytes were used, or 0 for an error. */
static size_t parse_brace(struct word *w, const char *s)
{
    size_t len = double_braced(s);
    enum piece_kind kind;

    if (len == 0) {
        len = braced_name(s);
        kind = find_placeholder(s, len);
        if (kind != PIECE_TEXT) {
            word_add_piece(w, kind);
            return len;
        }
        if (len > 0) {
            complain("unknown placeholder %s; there are {} {.} {/} {//} {/.} "
                     "{#}, and -I MARK leaves braces alone",
                     shown_part(s, len, 60));
            return 0;
        }
        len = 1;
    }
    word_add_text(w, s, len);
    return len;
}

static bool parse_word(struct word *w, const char *s)
{
    word_add_text(w, "", 0);
    while (*s) {
        size_t len = strcspn(s, "${");

        word_add_text(w, s, len);
        s += len;
        /* "${" begins an expansion of the shell. */
        len = *s == '$' ? 1 + (s[1] == '{') : 0;
        word_add_text(w, s, len);
        if (*s == '{') {
            len = parse_brace(w, s);
            if (len == 0)
                return false;
        }
        s += len;
    }
    return true;
}

static void parse_marked_word(struct word *w, const char *s, const char *mark)
{
    const char *found;

    word_add_text(w, "", 0);
    while ((found = strstr(s, mark))) {
        word_add_text(w, s, (size_t)(found - s));
        word_add_piece(w, PIECE_INPUT);
        s = found + strlen(mark);
    }
    word_add_text(w, s, strlen(s));
}

static bool word_varies(const struct word *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->pieces[i].kind != PIECE_TEXT)
            return true;
    return false;
}

/* An input that is appended to a script must not become a command of its own
 * on the next line. */
static void trim_newlines(struct piece *p)
{
    while (p->len > 0 && p->text[p->len - 1] == '\n')
        p->text[--p->len] = '\0';
}

static bool parse_words(struct template *t, const struct run_options *o)
{
    bool varies = false, shell;

    for (size_t i = 0; i < o->command_len; i++) {
        struct word *w = template_add_word(t);

        if (o->marker)
            parse_marked_word(w, o->command[i], o->marker);
        else if (!parse_word(w, o->command[i]))
            return false;
        varies = varies || word_varies(w);
    }
    shell = o->shell || (t->count == 1 && shell_is_syntax(&t->words[0]));
    if (!varies && shell)
        trim_newlines(&t->words[t->count - 1].pieces[0]);
    if (!varies)
        word_add_piece(template_add_word(t), PIECE_INPUT);
    return !shell || shell_compile(t);
}

struct template *template_parse(const struct run_options *o)
{
    struct template *t = must_alloc(sizeof *t);

    return parse_words(t, o) ? t : template_free(t);
}

bool template_program_is_fixed(const struct template *t)
{
    return !word_varies(&t->words[0]);
}

/* ---- expanding -------------------------------------------------------- */

struct slice {
    const char *text;
    size_t len;
};

static struct slice base_of(struct slice s)
{
    const char *slash = memrchr(s.text, '/', s.len);

    if (slash) {
        s.len -= (size_t)(slash + 1 - s.text);
        s.text = slash + 1;
    }
    return s;
}

static struct slice stem_of(struct slice s)
{
    struct slice base = base_of(s);
    const char *dot = memrchr(base.text, '.', base.len);

    if (dot)
        s.len = (size_t)(dot - s.text);
    return s;
}

static void trim_slashes(struct slice *s)
{
    while (s->len > 1 && s->text[s->len - 1] == '/')
        s->len--;
}

/* As dirname(1) has it. */
static struct slice dir_of(struct slice s)
{
    struct slice base;

    trim_slashes(&s);
    base = base_of(s);
    if (base.len == s.len)
        return (struct slice){ ".", 1 };
    s.len -= base.len;
    trim_slashes(&s);
    return s;
}

/* What stands for a placeholder. `number` is the job's, in digits. */
static struct slice value_of(enum piece_kind kind, const struct item *item,
                             struct slice number)
{
    struct slice input = { item->text, item->len };

    switch (kind) {
    case PIECE_STEM:
        return stem_of(input);
    case PIECE_BASE:
        return base_of(input);
    case PIECE_DIR:
        return dir_of(input);
    case PIECE_BASE_STEM:
        return stem_of(base_of(input));
    case PIECE_NUMBER:
        return number;
    default:
        return input;
    }
}

static struct slice piece_value(const struct piece *p, const struct item *item,
                                struct slice number)
{
    if (p->kind == PIECE_TEXT)
        return (struct slice){ p->text, p->len };
    return value_of(p->kind, item, number);
}

/* Words that are the same in every job are not copied. */
static bool is_shared(const struct word *w)
{
    return w->count == 1 && w->pieces[0].kind == PIECE_TEXT;
}

static size_t word_size(const struct word *w, const struct item *item,
                        struct slice number)
{
    size_t size = 1;

    for (size_t i = 0; i < w->count; i++)
        size += piece_value(&w->pieces[i], item, number).len;
    return size;
}

static char *expand_word(char *to, const struct word *w,
                         const struct item *item, struct slice number)
{
    for (size_t i = 0; i < w->count; i++) {
        struct slice value = piece_value(&w->pieces[i], item, number);

        memcpy(to, value.text, value.len);
        to += value.len;
    }
    *to++ = '\0';
    return to;
}

char **template_expand(const struct template *t, const struct item *item)
{
    size_t pointers = (t->count + 1) * sizeof(char *);
    size_t size = pointers;
    char digits[24];
    struct slice number = { digits, 0 };
    char **argv, *to;

    number.len = (size_t)snprintf(digits, sizeof digits, "%llu",
                                  (unsigned long long)item->number);
    for (size_t i = 0; i < t->count; i++)
        if (!is_shared(&t->words[i]))
            size += word_size(&t->words[i], item, number);
    argv = must_resize(NULL, size);
    to = (char *)argv + pointers;
    for (size_t i = 0; i < t->count; i++) {
        const struct word *w = &t->words[i];

        argv[i] = is_shared(w) ? w->pieces[0].text : to;
        if (!is_shared(w))
            to = expand_word(to, w, item, number);
    }
    argv[t->count] = NULL;
    return argv;
}
