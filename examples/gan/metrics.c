/* metrics.c - measures of samples: Frechet distance and inception score for labelled pictures, modes for points, spread for all. */
#include "metrics.h"

#include <math.h>
#include <string.h>

/* ---- for all ----------------------------------------------------------------------------------------------------- */

/* The root of the mean variance over a sample's values. */
static double spread_of(const tare_real *x, int64_t n, int64_t sample) {
    double sum = 0;
    for (int64_t i = 0; i < sample; i++) {
        double mean = 0, square = 0;
        for (int64_t k = 0; k < n; k++) { mean += (double)x[k * sample + i]; }
        mean /= (double)n;
        for (int64_t k = 0; k < n; k++) {
            double d = (double)x[k * sample + i] - mean;
            square += d * d;
        }
        sum += square / (double)n;
    }
    return sqrt(sum / (double)sample);
}

/* How many of `of` kinds have a tenth of their fair share of n samples, or more; `total` are counted in their fair share. */
static void count_kinds(const int64_t *count, int64_t of, int64_t n, metrics *m) {
    m->hit = 0;
    m->of = (double)of;
    for (int64_t k = 0; k < of; k++) { m->hit += (double)count[k] * (double)of * 10 >= (double)n; }
    m->coverage = m->hit / m->of;
}

static double largest_share(const int64_t *count, int64_t of, int64_t n) {
    int64_t most = 0;
    for (int64_t k = 0; k < of; k++) { most = count[k] > most ? count[k] : most; }
    return (double)most / (double)n;
}

/* ---- points ------------------------------------------------------------------------------------------------------ */

enum { MOST_MODES = 64 };

/* A mode counts points within three deviations of it; the largest share is by nearest mode, however far. */
static void measure_points(const judge *j, const tare_real *x, metrics *m) {
    const toy *t = j->d->what.toy;
    int64_t on[MOST_MODES] = { 0 }, nearest[MOST_MODES] = { 0 }, good = 0;
    for (int64_t i = 0; i < j->count; i++) {
        double least = (double)INFINITY, centre[2];
        int64_t mode = 0;
        for (int64_t k = 0; k < t->modes; k++) {
            toy_centre(t, k, centre);
            double d = hypot((double)x[2 * i] - centre[0], (double)x[2 * i + 1] - centre[1]);
            if (d < least) {
                least = d;
                mode = k;
            }
        }
        nearest[mode]++;
        on[mode] += least <= 3 * t->sigma;
        good += least <= 3 * t->sigma;
    }
    count_kinds(on, t->modes, j->count, m);
    m->largest = largest_share(nearest, t->modes, j->count);
    m->high_quality = (double)good / (double)j->count;
}

/* ---- labelled pictures ------------------------------------------------------------------------------------------- */

static void count_classes(const tare_real *p, int64_t n, int64_t classes, int64_t *count) {
    for (int64_t i = 0; i < n; i++) {
        int64_t best = 0;
        for (int64_t k = 1; k < classes; k++) {
            if (p[i * classes + k] > p[i * classes + best]) { best = k; }
        }
        count[best]++;
    }
}

static tare_status measure_features(const judge *j, const tare_real *features, double *frechet) {
    double *mean = tare_malloc((FEATURES + FEATURES * FEATURES) * sizeof *mean);
    if (!mean) { return TARE_ENOMEM; }
    double *cov = mean + FEATURES;
    tare_status s = tare_moments(j->count, FEATURES, features, mean, cov);
    if (s == TARE_OK) { s = tare_frechet(FEATURES, j->mean, j->cov, mean, cov, frechet); }
    tare_free(mean);
    return s;
}

static tare_status measure_pictures(judge *j, const tare_real *x, metrics *m) {
    int64_t n = j->count, classes = j->d->what.classes;
    size_t values = (size_t)(n * (FEATURES + classes));
    tare_real *features = tare_malloc(values * sizeof *features), *p = features + n * FEATURES;
    int64_t *count = tare_calloc((size_t)classes, sizeof *count);
    tare_status s = features && count ? classifier_run(j, x, n, features, p) : TARE_ENOMEM;
    if (s == TARE_OK) { s = measure_features(j, features, &m->frechet); }
    if (s == TARE_OK) { s = tare_inception_score(n, classes, p, 1, &m->inception, NULL); }
    if (s == TARE_OK) {
        count_classes(p, n, classes, count);
        count_kinds(count, classes, n, m);
        m->largest = largest_share(count, classes, n);
    }
    tare_free(features);
    tare_free(count);
    return s;
}

/* ---- the judge --------------------------------------------------------------------------------------------------- */

static metrics nothing(void) {
    double no = (double)NAN;
    return (metrics){ no, no, no, no, no, no, no, no };
}

/* Of j->count samples [count,...]. */
static tare_status measure(judge *j, const tare_real *samples, metrics *out) {
    tare_status s = TARE_OK;
    *out = nothing();
    if (j->real_spread > 0) {
        out->spread = spread_of(samples, j->count, tare_shape_numel(j->d->what.shape)) / j->real_spread;
    }
    if (j->d->what.toy) {
        measure_points(j, samples, out);
    } else if (j->ps) {
        s = measure_pictures(j, samples, out);
    }
    return s;
}

tare_status judge_sampler(judge *j, sampler *s, metrics *out) {
    tare_real *x = tare_malloc((size_t)(j->count * tare_shape_numel(j->d->what.shape)) * sizeof *x);
    tare_status status = x ? sampler_draw(s, "measure", (uint64_t)s->o->run.seed, j->count, NULL, x) : TARE_ENOMEM;
    if (status == TARE_OK) { status = measure(j, x, out); }
    tare_free(x);
    return status;
}

/* j->count real samples: test pictures where there are enough, the same ones every time. */
static tare_status real_samples(judge *j, int64_t wanted, tare_real **out) {
    const tare_dataset *of = j->d->test ? j->d->test : j->d->train;
    int64_t sample = tare_shape_numel(j->d->what.shape), n = wanted < of->count ? wanted : of->count;
    tare_loader *loader = NULL;
    tare_batch b;
    tare_real *x = *out = tare_malloc((size_t)(n * sample) * sizeof *x);
    tare_status s = x ? data_loader(j->d, of, (tare_loader_opt){ .batch = 64, .limit = n }, &loader) : TARE_ENOMEM;
    for (j->count = 0; s == TARE_OK && tare_loader_next(loader, &b); j->count += b.n) {
        memcpy(x + j->count * sample, b.x, (size_t)(b.n * sample) * sizeof *x);
    }
    if (s == TARE_OK) { s = tare_loader_status(loader); }
    tare_loader_free(loader);
    return s;
}

tare_status judge_open(judge **out, const data *d, const options *o, tare_progress *progress) {
    judge *j = *out = tare_calloc(1, sizeof *j);
    if (!j) { return TARE_ENOMEM; }
    j->d = d;
    j->real = nothing();
    tare_status s = d->test ? classifier_open(j, progress) : TARE_OK;
    tare_real *x = NULL;
    if (s == TARE_OK) { s = real_samples(j, o->eval_samples, &x); }
    if (s == TARE_OK) { j->real_spread = spread_of(x, j->count, tare_shape_numel(d->what.shape)); }
    if (s == TARE_OK) { s = measure(j, x, &j->real); }
    tare_free(x);
    j->real_count = j->count;
    j->count = o->eval_samples;
    return s;
}

void judge_free(judge *j) {
    if (!j) { return; }
    tare_tape_free(j->tape);
    tare_params_free(j->ps);
    tare_free(j->mean);
    tare_free(j);
}

/* ---- as events and text ------------------------------------------------------------------------------------------ */

int metrics_fields(const metrics *m, const subject *what, tare_field *fields, int used) {
    const tare_field all[] = { TARE_NUMBER("frechet", m->frechet),
                               TARE_NUMBER("inception_score", m->inception),
                               TARE_NUMBER("coverage", m->coverage),
                               TARE_NUMBER(what->toy ? "modes_hit" : "classes_hit", m->hit),
                               TARE_NUMBER("high_quality", m->high_quality),
                               TARE_NUMBER("largest_share", m->largest),
                               TARE_NUMBER("spread", m->spread) };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (isfinite(all[i].number)) { fields[used++] = all[i]; }
    }
    return used;
}

void metrics_text(const metrics *m, const subject *what, char *text, size_t size) {
    int n = 0;
    *text = '\0';
    if (isfinite(m->frechet)) {
        n = snprintf(text, size, "Frechet distance %.2f, inception score %.2f, ", m->frechet, m->inception);
    }
    if (isfinite(m->hit)) {
        n += snprintf(text + n, size - (size_t)n, "%.0f of %.0f %s, ", m->hit, m->of, what->toy ? "modes" : "classes");
    }
    if (isfinite(m->high_quality)) {
        n += snprintf(text + n, size - (size_t)n, "%.1f%% of the points on them, ", 100 * m->high_quality);
    }
    snprintf(text + n, size - (size_t)n, "spread %.2f of the real one's", m->spread);
}

void judge_text(const judge *j, char *text, size_t size) {
    if (!j->ps) {
        snprintf(text, size, "measured on %lld samples", (long long)j->count);
        return;
    }
    snprintf(
        text, size,
        "measured on %lld samples by a classifier that gets %.1f%% of the test\npictures right; %lld of those have "
        "distance %.2f and score %.2f, and fewer samples\na larger distance",
        (long long)j->count, 100 * j->accuracy, (long long)j->real_count, j->real.frechet, j->real.inception);
}
