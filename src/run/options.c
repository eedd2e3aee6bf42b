/* options.c - a table-driven command line: `--key value`, `--key=value`, flags and lists of files. */
#include "options.h"

#include <string.h>

/* ---- making ------------------------------------------------------------------------------------------------------ */

tare_options *tare_options_new(const char *name, const char *about) {
    tare_options *o = tare_calloc(1, sizeof *o);
    if (!o) { return NULL; }
    size_t prefix = strlen(TARE_DESCRIBE);
    o->name = name;
    o->about = strncmp(about, TARE_DESCRIBE, prefix) == 0 ? about + prefix : about;
    if (o->about[0] == '-') { o->about++; } /* keeps it off the list of programs */
    return o;
}

void tare_options_free(tare_options *o) {
    if (!o) { return; }
    for (int i = 0; i < o->count; i++) { tare_free(o->option[i].owned); }
    tare_free(o->text);
    tare_free(o);
}

tare__option_entry *tare__option_find(const tare_options *o, const char *name, size_t n) {
    for (int i = 0; i < o->count; i++) {
        const tare_option *row = o->option[i].row;
        if (row->kind != TARE_OPTION_GROUP && strlen(row->name) == n && strncmp(row->name, name, n) == 0) {
            return (tare__option_entry *)&o->option[i];
        }
    }
    return NULL;
}

static tare_status set_fallback(tare__option_entry *e, const char *fallback) {
    e->fallback = fallback;
    if (!fallback) { return TARE_OK; }
    return tare__option_set(e, fallback, "default of --");
}

tare_status tare_options_add(tare_options *o, const tare_option *table, void *values) {
    for (const tare_option *row = table; row->help; row++) {
        if (o->count == TARE__OPTIONS_MAX) { return tare_fail(TARE_EINVAL, "more than %d options", o->count); }
        if (row->kind != TARE_OPTION_GROUP && tare__option_find(o, row->name, strlen(row->name))) {
            return tare_fail(TARE_EEXIST, "option --%s is there already", row->name);
        }
        tare__option_entry *e = &o->option[o->count++];
        *e = (tare__option_entry){ .row = row, .values = values };
        tare_status s = row->kind == TARE_OPTION_GROUP ? TARE_OK : set_fallback(e, row->fallback);
        if (s != TARE_OK) { return s; }
    }
    return TARE_OK;
}

tare_status tare_options_default(tare_options *o, const char *name, const char *text) {
    tare__option_entry *e = tare__option_find(o, name, strlen(name));
    if (!e) { return tare_fail(TARE_ENOENT, "no option --%s", name); }
    return set_fallback(e, text);
}

/* ---- parsing ----------------------------------------------------------------------------------------------------- */

static const char *const built_in[] = { "help", "version", "describe" };
enum { BUILT_IN = sizeof built_in / sizeof built_in[0] };

static tare_status unknown(const tare_options *o, const char *argument, const char *name, size_t n) {
    const char *list[TARE__OPTIONS_MAX + BUILT_IN];
    int64_t count = 0;
    for (int i = 0; i < BUILT_IN; i++) { list[count++] = built_in[i]; }
    for (int i = 0; i < o->count; i++) {
        const tare_option *row = o->option[i].row;
        if (row->kind != TARE_OPTION_GROUP && *row->name) { list[count++] = row->name; }
    }
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(n < 63 ? n : 63), name);
    const char *near = tare_nearest(word, list, count);
    return tare_fail(TARE_EINVAL, "unknown option %.*s%s%s%s", (int)(strcspn(argument, "=")), argument,
                     near ? "; did you mean --" : " (--help lists them all)", near ? near : "", near ? "?" : "");
}

static tare_status ask_text(tare_options *o, const char *which) {
    tare__text t = { 0 };
    if (strcmp(which, "version") == 0) {
        tare__text_format(&t, "tare-%s %s\n", o->name, TARE_VERSION);
    } else if (strcmp(which, "describe") == 0) {
        tare__text_format(&t, "%s\n", o->about);
    }
    tare_free(o->text);
    o->text = strcmp(which, "help") == 0 ? tare__options_help(o) : tare__text_take(&t);
    return o->text ? TARE_OK : TARE_ENOMEM;
}

/* The words from argv[*i] on that belong to a list of files; leaves *i at the last of them. */
static tare_status take_files(tare__option_entry *e, int argc, char **argv, int *i) {
    int first = *i + 1, last = *i;
    while (last + 1 < argc && strncmp(argv[last + 1], "--", 2) != 0) { last++; }
    if (last < first) { return tare_fail(TARE_EINVAL, "--%s needs one %s at least", e->row->name, e->row->what); }
    *i = last;
    e->given = true;
    return tare__option_set_files(e, last - first + 1, (const char *const *)&argv[first]);
}

static tare_status take_words(tare_options *o, int argc, char **argv, int *i) {
    tare__option_entry *e = tare__option_find(o, "", 0);
    if (!e) { return tare_fail(TARE_EINVAL, "unexpected word \"%s\" (options begin with --)", argv[*i]); }
    if (e->given) { return tare_fail(TARE_EINVAL, "\"%s\" stands apart from the other %s", argv[*i], e->row->what); }
    --*i;
    return take_files(e, argc, argv, i);
}

static tare_status take_option(tare_options *o, int argc, char **argv, int *i) {
    const char *name = argv[*i] + 2;
    size_t n = strcspn(name, "=");
    const char *value = name[n] ? name + n + 1 : NULL;
    tare__option_entry *e = n > 0 ? tare__option_find(o, name, n) : NULL;
    if (!e) { return unknown(o, argv[*i], name, n); }
    if (tare__option_is_list(e) && !value) { return take_files(e, argc, argv, i); }
    if (e->row->kind == TARE_OPTION_FLAG && !value) { value = "yes"; }
    if (!value) {
        bool next = *i + 1 < argc && strncmp(argv[*i + 1], "--", 2) != 0;
        if (!next) { return tare_fail(TARE_EINVAL, "--%s needs a value: %s", e->row->name, e->row->what); }
        value = argv[++*i];
    }
    e->given = true;
    return tare__option_set(e, value, "--");
}

static tare__option_entry *plugins_entry(const tare_options *o, const char *word) {
    tare__option_entry *e = NULL;
    if (strncmp(word, "--", 2) == 0) { e = tare__option_find(o, word + 2, strcspn(word + 2, "=")); }
    return e && e->row->kind == TARE_OPTION_PLUGINS ? e : NULL;
}

/* Plugins come before all else, wherever they stand: other options may name what they bring. */
static tare_status take_plugins(tare_options *o, int argc, char **argv) {
    tare_status s = TARE_OK;
    for (int i = 1; i < argc && s == TARE_OK; i++) {
        const tare__option_entry *e = plugins_entry(o, argv[i]);
        if (e && e->given) {
            return tare_fail(TARE_EINVAL, "--%s is there twice; it takes several files", e->row->name);
        }
        if (e) { s = take_option(o, argc, argv, &i); }
    }
    return s;
}

tare_status tare_options_parse(tare_options *o, int argc, char **argv) {
    tare_status read = take_plugins(o, argc, argv);
    if (read != TARE_OK) { return read; }
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (plugins_entry(o, word)) {
            while (!strchr(word, '=') && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0) { i++; }
            continue;
        }
        bool asked = false;
        for (int k = 0; k < BUILT_IN && strncmp(word, "--", 2) == 0; k++) {
            asked = asked || strcmp(word + 2, built_in[k]) == 0;
        }
        if (asked || strcmp(word, "-h") == 0) { return ask_text(o, asked ? word + 2 : "help"); }
        bool option = word[0] == '-' && word[1] != '\0';
        bool dashes = strncmp(word, "--", 2) == 0;
        tare_status s = dashes   ? take_option(o, argc, argv, &i)
                        : option ? unknown(o, word, word + 1, strlen(word + 1))
                                 : take_words(o, argc, argv, &i);
        if (s != TARE_OK) { return s; }
    }
    return TARE_OK;
}

const char *tare_options_text(const tare_options *o) { return o->text; }

bool tare_options_given(const tare_options *o, const char *name) {
    const tare__option_entry *e = tare__option_find(o, name, strlen(name));
    return e && e->given;
}

tare_status tare_options_root(tare_options *o, const char *name) {
    tare__option_entry *e = tare__option_find(o, name, strlen(name));
    if (!e || e->row->kind != TARE_OPTION_STRING) { return tare_fail(TARE_EINVAL, "--%s: no path to root", name); }
    return tare__option_root(e);
}
