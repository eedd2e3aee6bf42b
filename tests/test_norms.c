/* test_norms.c - the norms against float64 worked out here, at any size and scale, on any number of threads.
 * tare-test: double isa */
#include "norm_trial.h"

#include <float.h>
#include <math.h>

/* ---- the same in double ------------------------------------------------------------------------------------------ */

typedef struct values {
    double *y, *dx, *dgamma, *dbeta;
} values;

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

/* ---- threads ----------------------------------------------------------------------------------------------------- */

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

int main(void) {
    if (test_isa_missing()) { return 77; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_size),
        cmocka_unit_test(any_scale),
        cmocka_unit_test(outliers_hide_nothing),
        cmocka_unit_test(not_finite_shows),
        cmocka_unit_test(same_bits_on_any_number_of_threads),
    };
    return cmocka_run_group_tests_name("norms", tests, NULL, NULL);
}
