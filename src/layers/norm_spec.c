/* norm_spec.c - norm specs: "gn:8", "bn:batch=4,eps=1e-3". Read here and nowhere else, and written back. */
#include "norm_spec.h"
#include "number.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const tare_norm_kind *const kinds[] = {
#define NORM(name) &tare__norm_##name,
#include "norms.def"
#undef NORM
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const tare_norm_kind *tare_norm_kind_at(int index) { return index >= 0 && index < (int)KINDS ? kinds[index] : NULL; }

static const tare_norm_kind *find_kind(const char *name, size_t size) {
    for (int i = 0; i < (int)KINDS; i++) {
        if (strlen(kinds[i]->name) == size && strncmp(kinds[i]->name, name, size) == 0) { return kinds[i]; }
    }
    return NULL;
}

const tare_norm_kind *tare_norm_kind_find(const char *name) { return name ? find_kind(name, strlen(name)) : NULL; }

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* norm "bn:eps=x": at "x": <what is wrong> */
TARE_PRINTF(3, 4)
static tare_status fail_at(const char *spec, const char *at, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!*at) { return tare_fail(TARE_EINVAL, "norm \"%s\" ends too soon: %s", spec, text); }
    return tare_fail(TARE_EINVAL, "norm \"%s\", character %d (\"%s\"): %s", spec, (int)(at - spec) + 1, at, text);
}

static tare_status unknown_kind(const char *spec, const char *at) {
    char known[256] = "";
    size_t used = 0;
    for (int i = 0; i < (int)KINDS && used < sizeof known; i++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", kinds[i]->name);
    }
    return fail_at(spec, at, "there is no such norm; known: %s", known);
}

static tare_status unknown_option(const char *spec, const char *at, const tare_norm_kind *kind) {
    char known[256] = "";
    size_t used = 0;
    for (const tare_norm_option *o = kind->options; o->key && used < sizeof known; o++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", o->key);
    }
    if (!used) { return fail_at(spec, at, "%s takes no options", kind->name); }
    return fail_at(spec, at, "%s has no such option; it has: %s", kind->name, known);
}

static tare_status bad_value(const char *spec, const char *at, const tare_norm_option *o) {
    char words[96] = "", lo[32] = "", hi[32] = "";
    size_t used = 0;
    for (const char *w = o->words; w && *w && used + 8 < sizeof words; w++) {
        used += (size_t)snprintf(words + used, sizeof words - used, *w == '|' ? " or " : "%c", *w);
    }
    if (o->lo > o->hi) { return fail_at(spec, at, "%s must be %s", o->key, words); }
    tare__number_write(o->lo, lo, sizeof lo);
    tare__number_write(o->hi, hi, sizeof hi);
    return fail_at(spec, at, "%s must be a %snumber in %s..%s%s%s", o->key, o->integer ? "whole " : "", lo, hi,
                   used ? ", or " : "", words);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* The index of a word among "no|yes", or -1. */
static int word_index(const char *words, const char *text, size_t size) {
    for (int index = 0; words && *words; index++) {
        size_t n = strcspn(words, "|");
        if (n == size && strncmp(words, text, n) == 0) { return index; }
        words += n + (words[n] == '|');
    }
    return -1;
}

/* The value of an option from `size` characters. */
static bool read_value(const tare_norm_option *o, const char *text, size_t size, double *value) {
    int word = word_index(o->words, text, size);
    if (word >= 0) {
        *value = o->lo > o->hi ? word : o->initial;
        return true;
    }
    double number;
    if (o->lo > o->hi || size == 0 || tare__number(text, &number) != size) { return false; }
    if (!(number >= o->lo && number <= o->hi) || (o->integer && number != floor(number))) { return false; }
    *value = number;
    return true;
}

static const tare_norm_option *find_option(const tare_norm_kind *kind, const char *key, size_t size) {
    for (const tare_norm_option *o = kind->options; o->key; o++) {
        if (strlen(o->key) == size && strncmp(o->key, key, size) == 0) { return o; }
    }
    return NULL;
}

/* One option at *text; moves on to what follows. `first`: a value may stand without its key. */
static tare_status read_option(const char *spec, const char **text, tare__norm_spec *out, bool first, unsigned *given) {
    const char *at = *text;
    const tare_norm_option *o = NULL;
    size_t size = strcspn(at, ",+");
    const char *equals = memchr(at, '=', size);
    if (equals) {
        o = find_option(out->kind, at, (size_t)(equals - at));
        if (!o) { return unknown_option(spec, at, out->kind); }
        size -= (size_t)(equals + 1 - at);
        at = equals + 1;
    } else if (first && out->kind->options[0].bare) {
        o = out->kind->options;
    } else if (!out->kind->options[0].key) {
        return unknown_option(spec, at, out->kind);
    } else {
        return fail_at(spec, at, "an option is written key=value");
    }
    int index = (int)(o - out->kind->options);
    if (*given & 1u << index) { return fail_at(spec, *text, "%s is there twice", o->key); }
    if (!read_value(o, at, size, &out->values[index])) { return bad_value(spec, at, o); }
    *given |= 1u << index;
    *text = at + size;
    return TARE_OK;
}

tare_status tare__norm_parse(const char *spec, tare__norm_spec *out) {
    if (!spec) { return tare_fail(TARE_EINVAL, "the norm is NULL"); }
    const char *at = spec;
    size_t size = strcspn(at, ":,=+");
    tare__norm_spec parsed = { .kind = find_kind(at, size) };
    if (!parsed.kind) { return unknown_kind(spec, at); }
    for (int i = 0; i < TARE_NORM_OPTIONS && parsed.kind->options[i].key; i++) {
        parsed.values[i] = parsed.kind->options[i].initial;
    }
    at += size;
    unsigned given = 0;
    for (bool first = true; *at == (first ? ':' : ','); first = false) {
        at++;
        tare_status status = read_option(spec, &at, &parsed, first, &given);
        if (status) { return status; }
    }
    if (*at) { return fail_at(spec, at, "expected %s", given ? "a comma or the end" : "a colon or the end"); }
    *out = parsed;
    return TARE_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void write_value(const tare_norm_option *o, double value, char *text, size_t size) {
    if (o->lo <= o->hi) {
        tare__number_write(value, text, size);
        return;
    }
    const char *word = o->words;
    for (int i = 0; i < (int)value; i++) { word += strcspn(word, "|") + 1; }
    snprintf(text, size, "%.*s", (int)strcspn(word, "|"), word);
}

tare_status tare_norm_canonical(const char *spec, char *text, size_t size) {
    tare__norm_spec s;
    tare_status status = tare__norm_parse(spec, &s);
    if (status) { return status; }
    char out[512], value[64];
    size_t used = (size_t)snprintf(out, sizeof out, "%s", s.kind->name);
    const char *separator = ":";
    for (int i = 0; i < TARE_NORM_OPTIONS && s.kind->options[i].key; i++) {
        const tare_norm_option *o = &s.kind->options[i];
        if (s.values[i] == o->initial) { continue; }
        write_value(o, s.values[i], value, sizeof value);
        used += (size_t)snprintf(out + used, sizeof out - used, "%s%s%s%s", separator, o->bare ? "" : o->key,
                                 o->bare ? "" : "=", value);
        separator = ",";
    }
    if (used >= size) { return tare_fail(TARE_EINVAL, "norm \"%s\" does not fit %zu characters", spec, size); }
    memcpy(text, out, used + 1);
    return TARE_OK;
}

/* ---- what a program asks ----------------------------------------------------------------------------------------- */

tare_status tare_norm_check(const char *spec) {
    tare__norm_spec s;
    return tare__norm_parse(spec, &s);
}

bool tare_norm_uses_batch(const char *spec) {
    tare__norm_spec s;
    return !tare__norm_parse(spec, &s) && s.kind->uses_batch;
}

int64_t tare_norm_batch(const char *spec, int64_t batch) {
    tare__norm_spec s;
    if (tare__norm_parse(spec, &s) || !s.kind->uses_batch) { return 1; }
    for (int i = 0; i < TARE_NORM_OPTIONS && s.kind->options[i].key; i++) {
        int64_t each = (int64_t)s.values[i];
        if (strcmp(s.kind->options[i].key, "batch") == 0 && each > 0 && each < batch) { return each; }
    }
    return batch;
}

tare_layer *tare_norm_layer(tare_params *ps, const char *name, const char *spec, tare_shape features) {
    tare__norm_spec s;
    if (!ps || tare_params_status(ps)) { return NULL; }
    tare_status status = tare__norm_parse(spec, &s);
    if (status) { return tare_params_fail(ps, status, "%s", tare_error()); }
    return s.kind->make(ps, name ? name : s.kind->name, features, s.values);
}
