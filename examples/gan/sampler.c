/* sampler.c - drawing from a generator: a copy of it that training does not touch. */
#include "gan.h"

#include <string.h>
#include <unistd.h>

enum { CHUNK = 64 /* samples at once */, RECALIBRATION = 16 /* such chunks, for the statistics of averaged weights */ };

/* ---- z and classes ----------------------------------------------------------------------------------------------- */

void draw_z(uint64_t seed, const char *purpose, uint64_t batch, int64_t n, int64_t z_dim, tare_real *z) {
    tare_rng rng = tare_rng_split(tare_rng_new(seed, purpose), batch);
    tare_rng_fill_normal(&rng, 0, 1, n * z_dim, z);
}

void draw_labels(uint64_t seed, const char *purpose, uint64_t batch, int64_t n, int64_t classes, int32_t *labels) {
    tare_rng rng = tare_rng_split_name(tare_rng_split(tare_rng_new(seed, purpose), batch), "classes");
    for (int64_t i = 0; i < n; i++) { labels[i] = (int32_t)tare_rng_below(&rng, (uint64_t)classes); }
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

tare_status sampler_new(sampler *s, const options *o, const subject *what) {
    *s = (sampler){ .o = o, .what = what };
    s->ps = tare_params_new((uint64_t)o->run.seed);
    s->tape = tare_tape_new((tare_tape_opt){ .no_grad = true });
    s->z = tare_malloc((size_t)(CHUNK * o->z_dim) * sizeof *s->z);
    s->labels = tare_malloc(CHUNK * sizeof *s->labels);
    if (!s->ps || !s->tape || !s->z || !s->labels) { return TARE_ENOMEM; }
    s->g = generator_new(s->ps, o, what);
    return params_status(s->ps);
}

void sampler_free(sampler *s) {
    tare_tape_free(s->tape);
    tare_params_free(s->ps);
    tare_free(s->z);
    tare_free(s->labels);
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

static tare_status forward(sampler *s, const tare_real *z, const int32_t *labels, int64_t n, tare_real *out) {
    tare_tape_reset(s->tape);
    tare_tensor *x = net_forward(s->g, s->tape, tare_input(s->tape, TARE_SHAPE(n, s->o->z_dim), z), labels);
    if (!x) { return tape_status(s->tape); }
    if (out) { memcpy(out, x->data, (size_t)x->numel * sizeof *out); }
    return TARE_OK;
}

tare_status sampler_run(sampler *s, const tare_real *z, const int32_t *labels, int64_t n, tare_real *out) {
    int64_t sample = tare_shape_numel(s->what->shape);
    tare_status status = TARE_OK;
    for (int64_t i = 0; i < n && status == TARE_OK; i += CHUNK) {
        int64_t count = n - i < CHUNK ? n - i : CHUNK;
        status = forward(s, z + i * s->o->z_dim, labels ? labels + i : NULL, count, out + i * sample);
    }
    return status;
}

tare_status sampler_draw(sampler *s, const char *purpose, uint64_t seed, int64_t n, const int32_t *labels,
                         tare_real *out) {
    int64_t sample = tare_shape_numel(s->what->shape);
    tare_status status = TARE_OK;
    for (int64_t i = 0; i < n && status == TARE_OK; i += CHUNK) {
        int64_t count = n - i < CHUNK ? n - i : CHUNK;
        draw_z(seed, purpose, (uint64_t)(i / CHUNK), count, s->o->z_dim, s->z);
        if (!labels) { draw_labels(seed, purpose, (uint64_t)(i / CHUNK), count, s->what->classes, s->labels); }
        status = forward(s, s->z, labels ? labels + i : s->labels, count, out + i * sample);
    }
    return status;
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* The running statistics belong to the weights as they were, not to their average. */
static tare_status recalibrate(sampler *s) {
    if (tare_recalibrate_begin(s->g) != TARE_OK) { return TARE_OK; } /* no batch norm */
    tare_status status = TARE_OK;
    for (int i = 0; i < RECALIBRATION && status == TARE_OK; i++) {
        draw_z((uint64_t)s->o->run.seed, "recalibration", (uint64_t)i, CHUNK, s->o->z_dim, s->z);
        draw_labels((uint64_t)s->o->run.seed, "recalibration", (uint64_t)i, CHUNK, s->what->classes, s->labels);
        status = forward(s, s->z, s->labels, CHUNK, NULL);
    }
    tare_status end = tare_recalibrate_end(s->g);
    return status == TARE_OK ? end : status;
}

tare_status sampler_take(sampler *s, const tare_params *live, const tare_ema *ema) {
    size_t weights = (size_t)tare_params_flat_size(live) * sizeof(tare_real);
    size_t buffers = (size_t)tare_params_buffer_flat_size(live) * sizeof(tare_real);
    memcpy(tare_params_flat(s->ps), ema ? tare_ema_flat(ema) : tare_params_flat(live), weights);
    if (buffers > 0) { memcpy(tare_params_buffer_flat(s->ps), tare_params_buffer_flat(live), buffers); }
    return ema ? recalibrate(s) : TARE_OK;
}

tare_status sampler_load(sampler *s, const char *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s/best.safetensors", folder);
    if (access(path, R_OK) == 0) { return tare_params_load_finite(s->ps, path, (tare_load_opt){ 0 }); }
    snprintf(path, sizeof path, "%s/last.safetensors", folder);
    tare_status status = tare_params_load_finite(s->ps, path, (tare_load_opt){ .prefix = "g" });
    if (status != TARE_OK || s->o->ema <= 0) { return status; }
    status = tare_params_load_finite(s->ps, path, (tare_load_opt){ .prefix = "@ema.g", .partial = true });
    return status == TARE_OK ? recalibrate(s) : status;
}
