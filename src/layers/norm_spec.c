/* norm_spec.c - norm specs: "gn:8", "bn:batch=4,eps=1e-3". Read here and nowhere else, and written back. */
#include "norm_spec.h"
#include "number.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tare/plugin.h>

static const tare_norm_kind *const kinds[] = {
#define NORM(name) &tare__norm_##name,
#include "norms.def"
#undef NORM
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* The index-th norm among those of all open plugins. */
static const tare_norm_kind *plugin_kind(int index) {
    const tare_plugin *p;
    for (int i = 0; (p = tare_plugin_at(i)); i++) {
        for (int k = 0; p->norms && p->norms[k]; k++) {
            if (index-- == 0) { return p->norms[k]; }
        }
    }
    return NULL;
}

const tare_norm_kind *tare_norm_kind_at(int index) {
    if (index < 0) { return NULL; }
    return index < (int)KINDS ? kinds[index] : plugin_kind(index - (int)KINDS);
}

static const tare_norm_kind *find_kind(const char *name, size_t size) {
    const tare_norm_kind *kind;
    for (int i = 0; (kind = tare_norm_kind_at(i)); i++) {
        if (strlen(kind->name) == size && strncmp(kind->name, name, size) == 0) { return kind; }
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
    const tare_norm_kind *kind;
    for (int i = 0; (kind = tare_norm_kind_at(i)) && used < sizeof known; i++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", kind->name);
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
static tare_status read_option(const char *spec, const char **text, tare__norm_part *out, bool first, unsigned *given) {
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

/* One norm at *text; moves on to what follows. */
static tare_status read_norm(const char *spec, const char **text, tare__norm_part *out) {
    const char *at = *text;
    size_t size = strcspn(at, ":,=+");
    *out = (tare__norm_part){ .kind = find_kind(at, size) };
    if (!out->kind) {
        unknown_kind(spec, at);
        return TARE_EINVAL;
    }
    for (int i = 0; i < TARE_NORM_OPTIONS && out->kind->options[i].key; i++) {
        out->values[i] = out->kind->options[i].initial;
    }
    at += size;
    unsigned given = 0;
    for (bool first = true; *at == (first ? ':' : ','); first = false) {
        at++;
        tare_status status = read_option(spec, &at, out, first, &given);
        if (status) { return status; }
    }
    if (*at && *at != '+') {
        return fail_at(spec, at, "expected %s, a plus or the end", given ? "a comma" : "a colon");
    }
    *text = at;
    return TARE_OK;
}

/* Puts a part where it belongs; `norm` is what the spec has said of activations so far. */
static tare_status place(const char *spec, const char *at, const tare__norm_part *part, tare__norm_spec *out,
                         tare__norm_part *norm, bool *has_norm) {
    if (part->kind->make) {
        if (*has_norm) {
            return fail_at(spec, at, "%s and %s both norm activations", norm->kind->name, part->kind->name);
        }
        *norm = *part;
        *has_norm = true;
        return TARE_OK;
    }
    for (int i = 0; i < out->n; i++) {
        if (out->part[i].kind == part->kind) { return fail_at(spec, at, "%s is there twice", part->kind->name); }
    }
    if (out->n == TARE__NORM_PARTS - 1) { return fail_at(spec, at, "too many norms in one"); }
    out->part[out->n++] = *part;
    return TARE_OK;
}

/* The only place that reads specs. On failure the message shows the spec and, below it, where. */
static tare_status parse_spec(const char *spec, tare__norm_spec *out) {
    if (!spec) { return tare_fail(TARE_EINVAL, "the norm is NULL"); }
    tare__norm_spec parsed = { .n = 0 };
    tare__norm_part norm = { .kind = &tare__norm_none }, part;
    bool has_norm = false;
    for (const char *at = spec;; at++) {
        const char *start = at;
        tare_status status = read_norm(spec, &at, &part);
        if (!status) { status = place(spec, start, &part, &parsed, &norm, &has_norm); }
        if (status) { return status; }
        if (!*at) { break; }
    }
    parsed.part[parsed.n++] = norm;
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

static size_t write_part(const tare__norm_part *part, char *text, size_t size) {
    char value[64];
    size_t used = (size_t)snprintf(text, size, "%s", part->kind->name);
    const char *separator = ":";
    for (int i = 0; i < TARE_NORM_OPTIONS && part->kind->options[i].key; i++) {
        const tare_norm_option *o = &part->kind->options[i];
        if (part->values[i] == o->initial) { continue; }
        write_value(o, part->values[i], value, sizeof value);
        used += (size_t)snprintf(text + used, size - used, "%s%s%s%s", separator, o->bare ? "" : o->key,
                                 o->bare ? "" : "=", value);
        separator = ",";
    }
    return used;
}

tare_status tare_norm_canonical(const char *spec, char *text, size_t size) {
    tare__norm_spec s;
    tare_status status = parse_spec(spec, &s);
    if (status) { return status; }
    char out[TARE__NORM_PARTS * 256]; /* a part's options come to less */
    size_t used = 0;
    for (int i = 0; i < s.n; i++) {
        if (s.n > 1 && s.part[i].kind == &tare__norm_none) { continue; }
        if (used) { out[used++] = '+'; }
        used += write_part(&s.part[i], out + used, sizeof out - used);
    }
    if (used >= size) { return tare_fail(TARE_EINVAL, "norm \"%s\" does not fit %zu characters", spec, size); }
    memcpy(text, out, used + 1);
    return TARE_OK;
}

/* ---- what a program asks ----------------------------------------------------------------------------------------- */

tare_status tare_norm_check(const char *spec) {
    tare__norm_spec s;
    return parse_spec(spec, &s);
}

bool tare_norm_uses_batch(const char *spec) {
    tare__norm_spec s;
    return !parse_spec(spec, &s) && tare__norm_of_activations(&s)->kind->uses_batch;
}

int64_t tare_norm_batch(const char *spec, int64_t batch) {
    if (!tare_norm_uses_batch(spec)) { return 1; }
    tare__norm_spec s;
    parse_spec(spec, &s);
    const tare__norm_part *norm = tare__norm_of_activations(&s);
    for (int i = 0; i < TARE_NORM_OPTIONS && norm->kind->options[i].key; i++) {
        int64_t each = (int64_t)norm->values[i];
        if (strcmp(norm->kind->options[i].key, "batch") == 0 && each > 0 && each < batch) { return each; }
    }
    return batch;
}

tare_layer *tare_norm_layer(tare_params *ps, const char *name, const char *spec, tare_shape features) {
    tare__norm_spec s;
    if (!ps || tare_params_status(ps)) { return NULL; }
    tare_status status = parse_spec(spec, &s);
    if (status) { return tare_params_fail(ps, status, "%s", tare_error()); }
    const tare__norm_part *norm = tare__norm_of_activations(&s);
    return norm->kind->make(ps, name ? name : norm->kind->name, features, norm->values);
}

tare_status tare_norm_weight(tare_layer *layer, const char *spec) {
    tare__norm_spec s;
    if (!layer) { return TARE_ENOMEM; }
    tare_status status = parse_spec(spec, &s);
    if (status) { tare_params_fail(layer->params, status, "%s", tare_error()); }
    for (int i = 0; !status && i < s.n - 1; i++) { status = s.part[i].kind->transform(layer, s.part[i].values); }
    return status;
}
