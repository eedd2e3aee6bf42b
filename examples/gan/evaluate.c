/* evaluate.c - a finished run: its generator measured, or drawn from. */
#include "metrics.h"

#include <string.h>

static tare_status draw(sampler *s) {
    const options *o = s->o;
    if (o->sample_class >= s->what->classes) {
        return tare_fail(TARE_EINVAL, "--sample-class %lld: classes are 0 to %lld", (long long)o->sample_class,
                         (long long)s->what->classes - 1);
    }
    tare_status status = picture_new(s, o->png, o->sample, (uint64_t)o->sample_seed, o->sample_class);
    if (status != TARE_OK) { return status; }
    if (o->run.json) {
        tare_event_print(stdout, "sample", TARE_FIELDS(TARE_TEXT("file", o->png)));
    } else if (!o->run.quiet) {
        printf("%lld samples: %s\n", (long long)o->sample, o->png);
    }
    return TARE_OK;
}

static void print_metrics(const options *o, const judge *j, const metrics *m) {
    char text[256];
    if (o->run.json) {
        tare_field fields[METRIC_FIELDS + 2] = { TARE_NUMBER("samples", j->count) };
        metrics_fields(m, &j->d->what, fields, 1);
        tare_event_print(stdout, "test", fields);
        return;
    }
    if (o->run.quiet) { return; }
    metrics_text(m, &j->d->what, text, sizeof text);
    printf("%s\n", text);
    judge_text(j, text, sizeof text);
    printf("%s\n", text);
}

static tare_status measure(sampler *s) {
    const options *o = s->o;
    data d = { { .classes = 0 }, NULL, NULL };
    judge *j = NULL;
    metrics m;
    tare_progress *progress =
        tare_progress_new((tare_progress_opt){ .stream = stdout, .quiet = o->run.quiet || o->run.json });
    tare_status status = progress ? data_open(&d, o) : TARE_ENOMEM;
    if (status == TARE_OK && (!tare_shape_equal(d.what.shape, s->what->shape) || d.what.classes != s->what->classes)) {
        tare_shape_buf a, b;
        status = tare_fail(TARE_EMISMATCH, "%s: samples %s in %lld classes; the generator makes %s in %lld", o->data,
                           tare_shape_text(d.what.shape, &a), (long long)d.what.classes,
                           tare_shape_text(s->what->shape, &b), (long long)s->what->classes);
    }
    if (status == TARE_OK) { status = judge_open(&j, &d, o, progress); }
    if (status == TARE_OK) { status = judge_sampler(j, s, &m); }
    if (status == TARE_OK) { print_metrics(o, j, &m); }
    judge_free(j);
    data_close(&d);
    tare_progress_free(progress);
    return status;
}

int evaluate_run(const options *o) {
    char path[4096];
    subject what = { .classes = 0 };
    sampler s = { .o = o };
    snprintf(path, sizeof path, "%s/input.safetensors", o->eval);
    tare_status status = subject_file(&what, o, path, false);
    if (status == TARE_OK && (what.shape.ndim == 1) != (what.toy != NULL)) {
        status = tare_fail(TARE_EMISMATCH, "--data %s: the generator of %s makes %s", o->data, o->eval,
                           what.toy ? "pictures" : "points");
    }
    if (status == TARE_OK) { status = sampler_new(&s, o, &what); }
    if (status == TARE_OK) { status = sampler_load(&s, o->eval); }
    if (status == TARE_OK) { status = o->sample > 0 ? draw(&s) : measure(&s); }
    sampler_free(&s);
    subject_free(&what);
    return status == TARE_OK ? 0 : fail(status == TARE_ENONFINITE ? EXIT_NONFINITE : 1);
}
