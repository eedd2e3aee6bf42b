/* option_value.c - one option's value: from text, with errors that say what is allowed, and back to text. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "options.h"
#include "plugin.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tare/norms.h>

static void *place(const tare__option_entry *e) { return e->values + e->row->at; }

static bool has_range(const tare_option *row) { return row->min != 0 || row->max != 0; }

/* "a whole number from 1 to 100", "a number of at least 0" */
static const char *allowed(const tare_option *row, char *buffer, size_t size) {
    const char *what = row->kind == TARE_OPTION_INT ? "a whole number" : "a number";
    tare__number_buf lo, hi;
    if (!has_range(row)) {
        snprintf(buffer, size, "%s", what);
    } else if (isinf(row->max)) {
        snprintf(buffer, size, "%s of at least %s", what, tare__number_text(row->min, &lo));
    } else {
        snprintf(buffer, size, "%s from %s to %s", what, tare__number_text(row->min, &lo),
                 tare__number_text(row->max, &hi));
    }
    return buffer;
}

static tare_status refuse(const tare__option_entry *e, const char *text, const char *source) {
    char buffer[128];
    return tare_fail(TARE_EINVAL, "%s%s: \"%s\" is not allowed; it takes %s", source, e->row->name, text,
                     allowed(e->row, buffer, sizeof buffer));
}

static tare_status set_number(tare__option_entry *e, const char *text, const char *source) {
    const tare_option *row = e->row;
    double x;
    if (!tare__number_parse(text, &x) || (has_range(row) && (x < row->min || x > row->max))) {
        return refuse(e, text, source);
    }
    if (row->kind == TARE_OPTION_REAL) {
        *(double *)place(e) = x;
        return TARE_OK;
    }
    if (x != floor(x) || fabs(x) > 9007199254740992.0) { return refuse(e, text, source); }
    *(int64_t *)place(e) = (int64_t)x;
    return TARE_OK;
}

static tare_status set_flag(tare__option_entry *e, const char *text, const char *source) {
    bool yes = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "no") != 0 && strcmp(text, "false") != 0) {
        return tare_fail(TARE_EINVAL, "%s%s: \"%s\" is not allowed; it takes yes or no", source, e->row->name, text);
    }
    *(bool *)place(e) = yes;
    return TARE_OK;
}

static tare_status check_choice(const tare_option *row, const char *text, const char *source) {
    size_t n = strlen(text);
    char word[64];
    char words[32][64];
    const char *list[32];
    int64_t count = 0;
    for (const char *s = row->what; *s && count < 32;) {
        size_t length = strcspn(s, "|");
        if (length == n && strncmp(s, text, n) == 0) { return TARE_OK; }
        snprintf(word, sizeof word, "%.*s", (int)length, s);
        memcpy(words[count], word, sizeof word);
        list[count] = words[count];
        count++;
        s += length + (s[length] == '|');
    }
    const char *near = tare_nearest(text, list, count);
    return tare_fail(TARE_EINVAL, "%s%s: \"%s\" is not one of %s%s%s%s", source, row->name, text, row->what,
                     near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static tare_status set_string(tare__option_entry *e, const char *text, const char *source) {
    if (!*text) { return tare_fail(TARE_EINVAL, "%s%s needs a value", source, e->row->name); }
    if (e->row->kind == TARE_OPTION_CHOICE) {
        tare_status s = check_choice(e->row, text, source);
        if (s != TARE_OK) { return s; }
    }
    if (e->row->kind == TARE_OPTION_NORM && tare_norm_check(text) != TARE_OK) {
        return tare_fail(TARE_EINVAL, "%s%s: %s", source, e->row->name, tare_error());
    }
    char *copy = tare_strdup(text);
    if (!copy) { return TARE_ENOMEM; }
    tare_free(e->owned);
    e->owned = copy;
    *(const char **)place(e) = copy;
    return TARE_OK;
}

tare_status tare__option_set(tare__option_entry *e, const char *text, const char *source) {
    switch (e->row->kind) {
    case TARE_OPTION_FLAG: return set_flag(e, text, source);
    case TARE_OPTION_INT:
    case TARE_OPTION_REAL: return set_number(e, text, source);
    case TARE_OPTION_STRING:
    case TARE_OPTION_CHOICE:
    case TARE_OPTION_NORM: return set_string(e, text, source);
    case TARE_OPTION_FILES:
    case TARE_OPTION_PLUGINS: return tare__option_set_files(e, 1, &text);
    case TARE_OPTION_GROUP: break;
    }
    return tare_fail(TARE_EINVAL, "%s%s takes no value", source, e->row->name);
}

tare_status tare__option_root(tare__option_entry *e) {
    const char *path = *(const char **)place(e);
    char *full = path ? realpath(path, NULL) : NULL; /* from the C library's own malloc */
    tare_status s = full ? set_string(e, full, "--") : TARE_OK;
    free(full);
    return s;
}

static tare_status set_names(tare__option_entry *e, int64_t count, const char *const *name) {
    size_t table = (size_t)(count + 1) * sizeof(char *), bytes = table;
    for (int64_t i = 0; i < count; i++) { bytes += strlen(name[i]) + 1; }
    const char **list = tare_malloc(bytes);
    if (!list) { return TARE_ENOMEM; }
    char *text = (char *)list + table;
    for (int64_t i = 0; i < count; i++) {
        size_t n = strlen(name[i]) + 1;
        list[i] = memcpy(text, name[i], n);
        text += n;
    }
    list[count] = NULL;
    tare_free(e->owned);
    e->owned = list;
    *(tare_files *)place(e) = (tare_files){ count, list };
    return TARE_OK;
}

/* The same with absolute paths; what is not there keeps the name it was given, for the message that will follow. */
static tare_status set_rooted(tare__option_entry *e, int64_t count, const char *const *name) {
    char **full = tare_calloc((size_t)count + 1, sizeof *full); /* from the C library's own malloc, each */
    const char **list = tare_calloc((size_t)count + 1, sizeof *list);
    for (int64_t i = 0; full && list && i < count; i++) {
        full[i] = realpath(name[i], NULL);
        list[i] = full[i] ? full[i] : name[i];
    }
    tare_status s = full && list ? set_names(e, count, list) : TARE_ENOMEM;
    for (int64_t i = 0; full && i < count; i++) { free(full[i]); }
    tare_free(full);
    tare_free(list);
    return s;
}

/* Opens them all; what is remembered are absolute paths, so that a run can go on from any folder. */
static tare_status set_plugins(tare__option_entry *e, int64_t count, const char *const *name) {
    char *full[TARE_MAX_PLUGINS] = { NULL };
    if (count > TARE_MAX_PLUGINS) {
        return tare_fail(TARE_EINVAL, "--%s: more than %d files", e->row->name, TARE_MAX_PLUGINS);
    }
    tare_status s = TARE_OK;
    int64_t n = 0;
    while (n < count && s == TARE_OK) {
        s = tare_plugin_open(name[n], NULL);
        full[n] = s == TARE_OK ? tare__plugin_path(name[n]) : NULL;
        if (s == TARE_OK && !full[n++]) { s = TARE_ENOMEM; }
    }
    if (s == TARE_OK) { s = set_names(e, n, (const char *const *)full); }
    while (n > 0) { tare_free(full[--n]); }
    return s;
}

tare_status tare__option_set_files(tare__option_entry *e, int64_t count, const char *const *name) {
    if (e->row->kind == TARE_OPTION_PLUGINS) { return set_plugins(e, count, name); }
    return (e->row->flags & TARE_OPTION_ROOTED ? set_rooted : set_names)(e, count, name);
}

void tare__option_text(const tare__option_entry *e, tare__text *t) {
    const void *value = place(e);
    switch (e->row->kind) {
    case TARE_OPTION_FLAG: tare__text_add(t, *(const bool *)value ? "yes" : "no"); break;
    case TARE_OPTION_INT: tare__text_format(t, "%" PRId64, *(const int64_t *)value); break;
    case TARE_OPTION_REAL: tare__text_number(t, *(const double *)value); break;
    case TARE_OPTION_STRING:
    case TARE_OPTION_CHOICE:
    case TARE_OPTION_NORM:
        if (*(const char *const *)value) { tare__text_add(t, *(const char *const *)value); }
        break;
    case TARE_OPTION_FILES:
    case TARE_OPTION_PLUGINS:
    case TARE_OPTION_GROUP: break;
    }
}

bool tare__option_is_list(const tare__option_entry *e) {
    return e->row->kind == TARE_OPTION_FILES || e->row->kind == TARE_OPTION_PLUGINS;
}

const tare_files *tare__option_files(const tare__option_entry *e) { return place(e); }
