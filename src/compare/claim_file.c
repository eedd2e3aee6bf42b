/* claim_file.c - a claim from its file: JSON, checked as far as it can be before anything is run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "claim.h"

static tare_status bad(const char *path, const char *what) { return tare_fail(TARE_EFORMAT, "%s: %s", path, what); }

static tare_status take_text(const cJSON *object, const char *name, char **to, const char *path) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    if (!text) { return tare_fail(TARE_EFORMAT, "%s: \"%s\" is missing", path, name); }
    *to = tare_strdup(text);
    return *to ? TARE_OK : tare_fail(TARE_ENOMEM, "out of memory: a claim");
}

static double take_number(const cJSON *object, const char *name, double otherwise) {
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(member) ? member->valuedouble : otherwise;
}

static tare_status take_lines(const cJSON *object, const char *name, tare__words *to, const char *path) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, name), *item;
    tare_status s = TARE_OK;
    cJSON_ArrayForEach(item, list) {
        const char *line = cJSON_GetStringValue(item);
        if (s == TARE_OK) { s = line ? tare__words_add(to, line) : bad(path, "a command is no text"); }
    }
    if (s != TARE_OK) { return s; }
    if (to->count == 0 || to->count > TARE__COMPARES) {
        return tare_fail(TARE_EFORMAT, "%s: \"%s\" has %lld commands; 1 to %d it takes", path, name,
                         (long long)to->count, TARE__COMPARES);
    }
    return TARE_OK;
}

/* "in": 1, or "in": [1, 2, 3]; left out: the first. */
static tare_status take_in(tare__term *term, const cJSON *object, const char *path) {
    const cJSON *in = cJSON_GetObjectItemCaseSensitive(object, "in"), *item;
    if (!cJSON_IsArray(in)) {
        term->in[term->ins++] = (int64_t)take_number(object, "in", 0);
        return TARE_OK;
    }
    cJSON_ArrayForEach(item, in) {
        if (!cJSON_IsNumber(item) || term->ins == TARE__COMPARES) {
            return bad(path, "\"in\" lists comparisons, from 0");
        }
        term->in[term->ins++] = (int64_t)item->valuedouble;
    }
    return TARE_OK;
}

static tare_status take_term(tare__term *term, const cJSON *object, const char *path) {
    term->weight = take_number(object, "weight", (double)NAN);
    if (!isfinite(term->weight)) { return bad(path, "a term has no weight"); }
    const char *metric = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "metric"));
    tare_status s = take_in(term, object, path);
    if (s == TARE_OK && metric) {
        term->own_metric = true;
        s = tare__metric_parse(&term->metric, metric, 1);
    }
    const cJSON *value;
    cJSON_ArrayForEach(value, cJSON_GetObjectItemCaseSensitive(object, "at")) {
        if (s == TARE_OK && !cJSON_IsString(value)) {
            s = bad(path, "\"at\" takes texts, as the command line has them");
        }
        if (s == TARE_OK) { s = tare__words_add(&term->keys, value->string); }
        if (s == TARE_OK) { s = tare__words_add(&term->values, value->valuestring); }
    }
    return s;
}

static tare_status take_expect(tare__contrast *k, const cJSON *object, const char *path) {
    static const char *const names[] = { "above", "within", "at_most" };
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "expect"));
    k->margin = take_number(object, "margin", (double)NAN);
    for (int i = 0; text && i < 3; i++) {
        if (strcmp(text, names[i]) != 0) { continue; }
        k->expect = (tare__expect)i;
        return i == 0 || isfinite(k->margin) ? TARE_OK : bad(path, "within and at_most need a margin");
    }
    return bad(path, "\"expect\" is one of above, within, at_most");
}

static tare_status take_contrast(tare__contrast *k, const cJSON *object, const char *path) {
    tare_status s = take_text(object, "name", &k->name, path);
    if (s == TARE_OK) { s = take_expect(k, object, path); }
    k->also = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, "also"));
    k->per_cent = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, "per_cent"));
    const cJSON *term;
    cJSON_ArrayForEach(term, cJSON_GetObjectItemCaseSensitive(object, "terms")) {
        if (s == TARE_OK && k->terms == TARE__TERMS) { s = bad(path, "too many terms"); }
        if (s == TARE_OK) { s = take_term(&k->term[k->terms++], term, path); }
    }
    return s == TARE_OK && k->terms == 0 ? bad(path, "a contrast without terms") : s;
}

static tare_status take_claim(tare__claim *claim, const cJSON *root, const char *path) {
    if (!cJSON_IsObject(root)) { return bad(path, "not JSON"); }
    claim->number = (int64_t)take_number(root, "claim", 0);
    const cJSON *failed = cJSON_GetObjectItemCaseSensitive(root, "failed_as");
    claim->failed_quick = take_number(failed, "quick", take_number(root, "failed_as", (double)NAN));
    claim->failed_full = take_number(failed, "full", take_number(root, "failed_as", (double)NAN));
    tare_status s = claim->number > 0 ? TARE_OK : bad(path, "\"claim\", its number, is missing");
    if (s == TARE_OK) { s = take_text(root, "says", &claim->says, path); }
    if (s == TARE_OK) { s = take_text(root, "paper", &claim->paper, path); }
    if (s == TARE_OK) { s = take_text(root, "figures", &claim->figures, path); }
    if (s == TARE_OK) { s = take_text(root, "measured", &claim->measured, path); }
    if (s == TARE_OK) { s = take_lines(root, "quick", &claim->quick, path); }
    if (s == TARE_OK) { s = take_lines(root, "full", &claim->full, path); }
    const cJSON *contrast;
    int counted = 0;
    cJSON_ArrayForEach(contrast, cJSON_GetObjectItemCaseSensitive(root, "contrasts")) {
        if (s == TARE_OK && claim->contrasts == TARE__CONTRASTS) { s = bad(path, "too many contrasts"); }
        if (s != TARE_OK) { return s; }
        tare__contrast *k = &claim->contrast[claim->contrasts++];
        s = take_contrast(k, contrast, path);
        counted += !k->also;
    }
    return s == TARE_OK && counted == 0 ? bad(path, "no contrast decides") : s;
}

tare_status tare__claim_load(tare__claim *claim, const char *path) {
    *claim = (tare__claim){ 0 };
    char *text = NULL;
    tare_status s = tare__read_file(path, &text);
    if (s == TARE_OK && !text) { s = tare_fail(TARE_ENOENT, "%s: no such file", path); }
    cJSON *root = text ? cJSON_Parse(text) : NULL;
    if (s == TARE_OK) { s = take_claim(claim, root, path); }
    cJSON_Delete(root);
    tare_free(text);
    return s;
}

void tare__claim_free(tare__claim *claim) {
    for (int i = 0; i < claim->contrasts; i++) {
        tare__contrast *k = &claim->contrast[i];
        for (int t = 0; t < k->terms; t++) {
            tare__words_free(&k->term[t].keys);
            tare__words_free(&k->term[t].values);
        }
        tare_free(k->name);
    }
    tare_free(claim->says);
    tare_free(claim->paper);
    tare_free(claim->figures);
    tare_free(claim->measured);
    tare__words_free(&claim->quick);
    tare__words_free(&claim->full);
    *claim = (tare__claim){ 0 };
}
