/* batch.c - what a step sees of the text: windows anywhere in it, with holes for bert, or streams that go on where the step
 * before ended. */
#include "charlm.h"

#include <string.h>

tare_status feeder_new(feeder *f, const options *o, const corpus *text, int32_t mask) {
    *f = (feeder){ .o = o, .text = text, .mask = mask };
    f->shape = is_recurrent(o) ? TARE_SHAPE(o->context, o->batch) : TARE_SHAPE(o->batch, o->context);
    int64_t streams = is_recurrent(o) ? o->batch : 1, most = text->trained / streams;
    if (most < 2) {
        return tare_fail(TARE_EINVAL, "too little to learn from: %lld characters%s; take a longer text%s",
                         (long long)text->trained, streams > 1 ? " to share among --batch streams" : "",
                         streams > 1 ? ", or a smaller --batch" : "");
    }
    if (most < o->context + 1) {
        return tare_fail(TARE_EINVAL,
                         "--context %lld is too long: there are %lld characters to train on%s; take --context %lld or "
                         "less",
                         (long long)o->context, (long long)text->trained, streams > 1 ? " in --batch streams" : "",
                         (long long)most - 1);
    }
    int64_t numel = tare_shape_numel(f->shape);
    f->x = numel > 0 ? tare_calloc((size_t)numel, sizeof *f->x) : NULL;
    f->y = numel > 0 ? tare_calloc((size_t)numel, sizeof *f->y) : NULL;
    return f->x && f->y ? TARE_OK : tare_fail(TARE_ENOMEM, "out of memory: a batch of %lld", (long long)o->batch);
}

void feeder_free(feeder *f) {
    tare_free(f->x);
    tare_free(f->y);
}

int64_t hide(tare_rng rng, int32_t mask, int64_t n, int32_t *x, int32_t *y) {
    int64_t hidden = 0, sure = (int64_t)tare_rng_below(&rng, (uint64_t)n);
    for (int64_t i = 0; i < n; i++) {
        double chosen = tare_rng_uniform(&rng), how = tare_rng_uniform(&rng);
        int32_t other = (int32_t)tare_rng_below(&rng, (uint64_t)mask);
        bool hides = chosen < 0.15;
        y[i] = hides ? x[i] : -100;
        hidden += hides;
        if (hides && how < 0.9) { x[i] = how < 0.8 ? mask : other; }
    }
    if (hidden > 0) { return hidden; }
    y[sure] = x[sure];
    x[sure] = mask;
    return 1;
}

static void fill_windows(feeder *f, int64_t step) {
    int64_t steps = f->o->context, places = f->text->trained - steps;
    tare_rng rng = tare_rng_split(tare_rng_new((uint64_t)f->o->run.seed, "batch"), (uint64_t)step);
    for (int64_t b = 0; b < f->o->batch; b++) {
        const int32_t *from = f->text->train + tare_rng_below(&rng, (uint64_t)places);
        memcpy(f->x + b * steps, from, (size_t)steps * sizeof *from);
        memcpy(f->y + b * steps, from + 1, (size_t)steps * sizeof *from);
    }
    if (!is_bert(f->o)) { return; }
    tare_rng holes = tare_rng_split(tare_rng_new((uint64_t)f->o->run.seed, "mask"), (uint64_t)step);
    hide(holes, f->mask, f->o->batch * steps, f->x, f->y);
}

/* Stream b is the b-th part of the text; each pass through the parts begins a little later than the one before, so that the
 * borders between steps lie elsewhere. */
static bool fill_streams(feeder *f, int64_t step) {
    int64_t steps = f->o->context, streams = f->o->batch, length = f->text->trained / streams;
    int64_t spare = length - 1 < 2 * steps ? 0 : steps - 1; /* characters by which the beginning may move */
    int64_t stretches = (length - 1 - spare) / steps, pass = step / stretches;
    tare_rng rng = tare_rng_split(tare_rng_new((uint64_t)f->o->run.seed, "streams"), (uint64_t)pass);
    int64_t at = (int64_t)tare_rng_below(&rng, (uint64_t)spare + 1) + step % stretches * steps;
    for (int64_t t = 0; t < steps; t++) {
        for (int64_t b = 0; b < streams; b++) {
            f->x[t * streams + b] = f->text->train[b * length + at + t];
            f->y[t * streams + b] = f->text->train[b * length + at + t + 1];
        }
    }
    return step % stretches == 0;
}

bool feeder_fill(feeder *f, int64_t step) {
    if (is_recurrent(f->o)) { return fill_streams(f, step); }
    fill_windows(f, step);
    return false;
}
