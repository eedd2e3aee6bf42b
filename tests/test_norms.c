/* test_norms.c - the norms against float64 worked out here, at any size and scale; their laws, statistics and errors.
 * tare-test: double isa */
#include "testing_support.h"

#include <tare/norms.h>

#include <float.h>
#include <math.h>
#include <stdio.h>

/* ---- a norm, and the same in double ------------------------------------------------------------------------------ */

typedef enum kind { BATCH, LAYER, CHANNELS, INSTANCE, GROUP, RMS } kind;
static const char *const kind_names[] = { "batch", "layer", "channels", "instance", "group", "rms" };

typedef struct setting {
    kind kind;
    tare_shape shape; /* [N,C,...] */
    int64_t groups;
    double eps;
    bool plain; /* no gamma and beta */
} setting;

static int64_t inner_of(const setting *s) {
    int64_t n = 1;
    for (int d = 2; d < s->shape.ndim; d++) { n *= s->shape.dim[d]; }
    return n;
}

/* Which set element i is normalised with, and which gamma scales it. */
static int64_t set_of(const setting *s, int64_t i) {
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

static int64_t sets_of(const setting *s) { return set_of(s, tare_shape_numel(s->shape) - 1) + 1; }

static bool by_element(const setting *s) { return s->kind == LAYER || s->kind == RMS; }

static int64_t scale_of(const setting *s, int64_t i) {
    int64_t inner = inner_of(s), channels = s->shape.dim[1];
    return by_element(s) ? i % (channels * inner) : i / inner % channels;
}

static int64_t scales_of(const setting *s) { return by_element(s) ? s->shape.dim[1] * inner_of(s) : s->shape.dim[1]; }

typedef struct values {
    double *y, *dx, *dgamma, *dbeta;
} values;

static double *doubles(int64_t n) {
    double *d = calloc((size_t)n, sizeof *d);
    assert_non_null(d);
    return d;
}

static void values_free(values *v) {
    free(v->y);
    free(v->dx);
    free(v->dgamma);
    free(v->dbeta);
}

/* Sums in long double: at a mean of 1e4 and a deviation of 0.1 a double's would show. */
static values reference(const setting *s, const tare_real *x, const tare_real *gamma, const tare_real *beta,
                        const tare_real *dy) {
    int64_t numel = tare_shape_numel(s->shape), sets = sets_of(s), scales = scales_of(s);
    values v = { doubles(numel), doubles(numel), doubles(scales), doubles(scales) };
    long double *sum = calloc((size_t)sets * 5, sizeof *sum), *mean = sum + sets, *var = sum + 2 * sets;
    long double *g1 = sum + 3 * sets, *g2 = sum + 4 * sets;
    double *count = doubles(sets);
    for (int64_t i = 0; i < numel; i++) { sum[set_of(s, i)] += x[i], count[set_of(s, i)]++; }
    for (int64_t k = 0; k < sets; k++) { mean[k] = s->kind == RMS ? 0 : sum[k] / count[k]; }
    for (int64_t i = 0; i < numel; i++) {
        int64_t k = set_of(s, i);
        var[k] += (x[i] - mean[k]) * (x[i] - mean[k]) / count[k];
    }
    for (int64_t i = 0; i < numel; i++) {
        int64_t k = set_of(s, i), c = scale_of(s, i);
        double hat = (double)((x[i] - mean[k]) / sqrtl(var[k] + s->eps)), g = gamma ? (double)gamma[c] : 1;
        v.y[i] = hat * g + (beta ? (double)beta[c] : 0);
        v.dgamma[c] += hat * (double)dy[i];
        v.dbeta[c] += (double)dy[i];
        g1[k] += g * (double)dy[i];
        g2[k] += g * (double)dy[i] * hat;
    }
    for (int64_t i = 0; i < numel; i++) {
        int64_t k = set_of(s, i), c = scale_of(s, i);
        long double rstd = 1 / sqrtl(var[k] + s->eps), hat = (x[i] - mean[k]) * rstd;
        long double g = (gamma ? (double)gamma[c] : 1) * (double)dy[i];
        v.dx[i] = (double)(rstd * (g - (s->kind == RMS ? 0 : g1[k] / count[k]) - hat * (g2[k] / count[k])));
    }
    free(sum);
    free(count);
    return v;
}

static tare_tensor *apply(tare_tape *t, const setting *s, tare_tensor *x, tare_tensor *gamma, tare_tensor *beta) {
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

static tare_shape scale_shape(const setting *s) {
    if (!by_element(s)) { return TARE_SHAPE(s->shape.dim[1]); }
    tare_shape shape = { .ndim = s->shape.ndim - 1 };
    for (int d = 0; d < shape.ndim; d++) { shape.dim[d] = s->shape.dim[d + 1]; }
    return shape;
}

static tare_tensor *filled(tare_tape *t, tare_shape shape, double mean, double scale, uint64_t seed) {
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

static trial try_it(const setting *s, double mean, double scale, uint64_t seed) {
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

static void trial_free(trial *r) {
    tare_free(r->out);
    tare_free(r->dy);
    tare_tape_free(r->tape);
}

static void near_or_say(const setting *s, const char *what, const tare_real *got, const double *want, int64_t n,
                        double tol) {
    double distance = test_distance(got, want, n);
    tare_shape_buf buf;
    if (!(distance <= tol)) {
        fail_msg("%s norm of %s, eps %g: %s is off by %.3g, more than %.3g", kind_names[s->kind],
                 tare_shape_text(s->shape, &buf), s->eps, what, distance, tol);
    }
}

static void against_reference(const setting *s, double mean, double scale, double tol) {
    trial r = try_it(s, mean, scale, 11);
    values v = reference(s, r.x->data, r.gamma ? r.gamma->data : NULL, r.beta ? r.beta->data : NULL, r.dy);
    near_or_say(s, "y", r.out, v.y, r.x->numel, tol);
    near_or_say(s, "dx", r.x->grad, v.dx, r.x->numel, tol);
    if (r.gamma && scale == 0 && s->kind != RMS) { /* x-hat is 0 but for a rounding of the mean, and so is dgamma */
        for (int64_t k = 0; k < scales_of(s); k++) { assert_near(r.gamma->grad[k], 0, 1e-8); }
    } else if (r.gamma) {
        near_or_say(s, "dgamma", r.gamma->grad, v.dgamma, scales_of(s), tol);
        if (r.beta) { near_or_say(s, "dbeta", r.beta->grad, v.dbeta, scales_of(s), tol); }
    }
    values_free(&v);
    trial_free(&r);
}

/* ---- sizes and scales -------------------------------------------------------------------------------------------- */

/* Sets of 2, 3, 17, 49, 784, 4097 values and 10^6: tails, single vectors, blocks and their seams. Two values without
 * eps are +1 and -1 whatever they were, and their gradient nothing but rounding: those get a large eps. */
static void any_size(void **state) {
    (void)state;
    const setting settings[] = {
        { BATCH, TARE_SHAPE(2, 3), 0, 0.5, false },
        { BATCH, TARE_SHAPE(3, 1), 0, 1e-5, false },
        { BATCH, TARE_SHAPE(64, 130), 0, 1e-5, false },
        { BATCH, TARE_SHAPE(200, 5), 0, 1e-5, true },
        { BATCH, TARE_SHAPE(2, 3, 1, 1), 0, 0.5, false },
        { BATCH, TARE_SHAPE(1, 3, 17), 0, 1e-5, false },
        { BATCH, TARE_SHAPE(5, 4, 7, 7), 0, 1e-5, false },
        { BATCH, TARE_SHAPE(64, 3, 28, 28), 0, 1e-5, false },
        { BATCH, TARE_SHAPE(2, 2, 4097), 0, 1e-5, false },
        { BATCH, TARE_SHAPE(2, 1, 3, 5), 0, 1e-5, true },
        { LAYER, TARE_SHAPE(3, 2), 0, 0.5, false },
        { LAYER, TARE_SHAPE(4, 17), 0, 1e-5, false },
        { LAYER, TARE_SHAPE(300, 128), 0, 1e-5, false },
        { LAYER, TARE_SHAPE(2, 4097), 0, 1e-5, false },
        { LAYER, TARE_SHAPE(5, 3, 7, 7), 0, 1e-5, false },
        { LAYER, TARE_SHAPE(1, 1000000), 0, 1e-5, false },
        { LAYER, TARE_SHAPE(13, 5001), 0, 1e-5, false },
        { LAYER, TARE_SHAPE(900, 5001), 0, 1e-5, false }, /* too many values to be looked at twice */
        { CHANNELS, TARE_SHAPE(2, 3, 1, 1), 0, 1e-5, false },
        { CHANNELS, TARE_SHAPE(2, 17, 131), 0, 1e-5, false },
        { CHANNELS, TARE_SHAPE(3, 70, 4, 4), 0, 1e-5, false },
        { CHANNELS, TARE_SHAPE(2, 2, 3, 3), 0, 0.5, true },
        { INSTANCE, TARE_SHAPE(2, 3, 2), 0, 0.5, false },
        { INSTANCE, TARE_SHAPE(1, 1, 3), 0, 1e-5, true },
        { INSTANCE, TARE_SHAPE(2, 3, 7, 7), 0, 1e-5, false },
        { INSTANCE, TARE_SHAPE(3, 5, 28, 28), 0, 1e-5, false },
        { GROUP, TARE_SHAPE(2, 6, 7, 7), 3, 1e-5, false },
        { GROUP, TARE_SHAPE(3, 6), 3, 0.5, false },
        { GROUP, TARE_SHAPE(2, 4, 4097), 2, 1e-5, false },
        { GROUP, TARE_SHAPE(2, 8, 14, 14), 8, 1e-5, true },
        { GROUP, TARE_SHAPE(1, 2, 1000, 500), 1, 1e-5, false },
        { RMS, TARE_SHAPE(3, 1), 0, 0.5, false },
        { RMS, TARE_SHAPE(300, 128), 0, 1e-5, false },
        { RMS, TARE_SHAPE(2, 3, 4097), 0, 1e-5, true },
        { RMS, TARE_SHAPE(9, 5001), 0, 1e-5, false },
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        against_reference(&settings[i], 0.3, 1.7, test_tol(1e-5, 1e-11));
    }
}

static const setting five[] = {
    { BATCH, { 4, { 6, 4, 13, 13 } }, 0, 1e-5, false },    { BATCH, { 2, { 150, 9 } }, 0, 1e-5, false },
    { LAYER, { 2, { 7, 300 } }, 0, 1e-5, false },          { CHANNELS, { 4, { 3, 40, 5, 5 } }, 0, 1e-5, false },
    { INSTANCE, { 4, { 3, 4, 30, 30 } }, 0, 1e-5, false }, { GROUP, { 4, { 3, 8, 40, 40 } }, 2, 1e-5, false },
};
enum { FIVE = sizeof five / sizeof *five };
static const setting rms = { RMS, { 2, { 7, 300 } }, 0, 1e-5, false };

static void any_scale(void **state) {
    (void)state;
    const struct {
        double mean, scale;
    } fills[] = { { 2000, 1 }, { 1e4, 0.1 }, { 100, 0.01 },  { 0, 1e30 },  { -1e30, 1e28 }, { 0x1p100, 0 },
                  { 0.1, 0 },  { 0, 1e-6 },  { 0, DBL_MIN }, { 0, 1e-39 }, { 3, 1e-3 } };
    const double eps[] = { 1e-5, 0.1, 1e-12 };
    for (int i = 0; i <= FIVE; i++) {
        for (size_t f = 0; f < sizeof fills / sizeof *fills; f++) {
            for (int e = 0; e < 3; e++) {
                setting s = i < FIVE ? five[i] : rms;
                s.eps = eps[e];
                against_reference(&s, fills[f].mean, fills[f].scale, test_tol(1e-4, 1e-7));
            }
        }
    }
}

/* Rows are measured from a few of their values. Where just those are far out, no digit of the others may be lost. */
static void outliers_hide_nothing(void **state) {
    (void)state;
    enum { N = 1000 };
    tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
    tare_tensor *x = filled(tape, TARE_SHAPE(3, N), 0, 1, 5);
    for (int r = 0; r < 3; r++) {
        static const int out[] = { 0, N / 4, N / 2, N - 1 - N / 4 };
        double mean = 0, m2 = 0;
        for (int k = 0; k < 4 && r > 0; k++) { x->data[r * N + out[k]] += (tare_real)(r == 1 ? 100 : 1e4); }
        for (int i = 0; i < N; i++) { mean += (double)x->data[r * N + i] / N; }
        for (int i = 0; i < N; i++) { m2 += pow((double)x->data[r * N + i] - mean, 2); }
        tare_tensor *y = tare_layer_norm(tape, x, NULL, NULL, (tare_layer_norm_opt){ 0 });
        for (int i = 0; i < N; i++) {
            double want = ((double)x->data[r * N + i] - mean) / sqrt(m2 / N + 1e-5);
            assert_near(y->data[r * N + i], want, test_tol(1e-6, 1e-12) * (1 + fabs(want)));
        }
    }
    tare_tape_free(tape);
}

/* NaN or Inf makes NaN of the whole set it is in, and leaves the others alone. */
static void not_finite_shows(void **state) {
    (void)state;
    const double bad[] = { (double)NAN, (double)INFINITY, -(double)INFINITY };
    for (int i = 0; i < FIVE; i++) {
        for (int b = 0; b < 3; b++) {
            tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
            tare_tensor *x = filled(tape, five[i].shape, 0, 1, 5);
            int64_t at = x->numel / 3;
            x->data[at] = (tare_real)bad[b];
            tare_tensor *y = apply(tape, &five[i], x, NULL, NULL);
            for (int64_t k = 0; k < x->numel; k++) {
                bool with = set_of(&five[i], k) == set_of(&five[i], at);
                assert_true(with ? isnan(y->data[k]) : isfinite(y->data[k]));
            }
            tare_tape_free(tape);
        }
    }
}

/* ---- sameness ---------------------------------------------------------------------------------------------------- */

static void same_bits_on_any_number_of_threads(void **state) {
    (void)state;
    const setting settings[] = {
        { BATCH, TARE_SHAPE(16, 20, 28, 28), 0, 1e-5, false },
        { BATCH, TARE_SHAPE(300, 500), 0, 1e-5, false },
        { LAYER, TARE_SHAPE(768, 128), 0, 1e-5, false },
        { LAYER, TARE_SHAPE(20, 8, 28, 28), 0, 1e-5, false },
        { CHANNELS, TARE_SHAPE(9, 40, 20, 20), 0, 1e-5, false },
        { INSTANCE, TARE_SHAPE(8, 20, 28, 28), 0, 1e-5, false },
        { GROUP, TARE_SHAPE(8, 20, 28, 28), 5, 1e-5, false },
        { RMS, TARE_SHAPE(768, 128), 0, 1e-5, false },
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const setting *s = &settings[i];
        tare_threads_set(1);
        trial one = try_it(s, 1, 2, 21);
        size_t size = (size_t)one.x->numel * sizeof(tare_real), scales = (size_t)scales_of(s) * sizeof(tare_real);
        for (int threads = 2; threads <= 8; threads += threads == 3 ? 5 : 1) {
            tare_threads_set(threads);
            trial many = try_it(s, 1, 2, 21);
            assert_memory_equal(one.out, many.out, size);
            assert_memory_equal(one.x->grad, many.x->grad, size);
            assert_memory_equal(one.gamma->grad, many.gamma->grad, scales);
            if (one.beta) { assert_memory_equal(one.beta->grad, many.beta->grad, scales); }
            trial_free(&many);
        }
        trial_free(&one);
    }
    tare_threads_set(0);
}

static void instance_is_group_with_a_group_per_channel(void **state) {
    (void)state;
    setting in = { INSTANCE, TARE_SHAPE(3, 6, 9, 11), 0, 1e-5, false }, gn = in;
    gn.kind = GROUP;
    gn.groups = 6;
    trial a = try_it(&in, 5, 3, 31), b = try_it(&gn, 5, 3, 31);
    size_t size = (size_t)a.x->numel * sizeof(tare_real);
    assert_memory_equal(a.out, b.out, size);
    assert_memory_equal(a.x->grad, b.x->grad, size);
    assert_memory_equal(a.gamma->grad, b.gamma->grad, 6 * sizeof(tare_real));
    trial_free(&a);
    trial_free(&b);
}

/* LayerNorm sums along the row and GroupNorm channel by channel. */
static void layer_over_images_is_group_with_one_group(void **state) {
    (void)state;
    setting ln = { LAYER, TARE_SHAPE(3, 6, 28, 28), 0, 1e-5, true }, gn = ln;
    gn.kind = GROUP;
    gn.groups = 1;
    trial a = try_it(&ln, 5, 3, 31), b = try_it(&gn, 5, 3, 31);
    double *dx = doubles(a.x->numel);
    for (int64_t i = 0; i < a.x->numel; i++) { dx[i] = (double)b.out[i]; }
    assert_all_near(a.out, dx, a.x->numel, test_tol(1e-6, 1e-13));
    for (int64_t i = 0; i < a.x->numel; i++) { dx[i] = (double)b.x->grad[i]; }
    assert_all_near(a.x->grad, dx, a.x->numel, test_tol(1e-6, 1e-13));
    /* and with gamma 1 and beta 0, element by element against channel by channel */
    tare_tape *tape = a.tape;
    tare_tensor *x = filled(tape, ln.shape, 5, 3, 31);
    tare_tensor *ones = filled(tape, TARE_SHAPE(6, 28, 28), 1, 0, 1),
                *zeros = filled(tape, TARE_SHAPE(6, 28, 28), 0, 0, 1);
    tare_tensor *y = tare_layer_norm(tape, x, ones, zeros, (tare_layer_norm_opt){ .dims = 3 });
    tare_tensor *z = tare_group_norm(tape, x, filled(tape, TARE_SHAPE(6), 1, 0, 1),
                                     filled(tape, TARE_SHAPE(6), 0, 0, 1), (tare_group_norm_opt){ .groups = 1 });
    for (int64_t i = 0; i < x->numel; i++) { dx[i] = (double)z->data[i]; }
    assert_all_near(y->data, dx, x->numel, test_tol(1e-6, 1e-13));
    free(dx);
    trial_free(&a);
    trial_free(&b);
}

/* ---- laws -------------------------------------------------------------------------------------------------------- */

static void shift_and_scale_change_nothing(void **state) {
    (void)state;
    for (int i = 0; i < FIVE; i++) {
        setting s = five[i];
        s.eps = 1e-12;
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
        tare_tensor *x = filled(tape, s.shape, 0, 1, 41), *moved = tare_input(tape, s.shape, NULL);
        for (int64_t k = 0; k < x->numel; k++) { moved->data[k] = 8 * x->data[k] + 16; }
        tare_tensor *y = apply(tape, &s, x, NULL, NULL), *z = apply(tape, &s, moved, NULL, NULL);
        for (int64_t k = 0; k < x->numel; k++) { assert_near(z->data[k], y->data[k], test_tol(2e-5, 1e-11)); }
        tare_tape_free(tape);
    }
}

/* In each set: Sum dx = 0 and Sum dx x-hat = 0, since shifts and scales of x change nothing. */
static void gradient_is_orthogonal(void **state) {
    (void)state;
    for (int i = 0; i < FIVE; i++) {
        setting s = five[i];
        s.eps = 1e-12;
        s.plain = true;
        trial r = try_it(&s, 2, 3, 51);
        int64_t sets = sets_of(&s);
        double *sum = doubles(sets), *dot = doubles(sets), *size = doubles(sets);
        for (int64_t k = 0; k < r.x->numel; k++) {
            int64_t set = set_of(&s, k);
            sum[set] += (double)r.x->grad[k];
            dot[set] += (double)r.x->grad[k] * (double)r.out[k];
            size[set] += fabs((double)r.x->grad[k]);
        }
        for (int64_t k = 0; k < sets; k++) {
            assert_true(size[k] > 0);
            assert_near(sum[k], 0, test_tol(1e-5, 1e-12) * size[k]);
            assert_near(dot[k], 0, test_tol(1e-5, 1e-11) * size[k]);
        }
        free(sum);
        free(dot);
        free(size);
        trial_free(&r);
    }
}

static void mode_matters_to_batch_norm_alone(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    const char *specs[] = { "ln", "ln:over=c", "in", "gn:2", "bn" };
    for (int i = 0; i < 5; i++) {
        tare_layer *norm = tare_norm_layer(ps, specs[i], specs[i], TARE_SHAPE(4, 5, 5));
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
        tare_tensor *x = filled(tape, TARE_SHAPE(3, 4, 5, 5), 2, 3, 61), *y = tare_forward(norm, tape, x);
        tare_tape_training_set(tape, false);
        tare_tensor *z = tare_forward(norm, tape, x);
        assert_int_equal(i == 4, memcmp(y->data, z->data, 300 * sizeof(tare_real)) != 0);
        tare_tape_free(tape);
    }
    tare_params_free(ps);
}

static void evaluated_batch_norm_is_affine(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_layer *bn = tare_layer_batch_norm(ps, "bn", 3, (tare_layer_batch_norm_opt){ .eps = 1e-3 });
    tare_params_find(ps, "bn.running_mean")->data[1] = 4;
    tare_params_find(ps, "bn.running_var")->data[1] = 9;
    tare_params_find(ps, "bn.weight")->data[1] = 2;
    tare_params_find(ps, "bn.bias")->data[1] = 7;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ 0 });
    tare_tensor *x = filled(tape, TARE_SHAPE(1, 3, 2), 2, 3, 61), *y = tare_forward(bn, tape, x);
    for (int k = 2; k < 4; k++) {
        assert_near(y->data[k], ((double)x->data[k] - 4) / sqrt(9 + 1e-3) * 2 + 7, test_tol(1e-5, 1e-12));
    }
    assert_near(y->data[0], (double)x->data[0] / sqrt(1 + 1e-3), test_tol(1e-6, 1e-13));
    tare_tape_free(tape);
    tare_params_free(ps);
}

/* Two forwards before the backwards: what each saved is its own. */
static void two_inputs_one_layer(void **state) {
    (void)state;
    for (int i = 0; i < FIVE; i++) {
        const setting *s = &five[i];
        trial first = try_it(s, 0, 1, 71), second = try_it(s, 3, 5, 81);
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
        tare_tensor *x = filled(tape, s->shape, 0, 1, 71), *gamma = filled(tape, scale_shape(s), 1, 0.5, 72);
        tare_tensor *z = filled(tape, s->shape, 3, 5, 81), *delta = filled(tape, scale_shape(s), 1, 0.5, 82);
        tare_tensor *y = apply(tape, s, x, gamma, NULL), *w = apply(tape, s, z, delta, NULL);
        tare_tensor *up = tare_input(tape, s->shape, first.dy), *uq = tare_input(tape, s->shape, second.dy);
        tare_tensor *loss = tare_add(tape, tare_sum(tape, tare_mul(tape, y, up), 0, false),
                                     tare_sum(tape, tare_mul(tape, w, uq), 0, false));
        assert_ok(tare_backward(tape, loss));
        assert_memory_equal(first.x->grad, x->grad, (size_t)x->numel * sizeof(tare_real));
        assert_memory_equal(second.x->grad, z->grad, (size_t)x->numel * sizeof(tare_real));
        tare_tape_free(tape);
        trial_free(&first);
        trial_free(&second);
    }
}

/* Micro-batches of half the size, their gradients added, are the whole batch; for batch norm they are not. */
static void accumulation(void **state) {
    (void)state;
    for (int i = 0; i < FIVE; i++) {
        setting whole = five[i], half = whole;
        whole.shape.dim[0] = 4;
        half.shape.dim[0] = 2;
        trial all = try_it(&whole, 1, 2, 91);
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true });
        tare_tensor *gamma = filled(tape, scale_shape(&whole), 1, 0.5, 92),
                    *beta = filled(tape, scale_shape(&whole), 0, 0.5, 93);
        tare_tensor *loss = NULL;
        for (int part = 0; part < 2; part++) {
            int64_t at = part * all.x->numel / 2;
            tare_tensor *x = tare_input(tape, half.shape, all.x->data + at),
                        *up = tare_input(tape, half.shape, all.dy + at);
            tare_tensor *l = tare_sum(tape, tare_mul(tape, apply(tape, &half, x, gamma, beta), up), 0, false);
            loss = loss ? tare_add(tape, loss, l) : l;
        }
        assert_ok(tare_backward(tape, loss));
        double most = 0, apart = 0;
        for (int64_t k = 0; k < gamma->numel; k++) {
            most = fmax(most, fabs((double)all.gamma->grad[k]));
            apart = fmax(apart, fabs((double)all.gamma->grad[k] - (double)gamma->grad[k]));
        }
        assert_int_equal(whole.kind == BATCH, apart > 1e-4 * most);
        tare_tape_free(tape);
        trial_free(&all);
    }
}

/* ---- running statistics ------------------------------------------------------------------------------------------ */

typedef struct model {
    tare_params *ps;
    tare_layer *bn;
    tare_tape *tape;
    tare_real *mean, *var, *seen;
} model;

static model model_new(tare_layer_batch_norm_opt opt) {
    model m = { .ps = tare_params_new(1), .tape = tare_tape_new((tare_tape_opt){ .training = true }) };
    m.bn = tare_layer_batch_norm(m.ps, "bn", 1, opt);
    assert_ok(tare_params_status(m.ps));
    m.mean = tare_params_find(m.ps, "bn.running_mean")->data;
    m.var = tare_params_find(m.ps, "bn.running_var")->data;
    m.seen = tare_params_find(m.ps, "bn.num_batches_tracked")->data;
    return m;
}

static void model_free(model *m) {
    tare_tape_free(m->tape);
    tare_params_free(m->ps);
}

static void feed(model *m, int n, const double *data) {
    tare_tensor *x = tare_input(m->tape, TARE_SHAPE(n, 1), NULL);
    for (int i = 0; i < n; i++) { x->data[i] = (tare_real)data[i]; }
    assert_non_null(tare_forward(m->bn, m->tape, x));
}

static const double one_batch[] = { 1, 2, 6 },
                    other_batch[] = { 0, 4, 4, 0 }; /* means 3 and 2, unbiased variances 7 and 16/3 */

static void statistics_are_the_unbiased_ones(void **state) {
    (void)state;
    model m = model_new((tare_layer_batch_norm_opt){ .eps = 0.1 });
    feed(&m, 3, one_batch);
    assert_near(m.mean[0], 0.1 * 3, 1e-6);
    assert_near(m.var[0], 0.9 + 0.1 * 7, 1e-6);
    feed(&m, 4, other_batch);
    assert_near(m.mean[0], 0.9 * 0.3 + 0.1 * 2, 1e-6);
    assert_near(m.var[0], 0.9 * 1.6 + 0.1 * 16 / 3, 1e-6);
    assert_near(m.seen[0], 2, 0);
    model_free(&m);

    m = model_new((tare_layer_batch_norm_opt){ .stat_update = 1 });
    feed(&m, 3, one_batch);
    assert_near(m.mean[0], 3, 1e-6);
    assert_near(m.var[0], 7, 1e-6);
    model_free(&m);
}

static void cumulative_statistics_are_the_average(void **state) {
    (void)state;
    model m = model_new((tare_layer_batch_norm_opt){ .cumulative = true });
    feed(&m, 3, one_batch);
    feed(&m, 4, other_batch);
    assert_near(m.mean[0], 2.5, 1e-6);
    assert_near(m.var[0], (7 + 16.0 / 3) / 2, 1e-6);
    model_free(&m);
}

static void sub_batches_update_in_turn(void **state) {
    (void)state;
    const double both[] = { 1, 2, 6, 0, 4, 4, 0 };
    model apart = model_new((tare_layer_batch_norm_opt){ 0 }),
          together = model_new((tare_layer_batch_norm_opt){ .sub_batch = 3 });
    feed(&apart, 3, both);
    feed(&apart, 3, both + 3);
    feed(&together, 6, both);
    assert_near(together.mean[0], apart.mean[0], 1e-7);
    assert_near(together.var[0], apart.var[0], 1e-7);
    assert_near(together.seen[0], 2, 0);
    /* seven samples leave one alone */
    tare_tensor *x = tare_input(together.tape, TARE_SHAPE(7, 1), NULL);
    assert_null(tare_forward(together.bn, together.tape, x));
    assert_contains(tare_tape_error(together.tape),
                    "batch_norm \"bn\": x [7,1] has 1 value per channel in its last sub-batch");
    model_free(&apart);
    model_free(&together);
}

static void statistics_stay_when_frozen(void **state) {
    (void)state;
    model m = model_new((tare_layer_batch_norm_opt){ 0 });
    feed(&m, 3, one_batch);
    tare_real mean = m.mean[0], var = m.var[0];
    tare_params_freeze(m.ps, true);
    feed(&m, 4, other_batch);
    tare_params_freeze(m.ps, false);
    tare_tape_training_set(m.tape, false);
    feed(&m, 4, other_batch);
    assert_true(mean == m.mean[0] && var == m.var[0] && m.seen[0] == 1);
    /* an op that fails counts for nothing */
    tare_tape_training_set(m.tape, true);
    assert_null(tare_forward(m.bn, m.tape, tare_input(m.tape, TARE_SHAPE(1, 1), NULL)));
    assert_true(m.seen[0] == 1);
    /* and so does a batch of nothing, whose mean is none */
    tare_tape_reset(m.tape);
    assert_non_null(tare_forward(m.bn, m.tape, tare_input(m.tape, TARE_SHAPE(3, 1, 0), NULL)));
    assert_non_null(tare_forward(m.bn, m.tape, tare_input(m.tape, TARE_SHAPE(0, 1), NULL)));
    assert_true(mean == m.mean[0] && var == m.var[0] && m.seen[0] == 1);
    model_free(&m);
}

static void a_frozen_layer_never_changes(void **state) {
    (void)state;
    model m = model_new((tare_layer_batch_norm_opt){ .frozen = true });
    assert_int_equal(0, tare_params_count(m.ps));
    assert_int_equal(5, tare_params_buffers(m.ps));
    m.mean[0] = 1;
    m.var[0] = 4;
    tare_real value = 5; /* one value: fine, since no statistics are taken */
    tare_tensor *y = tare_forward(m.bn, m.tape, tare_input(m.tape, TARE_SHAPE(1, 1), &value));
    assert_near(tare_item(y), 4 / sqrt(4 + 1e-5), 1e-6);
    assert_near(m.mean[0], 1, 0);
    model_free(&m);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

typedef tare_tensor *(*run_fn)(tare_tape *t, tare_tensor *x);

static tare_tensor *bn(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, NULL, NULL, (tare_batch_norm_opt){ 0 });
}
static tare_tensor *bn_gamma(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, filled(t, TARE_SHAPE(2), 0, 1, 1), NULL, NULL, NULL, (tare_batch_norm_opt){ 0 });
}
static tare_tensor *bn_half(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, x, NULL, (tare_batch_norm_opt){ 0 });
}
static tare_tensor *bn_eps(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, NULL, NULL, (tare_batch_norm_opt){ .eps = -1 });
}
static tare_tensor *bn_nan(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, NULL, NULL, (tare_batch_norm_opt){ .eps = (double)NAN });
}
static tare_tensor *bn_update(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, NULL, NULL, (tare_batch_norm_opt){ .stat_update = 1.5 });
}
static tare_tensor *bn_sub(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, NULL, NULL, (tare_batch_norm_opt){ .sub_batch = -2 });
}
static tare_tensor *bn_use(tare_tape *t, tare_tensor *x) {
    return tare_batch_norm(t, x, NULL, NULL, NULL, NULL, (tare_batch_norm_opt){ .use_stats = true });
}
static tare_tensor *ln(tare_tape *t, tare_tensor *x) {
    return tare_layer_norm(t, x, NULL, NULL, (tare_layer_norm_opt){ 0 });
}
static tare_tensor *ln_dims(tare_tape *t, tare_tensor *x) {
    return tare_layer_norm(t, x, NULL, NULL, (tare_layer_norm_opt){ .dims = 5 });
}
static tare_tensor *ln_negative(tare_tape *t, tare_tensor *x) {
    return tare_layer_norm(t, x, NULL, NULL, (tare_layer_norm_opt){ .dims = -1 });
}
static tare_tensor *ln_gamma(tare_tape *t, tare_tensor *x) {
    return tare_layer_norm(t, x, filled(t, TARE_SHAPE(2), 0, 1, 1), NULL, (tare_layer_norm_opt){ 0 });
}
static tare_tensor *ln_channels(tare_tape *t, tare_tensor *x) {
    return tare_layer_norm(t, x, NULL, NULL, (tare_layer_norm_opt){ .channels = true });
}
static tare_tensor *gn_5(tare_tape *t, tare_tensor *x) {
    return tare_group_norm(t, x, NULL, NULL, (tare_group_norm_opt){ .groups = 5 });
}
static tare_tensor *gn_0(tare_tape *t, tare_tensor *x) {
    return tare_group_norm(t, x, NULL, NULL, (tare_group_norm_opt){ 0 });
}
static tare_tensor *gn_12(tare_tape *t, tare_tensor *x) {
    return tare_group_norm(t, x, NULL, NULL, (tare_group_norm_opt){ .groups = 12 });
}
static tare_tensor *in(tare_tape *t, tare_tensor *x) {
    return tare_instance_norm(t, x, NULL, NULL, (tare_instance_norm_opt){ 0 });
}
static tare_tensor *in_beta(tare_tape *t, tare_tensor *x) {
    return tare_instance_norm(t, x, NULL, filled(t, TARE_SHAPE(2), 0, 1, 1), (tare_instance_norm_opt){ 0 });
}

/* Rows without columns have gradients without values, and no rows leave gamma's at zero. */
static void rows_of_nothing(void **state) {
    (void)state;
    for (int64_t rows = 0; rows < 2; rows++) {
        tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = true, .guard = true });
        tare_tensor *x = filled(tape, rows ? TARE_SHAPE(3, 0) : TARE_SHAPE(0, 2), 0, 1, 1);
        tare_tensor *gamma = filled(tape, TARE_SHAPE(rows ? 0 : 2), 0, 1, 1);
        x->requires_grad = gamma->requires_grad = true;
        tare_tensor *y = tare_layer_norm(tape, x, gamma, NULL, (tare_layer_norm_opt){ 0 });
        assert_ok(tare_tape_status(tape));
        assert_ok(tare_backward_from(tape, y, &(tare_real){ 1 }));
        assert_ok(tare_tape_guard(tape));
        for (int64_t i = 0; i < gamma->numel; i++) { assert_true(gamma->grad[i] == 0); }
        tare_tape_free(tape);
    }
}

static void errors(void **state) {
    (void)state;
    const struct {
        run_fn run;
        tare_shape x;
        tare_status status;
        const char *words;
    } cases[] = {
        { bn, TARE_SHAPE(1, 3), TARE_ESHAPE, "batch_norm \"norm1\": x [1,3] has 1 value per channel" },
        { bn, TARE_SHAPE(1, 3, 1, 1), TARE_ESHAPE,
          "make the batch larger (drop the last one if it is short), or use a norm" },
        { bn, TARE_SHAPE(3), TARE_ESHAPE, "x [3] must be [N,C], [N,C,L] or [N,C,H,W]" },
        { bn_gamma, TARE_SHAPE(4, 3), TARE_ESHAPE, "gamma is [2], must be [3] for x [4,3]" },
        { bn_half, TARE_SHAPE(4, 3), TARE_EINVAL, "running_mean and running_var come together" },
        { bn_eps, TARE_SHAPE(4, 3), TARE_EINVAL, "eps is -1" },
        { bn_nan, TARE_SHAPE(4, 3), TARE_EINVAL, "eps is nan" },
        { bn_update, TARE_SHAPE(4, 3), TARE_EINVAL, "stat_update is 1.5" },
        { bn_sub, TARE_SHAPE(4, 3), TARE_EINVAL, "sub_batch is -2" },
        { bn_use, TARE_SHAPE(4, 3), TARE_EINVAL, "has none" },
        { ln, TARE_SHAPE(4, 1), TARE_ESHAPE, "x [4,1] has 1 value per sample" },
        { ln_dims, TARE_SHAPE(4, 3), TARE_ESHAPE, "x [4,3] has fewer than the 5 dimensions" },
        { ln_negative, TARE_SHAPE(4, 3), TARE_EINVAL, "dims is -1" },
        { ln_gamma, TARE_SHAPE(4, 3), TARE_ESHAPE, "gamma is [2], must be [3] for x [4,3]" },
        { ln_channels, TARE_SHAPE(3), TARE_ESHAPE, "x [3] must be [N,C,...]" },
        { ln_channels, TARE_SHAPE(2, 1, 4), TARE_ESHAPE, "x [2,1,4] has 1 value per position" },
        { gn_5, TARE_SHAPE(2, 12, 3), TARE_ESHAPE,
          "5 groups do not divide the 12 channels of x [2,12,3]; these do: 1 2 3 4 6 12" },
        { gn_0, TARE_SHAPE(2, 12, 3), TARE_EINVAL, "groups is 0" },
        { gn_12, TARE_SHAPE(2, 12), TARE_ESHAPE, "x [2,12] has 1 value per sample and group" },
        { in, TARE_SHAPE(2, 3), TARE_ESHAPE, "x [2,3] must be [N,C,L] or [N,C,H,W]" },
        { in, TARE_SHAPE(2, 3, 1, 1), TARE_ESHAPE,
          "instance_norm \"norm1\": x [2,3,1,1] has 1 value per sample and channel" },
        { in, TARE_SHAPE(2, 0, 4), TARE_ESHAPE, "x [2,0,4] has no channels" },
        { in_beta, TARE_SHAPE(2, 3, 4), TARE_ESHAPE, "beta is [2], must be [3]" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int training = 0; training < 2; training++) {
            tare_tape *tape = tare_tape_new((tare_tape_opt){ .training = training });
            tare_tape_layer_set(tape, "norm1");
            assert_null(cases[i].run(tape, filled(tape, cases[i].x, 0, 1, 1)));
            assert_int_equal(cases[i].status, tare_tape_status(tape));
            assert_contains(tare_tape_error(tape), cases[i].words);
            tare_tape_free(tape);
        }
    }
}

static void null_gives_null(void **state) {
    (void)state;
    tare_tape *tape = tare_tape_new((tare_tape_opt){ 0 });
    const run_fn runs[] = { bn, ln, gn_5, in };
    for (int i = 0; i < 4; i++) { assert_null(runs[i](tape, NULL)); }
    assert_ok(tare_tape_status(tape)); /* what gave NULL has said why */
    tare_tape_free(tape);
}

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_size),
        cmocka_unit_test(any_scale),
        cmocka_unit_test(outliers_hide_nothing),
        cmocka_unit_test(not_finite_shows),
        cmocka_unit_test(same_bits_on_any_number_of_threads),
        cmocka_unit_test(instance_is_group_with_a_group_per_channel),
        cmocka_unit_test(layer_over_images_is_group_with_one_group),
        cmocka_unit_test(shift_and_scale_change_nothing),
        cmocka_unit_test(gradient_is_orthogonal),
        cmocka_unit_test(mode_matters_to_batch_norm_alone),
        cmocka_unit_test(evaluated_batch_norm_is_affine),
        cmocka_unit_test(two_inputs_one_layer),
        cmocka_unit_test(accumulation),
        cmocka_unit_test(statistics_are_the_unbiased_ones),
        cmocka_unit_test(cumulative_statistics_are_the_average),
        cmocka_unit_test(sub_batches_update_in_turn),
        cmocka_unit_test(statistics_stay_when_frozen),
        cmocka_unit_test(a_frozen_layer_never_changes),
        cmocka_unit_test(rows_of_nothing),
        cmocka_unit_test(errors),
        cmocka_unit_test(null_gives_null),
    };
    return cmocka_run_group_tests_name("norms", tests, NULL, NULL);
}
