/* confusion.c - what a classifier takes for what, and where it was surest of a mistake. */
#include <tare/run.h>

#include <math.h>
#include <string.h>

#include "json.h"

enum { MOST_CLASSES = 128, MISTAKES = 16, SIDE = 64 /* pixels of a mistake's picture at most */ };

typedef struct mistake {
    int64_t index;
    int32_t label, said;
    double probability;
} mistake;

struct tare_confusion {
    int64_t classes, seen;
    int64_t *count; /* [true, said] */
    mistake worst[MISTAKES];
    int64_t mistakes;
};

tare_confusion *tare_confusion_new(int64_t classes) {
    tare_confusion *c = tare_calloc(1, sizeof *c);
    if (!c) { return NULL; }
    c->classes = classes;
    c->count = tare_calloc((size_t)(classes * classes), sizeof *c->count);
    if (c->count) { return c; }
    tare_free(c);
    return NULL;
}

void tare_confusion_free(tare_confusion *c) {
    if (!c) { return; }
    tare_free(c->count);
    tare_free(c);
}

void tare_confusion_reset(tare_confusion *c) {
    memset(c->count, 0, (size_t)(c->classes * c->classes) * sizeof *c->count);
    c->seen = c->mistakes = 0;
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

/* Softmax of the largest logit. */
static double confidence(const tare_real *row, int64_t classes, int64_t largest) {
    double sum = 0;
    for (int64_t k = 0; k < classes; k++) { sum += exp((double)row[k] - (double)row[largest]); }
    return 1 / sum;
}

/* Keeps it where it is among the surest; the earlier of equals comes first. */
static void keep(tare_confusion *c, mistake m) {
    int64_t at = c->mistakes;
    while (at > 0 && c->worst[at - 1].probability < m.probability) { at--; }
    if (at == MISTAKES) { return; }
    int64_t moved = (c->mistakes < MISTAKES ? c->mistakes : MISTAKES - 1) - at;
    memmove(c->worst + at + 1, c->worst + at, (size_t)moved * sizeof m);
    c->worst[at] = m;
    if (c->mistakes < MISTAKES) { c->mistakes++; }
}

void tare_confusion_add(tare_confusion *c, const tare_real *logits, const int32_t *labels, int64_t n, int64_t first) {
    for (int64_t i = 0; i < n; i++) {
        const tare_real *row = logits + i * c->classes;
        int64_t said = 0;
        for (int64_t k = 1; k < c->classes; k++) {
            if (row[k] > row[said]) { said = k; }
        }
        if (labels[i] < 0 || labels[i] >= c->classes) { continue; }
        c->count[labels[i] * c->classes + said]++;
        c->seen++;
        if (said != labels[i]) {
            keep(c, (mistake){ first + i, labels[i], (int32_t)said, confidence(row, c->classes, said) });
        }
    }
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static int64_t at_most_side(int64_t n) { return n < SIDE ? n : SIDE; }

/* "pixels": the sample's bytes [C,H,W] in hexadecimal, made small where it is large. */
static tare_status add_pixels(tare__text *t, const tare_dataset *ds, int64_t index) {
    static const char digits[] = "0123456789abcdef";
    uint8_t small[TARE_DATA_CHANNELS * SIDE * SIDE];
    char text[2 * sizeof small + 1];
    int64_t height = at_most_side(ds->height), width = at_most_side(ds->width), size = ds->channels * height * width;
    const uint8_t *image = ds->images + index * ds->channels * ds->height * ds->width;
    tare_status s = tare_image_resize(image, ds->channels, ds->height, ds->width, height, width, small);
    if (s != TARE_OK) { return s; }
    for (int64_t i = 0; i < size; i++) {
        text[2 * i] = digits[small[i] >> 4];
        text[2 * i + 1] = digits[small[i] & 15];
    }
    text[2 * size] = '\0';
    tare__json_string(t, "pixels", text);
    return TARE_OK;
}

static void add_counts(tare__text *t, const tare_confusion *c, const tare_dataset *ds) {
    tare__json_open(t, "classes", '[');
    for (int64_t k = 0; k < c->classes; k++) { tare__json_string(t, NULL, ds->class_names[k]); }
    tare__json_close(t, ']');
    tare__json_open(t, "counts", '[');
    for (int64_t i = 0; i < c->classes; i++) {
        tare__json_open(t, NULL, '[');
        for (int64_t k = 0; k < c->classes; k++) { tare__json_int(t, NULL, c->count[i * c->classes + k]); }
        tare__json_close(t, ']');
    }
    tare__json_close(t, ']');
}

static tare_status add_mistakes(tare__text *t, const tare_confusion *c, const tare_dataset *ds) {
    tare_status s = TARE_OK;
    tare__json_int(t, "channels", ds->channels);
    tare__json_int(t, "height", at_most_side(ds->height));
    tare__json_int(t, "width", at_most_side(ds->width));
    tare__json_open(t, "mistakes", '[');
    for (int64_t i = 0; s == TARE_OK && i < c->mistakes; i++) {
        const mistake *m = &c->worst[i];
        tare__json_open(t, NULL, '{');
        tare__json_int(t, "index", m->index);
        tare__json_int(t, "label", m->label);
        tare__json_int(t, "said", m->said);
        tare__json_number(t, "probability", m->probability);
        s = add_pixels(t, ds, m->index);
        tare__json_close(t, '}');
    }
    tare__json_close(t, ']');
    return s;
}

tare_status tare_confusion_write(const tare_confusion *c, tare_run *run, const tare_dataset *ds) {
    if (c->seen == 0 || c->classes > MOST_CLASSES) { return TARE_OK; }
    tare__text t = { 0 };
    tare_status s = TARE_OK;
    tare__json_open(&t, NULL, '{');
    add_counts(&t, c, ds);
    if (ds->images) { s = add_mistakes(&t, c, ds); }
    tare__json_close(&t, '}');
    char *json = tare__text_take(&t);
    if (s == TARE_OK) { s = json ? tare_run_write(run, "confusion.json", json) : TARE_ENOMEM; }
    tare_free(json);
    return s;
}
