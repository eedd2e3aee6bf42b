/* norm_trial.h - a norm of any kind, shape and eps, which values it normalises together, and one forward and backward of it. */
#ifndef TARE_NORM_TRIAL_H
#define TARE_NORM_TRIAL_H

#include "testing_support.h"

#include <tare/norms.h>

typedef enum kind { BATCH, LAYER, CHANNELS, INSTANCE, GROUP, RMS } kind;
static const char *const kind_names[] = { "batch", "layer", "channels", "instance", "group", "rms" };

typedef struct setting {
    kind kind;
    tare_shape shape; /* [N,C,...] */
    int64_t groups;
    double eps;
    bool plain; /* no gamma and beta */
} setting;

static inline int64_t inner_of(const setting *s) {
    int64_t n = 1;
    for (int d = 2; d < s->shape.ndim; d++) { n *= s->shape.dim[d]; }
    return n;
}

/* Which set element i is normalised with, and which gamma scales it. */
static inline int64_t set_of(const setting *s, int64_t i) {
    int64_t inner = inner_of(s), channels = s->shape.dim[1], n = i / (channels * inner), c = i / inner % channels;
    switch (s->kind) {
    case BATCH: return c;
    case LAYER:
    case RMS: return n;
    case CHANNELS: return n * inner + i % inner;
    case INSTANCE: return n * channels + c;
    default: return n * s->groups + c / (channels / s->groups);
    }
}

static inline int64_t sets_of(const setting *s) { return set_of(s, tare_shape_numel(s->shape) - 1) + 1; }

static inline bool by_element(const setting *s) { return s->kind == LAYER || s->kind == RMS; }

static inline int64_t scale_of(const setting *s, int64_t i) {
    int64_t inner = inner_of(s), channels = s->shape.dim[1];
    return by_element(s) ? i % (channels * inner) : i / inner % channels;
}

static inline int64_t scales_of(const setting *s) {
    return by_element(s) ? s->shape.dim[1] * inner_of(s) : s->shape.dim[1];
}

static inline double *doubles(int64_t n) {
    double *d = calloc((size_t)n, sizeof *d);
    assert_non_null(d);
    return d;
}

static inline tare_tensor *apply(tare_tape *t, const setting *s, tare_tensor *x, tare_tensor *gamma,
                                 tare_tensor *beta) {
    switch (s->kind) {
    case BATCH: return tare_batch_norm(t, x, gamma, beta, NULL, NULL, (tare_batch_norm_opt){ .eps = s->eps });
    case LAYER:
        return tare_layer_norm(t, x, gamma, beta, (tare_layer_norm_opt){ .dims = s->shape.ndim - 1, .eps = s->eps });
    case CHANNELS: return tare_layer_norm(t, x, gamma, beta, (tare_layer_norm_opt){ .channels = true, .eps = s->eps });
    case RMS: return tare_rms_norm(t, x, gamma, (tare_rms_norm_opt){ .dims = s->shape.ndim - 1, .eps = s->eps });
    case INSTANCE: return tare_instance_norm(t, x, gamma, beta, (tare_instance_norm_opt){ .eps = s->eps });
    default: return tare_group_norm(t, x, gamma, beta, (tare_group_norm_opt){ .groups = s->groups, .eps = s->eps });
    }
}

static inline tare_shape scale_shape(const setting *s) {
    if (!by_element(s)) { return TARE_SHAPE(s->shape.dim[1]); }
    tare_shape shape = { .ndim = s->shape.ndim - 1 };
    for (int d = 0; d < shape.ndim; d++) { shape.dim[d] = s->shape.dim[d + 1]; }
    return shape;
}

static inline tare_tensor *filled(tare_tape *t, tare_shape shape, double mean, double scale, uint64_t seed) {
    tare_tensor *x = tare_input(t, shape, NULL);
    assert_non_null(x);
    tare_rng rng = tare_rng_new(seed, "test");
    for (int64_t i = 0; i < x->numel; i++) { x->data[i] = (tare_real)(mean + scale * tare_rng_normal(&rng)); }
    x->requires_grad = true;
    return x;
}

/* One forward and backward on a tape of its own. */
typedef struct trial {
    tare_tape *tape;
    tare_tensor *x, *gamma, *beta, *y;
    tare_real *out; /* y, which backward uses up */
    tare_real *dy;
} trial;

static inline trial try_it(const setting *s, double mean, double scale, uint64_t seed) {
    trial r = { .tape = tare_tape_new((tare_tape_opt){ .training = true, .guard = true }) };
    r.x = filled(r.tape, s->shape, mean, scale, seed);
    if (!s->plain) {
        r.gamma = filled(r.tape, scale_shape(s), 1, 0.5, seed + 1);
        if (s->kind != RMS) { r.beta = filled(r.tape, scale_shape(s), 0, 0.5, seed + 2); }
    }
    r.y = apply(r.tape, s, r.x, r.gamma, r.beta);
    if (!r.y) { fail_msg("%s", tare_tape_error(r.tape)); }
    r.out = tare_malloc((size_t)r.y->numel * sizeof *r.out);
    memcpy(r.out, r.y->data, (size_t)r.y->numel * sizeof *r.out);
    r.dy = tare_malloc((size_t)r.y->numel * sizeof *r.dy);
    tare_rng rng = tare_rng_new(seed + 3, "test");
    for (int64_t i = 0; i < r.y->numel; i++) { r.dy[i] = (tare_real)tare_rng_normal(&rng); }
    assert_ok(tare_backward_from(r.tape, r.y, r.dy));
    assert_ok(tare_tape_guard(r.tape));
    return r;
}

static inline void trial_free(trial *r) {
    tare_free(r->out);
    tare_free(r->dy);
    tare_tape_free(r->tape);
}

/* Every kind that takes a mean. */
static const setting five[] = {
    { BATCH, { 4, { 6, 4, 13, 13 } }, 0, 1e-5, false },    { BATCH, { 2, { 150, 9 } }, 0, 1e-5, false },
    { LAYER, { 2, { 7, 300 } }, 0, 1e-5, false },          { CHANNELS, { 4, { 3, 40, 5, 5 } }, 0, 1e-5, false },
    { INSTANCE, { 4, { 3, 4, 30, 30 } }, 0, 1e-5, false }, { GROUP, { 4, { 3, 8, 40, 40 } }, 2, 1e-5, false },
};
enum { FIVE = sizeof five / sizeof *five };

#endif
