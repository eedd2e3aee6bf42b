/* test_sample_quality.c - Frechet distance beside scipy's square root of matrices, inception score beside its formula; cases known
 * by hand; threads; errors.   tare-test: double */
#include "testing_support.h"

#include <tare/gan.h>

#include <math.h>
#include <stdio.h>

static tare_real *reals(const double *values, int64_t n) {
    tare_real *x = calloc((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++) { x[i] = (tare_real)values[i]; }
    return x;
}

static void frechet_as_scipy(void **state) {
    (void)state;
    golden *g = golden_open("gan");
    assert_non_null(g);
    for (int c = 0; c < 3; c++) { /* the last with fewer samples than features: singular covariances */
        tare_shape sa, sb;
        const double *va = golden_get(g, &sa, "frechet%d/a", c), *vb = golden_get(g, &sb, "frechet%d/b", c);
        int64_t d = sa.dim[1];
        tare_real *a = reals(va, sa.dim[0] * d), *b = reals(vb, sb.dim[0] * d);
        double *mean = calloc((size_t)(d + d * d), sizeof *mean), distance;
        assert_ok(tare_moments(sa.dim[0], d, a, mean, mean + d));
        const double *want_mean = golden_get(g, NULL, "frechet%d/mean", c);
        const double *want_cov = golden_get(g, NULL, "frechet%d/cov", c);
        for (int64_t i = 0; i < d; i++) { assert_near(mean[i], want_mean[i], 1e-12); }
        for (int64_t i = 0; i < d * d; i++) { assert_near(mean[d + i], want_cov[i], 1e-11); }
        double want = *golden_get(g, NULL, "frechet%d/distance", c);
        assert_ok(tare_frechet_distance(d, sa.dim[0], a, sb.dim[0], b, &distance));
        assert_near(distance, want, (c == 2 ? 1e-5 : 1e-10) * want); /* sqrtm of a singular matrix has fewer digits */
        double back;
        assert_ok(tare_frechet_distance(d, sb.dim[0], b, sa.dim[0], a, &back));
        assert_near(back, distance, 1e-6 * want);
        assert_ok(tare_frechet_distance(d, sa.dim[0], a, sa.dim[0], a, &distance));
        assert_near(distance, 0, 1e-6 * want);
        free(a), free(b), free(mean);
    }
    golden_close(g);
}

/* Of one another's multiple: |m1 - m2|^2 + sum over i of (s1_i - s2_i)^2. */
static void frechet_by_hand(void **state) {
    (void)state;
    const double m1[] = { 1, 2 }, m2[] = { 1, 5 }, c1[] = { 4, 0, 0, 9 }, c2[] = { 1, 0, 0, 16 };
    double distance;
    assert_ok(tare_frechet(2, m1, c1, m2, c2, &distance));
    assert_near(distance, 9 + 1 + 1, 1e-12);
    const double zero[] = { 0, 0, 0, 0 };
    assert_ok(tare_frechet(2, m1, c1, m2, zero, &distance));
    assert_near(distance, 9 + 4 + 9, 1e-12);
}

static void inception_as_formula(void **state) {
    (void)state;
    golden *g = golden_open("gan");
    tare_shape shape;
    const double *values = golden_get(g, &shape, "inception/p");
    tare_real *p = reals(values, tare_shape_numel(shape));
    double mean, std;
    assert_ok(tare_inception_score(50, 7, p, 1, &mean, NULL));
    assert_near(mean, *golden_get(g, NULL, "inception/score"), 1e-6);
    assert_ok(tare_inception_score(50, 7, p, 5, &mean, &std));
    assert_near(mean, *golden_get(g, NULL, "inception/mean"), 1e-6);
    assert_near(std, *golden_get(g, NULL, "inception/std"), 1e-6);
    free(p);
    golden_close(g);
    /* sure of every one of three classes: 3; the same guess always: 1 */
    const tare_real sure[] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 }, same[] = { 0.5, 0.25, 0.25, 0.5, 0.25, 0.25 };
    assert_ok(tare_inception_score(3, 3, sure, 1, &mean, &std));
    assert_near(mean, 3, 1e-12);
    assert_near(std, 0, 1e-12);
    assert_ok(tare_inception_score(2, 3, same, 1, &mean, NULL));
    assert_near(mean, 1, 1e-12);
}

static void any_number_of_threads(void **state) {
    (void)state;
    enum { N = 100, D = 40 };
    tare_real *a = calloc(N * D, sizeof *a), *b = calloc(N * D, sizeof *b);
    tare_rng rng = tare_rng_new(1, "quality");
    for (int i = 0; i < N * D; i++) {
        a[i] = (tare_real)tare_rng_normal(&rng);
        b[i] = (tare_real)(tare_rng_normal(&rng) * 1.5 + 0.2);
    }
    double first = 0;
    for (int threads = 1; threads <= 3; threads++) {
        double distance;
        tare_threads_set(threads);
        assert_ok(tare_frechet_distance(D, N, a, N, b, &distance));
        if (threads == 1) { first = distance; }
        assert_memory_equal(&first, &distance, sizeof first);
    }
    tare_threads_set(0);
    /* few samples say more than many: here by a quarter or so */
    double few, many;
    assert_ok(tare_frechet_distance(4, N / 4, a, N / 4, b, &few));
    assert_ok(tare_frechet_distance(4, N * 10, a, N * 10, b, &many));
    assert_true(few > many);
    free(a), free(b);
}

static void errors(void **state) {
    (void)state;
    double distance = 7, mean = 7, m[2], c[4];
    tare_real x[4] = { 1, 2, 3, (tare_real)NAN }, p[4] = { 0.5, 0.5, 2, -1 };
    assert_status(TARE_ESHAPE, tare_moments(1, 2, x, m, c));
    assert_contains(tare_error(), "features [1,2]: 2 samples or more");
    assert_status(TARE_ESHAPE, tare_frechet_distance(0, 2, x, 2, x, &distance));
    assert_status(TARE_ENONFINITE, tare_frechet_distance(2, 2, x, 2, x, &distance));
    const double nan_mean[] = { NAN }, one[] = { 1 };
    assert_status(TARE_ENONFINITE, tare_frechet(1, nan_mean, one, one, one, &distance));
    assert_status(TARE_ENONFINITE, tare_inception_score(2, 2, p, 1, &mean, NULL));
    assert_contains(tare_error(), "sample 1, class 0 is 2, no probability: softmax first");
    assert_status(TARE_ESHAPE, tare_inception_score(2, 2, p, 3, &mean, NULL));
    x[3] = 4;
    for (uint64_t n = 1; n <= 4; n++) {
        tare_alloc_fail_at(n);
        tare_status status = tare_frechet_distance(2, 2, x, 2, x, &distance);
        tare_alloc_fail_at(0);
        assert_int_equal(TARE_ENOMEM, status);
    }
    assert_true(distance == 7 && mean == 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frechet_as_scipy),
        cmocka_unit_test(frechet_by_hand),
        cmocka_unit_test(inception_as_formula),
        cmocka_unit_test(any_number_of_threads),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests_name("sample quality", tests, NULL, NULL);
}
