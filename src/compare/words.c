/* words.c - lists of words: splitting a command line, and the values of an axis. */
#include "words.h"

#include <string.h>

static tare_status addn(tare__words *w, const char *word, size_t n) {
    if (w->count + 2 > w->room) {
        int64_t room = w->room ? 2 * w->room : 8;
        char **larger = tare_malloc((size_t)room * sizeof *larger);
        if (!larger) { return tare_fail(TARE_ENOMEM, "out of memory: a list of words"); }
        if (w->count > 0) { memcpy(larger, w->at, (size_t)w->count * sizeof *larger); }
        tare_free(w->at);
        w->at = larger;
        w->room = room;
    }
    char *copy = tare_malloc(n + 1);
    if (!copy) { return tare_fail(TARE_ENOMEM, "out of memory: a word"); }
    memcpy(copy, word, n);
    copy[n] = '\0';
    w->at[w->count++] = copy;
    w->at[w->count] = NULL;
    return TARE_OK;
}

tare_status tare__words_add(tare__words *w, const char *word) { return addn(w, word, strlen(word)); }

tare_status tare__words_copy(tare__words *to, const tare__words *from) {
    tare_status s = TARE_OK;
    for (int64_t i = 0; s == TARE_OK && i < from->count; i++) { s = tare__words_add(to, from->at[i]); }
    return s;
}

void tare__words_free(tare__words *w) {
    for (int64_t i = 0; i < w->count; i++) { tare_free(w->at[i]); }
    tare_free(w->at);
    *w = (tare__words){ 0 };
}

/* ---- a command line ---------------------------------------------------------------------------------------------- */

/* One word from *line on, which is left behind it; false where a quote stays open. */
static bool take_word(const char **line, tare__text *word) {
    const char *s = *line;
    char quote = '\0';
    for (; *s && (quote || !strchr(" \t\n", *s)); s++) {
        if (quote ? *s == quote : *s == '\'' || *s == '"') {
            quote = quote ? '\0' : *s;
        } else if (*s == '\\' && quote != '\'' && s[1]) {
            tare__text_addn(word, ++s, 1);
        } else {
            tare__text_addn(word, s, 1);
        }
    }
    *line = s;
    return !quote;
}

tare_status tare__words_split(tare__words *w, const char *line) {
    tare_status s = TARE_OK;
    for (const char *at = line + strspn(line, " \t\n"); *at && s == TARE_OK; at += strspn(at, " \t\n")) {
        tare__text word = { 0 };
        bool closed = take_word(&at, &word);
        char *text = tare__text_take(&word);
        s = !text    ? tare_fail(TARE_ENOMEM, "out of memory: a word")
            : closed ? tare__words_add(w, text)
                     : tare_fail(TARE_EINVAL, "%s: a quote is not closed", line);
        tare_free(text);
    }
    return s;
}

void tare__words_quoted(const tare__words *w, tare__text *t) {
    for (int64_t i = 0; i < w->count; i++) {
        if (i > 0) { tare__text_add(t, " "); }
        tare__text_quoted(t, w->at[i]);
    }
}

/* ---- values of an axis ------------------------------------------------------------------------------------------- */

/* How much of the text is the next value. */
static size_t value_length(const char *text, char separator) {
    size_t n = strcspn(text, (char[]){ separator, '\0' });
    while (separator == ',' && text[n] == ',') {
        size_t piece = strcspn(text + n + 1, ","), equals = strcspn(text + n + 1, "=,"),
               colon = strcspn(text + n + 1, ":,");
        bool goes_on = equals < piece && equals < colon;
        if (!goes_on) { break; }
        n += 1 + piece;
    }
    return n;
}

static bool has(const tare__words *w, const char *word, size_t n) {
    for (int64_t i = 0; i < w->count; i++) {
        if (strlen(w->at[i]) == n && strncmp(w->at[i], word, n) == 0) { return true; }
    }
    return false;
}

tare_status tare__words_values(tare__words *w, const char *text) {
    char separator = strchr(text, ';') ? ';' : ',';
    tare_status s = TARE_OK;
    for (const char *at = text; s == TARE_OK;) {
        size_t n = value_length(at, separator);
        if (n == 0 && separator == ';' && !at[n] && at > text) { return TARE_OK; } /* "a,b;": one value */
        if (n == 0) { return tare_fail(TARE_EINVAL, "\"%s\": a value is empty", text); }
        if (has(w, at, n)) { return tare_fail(TARE_EINVAL, "\"%s\": %.*s is there twice", text, (int)n, at); }
        s = addn(w, at, n);
        if (!at[n]) { break; }
        at += n + 1;
    }
    return s;
}
