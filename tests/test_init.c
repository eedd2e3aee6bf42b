/* test_init.c - initialisation: bounds and moments, orthogonality, and values that depend on seed and name alone.
 * tare-test: double */
#include "testing_support.h"

#include <tare/params.h>

#include <math.h>

static tare_tensor *param(tare_params *ps, const char *name, tare_shape shape) {
    tare_tensor *w = tare_param(ps, name, shape, 0);
    assert_non_null(w);
    return w;
}

static double mean_of(const tare_tensor *w) {
    double sum = 0;
    for (int64_t i = 0; i < w->numel; i++) { sum += (double)w->data[i]; }
    return sum / (double)w->numel;
}

static double std_of(const tare_tensor *w) {
    double mean = mean_of(w), sum = 0;
    for (int64_t i = 0; i < w->numel; i++) { sum += ((double)w->data[i] - mean) * ((double)w->data[i] - mean); }
    return sqrt(sum / (double)w->numel);
}

static void assert_range(const tare_tensor *w, double lo, double hi) {
    double least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < w->numel; i++) {
        least = fmin(least, (double)w->data[i]);
        most = fmax(most, (double)w->data[i]);
    }
    assert_true(least >= lo - 1e-6);
    assert_true(most <= hi + 1e-6);
    /* and it is used to its ends */
    assert_true(least < lo + 0.02 * (hi - lo));
    assert_true(most > hi - 0.02 * (hi - lo));
}

static void uniform_bounds(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(1);
    tare_tensor *w = param(ps, "w", TARE_SHAPE(64, 16, 3, 3));
    double in = 16 * 9, out = 64 * 9;
    const struct {
        void (*init)(tare_params *, tare_tensor *, double);
        double gain, bound;
    } cases[] = { { tare_init_kaiming_uniform, sqrt(2), sqrt(6 / in) },
                  { tare_init_xavier_uniform, 1, sqrt(6 / (in + out)) } };
    for (int i = 0; i < 2; i++) {
        cases[i].init(ps, w, cases[i].gain);
        assert_range(w, -cases[i].bound, cases[i].bound);
        assert_near(mean_of(w), 0, 0.03 * cases[i].bound);
        assert_near(std_of(w), cases[i].bound / sqrt(3), 0.02 * cases[i].bound);
    }
    tare_init_uniform(ps, w, 2, 5);
    assert_range(w, 2, 5);
    tare_params_free(ps);
}

static void normal_moments(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(2);
    tare_tensor *w = param(ps, "w", TARE_SHAPE(64, 16, 3, 3));
    double in = 16 * 9, out = 64 * 9;
    tare_init_kaiming_normal(ps, w, sqrt(2));
    assert_near(std_of(w), sqrt(2 / in), 0.02 * sqrt(2 / in));
    tare_init_xavier_normal(ps, w, 3);
    assert_near(std_of(w), 3 * sqrt(2 / (in + out)), 0.02 * 3 * sqrt(2 / (in + out)));
    tare_init_normal(ps, w, 5, 0.5);
    assert_near(mean_of(w), 5, 0.02);
    assert_near(std_of(w), 0.5, 0.01);
    tare_init_constant(ps, w, 7);
    assert_near(mean_of(w), 7, 0);
    assert_near(std_of(w), 0, 0);
    tare_params_free(ps);
}

static void default_is_pytorchs(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(3);
    tare_tensor *w = param(ps, "fc.weight", TARE_SHAPE(200, 100)), *b = param(ps, "fc.bias", TARE_SHAPE(2000));
    tare_init_default(ps, w, b);
    assert_range(w, -0.1, 0.1);
    assert_range(b, -0.1, 0.1);
    tare_init_default(ps, w, NULL);
    tare_init_default(ps, NULL, b);
    tare_params_free(ps);
}

/* The truncated normal on [lo, hi]: range, and the mean phi(a) - phi(b) / (Phi(b) - Phi(a)). */
static void truncated(double mean, double std, double lo, double hi) {
    tare_params *ps = tare_params_new(4);
    tare_tensor *w = param(ps, "w", TARE_SHAPE(20000));
    tare_init_trunc_normal(ps, w, mean, std, lo, hi);
    for (int64_t i = 0; i < w->numel; i++) {
        assert_true((double)w->data[i] >= lo - 1e-6 && (double)w->data[i] <= hi + 1e-6);
    }
    double a = (lo - mean) / std, b = (hi - mean) / std, density = exp(-a * a / 2) - exp(-b * b / 2);
    /* in the tail where erfc has its digits */
    double mass = 0.5 * (a > 0 ? erfc(a / sqrt(2)) - erfc(b / sqrt(2)) : erfc(-b / sqrt(2)) - erfc(-a / sqrt(2)));
    double want = mean + std * density / sqrt(2 * acos(-1)) / mass;
    assert_near(mean_of(w), want, 0.02 * fmin(std, hi - lo));
    assert_true(std_of(w) > 0.1 * fmin(std, hi - lo));
    tare_params_free(ps);
}

static void truncated_normal(void **state) {
    (void)state;
    truncated(0, 0.02, -0.04, 0.04);
    truncated(0, 1, -2, 2);
    truncated(1, 2, 0.5, 4);
    truncated(0, 1, 6, 7);
    truncated(0, 1, -9, -8);
}

static void assert_orthonormal(const tare_tensor *w, double gain) {
    int64_t rows = w->shape.dim[0], cols = w->numel / rows, n = rows < cols ? rows : cols;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j <= i; j++) {
            double dot = 0;
            for (int64_t k = 0; k < (rows < cols ? cols : rows); k++) {
                const tare_real *d = w->data;
                dot += rows < cols ? (double)d[i * cols + k] * (double)d[j * cols + k]
                                   : (double)d[k * cols + i] * (double)d[k * cols + j];
            }
            assert_near(dot, i == j ? gain * gain : 0, test_tol(1e-6, 1e-14) * gain * gain);
        }
    }
}

static void orthogonal(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(5);
    const tare_shape shapes[] = { TARE_SHAPE(40, 40),      TARE_SHAPE(10, 64), TARE_SHAPE(64, 10),
                                  TARE_SHAPE(16, 8, 3, 3), TARE_SHAPE(1, 5),   TARE_SHAPE(7) };
    char name[8] = "w0";
    for (int i = 0; i < 6; i++) {
        name[1] = (char)('0' + i);
        tare_tensor *w = param(ps, name, shapes[i]);
        tare_init_orthogonal(ps, w, 1.5);
        assert_orthonormal(w, 1.5);
    }
    tare_params_free(ps);
}

static void seed_and_name_decide(void **state) {
    (void)state;
    tare_params *one = tare_params_new(9), *two = tare_params_new(9), *other = tare_params_new(10);
    tare_tensor *a = param(one, "fc.weight", TARE_SHAPE(8, 8));
    param(two, "before.weight", TARE_SHAPE(3, 3)); /* another layer in front changes nothing */
    tare_tensor *b = param(two, "fc.weight", TARE_SHAPE(8, 8)), *c = param(other, "fc.weight", TARE_SHAPE(8, 8));
    tare_tensor *d = param(one, "fd.weight", TARE_SHAPE(8, 8));
    tare_init_default(one, a, NULL);
    tare_init_default(two, b, NULL);
    tare_init_default(other, c, NULL);
    tare_init_default(one, d, NULL);
    assert_memory_equal(a->data, b->data, 64 * sizeof(tare_real));
    assert_memory_not_equal(a->data, c->data, 64 * sizeof(tare_real));
    assert_memory_not_equal(a->data, d->data, 64 * sizeof(tare_real));
    tare_params_free(one);
    tare_params_free(two);
    tare_params_free(other);
}

static void null_is_passed_over(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(0);
    tare_init_constant(ps, NULL, 1);
    tare_init_uniform(ps, NULL, 0, 1);
    tare_init_normal(ps, NULL, 0, 1);
    tare_init_trunc_normal(ps, NULL, 0, 1, -1, 1);
    tare_init_kaiming_uniform(ps, NULL, 1);
    tare_init_kaiming_normal(ps, NULL, 1);
    tare_init_xavier_uniform(ps, NULL, 1);
    tare_init_xavier_normal(ps, NULL, 1);
    tare_init_orthogonal(ps, NULL, 1);
    assert_ok(tare_params_status(ps));
    tare_params_free(ps);
}

static void memory_short(void **state) {
    (void)state;
    tare_params *ps = tare_params_new(0);
    tare_tensor *w = param(ps, "w", TARE_SHAPE(4, 4));
    tare_alloc_fail_at(1);
    tare_init_orthogonal(ps, w, 1);
    tare_alloc_fail_at(0);
    assert_int_equal(TARE_ENOMEM, tare_params_status(ps));
    assert_contains(tare_params_error(ps), "initialising \"w\"");
    tare_params_free(ps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_bounds),      cmocka_unit_test(normal_moments), cmocka_unit_test(default_is_pytorchs),
        cmocka_unit_test(truncated_normal),    cmocka_unit_test(orthogonal),     cmocka_unit_test(seed_and_name_decide),
        cmocka_unit_test(null_is_passed_over), cmocka_unit_test(memory_short),
    };
    return cmocka_run_group_tests_name("init", tests, NULL, NULL);
}
